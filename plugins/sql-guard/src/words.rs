//! The words of a statement, for the few distinctions that the facts do not make.

/// The words of a text, in lower case. Quotes and comments are not told apart from the rest:
/// a word too many makes a rule stricter, a word too few could be made to happen.
pub(crate) struct Words {
    text: String,
    words: Vec<String>,
}

impl Words {
    pub(crate) fn of(text: &str) -> Words {
        let text = text.to_ascii_lowercase();
        let words = text.split(|c| !is_part(c)).filter(|word| !word.is_empty());
        let words = words.map(str::to_owned).collect();
        Words { text, words }
    }

    /// Whether these words stand next to each other, or, where comments may stand between
    /// them, anywhere.
    pub(crate) fn has(&self, run: &[&str]) -> bool {
        if self.text.contains("/*") || self.text.contains("--") {
            return run.iter().all(|word| self.words.iter().any(|other| other == word));
        }
        self.words.windows(run.len()).any(|window| window == run)
    }

    /// Whether an ALTER drops something other than a default or a NOT NULL, or computes a
    /// column's values anew.
    pub(crate) fn alter_destructively(&self) -> bool {
        let drops = self.text.match_indices("drop").filter(|(at, word)| {
            let (before, rest) = self.text.split_at(*at);
            !before.ends_with(is_part) && !rest.split_at(word.len()).1.starts_with(is_part)
        });
        let mut what = drops.map(|(at, word)| self.text.split_at(at + word.len()).1);
        // Only white space may stand between, so that no comment can speak for the column.
        what.any(|rest| {
            let next = rest.trim_ascii_start();
            let is = |harmless| {
                next.strip_prefix(harmless).is_some_and(|rest: &str| !rest.starts_with(is_part))
            };
            !is("default") && !is("not")
        }) || (self.has(&["type"]) && self.has(&["using"]))
    }
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_destroys_is_destructive() {
        let check = |text: &str, expected: bool| {
            assert_eq!(Words::of(text).alter_destructively(), expected, "{text}");
        };
        check("ALTER TABLE t DROP COLUMN c", true);
        check("alter table t drop c", true);
        check("alter table \"t\"drop c", true);
        check("alter table t drop/* default */c", true);
        check("alter table t drop \"default\"", true);
        check("alter table t drop default_value", true);
        check("alter table t/**/drop/**/constraint c", true);
        check("alter table t alter c type int using 0", true);
        check("alter table t alter c drop default, drop d", true);
        check("alter table t alter c drop default", false);
        check("alter table t alter c drop\n not null", false);
        check("alter table t add column dropped int", false);
        check("alter table t add column raindrop int", false);
        check("alter table t alter c type bigint", false);
    }

    #[test]
    fn comments_hide_nothing() {
        let check = |text: &str, expected: bool| {
            assert_eq!(Words::of(text).has(&["owner", "to"]), expected, "{text}");
        };
        check("alter table t owner to x", true);
        check("alter table t OWNER/* x */TO x", true);
        check("alter table t owner -- x\n to x", true);
        check("alter table t rename owner_id to owner", false);
    }
}
