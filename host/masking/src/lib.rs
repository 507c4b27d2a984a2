//! Cells: what they say in text and binary, what is put in their place, and the rows they
//! stand in.
//!
//! No I/O, no clock. Plugins are asked through `PolicySet`; everything else is done here.

mod outcome;
mod column;
mod keys;
mod kind;
mod reader;
mod number;
mod numeric;
mod calendar;
mod datetime;
mod interval;
mod network;
mod bits;
mod json;
mod array;
mod codec;
mod partial;
mod generalize;
mod permute;
mod pseudonym;
mod value;
mod plan;
mod batch;
mod call;
mod masks;
mod cell;
mod masker;
#[cfg(test)]
mod double;
mod rows;
mod fields;
mod copy;

pub use cell::{CopyFormat, CsvOptions, TextOptions};
pub use codec::{binary_to_text, text_to_binary};
pub use column::MaskColumn;
pub use copy::CopyMasker;
pub use keys::Keys;
pub use outcome::{Flushed, MalformedRow};
pub use rows::RowMasker;
