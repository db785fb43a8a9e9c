"""The driver `posix` against fio, and what kvscen's own work costs: `make bench`, or

    python benchmarks/posix.py [--quick] [--path DIR] [--op read]

Everything but the last two rows is measured the way users measure: `kvscen run` of a scenario with `ceiling = fio`, the
whole way from its text to its tables. fio runs beside each trial (A B B A) on the same blocks, with the same engine and
buffers of the same kind of pages; a ratio is of one trial and its own fio. The last two rows are measured inside one
worker (benchmarks/inside.py). Every figure is a median with its range over the rounds; the machine should be otherwise
idle. What is written to the disk and to /dev/shm is removed again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
from rows import Row, at_least, at_most, kvscen_run, show

MIB = 1 << 20
SIZES = ("64 KiB", "128 KiB", "512 KiB", "1 MiB", "2.5 MiB", "4 MiB", "16 MiB")
QUICK_SIZES = ("64 KiB", "1 MiB", "16 MiB")
ENGINES = ("io_uring", "libaio", "threads")

DISK = """kvs 1
tier disk : posix {{ path = {path} }}
pattern blocks : transfer {{ block = 1 MiB; depth = 16; working_set = {mib} MiB; op = {op}; order = random }}
sweep disk_sizes {{
  pattern = blocks; tier = disk; seed = 1; verify = off
  blocks.block in [{sizes}]
  disk.engine in [io_uring, libaio, threads]
  trials = {rounds}; warmup = 0.3 s; time = {ms} ms
  ceiling = fio
}}
"""

TMPFS = """kvs 1
tier shm : posix {{ path = {path}; direct = false }}
pattern blocks : transfer {{ block = 4 KiB; depth = 64; working_set = 64 MiB; op = read; order = random }}
sweep lane {{
  pattern = blocks; tier = shm; seed = 1; verify = off
  shm.engine in [io_uring, libaio]
  trials = {rounds}; warmup = 0.3 s; time = {ms} ms
  ceiling = fio
}}
sweep workers {{
  pattern = blocks; tier = shm; seed = 1; verify = off
  blocks.processes in [1, 2]
  trials = {rounds}; warmup = 0.3 s; time = {ms} ms
}}
"""


def inside(what: str, folder: Path, *numbers: float) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name("inside.py")), what, str(folder), *map(str, numbers)]
    answer: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return answer


def disk(trials: Sequence[dict[str, Any]], op: str, sizes: Sequence[str]) -> Iterator[Row]:
    """Throughput against fio's, by engine and size, and CPU against fio's."""
    sizes_of = sorted({row["block_bytes"] for row in trials})
    names = dict(zip(sizes_of, sizes, strict=True))
    for engine in ENGINES:
        rows = []
        for size in sizes_of:
            own = [row for row in trials if row["axis.disk.engine"] == engine and row["block_bytes"] == size]
            rows.append(
                Row(f"{op} {names[size]}, {engine} / fio {_tool(own)}", [row["ceiling_ratio"] for row in own], ">= 1.0")
            )
        below = [row for row in rows if row.median < 1]
        spared = len(below) == 1 and below[0].median >= 0.97
        for row in rows:
            met = "yes" if row.median >= 1 else "the one at 0.97" if spared else "NO"
            yield attrs.evolve(row, met=met)
    for engine in ENGINES:
        for size in sizes_of:
            if size < MIB:
                continue
            own = [row for row in trials if row["axis.disk.engine"] == engine and row["block_bytes"] == size]
            ratios = [r["cpu_s_per_gib"] / r["ceiling_cpu_s_per_gib"] for r in own if r["ceiling_cpu_s_per_gib"]]
            if ratios:
                yield at_most(Row(f"{op} {names[size]}, {engine}: CPU s/GiB / fio's own", ratios), 1.3)


def _tool(rows: Sequence[dict[str, Any]]) -> str:
    """ "io_uring, huge pages", of "fio-3.33 io_uring, huge pages"."""
    return " or ".join(sorted({row["ceiling_tool"].partition(" ")[2] for row in rows}))


def lane(trials: Sequence[dict[str, Any]]) -> Iterator[Row]:
    """One lane at 4 KiB against the better fio, and two processes against one. A round is one trial of each point."""
    rounds = sorted({row["trial"] for row in trials})
    one = {(r["trial"], r["axis.shm.engine"]): r for r in trials if r["sweep"] == "lane"}
    best = [max(one[t, e]["ceiling_bytes_per_s"] for e in ("io_uring", "libaio")) for t in rounds]
    ours = {e: [one[t, e]["throughput_bytes_per_s"] for t in rounds] for e in ("io_uring", "libaio")}
    for engine, rates in ours.items():
        own = [one[t, engine] for t in rounds]
        yield Row(f"4 KiB tmpfs, {engine}", [r["operations_per_s"] / 1000 for r in own], unit="kop/s")
        yield Row(f"4 KiB tmpfs, fio {engine}", [r["ceiling_operations_per_s"] / 1000 for r in own], unit="kop/s")
        yield Row(f"4 KiB tmpfs, {engine} / better fio", [a / b for a, b in zip(rates, best, strict=True)])
    better = [max(pair) / b for *pair, b in zip(*ours.values(), best, strict=True)]
    yield at_least(Row("4 KiB tmpfs, better engine / better fio", better), 0.8)
    by = {(r["trial"], r["processes"]): r["throughput_bytes_per_s"] for r in trials if r["sweep"] == "workers"}
    scaling = Row("4 KiB tmpfs, two processes / one", [by[t, 2] / by[t, 1] for t in rounds])
    cpus = len(os.sched_getaffinity(0))
    yield at_least(scaling, 1.7) if cpus >= 2 else attrs.evolve(scaling, target=">= 1.7", met="one CPU: not judged")


def own_work(folder: Path, seconds: float, pairs: int, operations: int) -> Iterator[Row]:
    """What recording costs, and whether memory grows with the number of operations."""
    found = inside("recording", folder, seconds, pairs)["pairs"]
    cost = [100 * (with_it[1] / without[1] - 1) for with_it, without in found]
    rate = [100 * (1 - with_it[0] / without[0]) for with_it, without in found]
    yield at_most(Row("4 KiB tmpfs, recording: CPU an operation", cost, unit="%"), 5)
    yield Row("4 KiB tmpfs, recording: operations lost", rate, unit="%")
    growth = []
    for _ in range(3):
        few, many = (inside("memory", folder, count)["peak_bytes"] for count in (operations, 10 * operations))
        growth.append((many - few) / MIB)
    # Two processes that do the same differ by about as much.
    yield at_most(Row(f"peak memory, {10 * operations:,} operations - {operations:,}", growth, unit="MiB"), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, default=Path(), help="a folder on the disk (default: here)")
    parser.add_argument("--op", choices=["read", "write"], action="append", help="on the disk (default: read)")
    parser.add_argument("--rounds", type=int, default=5, help="trials of each point (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each window (default: %(default)s)")
    parser.add_argument("--file", type=int, default=512, help="MiB of data on the disk (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="about a minute: fewer sizes, rounds and seconds")
    options = parser.parse_args()
    if shutil.which("fio") is None:
        parser.exit(2, "fio is not installed: get it with `apt-get install fio` or `dnf install fio`\n")
    rounds, seconds, sizes, mib = options.rounds, options.seconds, SIZES, options.file
    if options.quick:
        rounds, seconds, sizes, mib = 3, 0.3, QUICK_SIZES, 256
    ms = round(seconds * 1000)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=options.path, prefix="kvscen-bench-") as place:
        folder = Path(place).absolute()
        for op in options.op or ["read"]:
            data = json.dumps(str(folder / "data"))
            text = DISK.format(path=data, mib=mib, op=op, sizes=", ".join(sizes), rounds=rounds, ms=ms)
            rows += disk(kvscen_run(text, folder), op, sizes)
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="kvscen-bench-") as place:
        folder = Path(place)
        text = TMPFS.format(path=json.dumps(str(folder / "data")), rounds=rounds, ms=ms)
        rows += lane(kvscen_run(text, folder))
        rows += own_work(folder / "inside", seconds, 2 * rounds, 20_000 if options.quick else 200_000)
    print(show(rows))
    missed = [row.what for row in rows if row.met == "NO"]
    print(
        f"\n{len(missed)} of {sum(bool(row.target) for row in rows)} targets missed" if missed else "\nall targets met"
    )


if __name__ == "__main__":
    main()
