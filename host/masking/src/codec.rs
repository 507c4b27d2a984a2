/// Text of a binary value, as PostgreSQL prints it with `DateStyle = ISO`, `TimeZone = UTC`
/// and `bytea_output = hex`. `None` where the type's binary form is not known, or the bytes
/// are not of that form.
pub fn binary_to_text(_type_oid: u32, _bytes: &[u8]) -> Option<String> {
    None
}

/// The binary form of a value given as text, in the forms `binary_to_text` gives. `None`
/// where the type is not known or the text is not a value of it.
pub fn text_to_binary(_type_oid: u32, _text: &str) -> Option<Vec<u8>> {
    None
}
