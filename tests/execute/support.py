"""Points by hand and a worker inside the test's own process, for tests of the conductor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio
import trio.testing

from kvscen.execute.channel import WorkerDied
from kvscen.execute.conductor import Conductor
from kvscen.execute.loop import Pulse
from kvscen.execute.messages import Reply, Request
from kvscen.execute.session import Session
from kvscen.plan.point import PatternBlock, Plan, Point, Tier, Work
from kvscen.plugin.contract import Driver
from kvscen.plugin.registry import DriverRef, Registry
from kvscen.results.record import TrialRecord


@attrs.frozen
class SweepStandIn:
    trials: int = 2
    order: str = "interleaved"
    seed: int = 1


@attrs.frozen
class NoPattern:
    pass


def make_point(id: str, tier: Tier, work: Work, trials: int = 2, order: str = "interleaved") -> Point:
    sweep = SweepStandIn(trials, order)
    return Point(id, 0, "sweep", {}, PatternBlock("pages", "transfer", NoPattern()), tier, None, sweep, work)


def make_plan(*points: Point) -> Plan:
    return Plan("test", (("test.kvs", "kvs 1\n"),), (), points)


def registry_of(**drivers: type[Driver]) -> Registry:
    class _Entry:
        def __init__(self, driver: type[Driver]) -> None:
            self._driver = driver

        def load(self) -> type[Driver]:
            return self._driver

    refs: dict[str, Any] = {
        name: DriverRef(name, "test", "1", f"{cls.__module__}:{cls.__qualname__}", _Entry(cls))  # type: ignore[arg-type]
        for name, cls in drivers.items()
    }
    return Registry(refs, {})


class Silent:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int, str]] = []

    def phase(self, point: Point, trial: int, what: str) -> None:
        self.phases.append((point.id, trial, what))

    def finished(self, point: Point, record: TrialRecord, seconds: float) -> None:
        pass


#: Called before a request is answered: may return "hang" or "die".
Script = Callable[[Request], str | None]


class InProcessChannel:
    """A session in this process. `script` makes it hang (no reply, no heartbeat), creep (a heartbeat alone) or die."""

    pid = 0

    def __init__(self, script: Script | None = None) -> None:
        self._session = Session()
        self._script = script or (lambda request: None)
        self._request: Request | None = None
        self._creeping = 0
        self.killed = False

    async def started(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send(self, request: Request) -> None:
        await trio.lowlevel.checkpoint()
        self._request = request

    async def receive(self) -> Reply:
        assert self._request is not None
        what = self._script(self._request)
        if what == "hang":
            await trio.sleep_forever()
        if what == "creep":
            self._creeping = 1
            await trio.sleep_forever()
        if what == "die":
            raise WorkerDied("the worker died: killed by SIGSEGV")
        await trio.lowlevel.checkpoint()
        return self._session.handle(self._request)

    def last_words(self) -> str:
        return ""

    def pulse(self) -> Pulse:
        self._creeping += bool(self._creeping)
        return Pulse(self._session.beat.read().progress + self._creeping)

    async def death(self) -> WorkerDied | None:
        await trio.lowlevel.checkpoint()
        return None

    async def kill(self) -> None:
        await trio.lowlevel.checkpoint()
        self.killed = True
        self._session.close()


def conduct(
    plan: Plan,
    registry: Registry,
    folder: Path,
    script: Script | None = None,
    done: frozenset[tuple[str, int]] = frozenset(),
    cancel_after_s: float | None = None,
    channels: list[InProcessChannel] | None = None,
    earlier: Sequence[TrialRecord] = (),
) -> list[TrialRecord]:
    """Run a plan on trio's mock clock with workers in this process; what the journal got. `earlier` are records of a
    run that this one goes on with, and `done` trials that were ok in it."""
    records: list[TrialRecord] = []
    started = channels if channels is not None else []

    async def start(log: Path) -> InProcessChannel:
        await trio.lowlevel.checkpoint()
        started.append(InProcessChannel(script))
        return started[-1]

    async def main() -> None:
        conductor = Conductor(plan, registry, folder, 7, records.append, start, Silent())
        with trio.move_on_after(cancel_after_s if cancel_after_s is not None else float("inf")):
            await conductor.run([*earlier, *(TrialRecord(point, trial, 0, "ok", "", 0) for point, trial in done)])

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return records
