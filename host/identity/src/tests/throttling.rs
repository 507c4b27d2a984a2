//! Who is slowed down, by how much and for how long.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::{DELAY_MAX, Throttle};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn delays_grow_to_a_limit_and_are_forgotten() {
    let throttle = Throttle::new();
    let (here, now) = (address("192.0.2.1"), Instant::now());
    let mut delays = Vec::new();
    for _ in 0..12 {
        delays.push(throttle.delay(here, "ana", now).as_millis());
        throttle.failed(here, "ana", now);
    }
    assert_eq!(delays, [0, 0, 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    for _ in 0..1000 {
        throttle.failed(here, "ana", now);
    }
    assert_eq!(throttle.delay(here, "ana", now), DELAY_MAX);
    let later = |seconds| throttle.delay(here, "ana", now + Duration::from_secs(seconds));
    // However many there were, all is forgotten after minutes.
    assert_eq!(later(100), DELAY_MAX);
    assert_eq!(later(200), Duration::from_millis(400));
    assert_eq!(later(320), Duration::ZERO);
    // A clock that goes back forgets nothing and breaks nothing.
    assert_eq!(throttle.delay(here, "ana", now), DELAY_MAX);
}

#[test]
fn failures_count_for_the_address_and_for_the_user_alone() {
    let throttle = Throttle::new();
    let now = Instant::now();
    for _ in 0..50 {
        throttle.failed(address("192.0.2.1"), "ana", now);
        throttle.failed(address("2001:db8:0:1::1"), "bob", now);
    }
    for (from, user, expected) in [
        ("192.0.2.1", "ana", true),
        ("192.0.2.1", "carl", true),
        ("::ffff:192.0.2.1", "carl", true),
        ("192.0.2.2", "ana", true),
        ("192.0.2.2", "carl", false),
        // The rest of an IPv6 network is the same somebody, the next network is not.
        ("2001:db8:0:1:ffff::2", "carl", true),
        ("2001:db8:0:2::1", "carl", false),
        ("2001:db8:0:2::1", "bob", true),
    ] {
        let delay = throttle.delay(address(from), user, now);
        assert_eq!(delay > Duration::ZERO, expected, "{from} {user}");
        assert!(delay <= DELAY_MAX, "{from} {user}");
    }
}

#[test]
fn many_strangers_push_out_nobody_who_fails_more() {
    let throttle = Throttle::new();
    let now = Instant::now();
    for _ in 0..50 {
        throttle.failed(address("192.0.2.1"), "ana", now);
    }
    for number in 0..200_000_u32 {
        let from = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        throttle.failed(from, &format!("user{number}"), now);
    }
    assert_eq!(throttle.delay(address("192.0.2.1"), "carl", now), DELAY_MAX);
    assert_eq!(throttle.delay(address("192.0.2.2"), "ana", now), DELAY_MAX);
}
