"""Runs whose reports are kept as golden files: each shows something that a reader must see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import attrs

from kvscen.language.values import Quantity, Symbol, Value
from kvscen.plan.point import Candidate, Expectation, Find, FindKind, Plan, Point
from kvscen.plan.render import plan_json
from kvscen.plan.traffic import Flow, Step, Traffic
from kvscen.results.folder import write_inputs
from kvscen.results.journal import Journal
from kvscen.results.judge import judge
from kvscen.results.record import TrialRecord
from kvscen.results.searches import searched
from kvscen.results.tables import write_tables
from tests.results.support import (
    MIB,
    RUN_ID,
    expectation,
    make_plan,
    make_point,
    make_record,
    measures,
    share,
)

Scene = tuple[Plan, list[TrialRecord]]

FAST = expectation(
    "throughput", ">=", Quantity.of(200, "MiB/s"), "expect throughput >= 200 MiB/s when pages.op == read"
)
CLEAN = expectation("errors", "==", Quantity.of(0))
TAIL = expectation("latency_p999", "<=", Quantity.of(12, "ms"))


def plain() -> Scene:
    """Write and read, 1 and 10 requests: all well."""
    cases = [("write", 1), ("write", 10), ("read", 1), ("read", 10)]
    points = [
        make_point(
            number,
            op=op,
            axes={"pages.op": Symbol(op), "pages.requests": Quantity.of(requests)},
            batch=63 * requests,
            requests=requests,
            trials=5,
            expectations=(CLEAN, FAST) if op == "read" else (CLEAN,),
        )
        for number, (op, requests) in enumerate(cases, 1)
    ]
    records = [
        make_record(point, trial, values=measures(1000 + 300 * point.index + 7 * trial, 900 + 200 * point.index))
        for point in points
        for trial in range(1, 6)
    ]
    return make_plan(*points, scenario="llama70b"), records


def troubled() -> Scene:
    """A hang, a cache that plays the device, percentiles of too few operations, expectations that fail."""
    plan, records = plain()
    points = [
        make_point(
            point.index,
            op=point.work.op,
            axes=point.axes,
            batch=point.work.batch,
            requests=point.work.requests,
            trials=5,
            expectations=(CLEAN, FAST, TAIL),
        )
        for point in plan.points
    ]
    changed = []
    for record in records:
        number = int(record.point_id, 16)
        if number == 1:
            values = measures(1300 + record.trial, 900, operations=400)
            changed.append(make_record(record.point_id, record.trial, values=values))
        elif number == 2 and record.trial == 3:
            changed.append(make_record(record.point_id, 3, "hang", "nothing completed for 30 s; the worker was killed"))
        elif number == 3:
            values = {**record.measures, "device_ratio": 0.41}
            changed.append(make_record(record.point_id, record.trial, values=values))
        elif number == 4:
            values = {**record.measures, "device_ratio": 0.02, "path": "page cache", "path_evidence": "buffered I/O"}
            changed.append(make_record(record.point_id, record.trial, values=values))
        else:
            changed.append(record)
    return make_plan(*points, scenario="llama70b"), changed


def unavailable() -> Scene:
    """One tier is not on this machine, another fails, a third is corrupt: what is left is said."""
    points = [
        make_point(number, tier=tier, driver=driver, axes={"tier": Symbol(tier)}, expectations=(FAST,))
        for number, (tier, driver) in enumerate([("disk", "posix"), ("gpu_direct", "gds"), ("cold", "posix")], 1)
    ]
    records = [make_record(points[0], trial, values=measures(50, 40_000, operations=60)) for trial in (1, 2)]
    records.append(make_record(points[0], 3, "corrupt", "key 17 sector 3: generation 4 instead of 5", {"errors": 1}))
    records += [make_record(points[1], trial, "unavailable", "no GPU on this machine") for trial in (1, 2, 3)]
    records += [make_record(points[2], trial, "error", "EIO: Input/output error", {"errors": 4}) for trial in (1, 2, 3)]
    return make_plan(*points, scenario="tiers"), records


def open_loop() -> Scene:
    """Offered and achieved rate, hit rate, errors, a spread over 5 %, one column of the driver's."""
    points = [
        make_point(
            number,
            axes={"pages.rate": Quantity.of(rate, "/s")},
            sweep="load",
            expectations=(expectation("dram.hit_rate", ">=", share("60")),),
        )
        for number, rate in enumerate((100, 1000, 10_000), 1)
    ]
    records = []
    for point in points:
        rate = 10 ** (1 + point.index)
        for trial in (1, 2, 3):
            values = measures(
                rate / 10 * (1 + trial / 9),
                120 * 4**point.index,
                offered_per_s=float(rate),
                achieved_per_s=rate * (1.0 if point.index < 3 else 0.83),
                hit_rate=0.7 + point.index / 50,
                lookups=1000,
                hits=700,
                errors=point.index - 1,
                queue_depth_max=point.index * 3,
                engine="io_uring",
            )
            rows = ({"tier": "dram", "lookups": 10, "hits": 7}, {"tier": "dram", "to_tier": "disk", "operations": 3})
            records.append(make_record(point, trial, values=values, tiers=rows))
    return make_plan(*points, scenario="serving"), records


def restless() -> Scene:
    """Rates that wait for a steady load: one keeps up, one does not in a trial, one never does."""
    points = [
        make_point(number, axes={"pages.rate": Quantity.of(rate, "/s")}, sweep="load")
        for number, rate in enumerate((100, 1000, 10_000), 1)
    ]
    records = []
    for point in points:
        rate = 10 ** (1 + point.index)
        for trial in (1, 2, 3):
            uneven, drift = point.index == 2 and trial == 2, 0.17 if point.index == 3 else 0.002
            values = measures(
                min(rate, 8300) / 10,
                120 * 4**point.index,
                offered_per_s=float(rate),
                achieved_per_s=min(rate, 8300.0),
                backlog=0 if point.index < 3 else 51_000 + trial,
                steady=point.index < 3 and not uneven,
                rounds=12 if uneven or point.index == 3 else 5,
                steady_range=0.31 if uneven else 0.02,
                steady_slope=0.01,
                steady_drift=drift,
            )
            records.append(make_record(point, trial, values=values))
    return make_plan(*points, scenario="serving"), records


def wide() -> Scene:
    """Long values of axes, and more columns than fit."""
    long = "/mnt/a-very-long-name-of-a-mounted-file-system/with/more/below"
    points = [
        make_point(
            number,
            axes={"disk.path": path, "disk.direct": direct, "pages.block": Quantity.of(size, "MiB")},
            block_bytes=size * MIB,
            threads=number,
            batch=number * 8,
        )
        for number, (path, direct, size) in enumerate([(long, True, 1), ("./kv-data", False, 64)], 1)
    ]
    paths = {1: "direct", 2: "page cache"}
    records = [
        make_record(p, t, values=measures(900 * p.index, path=paths[p.index], depth_used=8 * p.index))
        for p in points
        for t in (1, 2, 3)
    ]
    return make_plan(*points, scenario="wide"), records


def single() -> Scene:
    """One point, one trial: everything is shared, there is no spread."""
    point = make_point(1, axes={}, trials=1)
    return make_plan(point, scenario="one"), [make_record(point, 1)]


def interrupted() -> Scene:
    """Ctrl-C in the middle: what is missing, and how to go on."""
    plan, records = plain()
    return plan, [*records[:7], make_record(records[7].point_id, 3, "interrupted", "Ctrl-C")]


def two_sweeps() -> Scene:
    """A table for each sweep; verdicts name theirs."""
    points = [
        make_point(1, sweep="reads", axes={"pages.op": Symbol("read")}, expectations=(CLEAN,)),
        make_point(2, sweep="writes", op="write", axes={"pages.op": Symbol("write")}, expectations=(CLEAN,)),
    ]
    records = [make_record(point, trial) for point in points for trial in (1, 2, 3)]
    return make_plan(*points, scenario="both"), records


def ceiling() -> Scene:
    """fio beside the trials: a ratio for each point, and a point for which there is none."""
    points = [
        make_point(
            number,
            axes={"disk.engine": Symbol(engine)},
            expectations=(expectation("ceiling_ratio", ">=", Quantity.of(Fraction(95, 100))),),
        )
        for number, engine in enumerate(("io_uring", "threads", "libaio"), 1)
    ]
    records = []
    for point in points:
        for trial in (1, 2, 3):
            ratio = (0.94, 0.97, 1.02)[trial - 1] - point.index / 100
            held = {
                "ceiling_ratio": ratio,
                "ceiling_bytes_per_s": 1000 * MIB / ratio,
                "ceiling_tool": f"fio-3.33 {('io_uring', 'psync')[point.index % 2]}, huge pages",
            }
            if point is points[2]:
                held = {"ceiling_note": "no ceiling: fio is not installed here; get it with `apt-get install fio`"}
            records.append(make_record(point, trial, values=measures(1000, 4000, **held)))
    return make_plan(*points, scenario="held"), records


def traffic() -> Scene:
    """Steps alone and in the sequence, with and without computing, of two sizes far apart; one sequence has no trial
    that is ok."""
    flows = ((Flow(0, 2, 24 * MIB), Flow(1, 2, 8 * MIB)), (Flow(1, 3, 3 * 1024),))
    cases = [("isolated", None), ("sequence", 0), ("sequence", 5), ("sequence", 50)]
    points = []
    for number, (mode, compute) in enumerate(cases, 1):
        axes: dict[str, Value] = {"flow.mode": Symbol(mode)}
        if compute is not None:
            axes["flow.compute"] = Quantity.of(compute, "ms")
        steps = tuple(Step(own, (compute or 0) * 10**6) for own in flows)
        points.append(
            make_point(number, op="write", axes=axes, processes=4, traffic=Traffic(4, mode, steps), batch=2)  # type: ignore[arg-type]
        )
    records = []
    for point, slower in zip(points[:3], (1.0, 1.31, 1.07), strict=True):
        for trial in range(1, 4):
            values = measures(2000 / slower, 4000, note="4 ranks on 2 CPUs: they wait", path="shm", device_ratio=None)
            own = (step_row(point, 0, 11_000_000, slower, trial), step_row(point, 1, 9_000, slower, trial))
            records.append(make_record(point, trial, values=values, steps=own))
    records += [make_record(points[3], trial, "error", "2 operations failed") for trial in (1, 2, 3)]
    return make_plan(*points, scenario="traffic"), records


def step_row(point: Point, number: int, alone_ns: int, slower: float, trial: int) -> dict[str, object]:
    traffic = point.work.traffic
    assert traffic is not None
    step, latency = traffic.steps[number], round(alone_ns * slower * (1 + trial / 100))
    return {
        "step": number,
        "bytes": step.nbytes,
        "transfers": len(step.flows),
        "senders": len(step.senders),
        "receivers": len(step.receivers),
        "compute_ns": step.compute_ns if traffic.mode == "sequence" else None,
        "passes": 40 + trial,
        "errors": 0,
        "latency_median_ns": latency,
        "latency_mean_ns": latency * 1.1,
        "latency_min_ns": latency // 2,
        "latency_max_ns": latency * 3,
        "start_spread_ns": 1000,
        "throughput_bytes_per_s": step.nbytes * 1e9 / latency,
        "sender_bytes_per_s": step.nbytes * 0.7e9 / latency,
    }


GOODPUT = (
    expectation("latency_p99", "<=", Quantity.of(5, "ms"), "latency_p99 <= 5 ms"),
    expectation("errors", "==", Quantity.of(0), "errors == 0"),
)
RATES = (100, 200, 400, 800, 1600)


def searching() -> Scene:
    """Goodput of five tiers: found, beyond the range, none, a candidate that fails, one that is not there; a knee."""
    serves = {"disk": 500, "dram": 10_000, "tape": 10, "net": 900, "gds": 0}
    text = "find highest pages.rate where latency_p99 <= 5 ms and errors == 0"
    points: list[Point] = []
    records: list[TrialRecord] = []
    finds: list[Find] = []
    for tier, most in serves.items():
        axes: list[dict[str, Value]] = [{"tier": Symbol(tier), "pages.rate": Quantity.of(rate, "/s")} for rate in RATES]
        own = [make_point(len(points) + n, axes=a, tier=tier, sweep="capacity") for n, a in enumerate(axes, 1)]
        points += [attrs.evolve(point, expectations=(CLEAN,)) for point in own]
        finds.append(a_find("capacity", "highest", "pages.rate", own, text, {"tier": Symbol(tier)}, GOODPUT))
        kept = sum(rate <= most for rate in RATES)
        for index in {5: (2, 3, 4), 4: (2, 3, 4), 3: (2, 3), 0: (2, 0)}[kept]:
            for trial in (1, 2, 3):
                records.append(candidate(own[index], trial, RATES[index], most, tier))
    depths = [make_point(100 + n, axes={"pages.depth": Quantity.of(n)}, sweep="knee") for n in (1, 2, 4, 8, 16, 32)]
    knee = "find saturation of throughput over pages.depth within 10 %"
    finds.append(
        attrs.evolve(
            a_find("knee", "saturation", "pages.depth", depths, knee), measure="throughput", share=Fraction(1, 10)
        )
    )
    for point, rate in zip(depths, (300, 600, 1000, 1040, 1060), strict=False):
        records += [make_record(point, trial, values=measures(rate + trial)) for trial in (1, 2, 3)]
    return attrs.evolve(make_plan(*points, *depths, scenario="serving"), finds=tuple(finds)), records


def candidate(point: Point, trial: int, rate: int, most: int, tier: str) -> TrialRecord:
    if tier == "gds":
        return make_record(point, trial, "unavailable", "no GPU on this machine")
    if tier == "net" and rate > most and trial == 2:
        return make_record(point, 2, "error", "3 operations failed; the first: ECONNRESET")
    slow = 300 if rate <= most else 40_000
    return make_record(point, trial, values=measures(min(rate, most), slow, offered_per_s=float(rate)))


def a_find(
    sweep: str,
    kind: FindKind,
    path: str,
    points: list[Point],
    text: str,
    others: Mapping[str, Value] | None = None,
    conditions: tuple[Expectation, ...] = (),
) -> Find:
    candidates = tuple(Candidate(point.id, number(point.axes[path])) for point in points)
    return Find(sweep, kind, path, candidates, text, others or {}, conditions)


def number(value: Value) -> Quantity:
    assert isinstance(value, Quantity)
    return value


def search_interrupted() -> Scene:
    """Ctrl-C in the middle of a search: nothing is missing that may not be needed."""
    plan, records = searching()
    ids = {point.id for point in plan.points[:5]}
    some = [record for record in records if record.point_id in ids][:3]
    finds = tuple(find for find in plan.finds if find.others.get("tier") == Symbol("disk"))
    return attrs.evolve(plan, points=plan.points[:5], finds=finds), some


def networked() -> Scene:
    """Blocks over a network: a batch that shares one delivers more than crosses the wire."""
    points = [
        make_point(
            number,
            tier="kv",
            driver="memkv",
            axes={"pages.keys": Quantity.of(keys)},
            block_bytes=MIB,
            batch=16,
        )
        for number, keys in enumerate((1, 16), 1)
    ]
    records = [
        make_record(
            point,
            trial,
            values=measures(
                1100.0,
                500,
                path="tcp",
                path_evidence="TCP connections of eth0; TCP counted the bytes that we did",
                wire_throughput_bytes_per_s=1101.0 * MIB / (16 if point.index == 1 else 1),
                wire_ratio=15.9 if point.index == 1 else 0.99,
            ),
        )
        for point in points
        for trial in range(1, 4)
    ]
    return make_plan(*points, scenario="coalescing"), records


SCENES: Mapping[str, Callable[[], Scene]] = {
    scene.__name__: scene
    for scene in (
        plain,
        troubled,
        ceiling,
        unavailable,
        open_loop,
        restless,
        wide,
        single,
        interrupted,
        two_sweeps,
        traffic,
        searching,
        search_interrupted,
        networked,
    )
}


def lay_out(folder: Path, scene: Scene, tables: bool = True) -> Path:
    """The folder of a run as `kvscen run` leaves it, or, without its tables, as one that was killed."""
    plan, records = scene
    folder.mkdir(parents=True)
    write_inputs(folder, plan, plan_json(plan), {"versions": {"kvscen": "0.1.0"}}, RUN_ID)
    with Journal.create(folder) as journal:
        for record in records:
            journal.append(record)
    if tables:
        write_tables(folder, plan, records, RUN_ID, judge(plan, records), searched(plan, records))
    return folder
