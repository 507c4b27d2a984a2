use std::collections::HashSet;

use super::*;

fn pseudonyms(domain: &str) -> Pseudonyms {
    let keys = Keys::new([("k".to_owned(), b"secret".to_vec())]);
    let wanted = mask::Pseudonym { key_name: "k".into(), domain: domain.into() };
    Pseudonyms::new(&wanted, &keys).expect("the key is there")
}

fn typed(kind: Kind, text: &str) -> Option<String> {
    let mut out = String::new();
    pseudonyms("d").write_typed(kind, text, &mut out).map(|()| out)
}

fn text(domain: &str, text: &str) -> String {
    let mut out = Vec::new();
    pseudonyms(domain).write_text(text, &mut out);
    String::from_utf8(out).expect("a pseudonym is UTF-8")
}

/// The value with each digit and letter replaced by what stands for its kind.
fn form(text: &str) -> String {
    let class = |letter: char| match letter {
        '0'..='9' => '9',
        _ if letter.is_uppercase() => 'A',
        _ if letter.is_alphabetic() => 'a',
        _ => letter,
    };
    text.chars().map(class).collect()
}

#[test]
fn the_form_of_a_text_is_kept_and_the_text_is_not() {
    for value in [
        "anna.smith@example.com",
        "+43 (0)660 123-45-67",
        "4111 1111 1111 1111",
        "AT61 1904 3002 3457 3201",
        "Ångström Müller",
        "Ольга Иванова",
        "Ωμέγα",
        "王小明",
        "ẞtraße",
    ] {
        let image = text("d", value);
        assert_ne!(image, value);
        assert_eq!(form(&image), form(value), "{value} became {image}");
        assert_eq!(image, text("d", value), "equal values stay equal");
        assert_ne!(image, text("e", value), "domains are apart");
    }
    assert_eq!(text("d", " -- "), " -- ", "what is neither digit nor letter stays");
    assert_eq!(text("d", ""), "");
}

#[test]
fn different_values_of_one_form_stay_different() {
    let check = |kind: Kind, values: &mut dyn Iterator<Item = String>| {
        let mut images = HashSet::new();
        for value in values {
            let image = typed(kind, &value).expect("the type has pseudonyms");
            assert_eq!(form(&image), form(&value));
            assert!(images.insert(image.clone()), "{image} twice");
        }
    };
    check(Kind::Number(Number::Int4), &mut (0..2000).map(|number: i32| number.to_string()));
    check(Kind::Number(Number::Int2), &mut (32_000..=32_767).map(|number: i32| number.to_string()));
    check(
        Kind::Number(Number::Int2),
        &mut (32_000..=32_768).map(|number: i32| format!("-{number}")),
    );
    check(Kind::Temporal(Temporal::Date), &mut (1..=28).map(|day| format!("2024-02-{day:02}")));
    check(Kind::Number(Number::Numeric), &mut (10..60).map(|cents| format!("1.{cents}")));
}

#[test]
fn typed_values_stay_within_their_type() {
    let check = |kind: Kind, value: &str, holds: &dyn Fn(&str) -> bool| {
        let image = typed(kind, value).expect("the type has pseudonyms");
        assert!(holds(&image), "{value} became {image}");
        let mut bytes = Vec::new();
        assert!(crate::codec::encode(kind, &image, &mut bytes).is_some(), "{image}");
    };
    for value in ["2147483647", "-2147483648", "1000000000", "-7", "0"] {
        check(Kind::Number(Number::Int4), value, &|image| image.len() == value.len());
    }
    check(Kind::Number(Number::Int8), "9223372036854775807", &|image| image.len() == 19);
    check(Kind::Number(Number::Oid), "4294967295", &|image| image.len() == 10);
    check(Kind::Number(Number::Numeric), "-1234.50", &|image| {
        image.len() == 8 && image.starts_with('-')
    });
    check(Kind::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", &|image| {
        image.as_bytes()[14] == b'4' && matches!(image.as_bytes()[19], b'8' | b'9' | b'a' | b'b')
    });
    check(Kind::Temporal(Temporal::Date), "1984-05-17", &|image| image.starts_with("198"));
    check(Kind::Temporal(Temporal::Timestamp), "1984-05-17 10:20:30", &|image| {
        image.starts_with("198") && image.len() == 19
    });
    check(Kind::Temporal(Temporal::TimestampTz), "1984-05-17 10:20:30.5+02", &|image| {
        image.ends_with("+02")
    });
    assert_eq!(typed(Kind::Temporal(Temporal::Date), "infinity").as_deref(), Some("infinity"));
    assert_eq!(typed(Kind::Number(Number::Numeric), "NaN"), None);
    assert_eq!(typed(Kind::Bool, "t"), None);
}

#[test]
fn integers_of_several_types_agree() {
    for value in ["7", "123", "-45678"] {
        assert_eq!(
            typed(Kind::Number(Number::Int4), value),
            typed(Kind::Number(Number::Int8), value)
        );
        assert_eq!(
            typed(Kind::Number(Number::Int4), value),
            typed(Kind::Number(Number::Numeric), value)
        );
    }
}

#[test]
fn without_a_key_there_is_no_pseudonym() {
    let keys = Keys::new([("empty".to_owned(), Vec::new())]);
    for key_name in ["empty", "other"] {
        let wanted = mask::Pseudonym { key_name: key_name.into(), domain: String::new() };
        assert!(Pseudonyms::new(&wanted, &keys).is_none(), "{key_name}");
    }
}
