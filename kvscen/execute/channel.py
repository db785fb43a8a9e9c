"""The conductor's end of a worker process."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import trio

from kvscen.execute.framing import HEADER_BYTES, header, length_of
from kvscen.execute.loop import Beat, Pulse
from kvscen.execute.messages import Reply, Request

# How long a killed worker may take to go before it counts as one that cannot be killed (in the kernel's D state).
_KILL_GRACE_S = 10.0
_LOG_TAIL_LINES, _LOG_TAIL_CHARACTERS = 3, 600
# A Python and its packages from a slow disk on a busy machine.
_START_S = 60.0
_LOOK_S = 0.002


class WorkerDied(Exception):
    """The worker is gone. The message says how, with the last lines of its log."""


class Unkillable(Exception):
    """The worker does not go even after SIGKILL: it hangs in the kernel, and its tier is lost for this run."""


class Channel(Protocol):
    """What the conductor needs of a worker."""

    async def started(self) -> None:
        """Waits until the worker listens. From then on it is heard (`last_words`). Raises WorkerDied."""

    def last_words(self) -> str:
        """The end of what it has logged since, libraries of its driver included; "" where that is nothing."""

    async def send(self, request: Request) -> None: ...

    async def receive(self) -> Reply: ...

    def pulse(self) -> Pulse:
        """It changes while the worker makes progress."""

    async def kill(self) -> None: ...

    async def death(self) -> WorkerDied | None:
        """How the worker has ended; None: it has not."""

    @property
    def pid(self) -> int: ...


class ProcessChannel:
    """A worker process, spawned from the main thread: the kernel's parent-death signal is bound to the spawning thread,
    and trio's own helper spawns from a thread that ends."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._heard_from = 0
        request_read, request_write = os.pipe()
        reply_read, reply_write = os.pipe()
        memory = os.memfd_create("kvscen-beat")
        os.ftruncate(memory, mmap.PAGESIZE)
        self._memory = mmap.mmap(memory, mmap.PAGESIZE)
        self._beat = Beat.shared(self._memory)
        with log.open("ab") as log_file:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "kvscen.worker",
                    *map(str, (request_read, reply_write, memory, os.getpid())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                pass_fds=(request_read, reply_write, memory),
                # Ctrl-C is the conductor's: it ends the workers itself.
                start_new_session=True,
            )
        for fd in (request_read, reply_write, memory):
            os.close(fd)
        self._requests = trio.lowlevel.FdStream(request_write)
        self._replies = trio.lowlevel.FdStream(reply_read)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def started(self) -> None:
        """Its start is no part of what a scenario's `timeout` limits."""
        with trio.move_on_after(_START_S):
            while not self._beat.read().progress:
                if self._process.poll() is not None:
                    raise await self._death()
                await trio.sleep(_LOOK_S)
            self._heard_from = self._log.stat().st_size
            return
        raise WorkerDied(f"the worker did not start within {_START_S:g} s")

    async def send(self, request: Request) -> None:
        message = pickle.dumps(request, protocol=5)
        try:
            await self._requests.send_all(header(len(message)) + message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise await self._death() from None

    async def receive(self) -> Reply:
        head = await self._exactly(HEADER_BYTES)
        reply: Reply = pickle.loads(await self._exactly(length_of(head)))
        return reply

    async def _exactly(self, count: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < count:
            try:
                piece = await self._replies.receive_some(count - len(pieces))
            except trio.ClosedResourceError:
                piece = b""
            if not piece:
                raise await self._death()
            pieces += piece
        return bytes(pieces)

    async def death(self) -> WorkerDied | None:
        """How the worker has ended; None: it has not."""
        return None if self._process.poll() is None else await self._death()

    async def _death(self) -> WorkerDied:
        """Why the worker is gone: its pipe is closed, so it ends now."""
        with trio.move_on_after(_KILL_GRACE_S):
            while self._process.poll() is None:
                await trio.sleep(0.01)
        code = self._process.poll()
        if code is None:
            return WorkerDied("the worker closed its pipe but did not end")
        how = f"exit code {code}"
        if code < 0:
            how = f"killed by {signal.Signals(-code).name}"
            if code == -signal.SIGKILL:
                how += " (out of memory, or someone killed it)"
        tail = self._tail(0)
        return WorkerDied(f"the worker died: {how}{f'; its last words: {tail}' if tail else ''}")

    def last_words(self) -> str:
        return self._tail(self._heard_from)

    def _tail(self, first: int) -> str:
        try:
            text = self._log.read_bytes()[first:].decode(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " | ".join(lines[-_LOG_TAIL_LINES:])[-_LOG_TAIL_CHARACTERS:]

    def pulse(self) -> Pulse:
        return self._beat.read()

    async def kill(self) -> None:
        """End the worker and wait for its end. Raises Unkillable."""
        with trio.CancelScope(shield=True):
            await self._requests.aclose()
            await self._replies.aclose()
            if self._process.poll() is None:
                self._process.kill()
            with trio.move_on_after(_KILL_GRACE_S):
                while self._process.poll() is None:
                    await trio.sleep(0.005)
            if self._process.poll() is None:
                raise Unkillable(
                    f"the worker (process {self.pid}) does not end after SIGKILL: it hangs in the kernel; "
                    "the tier is given up for this run"
                )
