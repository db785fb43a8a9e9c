"""How the language scales: a scenario of 5,000 lines, a sweep of a million points, random texts.

    python benchmarks/scale.py [--rounds 5] [--lines 5000]

Commands are measured as users run them, with their start, by the clock and by the time of the processor: where other
work runs beside them the two differ. What is measured inside of one process has been called once before. Every figure
is a median with its range over the rounds. Nothing is run and nothing stays behind.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

from rows import Row, at_most, show

from kvscen.language.check import check_source
from kvscen.language.diagnose import Source
from kvscen.language.format import format_source
from kvscen.lint import lint_source
from kvscen.plan.expand import expand

HEAD = 'kvs 1\n\nuse models\n\nlet dir = "./kv-data"\n'

STUDY = """
# Study {n}: where the KV of one model goes, as the team measures it
model m{n} : llama3_1_70b {{ kv_dtype = fp8; tp = {tp} }}

tier disk{n} : posix  {{ path = dir; direct = true }}
tier dram{n} : memory {{ capacity = {gib} GiB }}

pattern pages{n} : transfer {{
  model    = m{n}
  page     = {page} tokens
  prompt   = {prompt} tokens    # as in the trace of last month
  op       = read
  requests = 1
}}

sweep blocks{n} {{
  pattern           = pages{n}
  tier              in [disk{n}, dram{n}]
  pages{n}.op       in [write, read]
  pages{n}.requests in [1, 2, 4, 10]
  skip when tier == dram{n} and pages{n}.requests == 10

  trials = 5
  warmup = 0.5 s
  time   = 1.5 s
  seed   = 1

  expect throughput >= 200 MiB/s when pages{n}.op == read
  expect errors == 0
}}
"""

#: 2 x 2 x 100 x 50 x 50 x 2 on the disk, half of it in memory, less what is skipped: a million and a half.
MILLION = """kvs 1
tier disk : posix { path = "./kv-data" }
tier dram : memory { capacity = 64 GiB }
pattern pages : transfer { block = 1 MiB; op = read }
sweep wide {
  pattern = pages; trials = 5; seed = 1
  tier          in [disk, dram]
  disk.direct   in [true, false]
  pages.op      in [read, write]
  pages.block   in linear(4 KiB, 400 KiB, 100)
  pages.batch   in linear(1, 50, 50)
  pages.threads in linear(1, 50, 50)
  skip when tier == dram and pages.batch == 50
  expect throughput >= 200 MiB/s when pages.op == read
  expect errors == 0
}
"""


def scenario(lines: int) -> str:
    """Studies side by side, about so many lines."""
    count = max(1, round((lines - HEAD.count("\n")) / STUDY.count("\n")))
    return HEAD + "".join(
        STUDY.format(n=n, tp=1 << n % 4, gib=32 + n % 32, page=16 * (1 + n % 4), prompt=1000 + n) for n in range(count)
    )


def command(*arguments: str) -> Callable[[], tuple[float, float]]:
    """`kvscen ...`: seconds by the clock, and of the processor."""
    code = "from kvscen.cli.main import main; main()"

    def run() -> tuple[float, float]:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True)
        took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(f"kvscen {' '.join(arguments)} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
        return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return run


def inside(work: Callable[[], object]) -> Callable[[], tuple[float, float]]:
    """A function in this process."""

    def run() -> tuple[float, float]:
        began, cpu = time.perf_counter(), time.process_time()
        work()
        return time.perf_counter() - began, time.process_time() - cpu

    return run


def first_points() -> None:
    checked = check_source(Source("million.kvs", MILLION), None)
    assert checked.scenario is not None
    plan = expand(checked.scenario).plan
    assert plan is not None and len(plan.points[:20]) == 20


def bytes_a_point() -> float:
    """What a plan of a million points holds."""
    checked = check_source(Source("million.kvs", MILLION), None)
    assert checked.scenario is not None
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    plan = expand(checked.scenario).plan
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert plan is not None
    return (held - before) / len(plan.points)


def measured(rounds: int, lines: int, folder: Path) -> Sequence[Row]:
    long, wide = folder / "long.kvs", folder / "wide.kvs"
    text = scenario(lines)
    text = str(format_source(Source("long.kvs", text)))
    long.write_text(text)
    wide.write_text(MILLION)
    count = f"{text.count(chr(10)):,} lines"
    questions: dict[str, tuple[Callable[[], tuple[float, float]], float]] = {
        f"kvscen lint, {count}": (command("lint", str(long)), 2),
        f"kvscen fmt --check, {count}": (command("fmt", "--check", str(long)), 2),
        "kvscen plan, a million points": (command("plan", str(wide)), 10),
        "kvscen lint, a million points": (command("lint", str(wide)), 10),
        f"lint, {count}": (inside(lambda: lint_source(Source("long.kvs", text), None)), 2),
        f"fmt, {count}": (inside(lambda: format_source(Source("long.kvs", text))), 2),
        "a million points: the first 20": (inside(first_points), 1),
    }
    rows = []
    for what, (ask, target) in questions.items():
        ask()
        taken = [ask() for _ in range(rounds)]
        rows.append(at_most(Row(what, [wall for wall, _ in taken], unit="s"), target))
        rows.append(Row("  of the processor", [cpu for _, cpu in taken], unit="s"))
    rows.append(at_most(Row("a million points: held for each", [bytes_a_point()], unit="B"), 100))
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--lines", type=int, default=5000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(given.rounds, given.lines, Path(folder))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}\n{show(rows)}")


if __name__ == "__main__":
    main()
