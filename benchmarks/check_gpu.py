"""What only a machine with a GPU can show: `make check-gpu`, or

    python benchmarks/check_gpu.py [--out DIR] [--path DIR] [--budget SECONDS] [--only STAGE ...]

It needs no network. Each stage is a process group of its own with a time limit, and none keeps the next from running:
the drivers `gpu` and `gds`, and `posix` into the GPU's memory, under the contract, with every byte verified; runs of
small scenarios; the speed of both beside plain loops; a batch far beyond what cuFile has room for, under the watchdog.
DIR gets summary.txt, summary.json,
the output of each stage and the tables of each run. The exit status is 1 where a stage failed, 0 where all passed or
could not run here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

import attrs
import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
KVSCEN = (sys.executable, "-c", "from kvscen.cli.main import main; main()")
PYTEST = (sys.executable, "-m", "pytest", "-o", "faulthandler_timeout=25", "-rs")
_END_S = 2.0
#: Exit statuses: of `kvscen run` where a point ended as hang or error, and of a benchmark that cannot run here.
_POINT_FAILED, _NOT_HERE = 3, 69

#: What one would ask a machine about its GPU and what is near it, as far as the programs are there.
MACHINE = (
    ("nvidia-smi",),
    ("nvidia-smi", "-q", "-d", "PCIE,CLOCK,ECC"),
    ("nvidia-smi", "topo", "-m"),
    ("uname", "-a"),
    ("lscpu",),
    ("free", "-b"),
    ("df", "-T"),
    ("findmnt",),
    ("sh", "-c", "lsmod | grep -i nvidia"),
    ("sh", "-c", "ls -l /proc/driver/nvidia-fs /etc/cufile.json /usr/local/cuda/gds 2>&1"),
    ("sh", "-c", "ldconfig -p | grep -iE 'libcuda|cufile'"),
    ("sh", "-c", "cat /sys/kernel/mm/transparent_hugepage/enabled; ulimit -l"),
    (sys.executable, "-m", "pip", "list"),
)


Verdict: TypeAlias = Literal["passed", "failed", "not here", "out of time"]


@attrs.frozen
class Stage:
    """`argv` with {path} and {out} filled in; `limit_s` of time."""

    name: str
    limit_s: float
    argv: tuple[str, ...]
    good: frozenset[int] = frozenset({0})


@attrs.frozen
class Outcome:
    name: str
    verdict: Verdict
    seconds: float
    status: int | None
    last: str = ""


def _run(name: str, limit_s: float, scenario: str, *sets: str, good: frozenset[int] = frozenset({0})) -> Stage:
    pins = [word for pin in sets for word in ("--set", pin)]
    return Stage(name, limit_s, (*KVSCEN, "run", scenario, "--out", f"{{out}}/run-{name}", *pins), good)


def _contract(name: str, limit_s: float, *tests: str) -> Stage:
    return Stage(f"contract-{name}", limit_s, (*PYTEST, *tests))


_SHORT_COPIES = ("blocks.working_set=256 MiB", "blocks.block=2.5 MiB", "blocks.depth=8", "copies.trials=1")
_GDS = "tests/drivers/gds/test_real.py"
STAGES = (
    Stage("drivers-gpu", 40, (*KVSCEN, "drivers", "gpu", "--format", "json")),
    Stage("drivers-gds", 40, (*KVSCEN, "drivers", "gds", "--format", "json")),
    _contract("gpu", 90, "tests/drivers/gpu"),
    *(
        _contract(f"gds-{name}", 40, f"{_GDS}::Test{kind}{memory}")
        for name, kind, memory in (
            ("sync-vram", "Sync", "Vram"),
            ("sync-dram", "Sync", "Dram"),
            ("batch-vram", "Batch", "Vram"),
            ("batch-dram", "Batch", "Dram"),
            ("stream-vram", "Stream", "Vram"),
            ("stream-dram", "Stream", "Dram"),
        )
    ),
    Stage("speed-gpu", 110, (sys.executable, "benchmarks/gpu.py", "--json", "{out}/speed-gpu.json")),
    _run("copies", 40, "scenarios/gpu/copies.kvs", *_SHORT_COPIES),
    _run("cache", 40, "scenarios/gpu/cache.kvs", "hits.trials=1", "dir={path}/kvscen-check-cache"),
    _run(
        "beyond",
        90,
        "scenarios/gds/beyond.kvs",
        *("dir={path}/kvscen-check", "beyond.time=300 ms", "beyond.timeout=6 s"),
        good=frozenset({0, _POINT_FAILED}),  # a hang that the watchdog ends is what this looks for
    ),
    _run(
        "batches",
        60,
        "scenarios/gds/batch_sweep.kvs",
        *("dir={path}/kvscen-check", "batches.trials=1", "batches.time=200 ms", "batches.warmup=50 ms"),
    ),
    _run(
        "threads",
        60,
        "scenarios/gds/threads.kvs",
        *("dir={path}/kvscen-check", "blocks.working_set=256 MiB", "lanes.trials=1", "lanes.time=200 ms"),
        "lanes.warmup=50 ms",
    ),
    Stage(
        "speed-gds",
        120,
        (sys.executable, "benchmarks/gds.py", "--path", "{path}/kvscen-check", "--json", "{out}/speed-gds.json"),
    ),
    _run(
        "study",
        100,
        "scenarios/gds/study.kvs",
        *("dir={path}/kvscen-check", "pages.model=deepseek", "study.trials=1", "study.time=300 ms"),
    ),
)


def machine() -> str:
    """What the machine says about itself."""
    parts = [f"{platform.platform()}, Python {platform.python_version()}, {datetime.now(UTC).isoformat()}"]
    for command in MACHINE:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20
            )
            said = done.stdout.decode(errors="replace").rstrip()
        except (OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
        parts.append(f"$ {' '.join(command)}\n{said}")
    return "\n\n".join(parts) + "\n"


def perform(stage: Stage, limit_s: float, out: Path, path: Path) -> Outcome:
    argv = [word.format(out=out, path=path) for word in stage.argv]
    begin = time.monotonic()
    log = out / f"{stage.name}.txt"
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        status: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = child.wait(limit_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_END_S)  # what hangs in the kernel is left to it
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    trials = out / f"run-{stage.name}" / "trials.parquet"
    ended = statuses(trials) if trials.exists() else {}
    if ended:
        last = ", ".join(f"{count} {name}" for name, count in ended.items())
    if status is None:
        verdict: Verdict = "out of time"
    elif status == _NOT_HERE or ended.keys() == {"unavailable"}:
        verdict = "not here"
    elif status not in stage.good:
        verdict = "failed"
    elif stage.argv[: len(PYTEST)] == PYTEST and "passed" not in last:
        verdict = "not here"  # all skipped
    else:
        verdict = "passed"
    return Outcome(stage.name, verdict, time.monotonic() - begin, status, last)


def statuses(trials: Path) -> dict[str, int]:
    """How many trials of a run ended in which way."""
    return dict(Counter(pq.read_table(trials, columns=["status"])["status"].to_pylist()))


def available() -> str:
    """Why there is no GPU to check, or ""."""
    from kvscen_drivers.gpu.trial import examine

    return examine(0).reason


def summary(outcomes: Sequence[Outcome], reason: str) -> str:
    lines = [f"no GPU can be used here: {reason}"] if reason else []
    for outcome in outcomes:
        lines.append(f"{outcome.verdict:12} {outcome.name:20} {outcome.seconds:6.1f} s  {outcome.last[:140]}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a new folder for the results (default: runs/check-gpu-TIME)")
    parser.add_argument("--path", type=Path, default=Path(), help="a folder on the file system for gds (default: here)")
    parser.add_argument("--budget", type=float, default=900, help="seconds for all of it (default: %(default)s)")
    parser.add_argument("--only", action="append", help="a stage by its name, several times if need be")
    options = parser.parse_args()
    begin = time.monotonic()
    out = (options.out or ROOT / "runs" / f"check-gpu-{datetime.now(UTC):%Y%m%dT%H%M%SZ}").resolve()
    out.mkdir(parents=True, exist_ok=True)
    path = options.path.resolve()
    (out / "machine.txt").write_text(machine())
    reason = available()
    outcomes: list[Outcome] = []
    for stage in STAGES:
        if options.only and stage.name not in options.only:
            continue
        left = options.budget - (time.monotonic() - begin)
        if left < 1:
            outcomes.append(Outcome(stage.name, "out of time", 0, None, "not started"))
        else:
            outcomes.append(perform(stage, min(stage.limit_s, left), out, path))
        print(summary(outcomes[-1:], ""), end="", flush=True)
        (out / "summary.txt").write_text(summary(outcomes, reason))
        (out / "summary.json").write_text(json.dumps([attrs.asdict(outcome) for outcome in outcomes]))
    for folder in ("kvscen-check", "kvscen-check-cache"):
        shutil.rmtree(path / folder, ignore_errors=True)
    print(f"\n{summary((), reason)}results: {out}")
    sys.exit(any(outcome.verdict in ("failed", "out of time") for outcome in outcomes))


if __name__ == "__main__":
    main()
