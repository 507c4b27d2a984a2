//! Cells: what they say in text and binary, what is put in their place, and the rows they
//! stand in.
//!
//! No I/O, no clock. Plugins are asked through `PolicySet`; everything else is done here.
//!
//! What a client sees is always a value of the column's type, in the column's format:
//!
//! * What an action cannot do to a type, or to a value of it, it does by losing the value:
//!   NULL, or where NULL must not be a constant of the type. So does an answer of a plugin
//!   that is no value of the type, a fault, and a text that is not UTF-8.
//! * A type that is not known is passed, or becomes NULL even where NULL must not be.
//! * NULL stays NULL: masks do not hide that a value is missing. Only a plugin may put a
//!   value there.
//! * What was not changed keeps its bytes. What was changed is printed as the server would
//!   print it with `DateStyle = ISO`, `TimeZone = UTC` and `IntervalStyle = postgres`; dates
//!   that came in another style cannot be read, and are lost when a transform needs them.
//! * Money in binary has no text here, because its scale is a matter of the server's locale.

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
mod email;
mod few;
mod partial;
mod generalize;
mod permute;
mod pseudonym;
mod value;
mod plan;
mod batch;
mod call;
mod together;
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
pub use outcome::{Flushed, LabelCounts, MalformedRow};
pub use rows::{MaskedRows, RowMasker};
