//! What is known about a type, by its OID.

/// The types whose forms are known here. What is not among them can be passed or become
/// NULL, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Number(Number),
    Money,
    Text,
    /// Text padded with spaces that do not count.
    Bpchar,
    /// The one-byte type `"char"`.
    Char,
    Bytea,
    Temporal(Temporal),
    Uuid,
    Inet,
    Cidr,
    Macaddr,
    Macaddr8,
    Json,
    Jsonb,
    Xml,
    /// `bit` and `varbit`.
    Bits,
    /// Of elements of this OID, which is known and no array.
    Array(u32),
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temporal {
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
}

impl Kind {
    pub(crate) fn of(type_oid: u32) -> Kind {
        match ARRAYS.iter().find(|(array, _)| *array == type_oid) {
            Some((_, element)) => Kind::Array(*element),
            None => scalar(type_oid),
        }
    }

    /// True when every text is a value of the type, and its bytes in both formats.
    pub(crate) fn is_textual(self) -> bool {
        matches!(self, Kind::Text | Kind::Bpchar)
    }

    /// True for an array whose elements are textual.
    pub(crate) fn is_textual_array(self) -> bool {
        matches!(self, Kind::Array(element) if scalar(element).is_textual())
    }
}

fn scalar(type_oid: u32) -> Kind {
    match type_oid {
        16 => Kind::Bool,
        17 => Kind::Bytea,
        18 => Kind::Char,
        // text, varchar, name, unknown, cstring
        25 | 1043 | 19 | 705 | 2275 => Kind::Text,
        1042 => Kind::Bpchar,
        20 => Kind::Number(Number::Int8),
        21 => Kind::Number(Number::Int2),
        23 => Kind::Number(Number::Int4),
        // oid, xid, cid
        26 | 28 | 29 => Kind::Number(Number::Oid),
        114 => Kind::Json,
        142 => Kind::Xml,
        650 => Kind::Cidr,
        700 => Kind::Number(Number::Float4),
        701 => Kind::Number(Number::Float8),
        774 => Kind::Macaddr8,
        790 => Kind::Money,
        829 => Kind::Macaddr,
        869 => Kind::Inet,
        1082 => Kind::Temporal(Temporal::Date),
        1083 => Kind::Temporal(Temporal::Time),
        1114 => Kind::Temporal(Temporal::Timestamp),
        1184 => Kind::Temporal(Temporal::TimestampTz),
        1186 => Kind::Temporal(Temporal::Interval),
        1266 => Kind::Temporal(Temporal::TimeTz),
        1560 | 1562 => Kind::Bits,
        1700 => Kind::Number(Number::Numeric),
        2950 => Kind::Uuid,
        3802 => Kind::Jsonb,
        _ => Kind::Unknown,
    }
}

/// Array type and element type, of the types above.
const ARRAYS: [(u32, u32); 33] = [
    (1000, 16),
    (1001, 17),
    (1002, 18),
    (1003, 19),
    (1005, 21),
    (1007, 23),
    (1009, 25),
    (1011, 28),
    (1012, 29),
    (1014, 1042),
    (1015, 1043),
    (1016, 20),
    (1021, 700),
    (1022, 701),
    (1028, 26),
    (1040, 829),
    (1041, 869),
    (1115, 1114),
    (1182, 1082),
    (1183, 1083),
    (1185, 1184),
    (1187, 1186),
    (1231, 1700),
    (1263, 2275),
    (1270, 1266),
    (1561, 1560),
    (1563, 1562),
    (143, 142),
    (199, 114),
    (2951, 2950),
    (3807, 3802),
    (651, 650),
    (775, 774),
];
