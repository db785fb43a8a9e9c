"""How much of NIXL's own speed the driver `nixl` leaves:

    python benchmarks/nixl.py [--nixlbench PROGRAM] [--path DIR] [--turns N] [--tier NAME]...
        [--block SIZE]... [--small-pages]

The driver posts batches as a trial does, through the hot loop of a worker. Beside it, in turns (A B B A), the same
blocks are moved by nixlbench, started as the driver `nixlbench` starts it; or, without a PROGRAM, by NIXL's Python
agent that posts one transfer again and again with nothing around it. The program and the driver should use one version
of NIXL's libraries, and the machine should be otherwise idle. All move the same number of batches, 4 to 5 GiB, so that
no window cuts one in two. On a disk each begins after a pause and with a warm-up of about 2 GiB: a throttled one
saves up while nothing runs, and nixlbench takes longer to start.

The driver's buffers are on huge pages, and nixlbench's as far as glibc can do it: not where a batch has less than
2 MiB. With --small-pages none are.

It prints both, their ratio in pairs, and what a batch costs beyond NIXL's own post and wait. What is written to DIR is
removed again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import trio

from kvscen.execute import messages
from kvscen.execute.session import OpenPoint, Session
from kvscen.lint import lint_file
from kvscen.plugin import Point, host_arena
from kvscen_drivers.nixl.agent import ACTIVE, Agent
from kvscen_drivers.nixlbench.driver import NixlbenchDriver

TARGETS = {"nixl": "kvscen_drivers.nixl.driver:NixlDriver"}
NAMES = ("aio", "uring", "ucx")
#: Blocks, and operations of a measurement: whole batches of 16 and of 63.
SIZES = {"64 KiB": 65520, "512 KiB": 8064, "2.5 MiB": 2016}
PAUSE_S = 2.0
SCENARIO = """kvs 1
tier aio   : nixl {{ path = {path}; api = aio; buffers = {pages} }}
tier uring : nixl {{ path = {path}; api = uring; buffers = {pages} }}
tier ucx   : nixl {{ backend = UCX; buffers = {pages} }}
tier aio_bench   : uring_bench {{ posix_api_type = AIO }}
tier uring_bench : nixlbench {{
  backend = POSIX; filepath = {path}; storage_enable_direct = true; posix_api_type = URING
  program = {program}; env = ["GLIBC_TUNABLES=glibc.malloc.hugetlb={hugetlb}"]
}}
# The UCX of NIXL's wheel crashes at the end of a process that has loaded its modules for InfiniBand.
tier ucx_bench   : nixlbench {{
  backend = UCX; program = {program}; env = ["GLIBC_TUNABLES=glibc.malloc.hugetlb={hugetlb}", "UCX_MODULES=^ib"]
}}
pattern blocks : transfer {{ block = 64 KiB; wait = batch }}
sweep shapes {{
  pattern = blocks; seed = 1
  tier         in [{tiers}]
  (blocks.block, shapes.operations) in [{sizes}]
  blocks.batch in [16, 63]
  blocks.op    in [write, read]
  warmup = 1 s
}}
"""


def points(options: argparse.Namespace) -> Iterator[tuple[Point, Point]]:
    """The points of the driver, each with nixlbench's."""
    tiers = options.tier or NAMES
    text = SCENARIO.format(
        path=json.dumps(str(options.path.absolute())),
        program=json.dumps(str(options.nixlbench or "nixlbench")),
        pages="small" if options.small_pages else "huge",
        hugetlb=0 if options.small_pages else 1,
        sizes=", ".join(f"({size}, {SIZES[size]})" for size in options.block or SIZES),
        tiers=", ".join(f"{name}, {name}_bench" for name in tiers),
    )
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder) / "bench.kvs"
        scenario.write_text(text)
        linted = lint_file(scenario)
    if linted.plan is None:
        raise SystemExit("\n".join(d.message for d in linted.diagnostics))
    found = {(p.tier.name, p.work.block_bytes, p.work.batch, p.work.op): p for p in linted.plan.points}
    for (name, *shape), point in found.items():
        if point.tier.driver == "nixl":
            bench = found[f"{name}_bench", *shape]  # type: ignore[index]
            warmup = (point.work.operations or 0) // point.work.batch // 2
            settings = attrs.evolve(bench.tier.settings, warmup_iter=warmup)
            yield point, attrs.evolve(bench, tier=attrs.evolve(bench.tier, settings=settings))


# ---- the three that move blocks; each gives batches per second


def lane(session: Session, point: Point) -> tuple[float, float]:
    """As a trial has them, and ns of a batch beyond NIXL's own post and wait."""
    ask(session, messages.Arm(point.id, 1))
    measured = ask(session, messages.Go(time.perf_counter_ns()))
    seen, sample = measured.measures, measured.sample
    per_s = sample.operations / point.work.batch / ((measured.window_end_ns - measured.window_start_ns) / 1e9)
    return per_s, 1e9 / per_s - seen["post_mean_ns"] - seen["transfer_mean_ns"]


def raw(agent: Agent, request: Any, batches: int) -> float:
    """One request that is posted again and again."""
    post, look = agent.post, agent.look
    began = time.perf_counter()
    for _ in range(batches):
        state = post(request)
        while state == ACTIVE:
            state = look(request)
    return batches / (time.perf_counter() - began)


def nixlbench(driver: NixlbenchDriver, point: Point) -> float:
    with tempfile.TemporaryDirectory() as folder:
        [row] = trio.run(driver.run, [point], 1, Path(folder), 60.0)
    if row.status != "ok":
        raise SystemExit(f"{row.status}: {row.reason}")
    per_s: Any = row.measures["throughput_bytes_per_s"]
    return float(per_s) / point.work.block_bytes / point.work.batch


def ask(session: Session, request: messages.Request) -> Any:
    reply = session.handle(request)
    if isinstance(reply, messages.Failed):
        raise SystemExit(reply.reason)
    return reply


# ---- side by side


def compare(point: Point, bench: Point, options: argparse.Namespace) -> None:
    session = Session()
    ask(session, messages.Open(point.id, point.tier, point.work, 0, TARGETS, 1))
    ask(session, messages.Prepare(point.id))
    pause_s = PAUSE_S if point.tier.settings.in_files else 0.0
    if options.nixlbench:
        driver = NixlbenchDriver()
        pairs = in_turns(lambda: lane(session, point), lambda: nixlbench(driver, bench), options.turns, pause_s)
    else:
        agent, request = posted(point, session._points[point.id])
        batches = (point.work.operations or 0) // point.work.batch
        raw(agent, request, batches // 2)
        pairs = in_turns(lambda: lane(session, point), lambda: raw(agent, request, batches), options.turns, pause_s)
        del request
        agent.close()
    session.close()
    show(point, pairs)


def posted(point: Point, opened: OpenPoint) -> tuple[Agent, Any]:
    """An agent of its own, and one batch as a request."""
    arena = host_arena(opened.arenas[0].nbytes)
    agent = Agent(point.tier.settings.backend, point.tier.settings.plugin_parameters(), {}, arena)
    store: Any = opened.store
    agent.turn_to(store._place)
    slot, stride = opened.shape.slot_bytes, opened.stride_bytes
    blocks = [(arena.address + i * slot, i * stride, stride) for i in range(point.work.batch)]
    return agent, agent.request(point.work.op == "write", blocks)


Pair = tuple[float, tuple[float, float]]
T = TypeVar("T")


def in_turns(
    ours: Callable[[], tuple[float, float]], theirs: Callable[[], float], turns: int, pause_s: float
) -> list[Pair]:
    """A B, B A, ...: neither always comes second."""

    def after_pause(measure: Callable[[], T]) -> T:
        time.sleep(pause_s)
        return measure()

    pairs = []
    for turn in range(turns):
        first = after_pause(theirs) if turn % 2 else None
        own = after_pause(ours)
        pairs.append((after_pause(theirs) if first is None else first, own))
    return pairs


def show(point: Point, pairs: list[Pair]) -> None:
    work = point.work
    gib = work.batch * work.block_bytes / 2**30
    ratios = [ours / theirs for theirs, (ours, _) in pairs]
    theirs, ours = [t * gib for t, _ in pairs], [o * gib for _, (o, _) in pairs]
    beyond = statistics.median(ns for _, (_, ns) in pairs)
    what = f"{point.tier.name:6} {work.op:5} {work.block_bytes >> 10:5} KiB x {work.batch:2}"
    print(f"{what}  {spread(theirs)}  driver {spread(ours)} GiB/s  ratio {spread(ratios)}  {beyond / 1e3:5.0f} us")


def spread(values: list[float]) -> str:
    """The median and the range."""
    return f"{statistics.median(values):6.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nixlbench", type=Path, metavar="PROGRAM", help="hold it against this program")
    parser.add_argument("--path", type=Path, default=Path("kv-data-bench"), help="a folder that does not exist yet")
    parser.add_argument("--turns", type=int, default=6, help="pairs of measurements")
    parser.add_argument("--tier", action="append", choices=NAMES, help="only this one; may be given several times")
    parser.add_argument("--block", action="append", choices=SIZES, help="likewise")
    parser.add_argument("--small-pages", action="store_true", help="buffers on pages of 4 KiB")
    options = parser.parse_args()
    if options.path.exists():
        raise SystemExit(f"{options.path} is there already")
    try:
        for point, bench in points(options):
            compare(point, bench, options)
    finally:
        shutil.rmtree(options.path, ignore_errors=True)


if __name__ == "__main__":
    main()
