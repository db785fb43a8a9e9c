"""Searches as the conductor runs them, on the simulated tier, whose saturation is known to the digit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import attrs
import pytest

from kvscen.execute import messages
from kvscen.execute.order import stages_in_order
from kvscen.language.check import check_source
from kvscen.language.diagnose import Source
from kvscen.language.values import Quantity
from kvscen.plan.expand import make_plan
from kvscen.plan.point import Candidate, Find, Plan, Point, Tier
from kvscen.plan.seek import Seen, next_candidate
from kvscen.plugin.registry import registry
from kvscen.results.judge import judge
from kvscen.results.record import TrialRecord
from kvscen.results.searches import Searched, candidate_rows, search_row, searched
from tests.execute.support import Script, conduct, make_point, registry_of
from tests.execute.support import make_plan as plan_by_hand
from tests.execute.test_tools import WORK as TOOL_WORK
from tests.execute.test_tools import NoSettings, Recording

# A block of 1 MiB takes 1/1024 s in the pipe of `fast`, so it serves 1024 a second; `slow` serves 300.
TIERS = """kvs 1
tier fast : sim { bandwidth = 1 GiB/s; latency = 5 ms; parallelism = 64 }
tier slow : sim { bandwidth = 300 MiB/s; latency = 1 ms; parallelism = 64 }
pattern pages : transfer { block = 1 MiB; op = read; working_set = 64 MiB; depth = 64 }
"""


def planned(body: str) -> Plan:
    text = f"{TIERS}sweep s {{\n pattern = pages; seed = 3; verify = off; warmup = 0 s\n {body}\n}}\n"
    checked = check_source(Source("test.kvs", text), None)
    assert checked.scenario is not None, checked.diagnostics
    return make_plan(checked.scenario)


GOODPUT = """tier in [fast, slow]; trials = 2; time = 1 s
 pages.rate in linear(100 /s, 1500 /s, 15)
 find highest pages.rate where latency_p50 <= 20 ms"""

KNEE = """tier in [fast, slow]; trials = 2; time = 1 s
 pages.depth in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
 find saturation of throughput over pages.depth"""


def run(
    plan: Plan, folder: Path, earlier: Sequence[TrialRecord] = (), script: Script | None = None
) -> list[TrialRecord]:
    return conduct(plan, registry(), folder, script, earlier=earlier)


def by_tier(found: Sequence[Searched]) -> dict[str, Searched]:
    return {str(one.find.others["tier"]): one for one in found}


def values(one: Searched) -> tuple[str, int | None, int | None]:
    """The outcome, the answer and its neighbour."""

    def value(index: int | None) -> int | None:
        return None if index is None else int(one.find.candidates[index].value.value)

    return one.answer.outcome, value(one.answer.found), value(one.answer.next)


def test_the_highest_rate_that_a_tier_serves(tmp_path: Path) -> None:
    plan = planned(GOODPUT)
    records = run(plan, tmp_path)
    found = by_tier(searched(plan, records))
    # Below its bandwidth each block takes latency + block / bandwidth; above it the queue grows and grows.
    assert values(found["fast"]) == ("found", 1000, 1100)
    assert values(found["slow"]) == ("found", 300, 400)
    assert {len(one.judged) for one in found.values()} == {4}, "of 15 candidates a search takes log2(16)"
    assert search_row(found["fast"])["measured"] == pytest.approx(5e6 + 1e9 / 1024, rel=0.01)
    assert Counter(record.status for record in records) == {"ok": 2 * 2 * 4}


MIB = 2**20


def throughput(depth: int, bandwidth: int, latency_s: Fraction) -> Fraction:
    """What the driver promises of a closed loop."""
    return min(Fraction(bandwidth), depth * MIB / (latency_s + Fraction(MIB, bandwidth)))


def knee(bandwidth: int, latency_s: Fraction) -> int:
    """The first depth that neither of the next two beats by more than 5 %."""
    rates = [throughput(depth, bandwidth, latency_s) for depth in range(1, 13)]
    return next(i + 1 for i in range(10) if max(rates[i + 1 : i + 3]) <= rates[i] * Fraction(105, 100))


def test_the_depth_at_which_a_tier_saturates(tmp_path: Path) -> None:
    plan = planned(KNEE)
    records = run(plan, tmp_path)
    found = by_tier(searched(plan, records))
    fast, slow = knee(1024 * MIB, Fraction(5, 1000)), knee(300 * MIB, Fraction(1, 1000))
    assert (fast, slow) == (6, 2)
    assert values(found["fast"]) == ("found", fast, fast + 1)
    assert values(found["slow"]) == ("found", slow, slow + 1)
    assert [len(found[name].judged) for name in ("fast", "slow")] == [fast + 2, slow + 2]
    rates = {row["value"]: row["measured"] for row in candidate_rows(found["fast"]) if row["measured"] is not None}
    assert sorted(rates) == [1, 2, 3, 4, 5, 6, 7, 8]
    for depth, rate in rates.items():
        # Without a warm-up the window lacks the first block's latency.
        assert rate == pytest.approx(float(throughput(int(depth), 1024 * MIB, Fraction(5, 1000))), rel=0.01)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("find highest pages.rate where latency_p50 <= 1 s", ("beyond", 200, None)),
        ("find highest pages.rate where latency_p50 <= 1 ms", ("none", None, 100)),
        ("find lowest pages.rate where throughput >= 1 MiB/s", ("beyond", 100, None)),
        ("find lowest pages.rate where throughput >= 120 MiB/s and latency_p50 <= 1 s", ("found", 125, 100)),
        ("find lowest pages.rate where throughput >= 900 MiB/s", ("none", None, 200)),
        ("find saturation of throughput over pages.rate", ("beyond", 200, None)),
        ("find saturation of errors over pages.rate", ("found", 100, 125)),
    ],
)
def test_ends_of_the_range(tmp_path: Path, body: str, expected: tuple[str, int | None, int | None]) -> None:
    rates = "tier = slow; trials = 1; time = 1 s; pages.rate in [100 /s, 125 /s, 150 /s, 175 /s, 200 /s]; "
    plan = planned(rates + body)
    assert values(searched(plan, run(plan, tmp_path))[0]) == expected


# ---- order


def candidates_of(plan: Plan) -> set[str]:
    return {candidate.point_id for find in plan.finds for candidate in find.candidates}


def never_kept(find: Find, point: Point) -> Seen:
    return Seen(False, None)


def test_a_candidate_is_decided_by_all_its_trials_and_searches_go_side_by_side() -> None:
    plan = planned(GOODPUT.replace("trials = 2", "trials = 3"))
    stages = list(stages_in_order(plan, never_kept))
    assert len(stages) == 4
    tiers = {point.id: point.tier.name for point in plan.points}
    for stage in stages:
        ids = Counter(point.id for point, _ in stage)
        assert set(ids.values()) == {3} and sorted(tiers[id] for id in ids) == ["fast", "slow"]
        assert [trial for _, trial in stage] == [1, 1, 2, 2, 3, 3], "rounds, one trial of each"
    assert len({tuple(tiers[p.id] for p, _ in stage) for stage in stages}) > 1, "each round in an order of its own"
    again = list(stages_in_order(plan, never_kept))
    assert [[(p.id, t) for p, t in s] for s in again] == [[(p.id, t) for p, t in s] for s in stages]


def test_in_sequence_each_search_goes_to_its_end() -> None:
    plan = planned("order = sequential; " + GOODPUT)
    stages = list(stages_in_order(plan, never_kept))
    assert [[(p.tier.name, t) for p, t in stage] for stage in stages] == [
        *[[("fast", 1), ("fast", 2)]] * 4,
        *[[("slow", 1), ("slow", 2)]] * 4,
    ]


def test_points_that_belong_to_no_search_all_run_at_once() -> None:
    body = (
        "trials = 2; operations = 10; (tier, pages.depth) in [(fast, 4), (slow, 8)]; fast.latency in [1 ms, 2 ms, 3 ms]"
    )
    plan = planned(f"{body}\n find highest fast.latency where errors == 0")
    stages = list(stages_in_order(plan, never_kept))
    assert [sorted({p.tier.name for p, _ in stage}) for stage in stages] == [["fast", "slow"], ["fast"]]
    assert len({p.id for stage in stages for p, _ in stage}) == 3


def test_a_tool_measures_together_only_what_is_asked_for(tmp_path: Path) -> None:
    Recording.calls, Recording.statuses = [], {"g4": "error", "g5": "error", "g6": "error"}
    tier = Tier("t", "recording", NoSettings())
    points = [make_point(f"g{n}", tier, TOOL_WORK, 2) for n in range(7)]
    candidates = tuple(Candidate(point.id, Quantity.of(n)) for n, point in enumerate(points))
    find = Find("sweep", "highest", "t.size", candidates, "find ...")
    plan = attrs.evolve(plan_by_hand(*points), finds=(find,))
    conduct(plan, registry_of(recording=Recording), tmp_path)
    assert [ids for ids, _, _ in Recording.calls] == [("g3",)] * 2 + [("g5",)] * 2 + [("g4",)] * 2


# ---- going on


def test_a_run_that_was_cut_off_anywhere_goes_on_and_measures_nothing_twice(tmp_path: Path) -> None:
    plan = planned(GOODPUT.replace("time = 1 s", "time = 200 ms"))
    whole = run(plan, tmp_path)
    keys = [(record.point_id, record.trial, record.trial_order) for record in whole]
    for cut in range(len(whole) + 1):
        rest = run(plan, tmp_path, whole[:cut])
        assert [(record.point_id, record.trial, record.trial_order) for record in rest] == keys[cut:]
        answers = [one.answer for one in searched(plan, [*whole[:cut], *rest])]
        assert answers == [one.answer for one in searched(plan, whole)]


def test_a_run_that_was_cut_off_is_not_at_its_end(tmp_path: Path) -> None:
    plan = planned(GOODPUT)
    half = run(plan, tmp_path)[:7]
    found = searched(plan, half)
    assert {one.answer.outcome for one in found} == {"unfinished"}
    statuses = Counter(row["status"] for one in found for row in candidate_rows(one))
    assert statuses["open"] + statuses["kept"] + statuses["not_kept"] == 30 and statuses["open"] >= 26


# ---- candidates that fail


def failing(plan: Plan, what: str, *rates: int) -> Script:
    """Workers hang or die at these rates."""
    bad = {p.id for p in plan.points if int(p.work.rate_per_s or 0) in rates and p.tier.name == "fast"}

    armed: list[str] = []

    def script(request: messages.Request) -> str | None:
        if isinstance(request, messages.Arm):
            armed.append(request.point_id)
        return what if isinstance(request, messages.Go) and armed[-1] in bad else None

    return script


@pytest.mark.parametrize(("what", "status"), [("hang", "hang"), ("die", "error")])
def test_a_candidate_that_fails_does_not_keep_the_condition(tmp_path: Path, what: str, status: str) -> None:
    plan = planned(GOODPUT)
    records = run(plan, tmp_path, script=failing(plan, what, 800, 700))
    one = by_tier(searched(plan, records))["fast"]
    assert values(one) == ("found", 600, 700)
    (row,) = (row for row in candidate_rows(one) if row["value"] == 700)
    assert row["status"] == "not_kept" and row["reason"].startswith(f"2 of 2 trials {status}: ")
    assert values(by_tier(searched(plan, records))["slow"]) == ("found", 300, 400), "the other one is not touched"


def test_one_trial_that_fails_is_enough(tmp_path: Path) -> None:
    plan = planned(GOODPUT)
    deaths: list[str] = []
    inner = failing(plan, "die", 800)

    def once(request: messages.Request) -> str | None:
        what = inner(request)
        if what and not deaths:
            deaths.append(what)
            return what
        return None

    records = run(plan, tmp_path, script=once)
    assert values(by_tier(searched(plan, records))["fast"]) == ("found", 700, 800)
    # Going on measures the trial that failed again; it is ok now, so the search takes the other way.
    rest = run(plan, tmp_path, records)
    merged = [*(r for r in records if r.status == "ok"), *rest]
    one = by_tier(searched(plan, merged))["fast"]
    assert values(one) == ("found", 1000, 1100)
    assert one.reason == "" and {r.point_id for r in rest} < candidates_of(plan)
    kept = {row["value"] for row in candidate_rows(one) if row["status"] == "kept"}
    assert {700, 800, 1000} <= kept, "what was measured on the way to the other answer is kept"


def test_what_speaks_against_the_answer_is_said(tmp_path: Path) -> None:
    """700 fails for good, 800 only in the first run: then 700 lies below an answer that it contradicts."""
    plan = planned(GOODPUT)
    records = run(plan, tmp_path, script=failing(plan, "die", 800, 700))
    rest = run(plan, tmp_path, [r for r in records if r.status == "ok"], failing(plan, "die", 700))
    point = {p.id for p in plan.points if int(p.work.rate_per_s or 0) == 700}
    merged = [*(r for r in records if r.status == "ok" or r.point_id in point), *rest]
    one = by_tier(searched(plan, merged))["fast"]
    assert values(one) == ("found", 1000, 1100)
    assert one.reason == "what was measured at 700 /s speaks against it: the condition changes more than once"


@pytest.mark.parametrize(("slowed_ms", "doubtful"), [(900, True), (50, False)])
def test_a_machine_that_changed_meanwhile_makes_the_answer_doubtful(
    tmp_path: Path, slowed_ms: int, doubtful: bool
) -> None:
    """At 400 /s `slow` does better than at 300 /s, and neither keeps the target."""
    plan = planned(GOODPUT)
    rates = {point.id: int(point.work.rate_per_s or 0) for point in plan.points if point.tier.name == "slow"}
    records = [
        attrs.evolve(record, measures={**record.measures, "latency_p50_ns": slowed_ms * 10**6})
        if rates.get(record.point_id) == 300
        else record
        for record in run(plan, tmp_path)
    ]
    one = by_tier(searched(plan, records))["slow"]
    # 200 /s was not needed before; now it is.
    rest = run(plan, tmp_path, records)
    one = by_tier(searched(plan, [*records, *rest]))["slow"]
    assert values(one) == ("found", 200, 300)
    assert one.reason.startswith("doubtful: latency_p50 was 900 ms at 300 /s and ") is doubtful


def test_an_unavailable_tier_gives_no_answer(tmp_path: Path) -> None:
    plan = planned(GOODPUT)
    fast = {point.id for point in plan.points if point.tier.name == "fast"}
    good = [record for record in run(plan, tmp_path) if record.point_id not in fast]
    chain = [p for p in plan.points if p.id in fast]
    lost = [TrialRecord(p.id, trial, 0, "unavailable", "no such device", 0) for p in chain for trial in (1, 2)]
    found = by_tier(searched(plan, [*good, *lost]))
    assert values(found["fast"])[0] == "not_judged" and "no such device" in found["fast"].reason
    assert values(found["slow"])[0] == "found"


def test_expectations_are_not_judged_where_nothing_was_needed(tmp_path: Path) -> None:
    plan = planned(GOODPUT + "\n expect errors == 0")
    records = run(plan, tmp_path)
    ran = {record.point_id for record in records}
    verdicts = judge(plan, records)
    assert {verdict.point_id for verdict in verdicts} == ran and len(ran) == 8
    assert {verdict.outcome for verdict in verdicts} == {"pass"}


def test_every_search_ends_whatever_is_seen() -> None:
    """`next_candidate` never asks for one that is known, so that a conductor cannot run for ever."""
    plan = planned(GOODPUT)
    for find in plan.finds:
        seen: dict[int, Seen] = {}
        while (index := next_candidate(find, seen)) is not None:
            assert index not in seen
            seen[index] = Seen(index % 2 == 0, None)
