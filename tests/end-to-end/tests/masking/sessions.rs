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
        "a held cursor whose table is another by now",
        &[
            "DECLARE held CURSOR WITH HOLD FOR SELECT reverse(email) FROM customers ORDER BY id",
            "FETCH 1 FROM held",
            "CREATE TEMP TABLE customers (id integer, email text)",
            "SELECT 1",
            "FETCH 5 FROM held",
            "CLOSE held",
            "DROP TABLE pg_temp.customers",
        ],
        HARMLESS,
    ),
    attack(
        "a held cursor over a view that is another by now",
        &[
            "CREATE TEMP VIEW shown AS SELECT id, email AS word FROM customers",
            "DECLARE held CURSOR WITH HOLD FOR SELECT reverse(word) FROM shown ORDER BY id",
            "CREATE OR REPLACE TEMP VIEW shown AS SELECT id, 'x'::text AS word FROM customers",
            "SELECT reverse(word) FROM shown LIMIT 1",
            "FETCH 5 FROM held",
            "CLOSE held",
        ],
        HARMLESS,
    ),
    attack(
        "columns that change places inside a transaction",
        &[
            "SELECT name, email FROM customers ORDER BY id LIMIT 5",
            "BEGIN",
            "ALTER TABLE customers RENAME name TO between_",
            "ALTER TABLE customers RENAME email TO name",
            "ALTER TABLE customers RENAME between_ TO email",
            "SELECT name, email FROM customers ORDER BY id LIMIT 5",
            "SELECT reverse(name) FROM customers ORDER BY id LIMIT 5",
            "ROLLBACK",
            "SELECT name, email FROM customers ORDER BY id LIMIT 5",
        ],
        HARMLESS,
    ),
    attack(
        "a schema that a path was waiting for",
        &[
            "SET search_path = late, public",
            "SELECT word FROM scratch LIMIT 5",
            "CREATE SCHEMA late",
            "CREATE VIEW late.scratch AS SELECT id, email AS word FROM public.customers",
            "SELECT reverse(word) FROM scratch LIMIT 5",
            "DROP SCHEMA late CASCADE",
        ],
        HARMLESS,
    ),
];
