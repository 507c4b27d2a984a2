//! Ways of getting a value past a mask, each with a benign twin of the same form.

/// Statements that one session runs one by one. Masked or refused are both right; no sensitive
/// value, plain or disguised, may come back at any step.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) steps: &'static [&'static str],
    /// The same form over harmless data: must give what PostgreSQL gives.
    pub(crate) twin: &'static str,
}

pub(crate) const fn attack(
    name: &'static str,
    steps: &'static [&'static str],
    twin: &'static str,
) -> Attack {
    Attack { name, steps, twin }
}

/// Ways of naming a column or a row.
pub(crate) const NAMES: &[Attack] = &[
    attack(
        "direct",
        &["SELECT email, phone, iban, card_number, ssn FROM customers LIMIT 5"],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "alias",
        &["SELECT email AS harmless FROM customers LIMIT 5"],
        "SELECT word AS other FROM scratch ORDER BY id",
    ),
    attack(
        "star",
        &["SELECT * FROM customers ORDER BY id LIMIT 5"],
        "SELECT * FROM scratch ORDER BY id",
    ),
    attack(
        "table alias",
        &["SELECT x.email, x.* FROM customers AS x LIMIT 5"],
        "SELECT x.* FROM scratch AS x ORDER BY id",
    ),
    attack(
        "column aliases",
        &["SELECT b, c FROM customers AS t(a, b, c) LIMIT 5"],
        "SELECT b FROM scratch AS t(a, b) ORDER BY a",
    ),
    attack(
        "whole row",
        &["SELECT customers FROM customers LIMIT 5"],
        "SELECT scratch FROM scratch ORDER BY id",
    ),
    attack(
        "whole row by alias",
        &["SELECT t FROM customers t LIMIT 5"],
        "SELECT t FROM scratch t ORDER BY id",
    ),
    attack(
        "field of a row",
        &["SELECT (t).email FROM customers t LIMIT 5"],
        "SELECT (t).word FROM scratch t ORDER BY id",
    ),
    attack(
        "field as a function",
        &["SELECT email(t) FROM customers t LIMIT 5"],
        "SELECT word(t) FROM scratch t ORDER BY id",
    ),
    attack(
        "row expanded",
        &["SELECT (t).* FROM customers t LIMIT 5"],
        "SELECT (t).* FROM scratch t ORDER BY id",
    ),
    attack("TABLE", &["TABLE customers"], "TABLE scratch"),
    attack(
        "ONLY",
        &["SELECT email FROM ONLY customers LIMIT 5"],
        "SELECT word FROM ONLY scratch ORDER BY id",
    ),
    attack(
        "TABLESAMPLE",
        &["SELECT email FROM customers TABLESAMPLE BERNOULLI (100) LIMIT 5"],
        "SELECT word FROM scratch TABLESAMPLE BERNOULLI (100) ORDER BY id",
    ),
    attack(
        "LATERAL",
        &["SELECT l.v FROM customers c, LATERAL (SELECT c.email AS v) l LIMIT 5"],
        "SELECT l.v FROM scratch c, LATERAL (SELECT c.word AS v) l ORDER BY 1",
    ),
    attack(
        "VALUES UNION TABLE",
        &["VALUES (0,'','','','','','',NULL::date,'',now()) UNION ALL TABLE customers"],
        "VALUES (0, '', 0.0) UNION ALL TABLE scratch",
    ),
    attack(
        "quoted",
        &["SELECT \"email\" FROM \"public\".\"customers\" LIMIT 5"],
        "SELECT \"word\" FROM \"public\".\"scratch\" ORDER BY id",
    ),
    attack(
        "join using",
        &["SELECT c.email FROM orders o JOIN customers c ON c.id = o.customer_id LIMIT 5"],
        "SELECT o.status, s.word FROM orders o JOIN scratch s ON s.id = o.id ORDER BY o.id",
    ),
    attack(
        "natural join",
        &["SELECT * FROM customers NATURAL JOIN vip_customers"],
        "SELECT * FROM scratch NATURAL JOIN (SELECT 3 AS id) AS three",
    ),
    attack(
        "hidden in a note",
        &["SELECT note FROM customers ORDER BY id LIMIT 40"],
        "SELECT status FROM orders ORDER BY id LIMIT 40",
    ),
    attack(
        "tokens",
        &["SELECT token FROM api_tokens"],
        "SELECT id, issued_at FROM api_tokens ORDER BY id",
    ),
];

/// Ways of computing with it.
pub(crate) const EXPRESSIONS: &[Attack] = &[
    attack(
        "lower",
        &["SELECT lower(email), upper(iban) FROM customers LIMIT 5"],
        "SELECT lower(word) FROM scratch ORDER BY id",
    ),
    attack(
        "concatenation",
        &["SELECT '' || email || '' FROM customers LIMIT 5"],
        "SELECT word || '!' FROM scratch ORDER BY id",
    ),
    attack(
        "substr",
        &["SELECT substr(email, 1, 100) FROM customers LIMIT 5"],
        "SELECT substr(word, 2) FROM scratch ORDER BY id",
    ),
    attack(
        "reverse",
        &["SELECT reverse(email), reverse(note) FROM customers LIMIT 12"],
        "SELECT reverse(word) FROM scratch ORDER BY id",
    ),
    attack(
        "base64",
        &["SELECT encode(email::bytea, 'base64') FROM customers LIMIT 5"],
        "SELECT encode(word::bytea, 'base64') FROM scratch ORDER BY id",
    ),
    attack(
        "hex",
        &["SELECT encode(convert_to(card_number, 'UTF8'), 'hex') FROM customers LIMIT 5"],
        "SELECT encode(convert_to(word, 'UTF8'), 'hex') FROM scratch ORDER BY id",
    ),
    attack(
        "md5",
        &["SELECT md5(email), sha256(email::bytea) FROM customers LIMIT 5"],
        "SELECT md5(word) FROM scratch ORDER BY id",
    ),
    attack(
        "cast to text",
        &["SELECT email::text, phone::varchar(50) FROM customers LIMIT 5"],
        "SELECT amount::text FROM scratch ORDER BY id",
    ),
    attack(
        "cast to bytea",
        &["SELECT email::bytea FROM customers LIMIT 5"],
        "SELECT word::bytea FROM scratch ORDER BY id",
    ),
    attack(
        "CASE",
        &["SELECT CASE WHEN true THEN email ELSE '' END FROM customers LIMIT 5"],
        "SELECT CASE WHEN id > 3 THEN word ELSE '' END FROM scratch ORDER BY id",
    ),
    attack(
        "COALESCE",
        &["SELECT COALESCE(note, email) FROM customers LIMIT 12"],
        "SELECT COALESCE(NULL, word) FROM scratch ORDER BY id",
    ),
    attack(
        "format",
        &["SELECT format('%s', email) FROM customers LIMIT 5"],
        "SELECT format('<%s>', word) FROM scratch ORDER BY id",
    ),
    attack(
        "array",
        &["SELECT ARRAY[email, phone] FROM customers LIMIT 5"],
        "SELECT ARRAY[word, 'x'] FROM scratch ORDER BY id",
    ),
    attack(
        "composite",
        &["SELECT ROW(id, email) FROM customers LIMIT 5"],
        "SELECT ROW(id, word) FROM scratch ORDER BY id",
    ),
    attack(
        "row_to_json",
        &["SELECT row_to_json(c) FROM customers c LIMIT 5"],
        "SELECT row_to_json(s) FROM scratch s ORDER BY id",
    ),
    attack(
        "to_jsonb",
        &["SELECT to_jsonb(c) ->> 'email' FROM customers c LIMIT 5"],
        "SELECT to_jsonb(s) ->> 'word' FROM scratch s ORDER BY id",
    ),
    attack(
        "json_agg",
        &["SELECT json_agg(email) FROM customers"],
        "SELECT json_agg(word ORDER BY id) FROM scratch",
    ),
    attack(
        "array_agg",
        &["SELECT array_agg(email) FROM customers"],
        "SELECT array_agg(word ORDER BY id) FROM scratch",
    ),
    attack(
        "string_agg",
        &["SELECT string_agg(email, ',') FROM customers"],
        "SELECT string_agg(word, ',' ORDER BY id) FROM scratch",
    ),
    attack(
        "xmlagg",
        &["SELECT xmlagg(xmlelement(name e, email)) FROM customers"],
        "SELECT xmlagg(xmlelement(name e, word) ORDER BY id) FROM scratch",
    ),
    attack(
        "max",
        &["SELECT max(email), min(iban) FROM customers"],
        "SELECT max(word), sum(amount), avg(amount), count(*) FROM scratch",
    ),
    attack(
        "window",
        &[
            "SELECT first_value(email) OVER (ORDER BY id), lag(email) OVER (ORDER BY id) FROM customers LIMIT 5",
        ],
        "SELECT lag(word) OVER (ORDER BY id) FROM scratch ORDER BY id",
    ),
    attack(
        "unnest",
        &["SELECT unnest(ARRAY[email, iban]) FROM customers LIMIT 5"],
        "SELECT unnest(ARRAY[word, 'x']) FROM scratch ORDER BY 1",
    ),
    attack(
        "regexp_split_to_table",
        &["SELECT regexp_split_to_table(email, '!') FROM customers LIMIT 5"],
        "SELECT regexp_split_to_table(word, ' ') FROM scratch ORDER BY 1",
    ),
    attack(
        "characters apart",
        &[
            "SELECT string_agg(c, '') FROM (SELECT id, unnest(string_to_array(email, NULL)) AS c FROM customers) x GROUP BY id LIMIT 5",
        ],
        "SELECT string_agg(c, '') FROM (SELECT unnest(string_to_array(word, NULL)) AS c FROM scratch WHERE id = 1) x",
    ),
    attack(
        "translate",
        &["SELECT translate(email, '@.', '') FROM customers LIMIT 5"],
        "SELECT translate(word, 'w', 'v') FROM scratch ORDER BY id",
    ),
    attack(
        "greatest",
        &["SELECT greatest(email, '') FROM customers LIMIT 5"],
        "SELECT greatest(word, '') FROM scratch ORDER BY id",
    ),
];
