//! How a session's texts are read, and what of it is known.
//!
//! How a text is read as tokens the server tells by itself, ahead of each ReadyForQuery, by the
//! values of `standard_conforming_strings` and `client_encoding`. Where names lead it tells only
//! when it is asked, which is never done inside a transaction. In between something may run that
//! changes either, and the end of a transaction, which any error can be, takes back what was set
//! in it. What is not known is not used.

use std::borrow::Cow;
use std::sync::Arc;

use portcullis_policy::{Access, Statement};
use portcullis_sql::unread_character;
use portcullis_wire::backend::TransactionStatus;

use crate::effects::{changes_reading, changes_tokens};
use crate::parameters::{is_readable_encoding, unreadable_encoding};
use crate::refusal::Refusal;
use crate::upstream::Reported;

/// What a text means depends on this.
#[derive(Clone, Debug, Eq)]
pub struct Reading {
    /// None: not known.
    pub search_path: Option<Arc<[String]>>,
    /// None: not known.
    pub standard_conforming_strings: Option<bool>,
}

impl PartialEq for Reading {
    fn eq(&self, other: &Reading) -> bool {
        let same_path = match (&self.search_path, &other.search_path) {
            // Mostly the very same one.
            (Some(own), Some(other)) => Arc::ptr_eq(own, other) || own == other,
            (own, other) => own == other,
        };
        same_path && self.standard_conforming_strings == other.standard_conforming_strings
    }
}

impl Reading {
    /// Nothing is known of it.
    pub const UNKNOWN: Reading = Reading { search_path: None, standard_conforming_strings: None };
    const CONFORMING: Reading =
        Reading { standard_conforming_strings: Some(true), ..Self::UNKNOWN };
    const ESCAPING: Reading = Reading { standard_conforming_strings: Some(false), ..Self::UNKNOWN };

    /// Nothing is known but, where the server has said it, how it reads strings.
    const fn of_strings(standard_conforming_strings: Option<bool>) -> &'static Reading {
        match standard_conforming_strings {
            None => &Reading::UNKNOWN,
            Some(true) => &Reading::CONFORMING,
            Some(false) => &Reading::ESCAPING,
        }
    }
}

/// A text that statements are read from.
#[derive(Clone, Copy)]
pub enum Text<'t> {
    /// In the encoding of the session.
    Sent(&'t [u8]),
    /// A part of what was decoded, or the proxy's own.
    Decoded(&'t str),
}

impl<'t> Text<'t> {
    pub fn bytes(self) -> &'t [u8] {
        match self {
            Text::Sent(text) => text,
            Text::Decoded(text) => text.as_bytes(),
        }
    }
}

/// What decides how a text is cut into tokens, and which characters they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAs {
    /// None: not known.
    pub standard_conforming_strings: Option<bool>,
    /// None: not known.
    pub encoding: Option<Encoding>,
}

impl ReadAs {
    /// False where the server may have read a text otherwise than it would be read now. What is not
    /// known now is not trusted anyway.
    pub fn holds(self, now: ReadAs, text: &[u8]) -> bool {
        let strings = now.standard_conforming_strings;
        let same_strings = strings.is_none() || strings == self.standard_conforming_strings;
        let same_encoding = now.encoding.is_none() || now.encoding == self.encoding;
        (same_strings || !text.contains(&b'\\')) && (same_encoding || text.is_ascii())
    }
}

/// A client's encoding. In all of them a byte below 128 is an ASCII character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    /// ISO 8859-1: its bytes are the first 256 characters of Unicode.
    Latin1,
    /// Another of one byte per character.
    Other,
}

impl Encoding {
    /// By the name that the server reports.
    fn named(name: &[u8]) -> Encoding {
        match name {
            // Old clients call it so, and are told the same.
            b"UTF8" | b"UNICODE" => Encoding::Utf8,
            b"LATIN1" => Encoding::Latin1,
            _ => Encoding::Other,
        }
    }
}

/// What of a session's reading is as told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Nothing,
    /// How texts are read as tokens, until something is sent: this transaction may have set it.
    TokensNow,
    /// How texts are read as tokens, but not where names lead.
    Tokens,
    Everything,
}

/// How a session reads its texts, as far as it is known.
pub struct SessionReading {
    told: Reading,
    encoding: Encoding,
    known: Known,
    /// The schemas that its path led to.
    schemas: u64,
    /// Counts up with whatever may have changed any of this.
    number: u64,
}

impl SessionReading {
    /// What a login tells, where the path is that of every new session.
    pub fn at_login(reported: &Reported, path: Arc<[String]>, schemas: u64) -> SessionReading {
        let strings = reported.value("standard_conforming_strings").map(|value| value == b"on");
        SessionReading {
            told: Reading { search_path: Some(path), standard_conforming_strings: strings },
            encoding: reported.value("client_encoding").map_or(Encoding::Other, Encoding::named),
            known: Known::Everything,
            schemas,
            number: 0,
        }
    }

    /// This session's path may be another.
    pub fn path_may_differ(&mut self) {
        self.knows_at_most(Known::Tokens);
    }

    /// How texts are read now.
    pub fn now(&self) -> &Reading {
        match self.known {
            Known::Everything => &self.told,
            Known::Tokens | Known::TokensNow => {
                Reading::of_strings(self.told.standard_conforming_strings)
            }
            Known::Nothing => &Reading::UNKNOWN,
        }
    }

    /// How texts are read as tokens now.
    pub fn read_as(&self) -> ReadAs {
        ReadAs {
            standard_conforming_strings: self.now().standard_conforming_strings,
            encoding: self.tokens_are_known().then_some(self.encoding),
        }
    }

    /// Under the same number the same text was read alike.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The number of the schemas that names are looked up in.
    pub fn schemas(&self) -> u64 {
        self.schemas
    }

    /// Where names lead shows only once the server is asked.
    pub fn must_ask(&self) -> bool {
        self.known < Known::Everything
    }

    pub fn tokens_are_known(&self) -> bool {
        self.known > Known::Nothing
    }

    /// A text, read in the session's encoding. Where it is not known which characters its bytes are,
    /// [`unread_character`]s stand for them.
    ///
    /// # Errors
    /// [`Refusal::Encoding`]: it is not valid, or beyond ASCII while the encoding is not known.
    pub fn decode<'t>(&self, text: Text<'t>) -> Result<Cow<'t, str>, Refusal> {
        let text = match text {
            Text::Sent(text) => text,
            Text::Decoded(text) => return Ok(Cow::Borrowed(text)),
        };
        if !self.tokens_are_known() && !text.is_ascii() {
            // ASCII is the same in all of them.
            return Err(Refusal::Encoding(
                "the client's encoding may have changed: until the server is ready for the next \
                 query only ASCII is read"
                    .into(),
            ));
        }
        match (self.encoding, std::str::from_utf8(text)) {
            (Encoding::Utf8, Ok(text)) => Ok(Cow::Borrowed(text)),
            (Encoding::Utf8, Err(_)) => {
                Err(Refusal::Encoding("the statement is not valid UTF-8".into()))
            }
            (Encoding::Latin1 | Encoding::Other, Ok(ascii)) if ascii.is_ascii() => {
                Ok(Cow::Borrowed(ascii))
            }
            (Encoding::Latin1, _) => Ok(text.iter().map(|&byte| char::from(byte)).collect()),
            (Encoding::Other, _) => Ok(text.iter().map(|&byte| decoded(byte)).collect()),
        }
    }

    /// The database has these schemas now.
    pub fn schemas_are(&mut self, schemas: u64) {
        if self.schemas != schemas {
            // The same path may lead elsewhere.
            self.schemas = schemas;
            self.knows_at_most(Known::Tokens);
        }
    }

    /// A statement was sent: it may run at any time from now on.
    pub fn sent(&mut self, statement: &Statement) {
        let opaque = !statement.opaque.is_empty();
        // The first temporary table puts its schema in front of all others.
        let makes_temporary = statement.relations.iter().any(|relation| {
            relation.access == Access::Define && relation.name.starts_with("pg_temp")
        });
        if opaque || changes_tokens(statement) {
            self.knows_at_most(Known::Nothing);
        } else if makes_temporary || changes_reading(statement) {
            self.knows_at_most(Known::Tokens);
        }
    }

    /// A ParameterStatus has come.
    ///
    /// # Errors
    /// When it tells of an encoding that cannot be read.
    pub fn reported(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match name {
            b"standard_conforming_strings" => {
                self.told.standard_conforming_strings = Some(value == b"on");
            }
            b"client_encoding" => {
                let encoding = String::from_utf8_lossy(value);
                if !is_readable_encoding(&encoding) {
                    return Err(unreadable_encoding(&encoding));
                }
                self.encoding = Encoding::named(value);
            }
            // Told by version 18 and later.
            b"search_path" => self.path_may_differ(),
            _ => return Ok(()),
        }
        self.number += 1;
        Ok(())
    }

    /// The server has something to run that may fail. What was read before that holds.
    pub fn may_be_taken_back(&mut self) {
        if self.known == Known::TokensNow {
            self.known = Known::Nothing;
        }
    }

    /// The server is ready, and has nothing left to run: it has told what has changed.
    pub fn is_ready(&mut self, status: TransactionStatus) {
        self.known = self.known.max(match status {
            TransactionStatus::Idle => Known::Tokens,
            TransactionStatus::InTransaction | TransactionStatus::Failed => Known::TokensNow,
        });
    }

    /// The server was asked, and answers how it reads strings, then its path, schema by schema;
    /// nothing where it cannot.
    pub fn answered(&mut self, values: &[Vec<u8>]) {
        self.told.search_path = None;
        if let Some((strings, path)) = values.split_first() {
            self.told.standard_conforming_strings = Some(strings == b"on");
            // Of a name that is not read, nothing is known of the path.
            self.told.search_path = path.iter().map(|name| self.name(name)).collect();
        }
        self.known = Known::Everything;
        self.number += 1;
    }

    /// A name that the server tells.
    fn name(&self, name: &[u8]) -> Option<String> {
        let is_read = name.is_ascii() || self.encoding != Encoding::Other;
        Some(self.decode(Text::Sent(name)).ok().filter(|_| is_read)?.into_owned())
    }

    fn knows_at_most(&mut self, known: Known) {
        self.known = self.known.min(known);
        self.number += 1;
    }
}

fn decoded(byte: u8) -> char {
    if byte.is_ascii() { char::from(byte) } else { unread_character(byte) }
}

#[cfg(test)]
mod tests {
    use TransactionStatus::{Failed, Idle, InTransaction};
    use portcullis_sql::{Limits, Scope, analyze};

    use super::*;

    const SCHEMAS: u64 = 7;

    fn path(schemas: &[&str]) -> Arc<[String]> {
        schemas.iter().map(|&schema| schema.to_owned()).collect()
    }

    /// A session in this encoding, as it has logged in.
    fn logged_in(encoding: &str) -> SessionReading {
        let mut reported = Reported::default();
        for parameter in [
            "standard_conforming_strings\0on\0".to_owned(),
            format!("client_encoding\0{encoding}\0"),
        ] {
            reported.add(parameter.as_bytes()).expect("a ParameterStatus");
        }
        SessionReading::at_login(&reported, path(&["public"]), SCHEMAS)
    }

    fn sets(parameter: &str) -> Statement {
        let scope = Scope {
            catalog: None,
            search_path: None,
            standard_conforming_strings: Some(true),
            trusted_functions: &[],
        };
        let text = format!("SET {parameter} = x");
        analyze(&text, &scope, &Limits::default()).pop().expect("a statement")
    }

    fn answer(path: &[&[u8]]) -> Vec<Vec<u8>> {
        [&b"on"[..]].iter().chain(path).map(|cell| cell.to_vec()).collect()
    }

    #[test]
    fn names_are_known_again_once_the_server_was_asked() {
        let mut session = logged_in("UTF8");
        for doubt in [
            |session: &mut SessionReading| session.sent(&sets("search_path")),
            |session: &mut SessionReading| session.sent(&sets("client_encoding")),
            |session: &mut SessionReading| session.schemas_are(SCHEMAS + 1),
            |session: &mut SessionReading| {
                session.reported(b"search_path", b"other").expect("is read");
            },
        ] {
            let number = session.number();
            assert!(!session.must_ask());
            doubt(&mut session);
            session.is_ready(Idle);
            assert!(session.must_ask() && session.tokens_are_known() && session.number() > number);
            assert_eq!(*session.now(), Reading { search_path: None, ..session.told.clone() });
            session.answered(&answer(&[b"pg_catalog", "é".as_bytes()]));
            assert_eq!(session.now().search_path, Some(path(&["pg_catalog", "é"])));
            session.schemas_are(SCHEMAS);
            session.answered(&answer(&[]));
        }
        // Without an answer it is not asked again, and the path stays unknown.
        session.answered(&[]);
        assert!(!session.must_ask());
        assert_eq!(session.now().search_path, None);
    }

    #[test]
    fn what_a_transaction_sets_is_known_while_nothing_runs() {
        let mut session = logged_in("UTF8");
        session.sent(&sets("standard_conforming_strings"));
        assert_eq!(*session.now(), Reading::UNKNOWN);
        for status in [InTransaction, Failed] {
            session.reported(b"standard_conforming_strings", b"off").expect("is read");
            session.is_ready(status);
            assert_eq!(session.now().standard_conforming_strings, Some(false));
            session.may_be_taken_back();
            assert_eq!(*session.now(), Reading::UNKNOWN);
            assert_eq!(session.read_as().encoding, None);
        }
        session.reported(b"standard_conforming_strings", b"on").expect("is read");
        session.is_ready(Idle);
        session.may_be_taken_back();
        assert_eq!(session.now().standard_conforming_strings, Some(true));
    }

    #[test]
    fn texts_and_names_are_read_in_their_encoding() {
        let e: &[u8] = &[b'a', 0xc3, 0xa9];
        let unread: String = ['a', unread_character(0xc3), unread_character(0xa9)].iter().collect();
        for (encoding, expected, name) in [
            ("UTF8", "aé", Some("aé")),
            ("UNICODE", "aé", Some("aé")),
            ("LATIN1", "aÃ©", Some("aÃ©")),
            ("WIN1251", &*unread, None),
            ("SQL_ASCII", &*unread, None),
        ] {
            let mut session = logged_in(encoding);
            assert_eq!(session.decode(Text::Sent(e)).expect("is read"), expected, "{encoding}");
            assert_eq!(session.decode(Text::Decoded("aé")).expect("it is"), "aé", "{encoding}");
            session.answered(&answer(&[b"public", e]));
            assert_eq!(session.now().search_path, name.map(|name| path(&["public", name])));
            // While it is not known, ASCII is read.
            session.sent(&sets("client_encoding"));
            assert!(matches!(session.decode(Text::Sent(e)), Err(Refusal::Encoding(_))));
            assert_eq!(session.decode(Text::Sent(b"a")).expect("is read"), "a");
            assert!(session.reported(b"client_encoding", b"SJIS").is_err());
        }
        assert!(matches!(logged_in("UTF8").decode(Text::Sent(&[0xc3])), Err(Refusal::Encoding(_))));
    }
}
