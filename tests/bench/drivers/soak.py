"""psycopg for as long as standard input stays open; then says what became of its statements."""

import json
import os
import random
import select
import sys

import psycopg

KEYED = "SELECT subject, email, notes FROM people WHERE id = %s"
counted = {"completed": 0, "failed": 0, "denied": 0}


def open_session():
    return psycopg.connect(
        host=os.environ["PGHOST"], port=os.environ["PGPORT"], user=os.environ["PGUSER"],
        password=os.environ["PGPASSWORD"], dbname=os.environ["PGDATABASE"],
        sslmode="disable", autocommit=True,
    )


def masked(rows):
    for row in rows:
        if not row[1].startswith("u***@example"):
            sys.exit(f"not masked: {row}")
    counted["completed"] += 1


def key():
    return random.randint(1, 1_000_000)


def simple(session):
    with psycopg.ClientCursor(session) as cursor:
        masked(cursor.execute(KEYED, [key()]).fetchall())


def extended(session):
    masked(session.execute(KEYED, [key()], prepare=False).fetchall())


def prepared(session):
    masked(session.execute(KEYED, [key()], prepare=True).fetchall())


def binary(session):
    masked(session.execute(KEYED, [key()], binary=True).fetchall())


def many_rows(session):
    first = random.randint(1, 990_000)
    text = "SELECT subject, email, notes FROM people WHERE id BETWEEN %s AND %s"
    masked(session.execute(text, [first, first + 999]).fetchall())


def copied(session):
    with session.cursor() as cursor:
        text = "COPY (SELECT subject, email FROM people WHERE id < 500) TO STDOUT"
        with cursor.copy(text) as copy:
            masked(list(copy.rows()))


def transaction(session):
    # Behind a ROLLBACK psycopg sends a DEALLOCATE ALL of its own, of which nobody is told.
    for text in ["BEGIN", "SELECT count(*) FROM people WHERE id < 100", "COMMIT"]:
        session.execute(text)
        counted["completed"] += 1


def pipelined(session):
    with session.pipeline():
        cursors = [session.execute(KEYED, [key()]) for _ in range(5)]
        for cursor in cursors:
            masked(cursor.fetchall())


def failing(session):
    try:
        session.execute("SELECT 1 / (id - id) FROM people WHERE id = %s", [key()])
        sys.exit("a division by zero went well")
    except psycopg.errors.DivisionByZero:
        counted["failed"] += 1


def denied(session):
    try:
        session.execute("DELETE FROM people")
        sys.exit("a DELETE without WHERE went through")
    except psycopg.errors.InsufficientPrivilege:
        counted["denied"] += 1


steps = [simple, extended, prepared, binary, many_rows, copied, transaction, pipelined, failing, denied]
session = open_session()
turn = 0
while not select.select([sys.stdin], [], [], 0.02)[0]:
    steps[turn % len(steps)](session)
    turn += 1
    if turn % 97 == 0:
        session.close()
        session = open_session()
session.close()
print(json.dumps(counted))
