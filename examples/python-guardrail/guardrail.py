"""The example guardrail: the same rule in every language. It denies a statement that calls a
blocked function, or that uses more relations than allowed."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.guardrail import Decision_Allow, Decision_Deny, Denial, Verdict
from wit_world.exports.plugin import Manifest
from wit_world.imports.types import PluginError_InvalidSettings, Request

DEFAULTS = {"max_relations": 3, "blocked_functions": ["pg_sleep"]}

settings = DEFAULTS


def read(text: str) -> dict:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise refused(str(error))
    if not isinstance(given, dict):
        raise refused("the settings are not an object")
    for key in given:
        if key not in DEFAULTS:
            raise refused(f"unknown setting `{key}`")
    read = DEFAULTS | given
    most = read["max_relations"]
    # Python's True is an int.
    if type(most) is not int or not 0 <= most <= 0xFFFFFFFF:
        raise refused("max_relations is not a whole number")
    names = read["blocked_functions"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refused("blocked_functions is not a list of names")
    return read


def refused(reason: str) -> Err:
    return Err(PluginError_InvalidSettings(reason))


def verdict(decision: Decision_Allow | Decision_Deny) -> Verdict:
    return Verdict(decision=decision, limit_rows=None, notice=None, tags=[])


def deny(reason: str) -> Verdict:
    return verdict(Decision_Deny(Denial(reason=reason, hint=None)))


class Plugin(exports.Plugin):
    def describe(self) -> Manifest:
        return Manifest(
            name="python-guardrail",
            version="0.1.0",
            description="Limits relations and blocks functions, in Python",
            settings_schema=None,
        )

    def configure(self, text: str) -> None:
        global settings
        settings = read(text)


class Guardrail(exports.Guardrail):
    def judge(self, request: Request) -> Verdict:
        statement = request.statement
        for name in statement.functions:
            if name in settings["blocked_functions"]:
                return deny(f"function {name} is blocked")
        used = len({relation.name for relation in statement.relations})
        most = settings["max_relations"]
        if used > most:
            return deny(f"uses {used} relations, at most {most} are allowed")
        return verdict(Decision_Allow())
