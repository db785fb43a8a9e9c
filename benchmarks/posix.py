"""kvscen against fio on one disk: the same file, the same blocks, the same number in flight, one after the other.

    python benchmarks/posix.py --path /mnt/nvme/kv-data

Each pair is one run of fio (io_uring) and one `kvscen run`, the whole way from a scenario's text to the tables, in an
order that alternates from pair to pair. fio gets huge pages too (through glibc's malloc), else this would compare pages
and not programs. The exit code is 1 when kvscen's median ratio to fio is below --at-least.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
import pyarrow.parquet as pq

MIB = 1 << 20
GIB = 1 << 30

SCENARIO = """kvs 1

tier disk : posix {{ path = {path}; engine = io_uring; max_in_flight = {in_flight} }}

pattern blocks : transfer {{
  block       = {block} B
  batch       = {in_flight}
  working_set = {file} B
  op          = {op}
  order       = random
}}

sweep bench {{
  pattern = blocks
  tier    = disk
  trials  = 1
  warmup  = 0.5 s
  time    = {seconds_ms} ms
  seed    = 1
  verify  = off
}}
"""


@attrs.frozen
class Setup:
    """What both programs do."""

    path: Path
    op: str
    block_bytes: int
    in_flight: int
    file_bytes: int
    seconds: float


def run_kvscen(setup: Setup, folder: Path) -> float:
    """Bytes per second of one `kvscen run`."""
    scenario = folder / "bench.kvs"
    scenario.write_text(
        SCENARIO.format(
            path=json.dumps(str(setup.path)),
            in_flight=setup.in_flight,
            block=setup.block_bytes,
            file=setup.file_bytes,
            op=setup.op,
            seconds_ms=round(setup.seconds * 1000),
        )
    )
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    code = "from kvscen.cli.main import main; main()"
    command = [sys.executable, "-c", code, "run", str(scenario), "--out", str(out), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"kvscen failed ({done.returncode}):\n{done.stderr}")
    (trial,) = pq.read_table(out / "trials.parquet").to_pylist()
    if trial["status"] != "ok":
        sys.exit(f"kvscen: the trial ended as {trial['status']}: {trial['reason']}")
    return float(trial["throughput_bytes_per_s"])


def run_fio(setup: Setup) -> float:
    """Bytes per second of one run of fio on the blocks that kvscen laid out."""
    command = [
        "fio",
        "--name=bench",
        f"--filename={setup.path / 'blocks.data'}",
        "--allow_file_create=0",
        f"--size={setup.file_bytes}",
        f"--bs={setup.block_bytes}",
        f"--rw=rand{setup.op}",
        "--norandommap",
        "--direct=1",
        "--ioengine=io_uring",
        f"--iodepth={setup.in_flight}",
        "--ramp_time=0.5",
        f"--runtime={setup.seconds}",
        "--time_based",
        "--output-format=json",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    )
    if done.returncode:
        sys.exit(f"fio failed ({done.returncode}):\n{done.stderr}")
    return float(json.loads(done.stdout)["jobs"][0][setup.op]["bw_bytes"])


def compare(setup: Setup, pairs: int, folder: Path) -> list[tuple[float, float]]:
    """(kvscen, fio) in bytes per second, for each pair."""
    run_kvscen(attrs.evolve(setup, seconds=0.2), folder)  # lays out the data
    figures = []
    for pair in range(pairs):
        if pair % 2:
            fio = run_fio(setup)
            ours = run_kvscen(setup, folder)
        else:
            ours = run_kvscen(setup, folder)
            fio = run_fio(setup)
        figures.append((ours, fio))
        print(f"  {setup.op} {pair + 1}/{pairs}: kvscen {ours / GIB:.2f}, fio {fio / GIB:.2f} GiB/s", file=sys.stderr)
    return figures


def report(setup: Setup, figures: list[tuple[float, float]]) -> float:
    """Print a line for each program; returns the median ratio."""
    print(f"{setup.op}: {setup.block_bytes / MIB:g} MiB blocks, {setup.in_flight} in flight, {len(figures)} pairs")
    for name, values in (("kvscen", [ours for ours, _ in figures]), ("fio", [fio for _, fio in figures])):
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"  {name:7} median {statistics.median(values) / GIB:6.3f} GiB/s, standard deviation {spread / GIB:.3f}")
    ratios = [ours / fio for ours, fio in figures]
    ratio = statistics.median(ratios)
    print(f"  ratio   median {ratio:6.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, default=Path("kv-data"), help="folder on the disk (default: %(default)s)")
    parser.add_argument("--op", choices=["read", "write"], action="append", help="default: both")
    parser.add_argument("--block", type=float, default=2.5, help="MiB (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--file", type=float, default=1000, help="MiB of data (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--at-least", type=float, default=0.95, help="ratio to fio (default: %(default)s)")
    options = parser.parse_args()
    if shutil.which("fio") is None:
        parser.exit(2, "fio is not installed: install the package `fio` of your distribution\n")
    block = round(options.block * MIB)
    worst = float("inf")
    for op in options.op or ["read", "write"]:
        setup = Setup(
            options.path.absolute(),
            op,
            block,
            options.in_flight,
            round(options.file * MIB) // block * block,
            options.seconds,
        )
        with tempfile.TemporaryDirectory() as folder:
            worst = min(worst, report(setup, compare(setup, options.pairs, Path(folder))))
    if worst < options.at_least:
        parser.exit(1, f"below {options.at_least} of fio\n")


if __name__ == "__main__":
    main()
