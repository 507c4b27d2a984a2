//! Messages the proxy sends of its own, encoded by `pgwire` from checked parts.

use bytes::BytesMut;
use pgwire::messages::Message;
use pgwire::messages::extendedquery::{Close, Execute, Parse};
use pgwire::messages::response::{ErrorResponse, NoticeResponse};
use pgwire::messages::simplequery::Query;
use pgwire::messages::startup::{
    Authentication, NegotiateProtocolVersion, Password, SASLInitialResponse, SASLResponse,
};

use crate::backend::TransactionStatus;

/// Appends one message. The parts come from the proxy, are short and free of NULs, so the
/// encoder's own size limits never bite; were one to, nothing is appended and the peer's
/// deadline ends the exchange.
fn put(out: &mut Vec<u8>, message: &impl Message) {
    let mut buffer = BytesMut::with_capacity(message.message_length() + 1);
    if message.encode(&mut buffer).is_ok() {
        out.extend_from_slice(&buffer);
    }
}

/// NULs would end a string early and start a field of an attacker's choosing.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A frame of any tag around a body.
pub fn frame(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    out.push(tag);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
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
    put(out, &Authentication::Ok);
}

/// AuthenticationCleartextPassword.
pub fn authentication_cleartext(out: &mut Vec<u8>) {
    frame(out, b'R', &3u32.to_be_bytes());
}

pub fn authentication_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    let mechanisms = mechanisms.iter().map(|&mechanism| mechanism.to_owned()).collect();
    put(out, &Authentication::SASL(mechanisms));
}

pub fn authentication_sasl_continue(out: &mut Vec<u8>, data: Vec<u8>) {
    put(out, &Authentication::SASLContinue(data.into()));
}

pub fn authentication_sasl_final(out: &mut Vec<u8>, data: Vec<u8>) {
    put(out, &Authentication::SASLFinal(data.into()));
}

/// BackendKeyData with a key of any length: 4 bytes in protocol 3.0, more from 3.2 on.
pub fn backend_key(out: &mut Vec<u8>, process_id: u32, key: &[u8]) {
    let mut body = process_id.to_be_bytes().to_vec();
    body.extend_from_slice(key);
    frame(out, b'K', &body);
}

pub fn negotiate_protocol_version(out: &mut Vec<u8>, minor: i32, unsupported: Vec<String>) {
    put(out, &NegotiateProtocolVersion::new(minor, unsupported));
}

/// A startup packet for the upstream.
pub fn startup(out: &mut Vec<u8>, parameters: &[(&str, &str)]) {
    let mut body = 196_608u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend_from_slice(clean(text).as_bytes());
            body.push(0);
        }
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

pub fn sasl_initial(out: &mut Vec<u8>, mechanism: &str, data: Vec<u8>) {
    put(out, &SASLInitialResponse::new(mechanism.to_owned(), Some(data.into())));
}

pub fn sasl_response(out: &mut Vec<u8>, data: Vec<u8>) {
    put(out, &SASLResponse::new(data.into()));
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
    use crate::backend::{field, notice_fields};
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
