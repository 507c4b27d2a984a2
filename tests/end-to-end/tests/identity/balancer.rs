//! Behind a balancer: the client's true address counts, and only a balancer may say which.

use std::net::{Ipv4Addr, SocketAddr};

use end_to_end::portcullis::PASSWORD;
use end_to_end::{Database, Portcullis, Setup, cluster};

use super::arrival::{Answer, Arrival, Proof};
use super::record;

const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 8, 0, 1);
const SOMEBODY: Ipv4Addr = Ipv4Addr::new(127, 7, 0, 1);
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// One balancer is believed; whoever comes from one network is refused.
fn behind_one(database: &Database) -> Setup {
    Setup::new(database)
        .unmatched("allow")
        .listen_line("proxy_protocol_from = [\"127.8.0.1/32\"]")
        .login_rule("method = \"refuse\"\naddresses = [\"203.0.113.0/24\", \"2001:db8:bad::/48\"]")
        .login_rule("method = \"scram\"")
}

/// Version 2: command and version, family and transport, addresses.
fn binary(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).expect("short");
    [SIGNATURE, &[command, family], &length.to_be_bytes(), addresses].concat()
}

/// From 192.0.2.7:4711 to 10.0.0.2:5432.
const FOUR: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 2, 0x12, 0x67, 0x15, 0x38];

fn six(source: &str) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address").octets();
    [&address(source)[..], &address("2001:db8::1"), &[0x12, 0x67, 0x15, 0x38]].concat()
}

async fn comes(portcullis: &Portcullis, from: Ipv4Addr, header: &[u8]) -> Answer {
    let arrival = Arrival::of(portcullis, "ana").from(from).behind(header);
    arrival.arrive(Proof::Password(PASSWORD)).await
}

#[tokio::test]
async fn the_ledger_and_the_rules_have_the_true_address() {
    let database = cluster().await.database().await;
    let portcullis = behind_one(&database).start().await;
    let peer = "the peer's";
    let cases: &[(Vec<u8>, &str)] = &[
        (b"PROXY TCP4 192.0.2.7 10.0.0.2 4711 5432\r\n".to_vec(), "192.0.2.7:4711"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 5432\r\n".to_vec(), "[2001:db8::7]:4711"),
        (b"PROXY TCP6 ::ffff:192.0.2.8 ::1 4711 5432\r\n".to_vec(), "192.0.2.8:4711"),
        (b"PROXY UNKNOWN\r\n".to_vec(), peer),
        (binary(0x21, 0x11, &FOUR), "192.0.2.7:4711"),
        (binary(0x21, 0x21, &six("2001:db8::7")), "[2001:db8::7]:4711"),
        (binary(0x21, 0x21, &six("::ffff:192.0.2.8")), "192.0.2.8:4711"),
        (binary(0x21, 0x11, &[&FOUR[..], &[3, 0, 4, 1, 2, 3, 4]].concat()), "192.0.2.7:4711"),
        // A balancer that looks whether we live.
        (binary(0x20, 0x11, &FOUR), peer),
        (binary(0x20, 0, &[]), peer),
    ];
    for (header, address) in cases {
        let answer = comes(&portcullis, BALANCER, header).await;
        assert_eq!(answer.verdict(), "in", "{header:?}\n{}", portcullis.log());
        let address = match *address == peer {
            true => answer.address(),
            false => address.parse::<SocketAddr>().expect("an address"),
        };
        let login = record(&portcullis, "login", address).await;
        assert_eq!(login["principal"]["subject"], "ana");
    }
    // The rule is about who comes, not about who carries them.
    for header in [
        b"PROXY TCP4 203.0.113.9 10.0.0.2 4712 5432\r\n".to_vec(),
        b"PROXY TCP6 ::ffff:203.0.113.8 ::1 4712 5432\r\n".to_vec(),
        binary(0x21, 0x21, &six("2001:db8:bad::7")),
    ] {
        let told = comes(&portcullis, BALANCER, &header).await.verdict();
        assert!(told.starts_with("out: 28000 "), "{header:?}: {told}");
    }
    let address = "203.0.113.9:4712".parse().expect("an address");
    assert_eq!(record(&portcullis, "login-refused", address).await["role"], "ana");
}

#[tokio::test]
async fn a_balancer_that_says_nothing_or_nonsense_is_not_listened_to() {
    let database = cluster().await.database().await;
    let portcullis = behind_one(&database).start().await;
    let good = b"PROXY TCP4 192.0.2.7 10.0.0.2 4711 5432\r\n".to_vec();
    let mut unsigned = binary(0x21, 0x11, &FOUR);
    unsigned[3] = b'x';
    for header in [
        // Straight to the startup packet: somebody on the balancer's machine.
        Vec::new(),
        b"PROXY TCP4 192.0.2.7 10.0.0.2 4711 5432\n".to_vec(),
        b"PROXY TCP4 192.0.2.700 10.0.0.2 4711 5432\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.2 99999 5432\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 10.0.0.2 4711 5432\r\n".to_vec(),
        b"PROXY TCP4 localhost 10.0.0.2 4711 5432\r\n".to_vec(),
        b"PROXY UDP4 192.0.2.7 10.0.0.2 4711 5432\r\n".to_vec(),
        b"proxy tcp4 192.0.2.7 10.0.0.2 4711 5432\r\n".to_vec(),
        [b"PROXY UNKNOWN ", "x".repeat(200).as_bytes(), b"\r\n"].concat(),
        unsigned,
        binary(0x31, 0x11, &FOUR),
        binary(0x22, 0x11, &FOUR),
        binary(0x21, 0x11, &FOUR[..8]),
        binary(0x21, 0x21, &FOUR),
        binary(0x21, 0x12, &FOUR),
        binary(0x21, 0x11, &[0; 60_000]),
        // Twice: whoever passes on what a client sends first does not know what it says.
        [good.clone(), good.clone()].concat(),
        [good.clone(), binary(0x21, 0x11, &FOUR)].concat(),
    ] {
        let told = comes(&portcullis, BALANCER, &header).await.verdict();
        let shown = String::from_utf8_lossy(&header).chars().take(60).collect::<String>();
        assert!(told == "closed" || told.starts_with("out: 08P01"), "{shown:?}: {told}");
    }
    assert_eq!(comes(&portcullis, BALANCER, &good).await.verdict(), "in");
    assert_eq!(portcullis.ledger().of_kind("login").len(), 1);
}

#[tokio::test]
async fn nobody_else_may_say_where_they_come_from() {
    let database = cluster().await.database().await;
    let portcullis = behind_one(&database).start().await;
    let headers = [
        b"PROXY TCP4 192.0.2.7 10.0.0.2 4711 5432\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(0x21, 0x11, &FOUR),
        binary(0x20, 0, &[]),
    ];
    for header in &headers {
        let answer = comes(&portcullis, SOMEBODY, header).await;
        // As PostgreSQL answers what is no startup packet: not at all.
        assert_eq!(answer.verdict(), "closed");
        // What it said of itself is nobody's address.
        record(&portcullis, "login-refused", answer.address()).await;
    }
    let answer = comes(&portcullis, SOMEBODY, b"").await;
    assert_eq!(answer.verdict(), "in");
    record(&portcullis, "login", answer.address()).await;
    assert!(!portcullis.ledger().text().contains("192.0.2.7"));
}

#[tokio::test]
async fn tls_begins_behind_the_header() {
    let database = cluster().await.database().await;
    let portcullis = behind_one(&database).tls().start().await;
    let answer = comes(&portcullis, BALANCER, &binary(0x21, 0x11, &FOUR)).await;
    assert_eq!(answer.verdict(), "in");
    assert_eq!(answer.asked[0], "SCRAM-SHA-256-PLUS SCRAM-SHA-256");
    record(&portcullis, "login", "192.0.2.7:4711".parse().expect("an address")).await;
}
