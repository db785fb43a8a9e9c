"""The driver `gpu` against a plain loop of pinned copies, in one process on one GPU:

    python benchmarks/gpu.py [--seconds S] [--rounds N] [--json FILE]

The plain loop is written with the same bindings: cuMemcpyAsync between cuMemHostAlloc'd and device memory, on one
stream or two in turn, with as many copies in flight as kvscen has, the oldest awaited by cuEventSynchronize. It keeps
no account of anything. kvscen's figure is that of a worker's measured window (kvscen.execute.session), with recording.
Loop and kvscen alternate (A B B A); a ratio is of neighbours. What kvscen is held against is the better loop.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from beside import HEAD, Worker, beside, here

from kvscen.plan.point import Tier, Work
from kvscen_drivers.gpu.cuda import Gpu, open_gpu
from kvscen_drivers.gpu.driver import GpuDriver
from kvscen_drivers.gpu.settings import GpuSettings

MIB = 1 << 20
SIZES = (64 << 10, 256 << 10, MIB, 5 * MIB // 2, 4 * MIB, 16 * MIB, 32 * MIB)
#: One copy at a time.
SINGLE_SIZES = (MIB, 16 * MIB)
# What the plain loop is held to from 1 MiB on.
TARGET, TARGET_FROM = 0.95, MIB
CASES = (("host to device", "write", "dram"), ("device to host", "read", "dram"), ("device to device", "read", "vram"))


class Plain:
    """The loop that one would write without kvscen."""

    def __init__(self, gpu: Gpu, block: int, op: str, memory: str, depth: int, keys: int, seconds: float) -> None:
        self.gpu, self.block, self.op, self.depth, self.keys, self.seconds = gpu, block, op, depth, keys, seconds
        self.on_gpu = gpu.allocate(keys * block, "the plain loop", "")
        self.memory = memory
        if memory == "vram":
            self.buffers = gpu.allocate(depth * block, "the plain loop", "")
        else:
            self.buffers = int(gpu._call("cuMemHostAlloc", depth * block, 1))
        self.streams = [gpu.stream(), gpu.stream()]
        self.events = [gpu.event() for _ in range(depth)]

    def rate(self, streams: int) -> float:
        """Bytes a second."""
        copy, record, wait = self.gpu.api.cuMemcpyAsync, self.gpu.api.cuEventRecord, self.gpu.api.cuEventSynchronize
        block, depth, keys, reading = self.block, self.depth, self.keys, self.op == "read"
        flying: deque[Any] = deque()
        done, number = 0, 0
        begin = time.perf_counter_ns()
        end = begin + self.seconds * 1e9
        while True:
            now = time.perf_counter_ns()
            if now >= end:
                break
            if len(flying) == depth:
                wait(flying.popleft())
                done += 1
            here, there = self.buffers + number % depth * block, self.on_gpu + number % keys * block
            stream, event = self.streams[number % streams], self.events[number % depth]
            copy(here, there, block, stream) if reading else copy(there, here, block, stream)
            record(event, stream)
            flying.append(event)
            number += 1
        for event in flying:
            (status,) = wait(event)
            if status:
                sys.exit(f"the plain loop failed: {status}")
        return done * block / (now - begin) * 1e9

    def close(self) -> None:
        self.gpu.drop(self.streams, self.events)
        self.gpu.free(self.on_gpu)
        if self.memory == "vram":
            self.gpu.free(self.buffers)
        else:
            self.gpu._call("cuMemFreeHost", self.buffers)


def compare(gpu: Gpu, block: int, op: str, memory: str, depth: int, seconds: float, rounds: int) -> dict[str, Any]:
    keys = max(2 * depth, min(4096, 256 * MIB // block))
    work = Work(
        op=op,  # type: ignore[arg-type]
        block_bytes=block,
        batch=depth,
        keys=keys,
        memory=memory,  # type: ignore[arg-type]
        warmup_ns=20_000_000,
        time_ns=round(seconds * 1e9),
    )
    worker = Worker(Tier("hbm", "gpu", GpuSettings()), f"{GpuDriver.__module__}:{GpuDriver.__qualname__}", work)
    verified = worker.verify()
    plain = Plain(gpu, block, op, memory, depth, keys, seconds)
    try:
        found = beside(worker.rate, lambda: max(plain.rate(1), plain.rate(2)), rounds)
    finally:
        plain.close()
        worker.close()
    point = {"block_bytes": block, "op": op, "memory": memory, "depth": depth, "verified_bytes": verified}
    return point | found.row() | {"show": found.show()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.12, help="of each window (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="of A B B A (default: %(default)s)")
    parser.add_argument("--depth", type=int, action="append", help="copies in flight (default: 8, then 1)")
    parser.add_argument("--json", type=Path, help="all figures go here")
    options = parser.parse_args()
    gpu = here(lambda: open_gpu(0))
    print(f"{gpu.card(0)}, CUDA {gpu.cuda}")
    print(f"{'':18}{'block':>10}{'depth':>7}{HEAD}  target")
    rows = []
    for depth in options.depth or [8, 1]:
        for what, op, memory in CASES:
            for block in SIZES if depth > 1 else SINGLE_SIZES:
                row = compare(gpu, block, op, memory, depth, options.seconds, options.rounds)
                rows.append(row)
                judged = depth > 1 and block >= TARGET_FROM and memory == "dram"
                met = ("yes" if row["ratio"] >= TARGET else "NO") if judged else ""
                told = f">= {TARGET}: {met}" if met else ""
                print(f"{what:18}{block >> 10:>6} KiB{depth:>7}{row.pop('show')}  {told}", flush=True)
                if options.json:
                    options.json.write_text(json.dumps({"gpu": str(gpu.card(0)), "cuda": gpu.cuda, "rows": rows}))


if __name__ == "__main__":
    main()
