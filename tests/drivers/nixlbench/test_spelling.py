"""`kvscen plan --as nixlbench`: command lines that nixlbench accepts, and those that KVBench would print."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main
from kvscen_drivers.nixlbench.flags import FLAGS
from kvscen_drivers.nixlbench.verbatim import ORDER
from tests.drivers.nixlbench.support import ROOT, flags_of

HERE = Path(__file__).resolve().parent
SCENARIOS = sorted((ROOT / "scenarios").rglob("*.kvs"))

#: What nixlbench can say and what not: four tiers, one with two processes, a grid, a time.
MIXED = """kvs 1
use models
model r1 : deepseek_r1 { kv_dtype = fp8; pp = 16 }
tier disk  : posix { path = "./kv data"; layout = lane; registered = true; cache = drop }
tier bench : nixlbench { backend = POSIX; filepath = "./kv"; num_iter = 64 }
tier wire  : nixlbench { backend = UCX; target_seg_type = VRAM; env = ["UCX_TLS=tcp"]; flags = ["--memkv=a b"] }
tier dram  : memory { }
pattern pages : transfer {
  model = r1; page = 256 tokens; prompt = 10000 tokens; requests = 10; op = read; wait = batch; threads = 2
}
pattern plain : transfer { block = 64 KiB; batch = 8; op = write; wait = batch }
sweep models { pattern = pages; tier in [disk, wire, dram]; seed = 1; time = 1 s }
sweep grid { pattern = plain; tier = bench; plain.block in pow2(64 KiB, 256 KiB); seed = 1 }
"""
#: The example of KVBench's README, with `--source gpu`, and its other direction.
README = """kvs 1
use models
model r1 : deepseek_r1 { kv_dtype = fp8 }
tier vram : nixlbench { backend = GDS; filepath = "./kv"; gds_batch_pool_size = 2000 }
tier file : nixlbench { backend = POSIX; filepath = "./kv" }
pattern pages : transfer {
  model = r1; page = 256 tokens; prompt = 10000 tokens; requests = 10; op = write; wait = batch
}
sweep readme {
  pattern = pages; tier = vram; seed = 1; pages.op in [write, read]
  (r1.pp, pages.requests, pages.access) in [(16, 10, block), (16, 10, layer), (32, 100, block)]
}
sweep threads { pattern = pages; tier = file; pages.threads = 4; seed = 1 }
"""


def plan(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["plan", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mixed.kvs").write_text(MIXED)
    (tmp_path / "readme.kvs").write_text(README)
    return Path("mixed.kvs")


def golden(name: str, text: str) -> None:
    path = HERE / "golden" / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_text(mixed: Path) -> None:
    golden("mixed.txt", plan(mixed, "--as", "nixlbench").stdout)


def test_a_shell_reads_the_text(mixed: Path) -> None:
    """The words of the text are those of the JSON."""
    text = plan(mixed, "--as", "nixlbench").stdout
    commands = [block for block in text.split("\n\n") if "nixlbench \\\n" in block]
    shell = [shlex.split(block.replace("\\\n", ""), comments=True) for block in commands]
    listed = json.loads(plan(mixed, "--as", "nixlbench", "--format", "json").stdout)["commands"]
    assert shell == [[*each["env"], *each["argv"]] for each in listed if each["argv"]]


def test_json_and_csv_say_the_same(mixed: Path) -> None:
    found = json.loads(plan(mixed, "--as", "nixlbench", "--format", "json").stdout)
    assert found["program"] == "nixlbench"
    rows = list(csv.DictReader(io.StringIO(plan(mixed, "--as", "nixlbench", "--format", "csv").stdout)))
    assert [row["point_ids"].split() for row in rows] == [each["point_ids"] for each in found["commands"]]
    assert [shlex.split(row["command"]) for row in rows] == [[*c["env"], *c["argv"]] for c in found["commands"]]
    wire = next(each for each in found["commands"] if each["tier"] == "wire")
    assert wire["processes"] == 2 and wire["env"] == ["UCX_TLS=tcp"]
    assert sum(len(each["point_ids"]) for each in found["commands"]) == 6
    everything = json.loads(plan(mixed, "--format", "json").stdout)["points"]
    assert {p["point_id"] for p in everything} == {id for c in found["commands"] for id in c["point_ids"]}


@pytest.mark.parametrize("path", [*SCENARIOS, "mixed.kvs", "readme.kvs"], ids=lambda path: Path(path).name)
def test_every_line_is_accepted_by_the_table_of_flags(path: Path, mixed: Path) -> None:
    result = plan(path, "--as", "nixlbench", "--format", "json")
    assert result.exit_code == 0, result.output
    commands = json.loads(result.stdout)["commands"]
    for command in commands:
        if not command["argv"]:
            assert command["notes"], "why there is none"
            continue
        assert command["argv"][0] == "nixlbench"
        flags = flags_of([word for word in command["argv"] if not word.startswith("--memkv")])
        for name, value in flags.items():
            assert name in FLAGS and FLAGS[name].takes(value), (name, value)
        number = {name: int(value) for name, value in flags.items() if value.isdigit()}
        moved = number["max_block_size"] * number["max_batch_size"]
        assert moved <= number["total_buffer_size"] // number["num_threads"]
        assert number["num_iter"] % (number["num_threads"] * number["large_blk_iter_ftr"]) == 0


def test_kvbench_verbatim(mixed: Path) -> None:
    golden("readme.txt", plan("readme.kvs", "--as", "nixlbench", "--verbatim").stdout)


def test_kvbench_prints_what_its_readme_shows(mixed: Path) -> None:
    """Sizes and flags of the three examples of its README (which does not show the size of the buffers)."""
    commands = json.loads(plan("readme.kvs", "--as", "nixlbench", "--verbatim", "--format", "json").stdout)["commands"]
    shown = [dict(zip(c["argv"][1::2], c["argv"][2::2], strict=True)) for c in commands]
    for found, (batch, block) in zip(shown[:3], [(5958, 589824), (23829, 147456), (119141, 294912)], strict=True):
        assert found["--start_batch_size"] == found["--max_batch_size"] == str(batch)
        assert found["--start_block_size"] == found["--max_block_size"] == str(block)
        assert found["--total_buffer_size"] == str(batch * block)
        assert (found["--backend"], found["--target_seg_type"]) == ("GDS", "FILE")
    assert [found.get("--op_type") for found in shown] == [None] * 3 + ["READ"] * 3 + [None]
    assert all({name[2:] for name in found} <= set(ORDER) <= set(FLAGS) for found in shown)


@pytest.mark.parametrize(
    ("arguments", "batch", "block", "rank_batch"),
    [
        (("block_tp1_pp16",), 5958, 589824, 400),
        (("layer_tp1_pp16",), 23829, 147456, 1600),
        (("block_tp1_pp8", "--set", "r1.pp=32", "--set", "pages.requests=100"), 119141, 294912, 4000),
        (("block_tp1_pp8",), 2979, 1179648, 400),
    ],
    ids=["block", "layer", "override", "plan"],
)
def test_the_examples_of_kvbenchs_readme(arguments: tuple[str, ...], batch: int, block: int, rank_batch: int) -> None:
    """As the shipped scenario has them: KVBench's figures, and what one rank moves beside them."""
    given = (ROOT / "scenarios" / "kvbench" / "deepseek_r1_gds.kvs", "--as", "nixlbench", "--sweep", *arguments)
    [command] = json.loads(plan(*given, "--verbatim", "--format", "json").stdout)["commands"]
    words = dict(zip(command["argv"][1::2], command["argv"][2::2], strict=True))
    assert words == {
        "--backend": "GDS",
        "--filepath": "./kv-data",
        "--max_batch_size": str(batch),
        "--max_block_size": str(block),
        "--start_batch_size": str(batch),
        "--start_block_size": str(block),
        "--target_seg_type": "FILE",
        "--total_buffer_size": str(batch * block),
    }
    [command] = json.loads(plan(*given, "--format", "json").stdout)["commands"]
    flags = flags_of(command["argv"])
    assert (flags["max_batch_size"], flags["max_block_size"]) == (str(rank_batch), str(block))
    assert (flags["op_type"], flags["initiator_seg_type"]) == ("WRITE", "VRAM") and "target_seg_type" not in flags


@pytest.mark.parametrize("verbatim", [(), ("--verbatim",)])
@pytest.mark.parametrize(
    ("agent", "bench"),
    [
        (
            'path = "./kv"; api = uring; ios_pool_size = 1024; recreate = true',
            'backend = POSIX; filepath = "./kv"; storage_enable_direct = true; posix_api_type = URING; '
            "posix_ios_pool_size = 1024; recreate_xfer = true",
        ),
        ('backend = UCX; env = ["UCX_TLS=tcp"]', 'backend = UCX; env = ["UCX_TLS=tcp"]'),
        ('backend = GDS; path = "./kv"', 'backend = GDS; filepath = "./kv"; storage_enable_direct = true'),
        (
            'backend = "MEMKV"; path = "./kv"',
            'backend = "MEMKV"; storage = true; filepath = "./kv"; storage_enable_direct = true',
        ),
    ],
)
def test_a_tier_of_nixl_is_the_same_backend(agent: str, bench: str, verbatim: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "two.kvs").write_text(
        f"""kvs 1
use models
tier agent : nixl {{ {agent}; max_in_flight = 128 }}
tier bench : nixlbench {{ {bench} }}
model r1 : deepseek_r1 {{ kv_dtype = fp8 }}
pattern pages : transfer {{ model = r1; prompt = 1000 tokens; op = read; wait = batch }}
sweep s {{ pattern = pages; tier in [agent, bench]; seed = 1 }}
"""
    )
    found = plan(tmp_path / "two.kvs", "--as", "nixlbench", *verbatim, "--format", "json")
    one, other = json.loads(found.stdout)["commands"]
    assert (one["tier"], one["argv"], one["env"], one["processes"]) == (
        "agent",
        other["argv"],
        other["env"],
        other["processes"],
    )
    assert verbatim or "`buffers = huge`" in one["notes"][0]


def test_mistakes_are_marked(mixed: Path) -> None:
    commands = json.loads(plan("readme.kvs", "--as", "nixlbench", "--verbatim", "--format", "json").stdout)["commands"]
    notes = [" ".join(command["notes"]) for command in commands]
    assert all("`--target_seg_type FILE`" in note for note in notes[:3])
    assert all("no byte goes to a GPU" in note for note in notes[3:6])
    assert all("iterations of the whole batch move" in note for note in notes)
    # 1008 + 112 rounded iterations of 5958 blocks of 589824 bytes.
    assert "1120 iterations of the whole batch move 3.58 TiB" in notes[0]
    assert "one rank moves 400 of 589824" in notes[0]
    assert "with 4 nixlbench refuses it" in notes[6]


def test_what_kvbench_cannot(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "no.kvs").write_text(
        MIXED.replace("kv_dtype = fp8", "kv_dtype = fp4").replace("backend = UCX", "backend = UCCL")
    )
    commands = json.loads(plan("no.kvs", "--as", "nixlbench", "--verbatim", "--format", "json").stdout)["commands"]
    notes = {command["tier"]: command["notes"] for command in commands}
    assert notes["disk"] == ["KVBench does not know the format `fp4`"]
    assert notes["bench"] == ["KVBench needs a model: this pattern says its blocks itself"]
    (tmp_path / "no.kvs").write_text(MIXED.replace("backend = UCX", "backend = UCCL"))
    commands = json.loads(plan("no.kvs", "--as", "nixlbench", "--verbatim", "--format", "json").stdout)["commands"]
    wire = next(command for command in commands if command["tier"] == "wire")
    assert wire["argv"] == [] and "it knows no backend `UCCL`" in wire["notes"][0]


@pytest.mark.parametrize("verbatim", [(), ("--verbatim",)])
def test_a_matrix_has_no_line(verbatim: tuple[str, ...]) -> None:
    path = Path(__file__).parents[3] / "scenarios" / "kvbench" / "traffic.kvs"
    found = plan(str(path), "--as", "nixlbench", *verbatim, "--format", "json")
    commands = json.loads(found.stdout)["commands"]
    assert len(commands) == 4
    for command in commands:
        assert command["argv"] == [] and "sends no matrix" in command["notes"][0]


@pytest.mark.parametrize("verbatim", [(), ("--verbatim",)])
def test_mixed_operations_have_no_line(mixed: Path, verbatim: tuple[str, ...]) -> None:
    text = MIXED.replace("requests = 10; op = read", "requests = 10; op = mixed; reads = 70 %")
    mixed.write_text(text.replace("tier in [disk, wire, dram]", "tier = disk"))
    found = plan(mixed, "--as", "nixlbench", *verbatim, "--sweep", "models", "--format", "json")
    [command] = json.loads(found.stdout)["commands"]
    assert command["argv"] == [] and "nothing like `op = mixed`" in command["notes"][0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--as", "posix"], "the driver `posix` runs no program"),
        (["--as", "command"], "the driver `command` has no command lines to print"),
        (["--as", "nothing"], "no driver is called `nothing`"),
        (["--verbatim"], "--verbatim is of --as"),
        (["--format", "text"], "--format text is of --as"),
        (["--as", "nixlbench", "--format", "table"], "goes with --format text, json or csv"),
        (["--as", "nixlbench", "--here"], "goes with --format text, json or csv alone"),
    ],
)
def test_usage(mixed: Path, arguments: list[str], said: str) -> None:
    result = plan(mixed, *arguments)
    assert result.exit_code == 2 and said in result.stderr and not result.stdout
