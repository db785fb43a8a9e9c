"""What is searched: which points, in which order, and what is said of a `find` that cannot be followed."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kvscen.language.values import format_value
from kvscen.plan.point import Find, Plan
from kvscen.plan.render import plan_json
from tests.semantics.support import HEAD, expanded, plan, problems, sweep

RATES = "tier = disk; pages.rate in [4000 /s, 1000 /s, 2000 /s]; time = 2 s"
GOODPUT = "find highest pages.rate where latency_p99 <= 5 ms"


def values(find: Find) -> list[str]:
    return [format_value(candidate.value) for candidate in find.candidates]


def others(found: Plan) -> list[str]:
    return [" ".join(f"{k}={format_value(v)}" for k, v in find.others.items()) for find in found.finds]


def ids(found: Plan) -> set[str]:
    return {candidate.point_id for find in found.finds for candidate in find.candidates}


def test_candidates_ascend_in_whatever_order_they_are_written() -> None:
    found = plan(sweep(f"{RATES}; {GOODPUT}"))
    (find,) = found.finds
    assert values(find) == ["1000 /s", "2000 /s", "4000 /s"]
    assert (find.kind, find.path, find.text, find.others) == ("highest", "pages.rate", GOODPUT, {})
    (condition,) = find.conditions
    assert (condition.measure, condition.operator, format_value(condition.value)) == ("latency_p99", "<=", "5 ms")
    # The plan itself keeps the order of the text, and its points are those of a plan that searches nothing.
    bare = plan(sweep(RATES))
    assert [point.id for point in found.points] == [point.id for point in bare.points]
    assert plan_json(bare) == {k: v for k, v in plan_json(found).items() if k != "searches"}


def test_each_combination_of_the_other_axes_is_searched_by_itself() -> None:
    found = plan(sweep(f"tier in [disk, dram]; {RATES.removeprefix('tier = disk; ')}; pages.op in [read]; {GOODPUT}"))
    assert others(found) == ["tier=disk pages.op=read", "tier=dram pages.op=read"]
    assert [values(find) for find in found.finds] == [["1000 /s", "2000 /s", "4000 /s"]] * 2
    assert len(ids(found)) == 6


def test_the_axes_may_stand_in_any_order() -> None:
    one = plan(sweep("tier in [disk, dram]; pages.threads in [1, 2]; find saturation of throughput over pages.threads"))
    other = plan(
        sweep("pages.threads in [2, 1]; tier in [disk, dram]; find saturation of throughput over pages.threads")
    )
    assert {frozenset(c.point_id for c in find.candidates) for find in one.finds} == {
        frozenset(c.point_id for c in find.candidates) for find in other.finds
    }
    assert [values(find) for find in (*one.finds, *other.finds)] == [["1", "2"]] * 4


def test_points_that_do_not_reach_the_axis_belong_to_no_search() -> None:
    found = plan(sweep("tier in [disk, dram]; disk.queue in [1, 2, 4]; find saturation of throughput over disk.queue"))
    (find,) = found.finds
    assert (values(find), others(found)) == (["1", "2", "4"], ["tier=disk"])
    assert [point.tier.name for point in found.points if point.id not in ids(found)] == ["dram"]


def test_equal_and_skipped_points_are_no_candidates() -> None:
    merged = plan(sweep("tier = disk; pages.threads in linear(1, 3, 9); find lowest pages.threads where errors == 0"))
    assert values(merged.finds[0]) == ["1", "2", "3"]
    skipping = "tier in [disk, dram]; pages.threads in [1, 2, 3]; skip when tier == dram and pages.threads > 1; "
    found = plan(sweep(f"{skipping} find highest pages.threads where errors == 0"))
    assert [values(find) for find in found.finds] == [["1", "2", "3"], ["1"]]


def test_an_axis_of_several_paths_goes_along() -> None:
    text = "tier in [disk, dram]; (pages.threads, pages.depth) in [(4, 1), (1, 8), (2, 4)]; "
    found = plan(sweep(text + "find saturation of operations_per_s over pages.threads within 10 %"))
    assert [values(find) for find in found.finds] == [["1", "2", "4"]] * 2
    assert others(found) == ["tier=disk", "tier=dram"]
    assert {(find.measure, find.share) for find in found.finds} == {("operations_per_s", Fraction(1, 10))}


def test_lets_and_the_sweeps_own_settings_can_be_searched() -> None:
    text = "let n = 1\n" + sweep("tier = disk; n in [1, 2]; pages.threads = n; find highest n where errors == 0", "")
    assert values(plan(HEAD + text).finds[0]) == ["1", "2"]
    own = plan(sweep("tier = disk; operations in [2000, 4000]; find lowest operations where latency_p99 <= 1 s"))
    assert values(own.finds[0]) == ["2000", "4000"]


def test_a_limit_may_follow_another_axis_but_not_the_one_that_is_searched() -> None:
    size = HEAD + "let size = 1 MiB\n"
    text = "tier = disk; size in [1 MiB, 2 MiB]; pages.block = size; pages.depth in [1, 2]; "
    found = plan(size + sweep(text + "find lowest pages.depth where throughput >= 100 * size / 1 s", ""))
    assert [format_value(find.conditions[0].value) for find in found.finds] == ["100 MiB/s", "200 MiB/s"]
    wrong = problems(size + sweep(text + "find lowest size where throughput >= 100 * size / 1 s", ""))
    assert [d.code for d in wrong] == ["KVS120"] and wrong[0].span is not None
    assert wrong[0].span.text == "100 * size / 1 s"
    share = HEAD + "let part = 5 %\n"
    text = "tier = disk; part in [5 %, 9 %]; pages.op = mixed; pages.reads = part; pages.depth in [1, 2]; "
    shares = plan(share + sweep(text + "find saturation of throughput over pages.depth within part", "")).finds
    assert [find.share for find in shares] == [Fraction(5, 100), Fraction(9, 100)]


# ---- bases and pins

BASE = f"""
sweep base {{ pattern = pages; seed = 1; {RATES}; {GOODPUT} }}
sweep next : base {{ %s }}
"""


def derived(body: str, *pins: str) -> Plan:
    return plan(HEAD + BASE % body, pins=pins, sweeps=("next",))


def test_a_derived_sweep_has_the_search_of_its_base_or_its_own() -> None:
    assert [find.text for find in derived("").finds] == [GOODPUT]
    other = "find lowest pages.rate where throughput >= 1 MiB/s"
    assert [find.text for find in derived(other).finds] == [other]
    assert values(derived("pages.rate in [3000 /s, 9000 /s]").finds[0]) == ["3000 /s", "9000 /s"]


@pytest.mark.parametrize(
    ("body", "pins"), [("pages.rate = 9 /s", ()), ("", ("pages.rate=9 /s",)), ("pages.rate in [9 /s]", ())]
)
def test_one_value_is_run_and_nothing_searched(body: str, pins: tuple[str, ...]) -> None:
    done = expanded(HEAD + BASE % body, pins=pins, sweeps=("next",))
    assert [d.code for d in done.diagnostics] == ["KVS128"]
    assert done.plan is not None and done.plan.finds == () and len(done.plan.points) == 1


# ---- what cannot be followed


@pytest.mark.parametrize(
    ("code", "marked", "body"),
    [
        (
            "KVS112",
            "find lowest pages.rate where errors == 0",
            f"{RATES}; {GOODPUT}; find lowest pages.rate where errors == 0",
        ),
        ("KVS127", "pages.depth", f"{RATES}; find highest pages.depth where errors == 0"),
        ("KVS102", "pages.rat", f"{RATES}; find highest pages.rat where errors == 0"),
        ("KVS121", "latency_p98", f"{RATES}; find highest pages.rate where latency_p98 <= 1 ms"),
        ("KVS121", "speed", f"{RATES}; find saturation of speed over pages.rate"),
        ("KVS120", "5", f"{RATES}; find highest pages.rate where latency_p99 <= 5"),
        ("KVS105", "5", f"{RATES}; find saturation of throughput over pages.rate within 5"),
        ("KVS105", "200 %", f"{RATES}; find saturation of throughput over pages.rate within 200 %"),
        ("KVS129", "read", "tier = disk; pages.op in [read, write]; find highest pages.op where errors == 0"),
        ("KVS129", "true", "tier = disk; disk.direct in [true, false]; find highest disk.direct where errors == 0"),
        (
            "KVS129",
            "pages.depth",
            "tier = disk; (pages.depth, pages.threads) in [(1, 1), (1, 2)]; find highest pages.depth where errors == 0",
        ),
        ("KVS405", "dram.hit_rate > 1 %", f"{RATES}; find highest pages.rate where dram.hit_rate > 1 %"),
        ("KVS405", "latency_p999 <= 5 ms", f"{RATES}; find highest pages.rate where latency_p999 <= 5 ms"),
        (
            "KVS405",
            "request_latency_p99 <= 5 ms",
            f"{RATES}; pages.batch = 8; find highest pages.rate where request_latency_p99 <= 5 ms",
        ),
        (
            "KVS405",
            "batch_latency_p50 <= 5 ms",
            "tier = disk; pages.batch = 8; operations in [80, 800]; "
            "find lowest operations where batch_latency_p50 <= 5 ms",
        ),
    ],
)
def test_what_cannot_be_searched(code: str, marked: str, body: str) -> None:
    found = problems(sweep(body))
    assert [d.code for d in found] == [code], found
    assert found[0].span is not None and found[0].span.text == marked


@pytest.mark.parametrize(
    "measure", ["latency_p99 <= 5 ms", "request_latency_p50 <= 5 ms", "errors == 0", "throughput >= 1 B/s"]
)
def test_what_can(measure: str) -> None:
    assert not problems(sweep(f"{RATES}; find highest pages.rate where {measure}"))


USERS = """
pattern chats : conversations { block = 64 KiB; page = 16 tokens; requests = %d }
sweep s {
  pattern = chats; tier = disk; seed = 1
  chats.users in [1, 2, 4]
  find highest chats.users where %s
}
"""


def test_of_conversations_the_requests_count() -> None:
    assert not problems(HEAD + USERS % (1000, "request_latency_p99 <= 50 ms and qos_missed == 0"))
    found = problems(HEAD + USERS % (999, "request_latency_p99 <= 50 ms"))
    assert [(d.code, "1,000 requests" in d.message, "999" in d.message) for d in found] == [("KVS405", True, True)]
    assert not problems(HEAD + USERS % (100, "request_latency_p50 <= 50 ms"))


def test_find_stands_in_sweeps_only() -> None:
    found = problems(HEAD + "tier b : ssd { find highest queue where errors == 0 }\n" + sweep("tier = disk", ""))
    assert [(d.code, d.message) for d in found] == [("KVS116", "`find` stands in sweeps only, and this is a tier")]
