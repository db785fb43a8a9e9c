"""What points would give, as tables for the terminal, as JSON and as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from kvscen.language.values import Quantity, format_value
from kvscen.plan.columns import Cell, axes, describe
from kvscen.predict.forecast import DECIDED, TIMED, Forecast
from kvscen.report.columns import TableColumn
from kvscen.report.forecast_chart import level_names, text_chart
from kvscen.report.grid import fitting, grid_of
from kvscen.report.numbers import NOTHING, scale_for, show_one
from kvscen.report.table import bullet, facts_text

#: What a plan says of a point that matters here.
_SAID = (
    "model",
    "pattern",
    "tier",
    "driver",
    "block_bytes",
    "requests",
    "trace_lookups",
    "keys",
    "users",
    "speed",
    "prefill_tokens_per_s",
)
#: Columns of tiers.parquet that a level and an edge have.
_OF_LEVEL = ("capacity_bytes", "occupancy_bytes", "lookups", "hits", "hit_rate", "read_bytes", "write_bytes")
_OF_EDGE = ("demoted_bytes", "promoted_bytes", "through_bytes")
#: Header and column of what takes time.
_TIMES = (
    ("request p50", "request_latency_p50_ns"),
    ("request p99", "request_latency_p99_ns"),
    ("load p50", "load_latency_p50_ns"),
    ("load p99", "load_latency_p99_ns"),
    ("TTFT mean", "ttft_mean_ns"),
    ("TTFT p50", "ttft_p50_ns"),
    ("TTFT p99", "ttft_p99_ns"),
)


def forecast_json(scenario: str, found: Sequence[Forecast]) -> dict[str, Any]:
    return {"scenario": scenario, "points": [_json(each) for each in found]}


def _json(one: Forecast) -> dict[str, Any]:
    return {
        **_head(one),
        "axes": axes(one.point),
        **{name: one.measures.get(name) for name in (*DECIDED, *TIMED)},
        "levels": [{"tier": row["tier"], **{name: row.get(name) for name in _OF_LEVEL}} for row in one.levels],
        "edges": [
            {"tier": row["tier"], "to_tier": row["to_tier"], **{name: row.get(name) for name in _OF_EDGE}}
            for row in one.edges
        ],
        "notes": list(one.notes),
    }


def forecast_rows(found: Sequence[Forecast]) -> Iterator[dict[str, Cell]]:
    """A flat row for each point; every row has every column. Those of a level and of an edge begin with its names."""
    rows = [
        {
            **_head(one),
            **{f"axis.{path}": value for path, value in axes(one.point).items()},
            **{name: one.measures.get(name) for name in (*DECIDED, *TIMED)},
            **{f"{row['tier']}.{name}": row.get(name) for row in one.levels for name in _OF_LEVEL},
            **{f"{row['tier']}.{row['to_tier']}.{name}": row.get(name) for row in one.edges for name in _OF_EDGE},
        }
        for one in found
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    for row in rows:
        yield {name: row.get(name) for name in names}


def _head(one: Forecast) -> dict[str, Cell]:
    said = describe(one.point)
    return {
        "point_id": one.point.id,
        "sweep": one.point.sweep,
        "status": one.status,
        "reason": one.reason,
        "timed": one.timed,
        **{name: said.get(name) for name in _SAID},
    }


# ---- the terminal


def forecast_table(scenario: str, found: Sequence[Forecast], width: int, chart: bool) -> RenderableType:
    """For each sweep what is found and how long it takes, in lines of at most `width`."""
    parts: list[RenderableType] = []
    for sweep in dict.fromkeys(one.point.sweep for one in found):
        own = [one for one in found if one.point.sweep == sweep]
        parts += _sweep(scenario, sweep, own, width, chart)
    return Group(*parts)


def _sweep(scenario: str, sweep: str, found: Sequence[Forecast], width: int, chart: bool) -> Iterator[RenderableType]:
    yield Text.assemble((scenario, "bold"), "  sweep ", (sweep, "bold"))
    shared, varied = _facts(found)
    if shared:
        yield Padding(facts_text(shared, width - 2), (0, 0, 1, 2))
    names = [*_axis_columns(found), *varied]
    if not names:
        names = [TableColumn("point", "", tuple(one.point.id for one in found), numeric=False)]
    if chart:
        lines = text_chart(found, [" ".join(column.cells[row] for column in names) for row in range(len(found))], width)
        if lines:
            yield from (Padding(line, (0, 0, 0, 2)) for line in lines)
            yield Text()
    left_out: list[str] = []
    for columns in (_found_columns(found), _time_columns(found)):
        if columns:
            shown = fitting([*names, *columns], width - 2)
            left_out += [column.name for column in columns if column not in shown]
            yield Padding(grid_of(shown), (0, 0, 1, 2))
    for one in found:
        if one.status != "ok":
            yield bullet(f"{_label(one)}: {one.status}: {one.reason}", "yellow")
    yield from (bullet(note, "yellow") for note in dict.fromkeys(note for one in found for note in one.notes))
    yield from (bullet(note, "dim") for note in _meanings(found))
    if left_out:
        yield bullet(f"left out for want of width: {', '.join(left_out)}; --format csv has everything", "dim")


def _label(one: Forecast) -> str:
    return ", ".join(f"{path} = {format_value(value)}" for path, value in one.point.axes.items()) or one.point.id


def _facts(found: Sequence[Forecast]) -> tuple[list[tuple[str, str]], list[TableColumn]]:
    """What all points share, and columns for what differs and no axis says."""
    shown: Mapping[str, Callable[[dict[str, Cell]], str]] = {
        "tier": lambda row: f"{row['tier']} ({row['driver']})",
        "pattern": lambda row: str(row["pattern"]),
        "requests": lambda row: f"{row['requests']:,}",
        "look-ups": lambda row: f"{row['trace_lookups']:,}",
        "blocks": lambda row: f"{row['keys']:,}",
        "block": lambda row: show_one(row["block_bytes"], "B"),  # type: ignore[arg-type]
        "users": lambda row: NOTHING if row["users"] is None else f"{row['users']:,}",
        "speed": lambda row: NOTHING if row["speed"] is None else f"{row['speed']:g}",
        "prefill": lambda row: _rate(row["prefill_tokens_per_s"]),
    }
    said = {path.rpartition(".")[2] for one in found for path in one.point.axes}
    shared, varied = [], []
    for name, show in shown.items():
        cells = [show(_head(one)) for one in found]
        if len(set(cells)) > 1 and name not in said:
            varied.append(TableColumn(name, "", tuple(cells), numeric=name not in ("tier", "pattern")))
        elif len(set(cells)) == 1 and cells[0] != NOTHING and name not in said:
            shared.append((name, cells[0]))
    return shared, varied


def _rate(tokens_per_s: Cell) -> str:
    return NOTHING if tokens_per_s is None else f"{tokens_per_s:,.10g} tokens/s"


def _axis_columns(found: Sequence[Forecast]) -> list[TableColumn]:
    paths = list(dict.fromkeys(path for one in found for path in one.point.axes))
    last = [path.rpartition(".")[2] for path in paths]
    columns = []
    for path, name in zip(paths, last, strict=True):
        values = [one.point.axes.get(path) for one in found]
        cells = tuple(NOTHING if value is None else format_value(value) for value in values)
        numeric = all(value is None or isinstance(value, Quantity) for value in values)
        columns.append(TableColumn(name if last.count(name) == 1 else path, "", cells, numeric=numeric))
    return columns


def _found_columns(found: Sequence[Forecast]) -> list[TableColumn]:
    """Shares of all look-ups, and what moves over each edge."""
    rates = [("hit rate", "hit_rate"), ("prefix", "prefix_hit_rate")]
    columns = [TableColumn(name, "%", _percents([one.measures.get(key) for one in found])) for name, key in rates]
    for level in level_names(found):
        rows = [next((row for row in one.levels if row["tier"] == level), None) for one in found]
        shares = [
            None if row is None or not one.measures.get("lookups") else row["hits"] / one.measures["lookups"]
            for one, row in zip(found, rows, strict=True)
        ]
        columns.append(TableColumn(f"in {level}", "%", _percents(shares), rank=1))
    for source, target in dict.fromkeys((row["tier"], row["to_tier"]) for one in found for row in one.edges):
        moved = [_moved(one, source, target) for one in found]
        scale = scale_for(moved, "B")
        columns.append(TableColumn(f"{source} → {target}", scale.unit, tuple(map(scale.show, moved)), rank=2))
    return columns


def _moved(one: Forecast, source: str, target: str) -> int | None:
    row = next((row for row in one.edges if (row["tier"], row["to_tier"]) == (source, target)), None)
    return None if row is None else sum(row[name] or 0 for name in _OF_EDGE)


def _percents(shares: Sequence[Any]) -> tuple[str, ...]:
    return tuple(NOTHING if share is None else f"{share * 100:.2f}" for share in shares)


def _time_columns(found: Sequence[Forecast]) -> list[TableColumn]:
    if not any(one.timed and one.status == "ok" for one in found):
        return []
    columns = []
    for name, key, unit in (("throughput", "throughput_bytes_per_s", "B/s"), ("requests", "request_rate_per_s", "1/s")):
        values: list[Any] = [one.measures.get(key) for one in found]
        scale = scale_for(values, unit)
        columns.append(TableColumn(name, scale.unit, tuple(map(scale.show, values)), rank=2))
    for name, key in _TIMES:
        values = [one.measures.get(key) for one in found]
        if any(value is not None for value in values):
            scale = scale_for(values, "ns")
            columns.append(TableColumn(name, scale.unit, tuple(map(scale.show, values)), rank=name.startswith("req")))
    return columns


def _meanings(found: Sequence[Forecast]) -> Iterator[str]:
    yield "hit rate: blocks found / blocks looked up; prefix: those before the first of their request that was not"
    if level_names(found):
        yield "in a level: blocks found there / all blocks looked up"
    if any(one.edges for one in found):
        yield "→: what moved from one level to another, all together"
    if any(one.timed for one in found):
        yield (
            "request: from its first operation's start (`speed`: from when it was due) to the end of its last; load: "
            "from when it began or was due to the end of its last read, 0 where nothing was found"
        )
    if any(one.measures.get("ttft_p50_ns") is not None for one in found):
        yield "TTFT: time to first token, the load and then the tokens that were not found at the rate of `prefill`"
    lacking = [
        name
        for name, key in _TIMES
        if key.endswith("_p99_ns") and any(one.timed and one.measures.get(key) is None for one in found)
    ]
    if lacking:
        yield "a p99 needs 1,000 requests"
