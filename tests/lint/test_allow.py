"""What a text allows with `# kvs: allow CODE because REASON`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.language.diagnose import Source
from kvscen.language.format import format_source
from kvscen.lint import Linted, lint_file, lint_source
from kvscen.lint.allow import Allow, allows

TEXT = """kvs 1
tier dram : memory {{ }}
pattern pages : transfer {{ block = 1 MiB; op = read }}
sweep s {{
  pattern = pages
  tier    = dram
  seed    = 1
{lines}
}}
"""


def lint(lines: str, *pins: str) -> Linted:
    linted = lint_source(Source("a.kvs", TEXT.format(lines=lines)), None, pins)
    assert linted.plan is not None, linted.diagnostics
    return linted


@pytest.mark.parametrize(
    ("lines", "shown", "reasons"),
    [
        ("  trials = 1", ["KVS401"], []),
        ("  trials = 1  # kvs: allow KVS401 because it is quick", [], ["it is quick"]),
        ("  trials = 1  #kvs:allow KVS401 because it is quick", [], ["it is quick"]),
        ("  # kvs: allow KVS401 because it is quick\n  trials = 1", [], ["it is quick"]),
        ("  # kvs: allow KVS401 because it is quick\n\n  # more\n  trials = 1", [], ["it is quick"]),
        ("  trials = 1; time = 20 ms  # kvs: allow KVS401, KVS418 because it is quick", [], ["it is quick"] * 2),
        ("  trials = 1; time = 20 ms  # kvs: allow KVS418 because it is quick", ["KVS401"], ["it is quick"]),
        # a statement of several lines
        ("  expect latency_p99 <= (5 *\n    1 ms)  # kvs: allow KVS412 because so be it", [], ["so be it"]),
        # what cannot be understood allows nothing
        ("  trials = 1  # kvs: allow KVS401", ["KVS040", "KVS401"], []),
        ("  trials = 1  # kvs: allow KVS401 because", ["KVS040", "KVS401"], []),
        ("  trials = 1  # kvs: allow because it is quick", ["KVS040", "KVS401"], []),
        ("  trials = 1  # kvs: alow KVS401 because it is quick", ["KVS040", "KVS401"], []),
        ("  trials = 1  # kvs:", ["KVS040", "KVS401"], []),
        ("  trials = 1  # kvs: allow KVS4O1 because it is quick", ["KVS041", "KVS401"], []),
        # what allows nothing
        ("  trials = 5  # kvs: allow KVS401 because it is quick", ["KVS042"], []),
        ("  # kvs: allow KVS401 because it is quick\n  time = 1 s\n  trials = 1", ["KVS042", "KVS401"], []),
        ("  trials = 1\n  # kvs: allow KVS401 because it is quick", ["KVS042", "KVS401"], []),
        # of rules that nobody asked for it is not known
        ("  time = 1 s  # kvs: allow KVS414 because the disk is old", [], []),
        ("  time = 1 s  # kvs: allow KVS361 because the disk is old", [], []),
        # other comments, and texts that look like one
        ("  time = 1 s  # kvs 2 will say more", [], []),
        ("  time = 1 s  # see kvs: allow KVS401", [], []),
    ],
)
def test_what_is_shown_and_what_is_allowed(lines: str, shown: list[str], reasons: list[str]) -> None:
    linted = lint(lines)
    assert sorted(d.code for d in linted.diagnostics) == shown
    assert [each.reason for each in linted.allowed] == reasons


def test_a_string_is_no_comment() -> None:
    text = '  seed = 1; tier = disk }\ntier disk : posix { path = "./a# kvs: allow KVS401 b" }\nlet x = ""'
    source = Source("a.kvs", text)
    assert list(allows(source)) == []


def test_with_pins_nobody_is_told_that_an_allow_is_idle() -> None:
    quick = "  trials = 1  # kvs: allow KVS401 because it is quick"
    assert lint(quick, "s.trials=5").diagnostics == ()
    assert lint("  trials = 5  # kvs: allow KVS401 because it is quick", "s.trials=1").diagnostics == ()


def test_an_error_cannot_be_allowed() -> None:
    text = TEXT.format(lines="  trails = 1  # kvs: allow KVS102 because it is mine")
    linted = lint_source(Source("a.kvs", text), None)
    assert [d.code for d in linted.diagnostics] == ["KVS102", "KVS042"]
    assert "an error cannot be allowed" in linted.diagnostics[1].message


def test_a_file_that_is_used_allows_its_own_lines(tmp_path: Path) -> None:
    parts = "kvs 1\nsweep quick { trials = 1  # kvs: allow KVS401 because it is quick\n  seed = 1 }\n"
    (tmp_path / "parts.kvs").write_text(parts)
    own = TEXT.format(lines="").replace("sweep s {", "sweep s : quick {").replace("kvs 1\n", 'kvs 1\nuse "parts.kvs"\n')
    (tmp_path / "a.kvs").write_text(own)
    linted = lint_file(tmp_path / "a.kvs")
    assert linted.diagnostics == () and [each.reason for each in linted.allowed] == ["it is quick"]
    # By itself it cannot be run, and what its comment allows is not known.
    assert {d.code for d in lint_file(tmp_path / "parts.kvs").diagnostics} == {"KVS113"}


def test_formatting_leaves_it_where_it_counts() -> None:
    text = TEXT.format(lines="  trials=1 # kvs: allow KVS401 because it is quick\n  time    =   1 s")
    formatted = format_source(Source("a.kvs", text))
    assert isinstance(formatted, str) and formatted != text
    assert lint_source(Source("a.kvs", formatted), None).diagnostics == ()


@given(st.text(alphabet='# kvs:alowKVS401,because"\\\n\r\t é', max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    source = Source("a.kvs", text)
    for each in allows(source):
        if isinstance(each, Allow):
            assert each.reason.strip() and all(code.text.isalnum() or "_" in code.text for code in each.codes)
            assert each.span.text.startswith("#") and "\n" not in each.span.text
