//! The statements of the figures, as a client sends them.

use crate::wire::{cells, put};

/// Rows of each table.
pub(crate) const ROWS: u32 = 1_000_000;

/// One statement by key; a new key each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// One integer, as pgbench's select does it.
    A,
    /// Three columns of text, one of which has a label.
    B,
}

/// By which messages it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Simple,
    Extended,
    Prepared,
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::A => "A",
            Workload::B => "B",
        }
    }

    /// The statement up to its key.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Workload::A => "SELECT abalance FROM pgbench_accounts WHERE aid = ",
            Workload::B => "SELECT subject, email, notes FROM people WHERE id = ",
        }
    }

    /// Whether a row is the answer for `key`: as it is stored, or as somebody sees it who sees
    /// masks.
    pub(crate) fn is_answer(self, key: u32, masked: bool, row: &[u8]) -> bool {
        let lot = key % 97;
        match (self, cells(row).as_slice()) {
            (Workload::A, [Some(balance)]) => balance == b"0",
            (Workload::B, [Some(_), Some(email), Some(notes)]) => {
                let start = format!("user{key}.");
                let masked_email = format!("u***@example{lot}.com");
                let as_stored = email.starts_with(start.as_bytes());
                let as_masked = *email == masked_email.as_bytes();
                notes.starts_with(b"note ") && if masked { as_masked } else { as_stored }
            }
            (Workload::A | Workload::B, _) => false,
        }
    }

    /// What a session sends once, before the first statement.
    pub(crate) fn preparation(self, mode: Mode) -> Option<Vec<u8>> {
        let mut request = Vec::new();
        match mode {
            Mode::Simple | Mode::Extended => return None,
            Mode::Prepared => {
                put(&mut request, b'P', &[b"kept\0", self.text().as_bytes(), b"$1\0", &[0, 0]]);
                put(&mut request, b'S', &[]);
            }
        }
        Some(request)
    }

    /// One statement, in place of what `request` held.
    pub(crate) fn write(self, mode: Mode, key: u32, request: &mut Vec<u8>) {
        request.clear();
        let key = key.to_string();
        let name: &[u8] = match mode {
            Mode::Simple => {
                return put(request, b'Q', &[self.text().as_bytes(), key.as_bytes(), b"\0"]);
            }
            Mode::Extended => {
                put(request, b'P', &[b"\0", self.text().as_bytes(), b"$1\0", &[0, 0]]);
                b"\0"
            }
            Mode::Prepared => b"kept\0",
        };
        let length = u32::try_from(key.len()).unwrap_or(0).to_be_bytes();
        let bind = [b"\0", name, &[0, 0, 0, 1], &length, key.as_bytes(), &[0, 0]];
        put(request, b'B', &bind);
        put(request, b'D', &[b"P\0"]);
        put(request, b'E', &[&[0; 5]]);
        put(request, b'S', &[]);
    }
}

impl Mode {
    pub(crate) const ALL: [Mode; 3] = [Mode::Simple, Mode::Extended, Mode::Prepared];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Simple => "simple",
            Mode::Extended => "extended",
            Mode::Prepared => "prepared",
        }
    }
}

/// Keys in no order, the same in every run.
pub(crate) struct Keys(u64);

impl Keys {
    pub(crate) fn new(seed: u64) -> Keys {
        Keys(0x9E37_79B9_7F4A_7C15 ^ (seed + 1).wrapping_mul(0xD134_2543_DE82_EF95))
    }
}

impl Iterator for Keys {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper half of a number below 2^32 times a million is below a million.
        Some((((self.0 >> 32) * u64::from(ROWS)) >> 32) as u32 + 1)
    }
}
