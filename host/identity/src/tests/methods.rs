//! Which rule a client meets.

use std::net::IpAddr;

use proptest::prelude::*;

use crate::{LoginRule, Method, Methods, Pattern, is_in, network};

fn rule(method: Method) -> LoginRule {
    LoginRule {
        method,
        listeners: Vec::new(),
        databases: Vec::new(),
        users: Vec::new(),
        addresses: Vec::new(),
        tls: None,
    }
}

fn token() -> Method {
    Method::Token { issuer: "corp".to_owned() }
}

fn browser() -> Method {
    Method::Browser { issuer: "corp".to_owned() }
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().copied().map(Pattern::new).collect()
}

#[test]
fn the_first_rule_that_matches_counts() {
    let methods = Methods::new(vec![
        LoginRule { users: patterns(&["evil*", "root"]), ..rule(Method::Refuse) },
        LoginRule {
            users: patterns(&["svc_*"]),
            addresses: vec![network("10.0.0.0/8").unwrap()],
            ..rule(Method::Scram)
        },
        LoginRule { users: patterns(&["svc_*"]), tls: Some(true), ..rule(Method::Certificate) },
        LoginRule { databases: patterns(&["payroll"]), ..rule(token()) },
        LoginRule { listeners: vec!["people".to_owned()], ..rule(browser()) },
    ]);
    for (listener, database, user, address, tls, expected) in [
        ("main", "shop", "svc_a", "10.1.2.3", false, Method::Scram),
        ("main", "shop", "svc_a", "::ffff:10.1.2.3", true, Method::Scram),
        ("main", "shop", "svc_a", "192.0.2.1", true, Method::Certificate),
        ("main", "shop", "svc_a", "192.0.2.1", false, Method::Refuse),
        ("main", "payroll", "svc_a", "10.1.2.3", true, Method::Scram),
        ("main", "payroll", "ana", "10.1.2.3", true, token()),
        // A token is not asked for where everybody can read it, and no later rule is tried.
        ("main", "payroll", "ana", "10.1.2.3", false, Method::Refuse),
        ("people", "payroll", "ana", "10.1.2.3", false, Method::Refuse),
        ("people", "shop", "ana", "10.1.2.3", false, browser()),
        ("People", "shop", "ana", "10.1.2.3", false, Method::Refuse),
        ("main", "shop", "ana", "10.1.2.3", true, Method::Refuse),
        ("people", "shop", "evil", "10.1.2.3", true, Method::Refuse),
        ("people", "shop", "evil_twin", "10.1.2.3", true, Method::Refuse),
        ("people", "shop", "root", "10.1.2.3", true, Method::Refuse),
        ("people", "shop", "roots", "10.1.2.3", true, browser()),
        ("people", "shop", "SVC_a", "192.0.2.1", true, browser()),
    ] {
        let address: IpAddr = address.parse().unwrap();
        let chosen = methods.choose(listener, database, user, address, tls);
        assert_eq!(chosen, expected, "{listener} {database} {user} {address} {tls}");
    }
}

#[test]
fn without_rules_it_is_a_password() {
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let methods = Methods::new(Vec::new());
    assert_eq!(methods.choose("main", "shop", "ana", address, false), Method::Scram);
}

#[test]
fn networks() {
    for (text, address, expected) in [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.1.2.3/8", "10.200.0.1", true),
        ("10.0.0.0/8", "::ffff:10.0.0.1", true),
        ("::ffff:10.0.0.0/104", "10.0.0.1", true),
        ("::ffff:10.0.0.0/104", "11.0.0.1", false),
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("::1", "::1", true),
    ] {
        let address = address.parse().unwrap();
        assert_eq!(is_in(&[network(text).unwrap()], address), expected, "{text} {address}");
        // Whoever else has read it.
        if let Ok(read) = text.parse() {
            assert_eq!(is_in(&[read], address), expected, "{text} {address}");
        }
    }
    for text in ["", "10.0.0.0/33", "10.0.0", "host.example", "10.0.0.0/-1", "2001:db8::/129"] {
        assert_eq!(network(text), None, "{text}");
    }
}

#[test]
fn patterns_match() {
    for (pattern, name, expected) in [
        ("ana", "ana", true),
        ("ana", "anna", false),
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "anything", true),
        ("svc_*", "svc_", true),
        ("svc_*", "svc", false),
        ("*_svc", "a_svc", true),
        ("*_svc", "a_svc_", false),
        ("ab*ba", "aba", false),
        ("ab*ba", "abba", true),
        ("a*b*c", "a-b-c", true),
        ("a*b*c", "abbc", true),
        ("a*b*c", "acb", false),
        ("a**c", "ac", true),
        ("*a*", "banana", true),
        ("*x*", "banana", false),
        ("?", "a", false),
        ("[a-z]", "a", false),
        ("a.c", "abc", false),
    ] {
        assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
    }
}

/// The definition, slow.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((b'*', rest)), None) => matches(rest, name),
        (Some((b'*', rest)), Some((_, behind))) => matches(rest, name) || matches(pattern, behind),
        (Some(_), None) => false,
        (Some((wanted, rest)), Some((found, behind))) => wanted == found && matches(rest, behind),
    }
}

proptest! {
    #[test]
    fn patterns_match_as_defined(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
        let expected = matches(pattern.as_bytes(), name.as_bytes());
        prop_assert_eq!(Pattern::new(pattern.clone()).matches(&name), expected);
    }
}
