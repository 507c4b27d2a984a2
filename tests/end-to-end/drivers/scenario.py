"""The driver scenario in psycopg 3. Reads the PG* variables, prints one line of JSON per check.

What it prints must be the same whoever answers, PostgreSQL or Portcullis in front of it, so
nothing here may depend on process ids, object ids or the time.
"""

import datetime
import decimal
import ipaddress
import json
import os
import threading
import time
import uuid

import psycopg
from psycopg.types.json import Jsonb


def report(check, value):
    print(json.dumps({"check": check, "value": value}, default=str, sort_keys=True), flush=True)


def connect(**options):
    return psycopg.connect("", autocommit=True, **options)


def sqlstate_of(action):
    try:
        action()
    except psycopg.Error as error:
        return [error.sqlstate, error.diag.message_primary, error.diag.constraint_name]
    return None


VALUES = [
    ("int2", 7), ("int4", -70000), ("int8", 9_000_000_000), ("numeric", decimal.Decimal("12345.6700")),
    ("float8", 1.5e300), ("float4", 0.25), ("bool", True), ("text", "naïve \U0001f600 'quoted'"),
    ("bytea", bytes(range(256))), ("date", datetime.date(2026, 2, 28)),
    ("timestamp", datetime.datetime(2026, 2, 28, 23, 59, 59, 123456)),
    ("timestamptz", datetime.datetime(2026, 2, 28, 23, 59, 59, tzinfo=datetime.timezone.utc)),
    ("interval", datetime.timedelta(days=3, seconds=7)), ("uuid", uuid.UUID(int=0x1234567890)),
    ("json", psycopg.types.json.Json({"a": [1, None]})), ("jsonb", Jsonb({"b": {"c": True}})),
    ("int4[]", [1, None, 3]), ("text[]", ["x", 'y"z', None, ""]), ("inet", ipaddress.ip_address("192.0.2.1")),
    ("text", None), ("int4", None),
]


def types(conn):
    for binary in (False, True):
        for name, value in VALUES:
            mark = "%b" if binary else "%t"
            cursor = conn.cursor(binary=binary)
            row = cursor.execute(f"SELECT {mark}::{name} AS v, NULL::{name} AS n", [value]).fetchone()
            column = cursor.description[0]
            report(f"type {name} binary={binary}", [repr(row[0]), row[1], column.name, column.type_code])


def transactions(conn):
    with conn.transaction():
        conn.execute("CREATE TEMP TABLE kept (id int PRIMARY KEY, word text)")
        conn.execute("INSERT INTO kept VALUES (1, 'one')")
    try:
        with conn.transaction():
            conn.execute("INSERT INTO kept VALUES (2, 'two')")
            raise KeyError
    except KeyError:
        pass
    report("rollback", conn.execute("SELECT count(*) FROM kept").fetchone())
    with conn.transaction():
        try:
            with conn.transaction():
                conn.execute("INSERT INTO kept VALUES (1, 'again')")
        except psycopg.errors.UniqueViolation as error:
            report("savepoint", [error.sqlstate, conn.info.transaction_status.name])
        conn.execute("INSERT INTO kept VALUES (3, 'three')")
    report("after savepoint", conn.execute("SELECT array_agg(id ORDER BY id) FROM kept").fetchone())
    conn.execute("BEGIN")
    report("error in transaction", sqlstate_of(lambda: conn.execute("SELECT 1/0")))
    report("state", conn.info.transaction_status.name)
    report("25P02", sqlstate_of(lambda: conn.execute("SELECT 1")))
    conn.execute("ROLLBACK")
    report("recovered", [conn.info.transaction_status.name, conn.execute("SELECT 1").fetchone()])


def errors(conn):
    for statement in ("SELEC 1", "SELECT 1/0", "INSERT INTO scratch VALUES (1, 'x', 1)", "SELECT nope",
                      "SELECT * FROM nowhere", "SELECT 'x'::int", "SELECT 1; SELECT 1/0"):
        report(f"error {statement}", sqlstate_of(lambda: conn.execute(statement)))
    report("still alive", conn.execute("SELECT 1").fetchone())


def prepared(conn):
    total = 0
    for number in range(100):
        row = conn.execute("SELECT %s::int + 1, %s::text", [number, f"n{number}"], prepare=True).fetchone()
        total += row[0] + len(row[1])
    report("prepared 100 times", total)
    names = conn.execute("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql").fetchone()
    report("one named statement", names)
    conn.execute("PREPARE by_sql (int) AS SELECT $1 * 2")
    report("EXECUTE", [conn.execute(f"EXECUTE by_sql({n})").fetchone()[0] for n in range(5)])
    conn.execute("DEALLOCATE by_sql")
    report("gone", sqlstate_of(lambda: conn.execute("EXECUTE by_sql(1)")))


def cursors(conn):
    with conn.transaction():
        with conn.cursor(name="walk") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT id, word FROM scratch ORDER BY id")
            report("server cursor", [row[0] for row in cursor])
        with conn.cursor(name="jump", scrollable=True) as cursor:
            cursor.execute("SELECT id FROM scratch ORDER BY id")
            cursor.scroll(10)
            report("scrolled", cursor.fetchmany(3))


def copies(conn):
    conn.execute("CREATE TEMP TABLE copied (id int, word text, made date)")
    rows = [(n, f"word\t{n}\\" if n % 3 else None, datetime.date(2026, 1, 1 + n % 28)) for n in range(500)]
    for kind in ("", " (FORMAT binary)"):
        conn.execute("TRUNCATE pg_temp.copied")
        with conn.cursor().copy(f"COPY copied FROM STDIN{kind}") as copy:
            if kind:
                copy.set_types(["int4", "text", "date"])
            for row in rows:
                copy.write_row(row)
        report(f"copied in{kind}", conn.execute("SELECT count(*), sum(id), max(made) FROM copied").fetchone())
        with conn.cursor().copy(f"COPY (SELECT * FROM copied ORDER BY id) TO STDOUT{kind}") as copy:
            received = b"".join(bytes(block) for block in copy)
        report(f"copied out{kind}", [len(received), received[:60].hex()])

    def broken():
        with conn.cursor().copy("COPY copied FROM STDIN") as copy:
            copy.write(b"not a number\tx\t2026-01-01\n")

    report("broken copy", sqlstate_of(broken))
    report("after broken copy", conn.execute("SELECT 1").fetchone())


def pipeline(conn):
    with conn.pipeline():
        answers = [conn.execute("SELECT %s::int", [n]) for n in range(20)]
    report("pipeline", [answer.fetchone()[0] for answer in answers])
    states = []
    try:
        with conn.pipeline() as pipe:
            first = conn.execute("SELECT 1")
            pipe.sync()
            conn.execute("SELECT 1/0")
            conn.execute("SELECT 2")
            pipe.sync()
    except psycopg.Error as error:
        states.append(error.sqlstate)
    report("pipeline with an error", [first.fetchone(), states, conn.execute("SELECT 3").fetchone()])


def cancel(conn):
    began = time.monotonic()
    timer = threading.Timer(0.3, conn.cancel)
    timer.start()
    state = sqlstate_of(lambda: conn.execute("SELECT pg_sleep(30)"))
    report("cancelled", [state, time.monotonic() - began < 5])
    timer.join()
    report("after cancel", conn.execute("SELECT 1").fetchone())


def notifications(conn):
    conn.execute("LISTEN news")
    with connect() as other:
        other.execute("NOTIFY news, 'it''s here'")
        other.execute("SELECT pg_notify('news', 'again')")
    heard = [[n.channel, n.payload] for n in conn.notifies(timeout=10, stop_after=2)]
    report("notified", heard)
    conn.execute("UNLISTEN *")


def several(conn):
    cursor = conn.execute("SELECT 1; SELECT 2, 'two'; INSERT INTO kept VALUES (9, 'nine'); SELECT 3")
    results = []
    while True:
        results.append([cursor.statusmessage, cursor.fetchall() if cursor.description else None])
        if not cursor.nextset():
            break
    report("several statements", results)
    report("nothing at all", conn.execute("").statusmessage)


def refusal():
    try:
        psycopg.connect("", password="wrong", connect_timeout=10)
    except psycopg.OperationalError as error:
        report("wrong password", "authentication failed for user" in str(error))


def main():
    with connect() as conn:
        notices = []
        conn.add_notice_handler(lambda notice: notices.append([notice.severity, notice.message_primary]))
        report("tls", bool(conn.pgconn.ssl_in_use) == (os.environ["PGSSLMODE"] != "disable"))
        report("encoding", [conn.info.encoding, conn.info.parameter_status("server_encoding")])
        types(conn)
        transactions(conn)
        errors(conn)
        prepared(conn)
        cursors(conn)
        copies(conn)
        pipeline(conn)
        cancel(conn)
        notifications(conn)
        several(conn)
        conn.execute("DROP TABLE IF EXISTS never_was")
        report("notice", notices)
    refusal()


main()
