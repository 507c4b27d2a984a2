//! Names for events: unique over workers and restarts, sortable by time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_policy::event::EventId;

/// Makes ids of the form of a UUID, version 7: milliseconds, a counter, random bits.
/// Lock-free; ids of one source only grow, also when the clock is set back.
pub(crate) struct EventIds {
    /// Milliseconds since the Unix epoch, then 12 bits that count within one.
    last: AtomicU64,
    /// Drawn when the ledger is opened: tells two runs apart that see the same clock.
    seed: u64,
}

impl EventIds {
    pub(crate) fn new() -> std::io::Result<EventIds> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(EventIds { last: AtomicU64::new(0), seed: u64::from_le_bytes(seed) })
    }

    pub(crate) fn next(&self, now: SystemTime) -> EventId {
        let micros = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let millis = u64::try_from(micros / 1000).unwrap_or(0);
        // The 12 bits begin as the fraction of the millisecond, so that ids of two sources
        // sort nearly as they were made.
        let fraction = u64::try_from(micros % 1000).unwrap_or(0) << 2;
        let wanted = (millis << 12) | fraction;
        let grow = |last: u64| Some(wanted.max(last.wrapping_add(1)));
        let last = match self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow) {
            Ok(last) | Err(last) => last,
        };
        let tick = wanted.max(last.wrapping_add(1));
        let random = mix(self.seed.wrapping_add(tick));
        let high = ((tick >> 12) << 16) | 0x7000 | (tick & 0xfff);
        let low = (random >> 2) | (1 << 63);
        EventId((u128::from(high) << 64) | u128::from(low))
    }
}

/// SplitMix64's finish: a bijection that spreads every bit.
fn mix(number: u64) -> u64 {
    let spread = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let spread = (spread ^ (spread >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    spread ^ (spread >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_goes_back() {
        let ids = EventIds::new().unwrap();
        let noon = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let times = [noon, noon, noon - Duration::from_secs(60), noon + Duration::from_millis(1)];
        let made: Vec<EventId> = times.iter().map(|time| ids.next(*time)).collect();
        assert!(made.is_sorted(), "{made:?}");
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len());
    }

    #[test]
    fn ids_have_the_form_of_a_uuid() {
        let ids = EventIds::new().unwrap();
        let noon = UNIX_EPOCH + Duration::from_millis(0x0123_4567_89ab);
        let text = ids.next(noon).to_string();
        assert_eq!(&text[..13], "0123456789ab7");
        assert!("89ab".contains(&text[16..17]), "{text}");
    }

    #[test]
    fn threads_and_restarts_never_share_an_id() {
        let first = EventIds::new().unwrap();
        let second = EventIds::new().unwrap();
        let made: Vec<EventId> = std::thread::scope(|scope| {
            let threads: Vec<_> = [&first, &first, &second, &second]
                .into_iter()
                .map(|ids| {
                    scope.spawn(|| {
                        (0..5000).map(|_| ids.next(SystemTime::now())).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 20_000);
    }
}
