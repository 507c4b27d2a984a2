use super::*;
use crate::scan::scan;

/// What values are made of here: what finders look for, whole and in parts, and what may stand
/// around it.
const PARTS: [&str; 74] = [
    "1",
    "12",
    "123",
    "4567",
    "09",
    "2026",
    "4111111111111111",
    "86095742719",
    "2341",
    "078-05",
    "123-45-6789",
    "555",
    "+",
    "(",
    ")",
    " ",
    "  ",
    "-",
    "--",
    ".",
    "/",
    ":",
    "=",
    "@",
    "\\n",
    "\\t",
    "\\",
    "_",
    "#",
    "%",
    "\"",
    "'",
    ",",
    "é",
    "n",
    "t",
    "a",
    "Z",
    "AB",
    "DE89",
    "de89",
    "370400440532013000",
    "ana",
    "bob.b",
    "example.com",
    "@example.com",
    "x.png",
    "git",
    "://",
    "http",
    "ana@example.com",
    "+14155552671",
    "203.0.113.77",
    "10.1.2.3:5432",
    "2001:db8::1",
    "::",
    "ssn",
    "tel",
    "ip",
    "ghp_",
    "AKIA",
    "eyJ",
    "sk-",
    "0123456789abcdef0123456789abcdef",
    "password",
    "token",
    "api_key",
    "secret1!x",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----END",
    "900101-1234",
    "AB123456C",
    "XYZW",
    "811218-9876",
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }

    fn value(&mut self) -> String {
        let parts = self.below(7);
        (0..parts).map(|_| PARTS[self.below(PARTS.len())]).collect()
    }
}

fn finds(text: &str) -> bool {
    let mut places = Vec::new();
    scan(text.as_bytes(), &mut places);
    !places.is_empty()
}

fn visited(cells: &Cells) -> Vec<usize> {
    let mut rows = Vec::new();
    for_each_candidate(cells, |row, cell| {
        assert_eq!(cells.bytes().nth(row).flatten(), Some(cell));
        rows.push(row);
    });
    rows
}

#[test]
fn no_cell_in_which_something_is_found_is_passed_over() {
    let mut random = Random(7);
    let (mut found, mut missed) = (0, Vec::new());
    for _ in 0..4_000 {
        let values: Vec<Option<String>> = (0..random.below(12))
            .map(|_| Some(random.value()).filter(|_| random.below(9) > 0))
            .collect();
        let cells: Cells = values.iter().map(Option::as_deref).collect();
        let rows = visited(&cells);
        assert!(rows.is_sorted_by(|one, other| one < other));
        for (row, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            if finds(value) {
                found += 1;
                if !rows.contains(&row) {
                    missed.push(value.clone());
                }
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(found > 2_000, "{found} values with something in them are too few to tell");
}

#[test]
fn a_cell_is_seen_wherever_it_stands_and_whatever_stands_beside_it() {
    for value in [
        "ana@example.com",
        "+14155552671",
        "4111 1111 1111 1111",
        "DE89370400440532013000",
        "123-45-6789",
        "203.0.113.77",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "password=hunter2!",
        "-----BEGIN PRIVATE KEY-----",
        "AB123456C",
    ] {
        for before in 0..130 {
            for beside in ["a", "1", "-", "A1.", "@"] {
                let filler = beside.repeat(before);
                let between: Cells = [filler.as_str(), value, beside].into_iter().collect();
                let last: Cells = [filler.as_str(), value].into_iter().collect();
                for cells in [between, last] {
                    assert!(visited(&cells).contains(&1), "{value} behind {before} of {beside}");
                }
            }
        }
    }
}

#[test]
fn what_is_nothing_is_passed_over() {
    let cells: Cells = [
        "",
        "Ada Lovelace",
        "item17.755af2 of shelf25 left",
        "order-598-9998",
        "SKU-311-99",
        "note 3432e05963b3b03f198dbe183abae3e8",
        "the 3 of them",
        "at 10:20",
        "https://example.com",
        "v1.2.3",
        "ORD-2026-0001234",
        "A4",
        "B12 C",
    ]
    .into_iter()
    .collect();
    assert_eq!(visited(&cells), [] as [usize; 0]);
}
