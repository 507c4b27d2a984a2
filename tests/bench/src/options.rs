//! What the command line asks for.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::failure::Failure;

/// Where the program and its policies are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) portcullis: PathBuf,
    pub(crate) plugins: PathBuf,
}

/// The words behind a command, apart: `--name value`, `--name`, and the others.
pub(crate) struct Words {
    words: Vec<String>,
}

impl Words {
    pub(crate) fn new(words: &[&str]) -> Words {
        Words { words: words.iter().map(|word| (*word).to_owned()).collect() }
    }

    /// Takes `--name` out, and says whether it was there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() < before
    }

    /// Takes `--name value` out.
    pub(crate) fn value<T>(&mut self, name: &str) -> Result<Option<T>, Failure>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let Some(place) = self.words.iter().position(|word| word == name) else {
            return Ok(None);
        };
        self.words.remove(place);
        if place >= self.words.len() {
            return Err(Failure::new(format!("{name} needs a value")));
        }
        let word = self.words.remove(place);
        word.parse().map(Some).map_err(Failure::to(format!("read {name} {word}")))
    }

    /// Where the program is: `--portcullis`, `--plugins`, or what the environment names.
    pub(crate) fn programs(&mut self) -> Result<Programs, Failure> {
        let mut named = |option: &str, variable: &str| {
            let said = self.value::<PathBuf>(option)?;
            said.or_else(|| std::env::var_os(variable).map(PathBuf::from))
                .ok_or_else(|| Failure::new(format!("{option} or {variable} is needed")))
        };
        Ok(Programs {
            portcullis: named("--portcullis", "PORTCULLIS_BIN")?,
            plugins: named("--plugins", "PORTCULLIS_PLUGINS")?,
        })
    }

    pub(crate) fn seconds(&mut self, name: &str) -> Result<Option<Duration>, Failure> {
        let seconds = self.value::<f64>(name)?;
        let time = seconds.map(Duration::try_from_secs_f64).transpose();
        time.map_err(Failure::to(format!("read {name}")))
    }

    /// What is left: no options.
    pub(crate) fn rest(self) -> Result<Vec<String>, Failure> {
        match self.words.iter().find(|word| word.starts_with('-')) {
            Some(option) => Err(Failure::new(format!("there is no option {option}"))),
            None => Ok(self.words),
        }
    }
}
