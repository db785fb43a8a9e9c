"""What a worker does: open a point's tier, lay out its data, verify it, run its trials. One request, one reply, in one
thread.

It knows nothing of processes and pipes (kvscen.worker does), so that it can be tested as it is.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TypeAlias

import attrs
import numpy as np

from kvscen.execute import messages
from kvscen.execute.content import Stamped, content
from kvscen.execute.loop import Beat, LaneLoop, Quota, Shape, run_loops
from kvscen.execute.lost import failed_moves, say_lost
from kvscen.execute.opening import open_stores
from kvscen.execute.pinning import lane_cpus, pinned
from kvscen.execute.planned import planned_requests
from kvscen.execute.ranks import RankPoint, open_rank
from kvscen.execute.slots import MAX_SLOTS, ContractBroken
from kvscen.execute.steps import run_steps
from kvscen.execute.trial import run_trial
from kvscen.measure.gauge import Gauge
from kvscen.pattern.order import Keys, share
from kvscen.pattern.replay_source import ReplaySource
from kvscen.pattern.source import LaneSource, ListSource
from kvscen.plan.point import Work
from kvscen.plan.replay import Replay
from kvscen.plugin.arena import buffers_for
from kvscen.plugin.contract import READ, WRITE, Arena, DriverError, Lane, Layout, Lost, Store, Unavailable
from kvscen.plugin.peer import Load
from kvscen.trace.requests import Requests

_PAGE_BYTES = 4096
# What a lane is given ahead of time: so many times what is in flight, or so many batches, up to so many bytes. Batches
# are many: between two of them nothing is in flight, so that each wait for the core is a gap.
_AHEAD, _BATCHES_AHEAD = 4, 64
_AHEAD_BYTES = 64 << 20
# Points whose buffers are kept for their next trial, most recently used first, up to this many bytes.
_KEPT_ARENA_BYTES = 1 << 30
# Blocks that a cache is given together before requests begin.
_STORED_TOGETHER = 64


@attrs.define
class OpenPoint:
    """A point's tier as this worker holds it open."""

    work: Work
    process: int
    stores: list[Store]
    arenas: list[Arena]
    lanes: list[Lane]
    keys: Keys
    lane_keys: list[Keys]
    lane_cpus: tuple[frozenset[int], ...]
    stride_bytes: int
    in_flight: int
    ahead: int
    content_seed: int
    requests: Requests | None = None

    def replay(
        self, users: int | None, speed: Fraction | None, *, hurry: bool = False, gauge: Gauge | None = None
    ) -> ReplaySource:
        """The operations of requests that are known before, from the first one on."""
        assert self.requests is not None
        return ReplaySource(
            self.requests,
            self.store.decide,
            self.stride_bytes,
            first_key=self.keys.first,
            users=users,
            speed=speed,
            hurry=hurry,
            gauge=gauge,
        )

    def before_replay(self) -> ReplaySource | None:
        """Of a script that begins with blocks that are there: what writes them; None where there are none."""
        requests = self.requests
        if requests is None or requests.script is None or not requests.script.stored:
            return None
        stored = requests.script.stored
        keys = np.arange(stored, dtype=np.int64)
        offsets = np.append(np.arange(0, stored, _STORED_TOGETHER), stored)
        blocks = Requests(keys, offsets, None, stored, requests.block_tokens, True)
        decide = self.store.decide
        return ReplaySource(
            blocks,
            lambda request, _: decide(request, False),
            self.stride_bytes,
            first_key=self.keys.first,
            users=self.in_flight,
        )

    @property
    def is_cache(self) -> bool:
        """Does the tier decide what it keeps?"""
        return type(self.store).decide is not Store.decide

    @property
    def store(self) -> Store:
        return self.stores[-1]

    @property
    def shape(self) -> Shape:
        slot_bytes = _round_up(self.stride_bytes, _PAGE_BYTES)
        if self.work.wait == "batch":
            return Shape(self.in_flight, slot_bytes, self.work.batch, self.work.depth or 1)
        return Shape(self.in_flight, slot_bytes)

    @property
    def measured_shape(self) -> Shape:
        """Where nobody looks at the content of buffers, operations may wait in the lane."""
        return attrs.evolve(self.shape, slots=self.in_flight + self.ahead, ahead=self.ahead)

    def close(self) -> None:
        for lane in self.lanes:
            lane.close()
        for arena in self.arenas:
            arena.close()
        for store in reversed(self.stores):
            store.close()


#: What a lane does outside of trials: (lane, operations, content if it is looked at, how many operations; None: to its
#: end).
Pass: TypeAlias = tuple[int, LaneSource | ListSource | ReplaySource, Stamped | None, int | None]


@attrs.define
class ArmedTrial:
    point: OpenPoint | RankPoint
    seed: int


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


class Session:
    """Answers requests. `beat` is watched by the conductor."""

    def __init__(self, beat: Beat | None = None) -> None:
        self.beat = beat or Beat()
        self._points: OrderedDict[str, OpenPoint | RankPoint] = OrderedDict()
        self._armed: ArmedTrial | None = None

    def handle(self, request: messages.Request) -> messages.Reply:
        """Answer a request. What a driver raises becomes a `Failed`: a driver's fault never ends the worker."""
        try:
            match request:
                case messages.Open():
                    return self._open(request)
                case messages.Prepare():
                    return self._prepare(self._blocks(request.point_id))
                case messages.Meet():
                    return self._meet(request)
                case messages.Verify():
                    point = self._points[request.point_id]
                    if isinstance(point, RankPoint):
                        return point.verify(request.seed)
                    return self._verify(point, request.seed)
                case messages.Precondition():
                    return self._precondition(self._blocks(request.point_id))
                case messages.Arm():
                    return self._arm(request)
                case messages.Go():
                    return self._go(request)
                case messages.AskPeer():
                    return self._peer(self._blocks(request.point_id), request.window_ns)
                case messages.Quit():
                    self.close()
                    return messages.Bye()
        except Unavailable as error:
            return messages.Failed("unavailable", _sentence(error))
        except DriverError as error:
            return messages.Failed("error", _sentence(error), lost=isinstance(error, Lost))
        except ContractBroken as error:
            return messages.Failed("error", str(error))
        except MemoryError:
            return messages.Failed("error", "out of memory: lower depth, threads or the block size")
        except Exception as error:
            # Whatever else a plugin raises: the message names it, the traceback goes to the worker's log.
            traceback.print_exc()
            return messages.Failed("error", f"the driver raised {type(error).__name__}: {_sentence(error)}")

    def close(self) -> None:
        for point in self._points.values():
            point.close()
        self._points.clear()

    def _blocks(self, point_id: str) -> OpenPoint:
        """A point whose lanes read and write blocks."""
        point = self._points[point_id]
        assert isinstance(point, OpenPoint), "a rank has no blocks"
        return point

    # ---- open

    def _open(self, request: messages.Open) -> messages.Reply:
        point = self._points.pop(request.point_id, None)
        fresh = point is None
        if point is None:
            self._make_room()
            point = open_rank(request) if request.work.traffic is not None else self._open_point(request)
        self._points[request.point_id] = point
        store, report = point.store, point.store.path()
        return messages.Opened(
            fresh=fresh,
            stride_bytes=point.stride_bytes,
            alignment_bytes=store.limits.alignment_bytes,
            in_flight=point.in_flight,
            arena_bytes=sum(arena.nbytes for arena in point.arenas),
            pages=point.arenas[0].pages,
            path=report.kind,
            path_evidence=report.evidence,
            virtual=store.virtual,
            card=point.card if isinstance(point, RankPoint) else b"",
        )

    def _make_room(self) -> None:
        while self._points and sum(a.nbytes for p in self._points.values() for a in p.arenas) > _KEPT_ARENA_BYTES:
            _, oldest = self._points.popitem(last=False)
            oldest.close()

    def _open_point(self, request: messages.Open) -> OpenPoint:
        work = request.work
        requests = None
        if work.replay is not None:
            with self.beat.syncing():  # a long trace takes a while, and nothing is in flight
                requests = planned_requests(work.replay)
        stores = open_stores(request.tier, work, request.targets)
        point = None
        arenas: list[Arena] = []
        lanes: list[Lane] = []
        try:
            store = stores[-1]
            limits = store.limits
            most = min(limits.max_in_flight, MAX_SLOTS)
            in_flight = buffers_for(work, most)
            stride = _round_up(work.block_bytes, limits.alignment_bytes)
            ahead = _ahead(work, in_flight, most, stride) if limits.pipelined else 0
            keys = share(work.keys, work.processes, request.process)
            lane_keys = [_within(keys, share(keys.count, work.threads, lane)) for lane in range(work.threads)]
            slot_bytes = _round_up(stride, _PAGE_BYTES)
            # Simulated lanes run on no CPU.
            cpus = ((frozenset(),) * work.threads) if store.virtual else lane_cpus(work, request.process)
            for lane in range(work.threads):
                with pinned(cpus[lane]):  # the memory comes from the node of the CPU that touches it first
                    arena = store.allocate(in_flight * slot_bytes, work.memory)
                    arenas.append(arena)
                    if not store.virtual:  # a simulation moves nothing, however much is in flight
                        _fill(arena, request.content_seed, lane, in_flight, slot_bytes)
                    lanes.append(store.lane(lane, arena))
                    if ahead:
                        lanes[-1].limit(in_flight)
            where = tuple(asked or lane.cpus for asked, lane in zip(cpus, lanes, strict=True))
            point = OpenPoint(
                *(work, request.process, stores, arenas, lanes, keys, lane_keys, where, stride),
                *(in_flight, ahead, request.content_seed, requests),
            )
            return point
        finally:
            if point is None:
                for lane_ in lanes:
                    lane_.close()
                for arena in arenas:
                    arena.close()
                for store in reversed(stores):
                    store.close()

    def _meet(self, request: messages.Meet) -> messages.Reply:
        point = self._points[request.point_id]
        assert isinstance(point, RankPoint)
        point.meet(request.cards, request.place, self.beat)
        return messages.Met()

    # ---- lay out and verify

    def _prepare(self, point: OpenPoint) -> messages.Reply:
        layout = Layout(
            keys=point.keys.count,
            block_bytes=point.work.block_bytes,
            stride_bytes=point.stride_bytes,
            first_key=point.keys.first,
            total_keys=point.work.keys,
        )
        missing = np.asarray(point.store.prepare(layout), np.uint64)
        if not len(missing):
            return messages.Prepared(0)
        written = None
        if not point.store.virtual:  # a simulation has a cache to fill, and no bytes
            written = Stamped(
                point.arenas[0], point.content_seed, point.keys.first, _generations(point.keys), advance=False
            )
        source = ListSource(missing, WRITE, point.stride_bytes)
        self._pass(point, [(0, source, written, len(missing))], attrs.evolve(point.shape, batch=None))
        self._settle(point)
        return messages.Prepared(0 if point.store.virtual else len(missing) * point.stride_bytes)

    def _verify(self, point: OpenPoint, seed: int) -> messages.Reply:
        """Write every key with stamped content, run the pattern's own operations, read every key back.

        The operations are the trials': same order, same lanes, same depth.
        """
        if point.store.virtual:
            return messages.Verified(None)
        work = point.work
        if work.replay is not None:
            return self._verify_replay(point, work.replay, seed)
        generations = _generations(point.keys)
        lanes = _lanes_apart(point)
        stamped = [Stamped(point.arenas[lane], seed, point.keys.first, generations) for lane in lanes]
        kinds: list[int | None] = [WRITE, READ]
        if work.op == "mixed":
            kinds.insert(1, None)
        # A pass touches each key once: draws that favour some would leave others out.
        order = "random" if work.order == "zipf" else work.order
        closed = attrs.evolve(work, rate_per_s=None, order=order)
        for kind in kinds:
            passes: list[Pass] = []
            for lane, content_ in zip(lanes, stamped, strict=True):
                keys = point.lane_keys[lane]
                source = LaneSource(closed, keys, point.stride_bytes, seed=work.seed + lane, kind=kind)
                passes.append((lane, source, content_, keys.count))
            self._pass(point, passes, point.shape)
            mismatch = next((c.mismatch for c in stamped if c.mismatch), "")
            if mismatch:
                return messages.Verified(sum(c.verified_bytes for c in stamped), mismatch=mismatch)
            if kind != READ:
                self._settle(point)
        return messages.Verified(sum(c.verified_bytes for c in stamped), sum(c.misses for c in stamped))

    def _verify_replay(self, point: OpenPoint, replay: Replay, seed: int) -> messages.Reply:
        """The replay itself, as fast as it goes. What a block holds follows from its key: it is the same whenever it is
        written, as the KV of a prompt is."""
        with self.beat.syncing():
            point.store.reset()
        generations = _generations(point.keys)
        stamped = Stamped(point.arenas[0], seed, point.keys.first, generations, advance=False)
        source = point.replay(replay.users or point.in_flight, None, hurry=True)
        for each in (point.before_replay(), source):
            if each is not None:
                self._pass(point, [(0, each, stamped, None)], point.shape)
                self._settle(point)
        return messages.Verified(stamped.verified_bytes, stamped.misses, stamped.mismatch)

    def _precondition(self, point: OpenPoint) -> messages.Reply:
        """Write every key `work.precondition` times, in random order, with what the measured writes write."""
        work = attrs.evolve(point.work, order="random")
        passes: list[Pass] = []
        for lane in _lanes_apart(point):
            keys = point.lane_keys[lane]
            source = LaneSource(work, keys, point.stride_bytes, seed=work.seed + lane, kind=WRITE)
            passes.append((lane, source, None, keys.count * work.precondition))
        self._pass(point, passes, attrs.evolve(point.shape, batch=None))
        self._settle(point)
        return messages.Preconditioned(sum(count or 0 for _, _, _, count in passes) * point.stride_bytes)

    def _pass(self, point: OpenPoint, passes: Sequence[Pass], shape: Shape) -> None:
        loops = [
            LaneLoop(
                point.store,
                point.lanes[lane],
                source,
                shape,
                self.beat,
                content=content_,
                quota=None if count is None else Quota(count),
                cpus=point.lane_cpus[lane],
            )
            for lane, source, content_, count in passes
        ]
        failed_before = {way: count for way, count, _ in failed_moves(point.store.edges())}
        run_loops(loops, point.store)
        for loop in loops:
            if loop.first_error:
                raise DriverError(f"outside the measured window: {loop.first_error}")
        # What nobody asked for again may be lost as well.
        lost = [each for each in failed_moves(point.store.edges()) if each[1] > failed_before.get(each[0], 0)]
        if lost:
            raise DriverError(f"outside the measured window: {say_lost(lost)}")

    def _settle(self, point: OpenPoint) -> None:
        with self.beat.syncing():
            point.store.settle()

    # ---- trials

    def _peer(self, point: OpenPoint, window_ns: int) -> messages.Reply:
        lanes = tuple((keys.first, keys.count) for keys in _lanes_of_all(point.work))
        pages = point.arenas[0].pages
        load = Load(point.work, lanes, point.in_flight, point.stride_bytes, pages, window_ns)
        return messages.PeerFound(point.store.ceiling(load))

    def _arm(self, request: messages.Arm) -> messages.Reply:
        point = self._points[request.point_id]
        with self.beat.syncing():  # a cold cache is one whose dirty pages were written back
            point.store.reset()
        before = point.before_replay() if isinstance(point, OpenPoint) and point.is_cache else None
        if before is not None:
            assert isinstance(point, OpenPoint)
            self._pass(point, [(0, before, None, None)], point.shape)
            self._settle(point)
            point.store.recount()
        self._armed = ArmedTrial(point, request.seed)
        gc.collect()
        return messages.Armed(time.perf_counter_ns())

    def _go(self, request: messages.Go) -> messages.Reply:
        assert self._armed is not None
        armed, self._armed = self._armed, None
        if isinstance(armed.point, RankPoint):
            measured = run_steps(armed.point, request.start_ns)
        else:
            measured = run_trial(armed.point, armed.seed, request.start_ns, self.beat)
        _check(armed.point.store, measured.sample.first_error)
        return measured


def _ahead(work: Work, in_flight: int, most: int, stride_bytes: int) -> int:
    """How many operations beyond those in flight a lane is given ahead of time: the more there are, the more seldom the
    core is asked, and a round costs it about as much for many as for a few. They also run on after the window, so they
    are few where they are large. None where arrivals or requests set the pace, or where no whole batch fits.
    """
    if work.rate_per_s is not None or work.replay is not None:
        return 0
    if work.wait == "batch":
        if in_flight % work.batch:
            return 0
        wanted = min(_BATCHES_AHEAD * work.batch, _AHEAD_BYTES // stride_bytes, MAX_SLOTS - in_flight)
        return wanted // work.batch * work.batch
    return min(_AHEAD * in_flight, max(1, _AHEAD_BYTES // stride_bytes), most - in_flight)


def _lanes_of_all(work: Work) -> Iterator[Keys]:
    """The keys of every lane of every worker."""
    for process in range(work.processes):
        keys = share(work.keys, work.processes, process)
        for lane in range(work.threads):
            yield _within(keys, share(keys.count, work.threads, lane))


def _check(store: Store, first_error: str) -> None:
    """What the store finds wrong after the load, with the operation that failed by it. Raises DriverError."""
    try:
        store.check()
    except DriverError as error:
        if first_error:
            raise DriverError(f"{error} ({first_error})", error.remedy) from error
        raise


def _lanes_apart(point: OpenPoint) -> range:
    """The lanes for a pass over all keys. Where lanes share keys it would touch a key twice: one alone does it then."""
    return range(point.work.threads) if point.lane_keys[0] != point.keys else range(1)


def _within(keys: Keys, part: Keys) -> Keys:
    return Keys(keys.first + part.first, part.count)


def _generations(keys: Keys) -> np.ndarray:
    return np.zeros(keys.count, np.uint64)


def _fill(arena: Arena, seed: int, lane: int, slots: int, slot_bytes: int) -> None:
    """What the measured writes write: no two buffers alike, nothing that compresses."""
    for slot in range(slots):
        key = np.array([(1 << 62) + (lane << 32) + slot], np.uint64)
        arena.put(slot * slot_bytes, slot_bytes, content(seed, key, np.zeros(1, np.uint64), slot_bytes)[0])


def _sentence(error: Exception) -> str:
    """What an error says, with where a composed tier met it and what to do."""
    where = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    remedy = error.remedy if isinstance(error, DriverError) else None
    return f"{error}{where}; {remedy}" if remedy else f"{error}{where}"
