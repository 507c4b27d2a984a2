//! Sinks: deliveries, posts through the host, and their limits.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use portcullis_engine::{Egress, EgressError, EgressResponse};
use portcullis_policy::{Fault, FaultKind};

use crate::harness::{Bench, hostile};

/// Answers 200 for "siem", and keeps what was posted.
#[derive(Default)]
struct Post {
    posted: Mutex<Vec<(String, String, usize)>>,
    /// Each post takes so long.
    delay: Duration,
}

impl Egress for Post {
    fn post(
        &self,
        policy: &str,
        target: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<EgressResponse, EgressError> {
        assert_eq!(content_type, "application/x-ndjson");
        let until = Instant::now() + self.delay;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        let post = (policy.to_owned(), target.to_owned(), body.len());
        self.posted.lock().unwrap().push(post);
        match target {
            "siem" => Ok(EgressResponse { status: 200, body: b"thanks".to_vec() }),
            _ => Err(EgressError::UnknownTarget),
        }
    }
}

fn bench(settings: &str) -> Bench {
    let file = format!(
        "plugin = \"h.wasm\"\n[settings]\n{settings}\n[targets.siem]\nurl = \"https://siem.example.com/\"\n"
    );
    Bench::open(&[("h.wasm", hostile()), ("30-siem.toml", file.as_bytes())])
}

fn deliver(bench: &Bench, post: &Post) -> Result<u32, Fault> {
    bench.engine.sinks().remove(0).deliver(b"{}\n{}\n", &[3, 6], post)
}

#[test]
fn a_sink_posts_through_the_host_and_says_what_it_accepted() {
    let (bench, post) = (bench(""), Post::default());
    let mut sinks = bench.engine.sinks();
    assert_eq!(&**sinks[0].name(), "30-siem");
    assert_eq!(sinks[0].targets()["siem"].url, "https://siem.example.com/");
    // From another thread, as sinks are used, and twice over one instance.
    let accepted = std::thread::scope(|scope| {
        let deliver = || {
            let first = sinks[0].deliver(b"{}\n{}\n", &[3, 6], &post);
            (first, sinks[0].deliver(b"{}\n", &[3], &post))
        };
        scope.spawn(deliver).join().unwrap()
    });
    assert_eq!(accepted, (Ok(2), Ok(1)));
    let sent = |bytes| ("30-siem".to_owned(), "siem".to_owned(), bytes);
    assert_eq!(*post.posted.lock().unwrap(), [sent(6), sent(3)]);
}

#[test]
fn the_deadline_starts_anew_after_each_post() {
    let post = Post { delay: Duration::from_millis(250), ..Post::default() };
    // Three posts of two and a half deadlines each.
    assert_eq!(deliver(&bench("deliver = \"post-twice\""), &post), Ok(2));
    assert_eq!(post.posted.lock().unwrap().len(), 3);
}

#[test]
fn a_sink_that_posts_without_end_is_denied_the_rest() {
    let post = Post::default();
    assert_eq!(deliver(&bench("deliver = \"post-for-ever\""), &post), Ok(0));
    assert_eq!(post.posted.lock().unwrap().len(), 64);
}

#[test]
fn a_sink_that_misbehaves_is_a_fault_and_works_again() {
    for (behaviour, expected) in [
        ("too-many", FaultKind::Malformed),
        ("trap", FaultKind::Trap),
        ("spin", FaultKind::Deadline),
        ("hog", FaultKind::Memory),
        ("flood", FaultKind::Deadline),
    ] {
        let bench = bench(&format!("deliver = \"{behaviour}\""));
        let mut sink = bench.engine.sinks().remove(0);
        for _ in 0..2 {
            let fault = sink.deliver(b"{}\n", &[3], &Post::default()).unwrap_err();
            assert_eq!(fault.kind, expected, "{behaviour}: {fault:?}");
        }
    }
}

#[test]
fn only_a_delivery_may_post() {
    // The same component is a guardrail too; its judgement has no way out.
    let bench = bench("behaviour = \"post\"");
    let verdict = bench.judge("do:post").unwrap();
    assert_eq!(verdict.tags, ["denied"]);
}
