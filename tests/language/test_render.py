"""Diagnostics as text: the caret is under what is meant, and nothing in a name or a message breaks a format."""

from __future__ import annotations

import json
import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Severity, Source, Span
from kvscen.language.render import FORMATS, WINDOW, render, sorted_by_place, summary

SOURCE = Source("a b.kvs", "kvs 1\n\n\ttier 日本 : e\u0301x { a = 1 }  # 😀 end\nsweep s {\n}\n")


def span(text: str, source: Source = SOURCE) -> Span:
    start = source.text.index(text)
    return Span(source, start, start + len(text))


def test_full() -> None:
    other = Source("b.kvs", "tier disk : posix { }\n")
    problem = diagnostic(
        "KVS103",
        "`s` is defined twice",
        span("s {"),
        label="again",
        help="rename one\nor remove it",
        related=((span("kvs"), "first"), (span("e\u0301x"), "second"), (span("disk", other), "elsewhere")),
    )
    assert render([problem]) == (
        "error[KVS103]: `s` is defined twice\n"
        " --> a b.kvs:4:7\n"
        "  |\n"
        "1 | kvs 1\n"
        "  | --- first\n"
        "...\n"
        "3 |     tier 日本 : e\u0301x { a = 1 }  # 😀 end\n"
        "  |                 -- second\n"
        "4 | sweep s {\n"
        "  |       ^^^ again\n"
        " ::: b.kvs:1:6\n"
        "  |\n"
        "1 | tier disk : posix { }\n"
        "  |      ---- elsewhere\n"
        "  = help: rename one\n"
        "          or remove it\n"
        "\n"
        "1 error\n"
    )


def test_without_a_place() -> None:
    assert render([diagnostic("KVS001", "x.kvs does not exist", help="did you mean y.kvs?")]) == (
        "error[KVS001]: x.kvs does not exist\n  = help: did you mean y.kvs?\n\n1 error\n"
    )


def test_marks_on_one_line_and_empty_and_long_spans() -> None:
    both = diagnostic("KVS022", "m", span("{ a"), related=((span("tier"), "here"),))
    lines = render([both]).splitlines()
    assert lines[3:6] == [
        "3 |     tier 日本 : e\u0301x { a = 1 }  # 😀 end",
        "  |                    ^^^",
        "  |     ---- here",
    ]
    empty = diagnostic("KVS031", "m", Span(SOURCE, 5, 5))
    assert render([empty]).splitlines()[4] == "  |      ^"
    whole = diagnostic("KVS020", "m", Span(SOURCE, 0, len(SOURCE.text)))
    assert render([whole]).splitlines()[4] == "  | ^^^^^"
    behind = diagnostic("KVS020", "m", Span(SOURCE, len(SOURCE.text), len(SOURCE.text)))
    assert "--> a b.kvs:6:1" in render([behind])


def test_line_numbers_are_aligned() -> None:
    source = Source("a.kvs", "\n" * 8 + "one\ntwo\n")
    problem = diagnostic("KVS020", "m", span("two", source), related=((span("one", source), "x"),))
    assert render([problem]).splitlines()[2:7] == ["   |", " 9 | one", "   | --- x", "10 | two", "   | ^^^"]


def test_a_long_line_is_cut_around_the_caret() -> None:
    source = Source("a.kvs", "x" * 500 + " HERE " + "y" * 500)
    shown, marks = render([diagnostic("KVS020", "m", span("HERE", source))]).splitlines()[3:5]
    assert len(shown) <= WINDOW + 10
    assert shown.startswith("1 | …") and shown.endswith("…")
    assert shown[marks.index("^") : marks.rindex("^") + 1] == "HERE"
    long = render([diagnostic("KVS020", "m", Span(source, 0, 1000))]).splitlines()[4]
    assert len(long) <= WINDOW + 10


def test_severities_and_the_summary() -> None:
    warning = diagnostic("KVS401", "w")
    info = diagnostic("KVS401", "i", severity=Severity.INFO)
    error = diagnostic("KVS020", "e")
    assert summary([error, warning, error, info, info]) == "2 errors, 1 warning, 2 info"
    assert summary([]) == ""
    assert render([warning]).startswith("warning[KVS401]: w\n")
    assert render([]) == render([], "concise") == render([], "github") == ""


def test_concise() -> None:
    text = render(
        [diagnostic("KVS024", "write\n`=`", span("a = 1"), help="h"), diagnostic("KVS001", "gone")], "concise"
    )
    assert text == "a b.kvs:3:18: error[KVS024] write `=`\nerror[KVS001] gone\n2 errors\n"


def test_github() -> None:
    odd = Source("a,b:c%d.kvs", "kvs 1\nx\n")
    text = render(
        [
            diagnostic("KVS024", "50 % is\r\nwrong", span("x", odd), help="do: it, so"),
            diagnostic("KVS401", "lines", Span(odd, 0, 7)),
            diagnostic("KVS402", "no place", severity=Severity.INFO),
        ],
        "github",
    )
    assert text.splitlines() == [
        "::error file=a%2Cb%3Ac%25d.kvs,line=2,col=1,endColumn=2,title=KVS024::50 %25 is%0D%0Awrong%0Ahelp: do: it, so",
        "::warning file=a%2Cb%3Ac%25d.kvs,line=1,endLine=2,title=KVS401::lines",
        "::notice title=KVS402::no place",
    ]


def test_json() -> None:
    problem = diagnostic(
        "KVS024",
        "wrong\x1b",
        span("a = 1"),
        label="l",
        fix=Fix(span("="), ":="),
        related=((span("kvs"), "r"),),
    )
    found = json.loads(render([problem, diagnostic("KVS402", "w")], "json"))
    assert (found["errors"], found["warnings"], found["infos"]) == (1, 1, 0)
    first, second = found["diagnostics"]
    assert first == {
        "code": "KVS024",
        "severity": "error",
        "message": "wrong\x1b",
        "place": {
            "file": "a b.kvs",
            "line": 3,
            "column": 18,
            "end_line": 3,
            "end_column": 23,
            "start": 24,
            "end": 29,
        },
        "label": "l",
        "help": None,
        "fix": {"place": first["fix"]["place"], "replacement": ":=", "safe": False},
        "related": [{"place": first["related"][0]["place"], "message": "r"}],
    }
    assert second["place"] is None and second["fix"] is None and second["related"] == []
    assert json.loads(render([], "json")) == {"errors": 0, "warnings": 0, "infos": 0, "diagnostics": []}


def test_color_changes_nothing_but_the_color() -> None:
    problem = diagnostic("KVS103", "m", span("s {"), label="l", help="h", related=((span("kvs"), "first"),))
    for format in ("full", "concise"):
        colored = render([problem], format, color=True)  # type: ignore[arg-type]
        assert "\x1b[" in colored
        assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render([problem], format)  # type: ignore[arg-type]


ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=80)


@given(text=ANY_TEXT, name=ANY_TEXT, message=ANY_TEXT, data=st.data())
def test_nothing_breaks_a_format(text: str, name: str, message: str, data: st.DataObject) -> None:
    source = Source(name, text)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    problem = diagnostic("KVS020", message, Span(source, start, end), label=message, help=message)
    for format in FORMATS:
        shown = render([problem], format)
        shown.encode("utf-8")  # it can be printed
        assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]
    assert len(render([problem], "github").splitlines()) == 1
    assert len(render([problem], "concise").splitlines()) == 2
    place = json.loads(render([problem], "json"))["diagnostics"][0]["place"]
    assert (place["start"], place["end"]) == (start, end)


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp")), min_size=1, max_size=60),
    st.data(),
)
def test_the_caret_is_under_what_is_meant(line: str, data: st.DataObject) -> None:
    """What stands above the carets, cut by the columns that a terminal gives it, is the text of the span."""
    source = Source("a.kvs", line)
    start = data.draw(st.integers(0, len(line) - 1))
    end = data.draw(st.integers(start + 1, len(line)))
    shown, marks = render([diagnostic("KVS020", "m", Span(source, start, end))]).split("\n")[3:5]
    columns: list[str] = []
    for character in shown.removeprefix("1 | "):
        if unicodedata.category(character) in ("Mn", "Me") and columns:
            columns[-1] += character
        elif unicodedata.category(character) not in ("Mn", "Me"):
            columns.append(character)
            if unicodedata.east_asian_width(character) in ("W", "F"):
                columns.append("")
    marks = marks.removeprefix("  | ")
    under = "".join(columns[marks.index("^") : marks.rindex("^") + 1])
    plain = [c for c in line[start:end].rstrip() if unicodedata.category(c) not in ("Mn", "Me")]
    assert [c for c in under.rstrip() if unicodedata.category(c) not in ("Mn", "Me")] == plain or not plain


def test_sorted_by_place() -> None:
    a, b = Source("a", "xy"), Source("b", "xy")

    def at(source: Source, offset: int) -> Diagnostic:
        return diagnostic("KVS020", "m", Span(source, offset, offset + 1))

    nowhere = diagnostic("KVS001", "n")
    found = [at(a, 1), at(b, 1), at(b, 0), at(b, 1), nowhere]
    assert sorted_by_place(found, b) == (nowhere, at(b, 0), at(b, 1), at(a, 1))
