"""Measures, statuses, tables and their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kvscen.explain.meaning import Meaning, table
from kvscen.language.values import BANDWIDTH, BYTES, NUMBER, RATE, TIME, TOKEN_RATE, TOKENS, Dimension
from kvscen.plugin.contract import Driver
from kvscen.results.measures import (
    LATENCIES,
    MEASURES,
    NOUNS,
    OPERATIONS_ABOVE,
    PERCENTILES,
    STATISTICS,
    TIER_MEASURES,
    MeasureInfo,
)
from kvscen.results.record import STATUSES
from kvscen.results.reference import ROWS, type_name
from kvscen.results.schema import SETTINGS, TABLES, TRIALS, Column

#: A value of each dimension, for an example.
_EXAMPLES: Mapping[Dimension, str] = {
    NUMBER: "0",
    BYTES: "1 GiB",
    TIME: "10 ms",
    TOKENS: "1000 tokens",
    RATE: "1000 /s",
    BANDWIDTH: "2 GiB/s",
    TOKEN_RATE: "1000 tokens/s",
}


def measures() -> Iterator[Meaning]:
    for info in MEASURES.values():
        yield measure(info)
    for info in TIER_MEASURES.values():
        yield measure(info, "TIER")


def measure(info: MeasureInfo, tier: str | None = None) -> Meaning:
    """`tier` is the name of the one that it is measured of."""
    name = f"{tier}.{info.name}" if tier else info.name
    column = f"{'tiers' if tier else 'trials'}.parquet: {info.column}"
    facts = [("write", f"expect {name} {_example(info)}"), ("column", f"{column} [{info.unit}]")]
    judged = "the sum over all trials that ran" if info.is_count else "the median of the trials that are ok"
    facts.append(("judged on", judged))
    if info.percentile is not None:
        facts.append(("needs", f"{info.least_operations:,} operations in a trial; with fewer it is not printed"))
    return Meaning("measures", (name, info.name, info.column), "a measure", info.description, facts=tuple(facts))


def _example(info: MeasureInfo) -> str:
    if info.percent:
        return ">= 90 %"
    if info.dimension == NUMBER:
        return "== 0" if info.is_count else "<= 1"
    return f"{'<=' if info.dimension == TIME else '>='} {_EXAMPLES[info.dimension]}"


def statistics() -> Iterator[Meaning]:
    """Parts of the names of measures: `p99`, and `latency`."""
    for statistic, words in STATISTICS.items():
        rows = [(info.name, info.description) for info in MEASURES.values() if info.name.endswith(f"_{statistic}")]
        share = PERCENTILES.get(statistic)
        brief = f"the {words}"
        if share is not None:
            least = -(-OPERATIONS_ABOVE // (1 - share))
            brief = (
                f"{float(share * 100):g} of 100 values lie below it; printed only where at least {OPERATIONS_ABOVE} "
                f"operations of a trial lie above it, which takes {least:,}"
            )
        yield Meaning("families of measures", (statistic,), "the end of measures' names", brief, lines=table(rows))
    for family, (what, _) in LATENCIES.items():
        rows = [(info.name, info.column) for info in MEASURES.values() if info.name in _family(family)]
        brief = f"{NOUNS.get(family, 'latency')} {what}"
        yield Meaning("families of measures", (family,), "the beginning of measures' names", brief, lines=table(rows))


def _family(family: str) -> set[str]:
    return {f"{family}_{statistic}" for statistic in STATISTICS}


def driver_measures(drivers: Mapping[str, Driver]) -> Iterator[Meaning]:
    for name, driver in drivers.items():
        for measure in driver.measures:
            unit = f" [{measure.unit}]" if measure.unit else ""
            yield Meaning(
                "columns of drivers",
                (measure.name, f"{name}.{measure.name}"),
                f"a column that the driver {name} adds to trials.parquet",
                f"{measure.description}{unit}",
            )


def statuses() -> Iterator[Meaning]:
    for status, meaning in STATUSES.items():
        left_out = "" if status == "ok" else "no median and no spread has it; the table says what was left out, and why"
        yield Meaning(
            "statuses",
            (status,),
            "a status",
            f"the trial {meaning}",
            facts=(("in medians", left_out),) if left_out else (),
        )


def tables() -> Iterator[Meaning]:
    for name, columns in _tables().items():
        rows = [(column.name, column.description) for column in columns]
        yield Meaning(
            "tables",
            (f"{name}.parquet", name),
            "a table that a run leaves",
            f"one row for {ROWS[name]}",
            lines=table(rows),
        )


def columns() -> Iterator[Meaning]:
    """Those that are no measure; the same column of several tables once."""
    measured = {info.column for info in MEASURES.values()}
    alike: dict[str, dict[Column, list[str]]] = {}
    for name, columns in _tables().items():
        for column in columns:
            if name != "trials" or column.name not in measured:
                alike.setdefault(column.name, {}).setdefault(column, []).append(name)
    for name, different in alike.items():
        if len(different) > 1:
            said = [f"{', '.join(having)}: {column.description}" for column, having in different.items()]
            yield Meaning("columns", (name,), "a column of several tables", "; ".join(said))
        for column, having in different.items():
            qualified = [f"{each}.{name}" for each in having]
            of = ", ".join(having) if len(having) < len(_tables()) else "every table"
            yield Meaning(
                "columns",
                (*((name,) if len(different) == 1 else ()), *qualified),
                f"a column of {of}",
                column.description,
                facts=(("type", type_name(column)), ("unit", column.unit or "none")),
            )


def _tables() -> Mapping[str, tuple[Column, ...]]:
    return {"trials": (*TRIALS, SETTINGS), **TABLES}
