"""What a trial measures: one declaration for the columns of trials.parquet, for `expect` and for the report.

Light to import: the language asks this module what an expectation may name. A measure is called by its column without
the unit (`latency_p99_ns` is `latency_p99`); only `operations_per_s` keeps it, for `operations` is the count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Literal, TypeAlias

import attrs

from kvscen.language.values import BANDWIDTH, BYTES, NUMBER, RATE, TIME, TOKEN_RATE, TOKENS, Dimension

NumberType: TypeAlias = Literal["int64", "float64"]

#: A percentile is printed only where at least this many operations lie above it.
OPERATIONS_ABOVE = 10


@attrs.frozen
class MeasureInfo:
    """One measure. A value of its `column` times `scale` is in the language's base units (bytes, seconds, tokens).

    `is_count`: judged on the sum over all trials that ran; every other measure on the median of the trials that are ok.
    `percent`: a share that the language writes with `%`. `percentile`: which part of the operations lies below.
    """

    name: str
    column: str
    type: NumberType
    unit: str
    dimension: Dimension
    description: str
    scale: Fraction = Fraction(1)
    percent: bool = False
    is_count: bool = False
    percentile: Fraction | None = None

    @property
    def least_operations(self) -> int:
        """How many operations this measure needs before it is printed."""
        if self.percentile is None:
            return 1
        needed = OPERATIONS_ABOVE / (1 - self.percentile)
        return -(-needed.numerator // needed.denominator)


#: Unit of a column -> dimension, base units in one, and the ending of the column's name.
UNITS_OF_COLUMNS: Mapping[str, tuple[Dimension, Fraction, str]] = {
    "operations": (NUMBER, Fraction(1), ""),
    "1": (NUMBER, Fraction(1), ""),
    "B": (BYTES, Fraction(1), "_bytes"),
    "ns": (TIME, Fraction(1, 10**9), "_ns"),
    "B/s": (BANDWIDTH, Fraction(1), "_bytes_per_s"),
    "tokens": (TOKENS, Fraction(1), "_tokens"),
    "1/s": (RATE, Fraction(1), "_per_s"),
    "tokens/s": (TOKEN_RATE, Fraction(1), "_per_s"),
    "s/GiB": (NUMBER, Fraction(1), ""),
}

#: The percentiles by their name in a column.
PERCENTILES: Mapping[str, Fraction] = {
    "p50": Fraction(1, 2),
    "p90": Fraction(9, 10),
    "p95": Fraction(19, 20),
    "p99": Fraction(99, 100),
    "p999": Fraction(999, 1000),
    "p9999": Fraction(9999, 10000),
}


def _measure(
    column: str, unit: str, description: str, type: NumberType = "int64", *, count: bool = False, percent: bool = False
) -> MeasureInfo:
    dimension, scale, ending = UNITS_OF_COLUMNS[unit]
    name = column if column.endswith("operations_per_s") else column.removesuffix(ending)
    percentile = PERCENTILES.get(name.rpartition("_")[2])
    return MeasureInfo(name, column, type, unit, dimension, description, scale, percent, count, percentile)


#: Families of times -> what each is the time of, and which statistics it has.
LATENCIES: Mapping[str, tuple[str, str]] = {
    "latency": ("of one block, from when it was due (open loop) or submitted (closed loop) to its completion", "all"),
    "read_latency": ("of one block that was read, where reads and writes are mixed", "p50 p99"),
    "write_latency": ("of one block that was written, where reads and writes are mixed", "p50 p99"),
    "batch_latency": ("of one batch, from its first operation's start to its last one's completion", "p50 p99"),
    "request_latency": (
        "of one request, from its first operation's start to its last one's completion "
        "(not where requests share blocks: `sizing = kvbench`); of conversations what its steps took, each "
        "from when it was due",
        "p50 p95 p99 p999 p9999",
    ),
    "request_wait": ("of one request of a conversation until its operations were submitted", "p50 p95 p99"),
    "request_storage": ("of one request of a conversation with operations under way", "p50 p95 p99"),
    "order_wait": (
        "of one request of a conversation: the part of request_wait in which the one before in the order was thinking",
        "p50 p95 p99",
    ),
    "reread_latency": (
        "of one time that a request of a conversation reads again what it wrote, from when it was due",
        "p50 p95 p99",
    ),
    "load_latency": (
        "of what one request found: from when it was due (`speed`, conversations) or began to the end of its last "
        "read; 0 where nothing was found",
        "p50 p99",
    ),
    "ttft": ("of one request: its load_latency + tokens of the blocks that were not found / `prefill`", "mean p50 p99"),
    "service": ("of one block from submission to completion", "p50 p95 p99 p999 p9999"),
    "delay": ("of one block's submission behind the time at which it was due", "p99"),
}
#: The last part of a measure's name -> what it says of a distribution.
STATISTICS: Mapping[str, str] = {
    "mean": "mean",
    "min": "shortest",
    **{name: f"{float(share * 100):g}th percentile" for name, share in PERCENTILES.items()},
    "max": "longest",
}


#: Families of times that are not called a latency.
NOUNS: Mapping[str, str] = {
    "service": "service time",
    "delay": "delay",
    "request_wait": "wait",
    "order_wait": "wait",
    "request_storage": "time",
    "ttft": "time to first token",
}


def _latencies() -> Iterator[MeasureInfo]:
    for family, (what, which) in LATENCIES.items():
        noun = NOUNS.get(family, "latency")
        for statistic in STATISTICS if which == "all" else which.split():
            type: NumberType = "float64" if statistic == "mean" else "int64"
            yield _measure(f"{family}_{statistic}_ns", "ns", f"{STATISTICS[statistic]} of the {noun} {what}", type)


def _all() -> Iterator[MeasureInfo]:
    yield _measure("operations", "operations", "operations completed inside the measured window", count=True)
    yield _measure("reads", "operations", "operations that read", count=True)
    yield _measure("writes", "operations", "operations that wrote", count=True)
    yield _measure("errors", "operations", "operations that failed, fell short or brought wrong data", count=True)
    yield _measure("misses", "operations", "look-ups that found nothing", count=True)
    yield _measure("lookups", "operations", "blocks looked up", count=True)
    yield _measure("hits", "operations", "blocks found", count=True)
    yield _measure("hit_rate", "1", "blocks found / blocks looked up", "float64", percent=True)
    yield _measure(
        "prefix_hits", "operations", "blocks found before the first of their request that was not", count=True
    )
    yield _measure("prefix_hit_rate", "1", "prefix_hits / blocks looked up", "float64", percent=True)
    for kind, what in (
        ("history", "of blocks that their conversation had before"),
        ("shared", "of blocks of shared system prompts"),
        ("document", "of blocks of retrieved pieces of documents"),
        ("reread", "of blocks that are read again while decoding"),
    ):
        yield _measure(f"{kind}_hit_rate", "1", f"{what}, in conversations: found / looked up", "float64", percent=True)
    yield _measure("request_rate_per_s", "1/s", "requests that are known before / (window + sync)", "float64")
    yield _measure("asked_tokens", "tokens", "tokens of the prompts of all requests of conversations")
    yield _measure("generated_tokens", "tokens", "generated tokens of all requests of conversations")
    yield _measure(
        "wall_tokens_per_s", "tokens/s", "generated_tokens / (window + sync): by the clock on the wall", "float64"
    )
    yield _measure("storage_time_ns", "ns", "time with operations under way of all requests of conversations, added up")
    yield _measure(
        "storage_tokens_per_s",
        "tokens/s",
        "generated_tokens / storage_time: what kv-cache.py calls storage throughput; it falls with concurrency",
        "float64",
    )
    yield _measure(
        "order_wait_share",
        "1",
        "order_wait / request_latency, of all requests of conversations added up: how far the order, and not the "
        "storage, made them wait",
        "float64",
        percent=True,
    )
    yield _measure("qos_targets", "1", "kinds of users that have a latency target (QoS)")
    yield _measure("qos_missed", "1", "of them, those whose target was missed")
    yield _measure("throughput_bytes_per_s", "B/s", "bytes completed inside the window / (window + sync)", "float64")
    yield _measure("operations_per_s", "1/s", "operations completed inside the window / (window + sync)", "float64")
    yield _measure("offered_per_s", "1/s", "operations that were due per second (open loop)", "float64")
    yield _measure("achieved_per_s", "1/s", "operations completed per second (open loop)", "float64")
    yield _measure(
        "backlog",
        "operations",
        "operations due before the end of the window and never submitted (open loop)",
        count=True,
    )
    yield _measure("tokens_per_s", "tokens/s", "tokens whose KV was moved per second of the window", "float64")
    yield _measure("window_ns", "ns", "length of the measured window")
    yield _measure(
        "sync_ns", "ns", "time to make durable what was written (`durability = end`); throughput counts it as well"
    )
    yield _measure("rounds", "1", "rounds of load before the window (`until = steady`)")
    yield _measure(
        "steady_range", "1", "of the last five rounds: (largest - smallest) / average, of throughput or p99", "float64"
    )
    yield _measure(
        "steady_slope", "1", "of the last five rounds: rise or fall of the fitted line / average, likewise", "float64"
    )
    yield _measure(
        "steady_drift",
        "1",
        "of the last five rounds: growth of what was due and had not ended / what came due (open loop)",
        "float64",
    )
    yield from _latencies()
    yield _measure("logical_bytes", "B", "bytes delivered to the caller inside the window")
    yield _measure("moved_bytes", "B", "bytes moved inside the window, padding to the tier's alignment included")
    yield _measure("wire_bytes", "B", "bytes over the wire inside the window")
    yield _measure("wire_throughput_bytes_per_s", "B/s", "wire_bytes / window: what `throughput` took", "float64")
    yield _measure("wire_ratio", "1", "moved_bytes / wire_bytes; above 1 where less crossed than arrived", "float64")
    yield _measure("load_bytes", "B", "bytes moved from the start of the load to its end, warm-up included")
    yield _measure("device_read_bytes", "B", "bytes that the device read from the start of the load to its end")
    yield _measure("device_write_bytes", "B", "bytes that the device wrote from the start of the load to its end")
    yield _measure("device_bytes", "B", "bytes at the device in the direction of the load, from its start to its end")
    yield _measure("device_ratio", "1", "device_bytes / load_bytes; under 0.9 a cache took part", "float64")
    yield _measure("verified_bytes", "B", "bytes compared with what was written, in a pass of its own")
    yield _measure("cpu_ns", "ns", "CPU time of the workers in the window, kernel side included")
    yield _measure("cpu_s_per_gib", "s/GiB", "CPU seconds of the workers for each GiB moved", "float64")
    yield from _ceiling()


def _ceiling() -> Iterator[MeasureInfo]:
    yield _measure(
        "ceiling_ratio", "1", "throughput / that of the program beside it, in the same trial (`ceiling`)", "float64"
    )
    yield _measure("ceiling_bytes_per_s", "B/s", "throughput of the program beside it, counted as ours", "float64")
    yield _measure("ceiling_operations_per_s", "1/s", "its operations per second", "float64")
    for name, words in (("p50", "median"), ("p99", "99th percentile"), ("p999", "99.9th percentile")):
        yield _measure(f"ceiling_latency_{name}_ns", "ns", f"{words} of its latency of one block, as it reports it")
    yield _measure(
        "ceiling_cpu_s_per_gib",
        "s/GiB",
        "CPU seconds of its whole process for each GiB, in the second half of its time",
        "float64",
    )


#: What `expect` may name, by name, in the order of the columns.
MEASURES: Mapping[str, MeasureInfo] = {measure.name: measure for measure in _all()}


def _tier_measures() -> Iterator[MeasureInfo]:
    yield _measure("lookups", "operations", "blocks looked up in this tier", count=True)
    yield _measure("hits", "operations", "blocks found in this tier", count=True)
    yield _measure("hit_rate", "1", "blocks found in this tier / blocks looked up in it", "float64", percent=True)


#: What `expect` may name of one tier or level, as in `dram.hit_rate`: columns of tiers.parquet.
TIER_MEASURES: Mapping[str, MeasureInfo] = {measure.name: measure for measure in _tier_measures()}


def driver_measure(column: str, type: str, unit: str, description: str) -> MeasureInfo | None:
    """The measure for a column that a driver declares (kvscen.plugin.Measure). None for text, which cannot be judged.

    A unit that is not one of UNITS_OF_COLUMNS is a bare number, and the measure is called like the column.
    """
    if type not in ("int64", "float64"):
        return None
    number: NumberType = "int64" if type == "int64" else "float64"
    dimension, scale, ending = UNITS_OF_COLUMNS.get(unit, (NUMBER, Fraction(1), ""))
    if ending and not column.endswith(ending):
        dimension, scale, ending = NUMBER, Fraction(1), ""
    name = column.removesuffix(ending)
    percentile = PERCENTILES.get(name.rpartition("_")[2])
    return MeasureInfo(name, column, number, unit, dimension, description, scale, percentile=percentile)


def measure_named(name: str, own: Iterable[MeasureInfo] = ()) -> MeasureInfo | None:
    """What `name` means after `expect`: a measure, one of the driver's `own`, or `TIER.MEASURE`. None: nothing."""
    tier, dot, measure = name.rpartition(".")
    if dot:
        return TIER_MEASURES.get(measure) if tier else None
    return MEASURES.get(name) or next((info for info in own if info.name == name), None)
