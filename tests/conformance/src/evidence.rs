//! What a run left behind in the proxy: its ledger, its log, its memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use end_to_end::Portcullis;
use serde_json::Value;

/// More than this after a suite would be a leak.
const RESIDENT_MEGABYTES_MAX: u64 = 512;
/// Suites have few values that are that large.
const FAULTS_OF_SIZE_MAX: usize = 4;
/// So many of a kind are shown.
const SHOWN_MAX: usize = 5;

/// What was found, and what of it should not be.
pub struct Evidence {
    intents: usize,
    /// Cells that would have been masked.
    cells: u64,
    endings: BTreeMap<String, usize>,
    resident_megabytes: u64,
    pub faults: Vec<String>,
}

impl Evidence {
    /// Stops the proxy and reads what it has recorded. Each of `observers` must have been asked
    /// about every statement, and none may have been listened to.
    pub async fn gather(proxy: &mut Portcullis, observers: &[&str]) -> Evidence {
        let resident_megabytes = proxy.resident_kilobytes() / 1024;
        proxy.stop().await;
        let mut evidence = Evidence {
            intents: 0,
            cells: 0,
            endings: BTreeMap::new(),
            resident_megabytes,
            faults: Vec::new(),
        };
        evidence.read_ledger(&proxy.ledger().records(), observers);
        evidence.read_log(&proxy.log());
        if resident_megabytes > RESIDENT_MEGABYTES_MAX {
            evidence.faults.push(format!("the proxy holds {resident_megabytes} MB"));
        }
        evidence
    }

    /// Less than this would mean that the suite went past the proxy, or past its policies.
    pub fn hold_to(&mut self, intents_min: usize, cells_min: u64) {
        let (intents, cells) = (self.intents, self.cells);
        if intents < intents_min {
            self.faults.push(format!("{intents} statements recorded, of {intents_min} at least"));
        }
        if cells < cells_min {
            self.faults.push(format!("{cells} cells would be masked, of {cells_min} at least"));
        }
    }

    fn read_ledger(&mut self, records: &[Value], observers: &[&str]) {
        let of = |kind: &'static str| records.iter().filter(move |record| record["kind"] == kind);
        let mut endings: HashMap<&str, &str> = HashMap::new();
        for outcome in of("outcome") {
            let (event, ending) = (word(outcome, "event"), word(outcome, "ending"));
            *self.endings.entry(ending.to_owned()).or_default() += 1;
            self.cells += outcome["cells_observed"].as_u64().unwrap_or(0);
            endings.insert(event, ending);
        }
        self.intents = of("intent").count();
        let without_outcome = of("intent").filter(|it| !endings.contains_key(word(it, "event")));
        self.note("statements have no outcome", without_outcome);
        self.note(
            "statements were stopped",
            of("intent").filter(|it| it["decision"] != "permitted"),
        );
        for observer in observers {
            let unasked = of("intent").filter(|intent| !asked(intent, observer));
            self.note(&format!("statements {observer} was not asked about"), unasked);
        }
        let masked = |outcome: &&Value| outcome["cells_masked"].as_u64().unwrap_or(0) > 0;
        self.note("results were masked", of("outcome").filter(masked));
        // A value can be larger than all the memory that a policy may have.
        let of_size = |fault: &&Value| fault["fault"] == "memory";
        self.note("policies failed to answer", of("fault").filter(|fault| !of_size(fault)));
        let of_size = of("fault").filter(of_size).count();
        if of_size > FAULTS_OF_SIZE_MAX {
            self.faults.push(format!("{of_size} times a policy had not enough memory"));
        }
    }

    fn note<'r>(&mut self, what: &str, records: impl Iterator<Item = &'r Value>) {
        let records: Vec<&Value> = records.collect();
        if !records.is_empty() {
            let shown: Vec<String> =
                records.iter().take(SHOWN_MAX).map(|record| format!("\n    {record}")).collect();
            self.faults.push(format!("{} {what}:{}", records.len(), shown.concat()));
        }
    }

    fn read_log(&mut self, log: &str) {
        let complaints: Vec<&str> = log
            .lines()
            .filter(|line| ["WARN", "ERROR", "panicked"].iter().any(|word| line.contains(word)))
            .filter(|line| !line.contains("kind=\"memory\""))
            .collect();
        if !complaints.is_empty() {
            let shown: Vec<&str> = complaints.iter().take(SHOWN_MAX).copied().collect();
            let shown = shown.join("\n    ");
            self.faults.push(format!("{} complaints in the log:\n    {shown}", complaints.len()));
        }
    }
}

fn word<'r>(record: &'r Value, field: &str) -> &'r str {
    record[field].as_str().unwrap_or_default()
}

/// Asked, and only observing.
fn asked(intent: &Value, observer: &str) -> bool {
    let answers = intent["answers"].as_array().map_or(&[][..], Vec::as_slice);
    answers.iter().any(|answer| answer["policy"] == observer && answer["mode"] == "observe")
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endings: Vec<String> =
            self.endings.iter().map(|(ending, count)| format!("{count} {ending}")).collect();
        write!(
            f,
            "{} statements recorded ({}), {} cells would be masked, {} MB resident",
            self.intents,
            endings.join(", "),
            self.cells,
            self.resident_megabytes
        )
    }
}
