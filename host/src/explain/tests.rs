//! What `explain` says, on statements that try to hide what they use among them.

use expect_test::{Expect, expect};

fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&super::text::render(&super::explain(sql, None)));
}
