//! Positives and negatives of each finder, as values before and after.

use portcullis_plugin_sdk::{Masked, Masker};

use super::{masked, policy};
use crate::handle::Handle;
use crate::kind::Kind;

fn check(value: &str, expected: &str) {
    assert_eq!(masked("{}", Handle::Text, &[value]), [expected], "{value}");
}

/// None of the values is touched.
fn stays(values: &[&str]) {
    let after = masked("{}", Handle::Text, values);
    let touched: Vec<_> = values.iter().zip(&after).filter(|(one, other)| *one != other).collect();
    assert!(touched.is_empty(), "{touched:#?}");
}

/// Something in each of the values is hidden.
fn hides(values: &[&str]) {
    let after = masked("{}", Handle::Text, values);
    let seen: Vec<_> = after.iter().filter(|value| !value.contains("***")).collect();
    assert!(seen.is_empty(), "{seen:#?}");
}

#[test]
fn mail_addresses() {
    check("ana@example.com", "a***@example.com");
    check("x@example.com", "***@example.com");
    check("Ana <ana.b+c@mail.example.co.uk>, again", "Ana <a***@mail.example.co.uk>, again");
    check("mailto:ana@example.com?subject=x", "mailto:a***@example.com?subject=x");
    check("jörg@müller.de", "j***@müller.de");
    check("write to 'bob@example.org'.", "write to 'b***@example.org'.");
    check("{a.b@x.com,c.d@y.org}", "{a***@x.com,c***@y.org}");
    check("a_b@sub.xn--bcher-kva.example", "a***@sub.xn--bcher-kva.example");
    stays(&[
        "user@host",
        "image@2x.png",
        "react@18.2.0",
        "@handle",
        "5 @ 3.50",
        "a @ b.com",
        "git@github.com:org/repo.git",
        "foo@",
        "@example.com",
        "sprite@3x.jpg",
        "email me at work",
    ]);
}

#[test]
fn telephone_numbers() {
    check("+14155552671", "***71");
    check("+49 170 1234567", "***67");
    check("call (555) 234-5678 now", "call ***78 now");
    check("tel:+1-415-555-2671", "tel:***71");
    hides(&[
        "415-555-2671",
        "415.555.2671",
        "415 555 2671",
        "1-415-555-2671",
        "(415)555-2671",
        "+44 20 7946 0958",
        "020 7946 0958",
        "+33 1 23 45 67 89",
        "01 23 45 67 89",
        "030 12345678",
        "0171/1234567",
        "+91 98765 43210",
        "98765 43210",
        "138 1234 5678",
        "090-1234-5678",
        "0412 345 678",
        "(11) 91234-5678",
        "0049 170 1234567",
        "phone: 4155552671",
        "+86 138 1234 5678",
        "07911 123456",
        "+5511912345678",
    ]);
    stays(&[
        "4155552671",
        "1700000000",
        "1700000000000",
        "2026-11-22",
        "2026-11-22 05:22:48",
        "22.11.2026 05:22",
        "01/02/2026 10:20:30.123",
        "ORD-2024-0012345",
        "#4155552671",
        "INV-415-555-2671",
        "550e8400-e29b-41d4-a716-446655440000",
        "1,234,567.89",
        "12 345 678",
        "2026/11/22",
        "1.2.3",
        "v1.22.333.4444",
        "978-3-16-148410-0",
        "order 1234567890",
        "10:30-11:45",
        "192-168",
        "100-200-300",
        "-122.4194155 37.7749295",
        "3.14159265358979",
        "SKU 123-456-7890X",
        "00000012345678",
        "2024-01-01/2024-12-31",
        "1234-5678",
        "12345-6789",
        "0123456789",
        "20261122T052248Z",
        "2026-11-22T05:22:48.123456+00",
        "123e4567-e89b-12d3-a456-426614174000",
    ]);
}

#[test]
fn payment_cards() {
    check("4111111111111111", "***1111");
    check("4111 1111 1111 1111", "***1111");
    check("card 5500-0000-0000-0004 exp 12/27", "card ***0004 exp 12/27");
    hides(&[
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "3530111333300000",
        "30569309025904",
        "2223003122003222",
        "2720990000000007",
        "6304000000000000",
        "6759649826438453",
        "4222222222222",
        "6200000000000005",
        "5018000000000009",
        "4000000000000000006",
        "6212345678901232",
        "{4111111111111111,5500000000000004}",
    ]);
    stays(&[
        "4111111111111112",
        "1234567812345670",
        "1700000000000",
        "9999999999999995",
        "0000000000000000",
        "4006381333931",
        "4111-1111 1111-1111",
        "ORD4111111111111111",
        "41111111111111110000",
        "79927398713",
        "1700000000000000000",
        "353879234252633",
        "4111111111111111.5",
        "x4111111111111111",
    ]);
}

#[test]
fn bank_accounts() {
    check("DE89370400440532013000", "DE***3000");
    check("IBAN: GB29 NWBK 6016 1331 9268 19, thanks", "IBAN: GB***8 19, thanks");
    hides(&[
        "FR1420041010050500013M02606",
        "NO9386011117947",
        "de89370400440532013000",
        "MT84MALT011000012345MTLCAST001S",
    ]);
    stays(&[
        "DE89370400440532013001",
        "XX89370400440532013000",
        "AB12 CDEF 3456 7890",
        "DE8937040044053201300",
        "GB29",
    ]);
}

#[test]
fn national_numbers() {
    check("123-45-6789", "***");
    check("ssn 123456789", "ssn ***");
    hides(&[
        "078 05 1121",
        "912-71-1234",
        "AB123456C",
        "AB 12 34 56 C",
        "12345678Z",
        "X1234567L",
        "185057800608491",
        "86095742719",
        "RSSMRA85T10A562S",
        "529.982.247-25",
        "2341 2341 2346",
        "ABCPD1234E",
        "811218-9876",
        "131052-308T",
        "756.9217.0769.85",
        "85.07.30-033.28",
        "11010519491231002X",
        "HEGG560427MVZRRL04",
        "S1234567D",
        "046-454-286",
    ]);
    stays(&[
        "000-12-3456",
        "666-12-3456",
        "123-00-4567",
        "123-45-0000",
        "078-05-1120",
        "123456789",
        "BG123456A",
        "AB123456E",
        "12345678A",
        "86095742718",
        "RSSMRA85T10A562T",
        "529.982.247-26",
        "2341 2341 2347",
        "811218-9877",
        "756.9217.0769.86",
        "12345678901",
        "PO-123-45-6789",
        "S1234567A",
        "123-456-789",
        "2024-11-2212",
    ]);
}

#[test]
fn addresses_of_machines() {
    check("from 203.0.113.77 port 22", "from 203*** port 22");
    check("10.1.2.3:5432", "10.***:5432");
    hides(&[
        "192.168.1.50",
        "2001:db8:85a3::8a2e:370:7334",
        "fe80::1ff:fe23:4567:890a",
        "ip=8.8.8.8",
    ]);
    stays(&[
        "127.0.0.1",
        "0.0.0.0",
        "255.255.255.0",
        "1.2.3.4",
        "10.0.19041.1",
        "v2.10.3.1",
        "1.2.3",
        "::1",
        "05:22:48",
        "00:1b:44:11:3a:b7",
        "std::vector",
        "300.1.2.3",
        "1.2.3.4.5",
        "a::b",
    ]);
}

#[test]
fn secrets() {
    check("key AKIAIOSFODNN7EXAMPLE.", "key ***.");
    check("password=hunter2", "password=***");
    check(r#"{"api_key": "0a1b2c3d4e"}"#, r#"{"api_key": "***"}"#);
    check("postgres://app:s3cret@db.example.com/x", "postgres://app:***@db.example.com/x");
    check("Authorization: Bearer abc.def-123456", "Authorization: Bearer ***");
    hides(&[
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopq",
        "xoxb-123456789012-abcdefGHIJ",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
        "glpat-1234567890abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
        "client_secret: 'abcd-1234'",
        "PGPASSWORD=Tr0ub4dor",
        "db_password: x7$kkq!",
    ]);
    stays(&[
        "the password is required",
        "password: required",
        "token count: 12",
        "AKIA is a prefix",
        "sk-learn",
        "eyJ",
        "-----BEGIN CERTIFICATE-----",
        "password=****",
        "a=b; c=d1e2f3",
        "ghp_short",
        "tokens: 123456",
        "https://example.com:8080/x@y",
        "max_tokens=4096",
    ]);
}

#[test]
fn ordinary_values() {
    stays(&[
        "",
        "Widget, blue (2 pcs)",
        "Lorem ipsum dolor sit amet",
        "42",
        "-17.5",
        "true",
        "2026-11-22 05:22:48.123456+00",
        "1.0.0-rc.1+build.5",
        "https://example.com/a/1234567890?page=2",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "d41d8cd98f00b204e9800998ecf8427e",
        "/var/log/app-2026.11.22.log",
        "PT1H30M",
        "N/A",
        "5551234",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0",
    ]);
}

#[test]
fn kinds_are_treated_as_set() {
    let check = |settings: &str, value: &str, expected: &str| {
        assert_eq!(masked(settings, Handle::Text, &[value]), [expected], "{settings}");
    };
    check(r#"{"email": "constant"}"#, "ana@example.com", "***");
    check(r#"{"email": "pass"}"#, "ana@example.com", "ana@example.com");
    check(r#"{"email": "null", "fill": "x"}"#, "to ana@example.com", "to x");
    check(r#"{"card": {"keep_first": 4}}"#, "4111111111111111", "4111***");
    check(r#"{"phone": {"keep_last": 4}}"#, "+14155552671", "***2671");
    check(r#"{"card": {"keep_from": "4"}}"#, "4111111111111111", "***");
}

#[test]
fn json_stays_json() {
    let check = |value: &str, expected: &str| {
        assert_eq!(masked("{}", Handle::Json, &[value, "[]"]), [expected, "[]"]);
    };
    check(r#"{"to": "ana@example.com"}"#, r#"{"to": "a***@example.com"}"#);
    check(r#"{"card": 4111111111111111, "n": 1}"#, r#"{"card": null, "n": 1}"#);
    check(
        r#"{"a": "say \"hi\" ana@example.com", "c": [4111111111111111]}"#,
        r#"{"a": "say \"hi\" a***@example.com", "c": [null]}"#,
    );
}

#[test]
fn batches_keep_their_rows() {
    let values = ["plain", "ana@example.com", "", "12", "x bob@example.org y", "4111111111111111"];
    let expected = ["plain", "a***@example.com", "", "12", "x b***@example.org y", "***1111"];
    assert_eq!(masked("{}", Handle::Text, &values), expected);
}

#[test]
fn what_is_said_to_be_of_a_kind_has_to_be() {
    let check = |settings: &str, kind: Kind, values: [(&str, &str); 1]| {
        let [(value, expected)] = values;
        assert_eq!(masked(settings, Handle::Single(kind), &[value]), [expected], "{value}");
    };
    let email = |value: &str, expected: &str| check("{}", Kind::Email, [(value, expected)]);
    email("bob@example.com", "b***@example.com");
    email("  bob@example.com\n", "b***@example.com");
    email("4155552671x@example.com", "4***@example.com");
    for value in [
        "Write to a@x.org, card 4111 1111 1111 1111 please",
        "a@x.org, b@y.org",
        "Ana <ana@x.org>",
        "bob@example.com DE89370400440532013000",
        "call me @ home, 4111 1111 1111 1111",
        "4111 1111 1111 1111",
        "me@home: nothing that is found, hunter2",
        "john!smith@example.com",
        "none",
        "",
        " ",
        "b***@example.com",
    ] {
        email(value, "***");
    }
    let by_dash = r#"{"card": {"keep_from": "-"}}"#;
    check(by_dash, Kind::Card, [("4111-1111-1111-1111", "***-1111-1111-1111")]);
    check(by_dash, Kind::Card, [("4111-1111-1111-1111 or bob@example.com", "***")]);
    let by_blank = r#"{"name": {"keep_first": 1, "keep_from": " "}}"#;
    check(by_blank, Kind::Name, [("Ana Smith", "A*** Smith")]);
    check(by_blank, Kind::Name, [("Ana 4111 1111 1111 1111", "***")]);
    check(r#"{"name": {"keep_from": "A"}}"#, Kind::Name, [("Ana", "***")]);
}

#[test]
fn a_handle_that_nobody_gave_out_hides_everything() {
    let batch = [Some("plain"), None, Some("ana@example.com")].into_iter().collect();
    let Masked::Edits(edits) = policy("{}").mask(99, &batch, &[]) else { panic!("replaced") };
    assert_eq!((edits.fill.as_slice(), &edits.spans[..]), (&b"***"[..], &[0, 0, 5, 2, 0, 15][..]));
}

#[test]
fn blanks_around_a_value_are_not_told() {
    let batch = [Some(" ana@example.com  "), None, Some("bob@example.com"), Some("  "), Some("x ")];
    let batch = batch.into_iter().collect();
    let handle = Handle::Single(Kind::Email).number();
    let Masked::Replaced(cells) = policy("{}").mask(handle, &batch, &[]) else { panic!("edited") };
    let expected =
        [Some("a***@example.com"), None, Some("b***@example.com"), Some("***"), Some("***")];
    assert_eq!(cells.iter().collect::<Vec<_>>(), expected);
}

/// The quick way and the finders say the same of what is or is not one address.
#[test]
fn an_address_is_one_address_however_it_is_looked_at() {
    let addresses = [
        "ana@example.com",
        "a@b.co",
        "ana.b-c_d@mail.example.co.uk",
        "x1@1.example",
        "ana@-a.example",
        "ana@example.com",
        "_a@example.org",
        "sk-ant-api@example.com",
    ];
    let others = [
        "ana",
        "ana@",
        "@example.com",
        "ana@example",
        "ana@example.c",
        "ana@example.c0m",
        "a@b.png",
        ".ana@example.com",
        "-ana@example.com",
        "ana@example.com.",
        "ana@example..com",
        "ana@.com",
        "ana@example.com,bob@example.org",
        "ana@@example.com",
        "ana@b@example.com",
        "ana bob@x.com",
        "ana@example.com:5432",
        "ana;bob@example.com",
        "ana@example.com;",
        "ana\\bob@example.com",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345@example.com",
        "ana@exa_mple.com",
        "AKIA0123456789ABCDEF@example.com",
        "+14155552671",
        "a@EXAMPLE.PNG",
        "ana@exa mple.com",
    ];
    let handle = Handle::Single(Kind::Email);
    for (values, is_one) in [(&addresses[..], true), (&others[..], false)] {
        for value in values {
            for before in [0, 1, 40, 63, 64, 65] {
                let filler = "x".repeat(before);
                let after = masked("{}", handle, &[&filler, value, "bob@example.com"]);
                let shows = after[1] != "***" && after[1].contains('@');
                assert_eq!(shows, is_one, "{value}: {}", after[1]);
                assert_eq!(after[2], "b***@example.com");
            }
        }
    }
}
