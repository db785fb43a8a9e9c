"""Runs a plan: which trial next, in which worker, how long it may take, and what becomes of it. It never carries a
block.

A trial always ends in exactly one record. A worker that hangs is killed and costs its point; a worker that dies
costs its trial; a tier that cannot be used here costs its points. The rest goes on.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import attrs
import trio

from kvscen.execute import messages
from kvscen.execute.ceiling import GRACE_S, NoCeiling, held_against, run_peer
from kvscen.execute.channel import Channel, WorkerDied
from kvscen.execute.meeting import meeting_place
from kvscen.execute.opening import targets_of
from kvscen.execute.order import stages_in_order
from kvscen.execute.summary import Summary, summarise
from kvscen.execute.tools import Tools
from kvscen.execute.workers import Hang, Late, TrialFailed, Workers, ask, gather
from kvscen.plan.point import Find, Plan, Point
from kvscen.plan.seek import Seen
from kvscen.plugin.contract import Tool
from kvscen.plugin.peer import PeerFigures
from kvscen.plugin.registry import PluginError, Registry
from kvscen.results.record import Status, TrialRecord
from kvscen.results.schema import misfit_of_record
from kvscen.results.searches import judge_candidate

# From "all workers are ready" to the common start of their load.
_START_LEAD_NS = 5_000_000
# From the moment at which others notice that a worker is gone to the one at which the kernel says so.
_DYING_S = 0.05


class Watcher(Protocol):
    """Who wants to see how the run goes on (the progress display)."""

    def phase(self, point: Point, trial: int, what: str) -> None:
        """What happens now: "laying out data", "verifying", "measuring"."""

    def finished(self, point: Point, record: TrialRecord, seconds: float) -> None: ...


@attrs.define
class Conductor:
    """`journal` takes each finished record. `start_channel` starts a worker that writes to the given log."""

    plan: Plan
    registry: Registry
    folder: Path
    content_seed: int
    journal: Callable[[TrialRecord], None]
    start_channel: Callable[[Path], Awaitable[Channel]]
    watcher: Watcher
    clock_ns: Callable[[], int] = time.time_ns
    _workers: Workers = attrs.field(init=False)
    _given_up: dict[str, tuple[Status, str]] = attrs.field(factory=dict, init=False)
    _verified: dict[str, int | None] = attrs.field(factory=dict, init=False)
    _preconditioned: set[str] = attrs.field(factory=set, init=False)
    _content_seeds: int = attrs.field(default=0, init=False)
    _windows: dict[str, int] = attrs.field(factory=dict, init=False)
    _done: frozenset[tuple[str, int]] = attrs.field(default=frozenset(), init=False)
    _stage: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _candidates: dict[str, dict[int, TrialRecord]] = attrs.field(init=False)
    _tools: Tools = attrs.field(init=False)

    @_workers.default
    def _start_workers(self) -> Workers:
        return Workers(self.folder, self.start_channel)

    @_tools.default
    def _start_tools(self) -> Tools:
        return Tools(self.plan, self.folder, self._is_wanted, self.clock_ns)

    @_candidates.default
    def _no_trials(self) -> dict[str, dict[int, TrialRecord]]:
        return {candidate.point_id: {} for find in self.plan.finds for candidate in find.candidates}

    async def run(self, earlier: Iterable[TrialRecord] = ()) -> None:
        """Run every trial that is not ok among the `earlier` ones, and of a search's candidates those that it needs.
        Cancelled: the trial under way is recorded as interrupted."""
        good = [record for record in earlier if record.status == "ok"]
        self._done = frozenset((record.point_id, record.trial) for record in good)
        for record in good:
            self._remember(record)
        numbers = count(1)
        try:
            for stage in stages_in_order(self.plan, self._judge):
                self._stage = frozenset(point.id for point, _ in stage)
                for (point, trial), number in zip(stage, numbers, strict=False):
                    if (point.id, trial) not in self._done:
                        await self._run_trial(point, trial, number)
        finally:
            await self._workers.close_all()

    async def _run_trial(self, point: Point, trial: int, number: int) -> None:
        began, started = trio.current_time(), self.clock_ns()
        record = None
        try:
            record = await self._record(point, trial, number, started)
        finally:
            # Nurseries turn a cancellation into groups: it is known by the scope, not by the exception's type.
            if record is None and trio.current_effective_deadline() == float("-inf"):
                interrupted = "the run was interrupted"
                self.journal(TrialRecord(point.id, trial, number, "interrupted", interrupted, started))
        record = _fitting(record)
        self.journal(record)
        self._remember(record)
        self.watcher.finished(point, record, trio.current_time() - began)

    def _remember(self, record: TrialRecord) -> None:
        """Keep what a search is judged by."""
        kept = self._candidates.get(record.point_id)
        if kept is not None:
            which = (record.point_id, record.trial, record.trial_order, record.status, record.reason)
            kept[record.trial] = TrialRecord(
                *which, record.started_unix_ns, measures=record.measures, tiers=record.tiers
            )

    def _judge(self, find: Find, point: Point) -> Seen:
        judged = judge_candidate(find, point, list(self._candidates[point.id].values()))
        assert judged is not None, "all its trials have ended"
        return judged.seen

    async def _record(self, point: Point, trial: int, number: int, started: int) -> TrialRecord:
        def record(status: Status, reason: str, **parts: Any) -> TrialRecord:
            return TrialRecord(point.id, trial, number, status, reason, started, **parts)

        if point.id in self._given_up:
            return record(*self._given_up[point.id])
        if point.tier.name in self._workers.lost_tiers:
            return record("hang", f"not run: {self._workers.lost_tiers[point.tier.name]}")
        try:
            driver = self.registry.driver(point.tier.driver)
            if isinstance(driver, Tool):
                return await self._run_tool(driver, point, trial, record)
            summary, workers = await self._measure(point, trial)
        except PluginError as error:
            return self._fail(record, point, TrialFailed("error", str(error), True), trial)
        except TrialFailed as failed:
            return self._fail(record, point, failed, trial)
        return record(
            summary.status,
            summary.reason,
            measures=summary.measures,
            latency=summary.latency,
            timeline=summary.timeline,
            tiers=summary.tiers,
            steps=summary.steps,
            users=summary.users,
            found=summary.found,
            occupancy=summary.occupancy,
            workers=workers,
        )

    def _fail(
        self, record: Callable[[Status, str], TrialRecord], point: Point, failed: TrialFailed, trial: int
    ) -> TrialRecord:
        if failed.whole_point:
            again = failed.reason if failed.status == "unavailable" else f"not run after trial {trial}: {failed.reason}"
            self._given_up[point.id] = (failed.status, again)
        return record(failed.status, failed.reason)

    # ---- drivers with a store

    async def _measure(self, point: Point, trial: int) -> tuple[Summary, tuple[Mapping[str, Any], ...]]:
        group = await self._workers.of(point)
        try:
            opened = await self._set_up(group, point, trial)
            beside = await self._ceiling(group, point, trial, before=True)
            self.watcher.phase(point, trial, "measuring")
            parts = await self._load(group, point, trial)
        except Hang as hang:
            reason = f"{hang}; the worker was killed"
            failed = await self._workers.kill(point, TrialFailed("hang", reason, True))
            raise _quoting(failed, group) from None
        except Late:
            reason = "the load did not end in its time although operations went on; the worker was killed"
            raise await self._workers.kill(point, TrialFailed("incomplete", reason, False)) from None
        except WorkerDied as error:
            raise await self._workers.kill(point, TrialFailed("error", str(error), False)) from None
        except TrialFailed as failed:
            if len(group) > 1:
                # Where a worker has died, that is the reason, whatever the others say of it; it may be dying yet.
                await trio.sleep(_DYING_S)
                died = [death for channel in group if (death := await channel.death()) is not None]
                why = TrialFailed("error", str(died[0]), False) if died else failed
                # The others may still be at it, or wait for the one that failed: their replies would come too late.
                raise await self._workers.kill(point, why) from None
            if failed.lost:
                raise await self._workers.kill(point, failed) from None
            raise
        summary = summarise(point, opened, parts, self._verified.get(point.id))
        self._windows[point.id] = int(summary.measures["window_ns"] or 0)
        if beside is None and summary.status == "ok":
            beside = await self._ceiling(group, point, trial, before=False)
        if beside is not None:
            measures = {**summary.measures, **held_against(beside, point.work, summary.measures)}
            summary = attrs.evolve(summary, measures=measures)
        workers = tuple(
            _worker_row(number, channel, part) for number, (channel, part) in enumerate(zip(group, parts, strict=True))
        )
        return summary, workers

    async def _set_up(self, group: list[Channel], point: Point, trial: int) -> messages.Opened:
        """Open the point in each worker; the first time lay out its data and verify."""
        targets = targets_of(point.tier, self.registry)
        replies = []
        for channel in group:
            await channel.started()
        for process, channel in enumerate(group):
            request = messages.Open(point.id, point.tier, point.work, process, targets, self.content_seed)
            opened = await ask(channel, request, messages.Opened, point)
            if opened.fresh and point.work.traffic is None:
                self.watcher.phase(point, trial, "laying out data")
                await ask(channel, messages.Prepare(point.id), messages.Prepared, point)
            replies.append(opened)
        if point.work.traffic is not None and any(opened.fresh for opened in replies):
            with meeting_place(len(group)) as place:
                meet = messages.Meet(point.id, tuple(opened.card for opened in replies), place)
                await gather([partial(ask, channel, meet, messages.Met, point) for channel in group])
        if point.id not in self._verified:
            self._verified[point.id] = await self._verify(group, point, trial)
        if point.work.precondition and point.id not in self._preconditioned:
            # After the verification, which writes the data set in another order.
            self.watcher.phase(point, trial, "preconditioning")
            asked, done = messages.Precondition(point.id), messages.Preconditioned
            await gather([partial(ask, channel, asked, done, point) for channel in group])
            self._preconditioned.add(point.id)
        return replies[0]

    async def _verify(self, group: list[Channel], point: Point, trial: int) -> int | None:
        if point.work.verify == "off":
            return None
        self.watcher.phase(point, trial, "verifying")
        # Points of one tier share its data: with content of its own, none takes another's write for its own.
        self._content_seeds += 1
        request = messages.Verify(point.id, self.content_seed + self._content_seeds)
        answers = await gather([partial(ask, channel, request, messages.Verified, point) for channel in group])
        for answer in answers:
            if answer.mismatch:
                raise TrialFailed("corrupt", f"the content is not what was written: {answer.mismatch}", True)
        known = [answer.verified_bytes for answer in answers if answer.verified_bytes is not None]
        return sum(known) if known else None

    async def _load(self, group: list[Channel], point: Point, trial: int) -> list[messages.Measured]:
        seed = point.work.seed + (trial << 20)
        ready = await gather(
            [partial(ask, channel, messages.Arm(point.id, seed), messages.Armed, point) for channel in group]
        )
        start = max(answer.now_ns for answer in ready) + _START_LEAD_NS
        work = point.work
        load_ns = None if work.time_ns is None else work.warmup_ns + (work.cap_ns or 0) + work.time_ns
        # A pass of steps may take longer than the time, and goes to its end.
        deadline_ns = None if load_ns is None or work.traffic is not None else load_ns + 2 * work.timeout_ns
        return await gather(
            [partial(ask, channel, messages.Go(start), messages.Measured, point, deadline_ns) for channel in group]
        )

    async def _ceiling(self, group: list[Channel], point: Point, trial: int, before: bool) -> PeerFigures | str | None:
        """What the point's peer measured, or why it did not; None where none is asked for, or it is not its turn.

        It comes after the odd trials and before the even ones, A B B A, so that drift falls on both alike. Its window
        is as long as the trial's; where that is known only from trials, the first one has to come first.
        """
        window_ns = point.work.time_ns or self._windows.get(point.id)
        if point.work.ceiling == "none" or not window_ns or (before and trial % 2):
            return None
        self.watcher.phase(point, trial, f"measuring {point.work.ceiling}")
        try:
            asked = messages.AskPeer(point.id, window_ns)
            found = await ask(group[0], asked, messages.PeerFound, point)
            # It makes its writes durable too, and may take as long for that.
            grace_s = GRACE_S + (point.work.sync_timeout_ns / 1e9 if point.work.durability == "end" else 0)
            return await run_peer(found.peer, self.folder / "ceiling" / f"{point.id}-{trial}", grace_s)
        except NoCeiling as error:
            return str(error)
        # The trial is not touched by what follows; what is wrong with the worker comes up with its next request.
        except Hang:
            return "no ceiling: the worker did not answer"
        except (TrialFailed, WorkerDied) as error:
            return str(error)

    # ---- tools

    def _is_wanted(self, point: Point, trial: int) -> bool:
        return point.id in self._stage and point.id not in self._given_up and (point.id, trial) not in self._done

    async def _run_tool(self, tool: Tool, point: Point, trial: int, record: Callable[..., TrialRecord]) -> TrialRecord:
        self.watcher.phase(point, trial, "measuring")
        row, started = await self._tools.measure(tool, point, trial)
        if row.status in ("hang", "unavailable"):
            self._fail(record, point, TrialFailed(row.status, row.reason, True), trial)
        return attrs.evolve(record(row.status, row.reason, measures=row.measures), started_unix_ns=started)


def _quoting(failed: TrialFailed, group: list[Channel]) -> TrialFailed:
    """With what the workers said before they were killed."""
    said = "; ".join(words for channel in group if (words := channel.last_words()))
    if not said:
        return failed
    return TrialFailed(failed.status, f"{failed.reason}; its last words: {said}", failed.whole_point, failed.lost)


def _fitting(record: TrialRecord) -> TrialRecord:
    """The record, or an error in its place where a driver's own figures do not fit the tables."""
    problem = misfit_of_record(record)
    if problem is None:
        return record
    reason = f"the driver's figures do not fit the tables: {problem}"
    return TrialRecord(record.point_id, record.trial, record.trial_order, "error", reason, record.started_unix_ns)


def _worker_row(number: int, channel: Channel, part: messages.Measured) -> dict[str, Any]:
    return {
        "worker": number,
        "host": part.facts["host"],
        "rank": number,
        "pid": channel.pid,
        "cpus": part.facts["cpus"],
        "numa_node": part.facts["numa_node"],
        "operations": part.sample.operations,
        "errors": part.sample.load_errors,
        "logical_bytes": part.logical_bytes,
        "cpu_ns": part.cpu_ns,
        "window_start_ns": part.window_start_ns,
        "window_end_ns": part.window_end_ns,
        "start_late_ns": part.late_ns,
        "clock_offset_ns": 0,
        "clock_bound_ns": 0,
    }
