//! The texts that came lately, to know the next by that differ from one of them in nothing but
//! values.

use std::hash::{Hash, Hasher};

use portcullis_sql::Template;
use rustc_hash::FxHasher;

/// Texts are told apart by how they begin before they are compared.
const FRONT_BYTES: usize = 24;
const SETS: usize = 64;
/// Of texts that begin alike, so many are kept.
const WAYS: usize = 4;
/// Longer ones are not kept: with these, a worker has 400 KB at most.
const TEXT_BYTES_MAX: usize = 1_024;

/// What is known of such texts.
pub struct Recent<T> {
    slots: Vec<Option<(Template, T)>>,
    /// Where in its set the next one goes.
    next: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Recent<T> {
        Recent { slots: Vec::new(), next: 0 }
    }
}

impl<T> Recent<T> {
    /// What is kept of a text like `text`, if it `holds`.
    pub fn find(&self, text: &str, holds: impl Fn(&T) -> bool) -> Option<&T> {
        let set = self.slots.get(set_of(text)..)?.iter().take(WAYS).flatten();
        let mut fitting = set.filter(|(template, known)| holds(known) && template.fits(text));
        fitting.next().map(|(_, known)| known)
    }

    /// Keeps what holds for `text` and those like it.
    pub fn keep(&mut self, text: &str, template: impl FnOnce() -> Template, known: T) {
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SETS * WAYS, || None);
        }
        self.next = (self.next + 1) % WAYS;
        if let Some(slot) = self.slots.get_mut(set_of(text) + self.next) {
            *slot = Some((template(), known));
        }
    }

    pub fn clear(&mut self) {
        self.slots.clear();
    }
}

/// Where the slots of a text's set begin.
fn set_of(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut hasher = FxHasher::default();
    bytes.get(..FRONT_BYTES).unwrap_or(bytes).hash(&mut hasher);
    hasher.finish() as usize % SETS * WAYS
}
