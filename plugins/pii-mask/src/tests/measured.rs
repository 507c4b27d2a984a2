//! Recall and precision over generated values: how much of what is sensitive is found, and how
//! much of what is not is touched.

use super::masked;
use crate::detect::checksums::{luhn, mod_97};
use crate::handle::Handle;

/// A reproducible source of numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// `pattern` with a digit for each "#", one from 1 to 9 for "%", one from 2 to 9 for "&", a
    /// capital for "^", a hexadecimal digit for "~" and a letter or digit for "?".
    fn fill(&mut self, pattern: &str) -> String {
        let pick = |random: &mut Random, from: &str| {
            from.as_bytes()[random.below(from.len() as u64) as usize] as char
        };
        pattern
            .chars()
            .map(|c| match c {
                '#' => pick(self, "0123456789"),
                '%' => pick(self, "123456789"),
                '&' => pick(self, "23456789"),
                '^' => pick(self, "ABCDEFGHJKLMNPRSTUVWXYZ"),
                '~' => pick(self, "0123456789abcdef"),
                '?' => pick(self, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789"),
                other => other,
            })
            .collect()
    }

    fn card(&mut self) -> String {
        let prefix = self.one(&[
            "4###########",
            "51##########",
            "55##########",
            "2221########",
            "34#########",
            "37#########",
            "6011########",
            "3530########",
            "36########",
            "6759########",
            "62##########",
            "4##############",
        ]);
        let body = self.fill(prefix) + &self.fill("###");
        let number = (0..10).map(|check| format!("{body}{check}")).find(|n| luhn(n.as_bytes()));
        let number = number.unwrap();
        let grouped = |size: usize| {
            let groups: Vec<&str> = number
                .as_bytes()
                .chunks(size)
                .map(|group| str::from_utf8(group).unwrap())
                .collect();
            groups.join(self_separator(&number))
        };
        if number.len() == 16 && number.ends_with(['1', '2', '3', '4']) {
            grouped(4)
        } else {
            number
        }
    }

    fn iban(&mut self) -> String {
        let body = self.fill("##################");
        let check = 98 - mod_97(body.bytes().chain("DE00".bytes()));
        format!("DE{check:02}{body}")
    }
}

fn self_separator(number: &str) -> &'static str {
    if number.starts_with('4') { " " } else { "-" }
}

const SENSITIVE: [(&str, &[&str]); 5] = [
    (
        "email",
        &[
            "ana.b##@example.com",
            "j?@mail.example.co.uk",
            "Ana <x???@example.org>",
            "o'b??n@corp.example.net",
            "ticket from k_??@example.de today",
            "first+tag##@sub.example.io",
        ],
    ),
    (
        "phone",
        &[
            "+1415&######",
            "+49 170 #######",
            "&1#-&##-####",
            "(&0#) &##-####",
            "&1#.&##.####",
            "+44 20 7### ####",
            "020 7### ####",
            "01 %# %# %# %#",
            "030 #######%",
            "+33 6 ## ## ## ##",
            "9#### #####",
            "Call &0# &## #### please",
            "0171 ######%",
            "+91 9#### #####",
            "1-&0#-&##-####",
            "tel: &0#&######",
            "&0#&######",
        ],
    ),
    (
        "national id",
        &[
            "%23-4%-%%%#",
            "32# %4 %##%",
            "ABCPD%###E",
            "AB%#####C",
            "CE ## ## ## A",
            "ssn %23456%##",
        ],
    ),
    ("ip", &["203.0.113.1%#", "192.168.%.1%#", "2001:db8::%~~~:%~~~:%", "peer 8%.2%.%#.1"]),
    (
        "secret",
        &[
            "AKIA%^^^#^^^^^^^^^#^",
            "ghp_????????????????????????????????%???",
            "xoxb-%##########-????????%?",
            "sk_live_????????????????????%",
            "password=????????%!",
            "eyJ????????%.eyJ??????????%.????????????%",
            "Bearer token=???????%????????????",
            "AIza????????????????????????????????%??",
        ],
    ),
];

const HARMLESS: [&str; 35] = [
    "################",
    "##########",
    "17########",
    "17###########",
    "ORD-2026-#######",
    "#%######",
    "INV######",
    "2026-1#-2# 1#:2#:3#",
    "2026-1#-2#T1#:2#:3#.######Z",
    "2#.1%.2026",
    "%.%#.%",
    "v%.#.#-rc.%",
    "~~~~~~~~-~~~~-4~~~-a~~~-~~~~~~~~~~~~",
    "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
    "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
    "%##.##",
    "%,###,###.##",
    "SKU-^^^-####",
    "^^^-######",
    "978-3-16-14####-#",
    "00:1b:~~:~~:~~:~~",
    "-%#.######, %#.######",
    "/srv/data/2026/1%/file-#####.csv",
    "%## x %## mm",
    "Main Street %#",
    "size %# / colour ^",
    "1%### rows in #.## s",
    "flight ^^%##",
    "room %##-#",
    "https://example.com/p/########?page=%",
    "##%",
    "Q% 2026",
    "#### #### pieces",
    "order ########## shipped 2026-1#-2#",
    "12######## units",
];

#[test]
fn most_is_found_and_little_is_touched() {
    let mut random = Random(42);
    let mut report = Vec::new();
    let mut record = |what: &str, values: &[String]| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let after = masked("{}", Handle::Text, &values);
        let touched = values.iter().zip(&after).filter(|(one, other)| *one != other).count();
        report.push(format!("{what}: {touched} of {}", values.len()));
        (touched as f64, values.len() as f64)
    };
    let mut found = (0.0, 0.0);
    let cards: Vec<String> = (0..600).map(|_| random.card()).collect();
    let ibans: Vec<String> = (0..600).map(|_| random.iban()).collect();
    let mut add = |counted: (f64, f64)| found = (found.0 + counted.0, found.1 + counted.1);
    add(record("card", &cards));
    add(record("iban", &ibans));
    for (kind, patterns) in SENSITIVE {
        let values: Vec<String> =
            (0..600).map(|index| random.fill(patterns[index % patterns.len()])).collect();
        add(record(kind, &values));
    }
    let mut touched = (0.0, 0.0);
    for pattern in HARMLESS {
        let values: Vec<String> = (0..200).map(|_| random.fill(pattern)).collect();
        let counted = record(pattern, &values);
        touched = (touched.0 + counted.0, touched.1 + counted.1);
    }
    let (recall, flagged) = (found.0 / found.1, touched.0 / touched.1);
    println!("recall {recall:.3}, harmless values touched {flagged:.4}\n{}", report.join("\n"));
    assert!(recall > 0.95, "recall {recall:.3}: {report:#?}");
    assert!(flagged < 0.005, "{flagged:.4} of harmless values touched: {report:#?}");
}
