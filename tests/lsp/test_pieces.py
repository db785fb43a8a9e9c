"""A text parsed in pieces is the text parsed as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.language.diagnose import Source
from kvscen.language.parse import parse
from kvscen.lsp import pieces as module
from kvscen.lsp.pieces import Parser, cut
from tests.lsp.support import ROOT, TEXT, known, plain

FILES = sorted(
    path
    for folder in ("scenarios", "tests", "grammar")
    for path in (ROOT / folder).rglob("*.kvs")
    if b"\xe9es" not in path.read_bytes()
)


def compare(text: str) -> None:
    source = Source("x.kvs", text)
    document, problems = parse(source)
    pieces = Parser().pieces(source)
    assert plain(pieces.document, pieces.place) == plain(document, lambda span: (span.start, span.end))
    assert [(p.code, p.message, pieces.place(p.span)) for p in pieces.problems if p.span] == [
        (p.code, p.message, (p.span.start, p.span.end)) for p in problems if p.span
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_is_the_same_in_pieces_with_its_problems(path: Path) -> None:
    compare(path.read_text(encoding="utf-8"))


PARTS = ["kvs 1", "\n", "tier x : y {", "}", "let a =", " ", "#", '"', "use models", "[", "a = 1"]


@given(st.lists(st.sampled_from(PARTS)).map("".join))
def test_the_pieces_are_the_text(text: str) -> None:
    assert "".join(cut(text)) == text


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_was_parsed_before_makes_no_difference(data: st.DataObject) -> None:
    """Cut, double and shift lines as an editor does, and hold each text against a parser that knows nothing of it."""
    parser = Parser()
    lines = TEXT.splitlines(keepends=True)
    for _ in range(4):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "double", "garbage", "move"])):
            case "drop":
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "garbage":
                lines.insert(at, data.draw(st.sampled_from(["\n", "# more\n", "  page = \n", "{\n", "}\n", "tier\n"])))
            case _:
                lines.append(lines.pop(at))
        source = Source("x.kvs", "".join(lines))
        known, fresh = parser.pieces(source), Parser().pieces(source)
        assert plain(known.document, known.place) == plain(fresh.document, fresh.place)
        assert [(p.code, p.message, known.place(p.span)) for p in known.problems if p.span] == [
            (p.code, p.message, fresh.place(p.span)) for p in fresh.problems if p.span
        ]


def test_a_keystroke_parses_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = Parser()
    parser.pieces(Source("x.kvs", TEXT))
    parsed: list[str] = []
    monkeypatch.setattr(module, "parse", lambda source: parsed.append(source.text) or parse(source))
    parser.pieces(Source("x.kvs", TEXT.replace("page   = 16", "page   = 160")))
    assert len(parsed) == 1 and "pattern pages" in parsed[0] and "sweep" not in parsed[0]
    parsed.clear()
    parser.pieces(Source("x.kvs", TEXT.replace("page   = 16", "\n\npage   = 160")))
    assert len(parsed) == 1


def test_two_problems_of_twins_are_two() -> None:
    """Blocks of the same text have their own problems, at their own places."""
    text = 'kvs 1\ntier a : posix { path = "x"; no = 1 }\ntier b : posix { path = "x"; no = 1 }\n'
    places = [known(text).here(d.span) for d in known(text).diagnostics if d.code == "KVS102" and d.span]
    assert len(places) == 2
