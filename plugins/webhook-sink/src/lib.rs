//! Posts audit records to a webhook, a batch at a time.

use portcullis_plugin_sdk::host::egress;
use portcullis_plugin_sdk::{AuditSink, EgressError, Policy, export};
use serde::Deserialize;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// One record a line.
    Ndjson,
    /// A JSON array of records.
    Array,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Ndjson => "application/x-ndjson",
            Format::Array => "application/json",
        }
    }

    fn body(self, records: &[&[u8]]) -> Vec<u8> {
        match self {
            Format::Ndjson => {
                let mut body = records.join(&b'\n');
                body.push(b'\n');
                body
            }
            Format::Array => [&b"["[..], &records.join(&b','), b"]"].concat(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The name of an entry of the policy's `[targets]`.
    target: String,
    format: Format,
    records_max: usize,
    body_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        let target = "default".to_owned();
        Settings { target, format: Format::Ndjson, records_max: 500, body_bytes_max: 1 << 20 }
    }
}

pub struct WebhookSink {
    settings: Settings,
}

impl Policy for WebhookSink {
    type Settings = Settings;

    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn new(settings: Settings) -> Result<WebhookSink, String> {
        if settings.records_max == 0 || settings.body_bytes_max == 0 {
            return Err("records_max and body_bytes_max must be at least 1".to_owned());
        }
        Ok(WebhookSink { settings })
    }
}

impl AuditSink for WebhookSink {
    fn deliver(&self, events: &[&[u8]]) -> Result<u32, String> {
        let Settings { target, format, .. } = &self.settings;
        let batch = self.batch(events);
        if batch.is_empty() {
            return Ok(0);
        }
        let accepted = u32::try_from(batch.len()).map_err(|error| error.to_string())?;
        match egress::post(target, format.content_type(), &format.body(batch)) {
            Ok(response) => match response.status {
                200..300 => Ok(accepted),
                // The receiver asks for patience; the host offers the records again.
                408 | 429 | 500.. => Ok(0),
                status => {
                    Err(format!("target {target} answered {status}: {}", excerpt(&response.body)))
                }
            },
            Err(EgressError::Timeout | EgressError::Transport(_)) => Ok(0),
            Err(EgressError::UnknownTarget) => Err(format!("the policy has no target {target}")),
            Err(EgressError::Denied) => Err(format!("the host refuses target {target}")),
        }
    }
}

impl WebhookSink {
    /// The leading records that fit one request; at least one, however long.
    fn batch<'a>(&self, events: &'a [&'a [u8]]) -> &'a [&'a [u8]] {
        let mut bytes: usize = 0;
        let fits = |(index, event): &(usize, &&[u8])| {
            bytes = bytes.saturating_add(event.len() + 1);
            *index == 0 || bytes <= self.settings.body_bytes_max
        };
        let count = events.iter().enumerate().take(self.settings.records_max).take_while(fits);
        let count = count.count();
        events.split_at(count).0
    }
}

/// The beginning of an answer, for the operator.
fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(200).collect()
}

export!(audit_sink WebhookSink);

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_plugin_sdk::{Response, testing};
    use std::cell::RefCell;
    use std::rc::Rc;

    const EVENTS: [&[u8]; 3] = [br#"{"a":1}"#, br#"{"b":2}"#, br#"{"c":3}"#];

    type Posted = Rc<RefCell<Vec<(String, String, String)>>>;

    fn deliver(settings: &str, answer: Result<u16, EgressError>) -> (Result<u32, String>, Posted) {
        let sink: WebhookSink = testing::policy(settings).unwrap();
        let posted = Posted::default();
        let seen = Rc::clone(&posted);
        let respond = move |target: &str, content_type: &str, body: &[u8]| {
            let body = String::from_utf8(body.to_vec()).unwrap();
            seen.borrow_mut().push((target.to_owned(), content_type.to_owned(), body));
            answer.clone().map(|status| Response { status, body: b"no such hook".to_vec() })
        };
        (testing::with_egress(respond, || sink.deliver(&EVENTS)), posted)
    }

    #[test]
    fn batches_are_posted_in_the_format_asked_for() {
        let check = |settings: &str, accepted: u32, expected: (&str, &str, &str)| {
            let (result, posted) = deliver(settings, Ok(200));
            assert_eq!(result, Ok(accepted));
            let (target, content_type, body) = posted.borrow().first().unwrap().clone();
            assert_eq!((&*target, &*content_type, &*body), expected);
        };
        let lines = "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n";
        check("{}", 3, ("default", "application/x-ndjson", lines));
        let array = r#"[{"a":1},{"b":2},{"c":3}]"#;
        let settings = r#"{"format": "array", "target": "siem"}"#;
        check(settings, 3, ("siem", "application/json", array));
        let two = "{\"a\":1}\n{\"b\":2}\n";
        check(r#"{"records_max": 2}"#, 2, ("default", "application/x-ndjson", two));
        check(r#"{"body_bytes_max": 16}"#, 2, ("default", "application/x-ndjson", two));
        let one = "{\"a\":1}\n";
        check(r#"{"body_bytes_max": 1}"#, 1, ("default", "application/x-ndjson", one));
    }

    #[test]
    fn answers_say_what_was_accepted() {
        let check = |answer: Result<u16, EgressError>, expected: Result<u32, &str>| {
            let (result, _) = deliver("{}", answer);
            assert_eq!(result.as_ref().map_err(|error| &**error).copied(), expected);
        };
        for status in [200, 202, 204] {
            check(Ok(status), Ok(3));
        }
        for status in [408, 429, 500, 503] {
            check(Ok(status), Ok(0));
        }
        check(Ok(404), Err("target default answered 404: no such hook"));
        check(Ok(301), Err("target default answered 301: no such hook"));
        check(Err(EgressError::Timeout), Ok(0));
        check(Err(EgressError::Transport("reset".to_owned())), Ok(0));
        check(Err(EgressError::UnknownTarget), Err("the policy has no target default"));
        check(Err(EgressError::Denied), Err("the host refuses target default"));
    }

    #[test]
    fn nothing_is_posted_for_no_records() {
        let sink: WebhookSink = testing::policy("{}").unwrap();
        assert_eq!(sink.deliver(&[]), Ok(0));
    }
}
