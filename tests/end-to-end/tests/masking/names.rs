//! Names that can stand for one thing or another: a column or a row, a field or a call.

use super::attacks::{Attack, attack};

pub(crate) const EITHER: &[Attack] = &[
    attack(
        "row beside a catalog",
        &["SELECT encode(c::text::bytea, 'hex') FROM customers c, pg_catalog.pg_am LIMIT 1"],
        "SELECT encode(s::text::bytea, 'hex') FROM scratch s, pg_catalog.pg_am WHERE amname = 'heap' ORDER BY s.id",
    ),
    attack(
        "field beside a function",
        &["SELECT encode((c).email::bytea, 'hex') FROM customers c, generate_series(1, 1) g"],
        "SELECT encode((s).word::bytea, 'hex') FROM scratch s, generate_series(1, 1) g ORDER BY s.id",
    ),
    attack(
        "row of the level around a catalog",
        &[
            "SELECT (SELECT encode(c::text::bytea, 'hex') FROM pg_am LIMIT 1) FROM (SELECT id, email FROM customers) c",
        ],
        "SELECT (SELECT encode(s::text::bytea, 'hex') FROM pg_am LIMIT 1) FROM (SELECT id, word FROM scratch ORDER BY id) s",
    ),
    attack(
        "row beside a column without a name",
        &[
            "SELECT encode(c::text::bytea, 'hex') FROM customers c, (SELECT (SELECT a.* FROM (SELECT 1) a)) y",
        ],
        "SELECT encode(s::text::bytea, 'hex') FROM scratch s, (SELECT (SELECT a.* FROM (SELECT 1) a)) y ORDER BY s.id",
    ),
    attack(
        "name that an alias hides",
        &[
            "SELECT encode((SELECT u.id::text::bytea FROM (scratch a JOIN scratch b USING (id) AS u) AS j LIMIT 1), 'hex') FROM (SELECT email AS id FROM customers) u",
        ],
        "SELECT (SELECT u.id FROM (scratch a JOIN scratch b USING (id) AS u) LIMIT 1) FROM orders LIMIT 1",
    ),
    attack(
        "column that SEARCH adds",
        &[
            "SELECT (WITH RECURSIVE r(e, x) AS (SELECT (SELECT email FROM customers WHERE id = 1), 'a' UNION ALL SELECT e, encode(seq::text::bytea, 'hex') FROM r WHERE x = 'a') SEARCH BREADTH FIRST BY e SET seq SELECT max(x) FROM r WHERE x <> 'a') FROM (SELECT 'k' AS seq) o",
        ],
        "WITH RECURSIVE r(e, x) AS (SELECT (SELECT word FROM scratch WHERE id = 1), 'a' UNION ALL SELECT e, seq::text FROM r WHERE x = 'a') SEARCH BREADTH FIRST BY e SET seq SELECT max(x) FROM r WHERE x <> 'a'",
    ),
    attack(
        "column that SEARCH adds, in no star below",
        &[
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 1) SEARCH DEPTH FIRST BY i SET seq SELECT encode(c4::bytea, 'hex') FROM (SELECT * FROM r, customers) x(c1, c2, c3, c4)",
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 1) CYCLE i SET cyc USING path SELECT encode(c4::bytea, 'hex') FROM (SELECT * FROM r, customers) x(c1, c2, c3, c4)",
        ],
        "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 1) SEARCH DEPTH FIRST BY i SET seq SELECT encode(c3::bytea, 'hex') FROM (SELECT * FROM r, scratch) x(c1, c2, c3) ORDER BY c2",
    ),
    attack(
        "column that SEARCH adds, counted by an alias",
        &[
            "WITH RECURSIVE r(i, v) AS (SELECT 0, '' UNION ALL SELECT 1, encode(j.c4::bytea, 'hex') FROM (r JOIN (SELECT email, id FROM customers) q ON r.i = 0) AS j(c1, c2, c3, c4)) SEARCH DEPTH FIRST BY i SET seq SELECT v FROM r",
        ],
        "WITH RECURSIVE r(i, v) AS (SELECT 0, '' UNION ALL SELECT 1, j.c4 FROM (r JOIN (SELECT word, id FROM scratch) q ON r.i = 0) AS j(c1, c2, c3, c4)) SEARCH DEPTH FIRST BY i SET seq SELECT v FROM r ORDER BY v",
    ),
    attack(
        "column without a name, searched by",
        &[
            "WITH RECURSIVE r AS (SELECT (SELECT * FROM (SELECT email FROM customers WHERE id = 1) y) UNION ALL SELECT email FROM r WHERE false) SEARCH DEPTH FIRST BY email SET seq SELECT encode(seq::text::bytea, 'hex') FROM r",
        ],
        "WITH RECURSIVE r AS (SELECT (SELECT * FROM (SELECT word FROM scratch WHERE id = 1) y) UNION ALL SELECT word FROM r WHERE false) SEARCH DEPTH FIRST BY word SET seq SELECT seq::text FROM r",
    ),
    attack(
        "column without a name, joined by",
        &[
            "SELECT encode(c4::bytea, 'hex') FROM ((SELECT (SELECT * FROM (SELECT id FROM orders WHERE id = 1) y), 5 AS five) l JOIN customers USING (id)) AS j(c1, c2, c3, c4)",
        ],
        "SELECT c3 FROM ((SELECT (SELECT * FROM (SELECT id FROM orders WHERE id = 1) y), 5 AS five) l JOIN scratch USING (id)) AS j(c1, c2, c3)",
    ),
    attack(
        "entry without a name, called like another",
        &[
            "SELECT (SELECT encode(k.k::bytea, 'hex') FROM ROWS FROM (CAST((SELECT * FROM (SELECT c.email AS k) z) AS text))) FROM customers c, (SELECT word AS k FROM scratch LIMIT 1) k",
        ],
        "SELECT (SELECT k.k FROM (SELECT 'x' AS k) k) FROM scratch s, (SELECT 1 AS k) k",
    ),
    attack(
        "name that became a function",
        &[
            "WITH \"system_user\"(w) AS (SELECT email FROM customers) SELECT encode(w::bytea, 'hex') FROM system_user",
        ],
        "WITH \"user_system\"(w) AS (SELECT word FROM scratch) SELECT w FROM user_system ORDER BY w",
    ),
    attack(
        "statement in a string, as an attribute",
        &[
            "SELECT ('SELECT array_to_tsvector(ARRAY[encode(email::bytea, ''hex'')]) FROM customers'::text).ts_stat",
        ],
        "SELECT ('word'::text).upper",
    ),
    attack(
        "statement in a string, as a column",
        &[
            "SELECT a.ts_stat FROM concat('SELECT array_to_tsvector(ARRAY[encode(email::bytea, ''hex'')]) FROM customers') a",
        ],
        "SELECT a.upper FROM concat('word') a",
    ),
];
