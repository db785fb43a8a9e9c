"""Ranks that send to each other step by step: what is verified, what is measured, and what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from kvscen.execute import messages
from kvscen.execute.loop import Beat
from kvscen.execute.meeting import Meeting, meeting_place
from kvscen.execute.step_rows import step_rows
from kvscen.measure.recorder import Sample
from kvscen.pattern.source import StepSource
from kvscen.plan.traffic import Flow, Step, Traffic
from tests.execute.ranks import STEPS, WAITS, WAKES, Ranks, work


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Iterator[Ranks]:
    mode, fault = getattr(request, "param", ("sequence", "none"))
    ranks = Ranks(work(mode=mode), fault)
    yield ranks
    ranks.close()


# ---- where they wait for each other


def test_nobody_is_ahead_of_those_it_waits_for() -> None:
    steps = [(0, 1), (2,), (1, 2), (0, 1, 2)]
    arrived = [[0] * 3 for _ in range(40)]
    wrong: list[str] = []

    def run(rank: int, place: str) -> None:
        meeting = Meeting(place, 3, rank, Beat())
        turn = 0
        while meeting.go_on(turn < 10, len(steps), lambda: None):
            for number, ranks in enumerate(steps):
                if rank in ranks:
                    arrived[turn * 4 + number][rank] = 1
                    meeting.step(number, ranks, lambda: None)
                    if not all(arrived[turn * 4 + number][other] for other in ranks):
                        wrong.append(f"rank {rank} is alone at step {number} of round {turn}")
            turn += 1
        if turn != 10:
            wrong.append(f"rank {rank} did {turn} rounds")

    with meeting_place(3) as place:
        threads = [threading.Thread(target=run, args=(rank, place)) for rank in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


def test_who_waits_shows_that_the_others_make_progress() -> None:
    """A rank that computes for longer than the timeout is no hang, nor are those that wait for it."""
    with meeting_place(2) as place:
        waiting, busy = (Meeting(place, 2, rank, Beat()) for rank in range(2))
        seen = []

        def idle() -> None:
            busy.beat.add(1)
            seen.append(int(waiting.beat.cells[0]))
            if seen[-1] >= 3:
                threading.Thread(target=busy.all, args=(lambda: None,), daemon=True).start()

        waiting.all(idle)
    assert max(seen) >= 3


# ---- what they send


def test_a_rank_sends_its_row() -> None:
    source = StepSource(Traffic(3, "sequence", STEPS), 0)
    assert source.turn_to(0) == 2
    rows = source.next(9, 77)
    assert rows[["key", "bytes", "buffer", "offset", "due", "kind"]].tolist() == [
        (0, 700, 0, 0, 77, 1),
        (2, 300_000, 704, 0, 77, 1),
    ]
    assert source.turn_to(1) == 0
    other = StepSource(Traffic(3, "sequence", STEPS), 1)
    other.turn_to(0)
    # Behind what rank 0 sends to rank 2, from the next 64 bytes on.
    assert other.next(9, 0)["offset"].tolist() == [300_032]


def test_every_byte_is_compared(opened: Ranks) -> None:
    assert all(isinstance(reply, messages.Met) for reply in opened.meet())
    verified = opened.ask(lambda rank: messages.Verify("p", 11))
    assert [reply.verified_bytes for reply in verified] == [700 + 5000, 64, 300_001]
    assert [reply.mismatch for reply in verified] == ["", "", ""]


@pytest.mark.parametrize(
    ("opened", "what"),
    [
        (
            ("sequence", "lose"),
            "byte 0 of 300000: nothing has arrived, the memory still holds what was there before",
        ),
        (("sequence", "flip"), "byte 270001 of 300000: 1 flipped bit"),
        (("sequence", "swap"), "byte 0 of 300000: 262144 of 262144 bytes differ"),
    ],
    indirect=["opened"],
)
def test_wrong_bytes_are_found(opened: Ranks, what: str) -> None:
    opened.meet()
    verified = opened.ask(lambda rank: messages.Verify("p", 11))
    assert [reply.mismatch for reply in verified[:2]] == ["", ""]
    said = verified[2].mismatch
    assert said.startswith("step 0, from rank 0 to rank 2, ")
    if "bytes differ" in what:
        assert said.endswith("bytes differ") and " byte 0 of 300000" in said
    else:
        assert said.endswith(what)


@pytest.mark.parametrize("opened", [("sequence", "none"), ("isolated", "none")], indirect=True)
def test_what_is_measured(opened: Ranks) -> None:
    opened.meet()
    parts = opened.measure()
    assert all(isinstance(part, messages.Measured) for part in parts), parts
    # Each rank has the steps in which it sends.
    assert [[own.step for own in part.steps] for part in parts] == [[0], [0], [1]]
    passes = {own.step: len(own.start_ns) for part in parts for own in part.steps}
    assert min(passes.values()) >= 1
    for part in parts:
        for own in part.steps:
            assert (own.end_ns > own.start_ns).all() and not own.errors.any()
            assert (own.start_ns[1:] >= own.end_ns[:-1]).all()
    rows = list(step_rows(opened.work.traffic, parts))  # type: ignore[arg-type]
    assert [row["passes"] for row in rows] == [passes[0], passes[1]]
    moved = sum(part.sample.moved_bytes for part in parts)
    assert moved == sum(step.nbytes * passes[number] for number, step in enumerate(STEPS))
    if opened.work.traffic.mode == "sequence":  # type: ignore[union-attr]
        assert passes[0] == passes[1]
        # A pass takes no less than what its ranks compute.
        assert min(np.diff(parts[2].steps[0].start_ns), default=10**6) >= 10**6


def test_operations_are_counted() -> None:
    ranks = Ranks(work(time_ns=None, operations=11, warmup_ns=1))
    ranks.meet()
    parts = ranks.measure()
    ranks.close()
    # Five transfers in a pass: three passes for eleven. The warm-up has no part in it.
    assert [len(own.start_ns) for part in parts for own in part.steps] == [3, 3, 3]
    assert sum(part.sample.operations for part in parts) == 15
    loaded, moved = (sum(getattr(part.sample, name) for part in parts) for name in ("load_bytes", "moved_bytes"))
    assert loaded - moved == sum(step.nbytes for step in STEPS)


@pytest.mark.parametrize("opened", [("sequence", "fail")], indirect=True)
def test_failed_transfers(opened: Ranks) -> None:
    opened.meet()
    parts = opened.measure()
    assert parts[0].sample.first_error.startswith("write of the memory of rank 2 (300000 bytes): ECONNRESET")
    first, second = step_rows(opened.work.traffic, parts)  # type: ignore[arg-type]
    assert first["errors"] == first["passes"] and "latency_median_ns" not in first
    assert second["errors"] == 0 and second["latency_median_ns"] > 0


@pytest.mark.parametrize("opened", [("sequence", "refuse")], indirect=True)
def test_a_rank_that_does_not_meet(opened: Ranks) -> None:
    replies = opened.meet()
    assert all(isinstance(reply, messages.Failed) for reply in replies)
    assert "no way to rank 1" in replies[0].reason


def test_steps_without_a_common_sender_overlap() -> None:
    """What rank 0 sends in the first step ends only when rank 1 has begun with the second."""
    steps = (Step((Flow(0, 2, WAITS),)), Step((Flow(1, 2, WAKES),)))
    ranks = Ranks(work(steps, time_ns=None, operations=2), "wait")
    ranks.meet()
    parts = ranks.measure()
    ranks.close()
    assert [part.sample.first_error for part in parts] == ["", "", ""]
    assert parts[1].steps[0].start_ns[0] < parts[0].steps[0].end_ns[0]


# ---- the rows


def part(rank: int, *times: tuple[int, list[int], list[int], list[int]]) -> messages.Measured:
    steps = tuple(
        messages.StepTimes(step, np.array(start), np.array(end), np.array(errors)) for step, start, end, errors in times
    )
    return messages.Measured(
        Sample(), 0, 0, None, 0, {}, (), {}, "", "", {"host": "h", "cpus": "0", "numa_node": None}, 0, steps=steps
    )


def test_rows_by_hand() -> None:
    traffic = Traffic(
        3, "sequence", (Step((Flow(0, 2, 1000), Flow(1, 0, 500), Flow(1, 2, 500)), 7), Step((Flow(2, 0, 8),)))
    )
    parts = [
        part(0, (0, [100, 300, 500], [200, 360, 620], [0, 0, 1])),
        part(1, (0, [110, 290, 500], [150, 390, 600], [0, 0, 0])),
        part(2, (1, [700] * 100, [800 + i for i in range(100)], [0] * 100)),
    ]
    first, second = step_rows(traffic, parts)
    # The third pass failed. Latencies: 200 - 100 and 390 - 290.
    assert first == {
        "step": 0,
        "bytes": 2000,
        "transfers": 3,
        "senders": 2,
        "receivers": 2,
        "compute_ns": 7,
        "passes": 3,
        "errors": 1,
        "latency_median_ns": 100,
        "latency_mean_ns": 100.0,
        "latency_min_ns": 100,
        "latency_max_ns": 100,
        "latency_p90_ns": None,
        "latency_p99_ns": None,
        "start_spread_ns": 10,
        "throughput_bytes_per_s": 2000 * 1e9 / 100,
        # (1000/100 + 1000/40) / 2 and (1000/60 + 1000/100) / 2 bytes in a ns.
        "sender_bytes_per_s": pytest.approx((17.5 + 13.3333333) / 2 * 1e9),
    }
    assert (second["passes"], second["latency_median_ns"], second["latency_max_ns"]) == (100, 150, 199)
    assert (second["latency_p90_ns"], second["latency_p99_ns"]) == (190, None)


def test_a_rank_without_times_leaves_a_row_of_what_is_known() -> None:
    traffic = Traffic(2, "isolated", (Step((Flow(0, 1, 8),)),))
    [row] = step_rows(traffic, [part(0), part(1)])
    assert row == {"step": 0, "bytes": 8, "transfers": 1, "senders": 1, "receivers": 1, "compute_ns": None}
