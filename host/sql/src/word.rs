//! What the words of SQL are to the cutter of shapes.

/// The part a word plays. Every word that may name a column is a `Name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    And,
    Between,
    Delete,
    In,
    Insert,
    /// LIMIT, OFFSET, FETCH.
    Limit,
    Merge,
    Not,
    Or,
    Select,
    Table,
    Update,
    Values,
    With,
    /// Any other reserved word.
    Reserved,
    Name,
}

impl Role {
    /// True for the first words of statements in which literals that are compared with
    /// columns cannot change a fact.
    pub(crate) fn opens_query(self) -> bool {
        match self {
            Role::Delete
            | Role::Insert
            | Role::Merge
            | Role::Select
            | Role::Table
            | Role::Update
            | Role::Values
            | Role::With => true,
            Role::And
            | Role::Between
            | Role::In
            | Role::Limit
            | Role::Not
            | Role::Or
            | Role::Reserved
            | Role::Name => false,
        }
    }
}

const LONGEST: usize = 17;

/// The role of an unquoted word, in any case.
pub(crate) fn role(word: &str) -> Role {
    let mut buffer = [0_u8; LONGEST];
    let Some(lower) = buffer.get_mut(..word.len()) else { return Role::Name };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    let lower: &[u8] = lower;
    match lower {
        b"and" => Role::And,
        b"between" => Role::Between,
        b"delete" => Role::Delete,
        b"in" => Role::In,
        b"insert" => Role::Insert,
        b"limit" | b"offset" | b"fetch" => Role::Limit,
        b"merge" => Role::Merge,
        b"not" => Role::Not,
        b"or" => Role::Or,
        b"select" => Role::Select,
        b"table" => Role::Table,
        b"update" => Role::Update,
        b"values" => Role::Values,
        b"with" => Role::With,
        b"all" | b"analyse" | b"analyze" | b"any" | b"array" | b"as" | b"asc" | b"asymmetric"
        | b"both" | b"by" | b"case" | b"cast" | b"check" | b"collate" | b"column" | b"conflict"
        | b"constraint" | b"create" | b"cross" | b"current_catalog" | b"current_date"
        | b"current_role" | b"current_time" | b"current_timestamp" | b"current_user"
        | b"default" | b"deferrable" | b"desc" | b"distinct" | b"do" | b"else" | b"end"
        | b"escape" | b"except" | b"exists" | b"false" | b"for" | b"foreign" | b"from"
        | b"full" | b"grant" | b"group" | b"having" | b"ilike" | b"initially" | b"inner"
        | b"intersect" | b"into" | b"is" | b"isnull" | b"join" | b"lateral" | b"leading"
        | b"left" | b"like" | b"localtime" | b"localtimestamp" | b"matched" | b"materialized"
        | b"natural" | b"notnull" | b"null" | b"on" | b"only" | b"order" | b"outer"
        | b"overlaps" | b"placing" | b"primary" | b"references" | b"returning" | b"right"
        | b"row" | b"session_user" | b"set" | b"similar" | b"some" | b"symmetric" | b"then"
        | b"to" | b"trailing" | b"true" | b"uescape" | b"union" | b"unique" | b"user"
        | b"using" | b"variadic" | b"verbose" | b"when" | b"where" | b"window" => Role::Reserved,
        _ => Role::Name,
    }
}
