//! What is written for people to read.

use std::io::{ErrorKind, Write};

use miette::{IntoDiagnostic, Result};

/// Writes to standard output. A reader who has seen enough (`| head`) is no error.
pub fn print(text: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.into_diagnostic(),
    }
}

/// A section under its label: rows of cells, each column as wide as its widest cell.
pub fn section(label: &str, rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let mut text = String::new();
    let mut label = label;
    for row in &rows {
        let mut line = format!("  {label:<12}");
        for (index, cell) in row.iter().enumerate() {
            let width = width(&rows, index);
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
        label = "";
    }
    text
}

/// A section of one cell.
pub fn line(label: &str, cell: impl Into<String>) -> String {
    section(label, &[vec![cell.into()]])
}

/// "1 user", "2 users".
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The last cell of a row stands at the line's end, so its width counts for nobody.
fn width(rows: &[Vec<String>], index: usize) -> usize {
    let widths = rows.iter().filter(|row| index.saturating_add(1) < row.len());
    widths.filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).max().unwrap_or(0)
}

/// Plugins and SQL texts may hold sequences that steer a terminal, or characters that make a
/// text look like another.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_control() => ' ',
            c if is_hidden(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

/// Characters that show nothing themselves but change how those around them show: their
/// order, their joining, their lines.
pub fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_align() {
        let cells = |row: &[&str]| row.iter().map(|cell| (*cell).to_owned()).collect();
        let rows: Vec<Vec<String>> = vec![
            cells(&["read", "users", "all"]),
            cells(&["write", "o"]),
            cells(&["a\x1b[31m\nb"]),
        ];
        let expected =
            "  relations   read   users  all\n              write  o\n              a [31m b\n";
        assert_eq!(section("relations", &rows), expected);
        assert_eq!(section("nothing", &[]), "");
    }

    #[test]
    fn what_is_shown_is_what_is_there() {
        let check = |text: &str, expected: &str| assert_eq!(printable(text), expected);
        check("select 'Zoë 山田' -- ok", "select 'Zoë 山田' -- ok");
        check("a\x1b]0;title\x07b\u{9b}2Jc", "a ]0;title b 2Jc");
        // Right to left: what runs is not what it looks like.
        check("admin\u{202e}\u{2066}-- x", "admin\u{fffd}\u{fffd}-- x");
        check("us\u{200b}ers\u{2028}where", "us\u{fffd}ers\u{fffd}where");
    }
}
