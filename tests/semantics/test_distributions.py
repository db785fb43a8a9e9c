"""Distributions and traces as values: what they take, how they are printed, which settings take them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import attrs
import pytest

from kvscen.language.diagnose import ScenarioError, Source
from kvscen.language.drawn import Drawn, DrawnFrom, TraceText
from kvscen.language.evaluate import evaluate
from kvscen.language.parse import parse_value
from kvscen.language.resolve import ScopeNames, Universe
from kvscen.language.schema import Count, Duration, Rate, Tokens, Unfit, setting, settings_of
from kvscen.language.values import Distribution, Quantity, TraceFile, Value, describe, format_value

_NAMES = ScopeNames(Universe({}, {}, {}, frozenset({"read"}), True), lambda name: 0)  # type: ignore[arg-type,return-value]


def value(text: str, name: str = "test") -> Value:
    expr, problems = parse_value(Source(name, text))
    assert expr is not None and not problems, (text, problems)
    return evaluate(expr, None, _NAMES)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("uniform(0.5 s, 2 s)", "uniform(500 ms, 2 s)"),
        ("uniform(3, 3)", "uniform(3, 3)"),
        ("normal(550 tokens, 150 tokens)", "normal(550 tokens, 150 tokens)"),
        ("lognormal(2 * 500 tokens, 4000 tokens,)", "lognormal(1000 tokens, 4000 tokens)"),
        ("exponential(1 min)", "exponential(60 s)"),
        ("poisson(3.5)", "poisson(3.5)"),
        ("zipf(1000, 0.99)", "zipf(1000, 0.99)"),
        ("empirical([1 s, 2000 ms])", "empirical([1 s, 2 s])"),
        ("empirical([1 KiB, 4 MiB], [90 %, 10 %])", "empirical([1 KiB, 4 MiB], [90 %, 10 %])"),
        ("empirical(pow2(1, 8), [8, 4, 2, 1.5])", "empirical([1, 2, 4, 8], [8, 4, 2, 1.5])"),
        ("[uniform(1, 2), 3]", "[uniform(1, 2), 3]"),
        ('trace("a \\"b\\".jsonl")', 'trace("a \\"b\\".jsonl")'),
    ],
)
def test_they_print_and_parse_back(text: str, printed: str) -> None:
    assert format_value(value(text)) == printed
    assert value(printed) == value(text)


@pytest.mark.parametrize(
    ("text", "code", "at", "said"),
    [
        ("uniform(1)", "KVS109", "uniform(1)", "`uniform` takes 2 values, not 1"),
        ("exponential(1, 2)", "KVS109", "exponential(1, 2)", "`exponential` takes 1 value, not 2"),
        ("empirical([1], [1], 1)", "KVS109", "empirical([1], [1], 1)", "`empirical` takes 1 or 2 values, not 3"),
        ("uniform(2 s, 1 s)", "KVS109", "uniform(2 s, 1 s)", "`uniform` goes up, and `1 s` is below `2 s`"),
        (
            "uniform(1 s, 2 tokens)",
            "KVS106",
            "uniform(1 s, 2 tokens)",
            "the values of `uniform` are a time and a number of tokens",
        ),
        ("uniform(1, 50 %)", "KVS106", "uniform(1, 50 %)", "the values of `uniform` are a number and a percentage"),
        ('uniform("a", 2)', "KVS106", '"a"', "`uniform` needs a number, and this is a text"),
        ("normal(1, 0 - 1)", "KVS109", "0 - 1", "a deviation is not below zero"),
        ("lognormal(0 s, 1 s)", "KVS109", "0 s", "the median of `lognormal` is above zero"),
        ("lognormal(2 s, 1 s)", "KVS109", "1 s", "the p95 of `lognormal`, `1 s`, is below the median"),
        ("exponential(0 s)", "KVS109", "0 s", "the mean of `exponential` is above zero"),
        ("poisson(5 s)", "KVS106", "5 s", "`poisson` counts, and this is a time"),
        ("poisson(1e10)", "KVS109", "1e10", "the mean of `poisson` is above zero, and 1000000000 at most"),
        ("zipf(0, 1)", "KVS109", "0", "the count of `zipf` is a whole number from 1 to 2^52"),
        ("zipf(9 tokens, 1)", "KVS109", "9 tokens", "the count of `zipf` is a whole number from 1 to 2^52"),
        ("zipf(9, 17)", "KVS109", "17", "the skew of `zipf` is a number from 0 to 16"),
        ("empirical(3)", "KVS106", "3", "`empirical` takes a list of values, and this is a number"),
        ("empirical([])", "KVS106", "[]", "`empirical` takes a list of values, and this is an empty one"),
        ("empirical([1, 2 s])", "KVS106", "[1, 2 s]", "the values of `empirical` are a number and a time"),
        ("empirical([1, true])", "KVS106", "[1, true]", "`empirical` needs a number, and this is `true`"),
        ("empirical([1, 2], [1])", "KVS109", "[1]", "`empirical` has 2 values and 1 weights"),
        ("empirical([1, 2], [1, 0 - 1])", "KVS109", "[1, 0 - 1]", "a weight is not below zero, and one is above it"),
        ("empirical([1, 2], [0, 0])", "KVS109", "[0, 0]", "a weight is not below zero, and one is above it"),
        ("empirical([1, 2], [50 %, 40 %])", "KVS109", "[50 %, 40 %]", "these percentages make 90 %"),
        ("empirical([1, 2], [50 %, 1])", "KVS106", "[50 %, 1]", "weights are numbers or percentages"),
        ("2 * uniform(1, 2)", "KVS106", "uniform(1, 2)", "`*` needs a number, and this is the distribution `uniform`"),
        ("-zipf(3, 1)", "KVS106", "zipf(3, 1)", "`-` needs a number, and this is the distribution `zipf`"),
        ("trace(5)", "KVS106", "5", "`trace` takes the name of a file, and this is a number"),
        ('trace("")', "KVS109", '""', "this is not the name of a file"),
        ('trace("a") + "b"', "KVS106", 'trace("a")', "`+` needs a number, and this is a trace"),
        ("lognorml(1, 2)", "KVS101", "lognorml", "no function is called `lognorml`"),
        ("secret(5)", "KVS106", "5", "`secret` takes the name of a file, and this is a number"),
        ('secret("k") + 1', "KVS106", 'secret("k")', "`+` needs a number, and this is a secret"),
        ('hf("k")', "KVS109", "hf", "`hf` makes a model, and this is a value"),
    ],
)
def test_mistakes(text: str, code: str, at: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        value(text)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.code, found.span.text, found.message) == (code, at, said)
    assert found.help


def test_a_list_within_a_distribution_counts_as_one() -> None:
    long = "empirical(linear(1, 2, 60000))"
    with pytest.raises(ScenarioError, match="more than 100000 items"):
        value(f"[{long}, {long}]")


# ---- settings that take them


@attrs.frozen
class Settings:
    think_ns: Drawn = setting(DrawnFrom(Duration()), help="x")  # noqa: RUF009 - an attrs field
    prompt_tokens: Drawn = setting(DrawnFrom(Tokens(1, 100)), help="x")  # noqa: RUF009 - an attrs field
    rate_per_s: Drawn = setting(DrawnFrom(Rate()), help="x")  # noqa: RUF009 - an attrs field
    turns: Drawn = setting(DrawnFrom(Count()), help="x")  # noqa: RUF009 - an attrs field
    source: TraceFile = setting(TraceText(), help="x")  # noqa: RUF009 - an attrs field


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("think", "2 s"),
        ("think", "exponential(2 s)"),
        ("prompt", "16 tokens"),
        ("prompt", "uniform(1 tokens, 100 tokens)"),
        ("prompt", "lognormal(50 tokens, 1000 tokens)"),
        ("rate", "uniform(0.5 /s, 2 /s)"),
        ("turns", "poisson(3.5)"),
        ("turns", "zipf(50, 1)"),
        ("turns", "empirical([1, 2, 5], [3, 2, 1])"),
        ("source", 'trace("x.jsonl")'),
    ],
)
def test_a_setting_takes_them(name: str, text: str) -> None:
    kind = settings_of(Settings)[name].type
    held = kind.convert(value(text))
    assert kind.show(held) == text
    assert kind.convert(value(kind.show(held))) == held and hash(held)


def test_a_setting_keeps_its_scale_and_limits() -> None:
    held = DrawnFrom(Tokens(1, 100)).convert(value("poisson(5 tokens)"))
    assert (held.scale, held.whole, held.minimum, held.maximum) == (1, True, 1, 100)
    held = DrawnFrom(Duration()).convert(value("2 s"))
    assert held == Drawn(Quantity.of(2, "s"), 10**9, True, 0, 2**63 - 1)
    assert not DrawnFrom(Rate()).convert(value("2 /s")).whole
    # What comes out of a range is rounded as in any other setting.
    third = value("linear(1, 2, 4)")
    assert isinstance(third, tuple)
    assert DrawnFrom(Count()).convert(DrawnFrom(Count()).fit(third[1])).law == Quantity(Fraction(1))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("think", "5", "a unit is missing here"),
        ("think", "uniform(1, 2)", "expected a time, found `uniform(1, 2)`, which gives a number"),
        ("prompt", "uniform(50 %, 60 %)", "expected a number of tokens, found `uniform(50 %, 60 %)`, which gives"),
        ("prompt", "uniform(0 tokens, 9 tokens)", "`0 tokens` is below the smallest value, 1 tokens"),
        ("prompt", "uniform(1.5 tokens, 9 tokens)", "1.5 tokens is not a whole number"),
        ("prompt", "empirical([5 tokens, 101 tokens])", "`101 tokens` is above the largest value, 100 tokens"),
        (
            "prompt",
            "normal(101 tokens, 1 tokens)",
            "`normal(101 tokens, 1 tokens)` lies about `101 tokens`, outside of 1 tokens to 100 tokens",
        ),
        ("turns", '"x"', "expected a count (a whole number without a unit), found the text"),
        ("turns", 'trace("x")', "expected a count (a whole number without a unit), found a trace"),
        ("source", '"x.jsonl"', 'expected a trace, found the text "x.jsonl"'),
        ("source", "zipf(3, 1)", "expected a trace, found the distribution `zipf`"),
    ],
)
def test_a_setting_refuses_the_others(name: str, text: str, said: str) -> None:
    with pytest.raises(Unfit) as caught:
        settings_of(Settings)[name].type.convert(value(text))
    assert str(caught.value).startswith(said)


def test_traces_are_relative_to_the_file_that_names_them() -> None:
    found = [value('trace("../x.jsonl")', name) for name in ("scenarios/a.kvs", "a.kvs", "<stdin>", "--set p.x=a/b")]
    paths = [Path(each.path).as_posix() for each in found if isinstance(each, TraceFile)]
    assert paths == ["scenarios/../x.jsonl", "../x.jsonl", "../x.jsonl", "../x.jsonl"]
    absolute = value('trace("/data/x")', "scenarios/a.kvs")
    assert isinstance(absolute, TraceFile) and absolute.path == "/data/x"


def test_they_are_described() -> None:
    assert describe(value("zipf(3, 1)")) == "the distribution `zipf`"
    assert describe(value('trace("x")')) == "a trace"
    assert isinstance(value("zipf(3, 1)"), Distribution)
