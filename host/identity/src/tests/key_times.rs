//! When an issuer is asked, by the clock.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::Refusal;
use crate::jwks::{KeyTimes, Published, Step};

const TIMES: KeyTimes = KeyTimes {
    fresh: Duration::from_secs(300),
    stale_max: Duration::from_secs(900),
    unknown_key_pause: Duration::from_secs(10),
    failure_pause: Duration::from_secs(5),
};

/// What happened, at which second.
#[derive(Clone, Copy)]
enum Event {
    Published(u64),
    Failed(u64),
    Forced(u64),
}

/// After `events`, at second `at`, for a login with a key that is known or not.
fn check(events: &[Event], at: u64, known: bool, expected: Step<()>) {
    let begin = Instant::now();
    let second = |number: u64| begin + Duration::from_secs(number);
    let mut published = Published::new(TIMES);
    for event in events {
        match *event {
            Event::Published(at) => published.asked(Some(Rc::new(())), second(at)),
            Event::Failed(at) => published.asked(None, second(at)),
            Event::Forced(at) => published.asking(second(at)),
        }
    }
    let look_up = |_: &Rc<()>| if known { Ok(()) } else { Err(Refusal::UnknownKey) };
    assert_eq!(published.consult(second(at), look_up), expected, "at {at}, known: {known}");
}

#[test]
fn nothing_is_known_at_first() {
    check(&[], 0, true, Step::Fetch);
    check(&[Event::Failed(10)], 11, true, Step::Unavailable);
    check(&[Event::Failed(10)], 15, true, Step::Fetch);
}

#[test]
fn fresh_keys_are_used_without_asking() {
    use Event::Published;
    check(&[Published(0)], 0, true, Step::Use(()));
    check(&[Published(0)], 299, true, Step::Use(()));
    check(&[Published(0)], 300, true, Step::Refresh(()));
    check(&[Published(0)], 899, true, Step::Refresh(()));
    check(&[Published(0)], 900, true, Step::Fetch);
}

#[test]
fn an_outage_is_outlived_for_a_while_only() {
    use Event::{Failed, Published};
    check(&[Published(0), Failed(301)], 302, true, Step::Use(()));
    check(&[Published(0), Failed(301)], 306, true, Step::Refresh(()));
    check(&[Published(0), Failed(899)], 900, true, Step::Unavailable);
    check(&[Published(0), Failed(899)], 904, true, Step::Fetch);
    check(&[Published(0), Failed(899), Published(904)], 905, true, Step::Use(()));
    check(&[Published(0), Failed(301)], 302, false, Step::Unavailable);
}

#[test]
fn unknown_keys_make_us_ask_at_a_limited_rate() {
    use Event::{Failed, Forced, Published};
    check(&[Published(0)], 1, false, Step::Fetch);
    let forced = [Published(0), Forced(1), Published(2)];
    check(&forced, 3, false, Step::Refuse(Refusal::UnknownKey));
    check(&forced, 10, false, Step::Refuse(Refusal::UnknownKey));
    check(&forced, 11, false, Step::Fetch);
    check(&forced, 3, true, Step::Use(()));
    let failed = [Published(0), Forced(1), Failed(2)];
    check(&failed, 12, false, Step::Fetch);
    check(&failed, 3, false, Step::Refuse(Refusal::UnknownKey));
    check(&failed, 3, true, Step::Use(()));
    check(&[Published(0)], 400, false, Step::Fetch);
}
