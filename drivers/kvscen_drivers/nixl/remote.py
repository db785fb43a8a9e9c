"""Blocks in the memory of another process, reached by a network backend of NIXL's: the process is started here, on this
machine, and ends with the worker."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence

import attrs
import numpy as np

from kvscen.plugin import (
    COMPLETION,
    OK,
    OPERATION,
    READ,
    WRITE,
    DriverError,
    Layout,
    Limits,
    PathReport,
    Rows,
    Tier,
    Work,
    available_bytes,
    show_bytes,
)
from kvscen_drivers.nixl import wheel, wire
from kvscen_drivers.nixl.agent import Place
from kvscen_drivers.nixl.lane import NixlLane
from kvscen_drivers.nixl.settings import NixlSettings, as_dict
from kvscen_drivers.nixl.store import NixlStore, network_verdict

#: How long the target may take to come up, and to touch and register its memory.
_START_S, _BYTES_PER_S = 20.0, 1 << 28
_END_S = 1.0
#: How much is moved to see which way it goes.
_TRIED_BYTES = 1 << 20


class Target:
    """The target process of one tier in this worker, shared by the stores of all its points: its memory is as large as
    the largest of them needs, and the process ends with the last one. Raises DriverError."""

    def __init__(self, tier: Tier) -> None:
        settings: NixlSettings = tier.settings
        self.users = 0
        self.nbytes = 0
        self.place: Place | None = None
        self._tier = tier
        memory = os.memfd_create("kvscen-nixl-activity")
        os.ftruncate(memory, mmap.PAGESIZE)
        #: Counted up by whoever has something to do with it.
        self.sign = np.frombuffer(mmap.mmap(memory, mmap.PAGESIZE), np.int64, 1)
        parameters = json.dumps(settings.plugin_parameters())
        module = "kvscen_drivers.nixl.target"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, settings.backend, parameters, str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=wheel.child_environment(as_dict(settings.env)),
            pass_fds=(memory,),
            start_new_session=True,
        )
        os.close(memory)

    def make_room(self, nbytes: int) -> Place:
        """Where at least so many bytes are. What was written before may be gone. Raises DriverError."""
        if self.place is None or nbytes > self.nbytes:
            answer = self._ask(nbytes)
            if "problem" in answer:
                raise DriverError(
                    f"tier `{self._tier.name}`, target process: {answer['problem']}",
                    "touch fewer keys (`working_set`), in fewer `processes`",
                )
            self.nbytes = nbytes
            self.place = Place("DRAM", int(answer["address"]), 0, bytes.fromhex(answer["metadata"]))
        return self.place

    def _ask(self, nbytes: int) -> dict[str, str]:
        assert self._process.stdin is not None and self._process.stdout is not None
        limit_s = _START_S + nbytes / _BYTES_PER_S
        try:
            self._process.stdin.write(f"{nbytes}\n".encode())
            self._process.stdin.flush()
            if select.select([self._process.stdout], [], [], limit_s)[0]:
                answer: dict[str, str] = json.loads(self._process.stdout.readline())
                return answer
        except (BrokenPipeError, ValueError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
        self.check()
        raise DriverError(
            f"tier `{self._tier.name}`: the target process has no {show_bytes(nbytes)} ready within {limit_s:.0f} s",
            "touch fewer keys (`working_set`), or look into the worker's log",
        )

    def check(self) -> None:
        """Raises DriverError where the process has ended."""
        status = self._process.poll()
        if status is not None:
            raise DriverError(
                f"tier `{self._tier.name}`: the target process, which holds the blocks, ended with status {status}",
                "look into the worker's log, and run again",
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


_target_of: dict[Tier, Target] = {}


class RemoteStore(NixlStore):
    """One point's view of the target's memory."""

    def __init__(self, tier: Tier, work: Work) -> None:
        super().__init__(tier, work)
        network_verdict(tier)
        self.limits = Limits(1, self._settings.max_in_flight, pipelined=self._whole_batches)
        self._path = PathReport("unknown", "nothing has been moved yet")
        # What was laid out, and where; laying out again is needed where either has changed.
        self._laid_out: tuple[Layout, Place | None] | None = None
        if tier not in _target_of:
            _target_of[tier] = Target(tier)
        self._target = _target_of[tier]
        self._target.users += 1
        self._sign = self._target.sign
        self._open = True

    def prepare(self, layout: Layout) -> Sequence[int]:
        needed, free = layout.keys * layout.stride_bytes, available_bytes()
        if free is not None and needed > free + self._target.nbytes:
            raise DriverError(
                f"tier `{self._tier.name}`: {show_bytes(needed)} of blocks do not fit in the {show_bytes(free)} of "
                "free memory, where the target process keeps them",
                "touch fewer keys (`working_set`), in fewer `processes`",
            )
        self._follow(layout, self._target.make_room(needed))
        if self._laid_out == (layout, self._target.place):
            return ()
        self._path = self._tried()
        return range(layout.first_key, layout.first_key + layout.keys)

    def _follow(self, layout: Layout, memory: Place) -> None:
        first = layout.first_key * layout.stride_bytes
        self.turn_to(attrs.evolve(memory, base=(memory.base - first) % 2**64), layout)

    def settle(self) -> None:
        self._laid_out = self._layout, self._target.place

    def reset(self) -> None:
        super().reset()
        self._target.check()
        if self._laid_out is not None and self._laid_out[1] != self._target.place:
            # Another point of the tier needed more, and has written all of it.
            assert self._target.place is not None
            self._follow(self._layout, self._target.place)
            self._laid_out = self._layout, self._target.place

    def _tried(self) -> PathReport:
        """Which way the first bytes go: some operations as the load's, to blocks that hold nothing yet."""
        lanes, layout = [lane for lane in self._lanes if not lane.closed], self._layout
        if not lanes:
            return PathReport("unknown", "no lane is open")
        count = min(-(-_TRIED_BYTES // layout.stride_bytes), layout.keys, self.limits.max_in_flight)
        ops = np.zeros(count, OPERATION)
        ops["key"], ops["bytes"] = np.arange(layout.first_key, layout.first_key + count), layout.stride_bytes
        ops["kind"] = READ if self._work.op == "read" else WRITE
        buffer = lanes[0].view[: layout.stride_bytes]
        kept, before = buffer.copy(), wire.sent_bytes()
        moved = self._run(lanes[0], ops)
        after, buffer[:] = wire.sent_bytes(), kept
        if moved is None:
            return PathReport("unknown", f"{self._what}: the first transfers failed")
        return wire.path_of(self._what, moved, before, after)

    @property
    def _what(self) -> str:
        return f"NIXL {wheel.version()} {self._settings.backend} to a process on this machine"

    def _run(self, lane: NixlLane, ops: Rows) -> int | None:
        """The bytes that the operations moved; None where one failed."""
        out, done = np.zeros(len(ops), COMPLETION), 0
        deadline = time.monotonic() + _START_S
        lane.submit(ops)
        while done < len(ops) and time.monotonic() < deadline:
            done += lane.reap(out[done:], 1, 100_000_000)
        good = done == len(ops) and not np.count_nonzero(out["outcome"] != OK)
        return int(out["bytes"].sum()) if good else None

    def path(self) -> PathReport:
        return self._path

    def locate(self, key: int) -> str:
        return f"block {key} in the memory of process {self._target.pid}"

    def check(self) -> None:
        self._target.check()

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._target.users -= 1
        if not self._target.users:
            self._target.close()
            del _target_of[self._tier]
