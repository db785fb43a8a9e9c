"""One rank of a point with traffic, as a worker holds it: the memory that it sends from, the memory that others write
to, the lane between, and the place where ranks wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.execute import messages
from kvscen.execute.content import POISON, SECTOR_BYTES, content, difference
from kvscen.execute.loop import POLL_NS, Beat, LaneLoop, Quota, Shape
from kvscen.execute.meeting import Meeting
from kvscen.execute.opening import open_stores
from kvscen.execute.slots import MAX_SLOTS
from kvscen.measure.recorder import Recorder
from kvscen.pattern.source import StepSource
from kvscen.plan.point import Work
from kvscen.plan.traffic import Flow, Traffic
from kvscen.plugin.contract import COMPLETION, ERROR, Arena, DriverError, Inbox, Lane, Rows, Store

#: Content is made and compared in pieces that stay in the processor's cache.
_PIECE_BYTES = 1 << 18
#: How long a rank looks for the ends of its transfers before it lets others have its CPU, where these are too few.
_CROWDED_POLL_NS = 20_000


class Ends:
    """Looks at what a rank's transfers come to: when the last of them ended, and how many failed."""

    def __init__(self) -> None:
        self.last_ns = self.errors = 0

    def begin(self) -> None:
        self.last_ns = self.errors = 0

    def before(self, ops: Rows) -> None:
        pass

    def after(self, ops: Rows, completions: Rows) -> None:
        self.last_ns = max(self.last_ns, int(completions["end"].max()))
        self.errors += int(np.count_nonzero(completions["outcome"] == ERROR))


@attrs.define
class Sender:
    """Sends what a rank has to send in a step: the hot loop, begun anew for each step."""

    source: StepSource
    loop: LaneLoop
    quota: Quota
    ends: Ends
    crowded: bool

    def ready(self, step: int) -> None:
        """All that can be done before the step begins."""
        self.quota.give_back(self.source.turn_to(step))
        self.ends.begin()
        self.loop.again()

    def send(self) -> None:
        while self.loop.step():
            if self.crowded:
                os.sched_yield()


@attrs.define
class RankPoint:
    """`card` is what the other ranks need to reach this one. Nothing is sent before `meet`."""

    work: Work
    process: int
    stores: list[Store]
    outbox: Arena
    lane: Lane
    inbox: Inbox
    in_flight: int
    source: StepSource
    #: The ranks that send in each step.
    senders: tuple[tuple[int, ...], ...]
    _meeting: Meeting | None = None

    @property
    def traffic(self) -> Traffic:
        assert self.work.traffic is not None
        return self.work.traffic

    @property
    def store(self) -> Store:
        return self.stores[-1]

    @property
    def card(self) -> bytes:
        return self.inbox.card

    @property
    def arenas(self) -> list[Arena]:
        return [self.outbox, self.inbox.arena]

    @property
    def stride_bytes(self) -> int:
        return 0

    @property
    def meeting(self) -> Meeting:
        assert self._meeting is not None, "the ranks have met"
        return self._meeting

    def meet(self, cards: Sequence[bytes], place: str, beat: Beat) -> None:
        self.store.meet(cards)
        try:
            self._meeting = Meeting(place, self.traffic.ranks, self.process, beat)
        except OSError as error:
            raise DriverError(f"the memory in which ranks wait for each other cannot be opened: {error}") from error

    def idle(self) -> None:
        """What a rank does while it waits for others: the driver may have to help their transfers along."""
        self.lane.reap(_NOTHING, 0, 0)

    def sender(self, recorder: Recorder | None = None) -> Sender:
        source, quota, ends = self.source, Quota(0), Ends()
        crowded = self.meeting.crowded
        loop = LaneLoop(
            self.store,
            self.lane,
            source,
            Shape(self.in_flight, 0),
            self.meeting.beat,
            recorder=recorder,
            content=ends,
            quota=quota,
            poll_ns=_CROWDED_POLL_NS if crowded else POLL_NS,
        )
        return Sender(source, loop, quota, ends, crowded)

    # ---- verification

    def verify(self, seed: int) -> messages.Verified:
        """Send each step once with content that says whose it is, and compare every byte that arrives."""
        sender, meeting = self.sender(), self.meeting
        verified, mismatch = 0, ""
        for number, step in enumerate(self.traffic.steps):
            for flow, here, there in step.placed():
                if flow.receiver == self.process:
                    self._poison(there, flow.nbytes)
                if flow.sender == self.process:
                    self._stamp(seed, number, flow, here)
            sender.ready(number)
            meeting.all(self.idle)
            sender.send()
            meeting.all(self.idle)
            if sender.loop.first_error:
                raise DriverError(f"outside the measured window: {sender.loop.first_error}")
            for flow, _, there in step.placed():
                if flow.receiver != self.process:
                    continue
                mismatch = mismatch or self._compare(seed, number, flow, there)
                verified += flow.nbytes
        return messages.Verified(verified, mismatch=mismatch)

    def _stamp(self, seed: int, step: int, flow: Flow, begin: int) -> None:
        for first, nbytes in _pieces(flow.nbytes):
            self.outbox.view[begin + first : begin + first + nbytes] = _content(seed, step, flow, first, nbytes)
            self.meeting.beat.add(1)

    def _poison(self, begin: int, nbytes: int) -> None:
        self.inbox.arena.view[begin : begin + nbytes] = POISON

    def _compare(self, seed: int, step: int, flow: Flow, begin: int) -> str:
        """What is wrong with what has arrived, else ""."""
        for first, nbytes in _pieces(flow.nbytes):
            found = self.inbox.arena.view[begin + first : begin + first + nbytes]
            wanted = _content(seed, step, flow, first, nbytes)
            self.meeting.beat.add(1)
            if not np.array_equal(found, wanted):
                at, what = difference(wanted, found.copy(), first // SECTOR_BYTES)
                where = f"step {step}, from rank {flow.sender} to rank {flow.receiver}"
                return f"{where}, byte {first + at} of {flow.nbytes}: {what}"
        return ""

    def fill(self, seed: int) -> None:
        """What the measured steps send: nothing that compresses."""
        key = np.array([(1 << 61) + self.process], np.uint64)
        for first, nbytes in _pieces(self.outbox.nbytes):
            made = content(seed, key, np.zeros(1, np.uint64), nbytes, first // SECTOR_BYTES)
            self.outbox.view[first : first + nbytes] = made[0]

    def close(self) -> None:
        self.lane.close()
        for arena in self.arenas:
            arena.close()
        for store in reversed(self.stores):
            store.close()


_NOTHING: Rows = np.zeros(0, COMPLETION)


def open_rank(request: messages.Open) -> RankPoint:
    """The rank `request.process` of the point. Raises DriverError."""
    work, rank = request.work, request.process
    assert work.traffic is not None
    traffic = work.traffic
    stores = open_stores(request.tier, work, request.targets)
    store = stores[-1]
    outbox: Arena | None = None
    lane: Lane | None = None
    try:
        outbox = store.allocate(max(traffic.outbox_bytes(rank), 1), work.memory)
        lane = store.lane(0, outbox)
        inbox = store.offer(max(traffic.inbox_bytes(rank), 1))
        in_flight = min(max(work.batch, 1), store.limits.max_in_flight, MAX_SLOTS)
        senders = tuple(step.senders for step in traffic.steps)
        point = RankPoint(work, rank, stores, outbox, lane, inbox, in_flight, StepSource(traffic, rank), senders)
        point.fill(request.content_seed)
        return point
    except BaseException:
        if lane is not None:
            lane.close()
        if outbox is not None:
            outbox.close()
        for each in reversed(stores):
            each.close()
        raise


def _pieces(nbytes: int) -> Iterator[tuple[int, int]]:
    """(first byte, bytes) of each piece."""
    for first in range(0, nbytes, _PIECE_BYTES):
        yield first, min(_PIECE_BYTES, nbytes - first)


def _content(seed: int, step: int, flow: Flow, first: int, nbytes: int) -> npt.NDArray[np.uint8]:
    """Of a piece of what one rank sends to another in a step."""
    key = np.array([(step << 32) + (flow.sender << 16) + flow.receiver], np.uint64)
    made: npt.NDArray[np.uint8] = content(seed, key, np.zeros(1, np.uint64), nbytes, first // SECTOR_BYTES)[0]
    return made
