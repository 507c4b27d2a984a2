//! Approvals whose store is memory, and that are announced to nobody.

use std::collections::BTreeMap;
use std::io;

use portcullis_approvals::{Announcer, Approvals, Kept, Limits, Recorder, Store, View};
use portcullis_policy::approval::Lease;
use portcullis_policy::event::ApprovalStep;

pub fn approvals() -> io::Result<Approvals> {
    let store = Box::new(Shelf::default());
    Approvals::start(store, Box::new(Nobody), Box::new(Nobody), Limits::default())
}

#[derive(Default)]
struct Shelf {
    cases: BTreeMap<String, View>,
}

impl Store for Shelf {
    fn load(&mut self) -> io::Result<Kept> {
        Ok(Kept::default())
    }

    fn keep(&mut self, view: &View, _: Option<&Lease>) -> io::Result<()> {
        self.cases.insert(view.id.clone(), view.clone());
        Ok(())
    }

    fn remove_lease(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn case(&mut self, id: &str) -> io::Result<Option<View>> {
        Ok(self.cases.get(id).cloned())
    }

    fn ended(&mut self, count_max: usize) -> io::Result<Vec<View>> {
        Ok(self.cases.values().take(count_max).cloned().collect())
    }

    fn forget(&mut self, count_max: usize, _: u64) -> io::Result<()> {
        while self.cases.len() > count_max {
            self.cases.pop_first();
        }
        Ok(())
    }
}

struct Nobody;

impl Recorder for Nobody {
    fn record(&mut self, _: ApprovalStep) -> io::Result<()> {
        Ok(())
    }
}

impl Announcer for Nobody {
    fn announce(&self, _: &View) {}
}
