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

/// Plugins and SQL texts may hold sequences that steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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
}
