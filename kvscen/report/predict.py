"""A prediction as a table for the terminal, as JSON and as rows."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from kvscen.plan.columns import Cell
from kvscen.predict import At, Hits, Prediction
from kvscen.predict.block import BlockSize
from kvscen.report.chart import hit_chart
from kvscen.report.columns import TableColumn
from kvscen.report.grid import fitting, grid_of
from kvscen.report.numbers import NOTHING, Scale, plural, scale_for, show_one, show_percent
from kvscen.report.table import bullet, facts_text
from kvscen.trace import FORMATS

#: Points of the curve in JSON, at most.
_CURVE_POINTS = 256
#: Key -> attribute of a BlockSize.
_OF_BLOCK = {
    "block_bytes": "total_bytes",
    "block_rank_bytes": "rank_bytes",
    "model": "model",
    "kv_dtype": "kv_dtype",
    "tp": "tp",
    "pp": "pp",
}
_TIMES = (("s", 10**9), ("min", 60 * 10**9), ("h", 3600 * 10**9))


def prediction_json(found: Prediction, block: BlockSize | None) -> dict[str, Any]:
    curve = found.curve
    return {
        "trace": found.path,
        "trace_format": found.about.format,
        "trace_notes": list(found.about.notes),
        **_what(found, block),
        "block_notes": [] if block is None else list(block.notes),
        "limit": {
            **_hits(found.limit),
            "compulsory_misses": curve.lookups - round(found.limit.hits),
            "compulsory_miss_rate": 1 - found.limit.hit_rate,
        },
        "reached": [
            {"share_of_limit": share, "capacity_blocks": blocks, **_bytes(blocks, block)}
            for share, blocks in found.reached()
        ],
        "capacities": [_capacity(at, found, block) for at in found.at],
        "curve": _curve(found, block) if curve.whole else None,
    }


def prediction_rows(found: Prediction, block: BlockSize | None) -> Iterator[dict[str, Cell]]:
    """A flat row for each capacity; every row has every column."""
    for at in found.at:
        yield {"trace": found.path, **_what(found, block), **_capacity(at, found, block)}


def _what(found: Prediction, block: BlockSize | None) -> dict[str, Cell]:
    return {
        "policy": found.curve.policy,
        "requests": found.curve.requests,
        "lookups": found.curve.lookups,
        "unique_blocks": found.curve.distinct,
        "duration_ns": found.duration_ns,
        "sample_rate": found.curve.rate,
        "block_tokens": found.about.block_tokens,
        **{key: getattr(block, name, None) for key, name in _OF_BLOCK.items()},
    }


def _capacity(at: At, found: Prediction, block: BlockSize | None) -> dict[str, Cell]:
    return {
        "asked": at.asked,
        "capacity_blocks": at.blocks,
        "share_of_unique": None if at.blocks is None else at.blocks / found.curve.distinct,
        **_bytes(at.blocks, block),
        "fill_ns": at.fill_ns,
        **_hits(at.hits),
    }


def _bytes(blocks: int | None, block: BlockSize | None) -> dict[str, int | None]:
    of_block = (None, None) if block is None else (block.total_bytes, block.rank_bytes)
    total, rank = (None if blocks is None or each is None else blocks * each for each in of_block)
    return {"capacity_bytes": total, "capacity_rank_bytes": rank}


def _hits(hits: Hits) -> dict[str, Cell]:
    return {
        "hits": round(hits.hits),
        "hit_rate": hits.hit_rate,
        "prefix_hits": hits.prefix_hits,
        "prefix_hit_rate": hits.prefix_hit_rate,
        "hit_rate_standard_error": hits.standard_error,
    }


def _curve(found: Prediction, block: BlockSize | None) -> list[dict[str, Cell]]:
    """Enough of the whole curve to draw it: capacities in even steps of the logarithm, from one block to all."""
    steps = np.unique(np.geomspace(1, max(1, found.curve.distinct), _CURVE_POINTS).round().astype(int))
    return [{"capacity_blocks": n, **_bytes(n, block), **_hits(found.curve.at(n))} for n in steps.tolist()]


# ---- the terminal


def prediction_table(found: Prediction, block: BlockSize | None, width: int, chart: bool) -> RenderableType:
    """What the trace is, with `chart` the curve, the figures and what they mean, in lines of at most `width`."""
    form = found.about.format
    parts: list[RenderableType] = [
        Text.assemble((found.path, "bold"), f": {FORMATS[form].title if form in FORMATS else form}", overflow="fold"),
        Padding(facts_text(tuple(_facts(found, block)), width - 2), (0, 0, 1, 2)),
    ]
    drawn = hit_chart(found, block, min(width, 100) - 2) if chart else []
    if drawn:
        parts += [*(Padding(line, (0, 0, 0, 2)) for line in drawn), Text()]
    columns = _columns(found, block)
    shown = fitting(columns, width - 2)
    parts.append(Padding(grid_of(shown), (0, 0, 1, 2)))
    parts += [bullet(note, "") for note in _known(found, block)]
    parts += [bullet(note, "dim") for note in _meanings(found, block)]
    if len(shown) < len(columns):
        names = ", ".join(column.name for column in columns if column not in shown)
        parts.append(bullet(f"left out for want of width: {names}; --format csv has everything", "dim"))
    parts += [bullet(note, "yellow") for note in (*found.about.notes, *(block.notes if block else ()))]
    return Group(*parts)


def _facts(found: Prediction, block: BlockSize | None) -> Iterator[tuple[str, str]]:
    curve = found.curve
    about = "about " if curve.rate < 1 else ""
    yield "requests", f"{curve.requests:,}"
    yield "look-ups", f"{curve.lookups:,}"
    yield "unique blocks", f"{about}{curve.distinct:,}"
    yield "duration", NOTHING if found.duration_ns is None else _show_time(found.duration_ns)
    yield "policy", curve.policy
    if curve.rate < 1:
        yield "sample", f"1 of {round(1 / curve.rate):,} blocks"
    size = "" if block is None else f", {show_one(block.total_bytes, 'B')}"
    yield "block", f"{found.about.block_tokens} tokens{size}"
    if block is not None and block.model is not None:
        yield "model", f"{block.model}, {block.kv_dtype}"
        yield "tp", str(block.tp)
        yield "pp", str(block.pp)


def _columns(found: Prediction, block: BlockSize | None) -> list[TableColumn]:
    curve, at = found.curve, found.at
    shares = [None if each.blocks is None else each.blocks / curve.distinct * 100 for each in at]
    sizes = [None if each.blocks is None or block is None else each.blocks * block.total_bytes for each in at]
    size, time = scale_for(sizes, "B"), _time_scale([each.fill_ns for each in at])
    rates = [f"{each.hits.hit_rate * 100:.2f}" for each in at]
    if curve.standard_error is not None:
        errors = [f"{(each.hits.standard_error or 0) * 100:.2f}" for each in at]
        rates = [f"{rate} ± {error}" for rate, error in zip(rates, errors, strict=True)]
    prefixes = [each.hits.prefix_hit_rate for each in at]
    columns = [
        TableColumn("blocks", "", tuple("no limit" if each.blocks is None else f"{each.blocks:,}" for each in at)),
        TableColumn("of unique", "%", tuple(NOTHING if share is None else _short(share) for share in shares), rank=2),
        TableColumn("size", size.unit, tuple(map(size.show, sizes)), rank=1),
        TableColumn("full after", time.unit, tuple(time.show(each.fill_ns) for each in at), rank=3),
        TableColumn("hit rate", "%", tuple(rates)),
        TableColumn("prefix", "%", tuple(NOTHING if rate is None else f"{rate * 100:.2f}" for rate in prefixes)),
    ]
    return [column for column in columns if set(column.cells) != {NOTHING}]


def _known(found: Prediction, block: BlockSize | None) -> Iterator[str]:
    """What holds for every cache, and where the curve gets there."""
    about = "about " if found.curve.rate < 1 else ""
    first, most = found.curve.lookups - round(found.limit.hits), show_percent(found.limit.hit_rate)
    yield (
        f"at most {about}{most} can hit: {about}{first:,} of {found.curve.lookups:,} look-ups are of a block that no "
        "earlier request asked for"
    )
    for share, blocks in found.reached():
        percent = show_percent(share)
        yield f"{percent} of all hits that are possible from {plural(blocks, 'block')}{_in_bytes(blocks, block)} on"


def _in_bytes(blocks: int, block: BlockSize | None) -> str:
    return "" if block is None else f" ({show_one(blocks * block.total_bytes, 'B')})"


def _meanings(found: Prediction, block: BlockSize | None) -> Iterator[str]:
    yield "hit rate: blocks found / blocks looked up; all blocks of a request are looked up before any is kept"
    if found.curve.prefix_hits is not None:
        yield "prefix: found, and so is every block before it in its request; what an engine can use"
    else:
        yield "±: standard error; a sample does not show which hits are in an unbroken prefix"
    if found.duration_ns is not None:
        yield "full after: until so many different blocks had been asked for"
    if block is not None and block.model is not None and block.tp and block.pp and block.tp * block.pp > 1:
        rank = show_one(block.rank_bytes, "B")
        yield f"size: on all {block.tp * block.pp} ranks together; of a block one rank of the fullest stage has {rank}"
    elif block is not None and block.model is not None:
        yield "size: of the whole model"


def _time_scale(values_ns: list[int | None]) -> Scale:
    """The largest unit of which the longest time has two."""
    longest = max((value for value in values_ns if value), default=0)
    unit, factor = next((each for each in reversed(_TIMES) if longest >= 2 * each[1]), _TIMES[0])
    return Scale(unit, Fraction(factor), 0).digits_for(values_ns)


def _show_time(value_ns: int) -> str:
    scale = _time_scale([value_ns])
    return f"{scale.show(value_ns)} {scale.unit}"


def _short(percent: float) -> str:
    return f"{percent:.3g}" if percent < 1000 else f"{percent:,.0f}"
