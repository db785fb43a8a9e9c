"""How much of NIXL's own speed the driver `nixl` leaves:

    python benchmarks/nixl.py [--path DIR] [--seconds S]

nixlbench posts one transfer of a batch again and again. This does so with NIXL's Python agent and nothing around it
(raw), and as the driver does it in a worker, through kvscen's hot loop (lane): the same blocks, in turns. It prints
both, their ratio in pairs, and what a batch costs beyond NIXL's own post and wait. The machine should be otherwise
idle. What is written to DIR is removed again.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from typing import Any

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.plugin import Tier, Work, host_arena
from kvscen_drivers.nixl.agent import ACTIVE, Agent
from kvscen_drivers.nixl.settings import NixlSettings

TARGETS = {"nixl": "kvscen_drivers.nixl.driver:NixlDriver"}
SHAPES = ((4 << 10, 64), (64 << 10, 16), (256 << 10, 64), (2560 << 10, 63))
TURNS = 5


def raw(agent: Agent, request: Any, seconds: float) -> float:
    """Batches per second of one request that is posted again and again."""
    post, look, count, now = agent.post, agent.look, 0, 0.0
    began = time.perf_counter()
    while now < began + seconds:
        state = post(request)
        while state == ACTIVE:
            state = look(request)
        count += 1
        now = time.perf_counter()
    return count / (now - began)


def lane(session: Session, work: Work) -> tuple[float, float]:
    """Batches per second as a trial has them, and ns of a batch beyond NIXL's own post and wait."""
    _ask(session, messages.Arm("p", 1))
    measured = _ask(session, messages.Go(time.perf_counter_ns()))
    seen, sample = measured.measures, measured.sample
    per_s = sample.operations / work.batch / ((measured.window_end_ns - measured.window_start_ns) / 1e9)
    return per_s, 1e9 / per_s - seen["post_mean_ns"] - seen["transfer_mean_ns"]


def _ask(session: Session, request: messages.Request) -> Any:
    reply = session.handle(request)
    if isinstance(reply, messages.Failed):
        raise SystemExit(reply.reason)
    return reply


def compare(name: str, settings: NixlSettings, op: Any, block: int, batch: int, seconds: float) -> None:
    tier = Tier("t", "nixl", settings.complete())
    work = Work(op, block, batch, batch, wait="batch", warmup_ns=10**8, time_ns=int(seconds * 1e9))
    session = Session()
    _ask(session, messages.Open("p", tier, work, 0, TARGETS, 1))
    _ask(session, messages.Prepare("p"))
    point = session._points["p"]
    arena = host_arena(point.arenas[0].nbytes)
    agent = Agent(tier.settings.backend, tier.settings.plugin_parameters(), {}, arena)
    agent.turn_to(point.store._place)
    slot = point.shape.slot_bytes
    blocks = [(arena.address + i * slot, i * point.stride_bytes, point.stride_bytes) for i in range(batch)]
    request = agent.request(op == "write", blocks)
    raw(agent, request, 0.1)
    pairs = []
    for turn in range(TURNS):
        # A B, B A, ...: neither always comes second.
        first = raw(agent, request, seconds) if turn % 2 else 0.0
        per_s, beyond = lane(session, work)
        pairs.append((first or raw(agent, request, seconds), per_s, beyond))
    gib = batch * block / 2**30
    ratios = sorted(ours / theirs for theirs, ours, _ in pairs)
    theirs, ours, beyond = (statistics.median(column) for column in zip(*pairs, strict=True))
    what = f"{name:12} {op:5} {block >> 10:5} KiB x {batch:2}"
    ratio = f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
    print(f"{what}  raw {theirs * gib:6.2f}  lane {ours * gib:6.2f} GiB/s  {ratio}  {beyond / 1e3:5.0f} us", flush=True)
    del request
    agent.close()
    session.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", default="./kv-data-bench", help="a folder that does not exist yet")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    options = parser.parse_args()
    tiers = [(f"POSIX {api}", NixlSettings(path=options.path, api=api)) for api in ("aio", "uring")]
    tiers.append(("UCX", NixlSettings(backend="UCX")))
    try:
        for name, settings in tiers:
            for block, batch in SHAPES:
                for op in ("write", "read"):
                    compare(name, settings, op, block, batch, options.seconds)
    finally:
        shutil.rmtree(options.path, ignore_errors=True)


if __name__ == "__main__":
    main()
