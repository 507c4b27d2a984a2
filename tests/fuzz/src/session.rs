//! Whole sessions, between a client and a server that say anything.

use std::cell::RefCell;
use std::collections::HashMap;

use portcullis_ledger::Reader;
use portcullis_policy::MaskAction;
use portcullis_proxy::scripted::{
    EMAIL, Frames, Given, PEOPLE, Play, Postgres, Random, Rig, Rules, cells, client_messages,
    log_in_at, messages, refusing,
};
use portcullis_wire::{Frame, Frontend};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::ledger::directory;

/// So many sessions share a worker; then its ledger has grown enough.
const SESSIONS_MAX: u64 = 2_000;
/// A value that nobody may see.
const SECRET: &[u8] = b"nobody-may-see-this";

struct World {
    runtime: Runtime,
    rig: Rig,
    records: Reader,
    sessions: u64,
    _directory: TempDir,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

impl World {
    fn new(rules: Rules) -> World {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let entered = runtime.enter();
        let directory = directory();
        let given = Given { rules, ..Given::default() };
        let rig = Rig::new(directory.path(), given).expect("a ledger");
        drop(entered);
        let records = Reader::open(rig.ledger.directory()).expect("a ledger");
        World { runtime, rig, records, sessions: 0, _directory: directory }
    }
}

fn with_world(rules: fn() -> Rules, run: impl FnOnce(&mut World)) {
    WORLD.with_borrow_mut(|kept| {
        if kept.as_ref().is_some_and(|world| world.sessions >= SESSIONS_MAX) {
            *kept = None;
        }
        let world = kept.get_or_insert_with(|| World::new(rules()));
        world.sessions += 1;
        let handle = world.runtime.handle().clone();
        let _entered = handle.enter();
        run(world);
    });
}

/// Well-formed messages in any order, answered as PostgreSQL would: the client hears the same
/// from a session as from the server, in whatever pieces the bytes come.
pub fn conversation(data: &[u8]) {
    const AT_ONCE_BYTES: [usize; 5] = [usize::MAX, 1, 3, 7, 64];
    let Some((choice, data)) = data.split_first() else { return };
    let at_once_bytes = AT_ONCE_BYTES[usize::from(*choice) % AT_ONCE_BYTES.len()];
    with_world(Rules::default, |world| {
        let random = Random::new(data);
        if let Err(why) = random.check(&mut world.rig, at_once_bytes) {
            panic!("{at_once_bytes} bytes at once: {why}\n{}", random.shown());
        }
    });
}

/// Hides every value, limits what is read of one relation, and refuses as scripts do.
fn hiding() -> Rules {
    Rules::new(
        |statement, parameters| {
            let mut verdict = refusing(statement, parameters);
            let limited = statement.relations.iter().any(|used| used.name.ends_with("notes"));
            verdict.limit_rows = limited.then_some(2);
            verdict
        },
        |_| MaskAction::Nullify,
    )
}

/// Any bytes of a client and of a server, in any order.
pub fn session(data: &[u8]) {
    with_world(hiding, |world| {
        let mut play = world.rig.play();
        let mut said = Said::default();
        said.play(&mut play, &world.rig, data);
        said.end(&mut play);
        check_client(&said);
        check_server(&said, &records(world, play.number));
    });
}

/// All that was said and heard.
#[derive(Default)]
struct Said {
    by_client: Vec<u8>,
    to_client: Vec<u8>,
    to_server: Vec<u8>,
    /// The client has gone: what was on its way to it is lost.
    gone: bool,
    postgres: Postgres,
}

impl Said {
    fn play(&mut self, play: &mut Play, rig: &Rig, data: &[u8]) {
        let (client, server) = (client_messages(), server_messages());
        let mut rest = data;
        while let Some((op, after)) = rest.split_first() {
            rest = after;
            match op {
                0x00..=0x6f => {
                    self.client_says(play, client[usize::from(*op) % client.len()].bytes())
                }
                0x70..=0x9f => play.server.send(server[usize::from(*op) % server.len()].bytes()),
                0xa0..=0xa7 => self.answer(play),
                0xa8..=0xad => {
                    let (count, after) = rest.split_first().unwrap_or((&0, &[]));
                    let (bytes, after) = after.split_at(usize::from(*count).min(after.len()));
                    rest = after;
                    match op % 2 {
                        0 => self.client_says(play, bytes),
                        _ => play.server.send(bytes),
                    }
                }
                0xb0 | 0xb1 => {
                    self.gone = true;
                    if *op == 0xb0 { play.client.close() } else { play.client.reset() }
                }
                0xb2 => play.server.close(),
                0xb3 => play.server.reset(),
                0xb4 => play.client.take_at_most(64),
                0xb5 => play.client.take_at_most(usize::MAX),
                0xb6 => play.server.take_at_most(64),
                0xb7 => play.server.take_at_most(usize::MAX),
                0xb8 => play.client.pass_at_once(1),
                0xb9 => play.server.pass_at_once(3),
                0xba => rig.publish(hiding()),
                0xbb => rig.end(play.number, "scripted"),
                _ => self.settle(play),
            }
        }
    }

    fn client_says(&mut self, play: &Play, bytes: &[u8]) {
        self.by_client.extend_from_slice(bytes);
        play.client.send(bytes);
    }

    fn settle(&mut self, play: &mut Play) {
        play.settle();
        self.to_client.extend(play.client.receive());
        self.to_server.extend(play.server.receive());
    }

    /// The server answers what it has heard since it answered last, as PostgreSQL would.
    fn answer(&mut self, play: &mut Play) {
        let before = self.to_server.len();
        self.settle(play);
        let heard = self.to_server.get(before..).unwrap_or_default();
        play.server.send(&self.postgres.answer(heard));
        self.settle(play);
    }

    /// Everybody takes what there is, and both leave: the answers to a client that says nothing
    /// more are waited for.
    fn end(&mut self, play: &mut Play) {
        for peer in [&play.client, &play.server] {
            peer.take_at_most(usize::MAX);
        }
        self.settle(play);
        play.client.close();
        self.settle(play);
        play.server.close();
        self.settle(play);
        assert!(play.is_over(), "a session outlives its peers");
        self.settle(play);
    }
}

/// Answers, right ones and others, to whatever was asked.
fn server_messages() -> Vec<Frames> {
    let new = Frames::new;
    let people = [("id", (PEOPLE, 1), 23), ("name", (PEOPLE, 2), 25), ("email", EMAIL, 25)];
    let unknown = [("x", (0, 0), 25), ("y", (99_999, 1), 90_001)];
    let long = vec![b'x'; 5_000];
    vec![
        new().raw(b'1', b""),
        new().raw(b'2', b""),
        new().raw(b'3', b""),
        new().raw(b'n', b""),
        new().raw(b't', b"\0\0"),
        new().raw(b's', b""),
        new().raw(b'I', b""),
        new().raw(b'V', b"\xff\xff\xff\xff"),
        new().columns(&people),
        new().columns(&unknown),
        new().columns(&[]),
        new().row(&[Some(b"1"), Some(SECRET), Some(SECRET)]),
        new().row(&[Some(SECRET), Some(SECRET)]),
        new().row(&[Some(SECRET)]),
        new().row(&[Some(&long), None, Some(SECRET)]),
        new().row(&[]),
        new().raw(b'D', b"\0\x03\0\0\0\x01x\xff\xff\xff\xfe"),
        new().raw(b'D', b"\0\x03\0\0\0\x7fx"),
        new().complete("SELECT 1"),
        new().complete("INSERT 0 1"),
        new().complete("BEGIN"),
        new().complete(""),
        new().ready(b'I'),
        new().ready(b'T'),
        new().ready(b'E'),
        new().ready(b'?'),
        new().error("22012", "division by zero"),
        new().error("57014", "canceling statement due to user request"),
        new().error("42601", "syntax error at or near \"portcullis_denied_0\""),
        new().raw(b'E', b"SERROR\0Mno code\0\0"),
        new().raw(b'E', b"SERROR"),
        new().fatal("57P01", "terminating connection"),
        new().notice("a notice"),
        new().raw(b'N', b"\0"),
        new().parameter("client_encoding", "UTF8"),
        new().parameter("client_encoding", "SJIS"),
        new().parameter("standard_conforming_strings", "off"),
        new().parameter("search_path", "x"),
        new().raw(b'A', &[&[0, 0, 0, 1][..], b"channel\0payload\0"].concat()),
        new().copy(b'G', 2),
        new().copy(b'H', 2),
        new().copy(b'H', 3),
        new().copy_data(&[SECRET, b"\t", SECRET, b"\n"].concat()),
        new().copy_data(b"1\thalf of a"),
        new().copy_done(),
        new().raw(b'D', &[0xff; 40]),
        new().raw(b'R', b"\0\0\0\0"),
        new().raw(b'W', b"\0\0\0"),
    ]
}

/// What the client gets are whole messages of a server's, with no value that was not hidden.
fn check_client(said: &Said) {
    let (heard, rest) = messages(&said.to_client);
    assert!(rest.is_empty() || said.gone, "half a message: {rest:?}");
    let ready = heard.iter().filter(|(tag, _)| *tag == b'Z').count();
    let (asked, _) = messages(&said.by_client);
    let ends = asked.iter().filter(|(tag, _)| b"QFS".contains(tag)).count();
    assert!(ready <= ends, "{ready} times ready for {ends}");
    for (tag, body) in &heard {
        assert!(b"123CDEGHINSTVWZAcdnst".contains(tag), "{tag} is no message of a server's");
        assert!(*tag != b'Z' || b"ITE".contains(&body[0]), "{body:?} is no transaction status");
        if *tag == b'D' {
            let cells = cells(body).expect("a row that can be read");
            assert!(cells.iter().all(Option::is_none), "a value that is not hidden: {cells:?}");
        }
        let shows = body.windows(SECRET.len()).any(|part| part == SECRET);
        assert!(!shows || *tag != b'd', "COPY data that is not hidden");
    }
}

/// What reaches the server and carries a statement has a record, and what is recorded ends once.
fn check_server(said: &Said, records: &Records) {
    let (heard, _) = messages(&said.to_server);
    check_silence_behind_refusals(&heard);
    let mut sent: HashMap<&str, usize> = HashMap::new();
    for (tag, body) in &heard {
        let frame = Frame { tag: *tag, body, bytes: body };
        let message = Frontend::read(frame).expect("a message that a server can read");
        let own = |text: &[u8]| {
            text.starts_with(b"portcullis_denied_")
                || text.starts_with(b"select pg_catalog.current_setting(")
        };
        let text = match message {
            Frontend::Query { text } if own(text) => continue,
            Frontend::Execute { portal, .. } if own(portal) => continue,
            Frontend::Query { text } => {
                *sent.entry("query").or_default() += 1;
                text
            }
            Frontend::Parse { text, .. } => text,
            Frontend::Bind(_) => {
                *sent.entry("bind").or_default() += 1;
                continue;
            }
            Frontend::Execute { .. } => {
                *sent.entry("execute").or_default() += 1;
                continue;
            }
            Frontend::FunctionCall { .. } => {
                *sent.entry("function-call").or_default() += 1;
                continue;
            }
            _ => continue,
        };
        let refused = ["forbidden", "refuse this"].iter().any(|word| {
            let canned = text.len() < 60 && text.starts_with(b"select id from");
            (canned || text.starts_with(b"refuse"))
                && text.windows(word.len()).any(|part| part == word.as_bytes())
        });
        assert!(!refused, "what was refused reached the server: {}", text.escape_ascii());
    }
    let permitted = |message: &str| records.permitted.get(message).copied().unwrap_or_default();
    let sent = |message: &str| sent.get(message).copied().unwrap_or_default();
    // A text of several statements has a record for each, an empty one none.
    let empty = heard.iter().filter(|(tag, body)| *tag == b'Q' && is_blank(body)).count();
    assert!(sent("query") <= permitted("query") + empty, "a query without a record");
    assert!(sent("function-call") <= permitted("function-call"), "a call without a record");
    // An Execute takes over its Bind's record.
    let empty = heard.iter().filter(|(tag, body)| *tag == b'P' && is_blank(body)).count();
    if empty == 0 {
        assert!(sent("bind") <= permitted("bind"), "a Bind without a record");
        assert!(sent("execute") <= permitted("bind") + permitted("execute"), "an Execute without");
    }
    for (event, outcomes) in &records.outcomes {
        assert_eq!(*outcomes, 1, "event {event} has {outcomes} outcomes");
    }
}

/// Nothing of the client's goes to the server between a refusal in the extended protocol and the
/// Sync behind it. A Flush of the proxy's own asks for nothing, and the end may come at any time.
fn check_silence_behind_refusals(heard: &[(u8, Vec<u8>)]) {
    let mut refused = false;
    for (tag, body) in heard {
        match tag {
            b'E' if body.starts_with(b"portcullis_denied_") => refused = true,
            b'S' => refused = false,
            b'H' | b'X' => {}
            _ => {
                let tag = char::from(*tag);
                assert!(!refused, "{tag}({}) behind a refusal", body.escape_ascii());
            }
        }
    }
}

/// A text in which there may be no statement.
fn is_blank(body: &[u8]) -> bool {
    !body.iter().any(|byte| byte.is_ascii_alphabetic())
        || body.windows(2).any(|part| part == b"--" || part == b"/*")
        || body.starts_with(&[0, 0])
        || body.get(1..3) == Some(&[0, 0])
}

#[derive(Default)]
struct Records {
    /// How many intents were permitted, by message.
    permitted: HashMap<String, usize>,
    /// How many outcomes each intent has.
    outcomes: HashMap<String, usize>,
}

/// What the ledger says of a session.
fn records(world: &mut World, session: u64) -> Records {
    let mut found = Records::default();
    world.rig.pass_on();
    for record in &mut world.records {
        let record = record.expect("a record");
        let record = record.fields().expect("JSON");
        if record["session"] != session {
            continue;
        }
        let event = || record["event"].as_str().unwrap_or_default().to_owned();
        match record["kind"].as_str() {
            Some("intent") => {
                found.outcomes.entry(event()).or_default();
                if record["decision"] == "permitted" {
                    let message = record["message"].as_str().unwrap_or_default().to_owned();
                    *found.permitted.entry(message).or_default() += 1;
                }
            }
            Some("outcome") => *found.outcomes.entry(event()).or_default() += 1,
            _ => {}
        }
    }
    found
}

/// What a server says while the proxy logs in. What a client is told of it is what it reported of
/// its parameters, message by message.
pub fn upstream_login(data: &[u8]) {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
    }
    // What it costs to derive keys is no matter of reading, and no server knows the client's nonce.
    let reported = RUNTIME.with(|runtime| runtime.block_on(log_in_at(data)));
    let mut rest = reported.as_deref().unwrap_or_default();
    while !rest.is_empty() {
        let frame = portcullis_wire::frame::cut(rest, data.len()).expect("what was checked");
        let frame = frame.expect("a whole message");
        assert_eq!(frame.tag, b'S');
        portcullis_wire::backend::parameter_status(frame.body).expect("what was checked");
        rest = &rest[frame.bytes.len()..];
    }
}
