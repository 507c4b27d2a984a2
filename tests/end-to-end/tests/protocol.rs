//! The protocol byte by byte: what is malformed, hostile or rare.

mod conversations;
mod logins;
mod long;
mod segments;
mod upstreams;

use std::net::SocketAddr;
use std::time::Duration;

use end_to_end::cluster::APP;
use end_to_end::frames::{
    Batch, GSSENC_REQUEST, PROTOCOL_3_0, PROTOCOL_3_2, SSL_REQUEST, Session, cancel_request,
    error_of, first_column, sequence, sqlstate_of, startup_packet,
};
use end_to_end::portcullis::{DATABASE, DEVELOPER, PASSWORD};
use end_to_end::waiting::SOON;
use end_to_end::{Database, Portcullis, Setup, cluster, wait_until};
use tokio_postgres::config::{SslMode, SslNegotiation};

/// What everybody who logs in says.
const WHO: [(&str, &str); 2] = [("user", APP), ("database", DATABASE)];

fn bare(database: &Database) -> Setup {
    Setup::new(database).unmatched("allow")
}

async fn guarded(database: &Database) -> Portcullis {
    bare(database).policy("10-guard.toml", "sql_guard.wasm", "").start().await
}

/// Sends a first packet and gives what comes back until the end.
async fn first_packet(address: SocketAddr, packet: &[u8]) -> String {
    let mut session = Session::connect(address).await;
    session.send(packet).await;
    let mut messages = Vec::new();
    while let Some(message) = session.message().await {
        messages.push(message);
    }
    sequence(&messages)
}

#[tokio::test]
async fn a_malformed_startup_ends_the_connection_and_nothing_else() {
    let database = cluster().await.database().await;
    let mut portcullis = bare(&database).start().await;
    let no_end = [&[0, 0, 0, 18, 0, 3, 0, 0][..], b"user\0app\0x"].concat();
    // What has not even the length of a startup packet is not answered, as PostgreSQL does not.
    let packets: [(&str, Vec<u8>, &str); 8] = [
        ("a length of 0", vec![0, 0, 0, 0, 0, 3, 0, 0], ""),
        ("a length of 7", vec![0, 0, 0, 7, 0, 3, 0, 0], ""),
        ("a length of 1 GiB", vec![0x40, 0, 0, 0, 0, 3, 0, 0], ""),
        ("a negative length", vec![0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0], ""),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), ""),
        ("no NUL at the end", no_end, "E:08P01"),
        ("protocol 2", startup_packet(2 << 16, &WHO), "E:0A000"),
        ("no user", startup_packet(PROTOCOL_3_0, &[("database", DATABASE)]), "E:08P01"),
    ];
    for (name, packet, expected) in packets {
        let answer = first_packet(portcullis.address(), &packet).await;
        assert_eq!(answer, expected, "{name}");
        assert!(portcullis.is_up(), "{name} ended the proxy");
    }
    wait_until("the ledger knows of all of them", SOON, async || {
        let refused = portcullis.ledger().of_kind("login-refused").len();
        (refused == 8).then_some(())
    })
    .await;
    assert_eq!(first_column(&portcullis.session(DEVELOPER).await.query("SELECT 1").await), ["1"]);
}

#[tokio::test]
async fn replication_is_refused() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    for value in ["true", "database", "on", "1"] {
        let mut session = Session::connect(portcullis.address()).await;
        let parameters = [WHO[0], WHO[1], ("replication", value)];
        let answer = session.try_login(PASSWORD, &parameters).await;
        assert_eq!(
            sqlstate_of(&answer).as_deref(),
            Some("0A000"),
            "{value}: {}",
            sequence(&answer)
        );
    }
    let mut session = Session::connect(portcullis.address()).await;
    let answer = session.try_login(PASSWORD, &[WHO[0], WHO[1], ("replication", "false")]).await;
    assert!(sequence(&answer).ends_with("Z:I"), "{}", sequence(&answer));
}

#[tokio::test]
async fn gssenc_is_answered_n_and_the_login_goes_on() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    let mut session = Session::connect(portcullis.address()).await;
    session.send(&GSSENC_REQUEST).await;
    assert_eq!(session.byte().await, Some(b'N'));
    session.send(&SSL_REQUEST).await;
    assert_eq!(session.byte().await, Some(b'N'), "no TLS is configured");
    let answer = session.try_login(PASSWORD, &WHO).await;
    assert!(sequence(&answer).ends_with("Z:I"), "{}", sequence(&answer));
}

#[tokio::test]
async fn plaintext_behind_a_tls_request_closes_the_connection() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).tls().start().await;
    let mut session = Session::connect(portcullis.address()).await;
    let behind = startup_packet(PROTOCOL_3_0, &WHO);
    session.send(&[&SSL_REQUEST[..], &behind].concat()).await;
    // The answer to the request may have left before the rest was seen; nothing else may.
    let first = session.byte().await;
    assert!(matches!(first, None | Some(b'S')), "{first:?}");
    if first.is_some() {
        let next = session.byte().await;
        assert!(matches!(next, None | Some(0x15)), "only an alert or the end: {next:?}");
    }
}

#[tokio::test]
async fn direct_tls_is_spoken() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).tls().start().await;
    let mut config = portcullis.config(DEVELOPER);
    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    let connector = portcullis.certificates().direct_connector();
    let client = crate::scenario::connect(&config, &connector).await.expect("it connects");
    let row = client.query_one("SELECT 'direct'", &[]).await.expect("a row");
    assert_eq!(row.get::<_, String>(0), "direct");
}

#[tokio::test]
async fn startup_parameters_cannot_do_what_set_cannot() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let refused = [
        ("options", "-c session_replication_role=replica"),
        ("options", "-c role=by_trust"),
        ("options", "--row_security=off"),
        ("options", "-c\\ log_statement=none -crole=by_trust"),
        ("role", "by_trust"),
        ("session_replication_role", "replica"),
        ("log_statement", "none"),
    ];
    for (name, value) in refused {
        let mut session = Session::connect(portcullis.address()).await;
        let answer = session.try_login(PASSWORD, &[WHO[0], WHO[1], (name, value)]).await;
        assert!(error_of(&answer).is_some(), "{name}={value}: {}", sequence(&answer));
    }
    let allowed = [
        ("options", "-c statement_timeout=5s", "statement_timeout", "5s"),
        ("TimeZone", "Europe/Berlin", "TimeZone", "Europe/Berlin"),
        ("application_name", "mine", "application_name", "mine"),
    ];
    for (name, value, setting, expected) in allowed {
        let mut session = Session::connect(portcullis.address()).await;
        let answer = session.try_login(PASSWORD, &[WHO[0], WHO[1], (name, value)]).await;
        assert!(sequence(&answer).ends_with("Z:I"), "{name}={value}: {}", sequence(&answer));
        let shown = session.query(&format!("SHOW {setting}")).await;
        assert_eq!(first_column(&shown), [expected]);
    }
}

#[tokio::test]
async fn client_encodings_that_hide_bytes_are_refused() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    for encoding in ["SJIS", "BIG5", "GBK", "UHC", "GB18030", "nonsense"] {
        let mut session = Session::connect(portcullis.address()).await;
        let parameters = [WHO[0], WHO[1], ("client_encoding", encoding)];
        let answer = session.try_login(PASSWORD, &parameters).await;
        assert!(error_of(&answer).is_some(), "{encoding}: {}", sequence(&answer));
        let mut session = portcullis.session(DEVELOPER).await;
        for set in [
            format!("SET client_encoding = '{encoding}'"),
            format!("SET NAMES '{encoding}'"),
            format!("SELECT set_config('client_encoding', '{encoding}', false)"),
        ] {
            let answer = session.query(&set).await;
            assert!(error_of(&answer).is_some(), "{set}: {}", sequence(&answer));
        }
        assert_eq!(first_column(&session.query("SHOW client_encoding").await), ["UTF8"]);
    }
    for encoding in ["UTF8", "utf-8", "LATIN1", "WIN1252"] {
        let mut session = Session::connect(portcullis.address()).await;
        let parameters = [WHO[0], WHO[1], ("client_encoding", encoding)];
        let answer = session.try_login(PASSWORD, &parameters).await;
        assert!(sequence(&answer).ends_with("Z:I"), "{encoding}: {}", sequence(&answer));
    }
}

#[tokio::test]
async fn newer_protocols_are_negotiated() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    for (version, options, negotiated) in [
        (PROTOCOL_3_0, &WHO[..], false),
        (PROTOCOL_3_2, &WHO[..], false),
        (PROTOCOL_3_0 + 9999, &WHO[..], true),
        (PROTOCOL_3_2, &[WHO[0], WHO[1], ("_pq_.unheard_of", "1")][..], true),
    ] {
        let mut session = Session::connect(portcullis.address()).await;
        session.send(&startup_packet(version, options)).await;
        let answer = session.prove(PASSWORD).await;
        assert!(sequence(&answer).ends_with("Z:I"), "{version}: {}", sequence(&answer));
        let told = answer.iter().any(|message| message.tag == b'v');
        assert_eq!(told, negotiated, "{version}: {}", sequence(&answer));
        assert_eq!(first_column(&session.query("SELECT 1").await), ["1"]);
    }
}

#[tokio::test]
async fn a_function_call_is_judged_as_the_function_it_names() {
    let database = cluster().await.database().await;
    let superuser = database.superuser().await;
    let query = "SELECT 'pg_ls_dir(text)'::regprocedure::oid, 'abs(int4)'::regprocedure::oid";
    let row = superuser.query_one(query, &[]).await.expect("they exist");
    let portcullis = guarded(&database).await;
    let mut session = portcullis.session(DEVELOPER).await;
    let call = |oid: u32, argument: &[u8]| {
        let mut body = oid.to_be_bytes().to_vec();
        body.extend_from_slice(&[0, 0, 0, 1]);
        body.extend_from_slice(&u32::try_from(argument.len()).expect("short").to_be_bytes());
        body.extend_from_slice(argument);
        body.extend_from_slice(&[0, 0]);
        Batch::new().raw(b'F', &body)
    };
    let refused = session.exchange(call(row.get(0), b".")).await;
    assert_eq!(sequence(&refused), "E:42501 Z:I");
    let called = session.exchange(call(row.get(1), b"-7")).await;
    assert_eq!(sequence(&called), "V Z:I");
    let unknown = session.exchange(call(4_000_000_000, b"")).await;
    assert!(error_of(&unknown).is_some(), "{}", sequence(&unknown));
    assert_eq!(first_column(&session.query("SELECT 1").await), ["1"]);
}

#[tokio::test]
async fn only_the_right_key_cancels() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    let mut victim = portcullis.session(DEVELOPER).await;
    let other = portcullis.session(DEVELOPER).await;
    let mut forged = victim.cancel_key.clone();
    *forged.last_mut().expect("a key") ^= 1;
    victim.send(Batch::new().query("SELECT pg_sleep(60)").bytes()).await;
    let ledger = portcullis.ledger();
    wait_until("it runs", SOON, async || (!ledger.intents("pg_sleep").is_empty()).then_some(()))
        .await;
    for key in [&other.cancel_key, &forged, &vec![0; 8], &vec![0; 300], &Vec::new()] {
        first_packet(portcullis.address(), &cancel_request(key)).await;
    }
    let nothing = victim.message_within(Duration::from_millis(300)).await;
    assert_eq!(nothing, None, "somebody else's key did something");
    // The first request may come before the server has begun; so may a real client's.
    let key = cancel_request(&victim.cancel_key);
    let mut ended = None;
    for _ in 0..20 {
        first_packet(portcullis.address(), &key).await;
        ended = victim.message_within(Duration::from_millis(250)).await;
        if ended.is_some() {
            break;
        }
    }
    let rest = victim.until_ready().await;
    let answer: Vec<_> = ended.into_iter().chain(rest).collect();
    assert!(sequence(&answer).ends_with("E:57014 Z:I"), "{}", sequence(&answer));
    assert_eq!(first_column(&victim.query("SELECT 1").await), ["1"]);
}

#[tokio::test]
async fn what_the_server_remarks_on_at_login_is_passed_on() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    for (name, remarked) in [("x".repeat(64), true), ("x".repeat(63), false)] {
        let mut session = Session::connect(portcullis.address()).await;
        let parameters = [WHO[0], WHO[1], ("application_name", name.as_str())];
        let answer = session.try_login(PASSWORD, &parameters).await;
        let notices = answer.iter().filter(|message| message.tag == b'N');
        let codes: Vec<_> = notices.filter_map(|notice| notice.field(b'C')).collect();
        let expected: &[&str] = if remarked { &["42622"] } else { &[] };
        assert_eq!(codes, expected, "{}", sequence(&answer));
        assert!(sequence(&answer).ends_with("Z:I"), "{}", sequence(&answer));
    }
}

#[tokio::test]
async fn what_the_server_ends_ends_with_its_words() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    let superuser = database.superuser().await;
    for statement in ["", "SELECT pg_sleep(60)"] {
        let mut session = portcullis.session(DEVELOPER).await;
        let told = session.cancel_key.first_chunk().copied().map(i32::from_be_bytes);
        let number = told.expect("a number and a key");
        if !statement.is_empty() {
            session.send(Batch::new().query(statement).bytes()).await;
        }
        let ended = superuser.query_one("SELECT pg_terminate_backend($1)", &[&number]).await;
        assert!(ended.is_ok_and(|row| row.get(0)));
        let mut answer = Vec::new();
        while let Some(message) = session.message().await {
            answer.push(message);
        }
        // What it sent of the answer before comes first.
        assert!(sequence(&answer).ends_with("E:57P01"), "{statement}: {}", sequence(&answer));
    }
}

/// Drivers wait for that, so that the cancel does not hit their next statement.
#[tokio::test]
async fn a_cancel_is_over_when_its_connection_closes() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let key = cancel_request(&session.cancel_key);
    for _ in 0..20 {
        first_packet(portcullis.address(), &key).await;
        let answer = session.query("SELECT pg_sleep(0.05)").await;
        assert_eq!(error_of(&answer), None, "{}", sequence(&answer));
    }
}

#[tokio::test]
async fn a_session_has_the_number_that_the_server_knows_it_by() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    for _ in 0..3 {
        let mut session = portcullis.session(DEVELOPER).await;
        let told = session.cancel_key.first_chunk().copied().map(u32::from_be_bytes);
        let asked = first_column(&session.query("SELECT pg_backend_pid()").await);
        assert_eq!(asked, [told.expect("a number and a key").to_string()]);
    }
}

#[tokio::test]
async fn malformed_frames_end_the_session_before_anything_runs() {
    let database = cluster().await.database().await;
    let mut portcullis = bare(&database).start().await;
    let drop = b"SELECT 1\0DROP TABLE scratch\0";
    let batches = [
        ("bytes after the NUL", Batch::new().raw(b'Q', drop)),
        ("no NUL", Batch::new().raw(b'Q', b"SELECT 1")),
        ("an empty Query", Batch::new().raw(b'Q', b"")),
        ("a Parse cut short", Batch::new().raw(b'P', b"\0SELECT 1\0").sync()),
        (
            "a Parse with less types than it says",
            Batch::new().raw(b'P', b"\0SELECT 1\0\0\x07").sync(),
        ),
        ("a Bind cut short", Batch::new().parse("", "SELECT 1").raw(b'B', b"\0\0\0").sync()),
        (
            "a Bind with a wild length",
            Batch::new().parse("", "SELECT 1").raw(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff").sync(),
        ),
        ("an Execute cut short", Batch::new().raw(b'E', b"\0\0").sync()),
        ("a Describe of nothing known", Batch::new().raw(b'D', b"X\0").sync()),
        ("an unknown tag", Batch::new().raw(b'!', b"what")),
        ("a server's message", Batch::new().raw(b'T', b"\0\0")),
    ];
    for (name, batch) in batches {
        let mut session = portcullis.session(DEVELOPER).await;
        let answer = session.exchange(batch).await;
        assert!(sqlstate_of(&answer).as_deref() == Some("08P01"), "{name}: {}", sequence(&answer));
        assert!(portcullis.is_up(), "{name} ended the proxy");
    }
    for header in
        [&[b'Q', 0, 0, 0, 3][..], &[b'Q', 0xff, 0xff, 0xff, 0xff], &[b'Q', 0x7f, 0xff, 0xff, 0xff]]
    {
        let mut session = portcullis.session(DEVELOPER).await;
        session.send(header).await;
        let answer = session.until_ready().await;
        let state = sqlstate_of(&answer).unwrap_or_default();
        assert!(["08P01", "54000"].contains(&state.as_str()), "{header:?}: {}", sequence(&answer));
        assert_eq!(session.message().await, None, "{header:?}: the session is over");
    }
    let kept = portcullis.session(DEVELOPER).await.query("SELECT count(*) FROM scratch").await;
    assert_eq!(first_column(&kept), ["20"]);
}

#[tokio::test]
async fn oversize_statements_and_depth_bombs_are_refused_or_run_but_end_nothing() {
    let database = cluster().await.database().await;
    let mut portcullis = guarded(&database).await;
    let deep = |open: &str, close: &str, count: usize| {
        format!("SELECT {}1{}", open.repeat(count), close.repeat(count))
    };
    let mut bombs = vec![
        ("a comment of 9 MiB", format!("/*{}*/ DROP TABLE scratch", "x".repeat(9 << 20))),
        ("blanks of 2 MiB", format!("{}DROP TABLE scratch", " ".repeat(2 << 20))),
    ];
    for count in [1_000, 10_000, 100_000] {
        bombs.push(("parentheses", deep("(", ")", count)));
        bombs.push(("sub-selects", deep("(SELECT ", ")", count)));
        bombs.push(("arrays", deep("ARRAY[", "]", count)));
        bombs.push(("sums", deep("1+", "", count)));
        bombs.push(("ands", format!("SELECT true{}", " AND true".repeat(count))));
        bombs.push(("casts", format!("SELECT 1{}", "::int".repeat(count))));
        bombs.push(("unions", format!("SELECT 1{}", " UNION SELECT 1".repeat(count))));
        bombs.push(("cases", deep("CASE WHEN true THEN ", " END", count)));
        bombs.push((
            "joins",
            format!("SELECT 1 FROM scratch{}", " CROSS JOIN scratch".repeat(count)),
        ));
    }
    for (name, bomb) in bombs {
        let mut session = portcullis.session(DEVELOPER).await;
        let answer = session.query(&bomb).await;
        let refused = error_of(&answer).is_some();
        assert!(refused || sequence(&answer).ends_with("Z:I"), "{name}: {}", sequence(&answer));
        assert!(portcullis.is_up(), "{name} of {} bytes ended the proxy", bomb.len());
    }
    let mut session = portcullis.session(DEVELOPER).await;
    assert_eq!(first_column(&session.query("SELECT count(*) FROM scratch").await), ["20"]);
}

#[tokio::test]
async fn who_says_nothing_is_asked_to_leave() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    let mut silent = Session::connect(portcullis.address()).await;
    let mut slow = Session::connect(portcullis.address()).await;
    slow.send(&startup_packet(PROTOCOL_3_0, &WHO)[..6]).await;
    for session in [&mut silent, &mut slow] {
        while session.message().await.is_some() {}
    }
}

/// However long a login may take, and another might: the drain is all that the end waits for.
#[tokio::test]
async fn who_says_nothing_does_not_keep_the_proxy_from_ending() {
    let database = cluster().await.database().await;
    let patient = "[limits]\nstartup_ms = 600000\ndrain_seconds = 1\n";
    let mut portcullis = bare(&database).section(patient).start().await;
    let _silent = Session::connect(portcullis.address()).await;
    let mut asked = Session::connect(portcullis.address()).await;
    asked.send(&startup_packet(PROTOCOL_3_0, &WHO)).await;
    assert!(asked.message().await.is_some(), "it is asked for a password");
    portcullis.stop().await;
}

/// A client that asks for a gigabyte and reads none of it costs its buffers and no more.
#[tokio::test]
async fn who_does_not_read_holds_up_nobody() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    let mut other = portcullis.session(DEVELOPER).await;
    other.query("SELECT 1").await;
    let before = portcullis.resident_kilobytes();
    let mut deaf = portcullis.session(DEVELOPER).await;
    let flood = "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)";
    deaf.send(Batch::new().query(flood).bytes()).await;
    let superuser = database.superuser().await;
    let blocked =
        "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'ClientWrite'";
    wait_until("the server waits for somebody to read", SOON, async || {
        let rows = superuser.query(blocked, &[&database.name]).await.expect("it answers");
        (!rows.is_empty()).then_some(())
    })
    .await;
    assert_eq!(first_column(&other.query("SELECT 1").await), ["1"]);
    let grown = portcullis.resident_kilobytes().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KB for one client");
    drop(deaf);
    let gone = "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND query LIKE '%repeat%' \
                AND state = 'active' AND pid <> pg_backend_pid()";
    wait_until("the server is left too", SOON, async || {
        let rows = superuser.query(gone, &[&database.name]).await.expect("it answers");
        rows.is_empty().then_some(())
    })
    .await;
}
