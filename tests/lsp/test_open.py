"""What is shown of problems, mended, formatted and outlined."""

from __future__ import annotations

from pathlib import Path

from kvscen.language.diagnose import Severity
from kvscen.language.format import format_source
from kvscen.lsp.layout import layout
from kvscen.lsp.looking import Job, look
from kvscen.lsp.open import Texts
from kvscen.lsp.outline import outline
from kvscen.lsp.rename import applied
from kvscen.lsp.shown import shown
from kvscen.lsp.text import Position
from tests.lsp.support import ROOT, TEXT, at, known
from tests.lsp.test_names import MAIN, TEAM


def test_a_problem_has_its_help_and_its_place_and_a_fix_mends_it() -> None:
    text = TEXT.replace("1.5 s", "1.5 sec")
    (item,) = shown(known(text), known(text).diagnostics)
    assert item.code == "KVS104" and item.severity is Severity.ERROR
    assert item.message == "`sec` is not a unit\nhelp: write `s`"
    assert text[item.start : item.end] == "sec"
    assert item.edit is not None and applied([item.edit])[item.edit.path] == TEXT


def test_a_problem_in_a_used_file_is_shown_where_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "team.kvs").write_text(TEAM.replace("MiB", "MB/x"))
    analysis = known(MAIN, str(tmp_path / "main.kvs"))
    item = shown(analysis, analysis.diagnostics)[0]
    assert MAIN[item.start : item.end] == 'use "team.kvs"'
    assert item.message.startswith("team.kvs: ") and item.related[0].place.path == str(tmp_path / "team.kvs")


def test_a_file_of_parts_is_no_problem() -> None:
    assert known(TEAM).diagnostics == () and look(Job("/nowhere/team.kvs", TEAM)).diagnostics == ()


def test_texts_that_cannot_be_read_say_so() -> None:
    assert [d.code for d in known("").diagnostics] == ["KVS002"]
    assert [d.code for d in known("kvs 1\n\0").diagnostics] == ["KVS003"]
    assert [d.code for d in known("kvs 1\n" + "#" * 2**20).diagnostics] == ["KVS004"]
    assert [d.code for d in known("kvs 2\ntier x : y {}\n").diagnostics] == ["KVS011"]


def test_the_closer_look_says_what_lint_says() -> None:
    from kvscen.lint import lint_file

    path = ROOT / "tests" / "rules" / "KVS401" / "bad.kvs"
    looked = look(Job(str(path), path.read_text()))
    expected = [(d.code, d.message) for d in lint_file(path).diagnostics]
    assert [(d.code, d.message) for d in looked.diagnostics] == expected


def test_the_layout_is_that_of_fmt_and_the_edit_is_small() -> None:
    ugly = TEXT.replace("  time   = 1.5 s", "  time=1.5s")
    analysis = known(ugly)
    edit = layout(analysis)
    assert edit is not None
    after = applied([edit])[edit.path]
    assert after == format_source(analysis.source) and known(after).diagnostics == ()
    assert layout(known(after)) is None
    assert edit.end - edit.start < len(ugly) / 2
    assert layout(known(ugly + "tier {")) is None


def test_the_outline() -> None:
    assert [(entry.kind, entry.name) for entry in outline(known())] == [
        ("let", "dir"),
        ("let", "most"),
        ("model", "llama"),
        ("tier", "disk"),
        ("tier", "dram"),
        ("tier", "plain"),
        ("pattern", "pages"),
        ("sweep", "blocks"),
    ]
    for entry in outline(known()):
        assert TEXT[entry.name_start : entry.name_end] == entry.name
        assert TEXT[entry.start : entry.end].startswith(entry.kind)


def test_changes_are_applied_in_their_order_and_what_uses_a_text_sees_them(tmp_path: Path) -> None:
    texts = Texts()
    main = texts.open(str(tmp_path / "main.kvs"), MAIN, 1)
    assert [d.code for d in texts.analysis(main).diagnostics][:1] == ["KVS001"]
    team = texts.open(str(tmp_path / "team.kvs"), "", 1)
    texts.change(team.path, [(None, TEAM.replace("size", "syze"))], 2)
    assert "KVS101" in [d.code for d in texts.analysis(main).diagnostics]
    line = Position(1, 4), Position(1, 8)
    used = TEAM.index("syze") if "syze" in TEAM else team.lines.text.index("= syze") + 2
    second = team.lines.position(used), team.lines.position(used + 4)
    texts.change(team.path, [(second, "size"), (line, "size")], 3)
    assert team.lines.text == TEAM and texts.analysis(main).diagnostics == ()
    texts.close(team.path)
    assert texts.analysis(main).diagnostics


def test_users_are_found_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "team.kvs").write_text(TEAM)
    (tmp_path / "main.kvs").write_text(MAIN)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "no.kvs").write_text(MAIN)
    (tmp_path / "other.kvs").write_text("kvs 1\n")
    found = {Path(user.path).name for user in Texts().users("shared", [str(tmp_path)])}
    assert found == {"team.kvs", "main.kvs"}


def test_a_look_counts_only_for_the_text_that_it_was_of() -> None:
    texts = Texts()
    item = texts.open("/nowhere/test.kvs", TEXT.replace("trials = 3", "trials = 1"), 1)
    assert texts.shown(item) == ()
    item.looked, item.looked_at = look(texts.job(item)), texts.revision
    assert [each.code for each in texts.shown(item)] == ["KVS401"]
    assert item.lines.text[texts.shown(item)[0].start :].startswith("trials")
    texts.change(item.path, [((Position(0, 0), Position(0, 0)), "\n")], 2)
    assert texts.shown(item) == ()


def test_a_place_behind_wide_characters() -> None:
    text = TEXT.replace("page   =", "pgae   =").replace("  model  = llama", '  # 😀😀\n  model  = llama  # "😀"')
    (item,) = shown(known(text), known(text).diagnostics)
    assert text[item.start : item.end] == "pgae" and item.start == at("pgae", text)
