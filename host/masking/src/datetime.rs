//! Dates, times and timestamps: their ISO text, and the numbers behind it.

use std::fmt::Write;
use std::ops::Range;

use crate::calendar::{civil_from_days, days_from_civil, is_valid};

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const DAY: i64 = 86_400 * SECOND;
/// 4714-11-24 BC, the first day of both types.
const DAYS_MIN: i64 = -2_451_545;
/// 294277-01-01, the day behind the last timestamp.
const TIMESTAMP_DAYS_END: i64 = 106_751_983;
/// The dates that there are, up to the day before 5874898-06-03.
pub(crate) const DATE_DAYS: Range<i64> = DAYS_MIN..2_145_031_949;
/// The timestamps that there are.
pub(crate) const TIMESTAMP_MICROS: Range<i64> = DAYS_MIN * DAY..TIMESTAMP_DAYS_END * DAY;
/// Clocks are less than this ahead of UTC or behind it.
pub(crate) const ZONE_SECONDS_END: u32 = 16 * 3600;

/// A date or a timestamp: both know infinities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment<T> {
    MinusInfinity,
    At(T),
    Infinity,
}

impl<T> Moment<T> {
    /// What is infinite stays so; `None` where `change` has no answer.
    pub(crate) fn try_map<U>(self, change: impl FnOnce(T) -> Option<U>) -> Option<Moment<U>> {
        match self {
            Moment::MinusInfinity => Some(Moment::MinusInfinity),
            Moment::At(value) => change(value).map(Moment::At),
            Moment::Infinity => Some(Moment::Infinity),
        }
    }
}

/// A time on a clock, and how far that clock is ahead of UTC where the text says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// For a timestamp since 2000-01-01, for a time since midnight.
    pub(crate) micros: i64,
    pub(crate) zone_seconds: Option<i32>,
}

pub(crate) fn parse_date(text: &str) -> Option<Moment<i32>> {
    if let Some(infinite) = parse_infinity(text) {
        return Some(infinite);
    }
    let (text, before_christ) = split_era(text);
    let days = parse_days(text, before_christ)?;
    i32::try_from(days).ok().filter(|_| DATE_DAYS.contains(&days)).map(Moment::At)
}

pub(crate) fn parse_timestamp(text: &str) -> Option<Moment<Clock>> {
    if let Some(infinite) = parse_infinity(text) {
        return Some(infinite);
    }
    let (text, before_christ) = split_era(text);
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, parse_time(time)?),
        None => (text, Clock { micros: 0, zone_seconds: None }),
    };
    let days = parse_days(date, before_christ)?;
    if !(DAYS_MIN..TIMESTAMP_DAYS_END).contains(&days) || time.micros >= DAY {
        return None;
    }
    let micros = days.checked_mul(DAY)?.checked_add(time.micros)?;
    Some(Moment::At(Clock { micros, zone_seconds: time.zone_seconds }))
}

/// `HH:MM[:SS[.ffffff]][+HH[:MM[:SS]]]`, up to 24:00:00.
pub(crate) fn parse_time(text: &str) -> Option<Clock> {
    let (time, zone) = match text.find(['+', '-', 'Z']) {
        Some(at) => {
            let (time, zone) = text.split_at_checked(at)?;
            (time, Some(parse_zone(zone)?))
        }
        None => (text, None),
    };
    let micros = parse_clock(time).filter(|micros| *micros <= DAY)?;
    Some(Clock { micros, zone_seconds: zone })
}

/// `H+:MM[:SS[.ffffff]]` in microseconds; hours have no end, as in an interval.
pub(crate) fn parse_clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hours: i64 = digits(parts.next()?, 2..=12)?;
    let minutes: i64 = digits(parts.next()?, 2..=2).filter(|minutes| *minutes < 60)?;
    let (seconds, fraction) = match parts.next() {
        Some(seconds) => seconds.split_once('.').unwrap_or((seconds, "0")),
        None => ("00", "0"),
    };
    let seconds: i64 = digits(seconds, 2..=2).filter(|seconds| *seconds < 60)?;
    let places = u32::try_from(fraction.len()).ok()?;
    let fraction = digits(fraction, 1..=6)? * 10_i64.pow(6_u32.checked_sub(places)?);
    if parts.next().is_some() {
        return None;
    }
    let whole = hours.checked_mul(3600)?.checked_add(minutes * 60 + seconds)?;
    whole.checked_mul(SECOND)?.checked_add(fraction)
}

pub(crate) fn write_date(date: Moment<i32>, out: &mut String) {
    match date {
        Moment::MinusInfinity => out.push_str("-infinity"),
        Moment::Infinity => out.push_str("infinity"),
        Moment::At(days) => {
            let before_christ = write_days(i64::from(days), out);
            write_era(before_christ, out);
        }
    }
}

pub(crate) fn write_timestamp(moment: Moment<Clock>, out: &mut String) {
    match moment {
        Moment::MinusInfinity => out.push_str("-infinity"),
        Moment::Infinity => out.push_str("infinity"),
        Moment::At(clock) => {
            let before_christ = write_days(clock.micros.div_euclid(DAY), out);
            out.push(' ');
            write_time(Clock { micros: clock.micros.rem_euclid(DAY), ..clock }, out);
            write_era(before_christ, out);
        }
    }
}

pub(crate) fn write_time(clock: Clock, out: &mut String) {
    write_clock(clock.micros, out);
    if let Some(zone) = clock.zone_seconds {
        write_zone(zone, out);
    }
}

/// `HH:MM:SS[.ffffff]` of microseconds that are not negative, trailing zeros left out.
pub(crate) fn write_clock(micros: i64, out: &mut String) {
    let seconds = micros / SECOND;
    let fraction = micros % SECOND;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    // Writing to a String cannot fail.
    let _ = write!(out, "{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if fraction != 0 {
        let _ = write!(out, ".{fraction:06}");
        out.truncate(out.trim_end_matches('0').len());
    }
}

fn write_zone(zone_seconds: i32, out: &mut String) {
    let seconds = zone_seconds.unsigned_abs();
    out.push(if zone_seconds < 0 { '-' } else { '+' });
    let _ = write!(out, "{:02}", seconds / 3600);
    if !seconds.is_multiple_of(3600) {
        let _ = write!(out, ":{:02}", seconds / 60 % 60);
    }
    if !seconds.is_multiple_of(60) {
        let _ = write!(out, ":{:02}", seconds % 60);
    }
}

/// Writes a day and says whether it is before Christ.
fn write_days(days: i64, out: &mut String) -> bool {
    let (year, month, day) = civil_from_days(days);
    let before_christ = year <= 0;
    let year = if before_christ { 1 - year } else { year };
    let _ = write!(out, "{year:04}-{month:02}-{day:02}");
    before_christ
}

fn write_era(before_christ: bool, out: &mut String) {
    if before_christ {
        out.push_str(" BC");
    }
}

fn parse_infinity<T>(text: &str) -> Option<Moment<T>> {
    match text {
        "infinity" => Some(Moment::Infinity),
        "-infinity" => Some(Moment::MinusInfinity),
        _ => None,
    }
}

fn split_era(text: &str) -> (&str, bool) {
    match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    }
}

fn parse_days(text: &str, before_christ: bool) -> Option<i64> {
    let mut parts = text.split('-');
    let year: i64 = digits(parts.next()?, 4..=7).filter(|year| *year > 0)?;
    let month = u32::try_from(digits(parts.next()?, 2..=2)?).ok()?;
    let day = u32::try_from(digits(parts.next()?, 2..=2)?).ok()?;
    let year = if before_christ { 1 - year } else { year };
    let whole = parts.next().is_none() && is_valid(year, month, day);
    whole.then(|| days_from_civil(year, month, day))
}

/// `Z`, or a sign and `HH[:MM[:SS]]`.
fn parse_zone(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let negative = text.starts_with('-');
    let mut seconds = 0;
    let mut unit = 3600;
    for part in text.get(1..)?.split(':') {
        if unit == 0 {
            return None;
        }
        seconds += i32::try_from(digits(part, 2..=2)?).ok()? * unit;
        unit /= 60;
    }
    (seconds.unsigned_abs() < ZONE_SECONDS_END).then_some(if negative { -seconds } else { seconds })
}

/// A number of so many ASCII digits and nothing else.
fn digits(text: &str, count: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let plain = count.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}
