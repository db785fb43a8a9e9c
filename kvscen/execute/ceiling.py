"""Runs a trial's peer (kvscen.plugin.peer) beside it: what it measured, or one sentence why there is nothing.

It never costs a trial: a peer that is missing, fails or hangs leaves empty columns and its sentence.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import attrs
import trio

from kvscen.plan.columns import Cell
from kvscen.plan.point import Work
from kvscen.plugin.contract import DriverError
from kvscen.plugin.peer import Peer, PeerFigures

#: How long a peer may take beyond its own time: to start, to make its threads, to write its figures.
GRACE_S = 20.0
_POLL_S = 0.05
# How long a killed peer may take to be gone. One in an uninterruptible system call takes longer: it is left behind.
_GONE_S = 5.0
# A running peer is looked at so often in its time, and the last look counts: it makes itself ready first.
_LOOKS = 4
# The shortest time from which a CPU share is told.
_LEAST_CPU_NS = 100_000_000


class NoCeiling(Exception):
    """The peer measured nothing. The message is one sentence for the table."""


async def run_peer(peer: Peer, folder: Path, grace_s: float = GRACE_S) -> PeerFigures:
    """Run it to its end; its command line and output are kept in `folder`. Raises NoCeiling. Nothing of its process
    group is left, whatever happened; it is killed with this process, too."""
    if shutil.which(peer.argv[0]) is None:
        raise NoCeiling(peer.missing)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "command.json").write_text(json.dumps({"argv": peer.argv, "env": dict(peer.env)}, indent=1) + "\n")
    stdout, stderr = folder / "stdout", folder / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        # Spawned here and not by trio, whose helper thread ends: that would end the peer (kvscen.execute.leash).
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "kvscen.execute.leash", str(os.getpid()), *peer.argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, **peer.env},
            start_new_session=True,
        )
    observed, looks = "", 0
    cpu = CPU(process.pid)
    began, deadline_s = trio.current_time(), peer.duration_s + grace_s
    try:
        while process.poll() is None:
            await trio.sleep(_POLL_S)
            elapsed = trio.current_time() - began
            if elapsed > deadline_s:
                raise NoCeiling(f"{peer.name} did not end within {deadline_s:.3g} s and was killed")
            if looks < _LOOKS and elapsed >= peer.duration_s * (looks + 1) / _LOOKS:
                looks += 1
                observed = peer.observe(process.pid) or observed
            if elapsed >= peer.duration_s / 2:
                cpu.look()
    finally:
        await _end(process)
    if process.returncode:
        raise NoCeiling(f"{peer.name} {_ending(process.returncode)}{_last_words(stderr) or _last_words(stdout)}")
    try:
        return attrs.evolve(peer.read(stdout.read_text(errors="replace"), observed), cpu_s_per_s=cpu.share)
    except DriverError as error:
        raise NoCeiling(str(error)) from None


@attrs.define
class CPU:
    """The CPU time of a whole process, by the kernel's clock for it: all threads, those that ended included. What it
    says of itself may leave out some of them, and is often rounded to milliseconds.
    """

    pid: int
    first: tuple[int, int] | None = None
    last: tuple[int, int] | None = None

    def look(self) -> None:
        # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of the kernel's posix-timers_types.h.
        with suppress(OSError):  # it has just ended
            self.last = time.perf_counter_ns(), time.clock_gettime_ns((~self.pid << 3) | 2)
            self.first = self.first or self.last

    @property
    def share(self) -> float | None:
        """CPU seconds in a second, between the first look and the last one; None where they are too close."""
        if self.first is None or self.last is None or self.last[0] - self.first[0] < _LEAST_CPU_NS:
            return None
        return (self.last[1] - self.first[1]) / (self.last[0] - self.first[0])


async def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # none of the group is left, or only one that is ending
        os.killpg(process.pid, signal.SIGKILL)
    with trio.move_on_after(_GONE_S, shield=True):
        while process.poll() is None:
            await trio.sleep(0.01)


def _ending(status: int) -> str:
    if status > 0:
        return f"ended with status {status}"
    return f"was killed by {signal.Signals(-status).name}"


def _last_words(path: Path) -> str:
    """The last line that it wrote, for the end of a sentence."""
    lines = path.read_text(errors="replace").strip().splitlines()
    return f": {lines[-1].strip()}" if lines and not lines[-1].startswith("}") else ""


def held_against(
    found: PeerFigures | str, work: Work, measures: Mapping[str, Cell]
) -> Mapping[str, int | float | str | None]:
    """The columns of a trial beside which `found` was measured, or for which there is the sentence `found`. Bytes are
    the caller's, without padding, on both sides."""
    if isinstance(found, str):
        return {"ceiling_note": found}
    figures, ours = found, measures.get("throughput_bytes_per_s")
    ceiling = figures.operations_per_s * work.block_bytes
    ratio = float(ours) / ceiling if ours is not None and ceiling else None
    return {
        "ceiling_bytes_per_s": ceiling,
        "ceiling_ratio": ratio,
        "ceiling_operations_per_s": figures.operations_per_s,
        **{f"ceiling_latency_{name}_ns": value for name, value in figures.latency_ns.items()},
        "ceiling_cpu_s_per_gib": figures.cpu_s_per_s and figures.cpu_s_per_s / (ceiling / (1 << 30)),
        "ceiling_tool": figures.tool,
    }
