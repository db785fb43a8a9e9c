"""`make check-gpu` without a GPU: what becomes of its stages, and its benchmarks on stand-ins."""

import importlib
import json
import sys

import pytest

from tests.e2e.support import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    """`benchmark(name)` is that module of benchmarks/."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


def _python(code):
    return sys.executable, "-c", code


@pytest.mark.parametrize(
    ("code", "limit_s", "verdict", "last"),
    [
        ("print('all well')", 60, "passed", "all well"),
        ("print('so what'); raise SystemExit(2)", 60, "failed", "so what"),
        ("print('no GPU'); raise SystemExit(69)", 60, "not here", "no GPU"),
        ("import time; print('on it', flush=True); time.sleep(60)", 2, "out of time", "on it"),
    ],
)
def test_a_stage_ends_in_a_verdict(benchmark, tmp_path, code, limit_s, verdict, last):
    check = benchmark("check_gpu")
    stage = check.Stage("one", limit_s, _python(code))
    outcome = check.perform(stage, stage.limit_s, tmp_path, tmp_path)
    assert (outcome.verdict, outcome.last) == (verdict, last)
    assert last in (tmp_path / "one.txt").read_text()


def test_stages_name_tests_and_scenarios_that_are_there(benchmark):
    check = benchmark("check_gpu")
    words = [word for stage in check.STAGES for word in stage.argv if word.endswith((".kvs", ".py", "drivers/gpu"))]
    words += [word.split("::")[0] for stage in check.STAGES for word in stage.argv if "::" in word]
    assert words
    assert all((ROOT / word).exists() for word in words)


def test_copies_beside_a_plain_loop(benchmark, standin):
    standin.total = 2 << 30
    gpu, cuda = benchmark("gpu"), importlib.import_module("kvscen_drivers.gpu.cuda")
    row = gpu.compare(cuda.open_gpu(0), 65536, "read", "dram", 4, 0.5, 1)
    assert row["verified_bytes"] > 0
    assert len(row["ratios"]) == 2
    assert min(row["kvscen_bytes_per_s"] + row["plain_bytes_per_s"]) > 0
    assert not standin.allocated
    assert not standin.pinned


@pytest.mark.parametrize("mode", ["batch", "stream", "sync"])
def test_cufile_beside_a_plain_loop(benchmark, standin, cufile_standin, tmp_path, mode):
    gds = benchmark("gds")
    found, path, evidence, flying = gds.compare(tmp_path / "blocks", mode, 4096, 8, "write", "vram", 0.5, 1)
    assert (path, flying) == ("compat", 8)
    assert evidence
    assert json.dumps(found.row())
