//! Reading TOML tables so that one mistake does not hide the next.
//!
//! Each reader takes the keys it knows and notes what is wrong with them; what is left at
//! the end is unknown. So all errors of a file come out together, each with its place.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;

/// The problems found so far.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) found: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Problems {
    pub(super) fn add(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.found.push(Problem { message: message.into(), span: span.clone() });
    }

    pub(super) fn warn(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.warnings.push(Problem { message: message.into(), span: span.clone() });
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// What may be written short.
pub(super) enum TextOrTable<'t, 'i> {
    Text(Placed<String>),
    Table(Table<'t, 'i>),
}

/// A table being read. Every key asked for counts as known.
pub(super) struct Table<'t, 'i> {
    entries: &'t DeTable<'i>,
    /// Where the table itself stands: its header or braces.
    pub(super) span: Range<usize>,
    /// "[listen]", for messages.
    name: String,
    known: Vec<&'static str>,
}

impl<'t, 'i> Table<'t, 'i> {
    pub(super) fn new(name: &str, entries: &'t DeTable<'i>, span: Range<usize>) -> Self {
        Table { entries, span, name: name.to_owned(), known: Vec::new() }
    }

    /// Notes every key that nobody asked for, with the nearest of those that were.
    pub(super) fn finish(self, problems: &mut Problems) {
        for key in self.entries.keys() {
            let word = key.get_ref().as_ref();
            if !self.known.contains(&word) {
                let near = nearest(word, self.known.iter().copied());
                let message = format!("unknown key `{word}` in {}{near}", self.name);
                problems.add(&key.span(), message);
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.entries.get(key)
    }

    pub(super) fn missing(&self, key: &str, problems: &mut Problems) {
        problems.add(&self.span, format!("{} needs `{key}`", self.name));
    }

    pub(super) fn string(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Placed<String>> {
        let value = self.take(key)?;
        string(key, value, problems)
    }

    /// A string that must be there and not be empty.
    pub(super) fn required(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Placed<String>> {
        if !self.entries.contains_key(key) {
            self.known.push(key);
            self.missing(key, problems);
            return None;
        }
        let value = self.string(key, problems)?;
        if value.value.is_empty() {
            problems.add(&value.span, format!("`{key}` is empty"));
            return None;
        }
        Some(value)
    }

    pub(super) fn strings(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Vec<Placed<String>>> {
        let value = self.take(key)?;
        let Some(array) = value.get_ref().as_array() else {
            mistyped(key, "a list of strings", value, problems);
            return None;
        };
        let mut element = |element: &Spanned<DeValue<'_>>| {
            let text = element.get_ref().as_str().map(str::to_owned);
            if text.is_none() {
                mistyped(key, "a list of strings", element, problems);
            }
            text.map(|value| Placed { value, span: element.span() })
        };
        Some(array.iter().filter_map(&mut element).collect())
    }

    pub(super) fn boolean(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        let value = self.take(key)?;
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            mistyped(key, "true or false", value, problems);
        }
        truth
    }

    /// A whole number within `range`; `default` where it is absent or wrong.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
        problems: &mut Problems,
    ) -> u64 {
        let Some(value) = self.take(key) else { return default };
        let Some(integer) = value.get_ref().as_integer() else {
            mistyped(key, "a whole number", value, problems);
            return default;
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => number,
            Ok(_) | Err(_) => {
                let (least, most) = range.into_inner();
                let message = format!("`{key}` must be between {least} and {most}");
                problems.add(&value.span(), message);
                default
            }
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        default: T,
        problems: &mut Problems,
    ) -> T {
        let Some(text) = self.string(key, problems) else { return default };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.value) {
            return *meaning;
        }
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let near = nearest(&text.value, all.iter().copied());
        let message = format!("`{}` is not a value of `{key}`: {}{near}", text.value, listed(&all));
        problems.add(&text.span, message);
        default
    }

    pub(super) fn table(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Table<'t, 'i>> {
        let value = self.take(key)?;
        match value.get_ref().as_table() {
            Some(entries) => Some(Table::new(&format!("[{key}]"), entries, value.span())),
            None => {
                mistyped(key, "a table", value, problems);
                None
            }
        }
    }

    pub(super) fn tables(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Vec<Table<'t, 'i>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            let message = format!("`{key}` must be written as [[{key}]]: there may be several");
            problems.add(&value.span(), message);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for element in array {
            match element.get_ref().as_table() {
                Some(entries) => {
                    tables.push(Table::new(&format!("[[{key}]]"), entries, element.span()));
                }
                None => mistyped(key, "a table", element, problems),
            }
        }
        tables
    }

    /// `[key]`, or several `[[key]]`.
    pub(super) fn one_or_more(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Vec<Table<'t, 'i>> {
        match self.entries.get(key).map(Spanned::get_ref) {
            Some(value) if value.as_array().is_some() => self.tables(key, problems),
            Some(_) => self.table(key, problems).into_iter().collect(),
            None => {
                self.known.push(key);
                Vec::new()
            }
        }
    }

    /// A string, or a table in its place.
    pub(super) fn text_or_table(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<TextOrTable<'t, 'i>> {
        let value = self.take(key)?;
        if let Some(entries) = value.get_ref().as_table() {
            let table = Table::new(&format!("[{key}]"), entries, value.span());
            return Some(TextOrTable::Table(table));
        }
        let text = value.get_ref().as_str();
        if text.is_none() {
            mistyped(key, "a string or a table", value, problems);
        }
        text.map(|text| TextOrTable::Text(Placed { value: text.to_owned(), span: value.span() }))
    }

    /// All entries of a table whose keys are the operator's own.
    pub(super) fn entries(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Vec<(Placed<String>, Placed<String>)> {
        let Some(table) = self.table(key, problems) else { return Vec::new() };
        table.named(problems, string)
    }

    /// All entries of this table, its keys being names.
    pub(super) fn named<T>(
        &self,
        problems: &mut Problems,
        mut read: impl FnMut(&str, &'t Spanned<DeValue<'i>>, &mut Problems) -> Option<T>,
    ) -> Vec<(Placed<String>, T)> {
        let mut entries = Vec::new();
        for (key, value) in self.entries {
            let name = Placed { value: key.get_ref().to_string(), span: key.span() };
            if let Some(value) = read(&name.value, value, problems) {
                entries.push((name, value));
            }
        }
        entries.sort_by_key(|(name, _)| name.span.start);
        entries
    }
}

fn string(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    problems: &mut Problems,
) -> Option<Placed<String>> {
    let Some(text) = value.get_ref().as_str() else {
        mistyped(key, "a string", value, problems);
        return None;
    };
    Some(Placed { value: text.to_owned(), span: value.span() })
}

pub(super) fn mistyped(
    key: &str,
    expected: &str,
    value: &Spanned<DeValue<'_>>,
    problems: &mut Problems,
) {
    let found = value.get_ref().type_str();
    problems.add(&value.span(), format!("`{key}` must be {expected}, not {found}"));
}

/// "; did you mean `…`?", where a candidate is near enough for a slip.
pub(super) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> String {
    let near = candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 3)
        .min();
    near.map(|(_, candidate)| format!("; did you mean `{candidate}`?")).unwrap_or_default()
}

/// "a, b or c".
fn listed(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
