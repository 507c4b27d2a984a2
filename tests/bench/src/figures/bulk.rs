//! A million rows of six columns.

use std::time::Instant;

use crate::accounts;
use crate::failure::Failure;
use crate::finding::{Finding, Unit};
use crate::measuring::{Done, Measuring};
use crate::portcullis::{Portcullis, Who};
use crate::rounds::{Sample, Samples};
use crate::stage::{PLANTED, PLANTED_ROW};
use crate::target::Target;
use crate::wire::{Connection, cells};
use crate::workload::ROWS;

const PEOPLE: &str = "SELECT * FROM people";
const REMARKS: &str = "SELECT * FROM remarks";

/// Nobody masks anything.
pub(crate) fn clear(measuring: &Measuring) -> Result<Vec<Finding>, Failure> {
    let proxy = measuring.portcullis(1)?;
    let targets = targets(measuring, &[&measuring.splice], &proxy, &[Who::Clear]);
    let samples = stream(measuring, &targets, &proxy, PEOPLE, is_stored, 0)?;
    let mut findings = vec![
        finding("CPU per million rows, nothing masked", &samples, Who::Clear.name(), "splice")
            .limits(1.1, Some(1.0)),
    ];
    findings.extend(measuring.peers.iter().map(|peer| {
        let title = format!("CPU per million rows, nothing masked: {}", peer.name);
        finding(&title, &samples, &peer.name, "splice")
    }));
    Ok(findings)
}

/// Three columns masked by `pii-mask`; and the same with its defaults, which look at what the
/// other two columns of text hold.
pub(crate) fn masked(measuring: &Measuring) -> Result<Vec<Finding>, Failure> {
    let proxy = measuring.portcullis(1)?;
    let who = [Who::Labelled, Who::Usual];
    let targets = targets(measuring, &[&measuring.splice, &measuring.mask], &proxy, &who);
    let cells = 3 * u64::from(ROWS);
    let samples = stream(measuring, &targets, &proxy, PEOPLE, is_masked, cells)?;
    let title = "CPU per million rows, 3 columns masked";
    let mut findings = vec![
        finding(title, &samples, Who::Labelled.name(), "mask").limits(1.25, Some(1.0)),
        finding(&format!("{title}, 2 inspected"), &samples, Who::Usual.name(), "mask"),
    ];
    findings.extend(measuring.peers.iter().map(|peer| {
        let title = format!("{title}, beside {} that masks nothing", peer.name);
        finding(&title, &samples, Who::Labelled.name(), &peer.name).limits(1.0, None)
    }));
    Ok(findings)
}

/// No column is known to hold anything: all text is looked at, and one value is found.
pub(crate) fn inspected(measuring: &Measuring) -> Result<Vec<Finding>, Failure> {
    let proxy = measuring.portcullis(1)?;
    let targets = targets(measuring, &[&measuring.splice], &proxy, &[Who::Usual]);
    let samples = stream(measuring, &targets, &proxy, REMARKS, is_clean, 1)?;
    Ok(vec![
        finding("CPU per million rows, 5 columns inspected", &samples, Who::Usual.name(), "splice")
            .limits(2.5, Some(1.6)),
    ])
}

fn targets(
    measuring: &Measuring,
    floors: &[&Target],
    proxy: &Portcullis,
    who: &[Who],
) -> Vec<Target> {
    let mut targets = vec![measuring.stage.direct()];
    targets.extend(floors.iter().map(|floor| (*floor).clone()));
    targets.extend(who.iter().map(|who| proxy.target(who.name(), *who)));
    targets.extend(measuring.peers.iter().cloned());
    targets
}

/// Streams the whole answer to each target in each round. Before, every row is looked at once;
/// what is measured must have as many bytes. `fits` says whether a row is what somebody should
/// see, the second argument being whether they come through our proxy.
fn stream(
    measuring: &Measuring,
    targets: &[Target],
    proxy: &Portcullis,
    text: &str,
    fits: impl Fn(u32, bool, &[Option<&[u8]>]) -> bool,
    cells_masked: u64,
) -> Result<Samples, Failure> {
    let mut sessions: Vec<(Connection, u64)> = Vec::new();
    let mut expected = (0, 0);
    for target in targets {
        let name = &target.name;
        let ours = target.pid == Some(proxy.pid());
        let mut session = target.connect().map_err(Failure::to(format!("connect to {name}")))?;
        let mut wrong = None;
        let mut number = 0;
        let looked_at = session.query(text, |row| {
            number += 1;
            if name != "mask" && wrong.is_none() && !fits(number, ours, &cells(row)) {
                wrong = Some(format!("{name} answers {:?}", String::from_utf8_lossy(row)));
            }
        });
        let answer = looked_at.map_err(Failure::to(format!("ask {name}")))?;
        if let Some(wrong) = wrong {
            return Err(Failure::new(wrong));
        }
        expected.0 += u64::from(ours) * (1 + measuring.rounds as u64);
        expected.1 += u64::from(ours) * (1 + measuring.rounds as u64) * answer.rows;
        sessions.push((session, answer.bytes));
    }
    let samples = measuring.rounds(targets, |index| {
        let Some((session, bytes)) = sessions.get_mut(index) else {
            return Err(Failure::new("nobody asks there"));
        };
        let begun = Instant::now();
        let answer = session.query(text, |_| {}).map_err(Failure::to("stream"))?;
        let elapsed = begun.elapsed().as_secs_f64();
        if answer.bytes != *bytes || answer.rows != u64::from(ROWS) {
            return Err(Failure::new(format!("{bytes} bytes at first, then {answer:?}")));
        }
        let per_second = answer.rows as f64 / elapsed;
        Ok(Done { units: answer.rows, per_second })
    })?;
    let account = accounts::check(proxy, text, expected.0, expected.1)?;
    if account.cells_masked != expected.0 * cells_masked {
        return Err(Failure::new(format!(
            "{cells_masked} cells should be masked in each of {account:?}"
        )));
    }
    Ok(samples)
}

fn is_stored(number: u32, _: bool, row: &[Option<&[u8]>]) -> bool {
    let [Some(id), _, Some(email), Some(phone), Some(ssn), _] = row else { return false };
    *id == number.to_string().as_bytes()
        && email.starts_with(format!("user{number}.").as_bytes())
        && *phone == phone_of(number).as_bytes()
        && *ssn == ssn_of(number).as_bytes()
}

/// Address, telephone number and identity number masked, and nothing else.
fn is_masked(number: u32, ours: bool, row: &[Option<&[u8]>]) -> bool {
    if !ours {
        return is_stored(number, ours, row);
    }
    let [Some(id), Some(subject), Some(email), Some(phone), Some(ssn), Some(notes)] = row else {
        return false;
    };
    let last_two = format!("***{:02}", number % 100);
    *id == number.to_string().as_bytes()
        && !subject.contains(&b'*')
        && *email == format!("u***@example{}.com", number % 97).as_bytes()
        && *phone == last_two.as_bytes()
        && *ssn == b"***"
        && notes.starts_with(b"note ")
        && notes.len() == "note ".len() + 32
}

/// Nothing is masked but what was planted.
fn is_clean(number: u32, ours: bool, row: &[Option<&[u8]>]) -> bool {
    let [Some(id), Some(subject), Some(progress), Some(shelf), Some(level), Some(remark)] = row
    else {
        return false;
    };
    let lot = number % 97;
    let planted = match ours {
        true => "ask p***@example.com for it".to_owned(),
        false => format!("ask {PLANTED} for it"),
    };
    *id == number.to_string().as_bytes()
        && !subject.contains(&b'*')
        && *progress == format!("batch {number} of lot {lot} is complete").as_bytes()
        && *shelf == format!("shelf {} row {}", 200 + number % 700, number % 100).as_bytes()
        && *level == format!("level {}", number % 9999).as_bytes()
        && match number {
            PLANTED_ROW => *remark == planted.as_bytes(),
            _ => remark.starts_with(b"note ") && remark.len() == "note ".len() + 32,
        }
}

fn phone_of(number: u32) -> String {
    format!("+1-{}-555-{:04}", 200 + number % 700, number % 10_000)
}

fn ssn_of(number: u32) -> String {
    format!("{:03}-{:02}-{:04}", number % 899 + 1, number % 99 + 1, number % 9_999 + 1)
}

/// CPU in milliseconds per million rows, beside the base's.
fn finding(title: &str, samples: &Samples, target: &str, base: &str) -> Finding {
    let cpu = Sample::cpu_us_per_unit;
    let show = |name: &str| format!("{:.0} ms", samples.median(name, cpu) * 1000.0);
    Finding::reported(title, samples.ratio(target, base, cpu), Unit::Times)
        .measured(show(target))
        .beside(format!("{base} {}", show(base)))
}
