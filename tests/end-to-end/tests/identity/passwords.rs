//! SCRAM through the proxy: what it gives away, what it takes, and how guessing is slowed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use end_to_end::frames::{PROTOCOL_3_0, Session, startup_packet};
use end_to_end::portcullis::{ANA, DATABASE, PASSWORD, User};
use end_to_end::{Database, Portcullis, Setup, cluster};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::message::frontend;

use super::arrival::{Arrival, Proof};
use super::{principal, record};

const SCRAM: &str = "SCRAM-SHA-256";
/// A user whom a certificate alone lets in.
const CERTIFIED: &str = "[[user]]\nname = \"certified\"\ncertificates = [\"cn:certified\"]";
/// May name no database that is there for it.
const ELSEWHERE: User = User { name: "elsewhere", kind: "human", groups: &[] };

fn by_password(database: &Database) -> Setup {
    Setup::new(database).unmatched("allow").section(CERTIFIED)
}

fn told(user: &str) -> String {
    format!("out: 28P01 authentication failed for user \"{user}\"")
}

/// What a guess at somebody's password is answered with, apart from nonces and whose it is.
async fn exchange(portcullis: &Portcullis, user: &str) -> (Vec<String>, String) {
    let arrival = Arrival::of(portcullis, user).newly_come();
    let answer = arrival.arrive(Proof::Password("a guess")).await;
    (answer.asked.clone(), answer.verdict().replace(user, "<user>"))
}

/// Salt and iterations in the form they have: `s` of so many characters.
fn form(asked: &[String]) -> Vec<String> {
    let salt = |word: &str| match word.split_once("s=") {
        Some((before, rest)) => {
            let (salt, after) = rest.split_once(',').expect("iterations");
            format!("{before}s of {},{after}", salt.len())
        }
        None => word.to_owned(),
    };
    asked.iter().map(|word| salt(word)).collect()
}

#[tokio::test]
async fn nobody_learns_who_there_is() {
    let database = cluster().await.database().await;
    let mut portcullis = by_password(&database).start().await;
    let (asked, verdict) = exchange(&portcullis, "ana").await;
    assert_eq!((asked.len(), asked[0].as_str()), (2, SCRAM));
    let names =
        ["nobody", "certified", "pc_abcdefghij", "portcullis", "' OR 1=1 --", "ANA", "\u{e4}na"];
    let mut salts = vec![asked[1].clone()];
    for name in names {
        let (other, other_verdict) = exchange(&portcullis, name).await;
        assert_eq!(form(&other), form(&asked), "{name}");
        assert_eq!(other_verdict, verdict, "{name}");
        // A salt that changes from one time to the next would say that it is made up.
        let (again, _) = exchange(&portcullis, name).await;
        assert_eq!(again, other, "{name}");
        assert!(!salts.contains(&other[1]), "{name} has the salt of another");
        salts.push(other[1].clone());
    }
    // Over TLS the same, with another mechanism for both.
    portcullis.stop().await;
    let portcullis = by_password(&database).tls().start().await;
    let (asked, verdict) = exchange(&portcullis, "ana").await;
    assert_eq!(asked[0], "SCRAM-SHA-256-PLUS SCRAM-SHA-256");
    let (other, other_verdict) = exchange(&portcullis, "nobody").await;
    assert_eq!((form(&other), other_verdict), (form(&asked), verdict));
}

#[tokio::test]
async fn a_password_opens_one_s_own_name_and_databases_alone() {
    let database = cluster().await.database().await;
    let setup = by_password(&database).user(ELSEWHERE).user_line(ELSEWHERE, "databases = []");
    let portcullis = setup.start().await;
    for (user, password, database, verdict) in [
        ("ana", PASSWORD, DATABASE, "in".to_owned()),
        ("ana", "", DATABASE, told("ana")),
        ("ana", "wrong", DATABASE, told("ana")),
        ("certified", PASSWORD, DATABASE, told("certified")),
        ("certified", "", DATABASE, told("certified")),
        ("nobody", PASSWORD, DATABASE, told("nobody")),
        // Which databases there are is for those who have proved who they are.
        ("ana", PASSWORD, "nope", "out: 42501 database \"nope\" is not configured here".into()),
        ("bot", "wrong", "nope", told("bot")),
        (
            "elsewhere",
            PASSWORD,
            DATABASE,
            "out: 42501 database \"shop\" is not open to user \"elsewhere\"".into(),
        ),
    ] {
        let arrival = Arrival::of(&portcullis, user).saying("database", database).newly_come();
        let answer = arrival.arrive(Proof::Password(password)).await;
        assert_eq!(answer.verdict(), verdict, "{user} in {database}");
        if verdict != "in" {
            let refused = record(&portcullis, "login-refused", answer.address()).await;
            assert_eq!(refused["role"], user);
        }
    }
    let (log, ledger) = (portcullis.log(), portcullis.ledger().text());
    assert!(!log.contains(PASSWORD) && !ledger.contains(PASSWORD), "it is written down");
}

/// What one says first counts: whom it names in SCRAM, and how it wants to be bound.
#[tokio::test]
async fn what_is_not_scram_as_it_is_spoken_is_refused() {
    let database = cluster().await.database().await;
    let portcullis = by_password(&database).tls().start().await;
    let first = |text: &'static str| (SCRAM, text.as_bytes());
    for (number, (mechanism, message)) in [
        first(""),
        first("n"),
        first("n,,"),
        first("n,,n=,r="),
        first("n,,r=abc"),
        first("n,,m=x,n=,r=abcdefghijkl"),
        // To act for somebody else.
        first("n,a=admin,n=,r=abcdefghijkl"),
        // It could bind and says that we cannot: somebody in between took the offer away.
        first("y,,n=,r=abcdefghijkl"),
        first("p=tls-server-end-point,,n=,r=abcdefghijkl"),
        first("p=tls-unique,,n=,r=abcdefghijkl"),
        ("SCRAM-SHA-256-PLUS", b"n,,n=,r=abcdefghijkl"),
        ("SCRAM-SHA-256-PLUS", b"p=tls-unique,,n=,r=abcdefghijkl"),
        ("SCRAM-SHA-1", b"n,,n=,r=abcdefghijkl"),
        ("OAUTHBEARER", b"n,,n=,r=abcdefghijkl"),
        ("", b"n,,n=,r=abcdefghijkl"),
        (SCRAM, b"n,,n=,r=\xff\xfe\xfd\xfc"),
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("user-{number}");
        let arrival = Arrival::of(&portcullis, &user).newly_come();
        let answer = arrival.arrive(Proof::Sasl(mechanism, message, b"c=biws")).await;
        let case = String::from_utf8_lossy(message);
        assert_eq!(answer.verdict(), told(&user), "{mechanism} {case}");
        assert_eq!(answer.asked.len(), 1, "{mechanism} {case}: it was challenged");
    }
    for (number, last) in [
        "",
        "c=biws",
        "c=biws,r=abcdefghijkl,p=AAAA",
        "c=biws,r=abcdefghijkl",
        "c=biws,r=abcdefghijkl,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("late-{number}");
        let arrival = Arrival::of(&portcullis, &user).newly_come();
        let proof = Proof::Sasl(SCRAM, b"n,,n=,r=abcdefghijkl", last.as_bytes());
        let answer = arrival.arrive(proof).await;
        assert_eq!(answer.verdict(), told(&user), "{last}");
        assert_eq!(answer.asked.len(), 2, "{last}: it was challenged");
    }
    let answer = Arrival::of(&portcullis, "ana").arrive(Proof::Password(PASSWORD)).await;
    assert_eq!(answer.verdict(), "in");
}

/// The name in SCRAM itself is not looked at, as in PostgreSQL.
#[tokio::test]
async fn what_was_overheard_once_opens_nothing() {
    let database = cluster().await.database().await;
    let portcullis = by_password(&database).start().await;
    let (first, last) = overheard(&portcullis).await;
    let replayed = Proof::Sasl(SCRAM, &first, &last);
    let answer = Arrival::of(&portcullis, "ana").arrive(replayed).await;
    assert_eq!(answer.verdict(), told("ana"));
    assert_eq!(answer.asked.len(), 2, "it was challenged");
}

/// Both messages of a login that succeeds.
async fn overheard(portcullis: &Portcullis) -> (Vec<u8>, Vec<u8>) {
    let mut session = Session::connect(portcullis.address()).await;
    let words = [("user", "ana"), ("database", DATABASE)];
    session.send(&startup_packet(PROTOCOL_3_0, &words)).await;
    session.message().await.expect("mechanisms");
    let mut scram = ScramSha256::new(PASSWORD.as_bytes(), ChannelBinding::unsupported());
    let first = scram.message().to_vec();
    let mut out = BytesMut::new();
    frontend::sasl_initial_response(SCRAM, &first, &mut out).expect("it fits");
    session.send(&out).await;
    let challenge = session.message().await.expect("a challenge");
    scram.update(&challenge.body[4..]).expect("a good challenge");
    let last = scram.message().to_vec();
    out.clear();
    frontend::sasl_response(&last, &mut out).expect("it fits");
    session.send(&out).await;
    let answer = session.until_ready().await;
    assert_eq!(answer.last().map(|message| message.tag), Some(b'Z'), "it opened a session");
    (first, last)
}

#[tokio::test]
async fn psql_binds_its_password_to_the_channel() {
    let database = cluster().await.database().await;
    let portcullis = by_password(&database).tls().start().await;
    let variables = [("PGUSER", "ana"), ("PGPASSWORD", PASSWORD), ("PGCHANNELBINDING", "require")];
    let mut psql = portcullis.psql_with(&[], &variables);
    psql.wait_for("shop=> ").await;
    // There is no channel to bind to.
    let plain = [&variables[..], &[("PGSSLMODE", "disable"), ("PGHOST", "127.0.0.1")]].concat();
    let mut psql = portcullis.psql_with(&[], &plain);
    psql.wait_for("channel binding").await;
    assert_ne!(psql.exit_code().await, 0);
}

/// How long a login takes, and how it ends.
async fn timed(arrival: &Arrival, password: &str) -> (Duration, String) {
    let began = Instant::now();
    let verdict = arrival.arrive(Proof::Password(password)).await.verdict();
    (began.elapsed(), verdict)
}

#[tokio::test]
async fn guessing_is_slowed_by_name_and_by_address_and_every_guess_is_recorded() {
    const GUESSES: usize = 8;
    /// What the ninth attempt is held back, the three that anybody may mistype not counted.
    const HELD_BACK: Duration = Duration::from_millis(1600);
    let database = cluster().await.database().await;
    let portcullis = by_password(&database).start().await;
    let guesser = Arrival::of(&portcullis, "ana").from(Ipv4Addr::new(127, 9, 0, 1));
    for guess in 0..GUESSES {
        let verdict = timed(&guesser, &format!("guess {guess}")).await.1;
        assert_eq!(verdict, told("ana"), "slowed or not, it is told the same");
    }
    let elsewhere = Ipv4Addr::new(127, 9, 0, 2);
    // By address: other names from there. By name: from other addresses, too, be the
    // password right or wrong; but nobody is locked out.
    let other_name = Arrival::of(&portcullis, "bot").from(Ipv4Addr::new(127, 9, 0, 1));
    let other_address = Arrival::of(&portcullis, "ana").from(elsewhere);
    for (name, arrival) in [("by address", other_name), ("by name", other_address)] {
        let (took, verdict) = timed(&arrival, PASSWORD).await;
        assert_eq!(verdict, "in", "{name}");
        assert!(took >= HELD_BACK, "{name}: {took:?}");
    }
    // Who has nothing to do with it waits for nothing; of several tries the shortest counts,
    // for the machine may be busy.
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        let (took, verdict) =
            timed(&Arrival::of(&portcullis, "bot").from(elsewhere), PASSWORD).await;
        assert_eq!(verdict, "in");
        shortest = shortest.min(took);
    }
    assert!(shortest < HELD_BACK, "{shortest:?}");

    let refused = portcullis.ledger().of_kind("login-refused");
    assert_eq!(refused.len(), GUESSES);
    for record in &refused {
        assert_eq!(record["role"], "ana");
        let from = record["client_address"].as_str().unwrap_or_default();
        assert!(from.starts_with("127.9.0.1:"), "{record}");
        let reason = record["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("authentication failed for user \"ana\""), "{record}");
    }
    let (_, metrics) = portcullis.api("GET", "/metrics", None).await;
    let metrics = metrics.as_str().unwrap_or_default();
    let counted = metrics.lines().any(|line| {
        !line.starts_with('#') && line.contains("refused") && line.ends_with(&format!(" {GUESSES}"))
    });
    assert!(counted, "{metrics}");
}

/// psql says what the proxy says, and no more.
#[tokio::test]
async fn psql_is_told_as_little() {
    let database = cluster().await.database().await;
    let portcullis = by_password(&database).start().await;
    for user in ["ana", "nobody"] {
        let variables = [("PGUSER", user), ("PGPASSWORD", "wrong")];
        let mut psql = portcullis.psql_with(&[], &variables);
        psql.wait_for(&format!("FATAL:  authentication failed for user \"{user}\"")).await;
        assert_ne!(psql.exit_code().await, 0);
        assert!(!psql.screen().contains("DETAIL") && !psql.screen().contains("HINT"));
    }
    let mut psql = portcullis.psql(ANA);
    psql.wait_for("shop=> ").await;
    let login = portcullis.ledger().of_kind("login")[0]["principal"]["client_address"].clone();
    let address = login.as_str().and_then(|text| text.parse().ok()).expect("an address");
    assert_eq!(principal(&portcullis, address).await["proof"], "scram");
}
