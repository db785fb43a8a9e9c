"""What the rules say beyond their golden files: axes, bases, --set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvscen.cli.fmt import command as fmt
from kvscen.language.diagnose import Source
from kvscen.lint import lint_file, lint_source
from kvscen.lint.mend import mended
from tests.plugin.installed import GOOD, Installed

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "scenarios").rglob("*.kvs"))


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    place = Installed(tmp_path)
    yield place
    place.close()


MODEL = """kvs 1
model m : gqa {{ layers = 2; kv_heads = 4; head_dim = 64; tp = {tp} }}
model n : m {{ }}
tier dram : memory {{ capacity = 1 GiB }}
pattern pages : transfer {{ model = n; prompt = 64 tokens; op = read }}
sweep base {{ {base} }}
sweep s : base {{ pattern = pages; tier = dram; {own} }}
"""


def found(tmp_path: Path, text: str, *pins: str) -> list[tuple[str, str]]:
    path = tmp_path / "a.kvs"
    path.write_text(text)
    linted = lint_file(path, pins)
    assert linted.plan is not None, linted.diagnostics
    return [(d.code, d.span.text if d.span else "") for d in linted.diagnostics]


@pytest.mark.parametrize(
    ("tp", "base", "own", "pins", "expected"),
    [
        (4, "seed = 1", "", (), []),
        (8, "seed = 1", "", (), [("KVS210", "tp")]),
        (4, "seed = 1; m.tp in [4, 8]", "", (), [("KVS210", "m.tp")]),
        (4, "seed = 1; n.tp in [4, 8]", "", (), [("KVS210", "n.tp")]),
        (8, "seed = 1", "", ("m.tp=2",), []),
        (2, "seed = 1", "", ("m.tp=8",), [("KVS210", "tp")]),
        (4, "", "seed in [1, 2]", (), []),
        (4, "", "", (), [("KVS402", "s")]),
        (4, "", "", ("s.seed=3",), []),
        (4, "seed = 1; trials = 2", "", (), [("KVS401", "trials")]),
        (4, "seed = 1; trials = 2", "trials = 3", (), []),
        (4, "seed = 1", "trials in [1, 5]", (), [("KVS401", "trials")]),
        (4, "seed = 1", "trials = 5", ("s.trials=1",), [("KVS401", "trials")]),
        (4, "seed = 1", "", ("s.trials=1",), [("KVS401", "s")]),
    ],
)
def test_what_a_warning_is_about_depends_on_the_plan(
    tmp_path: Path, tp: int, base: str, own: str, pins: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    assert found(tmp_path, MODEL.format(tp=tp, base=base, own=own), *pins) == expected


@pytest.mark.parametrize(("tp", "expected"), [(4, []), (8, [("KVS210", "tp")])])
def test_heads_of_the_parts_of_a_hybrid(tmp_path: Path, tp: int, expected: list[tuple[str, str]]) -> None:
    parts = "model w : m {{ window = 64 tokens }}\nmodel n : hybrid {{ parts = [w, m]; tp = {own_tp} }}"
    text = MODEL.replace("model n : m {{ }}", parts)
    assert found(tmp_path, text.format(tp=1, own_tp=tp, base="seed = 1", own="")) == expected


def test_units(tmp_path: Path) -> None:
    text = """kvs 1
let a = [1 GB, 2 kB * 3, -(4 TB)]  # kvs: allow KVS130 because it is looked at, not used
tier dram : memory {{ capacity = 4 {unit} }}
pattern pages : transfer {{ block = 1024 B; op = read }}
sweep s {{ pattern = pages; tier = dram; seed = 1
  expect throughput >= 1 Gbit/s
  expect throughput >= 1 GB/s }}
"""
    assert found(tmp_path, text.format(unit="GB")) == []
    assert found(tmp_path, text.format(unit="GiB")) == [("KVS110", "GB"), ("KVS110", "kB"), ("KVS110", "TB")]


def test_an_error_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.kvs"
    path.write_text("kvs 1\nsweep s { trials = 1; tier = nowhere }\n")
    linted = lint_file(path)
    assert linted.plan is None
    assert all(d.severity.value == "error" for d in linted.diagnostics) and linted.diagnostics


OWN = {
    "future": "tier future : sim { bandwidth = 1 GB/s; latency = 1 us; parallelism = 4 }",
    "dram": "tier dram : memory { }",
}
SIMULATED = """kvs 1
{own}
pattern p : replay {{ trace = trace("t.jsonl"); block = 4 KiB }}
sweep s {{ pattern = p; tier = {tier}; trials = 1; seed = 1 }}
"""


@pytest.mark.parametrize(("tier", "expected"), [("future", []), ("dram", [("KVS401", "trials")])])
def test_trials_that_cannot_differ_need_not_be_many(tmp_path: Path, tier: str, expected: list[tuple[str, str]]) -> None:
    (tmp_path / "t.jsonl").write_text('{"timestamp": 0, "input_length": 512, "output_length": 1, "hash_ids": [1]}\n')
    assert found(tmp_path, SIMULATED.format(tier=tier, own=OWN[tier])) == expected


HEAD = """kvs 1
tier dram : memory { capacity = 1 GiB }
pattern pages : transfer { block = 1 MiB; op = read }
"""


def codes(tmp_path: Path, text: str, *pins: str) -> list[tuple[str, str]]:
    return found(tmp_path, HEAD + text, *pins)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        # one condition is judged with all it is at the point
        ("pages.rate = 100 /s; time = 20 s; expect latency_p99 <= 5 ms", []),
        ("pages.rate = 100 /s; time = 9 s; expect latency_p99 <= 5 ms", ["KVS408"]),
        ("operations = 500; expect latency_p90 <= 5 ms", []),
        ("operations = 50; expect service_p99 <= 5 ms", ["KVS408"]),
        ("pages.rate in [10 /s, 1000 /s]; expect latency_p99 <= 5 ms", ["KVS408"]),
        ("pages.rate in [10 /s, 1000 /s]; expect latency_p99 <= 5 ms when pages.rate > 10 /s", []),
        # what is offered
        ("pages.rate in [100 /s, 5000 /s]; expect throughput >= 1 GiB/s", ["KVS409"]),
        ("pages.rate in [100 /s, 5000 /s]; expect throughput >= 1 GiB/s when pages.rate == 5000 /s", []),
        ("pages.rate = 100 /s; expect throughput <= 1 GiB/s", []),
        ("pages.rate = 1000 /s; pages.arrival = poisson; expect operations_per_s >= 1050 /s", []),
        ("pages.rate = 1000 /s; pages.arrival = poisson; expect operations_per_s >= 1500 /s", ["KVS409"]),
        ("expect errors < 0", ["KVS409"]),
        ("expect throughput >= 2 GiB/s; expect throughput <= 1 GiB/s", ["KVS409"]),
        ("expect throughput >= 1 GiB/s; expect throughput <= 2 GiB/s", []),
        ("expect throughput > 1 GiB/s; expect throughput < 1 GiB/s", ["KVS409"]),
        ("expect throughput >= 1 GiB/s; expect throughput <= 1 GiB/s", []),
        ("pages.op in [read, write]; expect throughput >= 2 GiB/s when pages.op == read; "
         "expect throughput <= 1 GiB/s when pages.op == write", []),
        ("expect errors >= 0", ["KVS410"]),
        ("expect errors > 0", []),
        ("expect errors != 0", []),
        ("expect throughput > 0 B/s", []),
        # what a clock measures
        ("expect latency_p50 == 1 ms", ["KVS411"]),
        ("expect operations == 5", []),
        ("expect throughput != 0 B/s", []),
        # a closed loop
        ("expect latency_p999 <= 5 ms", ["KVS412"]),
        ("expect latency_p50 <= 5 ms", []),
        ("expect service_p999 <= 5 ms", []),
        ("pages.rate = 5000 /s; expect latency_p999 <= 5 ms", []),
        # windows, queues
        ("warmup = 0 s; until = steady; cap = 30 s", []),
        ("warmup in [0 s, 1 s]", ["KVS416"]),
        ("order = sequential", []),
        ("order = sequential; pages.op in [read, write]; trials = 3", ["KVS417"]),
        ("time in [20 ms, 1 s]", ["KVS418"]),
        ("operations = 100; pages.depth = 4; pages.threads = 4", []),
        ("operations = 10; pages.depth = 4; pages.threads = 4", ["KVS419"]),
        ("operations = 63; pages.depth = 4; pages.wait = batch; pages.batch = 16", ["KVS419"]),
        ("pages.op = write; pages.depth = 4", ["KVS420"]),
        ("pages.op = write; pages.depth = 4; pages.keys = 1", []),
        ("pages.op = read; pages.depth = 4", []),
        ("pages.op = write; pages.batch = 4", []),
        ("pages.op = write; pages.batch = 4; pages.threads = 2", ["KVS420"]),
        ("pages.rate = 1 /s; time = 60 s", []),
        ("pages.rate = 1 /s; time = 5 s", ["KVS425"]),
        ("pages.order = zipf; pages.skew = 0; pages.working_set = 64 MiB", ["KVS423"]),
        ("pages.order = strided; pages.stride in [1, 4]; pages.working_set = 64 MiB", ["KVS423"]),
        ("pages.op = mixed; pages.reads in [0 %, 50 %]", ["KVS423"]),
        # axes
        ("pages.block in [1 MiB]", ["KVS133"]),
        ("pages.block in pow2(1 MiB, 1 MiB)", []),
        ("(pages.op, pages.block) in [(read, 1 MiB), (read, 1024 KiB)]", ["KVS134"]),
        ("(pages.op, pages.block) in [(read, 1 MiB), (write, 1 MiB)]", []),
        ("pages.block in [1 MiB, 1 MB]", ["KVS110"]),
        ("expect delay_p99 <= 1 ms", ["KVS407"]),
        ("expect rounds >= 1", ["KVS407"]),
        ("expect read_latency_p50 <= 1 ms", ["KVS407"]),
        ("expect ceiling_ratio >= 0.9", ["KVS407"]),
        ("expect offered >= 1 /s", ["KVS407"]),
    ],
)  # fmt: skip
def test_method(tmp_path: Path, own: str, expected: list[str]) -> None:
    said = [code for code, _ in codes(tmp_path, f"sweep s {{ pattern = pages; tier = dram; seed = 1; {own} }}\n")]
    assert said == expected


def test_names_that_count_wherever_they_are_used(tmp_path: Path) -> None:
    text = """
let a = 2
let b = a * 3
let c = 1 MiB
let d = 5
tier one : memory { }
tier two : memory { }
tier three : one { }
model m : gqa { layers = 1; kv_heads = 1; head_dim = 64 }
sweep s { pattern = pages; tier = dram; seed = 1; trials = b; skip when pages.block == c and tier == two
  pages.block in [1 MiB, 2 MiB] }
"""
    said = codes(tmp_path, text, "s.tier=three")
    assert ("KVS130", "d") in said and ("KVS131", "m") in said
    assert not {name for code, name in said if code in ("KVS130", "KVS131")} & {"a", "b", "c", "one", "three", "dram"}


def test_what_is_used_of_other_files_and_of_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "parts.kvs").write_text("kvs 1\nuse models\ntier shared : memory { }\nmodel mine : qwen3_8b { }\n")
    sweep = "sweep s { pattern = p; tier = shared; seed = 1 }\n"
    pattern = "pattern p : transfer { block = 1 MiB; op = read }\n"
    assert found(tmp_path, f'kvs 1\nuse "parts.kvs"\n{pattern}{sweep}') == []
    idle = [("KVS132", 'use "parts.kvs"')]
    own = sweep.replace("shared", "dram")
    assert found(tmp_path, f'kvs 1\nuse "parts.kvs"\ntier dram : memory {{ }}\n{pattern}{own}') == idle
    of_model = pattern.replace("block = 1 MiB", "model = qwen3_8b; prompt = 100 tokens")
    assert found(tmp_path, f"kvs 1\nuse models\ntier dram : memory {{ }}\n{of_model}{own}") == []


BUFFERED = """kvs 1
tier plain : posix {{ path = "./kv" }}
tier disk : plain {{ direct = false{more} }}
pattern pages : transfer {{ block = 1 MiB; working_set = {size}; op = {op} }}
sweep s {{ pattern = pages; seed = 1; {own} }}
"""


@pytest.mark.parametrize(
    ("op", "size", "more", "own", "expected"),
    [
        ("read", "1 MiB", "", "tier = disk", ["KVS315"]),
        ("read", "1 MiB", "; cache = drop", "tier = disk", []),
        ("read", "2 GiB", "", "tier = disk", []),
        ("read", "1 MiB", "", "tier in [plain, disk]", []),
        ("read", "1 MiB", "", "tier = disk; disk.direct in [true, false]", []),
        ("write", "1 MiB", "", "tier = disk", ["KVS314"]),
        ("write", "1 MiB", "", "tier = disk; durability = end", []),
        ("mixed; reads = 50 %", "1 MiB", "", "tier = disk", ["KVS314", "KVS315"]),
    ],
)
def test_the_page_cache(tmp_path: Path, op: str, size: str, more: str, own: str, expected: list[str]) -> None:
    said = found(tmp_path, BUFFERED.format(op=op, size=size, more=more, own=own))
    assert [code for code, _ in said] == expected


CACHE = """kvs 1
tier dram : memory {{ }}
tier disk : posix {{ path = "./kv" }}
tier cache : tiered {{ levels = [dram, disk]; capacities = [{capacity}]{more} }}
pattern pages : transfer {{ block = 1 MiB; working_set = 64 MiB; op = read }}
sweep s {{ pattern = pages; tier = cache; seed = 1 }}
"""


@pytest.mark.parametrize(
    ("capacity", "more", "expected"),
    [
        ("64 MiB", "", ["KVS328"]),
        ("63 MiB", "", []),
        ("64 MiB", "; high_water = 90 %", []),
        ("64 MiB", "; write = through", []),
        ("64 MiB", "; admit = [2 MiB]", []),
    ],
)
def test_a_level_that_nothing_goes_down_to(tmp_path: Path, capacity: str, more: str, expected: list[str]) -> None:
    assert [code for code, _ in found(tmp_path, CACHE.format(capacity=capacity, more=more))] == expected


def test_what_a_simulated_tier_lets_through(tmp_path: Path) -> None:
    text = """kvs 1
tier link : sim { bandwidth = 1 GiB/s; latency = 1 us; parallelism = 4 }
pattern pages : transfer { block = 1 MiB; op = read }
sweep s { pattern = pages; tier = link; seed = 1; expect throughput >= 2 GiB/s; expect throughput == 1 GiB/s }
"""
    # Times that are computed may be held against one figure; two figures exclude each other all the same.
    assert [code for code, _ in found(tmp_path, text)] == ["KVS409", "KVS409"]


def test_deprecated_words(installed: Installed, tmp_path: Path) -> None:
    """KVS136, which the language itself has no word for yet."""
    module = GOOD.format(name="old").replace("import attrs", "import attrs\nfrom kvscen.plugin import Word, setting")
    module = module.replace(
        "    pass\n",
        '    mode: str = setting(Word("shared", "own", renamed={"common": "shared"}), default="own", help="h")\n',
    )
    installed.package("old", "old = old:Good", {"old": module})
    text = """kvs 1
tier t : old { mode = common }
pattern pages : transfer { block = 1 MiB; op = read }
sweep s { pattern = pages; tier = t; seed = 1; t.mode in [common, own]; skip when t.mode == common }
"""
    path = tmp_path / "a.kvs"
    path.write_text(text)
    linted = lint_file(path)
    assert linted.plan is not None, linted.diagnostics
    [*said] = [d for d in linted.diagnostics if d.code == "KVS136"]
    assert [d.message for d in said] == ["`common` is called `shared` now"] * 3
    source, count = mended(Source("a.kvs", text), lambda text: lint_source(text, tmp_path))
    assert count == 3 and "common" not in source.text
    again = lint_source(source, tmp_path)
    assert again.plan is not None and [p.id for p in again.plan.points] == [p.id for p in linted.plan.points]

    # `fmt --upgrade` writes them too, and nothing else that a fix would change.
    done = CliRunner().invoke(fmt, ["--upgrade", str(path)])
    assert (done.exit_code, done.stdout) == (0, f"formatted {path}\n")
    assert path.read_text().count("shared") == 3 and "common" not in path.read_text()
    broken = "kvs 1\ntier t : old { mode = common; nonsense = 1 }\n"
    path.write_text(broken)
    done = CliRunner().invoke(fmt, ["--upgrade", str(path)])
    assert done.exit_code == 1 and "nonsense" in done.stderr and path.read_text() == broken


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_shipped_gives_no_warning(path: Path) -> None:
    said = lint_file(path).diagnostics
    # Which points of it would hang with cuFile's default configuration is what `lint` is asked there.
    meant = {"KVS123"} | ({"KVS341"} if path.name == "batch_sweep.kvs" else set())
    assert not [d for d in said if d.code not in meant], [d.message for d in said]
