"""The columns of every table that a run leaves. Names and types are a public interface: SCHEMA_VERSION changes with
them.

A column is there in every run, null where it does not apply. trials.parquet has beside these `axis.<path>` for each
axis, the map `settings`, and the columns that drivers declare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from kvscen.results.measures import MEASURES, OPERATIONS_ABOVE, PERCENTILES, MeasureInfo
from kvscen.results.record import STATUSES, TrialRecord

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "CANDIDATES",
    "LATENCY",
    "MEASURES",
    "SCHEMA_VERSION",
    "SEARCHES",
    "SETTINGS",
    "STEPS",
    "TABLES",
    "TIERS",
    "TIMELINE",
    "TRIALS",
    "VARIABLES",
    "VERDICTS",
    "WORKERS",
    "Column",
    "MeasureInfo",
    "field",
    "misfit",
    "misfit_of_record",
]

#: Of the tables and of the journal. A reader refuses another one.
SCHEMA_VERSION = "1"

#: `map` is one of texts to texts, and a `dictionary` one text out of few.
ColumnType: TypeAlias = Literal["string", "int64", "int32", "float64", "bool", "map", "dictionary", "list of int64"]
_TEXT: ColumnType = "string"
_INT: ColumnType = "int64"
_SMALL: ColumnType = "int32"
_FLOAT: ColumnType = "float64"
_FLAG: ColumnType = "bool"


@attrs.frozen
class Column:
    """One column of a table. `unit` is None for text, names and plain numbers."""

    name: str
    type: ColumnType
    unit: str | None
    description: str


def arrow_type(type: ColumnType) -> pa.DataType:
    """The type as pyarrow knows it."""
    import pyarrow as pa  # here: who only asks what a column means does not wait for it

    if type == "map":
        return pa.map_(pa.string(), pa.string())
    if type == "dictionary":
        return pa.dictionary(pa.int32(), pa.string())
    return pa.list_(pa.int64()) if type == "list of int64" else pa.type_for_alias(type)


def field(column: Column) -> pa.Field:
    """The column as pyarrow knows it, with its description and unit in the metadata."""
    import pyarrow as pa

    metadata = {"description": column.description} | ({"unit": column.unit} if column.unit else {})
    return pa.field(column.name, arrow_type(column.type), metadata=metadata)


_RUN = Column("run_id", _TEXT, None, "the run; unique, the same in every table")
_POINT = Column("point_id", _TEXT, None, "the point's identity: equal settings have an equal one, in every run")
_TRIAL = Column("trial", _SMALL, None, "number of the trial of its point, from 1")

_IDENTITY = (
    _RUN,
    Column("scenario", _TEXT, None, "name of the scenario"),
    Column("sweep", _TEXT, None, "name of the sweep"),
    _POINT,
    _TRIAL,
    Column("trial_order", _SMALL, None, "when it ran: its number among all trials of the run"),
    Column("started_unix_ns", _INT, "ns", "when it began, since 1970-01-01 UTC"),
    Column("status", _TEXT, None, f"how it ended: {', '.join(STATUSES)}; only `ok` enters an aggregate"),
    Column("reason", _TEXT, None, "why it did not end as `ok`; empty where it did"),
)

#: What a plan says about every point.
VARIABLES: tuple[Column, ...] = (
    Column("model", _TEXT, None, "name of the model block"),
    Column("pattern", _TEXT, None, "name of the pattern block"),
    Column("tier", _TEXT, None, "name of the tier block"),
    Column("driver", _TEXT, None, "driver of the tier"),
    Column("op", _TEXT, None, "what is measured: read, write or mixed (a replay reads and writes)"),
    Column(
        "traffic_mode",
        _TEXT,
        None,
        "of a matrix: isolated or sequence; null for another pattern, as are the next three",
    ),
    Column("traffic_steps", _INT, None, "steps of a matrix"),
    Column("traffic_transfers", _INT, "operations", "transfers of all steps, once each"),
    Column("traffic_bytes", _INT, "B", "what all ranks send in all steps, once each"),
    Column(
        "trace_digest",
        _TEXT,
        None,
        "of a replay: hash of its requests, their blocks and times; null for another pattern, as are the next three",
    ),
    Column("trace_lookups", _INT, "operations", "blocks that the requests of a replay look up"),
    Column("users", _INT, None, "requests of a replay that are under way at a time; null: by the trace's times"),
    Column("speed", _FLOAT, None, "how many times as fast as the trace's requests came; null: closed loop"),
    Column(
        "prefill_tokens_per_s", _FLOAT, "tokens/s", "how fast is computed what a request does not find; null: unknown"
    ),
    Column("block_bytes", _INT, "B", "what one operation moves; null for a matrix, as is what else it has not"),
    Column("batch", _INT, "operations", "operations posted together"),
    Column("depth", _INT, None, "most in flight in a lane, as the scenario sets it; null: the batch, within the limit"),
    Column("threads", _INT, None, "lanes in a worker"),
    Column("processes", _INT, None, "workers; of a matrix its ranks"),
    Column("requests", _INT, None, "requests of a batch; of a replay all of them"),
    Column("page_tokens", _INT, "tokens", "tokens of one page, or of a block of a trace; null where neither is known"),
    Column("prompt_tokens", _INT, "tokens", "tokens of a request's prompt; null without a model, or where they differ"),
    Column("keys", _INT, None, "distinct blocks touched"),
    Column("working_set_bytes", _INT, "B", "distinct bytes touched"),
    Column("read_share", _FLOAT, "1", "share of reads among the operations; null where a cache decides"),
    Column("order", _TEXT, None, "order in which the keys are visited"),
    Column("stride", _INT, None, "blocks from one to the next in the order strided; null in another"),
    Column("skew", _FLOAT, None, "exponent of the order zipf; null in another"),
    Column("wait", _TEXT, None, "what is waited for before more is posted: operation or batch"),
    Column("cpus", _TEXT, None, "CPUs that the lanes are pinned to, as in 0-3,8; null: to none"),
    Column("numa_node", _INT, None, "NUMA node that the lanes are pinned to; null: to none"),
    Column("rate_per_s", _FLOAT, "1/s", "operations due per second, in all; null: closed loop"),
    Column("arrival", _TEXT, None, "how the due times are spread; null: closed loop"),
    Column("memory", _TEXT, None, "memory of the caller's buffers"),
    Column("warmup_ns", _INT, "ns", "load before the measured window, as asked"),
    Column("time_ns", _INT, "ns", "length of the measured window, as asked; null where operations are counted"),
    Column("operations_planned", _INT, "operations", "operations of a trial, as asked; null where time is"),
    Column("until", _TEXT, None, "when the window begins: after the warm-up (time), or when the load is steady"),
    Column("cap_ns", _INT, "ns", "the longest to wait for a steady load; null where none is waited for"),
    Column("precondition", _INT, None, "how often the data set was written over before the first trial"),
    Column("durability", _TEXT, None, "when what is written is made durable: none, each or end"),
    Column("ceiling", _TEXT, None, "what was measured beside it for comparison: none or fio"),
    Column("timeout_ns", _INT, "ns", "without progress for so long, a trial is a hang"),
    Column("verify", _TEXT, None, "whether the content was compared, in a pass of its own"),
    Column("seed", _INT, None, "seed of the point's draws"),
    Column("trials", _INT, None, "trials asked for"),
)

_FACTS = (
    Column(
        "path",
        _TEXT,
        None,
        "which way the bytes went: direct, page cache, memory, p2p, nvfs, compat, tcp, rdma, shm...",
    ),
    Column("path_evidence", _TEXT, None, "how that is known"),
    Column("note", _TEXT, None, "what must be known of these figures, by the driver or by how they were measured"),
    Column("sequence", _TEXT, None, "of a replay: hash of its operations in their order; equal ones did the same work"),
    Column("steady", _FLAG, None, "whether the load was steady (`until = steady`); false: the cap was reached"),
    Column("pages", _TEXT, None, "what the buffers are made of: huge, small, pinned..."),
    Column("depth_used", _INT, None, "operations in flight in a lane, after the driver's limit"),
    Column("alignment_bytes", _INT, "B", "alignment that the tier asks for"),
    Column("stride_bytes", _INT, "B", "what a block takes in the tier: the block rounded up to the alignment"),
    Column("ceiling_tool", _TEXT, None, "the program that was measured beside the trial: version, engine, its pages"),
    Column("ceiling_note", _TEXT, None, "why nothing was measured beside it although `ceiling` asks for it"),
)


def _number_type(info: MeasureInfo) -> ColumnType:
    return _INT if info.type == "int64" else _FLOAT


_MEASURED = tuple(
    Column(
        info.column,
        _number_type(info),
        info.unit,
        info.description
        + (f"; null where fewer than {OPERATIONS_ABOVE} operations lie above it" if info.percentile else ""),
    )
    for info in MEASURES.values()
)

#: trials.parquet: one row for each trial of each point.
TRIALS: tuple[Column, ...] = (*_IDENTITY, *VARIABLES, *_MEASURED, *_FACTS)

#: The last fixed column of trials.parquet; after it come `axis.<path>` and the drivers' own.
SETTINGS = Column("settings", "map", None, "every setting that the point reaches, as the language spells it")

#: latency.parquet: one row for each bucket of each histogram.
LATENCY: tuple[Column, ...] = (
    _RUN,
    _POINT,
    _TRIAL,
    Column("tier", _TEXT, None, "name of the tier"),
    Column("operation", _TEXT, None, "read, write, lookup...; of steps what they did: load, reread or store"),
    Column(
        "unit", _TEXT, None, "what a value is for: block, batch, request (where none shares blocks), or step of one"
    ),
    Column(
        "phase",
        _TEXT,
        None,
        "latency, service, delay; of requests wait, storage, load, first token; or a phase of the driver's own",
    ),
    Column("lower_ns", _INT, "ns", "smallest value of the bucket"),
    Column("upper_ns", _INT, "ns", "the first value above the bucket"),
    Column("count", _INT, "operations", "values in the bucket"),
)

#: timeline.parquet: one row for each interval of each trial.
TIMELINE: tuple[Column, ...] = (
    _RUN,
    _POINT,
    _TRIAL,
    Column("interval", _SMALL, None, "number of the interval in its trial, from 0"),
    Column("start_ns", _INT, "ns", "its start, since the start of the window; below 0 in the warm-up"),
    Column("duration_ns", _INT, "ns", "its length"),
    Column("operations", _INT, "operations", "operations completed in it"),
    Column("errors", _INT, "operations", "operations that failed in it"),
    Column("logical_bytes", _INT, "B", "bytes delivered to the caller in it"),
    Column("latency_p50_ns", _INT, "ns", "median latency of the blocks completed in it"),
    Column("latency_p99_ns", _INT, "ns", "99th percentile of it; null where fewer than 10 operations lie above"),
    Column("latency_max_ns", _INT, "ns", "the longest"),
)


def _percentiles(name: str, what: str, which: str = "p50 p95 p99 p999 p9999", of: str = "requests") -> Iterator[Column]:
    for each in which.split():
        share = f"{float(PERCENTILES[each] * 100):g}th percentile" if each != "p50" else "median"
        least = "" if each == "p50" else f"; null where fewer than {OPERATIONS_ABOVE} {of} lie above"
        yield Column(f"{name}_{each}_ns", _INT, "ns", f"{share} of {what}{least}")


#: tiers.parquet: one row for each tier of each trial, and one for each edge between two tiers (`to_tier` is set).
TIERS: tuple[Column, ...] = (
    _RUN,
    _POINT,
    _TRIAL,
    Column("tier", _TEXT, None, "name of the tier; of an edge, where the bytes came from"),
    Column("to_tier", _TEXT, None, "of an edge, where the bytes went; null in the row of a tier"),
    Column("level", _SMALL, None, "place in the composed tier, 0 is the uppermost"),
    Column("capacity_bytes", _INT, "B", "most that it keeps"),
    Column("occupancy_bytes", _INT, "B", "what it held at the end of the trial"),
    Column("lookups", _INT, "operations", "blocks looked up"),
    Column("hits", _INT, "operations", "blocks found"),
    Column("hit_rate", _FLOAT, "1", "blocks found / blocks looked up"),
    Column("operations", _INT, "operations", "operations that it served"),
    Column("errors", _INT, "operations", "operations that failed"),
    Column("read_bytes", _INT, "B", "bytes read from it"),
    Column("write_bytes", _INT, "B", "bytes written to it"),
    Column("admitted", _INT, "operations", "blocks taken in"),
    Column("evicted", _INT, "operations", "blocks dropped or handed down"),
    Column("demoted_bytes", _INT, "B", "bytes handed down"),
    Column("promoted_bytes", _INT, "B", "bytes brought up"),
    Column("through_bytes", _INT, "B", "of an edge: bytes written through to the lower tier as the upper was written"),
    Column(
        "lost",
        _INT,
        "operations",
        "of an edge: blocks that were well and did not arrive; of a tier: blocks that take room in it and "
        "whose content is gone. Reading one is an error",
    ),
    Column("first_error", _TEXT, None, "the first operation that failed: what, where, why"),
    *_percentiles("latency", "the latency of its operations", of="operations"),
    Column("latency_max_ns", _INT, "ns", "the longest"),
    *_percentiles("read_latency", "the latency of blocks read from it, to be moved too", of="operations"),
    *_percentiles("write_latency", "the latency of blocks written to it, moved ones too", of="operations"),
)

#: steps.parquet: one row for each step of each trial of a matrix.
STEPS: tuple[Column, ...] = (
    _RUN,
    _POINT,
    _TRIAL,
    Column("step", _SMALL, None, "number of the step, from 0"),
    Column("bytes", _INT, "B", "what all ranks send in it"),
    Column("transfers", _INT, "operations", "transfers in it: one from each rank to each that it sends to"),
    Column("senders", _SMALL, None, "ranks that send in it"),
    Column("receivers", _SMALL, None, "ranks that are sent to in it"),
    Column("compute_ns", _INT, "ns", "how long its senders compute before it; null where it is alone (isolated)"),
    Column("passes", _INT, None, "how often it was measured"),
    Column("errors", _INT, "operations", "transfers that failed; such a pass has no latency"),
    Column(
        "latency_median_ns",
        _INT,
        "ns",
        "median of its latency: from its first sender's start to the end of the last transfer",
    ),
    Column("latency_mean_ns", _FLOAT, "ns", "mean of it"),
    Column("latency_min_ns", _INT, "ns", "the shortest"),
    Column("latency_p90_ns", _INT, "ns", "90th percentile of it; null where fewer than 10 passes lie above"),
    Column("latency_p99_ns", _INT, "ns", "99th percentile of it; null where fewer than 10 passes lie above"),
    Column("latency_max_ns", _INT, "ns", "the longest"),
    Column(
        "start_spread_ns",
        _INT,
        "ns",
        "median time from its first sender's start to its last one's; part of the latency",
    ),
    Column("throughput_bytes_per_s", _FLOAT, "B/s", "its bytes / the median latency"),
    Column(
        "sender_bytes_per_s",
        _FLOAT,
        "B/s",
        "mean over its senders of what one sends / the time from its start to the end of its own last transfer; median",
    ),
)


#: users.parquet: one row for each kind of users of each trial of conversations.
USERS: tuple[Column, ...] = (
    _RUN,
    _POINT,
    _TRIAL,
    Column("users", _TEXT, None, "who asked: a name of the pattern's mix"),
    Column("requests", _INT, None, "requests of theirs that were served to their end"),
    Column("prompt_tokens", _INT, "tokens", "tokens of their prompts, all together"),
    Column("output_tokens", _INT, "tokens", "generated tokens of their answers, all together"),
    Column("request_latency_mean_ns", _FLOAT, "ns", "mean of what a request waited for storage"),
    *_percentiles("request_latency", "what a request waited for storage: request_wait + request_storage"),
    Column("request_latency_max_ns", _INT, "ns", "the longest"),
    *_percentiles("request_wait", "what a request waited until its operations were submitted", "p50 p95 p99"),
    *_percentiles("request_storage", "the time of a request with operations under way", "p50 p95 p99"),
    *_percentiles(
        "order_wait", "the part of request_wait in which the one before in the order was thinking", "p50 p95 p99"
    ),
    Column("order_wait_share", _FLOAT, "1", "order_wait / request_latency, of all requests added up"),
    Column("target_p95_ns", _INT, "ns", "the target for 95 % of the requests; null: none"),
    Column("target_p99_ns", _INT, "ns", "the target for 99 % of the requests; null: none"),
    Column("within_p95_share", _FLOAT, "1", "requests whose latency is within target_p95 / requests"),
    Column("within_p99_share", _FLOAT, "1", "requests whose latency is within target_p99 / requests"),
    Column("qos_met", _FLAG, None, "whether 95 and 99 % are within their targets; null without a target"),
)

#: found.parquet: what was looked up and found, by kind and by level.
FOUND: tuple[Column, ...] = (
    _RUN,
    _POINT,
    _TRIAL,
    Column(
        "kind",
        _TEXT,
        None,
        "history: a block that its conversation had before; shared: of a system prompt; document: of a retrieved "
        "piece; reread: what the request itself had written; new: a block that nobody had before",
    ),
    Column("tier", _TEXT, None, "the level that had it; null: all levels together"),
    Column("level", _SMALL, None, "its place in the tier, 0 is the uppermost; null: all together"),
    Column("lookups", _INT, "operations", "blocks of this kind that were looked up"),
    Column("hits", _INT, "operations", "blocks of this kind that were found here"),
    Column("hit_rate", _FLOAT, "1", "hits / lookups"),
)

#: occupancy.parquet: how full the levels of a cache are over time.
OCCUPANCY: tuple[Column, ...] = (
    _RUN,
    _POINT,
    _TRIAL,
    Column("time_ns", _INT, "ns", "since the start of the window"),
    Column("tier", _TEXT, None, "name of the level"),
    Column("level", _SMALL, None, "its place in the tier, 0 is the uppermost"),
    Column("blocks", _INT, None, "blocks that it holds, as has been decided by then"),
    Column("occupancy_bytes", _INT, "B", "what they take, padding included"),
)

#: workers.parquet: one row for each worker of each trial.
WORKERS: tuple[Column, ...] = (
    _RUN,
    _POINT,
    _TRIAL,
    Column("worker", _SMALL, None, "number of the worker, from 0"),
    Column("host", _TEXT, None, "its host"),
    Column("rank", _SMALL, None, "its rank among the hosts' workers"),
    Column("pid", _INT, None, "its process"),
    Column("cpus", _TEXT, None, "CPUs it may run on, as in 0-3,8"),
    Column("numa_node", _SMALL, None, "NUMA node of these CPUs; null where they span several"),
    Column("gpu", _TEXT, None, "its GPU"),
    Column("operations", _INT, "operations", "operations it completed in the window"),
    Column("errors", _INT, "operations", "operations that failed"),
    Column("logical_bytes", _INT, "B", "bytes it delivered in the window"),
    Column("cpu_ns", _INT, "ns", "its CPU time in the window"),
    Column("window_start_ns", _INT, "ns", "start of its window, on its clock"),
    Column("window_end_ns", _INT, "ns", "end of its window, on its clock"),
    Column("start_late_ns", _INT, "ns", "how late it began its load"),
    Column("clock_offset_ns", _INT, "ns", "its clock minus the conductor's"),
    Column("clock_bound_ns", _INT, "ns", "how far that offset may be wrong"),
)

#: verdicts.parquet: one row for each expectation of each point.
VERDICTS: tuple[Column, ...] = (
    _RUN,
    Column("sweep", _TEXT, None, "name of the sweep"),
    _POINT,
    Column("expectation", _TEXT, None, "as the scenario says it"),
    Column("measure", _TEXT, None, "what is judged"),
    Column("operator", _TEXT, None, "how it is compared with the limit"),
    Column("value", _FLOAT, None, "what was measured: the median of the ok trials, or of a count the sum"),
    Column("limit", _FLOAT, None, "what was expected, in the same unit"),
    Column("unit", _TEXT, None, "unit of value and limit"),
    Column("outcome", _TEXT, None, "pass, fail, or not judged"),
    Column("reason", _TEXT, None, "why it failed or was not judged"),
)

_SEARCH = (
    _RUN,
    Column("sweep", _TEXT, None, "name of the sweep"),
    Column("search", _TEXT, None, "as the scenario says it"),
    Column("others", _TEXT, None, "values of the other axes, as in tier=disk op=read; empty where there is none"),
)

#: searches.parquet: one row for each search, which is one for each combination of the other axes.
SEARCHES: tuple[Column, ...] = (
    *_SEARCH,
    Column("kind", _TEXT, None, "highest, lowest or saturation"),
    Column("path", _TEXT, None, "the axis that is searched"),
    Column(
        "outcome",
        _TEXT,
        None,
        "found; beyond: it is `value` or further, for the whole range keeps it, or rises; none: no value keeps it; "
        "not_judged: unavailable here; unfinished: the run ended before",
    ),
    Column("value", _FLOAT, None, "the answer"),
    Column("value_text", _TEXT, None, "the answer as text, to at least five digits"),
    Column("unit", _TEXT, None, "unit of value and next_value"),
    Column("point_id", _TEXT, None, "its point"),
    Column("measured", _FLOAT, None, "what was measured at it, of the first condition's measure"),
    Column("next_value", _FLOAT, None, "its neighbour beyond the border; where the outcome is none, the nearest value"),
    Column("next_value_text", _TEXT, None, "the neighbour as text"),
    Column("next_point_id", _TEXT, None, "the neighbour's point"),
    Column("next_measured", _FLOAT, None, "what was measured at the neighbour"),
    Column("measure", _TEXT, None, "what is judged: the first condition's measure"),
    Column("measure_unit", _TEXT, None, "unit of measured and next_measured"),
    Column("candidates", _INT, None, "points to choose from"),
    Column("candidates_measured", _INT, None, "those that were measured"),
    Column("candidates_at_most", _INT, None, "the most that the search could take"),
    Column("reason", _TEXT, None, "why there is no answer, or what speaks against it"),
)

#: candidates.parquet: one row for each candidate of each search and each of its conditions.
CANDIDATES: tuple[Column, ...] = (
    *_SEARCH,
    Column("path", _TEXT, None, "the axis that is searched"),
    Column("value", _FLOAT, None, "the candidate's value on it"),
    Column("value_text", _TEXT, None, "the value as text"),
    Column("unit", _TEXT, None, "unit of value"),
    _POINT,
    Column(
        "status",
        _TEXT,
        None,
        "kept or not_kept: all conditions, by trials that are all ok; measured or not_measured: of a saturation; "
        "not_needed: the search did without it; open: the run ended before",
    ),
    Column("condition", _TEXT, None, "as the scenario says it"),
    Column("measure", _TEXT, None, "what is judged"),
    Column("measured", _FLOAT, None, "what was measured: the median of the ok trials, or of a count the sum"),
    Column("limit", _FLOAT, None, "what it is held against, in the same unit"),
    Column("measure_unit", _TEXT, None, "unit of measured and limit"),
    Column("outcome", _TEXT, None, "pass, fail, or not judged; null where it was not measured, or has no limit"),
    Column("reason", _TEXT, None, "why it does not count"),
)

#: The tables that have only fixed columns, by file name without `.parquet`.
TABLES: Mapping[str, tuple[Column, ...]] = {
    "latency": LATENCY,
    "timeline": TIMELINE,
    "tiers": TIERS,
    "steps": STEPS,
    "users": USERS,
    "found": FOUND,
    "occupancy": OCCUPANCY,
    "workers": WORKERS,
    "verdicts": VERDICTS,
    "searches": SEARCHES,
    "candidates": CANDIDATES,
}

_FIXED = {column.name: column for column in (*_MEASURED, *_FACTS)}
_TAKEN = {column.name for column in (*_IDENTITY, *VARIABLES, SETTINGS)}
_INT64 = range(-(2**63), 2**63)


def _wrong(name: str, type: ColumnType, value: Any) -> str | None:
    if value is None:
        return None
    if type == "string":
        fits = isinstance(value, str)
    elif type == "bool":
        fits = isinstance(value, bool)
    elif isinstance(value, bool):
        fits = False
    elif type in ("int64", "int32"):
        fits = isinstance(value, Integral) and int(value) in _INT64
    else:
        fits = isinstance(value, Real)
    return None if fits else f"the column `{name}` holds {type} values, not {value!r}"


def misfit(measures: Mapping[str, Any]) -> str | None:
    """One sentence about the first measure that does not fit its column, else None. Names that are not fixed columns
    are a driver's own, and fit when they are a number, a text or a truth value."""
    for name, value in measures.items():
        if name in _TAKEN or name.startswith("axis."):
            return f"`{name}` is not a measure: the plan fills that column"
        column = _FIXED.get(name)
        if column is not None:
            problem = _wrong(name, column.type, value)
            if problem:
                return problem
        elif isinstance(value, Integral) and int(value) not in _INT64:
            return f"the measure `{name}` does not fit 64 bits: {value}"
        elif value is not None and not isinstance(value, bool | Real | str):
            return f"the measure `{name}` is neither a number nor a text: {value!r}"
    return None


def _misfit_of_rows(table: str, rows: Iterable[Mapping[str, Any]]) -> str | None:
    own = {c.name: c for c in TABLES[table] if c not in (_RUN, _POINT, _TRIAL)}
    for row in rows:
        for name, value in row.items():
            if name not in own:
                return f"the table `{table}` has no column `{name}`; it has {', '.join(own)}"
            problem = _wrong(f"{table}.{name}", own[name].type, value)
            if problem:
                return problem
    return None


def misfit_of_record(record: TrialRecord) -> str | None:
    """One sentence about what in a record does not fit the tables, else None. The journal takes only records that
    fit."""
    return (
        misfit(record.measures)
        or _misfit_of_rows("timeline", record.timeline)
        or _misfit_of_rows("tiers", record.tiers)
        or _misfit_of_rows("steps", record.steps)
        or _misfit_of_rows("users", record.users)
        or _misfit_of_rows("found", record.found)
        or _misfit_of_rows("occupancy", record.occupancy)
        or _misfit_of_rows("workers", record.workers)
    )
