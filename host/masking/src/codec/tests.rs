//! Vectors made by PostgreSQL 15's own send functions.

use proptest::prelude::*;

use super::*;

/// Type, text, and the binary form in hexadecimal.
const SENT: &[(u32, &str, &str)] = &[
    (16, "t", "01"),
    (16, "f", "00"),
    (18, "a", "61"),
    (21, "0", "0000"),
    (21, "-32768", "8000"),
    (21, "32767", "7fff"),
    (23, "5", "00000005"),
    (23, "-2147483648", "80000000"),
    (20, "5", "0000000000000005"),
    (20, "-9223372036854775808", "8000000000000000"),
    (20, "4111111111111111", "000e9b08a568f1c7"),
    (26, "4294967295", "ffffffff"),
    (700, "1.5", "3fc00000"),
    (700, "0.1", "3dcccccd"),
    (700, "-0", "80000000"),
    (700, "1e+10", "501502f9"),
    (700, "1e-07", "33d6bf95"),
    (700, "123456.7", "47f1205a"),
    (700, "1.234567e+06", "4996b438"),
    (700, "1e+06", "49742400"),
    (700, "NaN", "7fc00000"),
    (700, "Infinity", "7f800000"),
    (700, "-Infinity", "ff800000"),
    (700, "3.4028235e+38", "7f7fffff"),
    (701, "1.5", "3ff8000000000000"),
    (701, "0.1", "3fb999999999999a"),
    (701, "-0", "8000000000000000"),
    (701, "100000000000000", "42d6bcc41e900000"),
    (701, "1e+15", "430c6bf526340000"),
    (701, "1e+20", "4415af1d78b58c40"),
    (701, "0.0001", "3f1a36e2eb1c432d"),
    (701, "1e-05", "3ee4f8b588e368f1"),
    (701, "123456789.125", "419d6f3454800000"),
    (701, "1.7976931348623157e+308", "7fefffffffffffff"),
    (701, "NaN", "7ff8000000000000"),
    (701, "5e-324", "0000000000000001"),
    (1700, "0", "0000000000000000"),
    (1700, "1", "00010000000000000001"),
    (1700, "-1", "00010000400000000001"),
    (1700, "0.1", "0001ffff0000000103e8"),
    (1700, "10000", "00010001000000000001"),
    (1700, "12345.678", "0003000100000003000109291a7c"),
    (1700, "-0.00012", "0002ffff40000005000107d0"),
    (1700, "100000000000000000000", "00010005000000000001"),
    (1700, "100.00", "00010000000000020064"),
    (1700, "0.0000", "0000000000000004"),
    (1700, "NaN", "00000000c0000000"),
    (1700, "Infinity", "00000000d0000020"),
    (1700, "-Infinity", "00000000f0000020"),
    (1700, "99999999.9999", "0003000100000004270f270f270f"),
    (1700, "0.00001234", "0001fffe0000000804d2"),
    (25, "", ""),
    (25, "héllo", "68c3a96c6c6f"),
    (17, r"\x", ""),
    (17, r"\x00ff61", "00ff61"),
    (1082, "2000-01-01", "00000000"),
    (1082, "1999-12-31", "ffffffff"),
    (1082, "2026-11-22", "0000265e"),
    (1082, "0001-01-01", "fff4dbf9"),
    (1082, "0001-12-31 BC", "fff4dbf8"),
    (1082, "4713-01-01 BC", "ffda97cd"),
    (1082, "5874897-12-31", "7fda970c"),
    (1082, "infinity", "7fffffff"),
    (1082, "-infinity", "80000000"),
    (1082, "2024-02-29", "00002279"),
    (1083, "00:00:00", "0000000000000000"),
    (1083, "12:34:56.789", "0000000a8be62608"),
    (1083, "24:00:00", "000000141dd76000"),
    (1083, "23:59:59.999999", "000000141dd75fff"),
    (1083, "01:02:03.5", "00000000ddf019e0"),
    (1266, "00:00:00+00", "000000000000000000000000"),
    (1266, "12:34:56.5+05:30", "0000000a8be1bd20ffffb2a8"),
    (1266, "12:34:56-03", "0000000a8bda1c0000002a30"),
    (1266, "01:00:00+01:02:03", "00000000d693a400fffff175"),
    (1114, "2000-01-01 00:00:00", "0000000000000000"),
    (1114, "1999-12-31 23:59:59.999999", "ffffffffffffffff"),
    (1114, "2026-11-22 05:22:52", "000303d56ffe8300"),
    (1114, "0044-03-15 12:00:00 BC", "ff1af9e8fb46d000"),
    (1114, "294276-12-31 23:59:59.999999", "7fffff5bb3b29fff"),
    (1114, "infinity", "7fffffffffffffff"),
    (1114, "-infinity", "8000000000000000"),
    (1184, "2000-01-01 00:00:00+00", "0000000000000000"),
    (1184, "2026-11-22 05:22:52.25+00", "000303d570025390"),
    (1184, "0044-03-15 12:00:00+00 BC", "ff1af9e8fb46d000"),
    (1184, "infinity", "7fffffffffffffff"),
    (1184, "-infinity", "8000000000000000"),
    (1186, "00:00:00", "00000000000000000000000000000000"),
    (1186, "1 year 2 mons 3 days 04:05:06.789", "000000036c97ca88000000030000000e"),
    (1186, "-1 days +02:03:00", "00000001b7e1dd00ffffffff00000000"),
    (1186, "-1 years -2 mons +3 days -04:05:06", "fffffffc93743f8000000003fffffff2"),
    (1186, "1 mon", "00000000000000000000000000000001"),
    (1186, "-00:00:00.000001", "ffffffffffffffff0000000000000000"),
    (1186, "100:00:00", "00000053d1ac10000000000000000000"),
    (1186, "1 day -00:00:01", "fffffffffff0bdc00000000100000000"),
    (1186, "2 years", "00000000000000000000000000000018"),
    (1186, "-1 years -1 mons", "000000000000000000000000fffffff3"),
    (1186, "1 year -1 days", "0000000000000000ffffffff0000000c"),
    (2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
    (869, "192.168.0.1", "02200004c0a80001"),
    (869, "192.168.0.1/24", "02180004c0a80001"),
    (869, "::1", "0380001000000000000000000000000000000001"),
    (869, "2001:db8::1/64", "0340001020010db8000000000000000000000001"),
    (869, "::ffff:1.2.3.4", "0380001000000000000000000000ffff01020304"),
    (650, "10.0.0.0/8", "020801040a000000"),
    (650, "1.2.3.4/32", "0220010401020304"),
    (650, "2001:db8::/32", "0320011020010db8000000000000000000000000"),
    (829, "08:00:2b:01:02:03", "08002b010203"),
    (774, "08:00:2b:01:02:03:04:05", "08002b0102030405"),
    (114, r#"{"a": [1, 2.5e3, null]}"#, "7b2261223a205b312c20322e3565332c206e756c6c5d7d"),
    (3802, r#"{"a": [1, "x"]}"#, "017b2261223a205b312c202278225d7d"),
    (142, "<a>b</a>", "3c613e623c2f613e"),
    (1560, "1010101011", "0000000aaac0"),
    (1562, "", "00000000"),
    (1562, "1", "0000000180"),
    (1562, "10101010", "00000008aa"),
    (1007, "{}", "000000000000000000000017"),
    (
        1007,
        "{1,NULL,-3}",
        "00000001000000010000001700000003000000010000000400000001ffffffff00000004fffffffd",
    ),
    (
        1007,
        "{{1,2},{3,4}}",
        "000000020000000000000017000000020000000100000002000000010000000400000001000000040000000200000004000000030000000400000004",
    ),
    (
        1007,
        "[2:3]={7,8}",
        "000000010000000000000017000000020000000200000004000000070000000400000008",
    ),
    (
        1009,
        r#"{a,"b c","",NULL,"NULL","x,y","q\"u\\o","{","null"}"#,
        "000000010000000100000019000000090000000100000001610000000362206300000000ffffffff000000044e554c4c00000003782c79000000057122755c6f000000017b000000046e756c6c",
    ),
    (
        1231,
        "{1.50,NaN}",
        "0000000100000000000006a400000002000000010000000c0002000000000002000113880000000800000000c0000000",
    ),
    (
        1185,
        r#"{"2026-11-22 05:22:52+00"}"#,
        "0000000100000000000004a0000000010000000100000008000303d56ffe8300",
    ),
    (1001, r#"{"\\x61"}"#, "00000001000000000000001100000001000000010000000161"),
    (
        3807,
        r#"{"{\"a\": 1}"}"#,
        "000000010000000000000eda000000010000000100000009017b2261223a20317d",
    ),
];

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    bits::write_hex(bytes, &mut out);
    out
}

fn unhex(digits: &str) -> Vec<u8> {
    let mut out = Vec::new();
    bits::read_hex(digits.as_bytes(), &mut out).expect("hexadecimal digits");
    out
}

#[test]
fn both_ways_agree_with_the_server() {
    for (oid, text, sent) in SENT {
        assert_eq!(binary_to_text(*oid, &unhex(sent)).as_deref(), Some(*text), "{oid} {sent}");
        let binary = text_to_binary(*oid, text).map(|bytes| hex(&bytes));
        assert_eq!(binary.as_deref(), Some(*sent), "{oid} {text}");
    }
}

#[test]
fn what_is_no_value_of_the_type_is_refused() {
    let refused = |oid: u32, texts: &[&str]| {
        for text in texts {
            assert_eq!(text_to_binary(oid, text), None, "{oid} {text:?}");
        }
    };
    refused(16, &["", "maybe", "T"]);
    refused(18, &["ab", "é"]);
    refused(20, &["", "1.0", "9223372036854775808", " 1", "***"]);
    refused(21, &["32768", "-32769"]);
    refused(26, &["-1", "4294967296"]);
    refused(700, &["1e39", "x", ""]);
    refused(1700, &["", ".", "-", "1..2", "1e999999999", "1e-20000", "abc", "1,5", "--1"]);
    refused(25, &["a\0b"]);
    refused(17, &["\\x0", "\\xzz", "\\000"]);
    refused(
        1082,
        &["2023-02-29", "2023-13-01", "2023-1-1", "0000-01-01", "22/11/2026", "5874898-06-03"],
    );
    refused(1083, &["24:00:01", "12:60:00", "12", "12:00:00+01", "1:2:3", "12:00:00.1234567"]);
    refused(1114, &["294277-01-01", "2026-11-22 24:00:00", "2026-11-22 12:00:00+01", "2026-**-**"]);
    refused(1184, &["2026-11-22 12:00:00+16", "2026-11-22 12:00:00+01:02:03:04"]);
    refused(1186, &["", "1", "1 fortnight", "99999999999 days", "3000000000 mons"]);
    refused(
        2950,
        &["a0eebc99", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    );
    refused(869, &["1.2.3", "1.2.3.4/33", "::1/129", "1.2.3.*"]);
    refused(650, &["1.2.3.4/24", "::1/0"]);
    refused(829, &["08:00:2b:01:02", "08:00:2b:01:02:0", "08:00:2b:01:02:03:04"]);
    refused(114, &["{", "***", ""]);
    refused(1562, &["012"]);
    refused(
        1007,
        &[
            "",
            "{",
            "{1",
            "{1,}",
            "{1}x",
            "{{1},{2,3}}",
            "{1,{2}}",
            "{{1},2}",
            "{{{{{{{1}}}}}}}",
            "{x}",
            "[1:3]={1,2}",
            "{1}{2}",
            "{a\"b}",
        ],
    );
    refused(790, &["$1.00"]);
    refused(99_999, &["x"]);
    assert_eq!(binary_to_text(99_999, b"x"), None);
}

/// What no server sends is no value: its text would be read by nobody.
#[test]
fn a_time_that_there_is_not_is_refused() {
    let check = |oid: u32, [last, behind]: [&[u8]; 2]| {
        assert!(binary_to_text(oid, last).is_some(), "{oid} {last:?}");
        assert_eq!(binary_to_text(oid, behind), None, "{oid} {behind:?}");
    };
    let dates = [-2_451_545, -2_451_546, 2_145_031_948, 2_145_031_949].map(i32::to_be_bytes);
    check(1082, [&dates[0], &dates[1]]);
    check(1082, [&dates[2], &dates[3]]);
    let (first, end) = (-211_813_488_000_000_000_i64, 9_223_371_331_200_000_000_i64);
    let times = [first, first - 1, end - 1, end].map(i64::to_be_bytes);
    for oid in [1114, 1184] {
        check(oid, [&times[0], &times[1]]);
        check(oid, [&times[2], &times[3]]);
    }
    let zones = [57_599, 57_600, -57_599, -57_600, i32::MIN];
    let clocks = zones.map(|zone: i32| [&[0; 8][..], &zone.to_be_bytes()].concat());
    check(1266, [&clocks[0], &clocks[1]]);
    check(1266, [&clocks[2], &clocks[3]]);
    check(1266, [&clocks[2], &clocks[4]]);
    assert_eq!(text_to_binary(1184, "4714-11-24 00:00:00+01 BC"), None);
}

/// A server that does send it is taken as PostgreSQL's own readers would take it.
#[test]
fn what_no_server_sends_is_read_as_the_server_would() {
    let check = |oid: u32, bytes: &str, expected: Option<&str>| {
        let text = binary_to_text(oid, &unhex(bytes));
        assert_eq!(text.as_deref(), expected, "{oid} {bytes}");
        if let Some(text) = text {
            let again = text_to_binary(oid, &text).expect("its own text");
            assert_eq!(binary_to_text(oid, &again), Some(text), "{oid} {bytes}");
        }
    };
    // Zeros with a sign, and with digits that the scale leaves out.
    check(1700, "0000000040000000", Some("0"));
    check(1700, "0001fffe40000002270f", Some("0.00"));
    check(1700, "0001fffe40000008270f", Some("-0.00009999"));
    // A network with bits behind its mask.
    check(650, "0218010401020304", None);
    check(650, "0218010401020300", Some("1.2.3.0/24"));
    check(869, "0218000401020304", Some("1.2.3.4/24"));
    // No elements in dimensions; a bound behind the last.
    check(1007, "0000000100000000000000170000000000000005", Some("{}"));
    check(1007, "000000010000000000000017000000017fffffff0000000400000001", None);
    check(
        1007,
        "000000010000000000000017000000017ffffffe0000000400000001",
        Some("[2147483646:2147483646]={1}"),
    );
}

#[test]
fn a_value_that_explodes_is_refused() {
    // A number of 8 bytes and 131072 digits, six hundred times.
    let number = [0, 1, 0x7f, 0xff, 0, 0, 0, 0, 0, 1];
    assert_eq!(binary_to_text(1700, &number).map(|text| text.len()), Some(131_069));
    let mut array = Array::default();
    for _ in 0..600 {
        array = array.with(&number);
    }
    let mut bytes = Vec::new();
    array.write_binary(1700, &mut bytes).expect("an array");
    assert_eq!(binary_to_text(1231, &bytes), None);
}

const OIDS: &[u32] = &[
    16, 17, 18, 20, 21, 23, 25, 26, 114, 142, 650, 700, 701, 774, 790, 829, 869, 1042, 1082, 1083,
    1114, 1184, 1186, 1266, 1560, 1700, 2950, 3802, 1007, 1009, 1231, 1185, 1001, 99_999,
];

proptest! {
    /// No bytes make it panic, and a text it prints reads back as the same value.
    #[test]
    fn any_bytes_are_a_value_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        for oid in OIDS {
            let Some(text) = binary_to_text(*oid, &bytes) else { continue };
            let Some(again) = text_to_binary(*oid, &text) else { continue };
            prop_assert_eq!(binary_to_text(*oid, &again), Some(text), "{}", oid);
        }
    }

    #[test]
    fn any_text_is_a_value_or_refused(text in "[-+0-9a-zA-Z:., {}\"\\\\/\\[\\]=]{0,16}") {
        for oid in OIDS {
            let Some(bytes) = text_to_binary(*oid, &text) else { continue };
            let printed = binary_to_text(*oid, &bytes).expect("what is written can be read");
            prop_assert_eq!(text_to_binary(*oid, &printed), Some(bytes), "{} {}", oid, printed);
        }
    }

    #[test]
    fn numbers_go_both_ways(
        small: i16, int: i32, big: i64, oid: u32, single: f32, double: f64, decimals in 0..9_usize,
    ) {
        let check = |oid: u32, bytes: &[u8]| {
            let text = binary_to_text(oid, bytes).expect("a number");
            assert_eq!(text_to_binary(oid, &text).as_deref(), Some(bytes), "{text}");
        };
        check(21, &small.to_be_bytes());
        check(23, &int.to_be_bytes());
        check(20, &big.to_be_bytes());
        check(26, &oid.to_be_bytes());
        check(700, &if single.is_nan() { 0.5 } else { single }.to_be_bytes());
        check(701, &if double.is_nan() { 0.5 } else { double }.to_be_bytes());
        let numeric = format!("{big}.{:0decimals$}", small.unsigned_abs());
        let bytes = text_to_binary(1700, &numeric).expect("a number");
        prop_assert_eq!(binary_to_text(1700, &bytes), Some(numeric));
    }

    #[test]
    fn times_go_both_ways(
        days in -2_451_545..2_145_031_949_i32,
        micros in -211_813_488_000_000_000..9_223_371_331_200_000_000_i64,
        day_micros in 0..=86_400_000_000_i64,
        zone in -57_599..57_600_i32,
        months: i32,
    ) {
        let check = |oid: u32, bytes: &[u8]| {
            let text = binary_to_text(oid, bytes).expect("a time");
            assert_eq!(text_to_binary(oid, &text).as_deref(), Some(bytes), "{oid} {text}");
        };
        check(1082, &days.to_be_bytes());
        check(1083, &day_micros.to_be_bytes());
        check(1266, &[&day_micros.to_be_bytes()[..], &zone.to_be_bytes()].concat());
        check(1114, &micros.to_be_bytes());
        check(1184, &micros.to_be_bytes());
        let interval = [&micros.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()];
        check(1186, &interval.concat());
    }

    #[test]
    fn arrays_of_any_text_go_both_ways(
        elements in prop::collection::vec(prop::option::of("[^\0]{0,6}"), 0..5),
    ) {
        let mut array = Array::default();
        for element in &elements {
            array = match element {
                Some(text) => array.with(text.as_bytes()),
                None => array.with_null(),
            };
        }
        let mut bytes = Vec::new();
        array.write_binary(25, &mut bytes).expect("an array");
        let text = binary_to_text(1009, &bytes).expect("an array");
        prop_assert_eq!(text_to_binary(1009, &text), Some(bytes), "{}", text);
    }
}
