//! How a plan tells `mask` what the cells are that it will see.

use crate::kind::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handle {
    /// Text, in which what is found is hidden.
    Text,
    /// The same for JSON, whose numbers need care.
    Json,
    /// Values said to be of a kind: what is not a single value of it is hidden whole.
    Single(Kind),
}

/// The handles from here on are kinds, in their order.
const SINGLES: u32 = 2;

impl Handle {
    pub(crate) fn number(self) -> u32 {
        match self {
            Handle::Text => 0,
            Handle::Json => 1,
            Handle::Single(kind) => SINGLES + kind as u32,
        }
    }

    /// `None` for a number that no plan gave out.
    pub(crate) fn of_number(number: u32) -> Option<Handle> {
        let single = |kind: Kind| Handle::Single(kind);
        let known = [Handle::Text, Handle::Json].into_iter();
        let mut handles = known.chain(Kind::ALL.iter().copied().map(single));
        handles.find(|handle| handle.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handle_is_known_by_a_number_of_its_own() {
        let singles = Kind::ALL.iter().map(|kind| Handle::Single(*kind));
        let handles: Vec<Handle> =
            [Handle::Text, Handle::Json].into_iter().chain(singles).collect();
        for (number, handle) in (0..).zip(&handles) {
            assert_eq!((handle.number(), Handle::of_number(number)), (number, Some(*handle)));
        }
        assert_eq!(Handle::of_number(handles.len() as u32), None);
        assert_eq!(Handle::of_number(u32::MAX), None);
    }
}
