//! Numbers and dates, down to a step.

use std::fmt::Write;

use crate::calendar::{civil_from_days, days_from_civil};
use crate::datetime::{
    Clock, DAY, SECOND, parse_date, parse_time, parse_timestamp, write_date, write_time,
    write_timestamp,
};
use crate::kind::{Kind, Number, Temporal};

const HOUR: i64 = 3600 * SECOND;

/// How far down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    Number(Decimal),
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Grain {
    pub(crate) fn parse(step: &str) -> Option<Grain> {
        Some(match step {
            "hour" => Grain::Hour,
            "day" => Grain::Day,
            "week" => Grain::Week,
            "month" => Grain::Month,
            "quarter" => Grain::Quarter,
            "year" => Grain::Year,
            number => Grain::Number(Decimal::parse(number).filter(|step| step.units > 0)?),
        })
    }

    /// Appends the text of the value rounded down. `None` where grain, type and value do not
    /// go together.
    pub(crate) fn write(self, kind: Kind, text: &str, out: &mut String) -> Option<()> {
        match (self, kind) {
            (Grain::Number(step), Kind::Number(number)) => {
                let plain = match number {
                    // Without an exponent.
                    Number::Float4 | Number::Float8 => {
                        Some(format!("{}", text.parse::<f64>().ok()?))
                    }
                    Number::Int2 | Number::Int4 | Number::Int8 | Number::Oid | Number::Numeric => {
                        None
                    }
                };
                Decimal::parse(plain.as_deref().unwrap_or(text))?.floor(step)?.write(out);
                Some(())
            }
            (Grain::Number(_), _) => None,
            (_, Kind::Temporal(temporal)) => self.write_temporal(temporal, text, out),
            _ => None,
        }
    }

    fn write_temporal(self, temporal: Temporal, text: &str, out: &mut String) -> Option<()> {
        match temporal {
            Temporal::Date => {
                let first = |days| i32::try_from(self.first_day(i64::from(days))).ok();
                write_date(parse_date(text)?.try_map(first)?, out);
            }
            Temporal::Timestamp | Temporal::TimestampTz => {
                let first = |clock| self.first_micros(clock);
                write_timestamp(parse_timestamp(text)?.try_map(first)?, out);
            }
            Temporal::Time | Temporal::TimeTz if self == Grain::Hour => {
                let clock = parse_time(text)?;
                write_time(Clock { micros: clock.micros / HOUR * HOUR, ..clock }, out);
            }
            Temporal::Time | Temporal::TimeTz | Temporal::Interval => return None,
        }
        Some(())
    }

    /// On the clock that the text shows, whatever its zone.
    fn first_micros(self, clock: Clock) -> Option<Clock> {
        let micros = if self == Grain::Hour {
            clock.micros.div_euclid(HOUR).checked_mul(HOUR)?
        } else {
            self.first_day(clock.micros.div_euclid(DAY)).checked_mul(DAY)?
        };
        Some(Clock { micros, ..clock })
    }

    fn first_day(self, days: i64) -> i64 {
        let (year, month, _) = civil_from_days(days);
        match self {
            Grain::Number(_) | Grain::Hour | Grain::Day => days,
            // Day 0, 2000-01-01, was a Saturday; weeks begin on Monday.
            Grain::Week => days - (days + 5).rem_euclid(7),
            Grain::Month => days_from_civil(year, month, 1),
            Grain::Quarter => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
            Grain::Year => days_from_civil(year, 1, 1),
        }
    }
}

/// A decimal number: `units` of 10^-`scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    units: i128,
    scale: usize,
}

impl Decimal {
    fn parse(text: &str) -> Option<Decimal> {
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = integer.strip_prefix('-').unwrap_or(integer);
        let mut all = digits.bytes().chain(fraction.bytes());
        if digits.is_empty() || !all.all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let units = format!("{integer}{fraction}").parse().ok()?;
        Some(Decimal { units, scale: fraction.len() })
    }

    /// The greatest multiple of `step` that is not greater.
    fn floor(self, step: Decimal) -> Option<Decimal> {
        let scale = self.scale.max(step.scale);
        let step = step.units_at(scale)?;
        let units = self.units_at(scale)?.div_euclid(step).checked_mul(step)?;
        // A multiple of a coarse step needs no more digits than the value came with.
        let excess = u32::try_from(scale - self.scale).ok()?;
        let unit = 10_i128.checked_pow(excess)?;
        Some(match units % unit {
            0 => Decimal { units: units / unit, scale: self.scale },
            _ => Decimal { units, scale },
        })
    }

    fn units_at(self, scale: usize) -> Option<i128> {
        let shift = u32::try_from(scale.checked_sub(self.scale)?).ok()?;
        self.units.checked_mul(10_i128.checked_pow(shift)?)
    }

    fn write(self, out: &mut String) {
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = self.scale + 1);
        let (integer, fraction) = digits.split_at(digits.len() - self.scale);
        let point = if fraction.is_empty() { "" } else { "." };
        // Writing to a String cannot fail.
        let _ = write!(out, "{sign}{integer}{point}{fraction}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, step: &str, text: &str, expected: Option<&str>) {
        let mut out = String::new();
        let written = Grain::parse(step).and_then(|grain| grain.write(kind, text, &mut out));
        assert_eq!(written.map(|()| out.as_str()), expected, "{text} by {step}");
    }

    #[test]
    fn numbers_go_down_to_a_multiple() {
        check(Kind::Number(Number::Int4), "10", "57", Some("50"));
        check(Kind::Number(Number::Int4), "10", "-57", Some("-60"));
        check(Kind::Number(Number::Int8), "1000", "999", Some("0"));
        check(Kind::Number(Number::Numeric), "1000", "54321.99", Some("54000.00"));
        check(Kind::Number(Number::Numeric), "0.5", "3.7", Some("3.5"));
        check(Kind::Number(Number::Numeric), "0.25", "-0.1", Some("-0.25"));
        check(Kind::Number(Number::Float8), "0.1", "0.35", Some("0.30"));
        check(Kind::Number(Number::Float8), "1000", "1.5e+20", Some("150000000000000000000"));
        check(Kind::Number(Number::Numeric), "10", "NaN", None);
        check(Kind::Number(Number::Numeric), "10", "1e30", None);
        check(Kind::Number(Number::Int4), "0", "5", None);
        check(Kind::Number(Number::Int4), "-5", "5", None);
        check(Kind::Number(Number::Int4), "ten", "5", None);
        check(Kind::Number(Number::Int4), "month", "5", None);
        check(Kind::Text, "10", "57", None);
    }

    #[test]
    fn dates_go_down_to_the_first_day() {
        check(Kind::Temporal(Temporal::Date), "year", "2026-11-22", Some("2026-01-01"));
        check(Kind::Temporal(Temporal::Date), "quarter", "2026-11-22", Some("2026-10-01"));
        check(Kind::Temporal(Temporal::Date), "month", "2024-02-29", Some("2024-02-01"));
        check(Kind::Temporal(Temporal::Date), "week", "2026-11-22", Some("2026-11-16"));
        check(Kind::Temporal(Temporal::Date), "week", "2000-01-01", Some("1999-12-27"));
        check(Kind::Temporal(Temporal::Date), "year", "0044-03-15 BC", Some("0044-01-01 BC"));
        check(Kind::Temporal(Temporal::Date), "year", "infinity", Some("infinity"));
        check(Kind::Temporal(Temporal::Date), "10", "2026-11-22", None);
        check(Kind::Temporal(Temporal::Date), "year", "22/11/2026", None);
        let stamp = "2026-11-22 05:22:52.25";
        check(Kind::Temporal(Temporal::Timestamp), "day", stamp, Some("2026-11-22 00:00:00"));
        check(
            Kind::Temporal(Temporal::Timestamp),
            "hour",
            "1999-12-31 23:59:59",
            Some("1999-12-31 23:00:00"),
        );
        check(
            Kind::Temporal(Temporal::TimestampTz),
            "month",
            "2026-11-22 05:22:52+02",
            Some("2026-11-01 00:00:00+02"),
        );
        check(Kind::Temporal(Temporal::Time), "hour", "05:22:52", Some("05:00:00"));
        check(Kind::Temporal(Temporal::Time), "year", "05:22:52", None);
    }
}
