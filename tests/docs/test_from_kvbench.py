"""docs/from-kvbench.md: every command and argument of KVBench is there, and what it says of flags is the driver's."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvscen.cli.main import main
from kvscen.language.blocks import HeadsSettings, SweepSettings
from kvscen.language.matrix import MatrixSettings
from kvscen.language.schema import settings_of
from kvscen.results.schema import STEPS, TRIALS
from kvscen_drivers.nixlbench.flags import FLAGS, PATTERN
from kvscen_drivers.nixlbench.settings import WORKED_OUT
from kvscen_drivers.nixlbench.verbatim import ORDER

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "from-kvbench.md").read_text("utf-8")
EXAMPLES = ROOT / "scenarios" / "kvbench" / "deepseek_r1_gds.kvs"

COMMANDS = ("plan", "profile", "kvcache", "iosize", "io-size", "ct-perftest", "sequential-ct-perftest", "matgen")
# Of benchmark/kvbench/commands/args.py; its arguments for nixlbench are the flags.
ARGUMENTS = (
    *(
        "--model",
        "--model_config",
        "--model_configs",
        "--pp",
        "--tp",
        "--isl",
        "--osl",
        "--num_requests",
        "--page_size",
    ),
    *("--access_pattern", "--source", "--destination", "--format", "--debug", "--no-debug", "--obj_ca_bundle"),
    *("--verify-buffers", "--print-recv-buffers", "--json-output-path", "--config-file"),
)
KEYS = (
    *("tp_size", "pp_size", "model_quant_mode", "kvcache_quant_mode", "isl", "osl", "num_requests", "page_size"),
    *("access_pattern", "hardware", "backend", "source", "destination"),
)


@pytest.mark.parametrize("word", [*COMMANDS, *ARGUMENTS, *KEYS])
def test_it_is_there(word: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", PAGE), word


def test_arguments_for_nixlbench_are_settings_or_are_explained() -> None:
    """KVBench's other arguments are nixlbench's flags, and so are those that the pattern says or kvscen works out."""
    assert set(ORDER) <= set(FLAGS)
    for name in (*ORDER, *PATTERN, *WORKED_OUT):
        assert f"`--{name}`" in PAGE, name


# Of the traffic tests and of the generator of their matrices.
TRAFFIC = (
    *("--verify-buffers", "--no-verify-buffers", "--print-recv-buffers", "--no-print-recv-buffers"),
    *("--json-output-path", "traffic_pattern", "traffic_patterns", "matrix_file", "shards", "mem_type", "xfer_op"),
    *("iters", "warmup_iters", "sleep_before_launch_sec", "sleep_after_launch_sec", "metadata"),
    *("--num-user-requests", "--batch-size", "--num-prefill-nodes", "--num-decode-nodes", "--ppn", "--results-dir"),
    *("--prefill-tp", "--prefill-pp", "--prefill-cp", "--decode-tp", "--decode-pp", "--decode-cp", "--model"),
    *("--hidden-size", "--num-layers", "--num-heads", "--num-kv-heads", "--dtype-size"),
    *("--isl-mean", "--isl-scale", "--min-isl", "--max-isl", "--max-batch-mem", "--rail-optimized"),
)


def test_what_replaces_the_traffic_tests() -> None:
    part = PAGE[PAGE.index("## Arguments of the traffic tests") :]
    for word in TRAFFIC:
        assert re.search(rf"^\|[^|]*`{re.escape(word)}`[^|]*\| \S", part, re.MULTILINE), word
    assert "not part of this version yet" not in PAGE
    # Settings that it names are the pattern's, columns the table's.
    settings = set(settings_of(MatrixSettings)) | set(settings_of(HeadsSettings)) | set(settings_of(SweepSettings))
    columns = {column.name for column in (*STEPS, *TRIALS)}
    said = set(
        re.findall(r"`([a-z_]+)`", "\n".join(line.split("|")[2] for line in part.splitlines() if line[:1] == "|"))
    )
    allowed = {"dram", "cpu", "model", "matrix", "full", "off", "xfer_op"}
    assert not said - settings - columns - allowed, said - settings - columns - allowed


def test_the_examples_say_what_comes_out() -> None:
    """Each command of the table of examples, run as it stands there."""
    section = PAGE[PAGE.index("## The examples of KVBench's README") : PAGE.index("## Commands")]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in section.splitlines()
        if line.startswith("|") and "`kvscen " in line
    ]
    assert len(rows) == 7
    for _, command, kvbench, rank in rows:
        words = shlex.split(command.strip("`").replace("FILE", str(EXAMPLES)))[1:]
        if words[0] == "run":
            continue
        words = [word for word in words if word not in ("--as", "nixlbench", "--verbatim")]
        result = CliRunner().invoke(main, ["size", *words[1:], "--format", "json"])
        assert result.exit_code == 0, result.output
        [size] = json.loads(result.stdout)["sizes"]
        theirs, ours = size["kvbench"], size["exact"]
        assert kvbench in (f"{theirs['batch']} x {theirs['block_bytes']:,}", f"{theirs['block_bytes']:,} bytes")
        assert rank in (f"{ours['rank_batch']} x {ours['block_bytes']:,}", f"{ours['block_bytes']:,} bytes")
