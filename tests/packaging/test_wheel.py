"""A fresh virtual environment that knows nothing but the wheel runs a scenario."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCENARIO = """kvs 1
use models
model llama8b : llama3_1_8b { kv_dtype = fp8 }
tier dram : memory { }
tier disk : posix { path = "./kv-data" }
pattern pages : transfer { op = read; model = llama8b; prompt = 256 tokens }
sweep blocks {
  pattern = pages
  tier in [dram, disk]
  trials = 3; warmup = 20 ms; operations = 200; seed = 1
  expect errors == 0
}
"""


def call(*arguments: str | Path, cwd: Path) -> str:
    done = subprocess.run([*map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_runs_in_a_fresh_environment(tmp_path: Path) -> None:
    pip = ["-m", "pip", "--disable-pip-version-check"]
    call(sys.executable, *pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("kvscen-*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"kvscen", "kvscen_drivers", "kvscen_grammar"}
    # Our own pip fills it, and compiles nothing of which most is never imported: half of the work.
    call(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    into = ["--python", tmp_path / "venv" / "bin" / "python"]
    call(sys.executable, *pip, *into, "install", "--quiet", "--no-compile", wheel, cwd=tmp_path)
    (tmp_path / "test.kvs").write_text(SCENARIO)
    kvscen = tmp_path / "venv" / "bin" / "kvscen"
    assert "no problems" in call(kvscen, "lint", "--strict", "test.kvs", cwd=tmp_path)
    assert "\nRemedy\n" in call(kvscen, "explain", "KVS203", cwd=tmp_path)
    assert "GiB/s" in call(kvscen, "run", "test.kvs", "--out", "out", cwd=tmp_path)
    assert (tmp_path / "out" / "trials.parquet").exists()
    assert {line.split()[0] for line in call(kvscen, "drivers", cwd=tmp_path).splitlines() if "kvscen 0" in line} == {
        "command",
        "gds",
        "gpu",
        "memkv",
        "memory",
        "minio_memkv",
        "mooncake",
        "nixlbench",
        "nixl",
        "posix",
        "redis",
        "sim",
        "tiered",
    }
