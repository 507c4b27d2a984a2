"""Statements that wait for people, in psycopg 3. Reads the PG* variables, prints one line of JSON
per step and per notice; whoever reads them decides meanwhile. The last step ends in the middle.
"""

import json
import os
import threading

import psycopg


def report(check, value):
    print(json.dumps({"check": check, "value": value}), flush=True)


def main():
    conn = psycopg.connect("", autocommit=True)
    step = {"then": None}

    def heard(notice):
        report("notice", [notice.severity, notice.message_primary, notice.message_detail, notice.message_hint])
        if step["then"]:
            step["then"]()

    conn.add_notice_handler(heard)

    def attempt(name, text, values=None, then=None):
        step["then"] = then
        report("step", name)
        try:
            report(name, conn.execute(text, values).rowcount)
        except psycopg.Error as error:
            report(name, [error.sqlstate, error.diag.message_primary])

    add = "UPDATE scratch SET amount = amount + %s::numeric"
    attempt("granted", add, [1])
    attempt("granted as text", "UPDATE scratch SET amount = amount + 1")
    attempt("refused", add, [1000])
    attempt("expired", "TRUNCATE scratch")
    attempt("cancelled", add, [1000], threading.Thread(target=conn.cancel).start)
    with conn.transaction():
        attempt("granted in a transaction", add, [1])
    with conn.pipeline():
        report("step", "granted in a pipeline")
        first = conn.execute("SELECT 'before'")
        second = conn.execute(add, [1])
        third = conn.execute("SELECT 'after'")
    report("granted in a pipeline", [first.fetchone()[0], second.rowcount, third.fetchone()[0]])
    report("alive", conn.execute("SELECT 'yes'").fetchone()[0])
    attempt("disconnected", add, [1000], lambda: os._exit(0))


main()
