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

/// Whether a shape, in which neither literals nor comments are left, has a WHERE that names
/// something: `WHERE true` and `WHERE 1 = 1` keep nothing out. That it keeps much out is not
/// said.
pub(crate) fn narrows(shape: &str) -> bool {
    // Quoted names stand at odd places, also where they hold doubled quotes.
    let names_left_out: Vec<&str> = shape
        .split('"')
        .enumerate()
        .map(|(place, part)| if place % 2 == 0 { part } else { "quoted" })
        .collect();
    let words = Words::of(&names_left_out.join(" "));
    let mut conditions = words.words.split(|word| word == "where").skip(1);
    conditions.any(|words| words.iter().take_while(|word| !ends(word)).any(|word| names(word)))
}

/// Whether a condition cannot go on behind this word.
fn ends(word: &str) -> bool {
    const ENDS: [&str; 10] = [
        "except",
        "fetch",
        "from",
        "group",
        "having",
        "intersect",
        "limit",
        "order",
        "union",
        "window",
    ];
    ENDS.contains(&word)
}

/// Whether a word of a condition may be the name of a column or a function.
fn names(word: &str) -> bool {
    const NO_NAMES: [&str; 9] =
        ["and", "between", "false", "in", "is", "not", "null", "or", "true"];
    !NO_NAMES.contains(&word) && !word.starts_with(|c: char| c.is_ascii_digit())
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
    fn a_condition_that_names_nothing_keeps_nothing_out() {
        let check = |shape: &str, expected: bool| assert_eq!(narrows(shape), expected, "{shape}");
        check("select * from t", false);
        check("select * from t where true", false);
        check("select * from t WHERE $1 = $2 or not false", false);
        check("select * from t where $1 order by a", false);
        check("select $1 as where from t", false);
        check("select a as \"where x\" from t", false);
        check("select a as \"a\"\"where x\" from t", false);
        check("select a from t where $1=$2 and a = $3", true);
        check("select a from t where id=$1", true);
        check("select a from t where\"id\"=$1", true);
        check("select a from (select a from t where a = $1) x order by a", true);
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
