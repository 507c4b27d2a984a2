//! What a statement brought, as text.

use std::fmt;

use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// Columns and rows; NULL is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
}

impl Answer {
    /// Asks, and takes the answer in text.
    pub async fn of(client: &Client, sql: &str) -> Result<Answer, Error> {
        let mut answer = Answer::default();
        for message in client.simple_query(sql).await? {
            if let SimpleQueryMessage::Row(row) = message {
                answer.columns =
                    row.columns().iter().map(|column| column.name().to_owned()).collect();
                answer
                    .rows
                    .push((0..row.len()).map(|cell| row.get(cell).map(str::to_owned)).collect());
            }
        }
        Ok(answer)
    }

    /// The cells of a column, from above.
    pub fn column(&self, name: &str) -> Vec<Option<&str>> {
        let place = self.columns.iter().position(|column| column == name);
        self.rows.iter().map(|row| row.get(place?)?.as_deref()).collect()
    }
}

/// As psql prints it.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "(null)".to_owned());
        let mut lines = vec![self.columns.clone()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(shown).collect()));
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        lines.insert(1, rule);
        for line in &lines {
            let padded: Vec<String> =
                line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(f, "     {}", padded.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        let cell = |text: &str| Some(text.to_owned());
        Answer {
            columns: vec!["id".into(), "name".into()],
            rows: vec![vec![cell("1"), cell("Zoë")], vec![cell("1000"), None]],
        }
    }

    #[test]
    fn columns_stand_under_their_names() {
        let shown = "     id    name\n     ----  ------\n     1     Zoë\n     1000  (null)\n";
        assert_eq!(answer().to_string(), shown);
    }

    #[test]
    fn a_column_is_found_by_its_name() {
        assert_eq!(answer().column("name"), [Some("Zoë"), None]);
        assert_eq!(answer().column("nmae"), [None, None]);
    }
}
