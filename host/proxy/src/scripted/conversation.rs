//! Conversations, as `tests/conversations.txt` tells them.
//!
//! Uses nothing but the standard library, since the end-to-end tests read the file as well.

/// What was said and what must be answered, in turn.
pub struct Conversation {
    pub name: String,
    pub turns: Vec<Turn>,
}

pub struct Turn {
    /// The client's messages, each whole.
    pub said: Vec<Vec<u8>>,
    /// In the words of `sequence`.
    pub answer: String,
}

/// Reads the file.
///
/// # Panics
/// On a line that is none of a conversation.
pub fn conversations(text: &str) -> Vec<Conversation> {
    let mut found: Vec<Conversation> = Vec::new();
    let mut said = Vec::new();
    // The first paragraph says what the file is.
    for line in text.split_once("\n\n").map_or("", |(_, rest)| rest).lines() {
        if let Some(name) = line.strip_prefix("# ") {
            // What two lines say is a remark.
            found.push(Conversation { name: name.to_owned(), turns: Vec::new() });
        } else if let Some(answer) = line.strip_prefix('=') {
            let turn = Turn { said: std::mem::take(&mut said), answer: answer.trim().to_owned() };
            match found.last_mut() {
                Some(conversation) => conversation.turns.push(turn),
                None => panic!("an answer before any conversation: {line}"),
            }
        } else if !line.is_empty() && !line.starts_with('#') {
            said.push(message(line));
        }
    }
    assert!(said.is_empty(), "messages without an answer");
    found
}

fn message(line: &str) -> Vec<u8> {
    let (tag, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    let name = |word: &str| {
        let name = if word == "-" { "" } else { word };
        [name.as_bytes(), &[0]].concat()
    };
    let body = match tag {
        "Q" => [rest.as_bytes(), &[0]].concat(),
        "P" => [&name(first)[..], second.as_bytes(), &[0, 0, 0]].concat(),
        "B" => [&name(first)[..], &name(second), &[0; 6]].concat(),
        "D" | "C" => [first.as_bytes(), &name(second)].concat(),
        "E" => {
            let rows_max: i32 = second.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            [&name(first)[..], &rows_max.to_be_bytes()].concat()
        }
        "d" => rest.replace("\\n", "\n").replace("\\t", "\t").into_bytes(),
        "f" => [rest.as_bytes(), &[0]].concat(),
        "S" | "H" | "c" => Vec::new(),
        _ => panic!("no message: {line}"),
    };
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [tag.as_bytes(), &length.to_be_bytes(), &body].concat()
}
