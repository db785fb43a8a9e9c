"""Mistakes in `skip when` and `expect`."""

from __future__ import annotations

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Span
from kvscen.language.mistakes.wrong import COMPARISONS, OPERATORS, Wrong

# ---- conditions


def when(wrong: Wrong) -> Diagnostic | None:
    i = wrong.at
    if wrong.start != "statement":
        return None
    if not wrong.judges:
        if wrong.text(i) == "when" and i > 1:
            return diagnostic(
                "KVS030",
                "a setting has no condition",
                wrong.span(i, len(wrong.words)),
                help="only `skip` and `expect` take a `when`; give the setting to another sweep, or make it an axis",
            )
        return None
    if wrong.text(0) == "expect" and i == 1 and wrong.kind(1) in ("number", "string"):
        return diagnostic(
            "KVS030",
            "an expectation begins with a measure",
            wrong.span(1),
            help="write the measure on the left and the value on the right: expect errors == 0",
        )
    if wrong.text(0) == "expect" and i == 1:
        return diagnostic(
            "KVS030",
            "a measure is missing after `expect`",
            wrong.span(i),
            help="write a measure, a comparison and a value: expect errors == 0",
        )
    if wrong.text(0) == "skip" and i == 1:
        if wrong.text(1) in ("if", "where", "unless"):
            return diagnostic(
                "KVS030",
                "`skip` asks for `when`",
                wrong.span(1),
                help="write `skip when ...`",
                fix=Fix(wrong.span(1), "when"),
            )
        return diagnostic(
            "KVS030",
            "`when` is missing after `skip`",
            wrong.span(i),
            help="write `skip when ...`, such as `skip when tier == dram`",
        )
    if wrong.text(0) == "expect" and "when" not in [word.text for word in wrong.words[:i]]:
        for first in (i - 1, i):
            if first < 4 or wrong.kind(first) != "name" or wrong.text(first - 1) in (*COMPARISONS, *OPERATORS):
                continue
            word = wrong.text(first)
            begins = wrong.path_end(first)
            if word in ("if", "where", "unless", "for") and wrong.kind(first + 1) == "name":
                span = wrong.span(first)
                return diagnostic(
                    "KVS030",
                    f"`expect` asks for `when`, not `{word}`",
                    span,
                    help="write `when`",
                    fix=Fix(span, "when"),
                )
            if wrong.text(begins) in COMPARISONS:
                span = wrong.span(first, begins - 1)
                return diagnostic(
                    "KVS030",
                    "`when` is missing before the condition",
                    span,
                    label="the condition starts here",
                    help=f"write `when {wrong.span(first, len(wrong.words)).text}`",
                    fix=Fix(Span(wrong.source, span.start, span.start), "when "),
                )
    return None


def condition(wrong: Wrong) -> Diagnostic | None:
    if not wrong.judges:
        return None
    i, previous = wrong.at, wrong.text(wrong.at - 1)
    if previous in ("when", "and", "or", "not", "("):
        if wrong.at >= len(wrong.words):
            return diagnostic(
                "KVS030",
                f"a condition is missing after `{previous}`",
                wrong.span(i),
                help="write a path, a comparison and a value: pages.op == read",
            )
        if wrong.kind(i) in ("number", "string") or wrong.text(i) in (*COMPARISONS, *OPERATORS, "["):
            return diagnostic(
                "KVS030",
                "a comparison begins with a path",
                wrong.span(i),
                help="write the path on the left and the value on the right: pages.requests == 10",
            )
    if wrong.text(i) in COMPARISONS and any(word.text in COMPARISONS for word in wrong.words[:i]):
        return diagnostic(
            "KVS030",
            "comparisons cannot be chained",
            wrong.span(i),
            help="write two, joined with `and`: pages.requests > 1 and pages.requests < 10",
        )
    if "COMPARE" in wrong.expected and wrong.kind(i - 1) == "name":
        first = i - 1
        while wrong.text(first - 1) == "." and first > 1:
            first -= 2
        path = wrong.span(first, i - 1).text
        what = f"`{path}` is compared with nothing"
        if wrong.kind(i) == "name" and wrong.text(0) == "expect" and i == 2:
            measure = _measure_of(wrong.text(1), wrong.text(2))
            if measure is not None:
                return diagnostic("KVS030", "a measure is one word", wrong.span(1, 2), help=f"write `{measure}`")
        if wrong.text(i) == "(" and wrong.text(0) == "expect" and first == 1:
            help = "a point is judged on the median of its trials; what is asked for is the name of a measure"
            return diagnostic(
                "KVS030", "no function is called here", wrong.span(1, i), help=f"{help}: kvscen explain measures"
            )
        if wrong.text(i) == "in" and wrong.text(0) in ("skip", "expect"):
            values = [word.text for word in wrong.words[i + 1 :] if word.kind in ("name", "number", "string")]
            each = " or ".join(f"{path} == {value}" for value in values[:2]) or f"{path} == ..."
            return diagnostic("KVS030", "a condition has no `in`", wrong.span(i), help=f"write `{each}`")
        if wrong.text(i) in ("is", "not"):
            return diagnostic("KVS030", what, wrong.span(i), help=f"write `{path} == ...` or `{path} != ...`")
        sample = "expect errors == 0" if wrong.text(0) == "expect" and first == 1 else f"{path} == true"
        return diagnostic("KVS030", what, wrong.span(first, i - 1), help=f"write a comparison, such as `{sample}`")
    return None


def _measure_of(one: str, other: str) -> str | None:
    """`p99 latency`, `read throughput`."""
    from kvscen.results.measures import MEASURES

    if one in ("read", "write") and other in MEASURES:
        return f"{other} >= ... when PATTERN.op == {one}"
    return next((name for name in (f"{one}_{other}", f"{other}_{one}") if name in MEASURES), None)
