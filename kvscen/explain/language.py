"""Kinds of block, statements, functions, units, models and codes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fractions import Fraction

import kvscen_grammar
from kvscen.explain.meaning import Meaning
from kvscen.explain.settings import setting_lines
from kvscen.language.blocks import SweepSettings
from kvscen.language.codes import CODES
from kvscen.language.constructs import KINDS_OF_BLOCK, STATEMENTS, TOP
from kvscen.language.functions import BASE_FUNCTION, BASE_FUNCTION_ABOUT, FUNCTIONS
from kvscen.language.pages import page
from kvscen.language.values import BANDWIDTH, BYTES, NUMBER, RATE, TIME, TOKEN_RATE, TOKENS, UNITS, Unit

_BASE_UNITS = {
    NUMBER: "",
    BYTES: "B",
    TIME: "s",
    TOKENS: "tokens",
    RATE: "/s",
    BANDWIDTH: "B/s",
    TOKEN_RATE: "tokens/s",
}


def kinds(drivers: tuple[str, ...]) -> Iterator[Meaning]:
    for kind in KINDS_OF_BLOCK.values():
        built_in = drivers if kind.name == "tier" else kind.built_in
        facts = [("write", f"{kind.name} NAME : BASE {{ ... }}"), ("BASE", kind.base)]
        if built_in:
            facts.append(("come with it", ", ".join(built_in)))
        yield Meaning(
            "kinds of block",
            (kind.name,),
            "a kind of block",
            kind.about,
            facts=tuple(facts),
            lines=setting_lines(SweepSettings) if kind.name == "sweep" else (),
            see=tuple(f"kvscen explain {name}" for name in built_in[:1]),
        )


def statements() -> Iterator[Meaning]:
    for statement in (*TOP, *STATEMENTS):
        facts = tuple(("write" if number == 0 else "", usage) for number, usage in enumerate(statement.usages))
        where = "the top of a file" if statement in TOP else "a sweep"
        yield Meaning("statements", statement.words, f"a statement, at {where}", statement.about, facts=facts)


def functions() -> Iterator[Meaning]:
    for name in (*FUNCTIONS, BASE_FUNCTION):
        yield function(name)


def function(name: str) -> Meaning:
    about, usage = BASE_FUNCTION_ABOUT, f'model NAME : {BASE_FUNCTION}("config.json") {{ }}'
    if name != BASE_FUNCTION:
        about, usage = FUNCTIONS[name].about, FUNCTIONS[name].usage
    return Meaning("functions", (name,), "a function", about, facts=(("write", usage),))


def units() -> Iterator[Meaning]:
    for each in UNITS.values():
        yield unit(each)


def unit(of: Unit) -> Meaning:
    alike = [u.name for u in UNITS.values() if (u.dimension, u.percent) == (of.dimension, of.percent)]
    kind = "a percentage" if of.percent else str(of.dimension)
    others = (("others", ", ".join(name for name in alike if name != of.name)),) if len(alike) > 1 else ()
    return Meaning("units", (of.name,), f"a unit of {kind}", _worth(of), facts=others)


def _worth(unit: Unit) -> str:
    return f"1 {unit.name} is {_number(unit.factor)} {_BASE_UNITS[unit.dimension]}".rstrip()


def _number(value: Fraction) -> str:
    return f"{value.numerator:,}" + (f"/{value.denominator:,}" if value.denominator != 1 else "")


def models() -> Iterator[Meaning]:
    """Each model of the catalogue, with its text there."""
    for paragraph in kvscen_grammar.catalogue_text().split("\n\n"):
        names = [line.split()[1] for line in paragraph.splitlines() if line.startswith("model ")]
        above = next((line.removeprefix("# ") for line in paragraph.splitlines() if line.startswith("# ")), "")
        for name in names:
            part = above if name == names[-1] else f"the layers of one kind of {names[-1]}"
            yield Meaning(
                "models",
                (name,),
                "a model of the catalogue",
                part,
                facts=(("write", f"use models   model NAME : {name} {{ ... }}"),) if name == names[-1] else (),
                lines=tuple(paragraph.splitlines()),
                see=(f"kvscen size {name}",),
            )


def codes() -> Iterator[Meaning]:
    for code in CODES.values():
        yield Meaning(
            "codes",
            (code.code, code.code.removeprefix("KVS")),
            f"a code of diagnostics, {code.severity.value}",
            code.title,
            page=functools.partial(page, code.code),
        )
