"""The study of GPU-direct storage, as users run it, with and without a GPU."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from kvscen.lint import lint_file
from kvscen_drivers.gds import cufile
from tests.e2e.support import ROOT, kvscen, trials

SHORT = [
    word
    for pin in ("pages.model=deepseek", "pages.requests=1", "study.trials=1", "study.time=1 s", "study.warmup=0 s")
    for word in ("--set", pin)
]


@pytest.mark.skipif(cufile.why_not() is None, reason="there may be a GPU here")
def test_without_a_gpu_the_disk_is_measured_and_the_rest_is_unavailable(tmp_path: Path) -> None:
    done = kvscen(tmp_path, "run", str(ROOT / "scenarios/gds/study.kvs"), "--out", "run", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = trials(tmp_path / "run")
    assert Counter((row["tier"], row["memory"], row["status"]) for row in rows) == {
        ("disk", "dram", "ok"): 2,
        ("disk", "vram", "unavailable"): 2,
        ("direct", "dram", "unavailable"): 2,
        ("direct", "vram", "unavailable"): 2,
    }
    for row in rows:
        if row["status"] == "unavailable":
            assert ("memory = vram" in row["reason"]) == (row["tier"] == "disk")
            assert "libcuda.so.1" in row["reason"] or "cuda-bindings" in row["reason"]


def test_lint_names_the_points_that_would_hang_with_the_default_configuration() -> None:
    found = lint_file(ROOT / "scenarios/gds/batch_sweep.kvs").diagnostics
    assert {diagnostic.code for diagnostic in found} == {"KVS341"}
    (label,) = (diagnostic.label for diagnostic in found)
    assert label == "at tier = direct, pages.batch in [64, 128, 256, 512]"
    assert all("posix_pool_slab_count" in diagnostic.help for diagnostic in found), "the setting to raise"


def test_a_gpu_as_a_level_of_a_cache_is_unavailable_or_measured(tmp_path: Path) -> None:
    done = kvscen(
        tmp_path,
        "run",
        str(ROOT / "scenarios/gpu/cache.kvs"),
        "--out",
        "run",
        "--set",
        "hits.trials=1",
        "--set",
        "hits.time=50 ms",
        "--set",
        "pages.working_set=32 MiB",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len({row["status"] for row in trials(tmp_path / "run")} & {"ok", "unavailable"}) == 1
