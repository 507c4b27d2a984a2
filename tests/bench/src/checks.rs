//! What must hold after a long or a heavy run, and what was seen.

use crate::failure::Failure;

/// Lines of a report; some say that something does not hold.
#[derive(Default)]
pub(crate) struct Checks {
    lines: Vec<String>,
    broken: usize,
}

impl Checks {
    /// Something that was seen.
    pub(crate) fn note(&mut self, what: &str, seen: impl std::fmt::Display) {
        self.say(format!("        {what}: {seen}"));
    }

    /// Something that must hold.
    pub(crate) fn hold(&mut self, holds: bool, what: &str, seen: impl std::fmt::Display) {
        self.broken += usize::from(!holds);
        let word = if holds { "ok" } else { "BROKEN" };
        self.say(format!("{word:<7} {what}: {seen}"));
    }

    /// At once, for whoever waits.
    fn say(&mut self, line: String) {
        println!("{line}");
        self.lines.push(line);
    }

    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }

    pub(crate) fn end(&self) -> Result<(), Failure> {
        match self.broken {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} of these do not hold"))),
        }
    }
}
