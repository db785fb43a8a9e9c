"""One run of nixlbench: its folder, its processes, its end, and what its table says."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from kvscen.plugin import DriverError, Point
from kvscen_drivers.nixlbench.invocation import Iterations, argv, flags, process_count
from kvscen_drivers.nixlbench.said import Problem, is_crash, problem_of
from kvscen_drivers.nixlbench.settings import PATHS, endpoint
from kvscen_drivers.nixlbench.table import Table, read_table
from kvscen_drivers.program import run_program

# How long the other processes may go on when one has ended badly: they wait for it in vain, or end with it.
_PEER_GRACE_S = 5.0
# The first process is to listen before the second tries: else both would wait.
_PEER_LEAD_S = 0.1
#: The start of the names of the folders that runs get below `filepath`.
PREFIX = "kvscen-nixlbench-"


@attrs.frozen
class Ran:
    """One run that ended. `status` is that of the process that ended badly, else 0; None: killed at the deadline.
    `problem` is there where it did not end well. `signaled`: somebody else asked it to stop, and it did."""

    table: Table
    status: int | None
    problem: Problem | None = None
    signaled: bool = False


@contextlib.asynccontextmanager
async def place_of_run(settings: Any) -> AsyncIterator[Path | None]:
    """A new folder below `filepath`, gone with all that is in it afterwards; None where there is no `filepath`.

    Raises DriverError where there can be none. A run that is killed with `kill -9` leaves it behind.
    """
    import trio

    if settings.filepath is None:
        yield None
        return
    parent = Path(settings.filepath)
    try:
        parent.mkdir(exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
    except FileExistsError as error:
        raise DriverError(f"`filepath = {settings.filepath}` is a file, and nixlbench needs a folder") from error
    except OSError as error:
        missing = f", and its parent {parent.parent} is not there" if isinstance(error, FileNotFoundError) else ""
        raise DriverError(
            f"the folder of `filepath = {settings.filepath}` cannot be used{missing}: {error.strerror}"
        ) from error
    try:
        yield place
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(partial(shutil.rmtree, place, ignore_errors=True))


async def run_once(
    program: str, points: Sequence[Point], counts: Iterations, folder: Path, place: Path | None, deadline_s: float
) -> Ran:
    """Run nixlbench for a group of points. stdout and stderr of each process and the command line stay in `folder`.

    Raises OSError where the program cannot be started.
    """
    settings: Any = points[0].tier.settings
    threads = points[0].work.threads
    given = _of_the_run(settings, points[0].id, place)
    command = argv(program, flags(points, counts, given), settings.flags or ())
    count = process_count(settings)
    said = {
        "argv": command,
        "processes": count,
        "env": list(settings.env or ()),
        "cwd": str((place or folder).absolute()),
    }
    (folder / "command.json").write_text(json.dumps(said) + "\n")
    names = ["", *(f"-{number}" for number in range(2, count + 1))]
    statuses = await _processes(command, names, folder, place, settings, deadline_s)
    stdouts = [_text(folder / f"stdout{name}") for name in names]
    stderrs = [_text(folder / f"stderr{name}") for name in names]
    tables = [read_table(text, threads) for text in stdouts]
    table = next((table for table in tables if table.began), tables[0])
    if statuses is None:
        return Ran(table, None)
    bad = next((status for status in statuses if status), 0)
    output = "".join(stdouts + stderrs)
    if not bad:
        return Ran(table, 0)
    places = {
        "etcd": str(endpoint(settings)),
        "asio": f"{settings.asio_address}:{given.get('asio_port', settings.asio_port)}",
        "group": str(given.get("benchmark_group", settings.benchmark_group)),
    }
    # Of several processes the one that says what is wrong need not be the first to end.
    worst = next((status for status in statuses if status and not is_crash(status)), bad)
    return Ran(table, worst, problem_of(output, "".join(stderrs), worst, places), "Ctrl-C received" in output)


def _of_the_run(settings: Any, point_id: str, place: Path | None) -> dict[str, str]:
    """The flags that are new for each run: what one run leaves behind never meets another."""
    # The program runs in a folder of its own, and paths of a scenario are relative to ours.
    given = {name: str(Path(value).absolute()) for name in PATHS if (value := getattr(settings, name)) is not None}
    if place is not None:
        given["filepath"] = str(place)
    if settings.runtime_type == "ETCD" and settings.benchmark_group is None:
        given["benchmark_group"] = f"kvscen-{point_id}-{os.urandom(4).hex()}"
    if settings.runtime_type == "ASIO" and settings.asio_port is None:
        with socket.socket() as probe:
            probe.bind((settings.asio_address, 0))
            given["asio_port"] = str(probe.getsockname()[1])
    return given


async def _processes(
    command: Sequence[str], names: Sequence[str], folder: Path, place: Path | None, settings: Any, deadline_s: float
) -> list[int] | None:
    """Run the command once for each name: their statuses, None at the deadline. One that was killed because another
    ended badly counts as 0. Nothing of them is left."""
    import trio

    extra = dict(word.partition("=")[::2] for word in settings.env or ())
    env = {**os.environ, **extra} if extra else None
    statuses: list[int] = [0] * len(names)
    late = False
    broken: OSError | None = None

    async def one(number: int, name: str) -> None:
        nonlocal late, broken
        try:
            status = await run_program(
                command,
                folder / f"stdout{name}",
                folder / f"stderr{name}",
                deadline_s - number * _PEER_LEAD_S,
                cwd=str(place or folder),
                env=env,
            )
        except OSError as error:
            broken = error
            nursery.cancel_scope.cancel()
            return
        if status is None:
            late = True
            nursery.cancel_scope.cancel()
            return
        statuses[number] = status
        if status:
            nursery.cancel_scope.deadline = min(nursery.cancel_scope.deadline, trio.current_time() + _PEER_GRACE_S)

    async with trio.open_nursery() as nursery:
        for number, name in enumerate(names):
            nursery.start_soon(one, number, name)
            if number < len(names) - 1:
                await trio.sleep(_PEER_LEAD_S)
    if broken is not None:
        raise broken
    return None if late else statuses


def _text(path: Path) -> str:
    """What a process printed; empty where it was not started any more."""
    return path.read_text("utf-8", errors="replace") if path.exists() else ""


def evidence(settings: Any) -> tuple[str, str]:
    """(path, how it is known): what the flags make certain, for kvscen has not seen a byte."""
    if settings.backend == "POSIX":
        if settings.storage_enable_direct:
            return (
                "direct",
                "nixlbench opens its files with O_DIRECT (storage_enable_direct); kvscen has not seen the bytes",
            )
        return "page cache", "nixlbench opens its files without O_DIRECT; kvscen has not seen the bytes"
    return "unknown", f"reported by nixlbench for the backend {settings.backend}; kvscen has not seen the bytes"
