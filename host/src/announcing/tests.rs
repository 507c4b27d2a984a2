use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use portcullis_approvals::{Facts, Said, Who};
use portcullis_policy::approval::Need;
use portcullis_policy::event::{EventId, RelationTouched};
use portcullis_policy::{Access, Approval, PrincipalKind, Terms};

use super::*;

const ID: &str = "7Q2M9KXA";
const SECRET: &[u8] = b"a secret of bytes";

pub(super) fn view(approvals_needed: u32) -> View {
    let approval = Approval {
        reason: "it changes all rows".into(),
        approvers: vec!["leads".into(), "on-call".into()],
        approvals_needed,
        expires_in_seconds: 300,
    };
    View {
        id: ID.into(),
        standing: Standing::Pending,
        ended_because: None,
        who: Who {
            subject: "bot".into(),
            kind: PrincipalKind::Agent,
            groups: vec!["agents".into()],
            proof: "oidc".into(),
            on_behalf_of: Some("ana".into()),
            client_address: "192.0.2.1:5000".into(),
            application: "<!channel> [click](https://evil.example)".into(),
            role: "bot".into(),
        },
        database: "shop".into(),
        session: 3,
        event: EventId(77),
        revision: 4,
        content: [7; 32],
        fingerprints: vec!["f1".into()],
        facts: Facts {
            text: "UPDATE orders\nSET paid = $1 -- <!channel> \u{202e}[x](https://evil.example)"
                .into(),
            command: "UPDATE".into(),
            message: "query",
            relations: vec![RelationTouched {
                name: "public.orders".into(),
                access: Access::Write,
                columns: vec!["paid".into()],
                labels: vec!["finance".into()],
            }],
            rows_estimated: Some(1_200),
            earlier: vec!["BEGIN".into()],
            in_transaction: true,
            reason: "it changes all rows".into(),
        },
        needs: vec![Need { policy: "20-guard".into(), approval, terms: Terms::default() }],
        granted_by: Vec::new(),
        lease_seconds_max: 0,
        asked_at: 4_000_000_000,
        expires_at: 4_000_000_300,
        ended_at: None,
    }
}

pub(super) fn granted() -> View {
    let said = Said {
        by: "ben".into(),
        proof: "oidc".into(),
        comment: Some("fine".into()),
        at: 4_000_000_010,
    };
    View {
        standing: Standing::Granted,
        granted_by: vec![said],
        ended_at: Some(4_000_000_010),
        ..view(1)
    }
}

/// One request as a webhook got it.
struct Request {
    head: String,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| line.split_once(": ").map(|(name, _)| name.to_lowercase());
        let found = self.head.lines().find(|text| line(text).as_deref() == Some(name))?;
        found.split_once(": ").map(|(_, value)| value.trim())
    }
}

/// A webhook on this machine that answers as it is told, once for each answer.
struct Room {
    address: String,
    heard: Receiver<Request>,
    thread: JoinHandle<()>,
}

impl Room {
    fn answering(answers: &'static [&'static str]) -> Room {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/services/T0/hush", listener.local_addr().unwrap());
        let (hear, heard) = mpsc::channel();
        let thread = thread::spawn(move || {
            for answer in answers {
                serve(&listener.accept().unwrap().0, answer, &hear);
            }
        });
        Room { address, heard, thread }
    }

    /// All that it got, when it has given all its answers.
    fn requests(self) -> Vec<Request> {
        self.thread.join().unwrap();
        self.heard.try_iter().collect()
    }
}

fn serve(mut stream: &TcpStream, answer: &str, hear: &Sender<Request>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "the client went away");
    }
    let mut request = Request { head, body: String::new() };
    let length = request.header("content-length").unwrap().parse().unwrap();
    reader.take(length).read_to_string(&mut request.body).unwrap();
    hear.send(request).unwrap();
    write!(stream, "HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n").unwrap();
}

fn hook(address: &str, secret: Option<&[u8]>) -> Hook {
    // An error means that another test was faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().redirect(redirect::Policy::none()).timeout(TIMEOUT);
    Hook {
        url: address.parse().unwrap(),
        format: WebhookFormat::Generic,
        secret: secret.map(<[u8]>::to_vec),
        public_url: Some("https://portcullis.example".into()),
        links: Links::new().unwrap(),
        client: client.build().unwrap(),
        backoff: Duration::ZERO,
    }
}

#[test]
fn what_is_passing_is_tried_again_and_what_is_lasting_is_not() {
    let check = |answers: &'static [&'static str], expected: Result<(), &str>| {
        let room = Room::answering(answers);
        let delivered = hook(&room.address, None).deliver(&view(1));
        assert_eq!(delivered, expected.map_err(str::to_owned), "{answers:?}");
        assert_eq!(room.requests().len(), answers.len(), "{answers:?}");
    };
    check(&["200 OK"], Ok(()));
    check(&["204 No Content"], Ok(()));
    check(&["500 Oops", "200 OK"], Ok(()));
    check(&["429 Slow\r\nretry-after: 0", "503 Busy", "408 Late", "200 OK"], Ok(()));
    check(
        &["400 Bad\r\ncontent-length: 14\r\n\r\ninvalid_blocks"],
        Err("400 Bad Request: \"invalid_blocks\""),
    );
    check(&["403 No"], Err("403 Forbidden: \"\""));
    check(&["302 Found\r\nlocation: http://127.0.0.1:9/"], Err("302 Found: \"\""));
    check(&["500 No"; 5], Err("500 Internal Server Error: \"\", 5 times"));
}

#[test]
fn a_failure_does_not_tell_the_address() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reason =
        hook(&format!("http://{gone}/services/T0/hush"), None).deliver(&view(1)).unwrap_err();
    assert!(reason.ends_with("5 times"), "{reason}");
    assert!(!reason.contains("hush"), "{reason}");
}

#[test]
fn a_message_is_signed_over_time_and_body() {
    let room = Room::answering(&["500 Oops", "200 OK"]);
    hook(&room.address, Some(SECRET)).deliver(&view(1)).unwrap();
    for request in room.requests() {
        let header = request.header(signature::HEADER).unwrap();
        let sent_at = header.strip_prefix("t=").and_then(|rest| rest.split_once(',')).unwrap().0;
        let sent_at: u64 = sent_at.parse().unwrap();
        assert!(sent_at.abs_diff(seconds_now()) < 60);
        assert_eq!(header, signature::sign(SECRET, sent_at, request.body.as_bytes()));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
    let room = Room::answering(&["200 OK"]);
    hook(&room.address, None).deliver(&view(1)).unwrap();
    assert_eq!(room.requests()[0].header(signature::HEADER), None);
}

#[test]
fn there_is_a_link_for_each_approver_while_it_waits() {
    let check = |view: &View, expected: usize| {
        let hook = hook("http://127.0.0.1:9/", None);
        let links = hook.links(view).unwrap();
        assert_eq!(links.len(), expected);
        for link in links {
            let token = link.strip_prefix("https://portcullis.example/approve/").unwrap();
            assert_eq!(hook.links.redeem(token, view.expires_at - 1), Ok(ID.to_owned()));
        }
    };
    check(&view(1), 1);
    check(&view(2), 2);
    check(&view(1_000), 5);
    check(&granted(), 0);
    let hook = Hook { public_url: None, ..hook("http://127.0.0.1:9/", None) };
    assert!(hook.links(&view(1)).unwrap().is_empty());
}

fn start(address: &str) -> Announcing {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = address.parse().unwrap();
    let webhook = WebhookConfig { url, format: WebhookFormat::Slack, secret: None };
    let public_url = Some("https://portcullis.example/".to_owned());
    Announcing::start(&[webhook], public_url, Links::new().unwrap()).unwrap()
}

#[test]
fn what_waits_and_how_it_ends_is_told_in_order_and_before_the_end() {
    let room = Room::answering(&["200 OK", "200 OK"]);
    let announcing = start(&room.address);
    announcing.announce(&View { expires_at: 1, ..view(1) });
    announcing.announce(&view(1));
    announcing.announce(&granted());
    drop(announcing);
    let requests = room.requests();
    let bodies: Vec<&str> = requests.iter().map(|request| request.body.as_str()).collect();
    assert_eq!(bodies.len(), 2, "what has expired is told to nobody");
    assert!(bodies[0].contains("bot waits"), "{}", bodies[0]);
    assert!(bodies[0].contains("https://portcullis.example/approve/"), "{}", bodies[0]);
    assert!(bodies[1].contains("of bot: granted"), "{}", bodies[1]);
}

#[test]
fn a_webhook_that_does_not_answer_delays_nobody() {
    // It takes connections, and no more.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut announcing = start(&format!("http://{}/", deaf.local_addr().unwrap()));
    announcing.grace = Duration::ZERO;
    let before = Instant::now();
    for _ in 0..QUEUE_MAX + 10 {
        announcing.announce(&view(1));
    }
    let dropped = announcing.queues[0].dropped.load(Ordering::Relaxed);
    assert!((9..=10).contains(&dropped), "{dropped}");
    drop(announcing);
    assert!(before.elapsed() < TIMEOUT);
}
