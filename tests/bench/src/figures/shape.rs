//! Statements whose shape nobody has sent before.

use std::time::Instant;

use crate::accounts;
use crate::failure::Failure;
use crate::finding::{Finding, Unit};
use crate::measuring::{Done, Measuring};
use crate::portcullis::Who;
use crate::rounds::{Sample, Samples, median};
use crate::target::Target;

/// In one round, whatever time it takes.
const SHAPES_MIN: u64 = 200;

/// A text for each number; what stays the same is what the ledger is searched for.
struct Form {
    title: &'static str,
    mark: &'static str,
    text: fn(u64) -> String,
}

const KEYED: Form = Form {
    title: "CPU of a shape seen first",
    mark: "AS balance_",
    text: |number| {
        format!("SELECT abalance AS balance_{number} FROM pgbench_accounts WHERE aid = 77")
    },
};

const JOIN: Form = Form {
    title: "CPU of a shape seen first, a join",
    mark: "AS people_",
    text: |number| {
        format!(
            "SELECT p.subject, count(*) AS people_{number}, sum(a.abalance) \
             FROM people p JOIN pgbench_accounts a ON a.aid = p.id \
             WHERE p.id BETWEEN 7 AND 9 AND a.bid IN (1, 2, 3) \
             GROUP BY p.subject HAVING count(*) > 0 ORDER BY 2 DESC LIMIT 10"
        )
    },
};

/// Analysis, judging and ledger: what the proxy spends on such a statement beyond what the
/// splice spends on moving it.
pub(crate) fn first_seen(measuring: &Measuring) -> Result<Vec<Finding>, Failure> {
    let (value, beside) = first_seen_of(measuring, &KEYED)?;
    let judged = Finding::reported(KEYED.title, value, Unit::Microseconds)
        .beside(beside)
        .limits(60.0, Some(25.0));
    let (value, beside) = first_seen_of(measuring, &JOIN)?;
    let reported = Finding::reported(JOIN.title, value, Unit::Microseconds).beside(beside);
    Ok(vec![judged, reported])
}

fn first_seen_of(measuring: &Measuring, form: &Form) -> Result<(f64, String), Failure> {
    let proxy = measuring.portcullis(1)?;
    let ours = proxy.target("new", Who::Usual);
    let targets =
        [measuring.splice.clone(), ours.clone(), { Target { name: "known".to_owned(), ..ours } }];
    let mut sessions = Vec::new();
    for target in &targets {
        let mut session = target.connect().map_err(Failure::to("connect"))?;
        session.query(&(form.text)(0), |_| {}).map_err(Failure::to("warm up"))?;
        sessions.push(session);
    }
    let mut number = 0;
    let mut asked = 2;
    let mut rows = 2;
    let samples = measuring.rounds(&targets, |index| {
        let (Some(session), Some(target)) = (sessions.get_mut(index), targets.get(index)) else {
            return Err(Failure::new("nobody is there"));
        };
        let begun = Instant::now();
        let (mut answered, mut shapes) = (0, 0);
        while begun.elapsed() < measuring.time || shapes < SHAPES_MIN {
            (number, shapes) = (number + 1, shapes + 1);
            let text = (form.text)(if target.name == "known" { 0 } else { number });
            answered += session.query(&text, |_| {}).map_err(Failure::to(&text))?.rows;
        }
        if target.pid == Some(proxy.pid()) {
            asked += shapes;
            rows += answered;
        }
        let per_second = shapes as f64 / begun.elapsed().as_secs_f64();
        Ok(Done { units: shapes, per_second })
    })?;
    // The warm-up had as many rows as any other.
    let each = rows.saturating_sub(2) / asked.saturating_sub(2).max(1);
    accounts::check(&proxy, form.mark, asked, asked * each)?;
    let beyond = |target: &str| beyond(&samples, target);
    let beside = format!(
        "beyond the splice's {:.1} µs; {:.1} µs when it is known",
        samples.median("splice", Sample::cpu_us_per_unit),
        beyond("known")
    );
    Ok((beyond("new"), beside))
}

fn beyond(samples: &Samples, target: &str) -> f64 {
    let pairs = samples.of(target).iter().zip(samples.of("splice"));
    let cpu = Sample::cpu_us_per_unit;
    median(pairs.map(|(one, splice)| cpu(one) - cpu(splice)).collect())
}
