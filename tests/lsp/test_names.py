"""Hovering, going to definitions, renaming."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvscen.language.diagnose import Severity
from kvscen.lsp.analysis import Place, catalogue_path
from kvscen.lsp.definition import defined, definition, references
from kvscen.lsp.hover import hover
from kvscen.lsp.looking import Job, look
from kvscen.lsp.names import occurrence_at
from kvscen.lsp.rename import Refused, applied, renamable, rename
from tests.lsp.support import ROOT, TEXT, at, known

ALL = sorted(path for folder in ("scenarios", "docs") for path in (ROOT / folder).rglob("*.kvs"))


def about(needle: str, text: str = TEXT, extra: int = 0) -> str:
    found = hover(known(text), at(needle, text, extra))
    return found.about if found is not None else ""


def goes_to(needle: str, extra: int = 0, text: str = TEXT) -> str:
    """The line that the name at `needle` leads to, from there on."""
    place = definition(known(text), at(needle, text, extra))
    return place.text[place.start :].partition("\n")[0] if place is not None else ""


# ---- hover


def test_a_setting_has_its_type_help_default_and_value() -> None:
    text = about("page   =")
    assert "`page` = `16 tokens`" in text
    assert "with a model: tokens of one page (default: 16 tokens)" in text
    assert "value: a number of tokens such as `16 tokens`" in text
    assert "default: operation" in about("wait = batch", TEXT.replace("page   = 16", "wait = batch\n  page   = 16"))
    assert "as an axis: pages.page in [...]" in text
    assert "default: none: it must be given" in about("path = dir")


def test_a_value_is_computed() -> None:
    assert "`8 MiB` (8,388,608 bytes)" in about("most = 2")
    text = TEXT.replace("page   = 16 tokens", "working_set = 16 * most")
    assert "`working_set` = `128 MiB` (134,217,728 bytes)" in about("working_set =", text)


def test_a_block_has_its_bases_and_settings() -> None:
    text = about("plain :")
    assert "tier `plain : disk : posix`" in text
    assert "`direct` = `false`" in text and '`path` = `"./kv-data"` (from `disk`)' in text
    assert about("disk, dram") == about("disk  :")


def test_the_rest() -> None:
    assert "column: trials.parquet: throughput_bytes_per_s" in about("throughput")
    assert "**`dram.hit_rate`**, a measure" in about("hit_rate")
    assert "1 MiB is 1,048,576 B" in about("MiB")
    assert "1 MiB/s is 1,048,576 B/s" in about("MiB/s")
    assert "**`posix`**, a driver, of the package kvscen" in about("posix")
    assert "320 KiB of KV a token" in about("llama3_1_70b")
    assert "one of `read`, `write`, `mixed`" in about("read]")
    assert about("kvs 1") == about("😀") == ""


def test_what_the_plan_comes_to() -> None:
    figures = look(Job("/nowhere/test.kvs", TEXT)).figures
    found = hover(known(), at("page   ="), figures)
    assert found is not None and "a page of 16 tokens of `llama` is a block of **2.5 MiB**" in found.about
    found = hover(known(), at("llama :"), figures)
    assert found is not None and "160 KiB of KV a token" in found.about


# ---- definition


def test_definitions() -> None:
    assert goes_to("disk, dram").startswith("disk  : posix")
    assert goes_to("dram.hit_rate").startswith("dram  : memory")
    assert goes_to("dir; direct").startswith('dir  = "./kv-data"')
    assert goes_to("disk   { direct").startswith("disk  : posix")
    assert goes_to("llama\n").startswith("llama : llama3_1_70b")
    # A path leads to where the block gives that setting, else to the block.
    assert goes_to("pages.op", 6).startswith("pages : transfer")
    text = TEXT.replace("pages.op       in [write, read]", "pages.page in [16 tokens]")
    assert goes_to("pages.page", 6, text).startswith("page   = 16")
    assert goes_to("posix") == goes_to("trials") == goes_to("throughput") == ""


def test_the_catalogue_is_a_file() -> None:
    place = definition(known(), at("llama3_1_70b"))
    assert place is not None and place.path == catalogue_path() and Path(place.path).is_file()
    assert place.text[place.start : place.end] == "llama3_1_70b"


def test_all_references() -> None:
    places = list(references(known(), "disk"))
    assert len(places) == 4 - 1 and all(place.text[place.start : place.end] == "disk" for place in places)
    assert defined(known(), "disk") in places


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_name_of_the_shipped_scenarios_is_defined_somewhere(path: Path) -> None:
    analysis = known(path.read_text(), str(path))
    from kvscen.lsp.names import occurrences

    names = [item for item in occurrences(analysis) if item.kind == "name"]
    assert names
    for item in names:
        assert item.span.text == item.name
        assert defined(analysis, item.name) is not None, item.name


# ---- rename


def renamed(needle: str, new: str, text: str = TEXT) -> str:
    edits = rename(known(text), at(needle, text), new)
    return applied(edits)["/nowhere/test.kvs"]


def test_every_use_is_renamed_and_nothing_else() -> None:
    assert renamed("disk, dram", "nvme") == TEXT.replace("disk", "nvme")
    assert renamed("pages : tr", "load2").count("load2") == TEXT.count("pages")
    assert renamed("dir  =", "folder") == TEXT.replace("dir ", "folder ", 1).replace("= dir;", "= folder;")
    # Behind characters that have two columns, and where a comment has the name.
    text = TEXT.replace("# 😀 the load", "# 😀 of llama")
    assert renamed("llama\n", "big", text.replace("# 😀 of llama", "# 😀")).count("llama") == 1  # the catalogue's
    assert "# 😀 of llama" in renamed("llama :", "big", text)


def test_a_word_is_not_a_name() -> None:
    """A tier may be called like a word of another setting."""
    text = TEXT.replace("plain", "read")
    after = renamed("read : disk", "other", text)
    assert after == text.replace("tier read ", "tier other ").replace("dram, read]", "dram, other]")


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("dram", "is taken: it is a tier already"),
        ("most", "is taken: it is a `let` already"),
        ("posix", "is the name of a driver"),
        ("transfer", "is the name of a type of pattern"),
        ("pow2", "is the name of a function"),
        ("3x", "is no name"),
        ("a b", "is no name"),
        ("", "is no name"),
        ("true", "is a word of the language"),
        ("llama3_1_70b", "is taken"),
    ],
)
def test_what_is_refused(new: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        rename(known(), at("disk  :"), new)


@pytest.mark.parametrize("needle", ["posix", "trials", "throughput", "llama3_1_70b", "MiB", "read]", "use", "kvs"])
def test_what_is_no_name_is_not_renamed(needle: str) -> None:
    with pytest.raises(Refused):
        renamable(known(), at(needle))


def test_a_name_that_would_become_ambiguous_is_refused() -> None:
    text = TEXT.replace("let most", "let kind = read\nlet most").replace(
        "pages.op       in [write, read]", "pages.op = kind"
    )
    assert not [d for d in known(text).diagnostics if d.severity is Severity.ERROR]
    with pytest.raises(Refused, match="could be a word of this setting"):
        rename(known(text), at("kind =", text), "write")


# ---- several files

TEAM = "kvs 1\nlet size = 1 MiB\ntier shared : memory { capacity = size }\n"
MAIN = """\
kvs 1
use "team.kvs"
pattern p : transfer { block = size; op = read }
sweep s { pattern = p; tier = shared; seed = 1 }
"""


def test_definitions_and_names_across_files(tmp_path: Path) -> None:
    (tmp_path / "team.kvs").write_text(TEAM)
    main, team = str(tmp_path / "main.kvs"), str(tmp_path / "team.kvs")
    analysis = known(MAIN, main)
    assert definition(analysis, at("size;", MAIN)) == Place(team, TEAM, 10, 14)
    assert definition(analysis, at("use", MAIN, 6)) == Place(team, TEAM, 0, 0)
    after = applied(rename(analysis, at("shared;", MAIN), "dram"))
    assert after == {main: MAIN.replace("shared", "dram"), team: TEAM.replace("shared", "dram")}


def test_texts_that_are_not_saved_count(tmp_path: Path) -> None:
    (tmp_path / "team.kvs").write_text("kvs 1\n")
    others = {str(tmp_path / "team.kvs"): TEAM}
    assert not known(MAIN, str(tmp_path / "main.kvs"), others).diagnostics
    assert known(MAIN, str(tmp_path / "main.kvs")).diagnostics


def test_files_that_use_the_renamed_one_are_changed(tmp_path: Path) -> None:
    (tmp_path / "team.kvs").write_text(TEAM)
    main, team = str(tmp_path / "main.kvs"), str(tmp_path / "team.kvs")
    user = known(MAIN, main)
    stranger = known("kvs 1\ntier shared : memory {}\n", str(tmp_path / "stranger.kvs"))
    edits = rename(known(TEAM, team), at("shared", TEAM), "dram", [user, stranger])
    assert set(applied(edits)) == {main, team}
    with pytest.raises(Refused, match="is taken"):
        rename(known(TEAM, team), at("shared", TEAM), "p", [user])


def test_at_an_edge_the_name_that_begins_there_counts() -> None:
    item = occurrence_at(known(), at("pages.op", extra=6))
    assert item is not None and item.kind == "setting" and item.name == "op"
