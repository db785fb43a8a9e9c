"""Running a program for a tool driver: in a process group of its own, with a deadline, its output kept in files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trio

# How long a killed group may take to be gone. One in an uninterruptible system call takes longer: it is left behind.
_GONE_S = 5.0


async def run_program(
    argv: Sequence[str],
    stdout: Path,
    stderr: Path,
    deadline_s: float,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> int | None:
    """The exit status (negative: the signal); None if the deadline came first. Nothing of its process group is left.

    It is started without a shell and with no stdin. Cancelled, it kills the group too. Raises OSError where the program
    cannot be started.
    """
    import trio  # here, because checking a scenario does not need it

    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = await trio.lowlevel.open_process(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd, env=env, start_new_session=True
        )
    try:
        with trio.move_on_after(deadline_s):
            return await process.wait()
        return None
    finally:
        await _kill_group(process)


async def _kill_group(process: trio.Process) -> None:
    """Kill the program and all that it started, and wait for it."""
    import trio

    with contextlib.suppress(ProcessLookupError, PermissionError):  # none is left, or only one that is ending
        os.killpg(process.pid, signal.SIGKILL)
    with trio.move_on_after(_GONE_S, shield=True):
        await process.wait()


def ending(status: int) -> str:
    """How a program ended, after its name: "ended with status 3", "was killed by SIGSEGV"."""
    if status > 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def tail(path: Path, nbytes: int) -> str:
    """The end of a file as text; what is not UTF-8 is replaced."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - nbytes))
        return file.read().decode("utf-8", errors="replace")


def last_line(path: Path) -> str:
    """The last line that is not empty, shortened; empty if there is none."""
    lines = [line.strip() for line in tail(path, 4096).splitlines() if line.strip()]
    return shortened(lines[-1]) if lines else ""


def shortened(line: str) -> str:
    return line if len(line) <= 200 else line[:197] + "..."
