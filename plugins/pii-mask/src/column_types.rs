//! The types that matter to a plan.

use portcullis_plugin_sdk::OutputColumn;

/// What the values of a column can be turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Any text will do.
    Text,
    /// The same of a type whose values the host does not take for any text: XML, and those of
    /// extensions.
    OtherText,
    /// Text with a syntax: JSON.
    Json,
    /// An array of texts.
    TextArray,
    /// An array of JSON texts.
    JsonArray,
    Integer,
    /// Numbers too short or too inexact to be an identifier, truth values, times of day.
    Plain,
    Date,
    /// Anything else.
    Other,
}

impl Shape {
    pub(crate) fn of(column: &OutputColumn) -> Shape {
        match column.type_oid {
            // text, varchar, bpchar, unknown
            25 | 1043 | 1042 | 705 => Shape::Text,
            // xml
            142 => Shape::OtherText,
            114 | 3802 => Shape::Json,
            1009 | 1015 | 1014 | 143 => Shape::TextArray,
            199 | 3807 => Shape::JsonArray,
            // int8, numeric
            20 | 1700 => Shape::Integer,
            // bool, int2, int4, float4, float8, money, interval, time, timetz
            16 | 21 | 23 | 700 | 701 | 790 | 1186 | 1083 | 1266 => Shape::Plain,
            // date, timestamp, timestamptz
            1082 | 1114 | 1184 => Shape::Date,
            _ => Shape::of_name(&column.type_name),
        }
    }

    /// For the types of extensions, whose OIDs differ from database to database.
    fn of_name(name: &str) -> Shape {
        match name.rsplit_once('.').map_or(name, |(_, name)| name) {
            "citext" => Shape::OtherText,
            "citext[]" | "_citext" => Shape::TextArray,
            _ => Shape::Other,
        }
    }
}
