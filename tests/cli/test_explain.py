"""`kvscen explain`: every word of the declarations has its meaning, and a reader finds it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main
from kvscen.explain import groups, meanings, words
from kvscen.explain.render import explain
from kvscen.language.blocks import FAMILIES, PATTERN_TYPES, USER_TYPES, SweepSettings, TransferSettings
from kvscen.language.codes import CODES
from kvscen.language.constructs import KINDS_OF_BLOCK
from kvscen.language.define import catalogue_names
from kvscen.language.functions import FUNCTIONS
from kvscen.language.pages import page
from kvscen.language.scan import KINDS
from kvscen.language.schema import settings_of
from kvscen.language.values import UNITS
from kvscen.plugin.registry import registry
from kvscen.results.measures import MEASURES
from kvscen.results.record import STATUSES
from kvscen.results.schema import TABLES, TRIALS

PAGES = Path(__file__).resolve().parents[2] / "docs" / "rules"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["explain", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def whats(word: str) -> list[str]:
    return [found.what for found in meanings(word)]


def test_every_declared_word_is_known() -> None:
    known = set(words())
    declared = [
        *CODES,
        *KINDS,
        *FAMILIES,
        *PATTERN_TYPES,
        *USER_TYPES,
        *FUNCTIONS,
        *UNITS,
        *registry().names(),
        *catalogue_names(),
        *MEASURES,
        *(info.column for info in MEASURES.values()),
        *STATUSES,
        *(column.name for column in TRIALS),
        *(f"{table}.{column.name}" for table, columns in TABLES.items() for column in columns),
        *(f"sweep.{name}" for name in settings_of(SweepSettings)),
        *(f"transfer.{name}" for name in settings_of(TransferSettings)),
        *(
            f"{name}.{setting}"
            for name in registry().names()
            for setting in settings_of(registry().driver(name).settings)
        ),
    ]
    assert [word for word in declared if word not in known] == []


def test_kinds_of_block_are_those_of_the_language() -> None:
    assert set(KINDS_OF_BLOCK) == set(KINDS)


@pytest.mark.parametrize("width", [40, 110])
def test_everything_can_be_shown(width: int) -> None:
    for found in (each for group in groups().values() for each in group):
        assert found.name and found.what and (found.brief or found.page), found
        shown = explain(found.name, [found], width)
        assert not re.search(r"[ \t]$", shown, re.MULTILINE), shown


def test_a_code_shows_its_page() -> None:
    for word in ("KVS203", "kvs203", "203"):
        shown = run(word).stdout
        assert shown.startswith("KVS203: A pattern is sized by a model and by hand\n  Severity: error\n")
        assert "\nRemedy\n  Keep one of them: `model`," in shown
        assert "\n    error[KVS203]: `block` and `model` both say what is moved\n" in shown
        assert "```" not in shown and "#" not in shown


def test_pages_are_those_of_the_docs() -> None:
    for code in CODES:
        assert page(code) == (PAGES / f"{code}.md").read_text(encoding="utf-8")


def test_a_setting() -> None:
    shown = run("posix.direct").stdout
    assert shown.startswith("direct: a setting of tiers (posix)\n\n  bypass the page cache (O_DIRECT)\n")
    assert re.search(r"write +tier NAME : posix \{ direct = \.\.\. \}\n", shown)
    assert re.search(r"default +true\n", shown)
    assert re.search(r"as an axis +no: it cannot vary\n", run("sweep.order").stdout)
    assert re.search(r"default +none: it must be given\n", run("posix.path").stdout)


def test_settings_that_are_declared_alike_are_one() -> None:
    assert whats("gds.path") == whats("posix.path") == ["a setting of tiers (gds, posix)"]
    assert whats("gqa.layers") == ["a setting of models (mha, gqa, mla)"]
    assert whats("users.turns") == ["a setting of users (chat, code, document, custom)"]


def test_an_ambiguous_word_shows_all_its_meanings_in_short() -> None:
    shown = run("batch").stdout
    assert shown.startswith("`batch` means 4 things\n")
    for what in ("a setting of patterns (transfer)", "a setting of patterns (matrix)", "a column of trials"):
        assert f"\nbatch: {what}\n  " in shown
    assert shown.endswith("\none of them alone: kvscen explain transfer.batch\n")
    assert run("transfer.batch").stdout.startswith("batch: a setting of patterns (transfer)\n")


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("tier", "a kind of block"),
        ("expect", "a statement, at a sweep"),
        ("posix", "a driver, of the package kvscen: what a tier can be"),
        ("transfer", "a type of pattern"),
        ("gqa", "a family of models"),
        ("chat", "a type of users"),
        ("p99", "the end of measures' names"),
        ("ttft", "the beginning of measures' names"),
        ("throughput", "a measure"),
        ("latency_p99_ns", "a measure"),
        ("unavailable", "a status"),
        ("GiB", "a unit of a size in bytes"),
        ("lognormal", "a function"),
        ("deepseek_r1", "a model of the catalogue"),
        ("read", "a value of `op`"),
        ("trials.parquet", "a table that a run leaves"),
        ("run_id", "a column of every table"),
        ("point_id", "a column of several tables"),
    ],
)
def test_words(word: str, what: str) -> None:
    assert what in whats(word)
    assert run(word).exit_code == 0


def test_facts_are_computed() -> None:
    assert "9,990" not in (shown := run("latency_p99").stdout)
    assert re.search(r"needs +1,000 operations in a trial", shown)
    assert re.search(r"write +expect latency_p99 <= 10 ms\n", shown)
    assert "1 GiB is 1,073,741,824 B" in run("GiB").stdout
    assert "1 us is 1/1,000,000 s" in run("us").stdout
    assert "see also: kvscen size llama3_1_8b" in run("llama3_1_8b").stdout


def test_an_unknown_word() -> None:
    result = run("throughputt")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: `throughputt` means nothing to kvscen\n  help: did you mean `throughput`?\n"
    assert "kvscen explain" in run("qqqqqqqqqq").stderr
    both = run("p99", "nonsens")
    assert both.exit_code == 2 and both.stdout.startswith("p99: ") and "`nonsens`" in both.stderr


def test_spelling_does_not_matter_where_it_is_clear() -> None:
    assert meanings("hit-rate") == meanings("hit_rate") == meanings("`hit_rate`")
    assert whats("KB") == ["a unit of a size in bytes"]
    assert [found.name for found in meanings("mb")] == ["MB"]


def test_what_can_be_asked() -> None:
    shown = run().stdout
    for group in groups():
        assert f"\n{group}\n" in shown
    assert len(shown.splitlines()) < 80
    assert "kvscen explain columns of drivers" in shown
    listed = run("columns", "of", "drivers").stdout
    assert listed.startswith("columns of drivers\n\n")
    codes = run("codes").stdout
    assert all(code in codes for code in CODES)
