//! Frames and messages of both sides, packets before login, and who answers what.

use portcullis_proxy::scripted;
use portcullis_wire::frame::cut;
use portcullis_wire::frontend::sasl_initial;
use portcullis_wire::{Expect, Frame, Frontend, Pipeline, backend as views, startup as packets};

const FRAME_BYTES_MAX: usize = 1 << 20;

/// Whole frames, one behind the other. What is cut is what was there, and all of it.
fn frames(data: &[u8]) -> Vec<Frame<'_>> {
    let mut frames: Vec<Frame<'_>> = Vec::new();
    let mut rest = data;
    while let Ok(Some(frame)) = cut(rest, FRAME_BYTES_MAX) {
        assert_eq!(frame.bytes, &rest[..frame.body.len() + 5]);
        assert!(frame.bytes.len() <= FRAME_BYTES_MAX);
        // A frame that is not whole is none yet, and no error.
        let short = cut(&rest[..frame.bytes.len() - 1], FRAME_BYTES_MAX);
        assert!(matches!(short, Ok(None)));
        rest = &rest[frame.bytes.len()..];
        frames.push(frame);
    }
    frames
}

pub fn frontend(data: &[u8]) {
    for frame in frames(data) {
        if let Ok(Frontend::Bind(bind)) = Frontend::read(frame) {
            assert_eq!(bind.parameters().count(), bind.parameter_count);
            for index in 0..bind.parameter_count + 1 {
                bind.parameter_formats.is_binary(index);
                bind.result_formats.is_binary(index);
            }
        }
        let _ = sasl_initial(frame.body);
    }
}

pub fn backend(data: &[u8]) {
    for Frame { body, .. } in frames(data) {
        let _ = views::TransactionStatus::read(body);
        if let Ok(fields) = views::row_description(body) {
            assert!(fields.len() <= body.len());
        }
        if let Ok(cells) = views::data_row(body) {
            let held: usize = cells.iter().map(|cell| 4 + cell.map_or(0, <[u8]>::len)).sum();
            assert_eq!(held + 2, body.len(), "a row is all of its message");
        }
        let _ = views::parameter_description(body);
        if let Ok(fields) = views::notice_fields(body) {
            let held: usize = fields.iter().map(|(_, value)| value.len() + 2).sum();
            assert_eq!(held + 1, body.len(), "an error is all of its message");
        }
        if let Ok(tag) = views::command_tag(body) {
            let _ = views::tag_rows(tag);
        }
        let _ = views::copy_response(body);
        let _ = views::parameter_status(body);
        let _ = views::backend_key(body);
        let _ = views::notification(body);
        let _ = views::authentication(body);
    }
}

pub fn startup(data: &[u8]) {
    let _ = packets::parse(data);
    if let Ok(Some(length)) = packets::packet_bytes(data)
        && let Some(packet) = data.get(..length)
        && let Ok(packets::StartupPacket::Startup(startup)) = packets::parse(packet)
    {
        for (name, value) in &startup.parameters {
            assert!(!name.contains('\0') && !value.contains('\0'));
            assert!(startup.parameter(name).is_some());
        }
    }
}

/// Messages sent and answers in any order. What is asked is answered, skipped, given back or
/// still there, and never twice.
pub fn pipeline(data: &[u8]) {
    const EXPECTED: [Expect; 10] = [
        Expect::Query,
        Expect::Parse,
        Expect::Bind,
        Expect::DescribeStatement,
        Expect::DescribePortal,
        Expect::Execute,
        Expect::Close,
        Expect::Sync,
        Expect::FunctionCall,
        Expect::CopyEnd,
    ];
    const ANSWERS: &[u8] = b"12tTnDCIsGHdcEZVNSA3x";
    let mut pipeline: Pipeline<usize> = Pipeline::default();
    let mut seen = std::collections::HashSet::new();
    for (number, byte) in data.iter().enumerate() {
        if byte % 2 == 0 {
            let expect = EXPECTED[usize::from(byte / 2) % EXPECTED.len()];
            if let Some(back) = pipeline.push(expect, number) {
                assert!(seen.insert(back.payload));
            }
            continue;
        }
        let tag = ANSWERS[usize::from(byte / 2) % ANSWERS.len()];
        match pipeline.answer(tag) {
            Ok(portcullis_wire::Step::Current) => assert!(pipeline.front().is_some()),
            Ok(portcullis_wire::Step::Asynchronous) => assert!(b"NSA".contains(&tag)),
            Ok(portcullis_wire::Step::Done(entry) | portcullis_wire::Step::Ready(entry)) => {
                assert!(seen.insert(entry.payload));
            }
            Ok(portcullis_wire::Step::Failed { failed, skipped }) => {
                assert!(seen.insert(failed.payload));
                skipped.iter().for_each(|entry| assert!(seen.insert(entry.payload)));
            }
            // The connection ends.
            Err(_) => break,
        }
    }
    pipeline.drain().for_each(|entry| assert!(seen.insert(entry.payload)));
}

/// What a balancer says of its client. Nothing behind the header is read.
pub fn proxy_header(data: &[u8]) {
    if let Some((_, rest)) = scripted::proxy_header(data) {
        let header = &data[..data.len() - rest];
        assert!(header.len() <= 4096);
        assert!(header.starts_with(b"PROXY ") || header.starts_with(b"\r\n\r\n\0\r\nQUIT\n"));
        let again = scripted::proxy_header(header);
        assert!(matches!(again, Some((_, 0))), "the header alone says the same");
    }
}
