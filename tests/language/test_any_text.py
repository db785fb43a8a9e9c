"""Whatever the text is: no exception, every span within it, and what is right is read."""

from __future__ import annotations

import random
from fractions import Fraction

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.parse import parse, parse_value
from kvscen.language.recover import recover
from kvscen.language.render import render
from kvscen.language.syntax import Document, Number
from tests.language.support import EXAMPLE

WORDS = [
    *("find highest", "find saturation of", "where", "over", "within"),
    *("kvs 1", "use", "let", "model", "tier", "pattern", "sweep", "skip", "expect", "in", "when", "and", "or", "not"),
    *("true", "a", "b.c", "dir", "MiB", "GiB/s", "tokens", "/s", "%", "1", "2.5", "1e5", '"text"', '"', "'", "$"),
    *("{", "}", "(", ")", "[", "]", "=", "==", "<", ">=", ":", ";", ",", ".", "+", "-", "*", "/", "//", "#", "\\"),
    *("\n", "\n", "\n", " ", "\r\n", "\t", "é", "\u00a0", "日"),
]
SOUP = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join) | st.lists(st.sampled_from(WORDS)).map("".join)
ANY = st.text(max_size=200) | SOUP | SOUP.map(lambda text: f"kvs 1\nsweep s {{\n{text}\n}}\n")


def spans(node: object) -> list[Span]:
    """Every span of a tree and of the diagnostics beside it."""
    if isinstance(node, Span):
        return [node]
    if isinstance(node, tuple):
        return [span for item in node for span in spans(item)]
    if attrs.has(type(node)) and not isinstance(node, Source):
        fields = attrs.fields(type(node))  # type: ignore[arg-type]
        return [span for field in fields for span in spans(getattr(node, field.name))]
    return []


def check(text: str) -> tuple[Document, tuple[Diagnostic, ...]]:
    source = Source("any.kvs", text)
    document, problems = parse(source)
    for span in spans((document, problems)):
        assert span.source is source
        assert 0 <= span.start <= span.end <= len(text)
    assert all(problem.span is not None and problem.message for problem in problems)
    assert problems or document.version == 1
    return document, problems


@settings(max_examples=600, deadline=None)
@given(ANY)
def test_any_text(text: str) -> None:
    _, problems = check(text)
    render(problems)


@settings(max_examples=300, deadline=None)
@given(ANY)
def test_any_value(text: str) -> None:
    source = Source("--set", text)
    value, problems = parse_value(source)
    assert (value is None) == bool(problems)
    for span in spans((value, problems)):
        assert 0 <= span.start <= span.end <= len(text)


def test_every_mutation_of_a_good_scenario() -> None:
    """A character or a line that is lost, doubled, swapped or replaced. What was not touched is still read."""
    draw = random.Random(7)
    lines = EXAMPLE.splitlines(keepends=True)
    characters = '{}()[]=:;,."#\n \\/%0aZ_-é\x00'
    for _ in range(2000):
        kind = draw.randrange(6)
        at = draw.randrange(len(EXAMPLE))
        if kind == 0:
            text = EXAMPLE[:at] + EXAMPLE[at + 1 :]
        elif kind == 1:
            text = EXAMPLE[:at] + draw.choice(characters) + EXAMPLE[at:]
        elif kind == 2:
            text = EXAMPLE[:at] + draw.choice(characters) + EXAMPLE[at + 1 :]
        elif kind == 3:
            text = EXAMPLE[:at]
        else:
            mixed = list(lines)
            line = mixed.pop(draw.randrange(len(mixed)))
            if kind == 5:
                mixed.insert(draw.randrange(len(mixed)), line)
            text = "".join(mixed)
        document, problems = check(text)
        if kind != 3:
            # One slip leads to few complaints and leaves most of the file standing.
            assert len(problems) <= 5, (text, problems)
            assert len(document.items) >= 5 or any(p.code == "KVS011" for p in problems), (text, problems)


def test_pieces_and_the_whole_agree() -> None:
    """The way that is taken after a mistake reads a text without mistakes as the grammar does."""
    source = Source("a.kvs", EXAMPLE)
    whole, none = parse(source)
    pieces, problems = recover(source)
    assert none == problems == ()
    assert pieces == whole


def numbers() -> st.SearchStrategy[str]:
    digits = st.text("0123456789", min_size=1, max_size=12)
    grouped = st.lists(st.text("0123456789", min_size=1, max_size=3), min_size=1, max_size=4).map("_".join)
    whole = digits | grouped
    exponent = st.just("") | st.integers(-40, 40).map(lambda e: f"e{e}") | st.integers(0, 40).map(lambda e: f"E+{e}")
    return st.tuples(whole, st.just("") | grouped.map(lambda d: f".{d}"), exponent).map("".join)


@given(numbers(), st.sampled_from(["", " MiB", "tokens", " Gbit/s", " /s", "%", " s"]))
def test_numbers_are_exact(number: str, unit: str) -> None:
    value, problems = parse_value(Source("--set", number + unit))
    assert problems == ()
    assert isinstance(value, Number)
    mantissa, _, exponent = number.lower().replace("_", "").partition("e")
    whole, _, fraction = mantissa.partition(".")
    assert value.value == Fraction(int(whole + fraction), 10 ** len(fraction)) * Fraction(10) ** int(exponent or 0)
    assert (value.unit or "") == unit.strip()


def test_long_texts_do_not_hang() -> None:
    for text in (
        "kvs 1\nlet x = " + "(" * 50_000,
        "kvs 1\nlet x = " + "[" * 20_000 + "]" * 20_000,
        "kvs 1\nlet x = " + "-" * 50_000 + "1",
        "kvs 1\nlet x = " + "1 + " * 20_000 + "1",
        "kvs 1\nlet x = [" + "1, " * 20_000 + "]",
        "kvs 1\nsweep s { skip when " + "not " * 20_000 + "a == 1 }",
        "kvs 1\nlet x = " + "9" * 50_000,
        "kvs 1\nlet x = 1e" + "9" * 50_000,
        "kvs 1\n" + "{" * 20_000,
        "kvs 1\n" + "}" * 20_000,
        "kvs 1\n" + "tier a : b {\n" * 5_000,
        'kvs 1\nlet x = "' + "\\" * 50_000,
        "kvs 1\n" + "a" * 100_000,
        "\n" * 200_000,
    ):
        check(text)
