//! Looks for sensitive values, plain and disguised, in bytes.

use std::collections::HashMap;

use crate::cluster::Database;

/// Shorter needles turn up by chance.
const NEEDLE_BYTES_MIN: usize = 8;

/// Every sensitive value of the shop, in every form it must not be seen in.
const VALUES: &str = "
  SELECT v FROM (
    SELECT unnest(ARRAY[email, phone, iban, card_number, ssn]) AS v FROM customers
    UNION SELECT substring(note FROM '[a-z0-9]+@[a-z.]+[a-z]') FROM customers
    UNION SELECT email FROM employees
    UNION SELECT token FROM api_tokens
    UNION SELECT unnest(ARRAY[work_email::text, emails[2]]) FROM profiles
  ) AS everything WHERE v IS NOT NULL";

const FORMS: &str = "
  SELECT v, convert_to(v, 'UTF8'), convert_to(upper(v), 'UTF8'), convert_to(reverse(v), 'UTF8'),
         convert_to(encode(v::bytea, 'hex'), 'UTF8'), convert_to(encode(v::bytea, 'base64'), 'UTF8'),
         convert_to(rtrim(encode(v::bytea, 'base64'), '='), 'UTF8'), convert_to(md5(v), 'UTF8'),
         decode(md5(v), 'hex'), sha256(v::bytea), convert_to(encode(sha256(v::bytea), 'hex'), 'UTF8'),
         convert_to(translate(v, ' -.@', ''), 'UTF8')
  FROM values_of_shop";

/// What must never reach a client who sees masks.
pub struct Needles {
    /// By their first eight bytes: what each is, and which value it gives away.
    by_start: HashMap<[u8; NEEDLE_BYTES_MIN], Vec<(Vec<u8>, String)>>,
}

impl Needles {
    /// Reads the values past the proxy and has PostgreSQL itself disguise them.
    pub async fn of(database: &Database) -> Needles {
        let client = database.superuser().await;
        let query = format!("WITH values_of_shop AS ({VALUES}) {FORMS}");
        let mut needles = Needles { by_start: HashMap::new() };
        for row in client.query(&query, &[]).await.expect("the shop is there") {
            let value: String = row.get(0);
            for form in 1..row.len() {
                needles.add(row.get(form), &value);
            }
        }
        assert!(needles.by_start.len() > 1000, "the shop has hundreds of sensitive values");
        needles
    }

    /// One more needle, for a case that has its own.
    pub fn add(&mut self, needle: Vec<u8>, value: &str) {
        if let Some(start) = needle.first_chunk::<NEEDLE_BYTES_MIN>() {
            let start = *start;
            self.by_start.entry(start).or_default().push((needle, value.to_owned()));
        }
    }

    /// The value that `bytes` give away, if they do.
    pub fn leak(&self, bytes: &[u8]) -> Option<&str> {
        (0..bytes.len()).find_map(|start| {
            let rest = &bytes[start..];
            let candidates = self.by_start.get(rest.first_chunk::<NEEDLE_BYTES_MIN>()?)?;
            let found = candidates.iter().find(|(needle, _)| rest.starts_with(needle));
            found.map(|(_, value)| value.as_str())
        })
    }
}
