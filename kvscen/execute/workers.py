"""The workers of a run: started when a tier needs them, asked under a watchdog, killed when they hang."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import attrs
import trio

from kvscen.execute import messages
from kvscen.execute.channel import Channel, Unkillable, WorkerDied
from kvscen.plan.point import Point
from kvscen.results.record import Status

# Tiers whose workers are kept between trials. More would only hold memory: a tier that comes back is opened again.
_KEPT_TIERS = 4
_WATCH_S = 0.1

R = TypeVar("R")


class Hang(Exception):
    """No progress for as long as the scenario allows. The message says what did not happen."""


class Late(Exception):
    """Progress, but the trial did not end in its time."""


class TrialFailed(Exception):
    """The trial has no figures. `whole_point`: the point's other trials would end alike, so they are not run. `lost`:
    the worker that says so is of no more use to its tier."""

    def __init__(self, status: Status, reason: str, whole_point: bool, lost: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.whole_point = whole_point
        self.lost = lost


@attrs.define
class Workers:
    """`start` makes a worker that writes to the given log. `lost_tiers`: those with a worker that cannot be killed, and
    why.
    """

    folder: Path
    start: Callable[[Path], Awaitable[Channel]]
    lost_tiers: dict[str, str] = attrs.field(factory=dict, init=False)
    _groups: OrderedDict[str, list[Channel]] = attrs.field(factory=OrderedDict, init=False)

    async def of(self, point: Point) -> list[Channel]:
        """The workers of a point's tier, one for each client process."""
        name = point.tier.name
        group = self._groups.pop(name, [])
        self._groups[name] = group
        while len(self._groups) > _KEPT_TIERS:
            await self.close(next(iter(self._groups)))
        while len(group) < point.work.processes:
            log = self.folder / "logs" / f"{name}-{len(group)}.log"
            log.parent.mkdir(exist_ok=True)
            group.append(await self.start(log))
        return group[: point.work.processes]

    async def kill(self, point: Point, failed: TrialFailed) -> TrialFailed:
        """End the tier's workers, so that the next point gets fresh ones; what to raise then."""
        group = self._groups.pop(point.tier.name, [])
        for channel in group:
            try:
                await channel.kill()
            except Unkillable as error:
                self.lost_tiers[point.tier.name] = str(error)
                return TrialFailed("hang", f"{failed.reason}; {error}", True)
        return failed

    async def close(self, tier_name: str) -> None:
        """Let a tier's workers close what they hold; what does not answer is killed."""
        group = self._groups.pop(tier_name)
        for channel in group:
            with trio.move_on_after(2):
                try:
                    await channel.send(messages.Quit())
                    await channel.receive()
                except WorkerDied:
                    pass
            try:
                await channel.kill()
            except Unkillable as error:
                self.lost_tiers[tier_name] = str(error)

    async def close_all(self) -> None:
        with trio.CancelScope(shield=True):
            for name in list(self._groups):
                await self.close(name)


async def ask(
    channel: Channel,
    request: messages.Request,
    expected: type[R],
    point: Point,
    deadline_ns: int | None = None,
) -> R:
    """Send a request and wait for its reply, watching the worker's pulse. While the worker makes durable what was
    written, no operation can finish: that has a limit of its own, and does not count towards `deadline_ns`. Raises
    Hang, Late, WorkerDied, TrialFailed.
    """
    await channel.send(request)
    reply: messages.Reply | None = None
    died: WorkerDied | None = None
    ended: Hang | Late | None = None
    stall_s, sync_s = point.work.timeout_ns / 1e9, point.work.sync_timeout_ns / 1e9

    async def watch(scope: trio.CancelScope) -> None:
        nonlocal ended
        looked_at = moved_at = trio.current_time()
        left_s = float("inf") if deadline_ns is None else deadline_ns / 1e9
        last = channel.pulse()
        while ended is None:
            await trio.sleep(min(_WATCH_S, stall_s / 4, sync_s / 4))
            now, pulse = trio.current_time(), channel.pulse()
            if pulse != last:
                last, moved_at = pulse, now
            if not pulse.syncing:
                left_s -= now - looked_at
            looked_at = now
            if pulse.syncing and now - moved_at >= sync_s:
                ended = Hang(f"what was written was not durable after {sync_s:g} s (sync_timeout)")
            elif not pulse.syncing and now - moved_at >= stall_s:
                ended = Hang(f"no operation finished for {stall_s:g} s (timeout)")
            elif left_s <= 0:
                ended = Late()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, nursery.cancel_scope)
        try:
            reply = await channel.receive()
        except WorkerDied as error:
            # Raised below: out of the nursery it would arrive as a group of one.
            died = error
        nursery.cancel_scope.cancel()
    if died is not None:
        raise died
    if ended is not None and reply is None:
        raise ended
    if isinstance(reply, messages.Failed):
        raise TrialFailed(reply.status, reply.reason, whole_point=True, lost=reply.lost)
    assert isinstance(reply, expected), reply
    return reply


async def gather(calls: Sequence[Callable[[], Awaitable[R]]]) -> list[R]:
    """All at the same time; the first failure ends the others and is raised alone."""
    results: dict[int, R] = {}
    failures: list[Exception] = []

    async def one(number: int, call: Callable[[], Awaitable[R]], scope: trio.CancelScope) -> None:
        try:
            results[number] = await call()
        except (Hang, Late, WorkerDied, TrialFailed) as error:
            failures.append(error)
            scope.cancel()

    async with trio.open_nursery() as nursery:
        for number, call in enumerate(calls):
            nursery.start_soon(one, number, call, nursery.cancel_scope)
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(calls))]
