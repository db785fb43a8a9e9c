"""`kvscen import kvbench-traffic`: configurations of KVBench's traffic tests become scenarios without faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main
from kvscen.language.check import check_source
from kvscen.language.diagnose import Source
from kvscen.language.render import render
from kvscen.lint import lint_file
from kvscen.plan.expand import make_plan
from kvscen.plan.traffic import Traffic

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (the extra kvbench)")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.txt").write_text("0 1M\n0 0\n")


def imported(config: Any) -> Result:
    Path("config.yaml").write_text(yaml.safe_dump(config))
    return CliRunner().invoke(main, ["import", "kvbench-traffic", "config.yaml", "--out", "t.kvs"])


def traffic() -> list[Traffic]:
    linted = lint_file(Path("t.kvs"))
    assert not linted.diagnostics, render(linted.diagnostics)
    checked = check_source(Source("t.kvs", Path("t.kvs").read_text()), Path())
    assert checked.scenario is not None
    return [point.work.traffic for point in make_plan(checked.scenario).points if point.work.traffic is not None]


def test_one_pattern() -> None:
    pattern = {"matrix_file": "a.txt", "shards": 1, "mem_type": "cuda", "xfer_op": "WRITE"}
    done = imported({"iters": 50, "warmup_iters": 10, "traffic_pattern": pattern})
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines() == [
        "not translated: mem_type = cuda: ranks send from host memory to host memory here",
        "not translated: iters = 50: here `time` and `warmup` say how long, or `operations` how many transfers",
        "not translated: warmup_iters = 10: here `time` and `warmup` say how long, or `operations` how many transfers",
    ]
    [found] = traffic()
    assert (found.mode, found.nbytes, len(found.steps)) == ("isolated", 1 << 20, 1)


def test_a_sequence_with_sleeps() -> None:
    steps = [
        {"matrix_file": "a.txt", "mem_type": "dram", "metadata": {"isl": 38328}, "sleep_before_launch_sec": 0.25},
        {"matrix_file": "b.txt", "mem_type": "cpu", "sleep_after_launch_sec": 1, "sleep_before_launch_sec": 2},
        {"matrix_file": "c.txt", "mem_type": "dram", "sleep_before_launch_sec": 0.5},
    ]
    done = imported({"traffic_patterns": steps})
    assert done.exit_code == 0 and not done.stderr, done.output
    isolated, sequence = traffic()
    assert (isolated.mode, sequence.mode) == ("isolated", "sequence")
    assert [step.compute_ns for step in sequence.steps] == [250_000_000, 2_000_000_000, 1_500_000_000]
    assert "KVBench does not read sleep_before_launch_sec" in Path("t.kvs").read_text()


def test_what_is_not_translated() -> None:
    step = {"matrix_file": "a.txt", "mem_type": "dram", "xfer_op": "read", "shards": 2, "sleep": 3}
    done = imported({"traffic_patterns": [step], "iters": 3})
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "not translated: sleep: KVBench has no such key, and would skip it",
        "not translated: shards = 2: KVBench takes 1 alone",
        "not translated: xfer_op = read: KVBench writes whatever it says, and so is done here",
        "not translated: iters: KVBench has no such key, and would skip it",
    ]
    for line in done.stderr.splitlines():
        assert f"# {line}" in Path("t.kvs").read_text()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"a": 1}, "config.yaml has no traffic"),
        ({"traffic_patterns": []}, "config.yaml has no traffic"),
        ({"traffic_pattern": [1]}, "config.yaml has no traffic"),
        ({"traffic_pattern": {"mem_type": "cpu"}}, "config.yaml: traffic pattern 0 has no `matrix_file`"),
        (
            {"traffic_patterns": [{"matrix_file": "a.txt", "sleep_after_launch_sec": "soon"}]},
            "config.yaml: `sleep_after_launch_sec` is 'soon', and a number of seconds is needed",
        ),
        (
            {"traffic_patterns": [{"matrix_file": "a.txt", "sleep_before_launch_sec": -1}]},
            "config.yaml: `sleep_before_launch_sec` is -1, and a number of seconds is needed",
        ),
    ],
)
def test_what_is_wrong(config: Any, message: str) -> None:
    done = imported(config)
    assert done.exit_code == 2 and message in done.stderr
    assert not Path("t.kvs").exists()
