//! The form of what COPY sends to the client.

use portcullis_policy::statement::CopyForm;

use crate::tree::Node;

/// The options that decide how a row is written.
#[derive(Default)]
struct Options {
    format: String,
    delimiter: Option<u8>,
    null: Option<String>,
    quote: Option<u8>,
    escape: Option<u8>,
    header: bool,
}

/// The form of COPY TO STDOUT. None for every other statement, and where an option is not
/// understood.
pub(crate) fn form(statement: Node<'_>) -> Option<CopyForm> {
    let elsewhere = ["is_from", "is_program", "filename"];
    if statement.kind != "CopyStmt" || elsewhere.iter().any(|field| statement.has(field)) {
        return None;
    }
    let mut options = Options::default();
    for option in statement.nodes("options") {
        read(option, &mut options)?;
    }
    let Options { format, delimiter, null, quote, escape, header } = options;
    match format.as_str() {
        "" | "text" => Some(CopyForm::Text {
            delimiter: delimiter.unwrap_or(b'\t'),
            null: null.unwrap_or_else(|| "\\N".to_owned()),
            header,
        }),
        "csv" => {
            let quote = quote.unwrap_or(b'"');
            Some(CopyForm::Csv {
                delimiter: delimiter.unwrap_or(b','),
                quote,
                escape: escape.unwrap_or(quote),
                null: null.unwrap_or_default(),
                header,
            })
        }
        "binary" => Some(CopyForm::Binary),
        _ => None,
    }
}

fn read(option: Node<'_>, options: &mut Options) -> Option<()> {
    let value = option.node("arg");
    let text = || value.filter(|value| value.kind == "String").map(|value| value.text("sval"));
    match option.text("defname") {
        "format" => options.format = text()?.to_owned(),
        "delimiter" => options.delimiter = Some(one_byte(text()?)?),
        "null" => options.null = Some(text()?.to_owned()),
        "quote" => options.quote = Some(one_byte(text()?)?),
        "escape" => options.escape = Some(one_byte(text()?)?),
        "header" => options.header = is_on(value)?,
        // Which values are quoted changes nothing for whoever reads them.
        "force_quote" => {}
        _ => return None,
    }
    Some(())
}

fn one_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    }
}

fn is_on(value: Option<Node<'_>>) -> Option<bool> {
    let Some(value) = value else { return Some(true) };
    match value.kind {
        "Boolean" => Some(value.has("boolval")),
        "Integer" => Some(value.number("ival") != 0),
        "String" => match value.text("sval").to_ascii_lowercase().as_str() {
            "true" | "on" => Some(true),
            "false" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
