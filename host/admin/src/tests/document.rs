//! The description is held against the routes, and answers against the description.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::operation::Operation;
use crate::role::Need;

pub fn document() -> Value {
    serde_json::from_str(include_str!("../api/openapi.json")).unwrap()
}

#[test]
fn the_description_has_every_route_and_no_other() {
    let document = document();
    let mut described = BTreeSet::new();
    let mut open = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["security"].as_array().is_some_and(Vec::is_empty) {
                open.push(format!("{method} {path}"));
                continue;
            }
            let roles = operation["x-roles"].as_array().unwrap();
            let roles: Vec<&str> = roles.iter().map(|role| role.as_str().unwrap()).collect();
            described.insert(format!("{} {path} {roles:?}", method.to_uppercase()));
            let parameters = operation["parameters"].as_array().map_or(0, Vec::len);
            assert_eq!(parameters, path.matches('{').count(), "{path}");
        }
    }
    let routes = Operation::ALL.map(|operation| {
        let route = operation.route();
        let roles: Vec<&str> = match route.need {
            Need::Login => Vec::new(),
            Need::Role(any) => any.iter().map(|role| role.as_str()).collect(),
        };
        format!("{} {} {roles:?}", format!("{:?}", route.verb).to_uppercase(), route.path)
    });
    assert_eq!(described, BTreeSet::from(routes));
    assert_eq!(open, ["get /v1/login-options"]);
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    let pointer = target.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some(), "{target}");
                }
                members.values().for_each(|member| walk(member, document));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

/// Is `answer` what the description says of this operation's success?
pub fn fits(operation: &str, answer: &Value) {
    let document = document();
    let paths = document["paths"].as_object().unwrap().values();
    let all = paths.flat_map(|methods| methods.as_object().unwrap().values());
    let mut all = all.filter(|described| described["operationId"] == operation);
    let described = all.next().unwrap();
    let responses = &described["responses"];
    let done = responses.get("200").or_else(|| responses.get("201")).unwrap();
    let schema = &done["content"]["application/json"]["schema"];
    check(schema, answer, &document, operation);
}

/// As much of JSON Schema as the description uses.
fn check(schema: &Value, value: &Value, document: &Value, at: &str) {
    if let Some(target) = schema["$ref"].as_str() {
        let schema = document.pointer(target.trim_start_matches('#')).unwrap();
        return check(schema, value, document, at);
    }
    let kinds = schema["type"].as_array().cloned();
    let kinds = kinds.unwrap_or_else(|| vec![schema["type"].clone()]);
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.iter().any(|known| known == kind), "{at} is {kind}, not {kinds:?}");
    if let (Some(words), Value::String(_)) = (schema["enum"].as_array(), value) {
        assert!(words.contains(value), "{at} is {value}");
    }
    if let Some(items) = value.as_array() {
        items.iter().for_each(|item| check(&schema["items"], item, document, at));
    }
    if let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
        for (name, member) in members {
            let described =
                known.get(name).unwrap_or_else(|| panic!("{at}.{name} is not described"));
            check(described, member, document, &format!("{at}.{name}"));
        }
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            assert!(members.contains_key(name), "{at}.{name} is missing");
        }
    }
}
