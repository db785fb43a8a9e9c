"""What is offered where the cursor stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvscen.language.blocks import TransferSettings
from kvscen.language.define import catalogue_names
from kvscen.language.resolve import OWN
from kvscen.language.scan import KINDS
from kvscen.language.schema import settings_of
from kvscen.language.values import BANDWIDTH, BYTES, TIME, UNITS
from kvscen.lsp.complete import complete
from kvscen.plugin.registry import registry
from kvscen.results.measures import MEASURES, TIER_MEASURES
from tests.lsp.support import TEXT, in_body, known, marked, offered

PATTERN = "pattern pages : transfer {  # 😀 the load"


def units_of(dimension: object) -> list[str]:
    return [unit.name for unit in UNITS.values() if unit.dimension == dimension and not unit.percent]


def test_kinds_of_items_between_the_blocks() -> None:
    assert offered(TEXT + "‸") == ["use", "let", *KINDS]
    assert offered(TEXT + "ti‸") == ["use", "let", *KINDS]
    assert "kvs 1" in offered("‸")


def test_what_can_be_used() -> None:
    assert offered("kvs 1\nuse ‸") == ["models"]


def test_the_bases_of_each_kind() -> None:
    tiers = offered(TEXT + "tier new : ‸")
    assert {"disk", "dram", "plain", *registry().names()} <= set(tiers)
    assert "pages" not in tiers
    models = offered(TEXT + "model new : ll‸")
    assert {"llama", "gqa", "mla", "hf", *catalogue_names()} <= set(models)
    assert {"pages", "transfer", "replay"} <= set(offered(TEXT + "pattern new : ‸"))
    assert offered(TEXT + "sweep new : ‸") == ["blocks"]


def test_the_settings_of_a_block_that_are_not_given() -> None:
    found = offered(in_body("‸", PATTERN))
    assert found == [name for name in settings_of(TransferSettings) if name not in ("model", "page", "prompt")]


def test_the_settings_of_a_driver_by_its_base_alone() -> None:
    posix = settings_of(registry().driver("posix").settings)
    assert offered(TEXT + "tier new : posix { ‸ }") == list(posix)
    assert offered(TEXT + "tier new : posix {\n  ‸") == list(posix)
    assert offered(TEXT + "tier new : disk {\n  ‸") == list(posix)


def test_the_words_of_a_setting() -> None:
    assert offered(in_body("op = ‸", PATTERN)) == ["read", "write", "mixed"]
    assert offered(in_body("op = re‸", PATTERN)) == ["read", "write", "mixed"]
    assert offered(in_body("pages.op in [read, ‸]")) == ["read", "write", "mixed"]
    assert offered(in_body("verify = ‸")) == ["full", "off"]


def test_flags() -> None:
    assert offered(TEXT + "tier new : posix { direct = ‸ }") == ["true", "false"]
    assert offered(in_body("disk.direct in [‸")) == ["true", "false"]


def test_names_of_the_kind_that_a_setting_asks_for() -> None:
    assert offered(in_body("tier = ‸")) == ["disk", "dram", "plain"]
    assert offered(in_body("pattern = ‸")) == ["pages"]
    assert offered(TEXT + "tier new : tiered { levels = [dram, ‸] }") == ["disk", "dram", "plain"]
    models = offered(in_body("model = ‸", PATTERN))
    assert models[-1] == "llama" or "llama" in models
    assert "llama3_1_70b" in models and "disk" not in models


def test_lets_of_a_fitting_kind_and_functions() -> None:
    sizes = offered(in_body("block = ‸", PATTERN))
    assert "most" in sizes and "dir" not in sizes and "pow2" in sizes
    paths = offered(TEXT + "tier new : posix { path = ‸ }")
    assert "dir" in paths and "most" not in paths


@pytest.mark.parametrize(
    ("line", "dimension"),
    [
        ("time = 5 ‸", TIME),
        ("time = 5‸", TIME),
        ("time = 5 m‸", TIME),
        ("pages.block in [4 KiB, 8 ‸", BYTES),
        ("pages.block in pow2(4 KiB, 8 ‸", BYTES),
        ("skip when pages.working_set > 8 ‸", BYTES),
        ("expect throughput >= 200 ‸", BANDWIDTH),
        ("expect throughput >= 200 MiB/‸", BANDWIDTH),
        ("expect latency_p99 <= 2 ‸ when tier == disk", TIME),
        ("(pages.requests, pages.block) in [(1, 8 ‸", BYTES),
    ],
)
def test_units_behind_a_number(line: str, dimension: object) -> None:
    found = [label for label in offered(in_body(line)) if label not in ("when", "and", "or")]
    if "pow2" in line:
        # What a function takes has no declaration: all units.
        assert set(units_of(dimension)) <= set(found)
    else:
        assert found == units_of(dimension)


def test_a_unit_replaces_what_is_written_of_it() -> None:
    text, offset = marked(in_body("expect throughput >= 200 MiB/‸"))
    assert text[complete(known(text), offset).start : offset] == "MiB/"


def test_a_percentage() -> None:
    assert offered(in_body("expect hit_rate >= 5 ‸")) == ["%", "when"]
    assert offered(in_body("find saturation of throughput over pages.depth within 5 ‸")) == ["%"]


def test_paths_in_a_sweep() -> None:
    found = offered(in_body("‸"))
    assert {"skip", "expect", "find", "disk", "pages", "warmup", "dir"} <= set(found)
    assert not {"trials", "seed", "llama3_1_70b"} & set(found)
    assert offered(in_body("pages.‸")) == list(settings_of(TransferSettings))
    assert offered(in_body("pages.re‸")) == list(settings_of(TransferSettings))
    assert offered(in_body("(pages.depth, pages.‸")) == list(settings_of(TransferSettings))
    assert offered(in_body("blocks.‸")) == list(OWN)


def test_conditions() -> None:
    assert {"tier", "pages", "not"} <= set(offered(in_body("skip when ‸")))
    assert {"tier", "pages", "not"} <= set(offered(in_body("skip when tier == disk and ‸")))
    assert offered(in_body("skip when tier == ‸")) == ["disk", "dram", "plain"]
    assert offered(in_body("expect errors == 0 when pages.op == ‸")) == ["read", "write", "mixed"]
    assert offered(in_body("skip when tier == disk ‸")) == ["and", "or"]


def test_measures() -> None:
    found = offered(in_body("expect ‸"))
    assert [name for name in found if name in MEASURES] == list(MEASURES)
    assert {"disk", "dram"} <= set(found)
    assert offered(in_body("expect dram.‸")) == list(TIER_MEASURES)
    assert set(MEASURES) <= set(offered(in_body("find highest pages.depth where ‸")))
    assert set(MEASURES) <= set(offered(in_body("find saturation of ‸")))


def test_searches() -> None:
    assert offered(in_body("find ‸")) == ["highest", "lowest", "saturation"]
    assert {"pages", "trials"} <= set(offered(in_body("find highest ‸")))
    assert offered(in_body("find highest pages.depth ‸")) == ["where"]
    assert offered(in_body("find saturation of throughput ‸")) == ["over"]


def test_nothing_in_comments_and_strings() -> None:
    assert offered(in_body("time = 5 s  # op = ‸")) == []
    assert offered(TEXT + 'tier new : posix { path = "./kv-‸" }') == []
    assert offered(TEXT + 'tier new : posix { path = "#"; direct = ‸ }') == ["true", "false"]


def test_files_in_the_strings_that_name_some(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name in ("team.kvs", "parts/more.kvs", "config.json", "notes.txt"):
        (tmp_path / name).write_text("kvs 1\n")
    path = str(tmp_path / "test.kvs")
    assert offered('kvs 1\nuse "‸', path) == ["parts/", "team.kvs"]
    assert offered('kvs 1\nuse "parts/‸"', path) == ["parts/more.kvs"]
    assert offered('kvs 1\nmodel m : hf("‸', path) == ["config.json", "parts/"]


def test_a_broken_text_completes_as_well() -> None:
    """Above the cursor a brace and a bracket are missing."""
    text = TEXT.replace("direct = false }", "direct = false").replace("(10, 8)]", "(10, 8)")
    assert offered(text.replace("verify", "").replace("  seed   = 1", "  pages.op = ‸")) == ["read", "write", "mixed"]
    assert offered("kvs 1\ntier a : memory {\nsweep s {\n  tier = ‸") == ["a"]


@pytest.mark.parametrize("end", range(0, len(TEXT), 7))
def test_any_beginning_of_a_text_has_an_answer(end: int) -> None:
    complete(known(TEXT[:end]), end)
