"""Text that is right: what tree it gives."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kvscen.language.diagnose import Source
from kvscen.language.parse import parse, parse_value
from kvscen.language.syntax import (
    And,
    Axis,
    Binary,
    Block,
    Boolean,
    Call,
    Compare,
    Document,
    Expect,
    Expr,
    Find,
    Let,
    ListExpr,
    Name,
    Negate,
    Not,
    Number,
    Or,
    Setting,
    Skip,
    Statement,
    Text,
    TupleExpr,
    Use,
)
from tests.language.support import EXAMPLE


def document(text: str) -> Document:
    found, problems = parse(Source("test.kvs", text))
    assert problems == ()
    return found


def block(text: str) -> Block:
    (item,) = document(f"kvs 1\n{text}").items
    assert isinstance(item, Block)
    return item


def statement(text: str) -> Statement:
    (found,) = block("sweep s {" + text + "}").body
    return found


def value(text: str) -> Expr:
    found, problems = parse_value(Source("--set", text))
    assert problems == () and found is not None
    return found


def test_the_example_of_the_language() -> None:
    found = document(EXAMPLE)
    assert found.version == 1
    assert [type(item).__name__ for item in found.items] == ["Use", "Let", *["Block"] * 8]
    sweep = found.items[-1]
    assert isinstance(sweep, Block)
    assert (sweep.kind, sweep.name.name, sweep.base) == ("sweep", "blocks", None)
    assert [type(s).__name__ for s in sweep.body] == [
        *("Setting", "Axis", "Axis", "Axis", "Skip"),
        *("Setting", "Setting", "Setting", "Expect", "Expect", "Find"),
    ]
    assert sweep.span.text.startswith("sweep blocks {") and sweep.span.text.endswith("}")


@pytest.mark.parametrize(
    "text",
    ["kvs 1", "\n\n  kvs 1 # one\n\n", "# before\nkvs 1;", "kvs 1\r\n\r\nuse models\r\n"],
)
def test_space_around(text: str) -> None:
    assert document(text).version == 1


def test_use_and_let() -> None:
    models, file, let = document('kvs 1\nuse models\nuse "a b.kvs"; let x = -2 * (y + 3)\n').items
    assert isinstance(models, Use) and (models.target, models.is_file) == ("models", False)
    assert isinstance(file, Use) and (file.target, file.is_file) == ("a b.kvs", True)
    assert isinstance(let, Let) and let.name.name == "x"
    product = let.value
    assert isinstance(product, Binary) and product.operator == "*"
    assert isinstance(product.left, Negate) and isinstance(product.right, Binary)
    assert product.span.text == "-2 * (y + 3)"


def test_a_block_may_open_on_the_next_line_and_be_empty() -> None:
    assert block("tier a : posix\n\n{\n}").body == ()
    assert block("tier a : posix {}").body == ()


def test_a_base_may_be_a_call() -> None:
    base = block('model m : hf("config.json") { }').base
    assert isinstance(base, Call)
    assert base.function.name == "hf" and [type(a) for a in base.arguments] == [Text]


@pytest.mark.parametrize(
    "word",
    [
        *("kvs", "use", "let", "model", "tier", "pattern", "sweep", "skip", "expect", "find"),
        *("highest", "lowest", "saturation", "of", "over", "where", "within", "finder"),
        *("in", "when", "and", "or", "not", "true", "false", "index", "letter", "inside", "skipped"),
    ],
)
def test_every_word_can_be_the_name_of_a_setting(word: str) -> None:
    fixed = statement(f"{word} = x")
    assert isinstance(fixed, Setting) and fixed.path.parts == (word,)
    varied = statement(f"{word} in [x]")
    assert isinstance(varied, Axis) and varied.paths[0].parts == (word,)
    dotted = statement(f"a.{word} = x")
    assert isinstance(dotted, Setting) and dotted.path.parts == ("a", word)
    tied = statement(f"(a, pages.{word}) in [(1, 2)]")
    assert isinstance(tied, Axis) and tied.paths[1].parts == ("pages", word)


@pytest.mark.parametrize(
    "text", ["find highestx where a == 1", "find highest x wherea == 1", "find saturation ofa over b"]
)
def test_a_keyword_of_a_search_ends_where_the_word_ends(text: str) -> None:
    assert parse(Source("test.kvs", f"kvs 1\nsweep s {{ {text} }}\n"))[1]


@pytest.mark.parametrize("text", ["tier indisk", "skip whenx == 1", "expect a == 1 whenb == 2", "x = 3 wheny == 2"])
def test_a_keyword_ends_where_the_word_ends(text: str) -> None:
    _, problems = parse(Source("test.kvs", f"kvs 1\nsweep s {{ {text} }}\n"))
    assert problems


@pytest.mark.parametrize("text", ["usemodels", "letx = 3", "tierx : posix { }", "kvs1"])
def test_a_keyword_of_an_item_ends_where_the_word_ends(text: str) -> None:
    _, problems = parse(Source("test.kvs", f"kvs 1\n{text}\n"))
    assert problems


def test_axes() -> None:
    single = statement("pages.op in [read, write,]")
    assert isinstance(single, Axis) and isinstance(single.values, ListExpr) and len(single.values.items) == 2
    grouped = statement("(a, b.c,) in [(1, 2 KiB), (3, 4 KiB,)]")
    assert isinstance(grouped, Axis)
    assert [str(p) for p in grouped.paths] == ["a", "b.c"]
    assert isinstance(grouped.values, ListExpr)
    assert all(isinstance(row, TupleExpr) and len(row.items) == 2 for row in grouped.values.items)
    assert isinstance(statement("a in pow2(4 KiB, 1 MiB)"), Axis)


def test_inside_brackets_a_newline_is_a_space() -> None:
    found = statement("x in [\n 1, # one\n\n (3\n + 4),\n]")
    assert isinstance(found, Axis) and isinstance(found.values, ListExpr)
    assert [type(item) for item in found.values.items] == [Number, Binary]


def test_conditions() -> None:
    skip = statement("skip when not a.b == 1 and (c != x or d < 2 GiB) or e >= 3")
    assert isinstance(skip, Skip)
    either = skip.condition
    assert isinstance(either, Or) and len(either.items) == 2
    both, last = either.items
    assert isinstance(both, And) and isinstance(last, Compare) and last.operator == ">="
    assert isinstance(both.items[0], Not) and isinstance(both.items[1], Or)


def test_conditions_are_flat() -> None:
    skip = statement("skip when " + " and ".join(f"a == {i}" for i in range(200)))
    assert isinstance(skip, Skip) and isinstance(skip.condition, And) and len(skip.condition.items) == 200


def test_find() -> None:
    edge = statement("find highest pages.rate where request_latency_p99 <= 200 ms and dram.hit_rate > 50 %")
    assert isinstance(edge, Find)
    assert (edge.kind, str(edge.path), edge.measure, edge.share) == ("highest", "pages.rate", None, None)
    assert [(str(c.path), c.operator) for c in edge.conditions] == [
        ("request_latency_p99", "<="),
        ("dram.hit_rate", ">"),
    ]
    assert edge.conditions[0].span.text == "request_latency_p99 <= 200 ms"
    knee = statement("find saturation of throughput over pages.depth within 5 %")
    assert isinstance(knee, Find) and isinstance(knee.share, Number)
    assert (knee.kind, str(knee.measure), str(knee.path)) == ("saturation", "throughput", "pages.depth")
    bare = statement("find saturation of over over within")
    assert isinstance(bare, Find) and (str(bare.measure), str(bare.path), bare.share) == ("over", "within", None)
    wordy = statement("find lowest lowest where where == 1")
    assert isinstance(wordy, Find) and (str(wordy.path), str(wordy.conditions[0].path)) == ("lowest", "where")


def test_expect() -> None:
    found = statement("expect dram.hit_rate >= 85 % when pages.op == read and a == b")
    assert isinstance(found, Expect)
    assert (str(found.measure), found.operator) == ("dram.hit_rate", ">=")
    assert isinstance(found.value, Number) and (found.value.value, found.value.unit) == (85, "%")
    assert isinstance(found.when, And)
    bare = statement("expect errors == 0")
    assert isinstance(bare, Expect) and bare.when is None


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("16 tokens", 16, "tokens"),
        ("2.5 MiB", Fraction(5, 2), "MiB"),
        ("4GiB", 4, "GiB"),
        ("400 Gbit/s", 400, "Gbit/s"),
        ("85 %", 85, "%"),
        ("100 /s", 100, "/s"),
        ("100/s", 100, "/s"),
        ("1_000_000", 1_000_000, None),
        ("1.5e3", 1500, None),
        ("1E-3 s", Fraction(1, 1000), "s"),
        ("0.1", Fraction(1, 10), None),
        ("80 µs", 80, "µs"),
        ("5 parsecs", 5, "parsecs"),
        ("007", 7, None),
    ],
)
def test_quantities(text: str, number: Fraction | int, unit: str | None) -> None:
    found = value(text)
    assert isinstance(found, Number)
    assert (found.value, found.unit, found.span.text) == (number, unit, text)
    assert (found.unit_span.text if found.unit_span else None) == unit


def test_a_rate_is_not_a_division() -> None:
    assert isinstance(value("100 /s"), Number)
    division = value("100 / speed")
    assert isinstance(division, Binary) and isinstance(division.right, Name)
    division = value("4 GiB/size")
    assert isinstance(division, Binary) and isinstance(division.left, Number) and division.left.unit == "GiB"


def test_precedence() -> None:
    sum_ = value("1 + 2 * 3 - 4 / 5")
    assert isinstance(sum_, Binary) and sum_.operator == "-"
    left, right = sum_.left, sum_.right
    assert isinstance(left, Binary) and left.operator == "+" and isinstance(left.right, Binary)
    assert isinstance(right, Binary) and right.operator == "/"
    chain = value("8 - 4 - 2")
    assert isinstance(chain, Binary) and isinstance(chain.left, Binary)


def test_strings() -> None:
    found = value(r'"a \"b\" \\ \n\t # no comment"')
    assert isinstance(found, Text)
    assert found.value == 'a "b" \\ \n\t # no comment'


def test_other_values() -> None:
    assert isinstance(value("true"), Boolean) and isinstance(value("false"), Boolean)
    name = value("pages.op")
    assert isinstance(name, Name) and name.path.parts == ("pages", "op")
    call = value('f(1, [a], "x",)')
    assert isinstance(call, Call) and len(call.arguments) == 3
    assert isinstance(value("f()"), Call)
    empty = value("[]")
    assert isinstance(empty, ListExpr) and empty.items == () and empty.span.text == "[]"
    single = value("(1,)")
    assert isinstance(single, TupleExpr) and len(single.items) == 1
    assert isinstance(value("((1))"), Number)


def test_every_span_is_where_its_text_is() -> None:
    found = block("tier disk : posix { path = dir; capacity = 4 GiB }")
    assert found.name.span.text == "disk"
    assert found.base is not None and found.base.span.text == "posix"
    path, capacity = found.body
    assert isinstance(path, Setting) and isinstance(capacity, Setting)
    assert (path.span.text, path.path.span.text, path.value.span.text) == ("path = dir", "path", "dir")
    assert str(capacity.span) == "test.kvs:2:33"


def test_a_value_is_the_whole_text() -> None:
    for text in ("", "1 2", "a = 3", "[1", "1 +", "}", "a b", "1\n2"):
        found, problems = parse_value(Source("--set", text))
        assert found is None and len(problems) == 1, text
