"""Quantities, arithmetic and ranges: exact, and the same everywhere."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.language.diagnose import ScenarioError, Source
from kvscen.language.evaluate import LARGEST, evaluate
from kvscen.language.parse import parse_value
from kvscen.language.resolve import ScopeNames, Universe
from kvscen.language.schema import Count, Size
from kvscen.language.values import (
    BYTES,
    NUMBER,
    TIME,
    UNITS,
    Quantity,
    Value,
    format_quantity,
    format_value,
    show_value,
)

_NAMES = ScopeNames(Universe({}, {}, {}, frozenset({"read"}), True), lambda name: 0)  # type: ignore[arg-type,return-value]


def value(text: str) -> Value:
    expr, problems = parse_value(Source("test", text))
    assert expr is not None and not problems, (text, problems)
    return evaluate(expr, None, _NAMES)


def code(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        value(text)
    return caught.value.diagnostics[0].code


_UNITS = st.sampled_from(["", *UNITS])


@settings(deadline=None)  # the first one loads the grammar
@given(st.fractions(min_value=0, max_value=10, max_denominator=10**6), _UNITS)
def test_quantities_print_and_parse_back(number: Fraction, unit: str) -> None:
    quantity = Quantity.of(number, unit or None)
    assert value(format_quantity(quantity)) == quantity


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from('"\\\n\t')))
def test_texts_print_and_parse_back(text: str) -> None:
    assert value(format_value(text)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("log(1000 /s, 16000 /s, 4)", ["1000 /s", "2519.8 /s", "6349.6 /s", "16000 /s"]),
        ("log(1 s, 2 s, 3)", ["1 s", "1.4142 s", "2 s"]),
        ("log(1 ms, 2 ms, 3)", ["1 ms", "1.4142 ms", "2 ms"]),
        ("log(1 GiB/s, 3 GiB/s, 3)", ["1 GiB/s", "1.7321 GiB/s", "3 GiB/s"]),
        ("log(1, 3, 3)", ["1", "1.7321", "3"]),
        ("log(1 %, 3 %, 3)", ["1 %", "1.7321 %", "3 %"]),
        ("[1 s / 3, 2.5 MiB]", ["333.33 ms", "2.5 MiB"]),
    ],
)
def test_for_people_five_digits_are_enough(text: str, shown: list[str]) -> None:
    found = value(text)
    assert isinstance(found, tuple)
    assert [show_value(item) for item in found] == shown


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("2.5 MiB", "2.5 MiB"),
        ("562176 B", "549 KiB"),
        ("35136 B", "35136 B"),
        ("1000 kB", "1 MB"),
        ("0.5 s", "500 ms"),
        ("1.5 s", "1.5 s"),
        ("400 Gbit/s", "50 GB/s"),
        ("1 bit", "0.125 B"),
        ("0 s", "0 ns"),
        ("70 %", "70 %"),
        ("16 tokens", "16 tokens"),
        ("-(3 s)", "-3 s"),
        ("1 / 3", "(1 / 3)"),
        ("1e3", "1000"),
        ("2 * (3 + 4)", "14"),
        ("4 GiB * 50 %", "2 GiB"),
        ("1 GiB / 1 s", "1 GiB/s"),
        ("10 * 50 %", "5"),
        ("50 % / 2", "25 %"),
        ("50 % + 10 %", "60 %"),
        ("100 / 1 s", "100 /s"),
        ('"a" + "/b"', '"a/b"'),
        ("[1, 2 s, true]", "[1, 2 s, true]"),
        ("pow2(4 KiB, 16 KiB)", "[4 KiB, 8 KiB, 16 KiB]"),
        ("linear(0 s, 1 s, 3)", "[0 ns, 500 ms, 1 s]"),
        ("linear(10, 1, 4)", "[10, 7, 4, 1]"),
        ("log(1, 1000, 4)", "[1, 10, 100, 1000]"),
        ("log(4 KiB, 64 KiB, 5)", "[4 KiB, 8 KiB, 16 KiB, 32 KiB, 64 KiB]"),
    ],
)
def test_arithmetic(text: str, printed: str) -> None:
    assert format_value(value(text)) == printed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 s + 1", "KVS106"),
        ("1 - 30 %", "KVS106"),
        ("1 / 0", "KVS106"),
        ('"a" + 1', "KVS106"),
        ('"a" - "b"', "KVS106"),
        ("-true", "KVS106"),
        ("pow2(1 s, 2 B)", "KVS106"),
        ("pow2(0, 8)", "KVS109"),
        ("log(0, 8, 3)", "KVS109"),
        ("log(1, 8, 2.5)", "KVS109"),
        ("log(1, 8, 1000000)", "KVS109"),
        (f"{LARGEST} + 1", "KVS107"),
        ("300 h * 10000000", "KVS107"),
        ("1e99", "KVS107"),
        ("1e-99 * 1e-99", "KVS107"),
    ],
)
def test_errors(text: str, expected: str) -> None:
    assert code(text) == expected


def test_the_largest_number_is_one() -> None:
    assert value(str(LARGEST)) == Quantity(Fraction(LARGEST))
    assert value(f"{LARGEST} B") == Quantity(Fraction(LARGEST), BYTES)
    assert value("9223372036 s") == Quantity(Fraction(9223372036), TIME)


def test_log_is_rounded_the_same_everywhere() -> None:
    found = value("log(1, 2, 3)")
    assert isinstance(found, tuple) and isinstance(found[1], Quantity)
    assert found[1] == Quantity(Fraction("1.41421356237309504880168872421"), NUMBER)


def test_ranges_round_where_a_whole_number_is_needed() -> None:
    found = value("linear(1, 2, 4)")
    assert isinstance(found, tuple)
    assert [Count().convert(item) for item in found] == [1, 1, 2, 2]
    found = value("linear(1 B, 2 B, 4)")
    assert isinstance(found, tuple)
    assert [format_value(Size().fit(item)) for item in found] == ["1 B", "1 B", "2 B", "2 B"]
    # What is computed from a value of a range is as loose as it; what is written is not.
    with pytest.raises(ValueError, match="not a whole number"):
        Size().convert(value("1 B / 3"))


def test_nothing_grows_without_bound() -> None:
    doubled = "\n".join(f"let a{i} = a{i - 1} + a{i - 1}" for i in range(1, 60))
    from tests.semantics.support import HEAD, problems, sweep

    assert problems(f'{HEAD}let a0 = "xxxx"\n{doubled}\n' + sweep("tier = disk", ""))[0].code == "KVS107"
    lists = doubled.replace("+", ",").replace("= a", "= [a").replace("\n", "]\n") + "]"
    assert problems(f"{HEAD}let a0 = 1\n{lists}\n" + sweep("tier = disk", ""))[0].code == "KVS107"
    small = "\n".join(f"let a{i} = a{i - 1} * a{i - 1}" for i in range(1, 60))
    assert problems(f"{HEAD}let a0 = 1 / 3\n{small}\n" + sweep("tier = disk", ""))[0].code == "KVS107"


def test_many_lets_take_no_time_and_no_stack() -> None:
    from tests.semantics.support import HEAD, expanded, plan, problems, sweep

    # Each is used twice: without memory that would be 2 ^ 90 evaluations.
    chain = "\n".join(f"let a{i} = a{i - 1} + a{i - 1} - a{i - 1}" for i in range(1, 90))
    text = f"{HEAD}let a0 = 2\n{chain}\n"
    assert plan(text + sweep("tier = disk; pages.threads = a89", "")).points[0].work.threads == 2
    found = plan(text + sweep("tier = disk; a0 in [1, 2]; pages.threads = a89", ""))
    assert [p.work.threads for p in found.points] == [1, 2]
    assert len(plan(text + sweep("tier = disk; pages.threads in [a89, 3]", "")).points) == 2
    long = "\n".join(f"let a{i} = a{i - 1}" for i in range(1, 3000))
    result = expanded(f"{HEAD}let a0 = 2\n{long}\n" + sweep("tier = disk; pages.threads = a2999", ""))
    assert result.plan is not None
    backwards = "\n".join(reversed(long.splitlines()))
    assert not problems(f"{HEAD}{backwards}\nlet a0 = 2\n" + sweep("tier = disk", ""))
