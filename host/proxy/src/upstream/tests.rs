//! Logins at servers of which some want to be waited for.

use std::time::Duration;

use futures_util::FutureExt;
use portcullis_identity::{MockSecret, ScramServer, UserConfig, Users, Verifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const PASSWORD: &str = "pencil";
/// How long a login is waited for that nobody answers.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a server does with a login whose first message came with the startup packet.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    TakesItUp,
    HangsUp,
    DoesNothing,
    WantsAPassword,
    TrustsAnybody,
    OffersSomethingElse,
    Complains,
    IsStartingUp,
}

/// One login at a server that asks for SCRAM: its connection, and whether its first message came
/// unasked.
async fn serve(listener: &TcpListener, told: Told) -> (TcpStream, bool) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let length = stream.read_u32().await.unwrap() as usize;
    stream.read_exact(&mut vec![0; length - 4]).await.unwrap();
    // What was sent in one go has come in one piece.
    let is_ahead = matches!(stream.peek(&mut [0]).now_or_never(), Some(Ok(1)));
    if is_ahead {
        let error =
            |sqlstate: &str| message(b'E', format!("SFATAL\0C{sqlstate}\0Mno\0\0").as_bytes());
        let answer = match told {
            Told::TakesItUp => None,
            Told::DoesNothing => Some(Vec::new()),
            Told::HangsUp => {
                stream.shutdown().await.unwrap();
                Some(Vec::new())
            }
            Told::WantsAPassword => Some(message(b'R', &3_u32.to_be_bytes())),
            Told::TrustsAnybody => Some(message(b'R', &0_u32.to_be_bytes())),
            Told::OffersSomethingElse => Some(message(b'R', b"\0\0\0\x0aSCRAM-SHA-512\0\0")),
            Told::Complains => Some(error("08P01")),
            Told::IsStartingUp => Some(error("57P03")),
        };
        if let Some(answer) = answer {
            let _ = stream.write_all(&answer).await;
            return (stream, true);
        }
    }
    log_in_by_scram(&mut stream).await;
    (stream, is_ahead)
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode::frame(&mut out, tag, body);
    out
}

async fn read(stream: &mut TcpStream) -> Vec<u8> {
    assert_eq!(stream.read_u8().await.unwrap(), b'p');
    let mut body = vec![0; stream.read_u32().await.unwrap() as usize - 4];
    stream.read_exact(&mut body).await.unwrap();
    body
}

async fn log_in_by_scram(stream: &mut TcpStream) {
    let verifier = Verifier::new(PASSWORD).unwrap();
    let user = UserConfig {
        name: "app".to_owned(),
        verifier: Some(verifier),
        certificates: Vec::new(),
        groups: Vec::new(),
        kind: portcullis_policy::PrincipalKind::Human,
        acts_for: None,
        databases: None,
    };
    let users = Users::new([user], MockSecret::generate().unwrap());
    let mut server = ScramServer::begin(&users, "app", ChannelBinding::Unavailable);
    stream.write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")).await.unwrap();
    let first = read(stream).await;
    let first = first.strip_prefix(b"SCRAM-SHA-256\0").unwrap();
    let challenge = server.first("SCRAM-SHA-256", &first[4..]).unwrap();
    stream
        .write_all(&message(b'R', &[&11_u32.to_be_bytes(), &challenge[..]].concat()))
        .await
        .unwrap();
    let (last, _) = server.finish(&read(stream).await).unwrap();
    let mut out = message(b'R', &[&12_u32.to_be_bytes(), &last[..]].concat());
    out.extend(message(b'R', &0_u32.to_be_bytes()));
    out.extend(message(b'Z', b"I"));
    stream.write_all(&out).await.unwrap();
}

/// Two logins behind a first one that has shown how it goes: whether they succeeded, and of each
/// connection whether its login was begun ahead.
async fn logins(told: Told) -> ([bool; 2], Vec<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = UpstreamSettings {
        endpoint: Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        },
        user: "app".to_owned(),
        database: "shop".to_owned(),
        password: Some(Arc::new(UpstreamKeys::new(PASSWORD.to_owned()))),
        ssl: SslMode::Disable,
        roots: None,
    };
    let patience = if told == Told::DoesNothing { PATIENCE } else { CONNECT_TIMEOUT };
    let connect_within = |patience| {
        let connect = connect(&settings, &[]);
        async move { matches!(tokio::time::timeout(patience, connect).await, Ok(Ok(_))) }
    };
    let (first, (_, is_ahead)) =
        tokio::join!(connect_within(CONNECT_TIMEOUT), serve(&listener, told));
    assert_eq!((first, is_ahead), (true, false), "nothing is known of the server yet");
    let (mut connections, mut ahead) = (Vec::new(), Vec::new());
    let serving = async {
        loop {
            let (connection, is_ahead) = serve(&listener, told).await;
            connections.push(connection);
            ahead.push(is_ahead);
        }
    };
    let both = async { [connect_within(patience).await, connect_within(CONNECT_TIMEOUT).await] };
    let logged_in = tokio::select! {
        logged_in = both => logged_in,
        () = serving => unreachable!("it serves for ever"),
    };
    (logged_in, ahead)
}

#[tokio::test]
async fn a_login_is_begun_before_it_is_asked_for_where_that_is_taken_up() {
    assert_eq!(logins(Told::TakesItUp).await, ([true, true], vec![true, true]));
}

#[tokio::test]
async fn a_server_that_wants_to_be_waited_for_is() {
    for told in [
        Told::HangsUp,
        Told::WantsAPassword,
        Told::TrustsAnybody,
        Told::OffersSomethingElse,
        Told::Complains,
    ] {
        assert_eq!(logins(told).await, ([true, true], vec![true, false, false]), "{told:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_nothing_then_is_waited_for_the_next_time() {
    assert_eq!(logins(Told::DoesNothing).await, ([false, true], vec![true, false]));
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_not_asked_twice() {
    assert_eq!(logins(Told::IsStartingUp).await, ([false, false], vec![true, true]));
}

/// A trigger that runs at the end of a login may have changed what was reported ahead of it.
#[test]
fn what_a_server_reports_last_holds() {
    let mut reported = Reported::default();
    let bodies = [&b"client_encoding\0UTF8\0"[..], b"a\0on\0", b"client_encoding\0SJIS\0"];
    for body in bodies {
        reported.add(body).unwrap();
    }
    for (name, value) in [("client_encoding", Some(&b"SJIS"[..])), ("a", Some(b"on")), ("b", None)]
    {
        assert_eq!(reported.value(name), value, "{name}");
    }
    let all: Vec<u8> = bodies.iter().flat_map(|body| message(b'S', body)).collect();
    assert_eq!(reported.messages(), all);
    for broken in [&b""[..], b"a\0", b"a\0b", b"a\0b\0c"] {
        assert!(reported.add(broken).is_err(), "{broken:?}");
    }
    assert_eq!(reported.messages(), all);
}
