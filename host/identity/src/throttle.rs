//! Slowing those down who fail to log in.
//!
//! Each failure counts against the address it came from and against the user name it was
//! for, and is forgotten with time. Nobody is locked out: whoever fails for somebody else
//! delays them by [`DELAY_MAX`] at most.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest that a login is held back.
pub const DELAY_MAX: Duration = Duration::from_secs(5);
/// What the first failure that is not free costs; each further one costs twice as much.
const DELAY_FIRST: Duration = Duration::from_millis(100);
/// Anybody mistypes a password now and then.
const FAILURES_FREE: u32 = 3;
/// More are not counted, so that forgetting takes a bounded time.
const FAILURES_MAX: u32 = 16;
/// One failure is forgotten in this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(20);

const SETS: usize = 1024;
/// How many entries may stand in a place; of more, the one that counts least gives way.
const WAYS: usize = 4;

/// Who failed to log in, lately: a handle to share between workers.
#[derive(Clone)]
pub struct Throttle {
    shared: Arc<Shared>,
}

struct Shared {
    /// Drawn anew in each process, so that nobody can choose names to push others out.
    hasher: RandomState,
    addresses: Mutex<Table>,
    users: Mutex<Table>,
}

impl Throttle {
    pub fn new() -> Throttle {
        let shared = Shared {
            hasher: RandomState::new(),
            addresses: Mutex::new(Table::new()),
            users: Mutex::new(Table::new()),
        };
        Throttle { shared: Arc::new(shared) }
    }

    /// How long a login of `user` from `address` is to be held back, be it right or wrong.
    pub fn delay(&self, address: IpAddr, user: &str, now: Instant) -> Duration {
        let (address, user) = self.keys(address, user);
        let of_address = locked(&self.shared.addresses, |table| table.failures(address, now));
        let of_user = locked(&self.shared.users, |table| table.failures(user, now));
        delay(of_address.max(of_user))
    }

    /// Counts a login that failed.
    pub fn failed(&self, address: IpAddr, user: &str, now: Instant) {
        let (address, user) = self.keys(address, user);
        locked(&self.shared.addresses, |table| table.add(address, now));
        locked(&self.shared.users, |table| table.add(user, now));
    }

    fn keys(&self, address: IpAddr, user: &str) -> (u64, u64) {
        let hasher = &self.shared.hasher;
        (hasher.hash_one(source(address)), hasher.hash_one(user))
    }
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle::new()
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

fn locked<R>(table: &Mutex<Table>, use_it: impl FnOnce(&mut Table) -> R) -> R {
    use_it(&mut table.lock().unwrap_or_else(PoisonError::into_inner))
}

/// One who has an IPv6 address has all of its last half.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

fn delay(failures: u32) -> Duration {
    match failures.checked_sub(FAILURES_FREE) {
        None | Some(0) => Duration::ZERO,
        Some(counted) => {
            let factor = 1_u32.checked_shl(counted.saturating_sub(1)).unwrap_or(u32::MAX);
            DELAY_FIRST.saturating_mul(factor).min(DELAY_MAX)
        }
    }
}

/// A fixed number of counters.
struct Table {
    sets: Vec<[Option<Counter>; WAYS]>,
}

#[derive(Clone, Copy)]
struct Counter {
    key: u64,
    failures: u32,
    /// Up to when forgetting has been done.
    since: Instant,
}

impl Counter {
    fn at(mut self, now: Instant) -> Counter {
        let passed = now.saturating_duration_since(self.since).as_secs();
        let forgotten = passed.checked_div(FORGOTTEN_AFTER.as_secs()).unwrap_or_default();
        let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX);
        match self.failures.checked_sub(forgotten) {
            None | Some(0) => Counter { failures: 0, since: now, ..self },
            Some(failures) => {
                // What has passed of the next one's time goes on counting.
                self.since += FORGOTTEN_AFTER.saturating_mul(forgotten);
                Counter { failures, ..self }
            }
        }
    }
}

impl Table {
    fn new() -> Table {
        Table { sets: vec![[None; WAYS]; SETS] }
    }

    fn failures(&mut self, key: u64, now: Instant) -> u32 {
        let set = self.set(key).iter().flatten();
        let known = set.copied().find(|counter| counter.key == key);
        known.map_or(0, |counter| counter.at(now).failures)
    }

    fn add(&mut self, key: u64, now: Instant) {
        let set = self.set(key);
        let known = set.iter().position(|slot| slot.is_some_and(|counter| counter.key == key));
        let least = |slot: &Option<Counter>| slot.map_or(0, |counter| counter.at(now).failures);
        let place = known.or_else(|| {
            set.iter().enumerate().min_by_key(|(_, slot)| least(slot)).map(|(place, _)| place)
        });
        let Some(slot) = place.and_then(|place| set.get_mut(place)) else { return };
        let counter = match *slot {
            Some(counter) if counter.key == key => counter.at(now),
            Some(_) | None => Counter { key, failures: 0, since: now },
        };
        let failures = counter.failures.saturating_add(1).min(FAILURES_MAX);
        *slot = Some(Counter { failures, ..counter });
    }

    fn set(&mut self, key: u64) -> &mut [Option<Counter>; WAYS] {
        let place = usize::try_from(key % SETS as u64).unwrap_or_default();
        &mut self.sets[place]
    }
}
