//! Finders, one per kind of data. Each looks at the bytes of one value and adds the places
//! it is sure of; a place once found is not found again as something else.

pub(crate) mod place;
pub(crate) mod number_run;
pub(crate) mod email;
pub(crate) mod card;
pub(crate) mod iban;
pub(crate) mod checksums;
pub(crate) mod national_id;
pub(crate) mod phone;
pub(crate) mod ip;
pub(crate) mod secret;

pub(crate) use place::Place;
