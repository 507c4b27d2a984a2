//! Messages the proxy sends of its own: those that every login takes are put together here, the others
//! encoded by `pgwire` from checked parts.

use bytes::BytesMut;
use pgwire::messages::Message;
use pgwire::messages::extendedquery::{Close, Execute, Parse};
use pgwire::messages::response::{ErrorResponse, NoticeResponse};
use pgwire::messages::simplequery::Query;
use pgwire::messages::startup::{NegotiateProtocolVersion, Password};

use crate::backend::TransactionStatus;
use crate::frame::HEADER_BYTES;

/// Appends one message. The parts come from the proxy, are short and free of NULs, so the
/// encoder's own size limits never bite; were one to, nothing is appended and the peer's
/// deadline ends the exchange.
fn put(out: &mut Vec<u8>, message: &impl Message) {
    let mut buffer = BytesMut::with_capacity(message.message_length() + 1);
    if message.encode(&mut buffer).is_ok() {
        out.extend_from_slice(&buffer);
    }
}

const NUL: char = '\0';
const REPLACED: &str = "\u{fffd}";

/// NULs would end a string early and start a field of an attacker's choosing.
fn clean(text: &str) -> String {
    text.replace(NUL, REPLACED)
}

/// Appends a text without NULs, and the one that ends it.
fn string(out: &mut Vec<u8>, text: &str) {
    let mut parts = text.split(NUL);
    out.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        out.extend_from_slice(REPLACED.as_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out.push(0);
}

/// A frame of any tag around a body.
pub fn frame(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    frame_of(out, tag, &[body]);
}

/// A frame of any tag around a body that is in parts.
fn frame_of(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(body + 4).unwrap_or(u32::MAX);
    out.reserve(HEADER_BYTES + body);
    out.push(tag);
    out.extend_from_slice(&length.to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// What an error or notice says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub sqlstate: &'static str,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Report {
    fn fields(&self, severity: &str) -> Vec<(u8, String)> {
        let mut fields = vec![
            (b'S', severity.to_owned()),
            (b'V', severity.to_owned()),
            (b'C', self.sqlstate.to_owned()),
            (b'M', clean(&self.message)),
        ];
        fields.extend(self.detail.as_deref().map(|detail| (b'D', clean(detail))));
        fields.extend(self.hint.as_deref().map(|hint| (b'H', clean(hint))));
        fields
    }
}

/// An ErrorResponse after which the session goes on.
pub fn error(out: &mut Vec<u8>, report: &Report) {
    put(out, &ErrorResponse::new(report.fields("ERROR")));
}

/// An ErrorResponse after which the session ends.
pub fn fatal(out: &mut Vec<u8>, report: &Report) {
    put(out, &ErrorResponse::new(report.fields("FATAL")));
}

pub fn notice(out: &mut Vec<u8>, report: &Report) {
    put(out, &NoticeResponse::new(report.fields("NOTICE")));
}

pub fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    frame(out, b'Z', &[status.byte()]);
}

pub fn authentication_ok(out: &mut Vec<u8>) {
    frame(out, b'R', &0u32.to_be_bytes());
}

/// AuthenticationCleartextPassword.
pub fn authentication_cleartext(out: &mut Vec<u8>) {
    frame(out, b'R', &3u32.to_be_bytes());
}

/// AuthenticationSASL.
pub fn authentication_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    let mut list = Vec::new();
    mechanisms.iter().for_each(|mechanism| string(&mut list, mechanism));
    frame_of(out, b'R', &[&10u32.to_be_bytes(), &list, &[0]]);
}

pub fn authentication_sasl_continue(out: &mut Vec<u8>, data: &[u8]) {
    frame_of(out, b'R', &[&11u32.to_be_bytes(), data]);
}

pub fn authentication_sasl_final(out: &mut Vec<u8>, data: &[u8]) {
    frame_of(out, b'R', &[&12u32.to_be_bytes(), data]);
}

/// BackendKeyData with a key of any length: 4 bytes in protocol 3.0, more from 3.2 on.
pub fn backend_key(out: &mut Vec<u8>, process_id: u32, key: &[u8]) {
    frame_of(out, b'K', &[&process_id.to_be_bytes(), key]);
}

pub fn negotiate_protocol_version(out: &mut Vec<u8>, minor: i32, unsupported: Vec<String>) {
    put(out, &NegotiateProtocolVersion::new(minor, unsupported));
}

/// A startup packet for the upstream.
pub fn startup(out: &mut Vec<u8>, parameters: &[(&str, &str)]) {
    let mut body = 196_608u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        string(&mut body, name);
        string(&mut body, value);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&body);
}

pub fn ssl_request(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 8, 4, 210, 22, 47]);
}

pub fn cancel_request(out: &mut Vec<u8>, process_id: u32, key: &[u8]) {
    let length = u32::try_from(12 + key.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&80_877_102u32.to_be_bytes());
    out.extend_from_slice(&process_id.to_be_bytes());
    out.extend_from_slice(key);
}

pub fn password(out: &mut Vec<u8>, password: &str) {
    put(out, &Password::new(clean(password)));
}

/// SASLInitialResponse with a first message.
pub fn sasl_initial(out: &mut Vec<u8>, mechanism: &str, data: &[u8]) {
    let mut chosen = Vec::new();
    string(&mut chosen, mechanism);
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    frame_of(out, b'p', &[&chosen, &length.to_be_bytes(), data]);
}

pub fn sasl_response(out: &mut Vec<u8>, data: &[u8]) {
    frame(out, b'p', data);
}

pub fn query(out: &mut Vec<u8>, text: &str) {
    put(out, &Query::new(clean(text)));
}

/// Parse with the parameter types as they came.
pub fn parse(out: &mut Vec<u8>, statement: &str, text: &str, parameter_types: Vec<u32>) {
    put(out, &Parse::new(Some(clean(statement)), clean(text), parameter_types));
}

/// Execute of a portal, all its rows.
pub fn execute(out: &mut Vec<u8>, portal: &str) {
    put(out, &Execute::new(Some(clean(portal)), 0));
}

pub fn close_statement(out: &mut Vec<u8>, statement: &str) {
    put(out, &Close::new(b'S', Some(clean(statement))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Authentication, authentication, field, notice_fields};
    use crate::frame::cut;
    use crate::frontend::Frontend;

    #[test]
    fn an_error_reads_back_and_cannot_smuggle_fields() {
        let mut out = Vec::new();
        let report = Report {
            sqlstate: "42501",
            message: "no\0Hinjected".into(),
            hint: Some("ask".into()),
            ..Report::default()
        };
        error(&mut out, &report);
        let frame = cut(&out, 1024).unwrap().unwrap();
        let fields = notice_fields(frame.body).unwrap();
        assert_eq!(field(&fields, b'C'), Some(&b"42501"[..]));
        assert_eq!(field(&fields, b'H'), Some(&b"ask"[..]));
        assert_eq!(fields.len(), 5);
    }

    #[test]
    fn a_login_reads_back() {
        let mut out = Vec::new();
        authentication_sasl(&mut out, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
        authentication_sasl_continue(&mut out, b"r=1");
        authentication_sasl_final(&mut out, b"v=2");
        authentication_ok(&mut out);
        let mut rest = &out[..];
        for expected in [
            Authentication::Sasl { mechanisms: vec![b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"] },
            Authentication::SaslContinue(b"r=1"),
            Authentication::SaslFinal(b"v=2"),
            Authentication::Ok,
        ] {
            let frame = cut(rest, 1024).unwrap().unwrap();
            assert_eq!((frame.tag, authentication(frame.body).unwrap()), (b'R', expected));
            rest = &rest[frame.bytes.len()..];
        }
        assert!(rest.is_empty());

        let mut out = Vec::new();
        sasl_initial(&mut out, "SCRAM-SHA-256", b"n,,n=,r=1");
        let answer = cut(&out, 1024).unwrap().unwrap();
        let read = crate::frontend::sasl_initial(answer.body).unwrap();
        assert_eq!((answer.tag, read), (b'p', (&b"SCRAM-SHA-256"[..], Some(&b"n,,n=,r=1"[..]))));
    }

    #[test]
    fn a_startup_packet_has_no_more_parameters_than_it_was_given() {
        let mut out = Vec::new();
        startup(&mut out, &[("user", "app\0database\0other"), ("database", "shop")]);
        let expected = "\0\x03\0\0user\0app\u{fffd}database\u{fffd}other\0database\0shop\0\0";
        let length = u32::try_from(expected.len() + 4).unwrap();
        assert_eq!(out, [&length.to_be_bytes(), expected.as_bytes()].concat());
    }

    #[test]
    fn what_is_sent_upstream_reads_back() {
        let mut out = Vec::new();
        query(&mut out, "select 1");
        parse(&mut out, "s", "select $1", vec![25]);
        execute(&mut out, "p");
        close_statement(&mut out, "s");
        let mut rest = &out[..];
        for expected in ["Query", "Parse", "Execute", "Close"] {
            let frame = cut(rest, 1024).unwrap().unwrap();
            let message = format!("{:?}", Frontend::read(frame).unwrap());
            assert!(message.starts_with(expected), "{message}");
            rest = &rest[frame.bytes.len()..];
        }
        assert!(rest.is_empty());
    }
}
