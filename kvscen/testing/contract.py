"""The driver contract as a test suite, for authors of drivers. Subclass it in a test file and say which tier is meant:

    from kvscen.testing.contract import DriverContract

    class TestMyDriver(DriverContract):
        @pytest.fixture
        def driver(self):
            return MyDriver()

        @pytest.fixture
        def settings(self, tmp_path):
            return MySettings(path=str(tmp_path / "data"))

Every method whose name begins with `test_` is then a test of that driver. Needs pytest.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from kvscen.language.schema import Finding, settings_of, show_settings
from kvscen.plugin import (
    ANY_BUFFER,
    COMPLETION,
    ERROR,
    KINDS,
    OK,
    OPERATION,
    READ,
    WRITE,
    Arena,
    Availability,
    Driver,
    DriverError,
    Footprint,
    Lane,
    Layout,
    Memory,
    PathReport,
    Rows,
    Store,
    Tier,
    Tool,
    VirtualLane,
    VirtualStore,
    Work,
)

#: A lane that gives nothing for so long has lost an operation.
STALL_S = 20.0


class DriverContract:
    """The tests. Override `driver` and `settings`; `tier`, `work`, `levels` and the class attributes where need be."""

    #: Blocks of this size, so many of them. Neither is a power of two, so that what is rounded shows.
    block_bytes: ClassVar[int] = 5 * 4096 + 512
    keys: ClassVar[int] = 24
    #: False for a driver that keeps no data (a simulation): contents are not compared.
    holds_data: ClassVar[bool] = True
    #: Where the buffers are: "dram" or "vram".
    memory: ClassVar[Memory] = "dram"

    @pytest.fixture
    def driver(self) -> Driver:
        raise NotImplementedError("override the fixture `driver`")

    @pytest.fixture
    def settings(self) -> Any:
        raise NotImplementedError("override the fixture `settings`: an instance of the driver's settings class")

    @pytest.fixture
    def tier(self, driver: Driver, settings: Any) -> Tier:
        return Tier("under_test", driver.name, settings, virtual=driver.virtual)

    @pytest.fixture
    def work(self) -> Work:
        return Work(op="mixed", block_bytes=self.block_bytes, batch=8, keys=self.keys, depth=8, threads=2)

    @pytest.fixture
    def levels(self) -> Sequence[Store]:
        return ()

    @pytest.fixture
    def store(self, driver: Driver, tier: Tier, work: Work, levels: Sequence[Store]) -> Iterator[Store]:
        store = driver.open(tier, work, levels)
        yield store
        store.close()

    # ---- what is declared

    def test_what_it_says_about_itself(self, driver: Driver) -> None:
        assert driver.name.isidentifier()
        assert driver.summary
        assert driver.operations <= {"read", "write", "mixed"}
        assert driver.memory <= {"dram", "vram"}
        assert not isinstance(driver, Tool), "a tool has no store: this suite is not for it"

    def test_a_virtual_clock_is_one_that_can_be_shared(self, driver: Driver, tier: Tier, store: Store) -> None:
        assert store.virtual == isinstance(store, VirtualStore), "a store with a virtual clock is a VirtualStore"
        if not tier.levels:
            assert store.virtual == driver.virtual, "the driver says whether its stores have a virtual clock"
        if isinstance(store, VirtualStore):
            store.time.advance_to(store.clock() + 700)
            assert store.clock() == 700, "the clock is `time`, and begins at 0"

    def test_settings_are_declared_and_printable(self, driver: Driver, settings: Any) -> None:
        assert isinstance(settings, driver.settings)
        for info in settings_of(driver.settings).values():
            assert info.help, f"the setting {info.name} has no help"
            assert info.type.describe()
        assert all(isinstance(text, str) and text for text in show_settings(settings).values())

    def test_lint_and_footprint_speak_from_the_text_alone(self, driver: Driver, tier: Tier, work: Work) -> None:
        for finding in driver.lint(tier, work):
            assert isinstance(finding, Finding)
            assert finding.setting is None or finding.setting in settings_of(driver.settings)
        footprint = driver.footprint(tier, work)
        assert isinstance(footprint, Footprint)
        assert min(footprint.memory_bytes, footprint.disk_bytes) >= 0

    def test_its_rules_say_what_they_find(self, driver: Driver) -> None:
        codes = [rule.code for rule in driver.rules]
        assert len(set(codes)) == len(codes), "two rules have one code"
        for rule in driver.rules:
            assert rule.code.isalnum() and rule.code[:1].isalpha() and rule.code[-1:].isdigit(), rule.code
            assert rule.title and rule.finds and rule.why and rule.remedy, f"the page of {rule.code} has an empty part"

    def test_lint_here_changes_nothing(self, driver: Driver, tier: Tier, work: Work) -> None:
        assert all(isinstance(finding, Finding) for finding in driver.lint_here(tier, work))

    def test_probe_answers(self, driver: Driver, tier: Tier) -> None:
        assert isinstance(driver.probe(None), Availability)
        here = driver.probe(tier)
        assert here.ok, here.reason

    # ---- opening and closing

    def test_close_twice(self, driver: Driver, tier: Tier, work: Work, levels: Sequence[Store]) -> None:
        store = driver.open(tier, work, levels)
        lane = store.lane(0, store.allocate(self._slot(store), self.memory))
        lane.close()
        lane.close()
        store.close()
        store.close()

    def test_open_again_after_close(
        self, driver: Driver, tier: Tier, work: Work, levels: Sequence[Store], store: Store
    ) -> None:
        self._prepared(store)
        store.close()
        again = driver.open(tier, work, levels)
        try:
            assert len(again.prepare(self._layout(again))) <= self.keys
        finally:
            again.close()

    def test_reset_twice(self, store: Store) -> None:
        lane, _ = self._prepared(store)
        store.reset()
        store.reset()
        lane.close()

    def test_limits_are_usable(self, store: Store) -> None:
        assert store.limits.alignment_bytes >= 1
        assert store.limits.alignment_bytes & (store.limits.alignment_bytes - 1) == 0, "a power of two"
        assert store.limits.max_in_flight >= 1

    def test_arena_is_writable_memory(self, store: Store) -> None:
        arena = store.allocate(3 * self._slot(store), self.memory)
        assert arena.nbytes == 3 * self._slot(store)
        assert arena.view.dtype == np.uint8
        assert arena.view.ctypes.data == arena.address or not len(arena.view)
        assert arena.address % store.limits.alignment_bytes == 0
        arena.put(0, arena.nbytes, 7)
        arena.put(arena.nbytes - 2, 2, np.array([8, 9], np.uint8))
        assert arena.get(arena.nbytes - 4, 4).tolist() == [7, 7, 8, 9]
        assert arena.pages
        arena.close()

    def test_path_counters_and_measures(self, driver: Driver, store: Store) -> None:
        lane, arena = self._prepared(store)
        report = store.path()
        assert isinstance(report, PathReport)
        assert report.evidence
        before = store.counters()
        self._run(store, lane, self._ops(store, range(self.keys), READ))
        after = store.counters()
        assert before.keys() == after.keys()
        assert all(after[name] >= before[name] for name in before), "totals never go back"
        assert set(store.measures()) <= {measure.name for measure in driver.measures}, "a measure that is not declared"
        self._end(lane, arena)

    # ---- laying out

    def test_prepare_names_what_is_missing(self, store: Store) -> None:
        arena = store.allocate(self.keys * self._slot(store), self.memory)
        lane = store.lane(0, arena)
        missing = [int(key) for key in store.prepare(self._layout(store))]
        assert set(missing) <= set(range(self.keys))
        assert len(set(missing)) == len(missing)
        self._run(store, lane, self._ops(store, missing, WRITE))
        store.settle()
        if self.holds_data:
            again = store.prepare(self._layout(store))
            assert len(again) == 0, f"written and settled, and yet missing: {list(again)}"
        self._end(lane, arena)

    # ---- moving

    def test_write_then_read_back_every_byte(self, store: Store) -> None:
        lane, arena = self._prepared(store)
        for generation in (1, 2):
            wanted = self._contents(store, generation)
            arena.put(0, arena.nbytes, wanted)
            self._run(store, lane, self._ops(store, range(self.keys), WRITE))
            arena.put(0, arena.nbytes, 0xA5)
            self._run(store, lane, self._ops(store, range(self.keys), READ))
            if self.holds_data:
                wrong = np.flatnonzero(arena.get(0, arena.nbytes) != wanted)
                assert not len(wrong), f"{len(wrong)} bytes differ, the first at {wrong[0]} (generation {generation})"
        self._end(lane, arena)

    def test_blocks_land_where_the_operation_says(self, store: Store) -> None:
        """The buffers in another order than the keys."""
        lane, arena = self._prepared(store)
        slot, wanted = self._slot(store), self._contents(store, 3)
        arena.put(0, arena.nbytes, wanted)
        self._run(store, lane, self._ops(store, range(self.keys), WRITE))
        arena.put(0, arena.nbytes, 0xA5)
        backwards = self._ops(store, range(self.keys), READ)
        backwards["buffer"] = backwards["buffer"][::-1].copy()
        self._run(store, lane, backwards)
        if self.holds_data:
            read = arena.get(0, arena.nbytes).reshape(self.keys, slot)[::-1].reshape(-1)
            assert np.array_equal(read, wanted)
        self._end(lane, arena)

    def test_every_operation_is_reaped_once_at_random_depths(self, store: Store) -> None:
        lane, arena = self._prepared(store)
        choose = random.Random(7)
        for _ in range(8):
            keys = [choose.randrange(self.keys) for _ in range(self.keys)]
            depth = choose.randint(1, self.keys)
            done = self._run(store, lane, self._ops(store, keys, READ), depth, choose)
            assert (done["outcome"] == OK).all(), f"failed at depth {depth}: {done[done['outcome'] != OK]}"
        self._end(lane, arena)

    def test_completions_are_exact(self, store: Store) -> None:
        lane, arena = self._prepared(store)
        ops = self._ops(store, range(self.keys), READ)
        ops["id"] = np.arange(self.keys, dtype=np.uint64) * 977 + 2**40
        before = store.clock()
        done = self._run(store, lane, ops)
        after = store.clock()
        assert (done["bytes"] == ops["bytes"].astype(np.int64)).all()
        assert (done["errno"] == 0).all()
        assert (done["wire_bytes"] >= 0).all()
        assert (done["submit"] >= before).all(), "submitted before it was submitted: another clock?"
        assert (done["end"] >= done["submit"]).all()
        assert (done["end"] <= after).all(), "ended in the future"
        self._end(lane, arena)

    def test_operations_are_not_kept(self, store: Store) -> None:
        """The caller may use its rows again as soon as `submit` returns."""
        lane, arena = self._prepared(store)
        ops = self._ops(store, range(min(4, store.limits.max_in_flight)), READ)
        count = lane.submit(ops)
        wanted = ops["id"][:count].copy()
        ops[:] = np.zeros(1, OPERATION)[0]
        done = self._reap(lane, count)
        assert sorted(done["id"]) == sorted(wanted)
        assert (done["outcome"] == OK).all()
        self._end(lane, arena)

    def test_a_limited_lane_holds_operations_back(self, store: Store) -> None:
        """What waits starts by itself while others are waited for; its time runs from its start."""
        if not store.limits.pipelined:
            pytest.skip("the tier is not pipelined")
        first, arena = self._prepared(store)
        first.close()
        lane = store.lane(1, arena)
        lane.limit(2)
        count = min(self.keys, store.limits.max_in_flight)
        ops = self._ops(store, range(count), READ)
        ops["buffer"] = ANY_BUFFER
        blocks = self._contents(store, 0).reshape(self.keys, -1)
        arena.put(0, arena.nbytes, 0xA5)
        assert lane.submit(ops) == count
        done = self._reap(lane, count)
        assert (done["outcome"] == OK).all()
        assert (done["bytes"] == ops["bytes"].astype(np.int64)).all()
        if self.holds_data:
            halves = arena.get(0, arena.nbytes).reshape(2, -1)
            written = [(half[: self._slot(store)] == blocks).all(axis=1).any() for half in halves]
            assert any(written), "not into equal parts of the arena"
            assert all(
                (half[used * self._slot(store) :] == 0xA5).all() for half, used in zip(halves, written, strict=True)
            )
        for start in done["submit"]:
            in_flight = np.count_nonzero((done["submit"] <= start) & (done["end"] > start))
            assert in_flight <= 2, f"{in_flight} in flight instead of 2"
        # With buffers of their own they start as ever.
        assert (self._run(store, lane, self._ops(store, range(self.keys), READ), 2)["outcome"] == OK).all()
        if self.holds_data:
            assert np.array_equal(arena.get(0, arena.nbytes), self._contents(store, 0))
        self._end(lane, arena)

    def test_more_than_fits_is_accepted_in_part(self, store: Store) -> None:
        lane, arena = self._prepared(store)
        limit = store.limits.max_in_flight
        ops = self._ops(store, np.arange(limit + 5) % self.keys, READ)
        accepted = lane.submit(ops)
        assert 0 < accepted <= limit
        if accepted == limit:
            assert lane.submit(ops[accepted:]) == 0, "more in flight than the store's own limit"
        done = self._reap(lane, accepted)
        assert sorted(done["id"]) == sorted(ops["id"][:accepted]), "what is accepted is the first part"
        self._end(lane, arena)

    def test_reap_with_nothing_in_flight_returns_zero(self, store: Store) -> None:
        lane, arena = self._prepared(store)
        out = np.zeros(4, COMPLETION)
        assert lane.reap(out, 0, 0) == 0
        assert lane.reap(out, 1, 1_000_000) == 0
        self._end(lane, arena)

    def test_reap_fills_no_more_than_there_is_room_for(self, store: Store) -> None:
        lane, arena = self._prepared(store)
        accepted = lane.submit(self._ops(store, range(min(6, self.keys)), READ))
        out = np.zeros(2, COMPLETION)
        seen: list[int] = []
        deadline = time.monotonic() + STALL_S
        while len(seen) < accepted:
            count = lane.reap(out, 6, 10_000_000)
            assert 0 <= count <= 2
            seen += [int(number) for number in out["id"][:count]]
            assert time.monotonic() < deadline, f"only {len(seen)} of {accepted} operations came back"
        assert len(set(seen)) == accepted
        self._end(lane, arena)

    def test_two_lanes_at_once(self, store: Store) -> None:
        if store.virtual:
            pytest.skip("lanes of a virtual clock are stepped, not run in threads")
        arena = store.allocate(self.keys * self._slot(store), self.memory)
        lanes = [store.lane(index, arena) for index in range(2)]
        missing = store.prepare(self._layout(store))
        self._run(store, lanes[0], self._ops(store, missing, WRITE))
        wanted = self._contents(store, 4)
        failures: list[BaseException] = []

        def use(kind: int, index: int) -> None:
            try:
                keys = np.arange(index, self.keys, 2)
                ops = self._ops(store, keys, kind)
                ops["buffer"] = keys * self._slot(store)
                done = self._run(store, lanes[index], ops, 4)
                assert (done["outcome"] == OK).all()
            except BaseException as error:
                failures.append(error)

        for kind, before in ((WRITE, wanted), (READ, np.full_like(wanted, 0xA5))):
            arena.put(0, arena.nbytes, before)
            threads = [threading.Thread(target=use, args=(kind, index)) for index in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not failures, failures
        if self.holds_data:
            assert np.array_equal(arena.get(0, arena.nbytes), wanted)
        for lane in lanes:
            lane.close()
        arena.close()

    # ---- what cannot be done

    @pytest.mark.parametrize("what", ["key", "offset", "bytes", "buffer", "kind"])
    def test_nonsense_fails_and_hurts_nobody(self, store: Store, what: str) -> None:
        """An operation outside the layout or the arena is a failed operation (or a DriverError), never a success."""
        lane, arena = self._prepared(store)
        wanted = self._contents(store, 5)
        arena.put(0, arena.nbytes, wanted)
        self._run(store, lane, self._ops(store, range(self.keys), WRITE))
        nonsense = {
            "key": self.keys + 10**6,
            "offset": 64 * self._slot(store),
            "bytes": 2 * self.keys * self._slot(store),
            "buffer": self.keys * self._slot(store),
            "kind": len(KINDS) + 3,
        }
        if what in ("bytes", "buffer") and not self.holds_data:
            pytest.skip("without data there is no memory to spoil")
        op = self._ops(store, [1], READ)
        op[what] = nonsense[what]
        try:
            assert lane.submit(op) == 1
            done = self._reap(lane, 1)
            assert int(done["outcome"][0]) != OK
            assert done["outcome"][0] != ERROR or done["errno"][0] != 0
        except DriverError:
            pass
        if self.holds_data:
            arena.put(0, arena.nbytes, 0xA5)
            self._run(store, lane, self._ops(store, range(self.keys), READ))
            assert np.array_equal(arena.get(0, arena.nbytes), wanted), "the blocks are not what they were"
        self._end(lane, arena)

    def test_too_much_is_refused_with_a_sentence(self, store: Store) -> None:
        """2^62 bytes are more than anything holds."""
        slot = self._slot(store)
        keys = 2**62 // slot
        if not self.holds_data:
            pytest.skip("what keeps no data has room for all of it")
        with pytest.raises(DriverError) as refused:
            store.prepare(Layout(keys, self.block_bytes, slot, 0, keys))
        assert str(refused.value)
        assert refused.value.remedy, "say what to do"

    # ---- helpers

    def _slot(self, store: Store) -> int:
        grain = store.limits.alignment_bytes
        return -(-self.block_bytes // grain) * grain

    def _layout(self, store: Store) -> Layout:
        return Layout(self.keys, self.block_bytes, self._slot(store), 0, self.keys)

    def _prepared(self, store: Store) -> tuple[Lane, Arena]:
        """A lane and an arena with a buffer for each key, all keys written."""
        arena = store.allocate(self.keys * self._slot(store), self.memory)
        lane = store.lane(0, arena)
        assert not store.virtual or isinstance(lane, VirtualLane)
        missing = store.prepare(self._layout(store))
        arena.put(0, arena.nbytes, self._contents(store, 0))
        self._run(store, lane, self._ops(store, missing, WRITE))
        store.settle()
        return lane, arena

    def _end(self, lane: Lane, arena: Arena) -> None:
        lane.close()
        arena.close()

    def _contents(self, store: Store, generation: int) -> npt.NDArray[np.uint8]:
        length = self.keys * self._slot(store)
        words = np.random.PCG64(generation).random_raw(-(-length // 8))
        return words.view(np.uint8)[:length]

    def _ops(self, store: Store, keys: Sequence[int] | npt.NDArray[np.int64], kind: int) -> Rows:
        """One operation for each key, each with a buffer of its own (again from the first when they are used up)."""
        ops = np.zeros(len(keys), OPERATION)
        ops["id"] = np.arange(len(keys)) + 1
        ops["key"] = keys
        ops["bytes"] = self._slot(store)
        ops["buffer"] = np.arange(len(keys)) % self.keys * self._slot(store)
        ops["kind"] = kind
        ops["due"] = store.clock()
        return ops

    def _run(self, store: Store, lane: Lane, ops: Rows, depth: int = 16, choose: random.Random | None = None) -> Rows:
        """Run the operations with at most `depth` in flight; returns the completions in the order of `ops`."""
        by_id = {int(number): index for index, number in enumerate(ops["id"])}
        done = np.zeros(len(ops), COMPLETION)
        out = np.zeros(max(1, depth), COMPLETION)
        submitted = finished = 0
        deadline = time.monotonic() + STALL_S
        while finished < len(ops):
            room = min(depth - (submitted - finished), len(ops) - submitted)
            if room:
                accepted = lane.submit(ops[submitted : submitted + room])
                assert 0 <= accepted <= room
                submitted += accepted
                assert accepted or submitted > finished, "an empty lane accepts nothing"
            flying = submitted - finished
            at_least = choose.randint(0, flying) if choose else 1
            for row in out[: lane.reap(out, at_least, 10_000_000)]:
                assert int(row["id"]) in by_id, f"operation {int(row['id'])} came back twice, or was never submitted"
                done[by_id.pop(int(row["id"]))] = row
                finished += 1
            assert time.monotonic() < deadline, f"{flying} operations did not come back"
        return done

    def _reap(self, lane: Lane, count: int) -> Rows:
        """Reap exactly `count` operations, and see that there are no more."""
        out = np.zeros(count + 4, COMPLETION)
        found = 0
        deadline = time.monotonic() + STALL_S
        while found < count:
            found += lane.reap(out[found:], count - found, 10_000_000)
            assert time.monotonic() < deadline, f"only {found} of {count} operations came back"
        assert lane.reap(out[found:], 0, 0) == 0, "more completions than operations"
        return out[:count]
