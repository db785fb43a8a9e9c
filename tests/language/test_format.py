"""One layout: nothing but white space, separators and trailing commas changes, and formatting twice is formatting once.

After a change that is meant: KVSCEN_GOLDEN=write python -m pytest tests/language/test_format.py, then read the
difference."""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.language.diagnose import Source, Span
from kvscen.language.format import FormatError, format_source, one_line
from kvscen.language.format.layout import WIDTH
from kvscen.language.format.markdown import format_page
from kvscen.language.format.tokens import read
from kvscen.language.grammar import parser
from kvscen.language.parse import parse
from kvscen.lint import lint_file
from kvscen.plan.render import plan_json
from tests.language.support import EXAMPLE
from tests.language.test_any_text import ANY

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "format"
UGLY = (GOLDEN / "everything.kvs").read_text("utf-8")
SHIPPED = sorted([*(ROOT / "scenarios").rglob("*.kvs"), ROOT / "grammar" / "kvscen_grammar" / "models.kvs"])
TEXTS = [UGLY, EXAMPLE, *(path.read_text("utf-8") for path in SHIPPED)]


def formatted(text: str) -> str:
    result = format_source(Source("a.kvs", text))
    assert isinstance(result, str), result
    return result


def meaning(text: str) -> Any:
    """The syntax tree without its places."""
    document, problems = parse(Source("a.kvs", text))
    assert not problems

    def bare(node: Any) -> Any:
        if isinstance(node, tuple):
            return tuple(bare(item) for item in node)
        if attrs.has(type(node)):
            fields = (getattr(node, field.name) for field in attrs.fields(type(node)))
            return type(node), tuple(bare(value) for value in fields if not isinstance(value, Span | Source))
        return node

    return bare(document)


def comments(text: str) -> list[str]:
    """Found otherwise than the formatter does: by hand, string by string."""
    found = re.findall(r'"(?:[^"\\\n]|\\[^\n])*"|(#[^\n]*)', text)
    return [comment.rstrip() for comment in found if comment]


def hold(text: str) -> str:
    """What is true of every result."""
    result = formatted(text)
    assert formatted(result) == result
    assert meaning(result) == meaning(text)
    assert comments(result) == comments(text)
    assert result.endswith("\n") and not result.endswith("\n\n") and "\n\n\n" not in result
    for line in result.splitlines():
        assert line == line.rstrip()
    return result


# ---- known layouts


def test_everything() -> None:
    path = GOLDEN / "everything.formatted.kvs"
    result = hold(UGLY)
    if os.environ.get("KVSCEN_GOLDEN") == "write":
        path.write_text(result, "utf-8")
    assert result == path.read_text("utf-8")


def test_everything_is_everything() -> None:
    """The known layout has every word and sign of the grammar."""
    tokens = parser().parse_interactive(UGLY, start="document").iter_parse()
    assert {terminal.name for terminal in parser().terminals} - {token.type for token in tokens} == {"SPACE", "COMMENT"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_is_shipped_is_formatted(path: Path) -> None:
    assert hold(path.read_text("utf-8")) == path.read_text("utf-8")


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda path: path.name
)
def test_examples_in_pages_are_formatted(page: Path) -> None:
    text = page.read_text("utf-8")
    assert format_page(Source(str(page), text)) == text


def test_the_ends_of_lines_and_the_mark() -> None:
    text = 'kvs 1\n\ntier a : posix {\n  path = "a\tb"  # tab\tin a comment\n}\n'
    assert formatted(text.replace("\n", "  \r\n").replace("  path", "\tpath")) == text
    assert formatted(text.rstrip("\n")) == text


def test_only_what_is_too_long_is_broken() -> None:
    for length in range(1, 60):
        text = f"kvs 1\nlet x = [{', '.join(['1000'] * length)}]\n"
        lines = formatted(text).splitlines()
        assert all(len(line) <= WIDTH for line in lines)
        assert (len(lines) == 2) == (len(text.splitlines()[1]) <= WIDTH)


def test_a_line_that_cannot_be_broken_stays() -> None:
    condition = " and ".join(["pages.requests == 10"] * 20)
    text = f"kvs 1\nsweep s {{\n  skip when {condition}\n}}\n"
    assert formatted(text) == text


def test_columns_do_not_make_a_line_too_long() -> None:
    short = "tier a : sim { latency = 1 us }"
    long = f'tier {"b" * 40} : posix {{ path = "{"x" * 50}" }}'
    assert formatted(f"kvs 1\n{short}\n{long}\n") == (
        f"kvs 1\ntier {'a'.ljust(40)} : sim   {{ latency = 1 us }}\n{long}\n"
    )
    longer = long.replace("x" * 50, "x" * 53)
    assert formatted(f"kvs 1\n{short.replace('sim', 'tiered')}\n{longer}\n") == (
        f"kvs 1\ntier {'a'.ljust(40)} : tiered {{ latency = 1 us }}\n{longer}\n"
    )


def test_a_syntax_error_is_a_diagnostic() -> None:
    result = format_source(Source("a.kvs", "kvs 1\ntier a : posix { path: 1 }\n"))
    assert [diagnostic.code for diagnostic in result if not isinstance(diagnostic, str)] == ["KVS024"]


def test_brackets_without_end() -> None:
    result = format_source(Source("a.kvs", f"kvs 1\nlet x = {'(' * 5000}1{')' * 5000}\n"))
    assert [diagnostic.code for diagnostic in result if not isinstance(diagnostic, str)] == ["KVS033"]
    hold(f"kvs 1\nlet x = {'(' * 60}1{')' * 60}\n")
    hold(f"kvs 1\nlet x = {'[ # c' + chr(10) + '['}1, 2{']' * 2}\n")


def test_a_result_that_says_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("kvs 1\nlet a = 2\n", "kvs 1\nlet a = 1  # new\n", "kvs 1\nlet a = = 1\n", "kvs 1\nlet a = (1,)\n"):
        monkeypatch.setattr("kvscen.language.format.write", lambda lines, wrong=wrong: wrong)
        with pytest.raises(FormatError):
            format_source(Source("a.kvs", "kvs 1\nlet a = (1)\n" if "(" in wrong else "kvs 1\nlet a = 1\n"))


def test_a_statement_by_itself() -> None:
    """What plans and results call it does not depend on its layout."""
    assert one_line("expect errors==0 when(a.b<3# why\n or\tc==1 )") == "expect errors == 0 when (a.b < 3 or c == 1)"
    assert one_line("skip   when a . b==10/s") == "skip when a.b == 10 /s"
    assert one_line("latency_p99<=2ms") == "latency_p99 <= 2 ms"
    assert one_line(f"skip when {'(' * 2000}a == 1{')' * 2000}").startswith("skip when (((")


# ---- pages


def test_a_page() -> None:
    page = (
        "# A page\n\n```kvs\nkvs 1\nlet a=1\n```\n```sh\nlet a=1\n```\n\n```kvs-part\na=1\n```\n```kvs\nkvs 1\n```\nend"
    )
    assert format_page(Source("a.md", page)) == page.replace("kvs 1\nlet a=1", "kvs 1\nlet a = 1")
    windows = page.replace("\n", "\r\n")
    assert format_page(Source("a.md", windows)) == windows.replace("kvs 1\r\nlet a=1", "kvs 1\r\nlet a = 1")


def test_a_problem_has_its_line_in_the_page() -> None:
    result = format_page(Source("a.md", "text\n\n```kvs\nkvs 1\nlet a = \n```\n\n```kvs\nkvs 1\n\ntier x = 3\n```\n"))
    assert [str(diagnostic.span) for diagnostic in result if not isinstance(diagnostic, str)] == [
        "a.md:5:8",
        "a.md:11:8",
    ]


# ---- whatever the text


def shaken(text: str, draw: random.Random, gently: bool = False) -> str:
    """The same words with other white space, separators and comments between them; `gently`: only other spaces."""
    marks = read(text)
    parts: list[str] = []
    depth = 0

    def space(least: int = 0) -> str:
        return "".join(draw.choice(" \t") for _ in range(draw.randint(least, 3)))

    def newline() -> str:
        comment = draw.choice(["", "", "", f"#{draw.choice(['', ' a ; comment', '{[(', ' , '])}"])
        return space() + comment + draw.choice(["\n", "\n", "\r\n"])

    def anything() -> str:
        return draw.choice([space, newline, lambda: newline() + newline(), lambda: newline() + newline() + newline()])()

    for i, mark in enumerate(marks):
        before = marks[i - 1].kind if i else ""
        if mark.kind in ("RPAR", "RSQB"):
            needed, within = "", True
        else:
            needed, within = ("," if mark.comma else ""), depth > 0
        trailing = mark.kind in ("RPAR", "RSQB") and mark.comma
        loose = before in ("LPAR", "LSQB", "LBRACE", "") or mark.kind in ("RBRACE", "END") or bool(needed)
        if gently:
            comment = f"  {marks[i - 1].after}" if i and marks[i - 1].after else ""
            own = [f"{newlines}{space()}{c.text}" for c in mark.before for newlines in ["\n\n" if c.blank else "\n"]]
            sign = "," if mark.comma else ";" if mark.separated and not mark.newline else ""
            end = ("\n\n" if mark.blank else "\n") + space() if mark.newline and (i or own) else ""
            gap = space() + sign + space() + comment + "".join(own) + end
            gap = gap if gap.strip(" \t") or loose else " " + gap
            gap = gap.removeprefix("\n") if not i else gap
        elif within:
            gap = anything() + ("," if needed or trailing else "") + anything()
            gap = gap if gap.strip() or loose else gap + " "
        elif mark.separated and mark.kind not in ("RBRACE", "END", "LBRACE") and before != "LBRACE":
            gap = anything() + draw.choice([";", newline(), newline() + ";"]) + anything()
        elif loose or mark.kind == "LBRACE":
            gap = anything() + anything()
        else:
            gap = space(1)
        parts += [gap, mark.text]
        depth += (mark.kind in ("LPAR", "LSQB")) - (mark.kind in ("RPAR", "RSQB"))
    return "".join(parts)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TEXTS), st.integers(0, 2**32))
def test_shaken(text: str, seed: int) -> None:
    other = shaken(text, random.Random(seed))
    assert meaning(other) == meaning(text)
    hold(other)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TEXTS[1:]), st.integers(0, 2**32))
def test_spaces_make_no_difference(text: str, seed: int) -> None:
    assert formatted(shaken(text, random.Random(seed), gently=True)) == formatted(text)


@settings(max_examples=400, deadline=None)
@given(ANY)
def test_any_text(text: str) -> None:
    source = Source("any.kvs", text)
    result = format_source(source)
    assert isinstance(result, str) != bool(parse(source)[1])
    if isinstance(result, str):
        hold(text)


@pytest.mark.parametrize("name", ["llama70b.kvs", "sizing.kvs", "goodput.kvs", "kv_cache_py/study.kvs"])
def test_the_plan_is_the_same(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    path = tmp_path / "scenarios" / name
    before = lint_file(path).plan
    text = shaken(path.read_text("utf-8"), random.Random(name))
    path.write_text(text, "utf-8")
    other = lint_file(path).plan
    path.write_text(formatted(text), "utf-8")
    after = lint_file(path).plan
    assert before is not None and other is not None and after is not None
    assert plan_json(before) == plan_json(other) == plan_json(after)
