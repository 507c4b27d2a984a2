//! `interval`, in PostgreSQL's own style.

use std::fmt::Write;

use crate::datetime::{parse_clock, write_clock};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) micros: i64,
}

/// Reads `1 year -2 mons +3 days -04:05:06.789`.
pub(crate) fn parse(text: &str) -> Option<Interval> {
    let mut interval = Interval::default();
    let mut words = text.split_ascii_whitespace().peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if word.contains(':') {
            let micros = parse_signed_clock(word)?;
            interval.micros = interval.micros.checked_add(micros)?;
            continue;
        }
        let count: i32 = word.parse().ok()?;
        let unit = words.next()?;
        match unit.strip_suffix('s').unwrap_or(unit) {
            "year" => {
                interval.months = interval.months.checked_add(count.checked_mul(12)?)?;
            }
            "mon" | "month" => interval.months = interval.months.checked_add(count)?,
            "day" => interval.days = interval.days.checked_add(count)?,
            _ => return None,
        }
    }
    Some(interval)
}

fn parse_signed_clock(word: &str) -> Option<i64> {
    match word.strip_prefix('-') {
        Some(rest) => parse_clock(rest)?.checked_neg(),
        None => parse_clock(word.strip_prefix('+').unwrap_or(word)),
    }
}

pub(crate) fn write(interval: Interval, out: &mut String) -> Option<()> {
    let start = out.len();
    // As PostgreSQL does it: a plus is written behind a negative part, so that the sign of
    // one part is not taken for that of the next.
    let mut before_negative = false;
    let parts =
        [(interval.months / 12, "year"), (interval.months % 12, "mon"), (interval.days, "day")];
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count != 0) {
        let space = if out.len() > start { " " } else { "" };
        let plus = if before_negative && count > 0 { "+" } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        // Writing to a String cannot fail.
        let _ = write!(out, "{space}{plus}{count} {unit}{plural}");
        before_negative = count < 0;
    }
    if interval.micros != 0 || out.len() == start {
        if out.len() > start {
            out.push(' ');
        }
        match (interval.micros < 0, before_negative) {
            (true, _) => out.push('-'),
            (false, true) => out.push('+'),
            (false, false) => (),
        }
        write_clock(interval.micros.checked_abs()?, out);
    }
    Some(())
}
