"""The driver `gds` against a plain loop of the same calls of cuFile, in one process on one GPU:

    python benchmarks/gds.py --path DIR [--seconds S] [--rounds N] [--json FILE]

The plain loop uses the driver's own cuFile, file and buffers, keeps no account and checks nothing but sizes: threads
that call cuFileRead or cuFileWrite, whole batches that are submitted and awaited, or a stream for each operation that
is looked at again and again. Loop and kvscen alternate (A B B
A); a ratio is of neighbours. What an operation costs more than in the loop is the difference of the times of one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from beside import HEAD, Compared, Worker, beside, here

from kvscen.execute.session import OpenPoint
from kvscen.plan.point import Tier, Work
from kvscen_drivers.gds.driver import GdsDriver
from kvscen_drivers.gds.settings import GdsSettings

KIB, MIB = 1 << 10, 1 << 20
TARGET, COST_TARGET_NS = 0.95, 10_000
#: (mode, block, in flight)
CASES = (
    ("sync", MIB, 1),
    ("sync", MIB, 8),
    ("sync", 4 * MIB, 8),
    ("batch", 4 * KIB, 64),
    ("batch", 64 * KIB, 32),
    ("batch", MIB, 32),
    ("batch", 4 * MIB, 16),
    ("stream", MIB, 8),
    ("stream", 4 * MIB, 8),
)


class Plain:
    """The loop that one would write without kvscen, on the file and the buffers of a worker's point."""

    def __init__(self, worker: Worker, mode: str, op: str, seconds: float) -> None:
        point = worker.session._points["p"]
        assert isinstance(point, OpenPoint)
        store: Any = point.store
        self.point, self.api, self.gpu, self.handle = point, store._cufile.api, store._gpu, store._file.handle
        self.mode, self.write, self.seconds = mode, op == "write", seconds
        self.block, self.depth, self.keys = point.stride_bytes, point.in_flight, point.keys.count
        self.base, self.slot = point.arenas[0].address, -(-self.block // 4096) * 4096

    def rate(self) -> float:
        """Bytes a second."""
        begin = time.perf_counter_ns()
        done = {"batch": self._batches, "stream": self._streams, "sync": self._threads}[self.mode](begin)
        return done * self.block / (time.perf_counter_ns() - begin) * 1e9

    def _threads(self, begin: int) -> int:
        counts = [0] * self.depth
        end = begin + self.seconds * 1e9

        def run(number: int) -> None:
            self.gpu.enter()
            call, key = (self.api.write if self.write else self.api.read), number
            while time.perf_counter_ns() < end:
                moved = call(self.handle, self.base, self.block, key % self.keys * self.block, number * self.slot)
                if moved != self.block:
                    print(f"the plain loop moved {moved} of {self.block} bytes", flush=True)
                    os._exit(1)
                key += self.depth
                counts[number] += 1

        threads = [threading.Thread(target=run, args=(number,)) for number in range(self.depth)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts)

    def _batches(self, begin: int) -> int:
        api, depth, block = self.api, self.depth, self.block
        self.gpu.enter()
        params, events = np.zeros(depth, api.io_params_dtype), np.zeros(depth, api.io_events_dtype)
        params["mode"], params["fh"], params["opcode"], params["cookie"] = 1, self.handle, self.write, np.arange(depth)
        place = params["u"]["batch"]
        place["dev_ptr_base"], place["size_"], place["dev_ptr_offset"] = self.base, block, np.arange(depth) * self.slot
        number, limit = np.zeros(1, np.uint32), np.array([0, 1_000_000], np.int64)
        batch = api.batch_io_set_up(depth)
        keys, done = np.arange(depth), 0
        try:
            while time.perf_counter_ns() - begin < self.seconds * 1e9:
                place["file_offset"] = keys % self.keys * block
                keys += depth
                api.batch_io_submit(batch, depth, params.ctypes.data, 0)
                left = depth
                while left:
                    number[0] = left
                    api.batch_io_get_status(batch, left, number.ctypes.data, events.ctypes.data, limit.ctypes.data)
                    ended = events[: int(number[0])]
                    if (ended["ret"] != block).any():
                        sys.exit(f"the plain loop failed: {ended}")
                    left -= len(ended)
                done += depth
        finally:
            api.batch_io_destroy(batch)
        return done

    def _streams(self, begin: int) -> int:
        self.gpu.enter()
        call = self.api.write_async if self.write else self.api.read_async
        table = np.zeros((self.depth, 4), np.int64)  # bytes, byte of the file, byte of the buffer, bytes moved
        streams = [self.gpu.stream() for _ in range(self.depth)]
        events = [self.gpu.event() for _ in range(self.depth)]
        for stream in streams:
            self.api.stream_register(int(stream), 15 if self.block % 4096 == 0 else 7)
        key, done, end = 0, 0, begin + self.seconds * 1e9
        flying = [False] * self.depth
        while any(flying) or time.perf_counter_ns() < end:
            for slot, stream in enumerate(streams):
                if flying[slot]:
                    (status,) = self.gpu.api.cuEventQuery(events[slot])
                    if int(status):
                        continue
                    if table[slot, 3] != self.block:
                        sys.exit(f"the plain loop moved {table[slot, 3]} of {self.block} bytes")
                    flying[slot] = False
                    done += 1
                if time.perf_counter_ns() < end:
                    table[slot] = self.block, key % self.keys * self.block, slot * self.slot, 0
                    places = [table.ctypes.data + slot * 32 + part * 8 for part in range(4)]
                    call(self.handle, self.base, *places, int(stream))
                    self.gpu.api.cuEventRecord(events[slot], stream)
                    key += 1
                    flying[slot] = True
        for stream in streams:
            self.api.stream_deregister(int(stream))
        self.gpu.drop(streams, events)
        return done


def compare(
    path: Path, mode: str, block: int, depth: int, op: str, memory: str, seconds: float, rounds: int
) -> tuple[Compared, str, str, int]:
    keys = max(2 * depth, min(4096, 64 * MIB // block))
    work = Work(
        op=op,  # type: ignore[arg-type]
        block_bytes=block,
        batch=depth,
        keys=keys,
        wait="batch" if mode == "batch" else "operation",
        memory=memory,  # type: ignore[arg-type]
        warmup_ns=20_000_000,
        time_ns=round(seconds * 1e9),
    )
    streams = depth if mode == "stream" else None
    settings = GdsSettings(path=str(path), mode=mode, streams=streams, allow_buffered=True)  # type: ignore[arg-type]
    target = f"{GdsDriver.__module__}:{GdsDriver.__qualname__}"
    worker = Worker(Tier("direct", "gds", settings), target, work)
    worker.verify()
    found = beside(worker.rate, Plain(worker, mode, op, seconds).rate, rounds)
    measured = worker.measure()
    worker.close()
    return found, measured.path, measured.path_evidence, worker.opened.in_flight


def open_tier(path: Path) -> None:
    """Raises DriverError where it cannot be used."""
    GdsDriver().open(
        Tier("direct", "gds", GdsSettings(path=str(path), allow_buffered=True)), Work("read", MIB, 1, 1), ()
    ).close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, required=True, help="a folder on the file system under test")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each window (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="of A B B A (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="all figures go here")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    here(lambda: open_tier(options.path))
    print(f"{'':30}{'block':>9}{'flying':>7}{HEAD}  us/op more  target, path")
    for memory, ops in (("vram", ("read", "write")), ("dram", ("read",))):
        for mode, block, depth in CASES:
            for op in ops:
                found, path, evidence, flying = compare(
                    options.path, mode, block, depth, op, memory, options.seconds, options.rounds
                )
                cost = found.cost_ns(block)
                cheap = mode != "batch" or cost < COST_TARGET_NS
                large = block < MIB or found.ratio >= TARGET
                met = "yes" if cheap and large else "NO"
                rows.append(
                    {"mode": mode, "op": op, "memory": memory, "block_bytes": block, "in_flight": flying}
                    | found.row()
                    | {"cost_ns": cost, "path": path, "path_evidence": evidence}
                )
                what = f"{mode} {op} {memory}"
                print(
                    f"{what:30}{block >> 10:>5} KiB{flying:>7}{found.show()}{cost / 1000:>12.2f}  {met}, {path}",
                    flush=True,
                )
                if options.json:
                    options.json.write_text(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
