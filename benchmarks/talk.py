"""Conversations on a disk and in host memory, beside fio and memcpy: `python benchmarks/talk.py [--path DIR] [WHAT]...`

    nvme    50 users whose entries have 13 MiB, each written once and read ten times, on a disk; fio does the same with
            50 jobs
    host    the same in host memory; memcpy into as many buffers as operations are in flight, which are used again, is
            the limit

`kvscen run` of a scenario is measured as users run it, interleaved with the other side (A B B A, with a pause before
each, as a throttled disk saves up while nothing runs). CPU seconds are those of the worker in its window, and of fio's
whole process. Every figure is a median with its range over the rounds; the machine should be otherwise idle.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from rows import Row, at_least, at_most, kvscen_run, show

MIB, GIB = 1 << 20, 1 << 30
ENTRY_MIB, USERS, READS = 13, 50, 10
#: Tokens of Mistral 7B, of 128 KiB each, that make an entry.
TOKENS = ENTRY_MIB * 8

TEXT = """kvs 1
use models
users them : custom {{ context = {tokens} tokens; output = {output} tokens; think = 0 s }}
pattern talk : conversations {{
  model = mistral_7b; page = {page} tokens; mix = [them]; users = {users}; requests = {requests}
  history = none; decode_reads = as_kv_cache_py; depth = {depth}
}}
{tiers}
sweep s {{ pattern = talk; tier = cache; trials = 3; seed = 1; verify = off }}
"""
DISK = "tier disk : posix {{ path = {path} }}\ntier cache : tiered {{ levels = [disk] }}"
HOST = "tier host : memory {{ }}\ntier cache : tiered {{ levels = [host] }}"


@attrs.frozen
class Figures:
    """Of one run: bytes a second, CPU seconds for each GiB, and the 95th percentile of reading an entry (ns)."""

    bytes_per_s: float
    cpu_s_per_gib: float | None
    p95_ns: float | None


def ours(folder: Path, tiers: str, page: int, depth: int, requests: int, trials: int = 1) -> Figures:
    text = TEXT.format(
        tokens=TOKENS,
        output=32 * (READS - 1),
        page=page,
        users=USERS,
        requests=requests,
        depth=depth,
        tiers=tiers,
        trials=trials,
    )
    rows = kvscen_run(text, folder)
    names = ("throughput_bytes_per_s", "cpu_s_per_gib", "reread_latency_p95_ns")
    return Figures(*(statistics.median(row[name] for row in rows) for name in names))


def fio(path: Path, seconds: float, slots: int) -> Figures:
    """50 threads, each with one entry in flight: as many reads for each write as the users have."""
    command = [
        *("fio", "--name=entries", f"--filename={path}", f"--size={slots * ENTRY_MIB}M", f"--bs={ENTRY_MIB}M"),
        *("--rw=randrw", f"--rwmixread={round(100 * READS / (READS + 1))}", "--ioengine=psync", "--direct=1"),
        *(f"--numjobs={USERS}", "--thread", "--group_reporting", "--time_based", f"--runtime={seconds}"),
        *("--norandommap", "--randrepeat=0", "--fallocate=none", "--output-format=json"),
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Its buffers have huge pages, as ours do.
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    (job,) = json.loads(done.stdout)["jobs"]
    moved = job["read"]["io_bytes"] + job["write"]["io_bytes"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rate = job["read"]["bw_bytes"] + job["write"]["bw_bytes"]
    return Figures(rate, cpu / (moved / GIB), job["read"]["clat_ns"]["percentile"]["95.000000"])


def interleaved(one: Callable[[], Figures], other: Callable[[], Figures], rounds: int, pause_s: float) -> list[Any]:
    """(ours, theirs) of each round: A B B A."""
    pairs = []
    for number in range(rounds):
        order = (one, other) if number % 2 else (other, one)
        found = {}
        for side in order:
            time.sleep(pause_s)
            found[side] = side()
        pairs.append((found[one], found[other]))
        print(f"round {number + 1} of {rounds}: {_gib(found[one])} beside {_gib(found[other])} GiB/s", file=sys.stderr)
    return pairs


def _gib(figures: Figures) -> str:
    return f"{figures.bytes_per_s / GIB:.2f}"


def nvme(folder: Path, rounds: int, pause_s: float, requests: int) -> Iterator[Row]:
    tiers = DISK.format(path=json.dumps(str(folder / "data")))
    file = folder / "fio.data"
    with file.open("wb") as out:
        piece = np.random.default_rng(1).bytes(ENTRY_MIB * MIB)
        for _ in range(requests):
            out.write(piece)
        os.fsync(out.fileno())
    for name, page, depth in ((f"blocks of {ENTRY_MIB} MiB", TOKENS, USERS), ("blocks of 1 MiB", 8, 64)):
        # So that both take about as long.
        seconds = max(3.0, requests * (READS + 1) * ENTRY_MIB * MIB / (1.5 * GIB))
        pairs = interleaved(
            partial(ours, folder, tiers, page, depth, requests),
            partial(fio, file, seconds, requests),
            rounds,
            pause_s,
        )
        yield Row(f"{name}: GiB/s", [a.bytes_per_s / GIB for a, _ in pairs], unit="GiB/s")
        yield Row(f"{name}: fio, GiB/s", [b.bytes_per_s / GIB for _, b in pairs], unit="GiB/s")
        yield at_least(Row(f"{name}: throughput / fio's", [a.bytes_per_s / b.bytes_per_s for a, b in pairs]), 0.9)
        yield at_most(Row(f"{name}: CPU", [a.cpu_s_per_gib for a, _ in pairs], unit="s/GiB"), 0.15)
        yield Row(f"{name}: fio's CPU", [b.cpu_s_per_gib for _, b in pairs], unit="s/GiB")
        yield at_most(Row(f"{name}: p95 of reading an entry / fio's", [a.p95_ns / b.p95_ns for a, b in pairs]), 1.25)


def memcpy(block: int, buffers: int, total: int) -> Figures:
    """Copies of blocks from a memory of `total` bytes into so many buffers, one after the other, over and over."""
    source, target = np.ones(total, np.uint8), np.ones(buffers * block, np.uint8)
    blocks = total // block
    began, copied = time.perf_counter(), 0
    while time.perf_counter() - began < 3:
        for number in range(blocks):
            there, here = number % buffers * block, number * block
            target[there : there + block] = source[here : here + block]
        copied += blocks * block
    return Figures(copied / (time.perf_counter() - began), None, None)


def host(folder: Path, rounds: int, pause_s: float, requests: int) -> Iterator[Row]:
    for name, page, block, depth in (
        (f"host memory, blocks of {ENTRY_MIB} MiB", TOKENS, ENTRY_MIB * MIB, USERS),
        ("host memory, blocks of 1 MiB", 8, MIB, 64),
    ):
        pairs = interleaved(
            partial(ours, folder, HOST.format(), page, depth, requests),
            # As many buffers as the run has operations in flight: into one, the processor's caches take a part.
            partial(memcpy, block, depth, requests * ENTRY_MIB * MIB),
            rounds,
            pause_s,
        )
        yield Row(f"{name}: GiB/s", [a.bytes_per_s / GIB for a, _ in pairs], unit="GiB/s")
        yield Row(f"{name}: memcpy, GiB/s", [b.bytes_per_s / GIB for _, b in pairs], unit="GiB/s")
        yield at_least(Row(f"{name}: throughput / memcpy's", [a.bytes_per_s / b.bytes_per_s for a, b in pairs]), 0.8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["nvme", "host"], help="(default: both)")
    parser.add_argument("--path", type=Path, default=Path(), help="a folder on the disk (default: here)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each row (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=100, help="of all users together (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds before each side (default: %(default)s)")
    options = parser.parse_args()
    if shutil.which("fio") is None:
        parser.exit(2, "fio is not installed: get it with `apt-get install fio` or `dnf install fio`\n")
    rows: list[Row] = []
    for what in options.what or ["nvme", "host"]:
        with tempfile.TemporaryDirectory(dir=options.path, prefix="kvscen-bench-") as place:
            measure = {"nvme": nvme, "host": host}[what]
            rows += measure(Path(place).absolute(), options.rounds, options.pause, options.requests)
    print(show(rows))


if __name__ == "__main__":
    main()
