//! What is done with each kind of data.

use std::collections::BTreeMap;

use portcullis_plugin_sdk::MaskAction;
use serde::Deserialize;

use crate::column_types::Shape;
use crate::handle::Handle;
use crate::kind::Kind;

/// What is done with the values of a kind: a word, or the parts to keep.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"partial\", \"constant\", \"null\", \"pseudonym\", \"generalize\", \"pass\", or { keep_first = 1, keep_last = 4, keep_from = \"@\" }"
)]
pub(crate) enum Treatment {
    Word(Word),
    Keep(Keep),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    Pass,
    Partial,
    Pseudonym,
    Generalize,
    Constant,
    Null,
}

/// The parts of a value that stay, in characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keep {
    pub(crate) keep_first: u32,
    pub(crate) keep_last: u32,
    pub(crate) keep_from: String,
}

/// The `[settings]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    email: Treatment,
    phone: Treatment,
    card: Treatment,
    iban: Treatment,
    national_id: Treatment,
    ip: Treatment,
    secret: Treatment,
    name: Treatment,
    address: Treatment,
    birth_date: Treatment,
    other: Treatment,
    /// What stands where a value was.
    pub(crate) fill: String,
    /// The entry of the proxy's `[keys]` that pseudonyms are made with.
    key: String,
    /// Further column names, and the kind of data they hold.
    pub(crate) names: BTreeMap<String, Kind>,
    /// Further labels, and the kind of data they mean.
    labels: BTreeMap<String, Kind>,
    /// Whether values are looked at where no label and no name says what they are.
    pub(crate) inspect: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            email: Treatment::Word(Word::Partial),
            phone: Treatment::Word(Word::Partial),
            card: Treatment::Word(Word::Partial),
            iban: Treatment::Word(Word::Partial),
            national_id: Treatment::Word(Word::Constant),
            ip: Treatment::Word(Word::Partial),
            secret: Treatment::Word(Word::Constant),
            name: Treatment::Word(Word::Partial),
            address: Treatment::Word(Word::Constant),
            birth_date: Treatment::Word(Word::Generalize),
            other: Treatment::Word(Word::Constant),
            fill: "***".to_owned(),
            key: "default".to_owned(),
            names: BTreeMap::new(),
            labels: BTreeMap::new(),
            inspect: true,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), String> {
        // A fill with a delimiter would break arrays, JSON and XML around a masked part.
        let breaks = |c: char| c.is_control() || "\"'\\{}[],:<>&".contains(c);
        if self.fill.is_empty() || self.fill.contains(breaks) {
            return Err("fill must be some text without quotes, braces, commas or the like".into());
        }
        if let Some(name) = self.names.keys().find(|name| **name != name.to_lowercase()) {
            return Err(format!("names are compared in lower case; write {}", name.to_lowercase()));
        }
        Ok(())
    }

    pub(crate) fn kind_of_label(&self, label: &str) -> Kind {
        self.labels.get(label).copied().unwrap_or_else(|| Kind::of_label(label))
    }

    /// Text is treated place by place.
    fn treatment(&self, kind: Kind) -> Option<&Treatment> {
        Some(match kind {
            Kind::Email => &self.email,
            Kind::Phone => &self.phone,
            Kind::Card => &self.card,
            Kind::Iban => &self.iban,
            Kind::NationalId => &self.national_id,
            Kind::Ip => &self.ip,
            Kind::Secret => &self.secret,
            Kind::Name => &self.name,
            Kind::Address => &self.address,
            Kind::BirthDate => &self.birth_date,
            Kind::Other => &self.other,
            Kind::Text => return None,
        })
    }

    pub(crate) fn word(&self, kind: Kind) -> Word {
        match self.treatment(kind) {
            Some(Treatment::Word(word)) => *word,
            Some(Treatment::Keep(_)) => Word::Partial,
            None if self.shows_all_found() => Word::Pass,
            None => Word::Partial,
        }
    }

    /// Whether nothing is hidden of what can be found in a text.
    fn shows_all_found(&self) -> bool {
        let mut found = Kind::ALL.iter().filter(|kind| kind.is_found());
        found.all(|kind| self.word(*kind) == Word::Pass)
    }

    /// The parts of a value of this kind that stay, where parts do.
    pub(crate) fn keep(&self, kind: Kind) -> Option<Keep> {
        match self.treatment(kind)? {
            Treatment::Keep(keep) => Some(keep.clone()),
            Treatment::Word(Word::Partial) => Some(usual_keep(kind)),
            Treatment::Word(
                Word::Pass | Word::Pseudonym | Word::Generalize | Word::Constant | Word::Null,
            ) => None,
        }
    }

    /// What is done with a text value that is said to be of this kind.
    pub(crate) fn text_action(&self, kind: Kind, shape: Shape) -> MaskAction {
        match self.keep(kind) {
            // A few characters at the ends are all that shows, whatever the text is.
            Some(Keep { keep_first, keep_last, keep_from }) if keep_from.is_empty() => {
                return MaskAction::partial(keep_first, keep_last, self.fill.clone());
            }
            // What follows a mark is as long as it likes, so each value has to prove its kind.
            Some(Keep { keep_first, keep_last: 0, keep_from })
                if kind == Kind::Email && keep_from == "@" && shape == Shape::Text =>
            {
                return MaskAction::partial_email(keep_first, self.fill.clone());
            }
            Some(_) => return MaskAction::call(Handle::Single(kind).number()),
            None => {}
        }
        match self.word(kind) {
            Word::Pass => MaskAction::Pass,
            Word::Null => MaskAction::Nullify,
            Word::Pseudonym => self.pseudonym(kind),
            Word::Partial | Word::Generalize | Word::Constant => {
                MaskAction::constant(self.fill.clone())
            }
        }
    }

    pub(crate) fn pseudonym(&self, kind: Kind) -> MaskAction {
        MaskAction::pseudonym(self.key.clone(), kind.label())
    }
}

/// What "partial" keeps of each kind: enough to recognise one's own, too little to use.
fn usual_keep(kind: Kind) -> Keep {
    let keep = |keep_first, keep_last, keep_from: &str| Keep {
        keep_first,
        keep_last,
        keep_from: keep_from.to_owned(),
    };
    match kind {
        Kind::Email => keep(1, 0, "@"),
        Kind::Phone => keep(0, 2, ""),
        Kind::Card => keep(0, 4, ""),
        Kind::Iban => keep(2, 4, ""),
        Kind::NationalId => keep(0, 2, ""),
        Kind::Ip => keep(3, 0, ""),
        Kind::Secret | Kind::Other | Kind::Text => keep(0, 0, ""),
        Kind::Name | Kind::Address => keep(1, 0, ""),
        Kind::BirthDate => keep(4, 0, ""),
    }
}
