"""Users who converse, while their script runs: who may go on when, and what they got."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.execute.talk_rows import found_rows, occupancy_rows, talk_measures, user_rows
from kvscen.language.values import NUMBER, TIME
from kvscen.measure.gauge import FIRST_EVERY_NS, MOST_READINGS, Gauge
from kvscen.pattern.replay_source import ReplaySource
from kvscen.pattern.talking import NEVER
from kvscen.plugin.contract import COMPLETION, Rows
from kvscen.trace.requests import HISTORY, NEW
from tests.pattern.test_replay_source import Cache, keeps_all
from tests.pattern.test_script import MS, fixed, users, written


def ended(rows: Rows, submit: int, end: int) -> tuple[Rows, Rows]:
    completions = np.zeros(len(rows), COMPLETION)
    completions["submit"], completions["end"] = submit, end
    return rows, completions


def test_a_user_waits_for_what_is_under_way_and_thinks() -> None:
    requests, _ = written(users(think_ns=fixed("0.005", TIME), turns=fixed(1, NUMBER)), requests=2, outputs="dropped")
    source = ReplaySource(requests, keeps_all, 4096)
    source.start(100)
    assert source.open_loop and source.next_due_ns == 100
    first = source.next(50, 120).copy()
    assert first["due"].tolist() == [100] * 3 and source.next_due_ns == NEVER
    source.done(*ended(first[:2], 150, 400))
    assert not len(source.next(50, 10**12)), "one of its blocks is under way"
    source.done(*ended(first[2:], 160, 1000))
    assert source.next_due_ns == 1000 + 5 * MS and not len(source.next(50, 5 * MS))
    second = source.next(50, 10 * MS).copy()
    assert second["due"].tolist() == [1000 + 5 * MS] * 3
    source.done(*ended(second, 11 * MS, 12 * MS))
    assert source.ended
    talked = source.looked_up(0).talked
    assert talked is not None
    assert talked.latency_ns.tolist() == [900, 12 * MS - 1000 - 5 * MS]
    assert talked.storage_ns.tolist() == [850, MS] and talked.wait_ns.tolist() == [50, 6 * MS - 1000]


def test_who_is_due_waits_for_those_before() -> None:
    """Requests begin in their order: what is decided does not depend on who is quick."""
    slow = users(turns=fixed(1, NUMBER), think_ns=fixed(1, TIME))
    requests, own = written([users(turns=fixed(1, NUMBER)), slow], users=2, requests=4, outputs="dropped")
    source = ReplaySource(requests, keeps_all, 4096)
    source.start(0)
    first = source.next(50, 0).copy()
    order = own.user.tolist()
    assert order[:2] == [0, 1] and order[2:] == [0, 0], "the other one thinks for a second"
    source.done(*ended(first[3:], 0, 10))
    assert not len(source.next(50, 10**10)), "the second request of user 0 is next, and its first has not ended"
    source.done(*ended(first[:3], 0, 20))
    assert set(source.next(50, 30)["request"].tolist()) == {2}


def test_due_times_count_whatever_is_under_way() -> None:
    """A user who is still served asks late, and the time since it was due is part of the latency."""
    requests, _ = written(
        users(turns=fixed(1, NUMBER)), requests=2, outputs="dropped", rate_per_s=Fraction(1000), arrival="constant"
    )
    source = ReplaySource(requests, keeps_all, 4096)
    source.start(0)
    first = source.next(50, 0).copy()
    assert source.next_due_ns == NEVER
    source.done(*ended(first, 0, 5 * MS))
    assert source.next_due_ns == MS, "it was due long ago"
    second = source.next(50, 5 * MS).copy()
    assert second["due"].tolist() == [MS] * 3
    source.done(*ended(second, 5 * MS, 6 * MS))
    talked = source.looked_up(0).talked
    assert talked is not None and talked.latency_ns.tolist() == [5 * MS, 5 * MS]


def test_what_is_stored_is_not_looked_for() -> None:
    requests, _ = written(users(turns=fixed(2, NUMBER)), requests=2)
    cache = Cache(100)
    source = ReplaySource(
        requests, cache.decide, 4096, hurry=True, gauge=Gauge(lambda: [len(cache.cache._policies[0])])
    )
    while not source.ended:
        source.done(*ended(source.next(50, 0).copy(), 1, 2))
    found = source.looked_up(9)
    assert (found.requests, found.lookups, found.hits, found.operations) == (2, 3 + 7, 4, 3 + 2 + 7 + 2)
    assert found.occupancy[-1] == (9, (10,))
    talked = found.talked
    assert talked is not None
    assert talked.lookups.tolist() == [4, 0, 0, 0, 6] and talked.hits[HISTORY, 0] == 4 and not talked.hits[NEW].any()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 9), st.integers(1, 5), st.sampled_from(["none", "as_kv_cache_py"]))
def test_the_work_does_not_depend_on_who_is_quick(capacity: int, seed: int, depth: int, reads: str) -> None:
    """Any order of ends gives the same operations; a user never has two steps under way."""
    talkers = users(think_ns=fixed("0.000001", TIME), documents=2, document_tokens=fixed(100), system_tokens=20)
    requests, own = written([talkers, users()], users=4, requests=30, decode_reads=reads)

    def run(draw: np.random.Generator, most: int, cache: Cache | None) -> tuple[str, list[int]]:
        decide = keeps_all if cache is None else cache.decide
        source = ReplaySource(requests, decide, 4096)
        source.start(0)
        flying: list[Rows] = []
        operations: list[int] = []
        now = 0
        while True:
            now += int(draw.integers(1, 2000))
            rows = source.next(most - len(flying), now).copy() if len(flying) < most else requests.keys[:0]
            flying += [rows[i : i + 1] for i in range(len(rows))]
            operations += rows["key"].tolist() if len(rows) else []
            under_way = {(int(own.user[int(row["request"][0])]), int(row["request"][0])) for row in flying}
            assert len({user for user, _ in under_way}) == len(under_way)
            if flying:
                row = flying.pop(int(draw.integers(len(flying))))
                source.done(*ended(row, now, now + 1))
            elif source.ended:
                return source.looked_up(now).sequence, operations

    for make in (lambda: Cache(capacity), lambda: None):
        expected = run(np.random.default_rng(99), 1, make())
        assert run(np.random.default_rng(seed), depth, make()) == expected


def test_rows_and_measures() -> None:
    quick = users(turns=fixed(1, NUMBER), target_p95_ns=MS, target_p99_ns=2 * MS)
    requests, own = written([quick, users(turns=fixed(1, NUMBER))], users=2, requests=40, outputs="dropped")
    source = ReplaySource(requests, Cache(64).decide, 4096)
    source.start(0)
    now = 0
    while not source.ended:
        now += 10
        rows = source.next(3, now).copy()
        # Of the first kind of users one request in twenty is late.
        late = own.users_of[rows["request"].astype(int)] == 0
        number = int(rows["request"][0])
        took = 5 * MS if late.any() and number % 40 == 0 else 1000
        source.done(*ended(rows, now + 10, now + took))
        now += took
    talked = source.looked_up(now).talked
    assert talked is not None
    first, second = user_rows(talked)
    assert (first["users"], second["users"]) == ("u0", "u1")
    assert first["requests"] + second["requests"] == 40
    late_ones = int((talked.latency_ns[talked.users_of == 0] > MS).sum())
    assert first["within_p95_share"] == 1 - late_ones / first["requests"]
    assert first["qos_met"] is (first["within_p95_share"] >= 0.95 and first["within_p99_share"] >= 0.99)
    assert second["qos_met"] is None and second["within_p95_share"] is None
    assert first["request_latency_p99_ns"] is None, "fewer than 10 lie above"
    measures = talk_measures(talked, 2 * 10**9)
    assert measures["generated_tokens"] == 40 * 24 and measures["wall_tokens_per_s"] == 480
    assert measures["storage_time_ns"] == int(talked.storage_ns.sum())
    assert measures["storage_tokens_per_s"] == pytest.approx(40 * 24 * 1e9 / int(talked.storage_ns.sum()))
    assert (measures["qos_targets"], measures["qos_missed"]) == (1, int(not first["qos_met"]))
    assert measures["history_hit_rate"] is None and measures["reread_hit_rate"] is None
    (new, level) = found_rows(talked, ["dram"])
    assert (new["kind"], new["tier"], new["lookups"], new["hits"]) == ("new", None, 120, 0)
    assert (level["tier"], level["level"], level["hits"]) == ("dram", 0, 0)


def test_a_request_that_did_not_end_counts_nowhere() -> None:
    requests, _ = written(users(turns=fixed(1, NUMBER)), requests=3)
    source = ReplaySource(requests, keeps_all, 4096, hurry=True)
    source.done(*ended(source.next(50, 0).copy(), 1, 5))
    source.next(50, 0)
    talked = source.looked_up(9).talked
    assert talked is not None and len(talked.latency_ns) == 0


def test_the_gauge_keeps_few_readings() -> None:
    level = [0]
    gauge = Gauge(lambda: level)
    for number in range(20_000):
        level[0] = number
        gauge.look(number * FIRST_EVERY_NS // 2)
    readings = gauge.readings(10**15)
    assert MOST_READINGS // 2 <= len(readings) <= MOST_READINGS + 1
    times = [time for time, _ in readings]
    assert times == sorted(times) and times[0] == 0 and readings[-1] == (10**15, (19_999,))
    gaps = {after - before for before, after in itertools.pairwise(times[:-1])}
    assert len(gaps) == 1, "evenly"
    rows = list(occupancy_rows(readings, ["dram"], 0, 512))
    assert rows[-1] == {
        "time_ns": 10**15,
        "tier": "dram",
        "level": 0,
        "blocks": 19_999,
        "occupancy_bytes": 19_999 * 512,
    }
    assert not Gauge(lambda: ()).readings(5)
