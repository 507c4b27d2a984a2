//! Ways of changing what a name, a cursor or a setting means without the proxy seeing it.

use super::attacks::{Attack, attack};

const HARMLESS: &str = "SELECT word FROM scratch ORDER BY id";

pub(crate) const SESSIONS: &[Attack] = &[
    attack(
        "a name prepared anew by a block",
        &[
            "PREPARE again AS SELECT 'x'::text",
            "EXECUTE again",
            "DO $$ BEGIN EXECUTE 'DEALLOCATE again'; EXECUTE 'PREPARE again AS SELECT email FROM customers'; END $$",
            "EXECUTE again",
        ],
        HARMLESS,
    ),
    attack(
        "a name prepared anew by a block behind its definition",
        &[
            "PREPARE sure AS SELECT 'x'::text AS a; DO $$ BEGIN EXECUTE 'DEALLOCATE sure'; EXECUTE 'PREPARE sure AS SELECT reverse(email) AS a FROM customers'; END $$",
            "EXECUTE sure",
        ],
        HARMLESS,
    ),
    attack(
        "a cursor opened anew by a block behind its declaration",
        &[
            "BEGIN",
            "DECLARE sure CURSOR FOR SELECT 'x'::text AS a; DO $$ DECLARE c refcursor := 'sure'; BEGIN CLOSE c; OPEN c FOR SELECT reverse(email) AS a FROM customers; END $$",
            "FETCH 5 FROM sure",
            "ROLLBACK",
        ],
        HARMLESS,
    ),
    attack(
        "a cursor opened by a block",
        &[
            "BEGIN",
            "DO $$ DECLARE c refcursor := 'hidden'; BEGIN OPEN c FOR SELECT email FROM customers; END $$",
            "FETCH 5 FROM hidden",
            "ROLLBACK",
        ],
        HARMLESS,
    ),
    attack(
        "a known cursor opened anew by a block",
        &[
            "BEGIN",
            "DECLARE known CURSOR FOR SELECT word FROM scratch",
            "FETCH 1 FROM known",
            "DO $$ DECLARE c refcursor := 'known'; BEGIN CLOSE c; OPEN c FOR SELECT email FROM customers; END $$",
            "FETCH 5 FROM known",
            "ROLLBACK",
        ],
        HARMLESS,
    ),
    attack(
        "a view of a harmless name",
        &[
            "CREATE TEMP VIEW scratch AS SELECT id, email AS word FROM customers",
            "SELECT word FROM scratch LIMIT 5",
        ],
        "SELECT word FROM public.scratch ORDER BY id",
    ),
    attack(
        "a view made by a block",
        &[
            "DO $$ BEGIN EXECUTE 'CREATE TEMP VIEW scratch AS SELECT id, email AS word FROM customers'; END $$",
            "SELECT word FROM scratch LIMIT 5",
        ],
        "SELECT word FROM public.scratch ORDER BY id",
    ),
    attack(
        "search_path set by a block",
        &[
            "DO $$ BEGIN CREATE SCHEMA IF NOT EXISTS other; CREATE OR REPLACE VIEW other.scratch AS SELECT id, email AS word FROM public.customers; PERFORM set_config('search_path', 'other,public', false); END $$",
            "SELECT word FROM scratch LIMIT 5",
        ],
        "SELECT word FROM public.scratch ORDER BY id",
    ),
    attack(
        "search_path set in mid-statement",
        &[
            "SELECT set_config('search_path', 'other,public', false), (SELECT count(*) FROM public.scratch)",
            "SELECT word FROM scratch LIMIT 5",
        ],
        "SELECT word FROM public.scratch ORDER BY id",
    ),
    attack(
        "a name prepared behind a search_path in the same text",
        &[
            "CREATE SCHEMA IF NOT EXISTS other",
            "CREATE OR REPLACE VIEW other.scratch AS SELECT id, email AS word FROM public.customers",
            "BEGIN",
            "SET LOCAL search_path = other, public; PREPARE behind AS SELECT reverse(word) FROM scratch LIMIT 5",
            "EXECUTE behind",
            "ROLLBACK",
            "BEGIN",
            "SET LOCAL search_path = other, public; DECLARE behind CURSOR FOR SELECT reverse(word) FROM scratch",
            "FETCH 5 FROM behind",
            "ROLLBACK",
        ],
        "SELECT word FROM public.scratch ORDER BY id",
    ),
    attack(
        "strings read another way",
        &[
            "DO $$ BEGIN PERFORM set_config('standard_conforming_strings', 'off', false); END $$",
            "SELECT '\\' , word FROM scratch --', email FROM customers LIMIT 5",
        ],
        HARMLESS,
    ),
    attack(
        "strings read another way, openly",
        &[
            "SET standard_conforming_strings = off",
            "SELECT '\\' , word FROM scratch --', email FROM customers LIMIT 5",
        ],
        HARMLESS,
    ),
    attack(
        "a text prepared while strings were read another way",
        &[
            "SET standard_conforming_strings = off",
            "PREPARE otherwise AS SELECT '\\'' || reverse(email) FROM customers --'",
            "SET standard_conforming_strings = on",
            "EXECUTE otherwise",
        ],
        HARMLESS,
    ),
    attack(
        "a cursor declared while strings were read another way",
        &[
            "SET standard_conforming_strings = off",
            "DECLARE otherwise CURSOR WITH HOLD FOR SELECT '\\'' || reverse(email) FROM customers --'",
            "SET standard_conforming_strings = on",
            "FETCH 5 FROM otherwise",
        ],
        HARMLESS,
    ),
    attack(
        "a block in the same query",
        &[
            "DO $$ BEGIN EXECUTE 'CREATE TEMP VIEW scratch AS SELECT id, email AS word FROM customers'; END $$; SELECT word FROM scratch LIMIT 5",
        ],
        "SELECT word FROM public.scratch ORDER BY id",
    ),
    attack(
        "a role's settings",
        &[
            "DO $$ BEGIN ALTER ROLE CURRENT_USER SET search_path = other, public; END $$",
            "DISCARD ALL",
            "SELECT word FROM scratch LIMIT 5",
            "DO $$ BEGIN ALTER ROLE CURRENT_USER RESET search_path; END $$",
        ],
        "SELECT word FROM public.scratch ORDER BY id",
    ),
    attack(
        "a rule",
        &[
            "BEGIN",
            "CREATE RULE leak AS ON UPDATE TO scratch DO INSTEAD SELECT email FROM customers",
            "UPDATE scratch SET word = 'x' WHERE id = 1",
            "ROLLBACK",
        ],
        HARMLESS,
    ),
    attack(
        "a function in a default",
        &[
            "BEGIN",
            "ALTER TABLE scratch ALTER COLUMN word SET DEFAULT customer_email(1)",
            "INSERT INTO scratch (id) VALUES (950) RETURNING word",
            "ROLLBACK",
        ],
        HARMLESS,
    ),
    attack(
        "a generated column",
        &[
            "BEGIN",
            "ALTER TABLE customers ADD COLUMN again text GENERATED ALWAYS AS (reverse(email)) STORED",
            "SELECT reverse(again) FROM customers LIMIT 5",
            "ROLLBACK",
        ],
        HARMLESS,
    ),
    attack(
        "an operator of one's own",
        &[
            "BEGIN",
            "CREATE FUNCTION peek(integer) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers WHERE id = $1'",
            "CREATE OPERATOR @@@ (FUNCTION = peek, RIGHTARG = integer)",
            "SELECT @@@ 1",
            "ROLLBACK",
        ],
        HARMLESS,
    ),
    attack(
        "a cast of one's own",
        &[
            "BEGIN",
            "CREATE FUNCTION peek(tier) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers LIMIT 1'",
            "CREATE CAST (tier AS text) WITH FUNCTION peek(tier)",
            "SELECT 'gold'::tier::text",
            "ROLLBACK",
        ],
        HARMLESS,
    ),
    attack(
        "an aggregate of one's own",
        &[
            "BEGIN",
            "CREATE FUNCTION step(text, integer) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers WHERE id = $2'",
            "CREATE AGGREGATE peek (integer) (SFUNC = step, STYPE = text)",
            "SELECT peek(id) FROM scratch WHERE id = 1",
            "ROLLBACK",
        ],
        HARMLESS,
    ),
    attack(
        "a built-in shadowed",
        &[
            "BEGIN",
            "CREATE SCHEMA mine",
            "CREATE FUNCTION mine.abs(integer) RETURNS text LANGUAGE sql AS 'SELECT email FROM public.customers WHERE id = $1'",
            "SET LOCAL search_path = mine, public, pg_catalog",
            "SELECT abs(3)",
            "ROLLBACK",
        ],
        "SELECT abs(3)",
    ),
    attack(
        "a held cursor over a view that is another by now",
        &[
            "CREATE VIEW shown AS SELECT id, email AS word FROM customers",
            "DECLARE held CURSOR WITH HOLD FOR SELECT md5(word) FROM shown ORDER BY id",
            "FETCH 1 FROM held",
            "CREATE OR REPLACE VIEW shown AS SELECT id, name AS word FROM customers",
            "SELECT md5(word) FROM shown LIMIT 1",
            "FETCH 5 FROM held",
            "CLOSE held",
            "DROP VIEW shown",
        ],
        HARMLESS,
    ),
    attack(
        "columns that change places inside a transaction",
        &[
            "CREATE VIEW swapped AS SELECT id, name AS one, email AS two FROM customers",
            "SELECT one, md5(two) FROM swapped ORDER BY id LIMIT 5",
            "SELECT md5(one), two FROM swapped ORDER BY id LIMIT 5",
            "BEGIN",
            "ALTER VIEW swapped RENAME one TO three",
            "ALTER VIEW swapped RENAME two TO one",
            "ALTER VIEW swapped RENAME three TO two",
            "SELECT md5(one), two FROM swapped ORDER BY id LIMIT 5",
            "ROLLBACK",
            "SELECT md5(one), two FROM swapped ORDER BY id LIMIT 5",
            "SELECT one, md5(two) FROM swapped ORDER BY id LIMIT 5",
            "DROP VIEW swapped",
        ],
        HARMLESS,
    ),
    attack(
        "a schema that a path was waiting for",
        &[
            "SET search_path = late, public",
            "SELECT md5(word) FROM scratch LIMIT 5",
            "CREATE SCHEMA late",
            "CREATE VIEW late.scratch AS SELECT id, email AS word FROM public.customers",
            "SELECT md5(word) FROM scratch LIMIT 5",
            "DROP SCHEMA late CASCADE",
        ],
        HARMLESS,
    ),
];
