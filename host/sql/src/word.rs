//! Words of SQL, and what they are to the cutter of shapes.

/// The part a word plays. Every word that may name a column is a `Name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    And,
    Between,
    Delete,
    In,
    Insert,
    /// LIMIT, OFFSET, FETCH.
    Limit,
    Merge,
    Not,
    Or,
    Select,
    Table,
    Update,
    Values,
    With,
    /// Any other reserved word.
    Reserved,
    Name,
}

impl Role {
    /// True for the first words of statements in which literals that are compared with
    /// columns cannot change a fact.
    pub(crate) fn opens_query(self) -> bool {
        match self {
            Role::Delete
            | Role::Insert
            | Role::Merge
            | Role::Select
            | Role::Table
            | Role::Update
            | Role::Values
            | Role::With => true,
            Role::And
            | Role::Between
            | Role::In
            | Role::Limit
            | Role::Not
            | Role::Or
            | Role::Reserved
            | Role::Name => false,
        }
    }
}

/// The role of an unquoted word, in any case.
#[inline]
pub(crate) fn role(word: &[u8]) -> Role {
    static ROLES: Words<Role> = Words::new(&[
        ("and", Role::And),
        ("between", Role::Between),
        ("delete", Role::Delete),
        ("in", Role::In),
        ("insert", Role::Insert),
        ("limit offset fetch", Role::Limit),
        ("merge", Role::Merge),
        ("not", Role::Not),
        ("or", Role::Or),
        ("select", Role::Select),
        ("table", Role::Table),
        ("update", Role::Update),
        ("values", Role::Values),
        ("with", Role::With),
        (RESERVED, Role::Reserved),
    ]);
    ROLES.of(word).unwrap_or(Role::Name)
}

const RESERVED: &str = "\
    all analyse analyze any array as asc asymmetric both by case cast check collate \
    column conflict constraint create cross current_catalog current_date current_role \
    current_time current_timestamp current_user default deferrable desc distinct do \
    else end escape except exists false for foreign from full grant group having ilike \
    initially inner intersect into is isnull join lateral leading left like localtime \
    localtimestamp matched materialized natural notnull null on only order outer \
    overlaps placing primary references returning right row session_user set similar \
    some symmetric then to trailing true uescape union unique user using variadic \
    verbose when where window";

const SLOTS: usize = 512;

/// Words in which every word of every statement is looked for, whatever its case.
pub(crate) struct Words<T: 'static> {
    longest: usize,
    slots: [Option<(&'static [u8], T)>; SLOTS],
}

impl<T: Copy> Words<T> {
    /// Words in lower case, with one space between those that mean the same.
    pub(crate) const fn new(lists: &[(&'static str, T)]) -> Words<T> {
        let mut words = Words { longest: 0, slots: [None; SLOTS] };
        let mut list = 0;
        while list < lists.len() {
            let (mut rest, meaning) = (lists[list].0.as_bytes(), lists[list].1);
            while !rest.is_empty() {
                let mut end = 0;
                while end < rest.len() && rest[end] != b' ' {
                    end += 1;
                }
                let (word, behind) = rest.split_at(end);
                words.put(word, meaning);
                rest = if let [_, behind @ ..] = behind { behind } else { behind };
            }
            list += 1;
        }
        words
    }

    const fn put(&mut self, word: &'static [u8], meaning: T) {
        let mut slot = slot(word);
        while self.slots[slot].is_some() {
            slot = (slot + 1) % SLOTS;
        }
        self.slots[slot] = Some((word, meaning));
        if word.len() > self.longest {
            self.longest = word.len();
        }
    }

    #[inline]
    pub(crate) fn of(&self, word: &[u8]) -> Option<T> {
        if word.len() > self.longest {
            return None;
        }
        let mut slot = slot(word);
        while let Some((known, meaning)) = self.slots[slot] {
            if known.eq_ignore_ascii_case(word) {
                return Some(meaning);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }
}

/// Where a word is, unless another has that place.
#[inline]
const fn slot(word: &[u8]) -> usize {
    let mut hash = word.len() as u32;
    let mut index = 0;
    while index < word.len() {
        // The same for both cases of a letter.
        hash = hash.wrapping_mul(31) ^ (word[index] | 0x20) as u32;
        index += 1;
    }
    (hash.wrapping_mul(0x9e37_79b1) >> 23) as usize
}
