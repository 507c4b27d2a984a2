//! What was found, held against what was asked for.

use std::fmt::Write;

/// What a judged number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Of what it is compared with.
    Times,
    Microseconds,
    Milliseconds,
    Kilobytes,
    Megabytes,
}

impl Unit {
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Times => format!("{value:.2} ×"),
            Unit::Microseconds => format!("{value:.1} µs"),
            Unit::Milliseconds => format!("{value:.2} ms"),
            Unit::Kilobytes => format!("{value:.1} KB"),
            Unit::Megabytes => format!("{value:.2} MB"),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) figure: String,
    /// As it was measured, and what beside.
    pub(crate) measured: String,
    pub(crate) beside: String,
    /// The number that is judged.
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    pub(crate) at_most: Option<f64>,
    pub(crate) reach: Option<f64>,
}

impl Finding {
    /// Something that is reported and has no limit.
    pub(crate) fn reported(figure: impl Into<String>, value: f64, unit: Unit) -> Finding {
        Finding {
            figure: figure.into(),
            measured: unit.show(value),
            beside: String::new(),
            value,
            unit,
            at_most: None,
            reach: None,
        }
    }

    pub(crate) fn measured(self, measured: impl Into<String>) -> Finding {
        Finding { measured: measured.into(), ..self }
    }

    pub(crate) fn beside(self, beside: impl Into<String>) -> Finding {
        Finding { beside: beside.into(), ..self }
    }

    pub(crate) fn limits(self, at_most: f64, reach: Option<f64>) -> Finding {
        Finding { at_most: Some(at_most), reach, ..self }
    }

    /// In a few words, for whoever waits for the table.
    pub(crate) fn line(&self) -> String {
        let Finding { figure, measured, beside, .. } = self;
        let judged = self.unit.show(self.value);
        format!("{figure}: {measured} ({beside}), {judged} {}", self.verdict())
    }

    /// More than so many times its limit, or nothing that can be compared. Stalls, which are what
    /// counts in milliseconds, are not held to: the longest is that of the machine.
    pub(crate) fn exceeds(&self, times: f64) -> bool {
        let limit = self.at_most.filter(|_| self.unit != Unit::Milliseconds);
        limit.is_some_and(|limit| self.value.is_nan() || self.value > times * limit)
    }

    fn verdict(&self) -> &'static str {
        let within = |limit: Option<f64>| limit.is_some_and(|limit| self.value <= limit);
        match self.at_most {
            None => "",
            Some(_) if within(self.reach) => "reached",
            Some(_) if within(self.at_most) => "pass",
            Some(_) => "MISS",
        }
    }
}

/// The table, as Markdown that can be read as it is.
pub(crate) fn table(findings: &[Finding]) -> String {
    let heads = ["figure", "measured", "beside", "ratio", "at most", "reach for", ""];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(findings.iter().map(|finding| {
        let limit = |limit: Option<f64>| limit.map_or(String::new(), |l| finding.unit.show(l));
        let ratio = match finding.unit {
            Unit::Times => finding.unit.show(finding.value),
            Unit::Microseconds | Unit::Milliseconds | Unit::Kilobytes | Unit::Megabytes => {
                String::new()
            }
        };
        [
            finding.figure.clone(),
            finding.measured.clone(),
            finding.beside.clone(),
            ratio,
            limit(finding.at_most),
            limit(finding.reach),
            finding.verdict().to_owned(),
        ]
    }));
    let width = |column: usize| {
        rows.iter().map(|row| row.get(column).map_or(0, |cell| cell.chars().count())).max()
    };
    let widths: Vec<usize> = (0..heads.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let fill = " ".repeat(width - cell.chars().count());
            // Words begin at the left, numbers end at the right.
            let _ = match column {
                0 | 2 | 6 => write!(text, "| {cell}{fill} "),
                _ => write!(text, "| {fill}{cell} "),
            };
        }
        text.push_str("|\n");
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                let mark = if matches!(column, 0 | 2 | 6) { "-" } else { ":" };
                let _ = write!(text, "| {}{mark} ", "-".repeat(width.saturating_sub(1)));
            }
            text.push_str("|\n");
        }
    }
    text
}
