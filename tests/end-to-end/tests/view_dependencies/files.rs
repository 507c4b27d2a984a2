//! Regression files as single statements.

use std::fs;
use std::path::Path;

use pg_query::NodeEnum;

/// Every file by name, with its text: `first` in their order, then the others.
pub fn in_order(directory: &Path, first: &[&str]) -> Vec<(String, String)> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect("a directory that can be listed").path();
        let name = path.file_stem().expect("a file's name").to_string_lossy().into_owned();
        let is_file = path.extension().is_some_and(|extension| extension == "sql");
        // Some test other encodings than UTF-8.
        let text = is_file.then(|| fs::read(&path).expect("a file that can be read"))?;
        Some((name, String::from_utf8_lossy(&text).into_owned()))
    };
    let entries = fs::read_dir(directory).unwrap_or_else(|error| {
        panic!("PORTCULLIS_REGRESS: {}: {error}", directory.display());
    });
    let mut files: Vec<(String, String)> = entries.filter_map(read).collect();
    let place = |name: &str| first.iter().position(|known| *known == name).unwrap_or(first.len());
    files.sort_by_key(|(name, _)| (place(name), name.clone()));
    files
}

/// The statements of a file, without psql's commands and the data of COPY.
pub fn statements(text: &str) -> Vec<String> {
    let text = of_server(text);
    let statements = match pg_query::split_with_scanner(&text) {
        Ok(statements) => statements,
        // Some files hold what no scanner takes; what is cut wrongly will not parse.
        Err(_) => text.split(";\n").collect(),
    };
    statements.iter().map(|statement| statement.trim().to_owned()).collect()
}

/// What psql would send to the server.
fn of_server(text: &str) -> String {
    let mut kept = String::new();
    let mut is_data = false;
    for line in text.lines() {
        let lower = line.to_ascii_lowercase();
        if is_data {
            is_data = line != "\\.";
        } else if !line.starts_with('\\') {
            is_data = lower.starts_with("copy ") && lower.contains("from stdin");
            // `\gset` and the like end a statement as a semicolon does.
            kept.push_str(&line.replace(" \\g", "; -- "));
        }
        kept.push('\n');
    }
    kept
}

/// True for statements that make what queries read, or change its form.
pub fn makes(statement: &str) -> bool {
    matches!(
        parse(statement),
        Some(
            NodeEnum::AlterTableStmt(_)
                | NodeEnum::CompositeTypeStmt(_)
                | NodeEnum::CreateCastStmt(_)
                | NodeEnum::CreateDomainStmt(_)
                | NodeEnum::CreateEnumStmt(_)
                | NodeEnum::CreateFdwStmt(_)
                | NodeEnum::CreateForeignServerStmt(_)
                | NodeEnum::CreateForeignTableStmt(_)
                | NodeEnum::CreateFunctionStmt(_)
                | NodeEnum::CreateRangeStmt(_)
                | NodeEnum::CreateSchemaStmt(_)
                | NodeEnum::CreateSeqStmt(_)
                | NodeEnum::CreateStmt(_)
                | NodeEnum::CreateTableAsStmt(_)
                | NodeEnum::DefineStmt(_)
                | NodeEnum::RenameStmt(_)
                | NodeEnum::RuleStmt(_)
                | NodeEnum::ViewStmt(_)
        )
    )
}

pub fn is_select(statement: &str) -> bool {
    matches!(parse(statement), Some(NodeEnum::SelectStmt(_)))
}

fn parse(statement: &str) -> Option<NodeEnum> {
    let parsed = pg_query::parse(statement, 0).ok()?;
    let [only] = parsed.protobuf.stmts.as_slice() else { return None };
    only.stmt.as_ref()?.node.clone()
}
