//! What a suite's tests came to, one way and the other.

use std::collections::{BTreeMap, BTreeSet};

use super::listed::Listed;

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    Skipped,
    /// It was not reached, or is not there.
    Absent,
}

/// Every test of a run, by its name.
#[derive(Clone, Debug, Default)]
pub struct Report(BTreeMap<String, Outcome>);

impl Report {
    pub fn note(&mut self, name: String, outcome: Outcome) {
        // A test that passes and then fails while it is cleared away has failed.
        let known = self.0.entry(name).or_insert(outcome);
        if outcome == Outcome::Failed {
            *known = outcome;
        }
    }

    /// Takes over the outcomes of tests that were run again.
    pub fn replace(&mut self, again: Report) {
        self.0.extend(again.0);
    }

    pub fn outcome(&self, name: &str) -> Outcome {
        self.0.get(name).copied().unwrap_or(Outcome::Absent)
    }

    pub fn passed(&self) -> usize {
        self.0.values().filter(|outcome| **outcome == Outcome::Passed).count()
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

/// A test that does not end the same both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub name: String,
    pub direct: Outcome,
    pub through: Outcome,
}

/// Where the two ways differ, listed or not.
pub fn differences(direct: &Report, through: &Report) -> Vec<Difference> {
    let names: BTreeSet<&String> = direct.names().chain(through.names()).collect();
    let difference = |name: &String| Difference {
        name: name.clone(),
        direct: direct.outcome(name),
        through: through.outcome(name),
    };
    let all = names.into_iter().map(difference);
    all.filter(|difference| difference.direct != difference.through).collect()
}

/// What is wrong: differences that are not listed, and lines of the list that are not true.
pub fn faults(direct: &Report, through: &Report, listed: &Listed) -> Vec<String> {
    let differences = differences(direct, through);
    let unlisted = differences.iter().filter(|difference| !listed.covers(&difference.name));
    let mut faults: Vec<String> = unlisted
        .map(|Difference { name, direct, through }| {
            format!("{name}: {direct:?} directly, {through:?} through the proxy")
        })
        .collect();
    for name in listed.names() {
        let held = differences.iter().any(|difference| difference.name == name);
        match (held, direct.outcome(name)) {
            (true, _) => {}
            (false, Outcome::Absent) => {
                faults.push(format!("{name} is listed, but there is no such test"));
            }
            (false, outcome) => {
                faults.push(format!("{name} is listed, but ends the same both ways: {outcome:?}"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: &[(&str, Outcome)]) -> Report {
        let mut report = Report::default();
        outcomes.iter().for_each(|(name, outcome)| report.note((*name).to_owned(), *outcome));
        report
    }

    fn check(direct: &[(&str, Outcome)], through: &[(&str, Outcome)], list: &str, said: &[&str]) {
        let listed = Listed::read(list).expect("a good list");
        assert_eq!(faults(&report(direct), &report(through), &listed), said);
    }

    #[test]
    fn what_differs_is_listed_and_what_is_listed_differs() {
        use Outcome::{Failed, Passed, Skipped};
        check(&[("a", Passed), ("b", Failed)], &[("a", Passed), ("b", Failed)], "", &[]);
        check(&[("a", Passed)], &[("a", Failed)], "# Why.\na\n", &[]);
        check(
            &[("a", Passed), ("b", Passed), ("c", Passed)],
            &[("a", Failed), ("b", Skipped)],
            "",
            &[
                "a: Passed directly, Failed through the proxy",
                "b: Passed directly, Skipped through the proxy",
                "c: Passed directly, Absent through the proxy",
            ],
        );
        check(
            &[("a", Failed)],
            &[("a", Passed)],
            "",
            &["a: Failed directly, Passed through the proxy"],
        );
        check(
            &[("a", Passed)],
            &[("a", Passed)],
            "# Why.\na\nb\n",
            &[
                "a is listed, but ends the same both ways: Passed",
                "b is listed, but there is no such test",
            ],
        );
    }

    #[test]
    fn a_test_that_fails_when_it_is_cleared_away_has_failed() {
        let report = report(&[("a", Outcome::Passed), ("a", Outcome::Failed)]);
        assert_eq!((report.outcome("a"), report.passed()), (Outcome::Failed, 0));
    }
}
