"""docs/from-kvbench.md: every command and argument of KVBench is there, and what it says of flags is the driver's."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvscen.cli.main import main
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


def test_matrices_are_said_to_be_missing() -> None:
    for line in PAGE.splitlines():
        if any(word in line for word in ("ct-perftest", "matgen", "--verify-buffers", "traffic_pattern")):
            assert line.endswith("pattern `matrix`, not part of this version yet |"), line
