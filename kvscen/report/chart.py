"""The hit rate by capacity in characters: an area for a whole curve, bars where only some capacities are known."""

from __future__ import annotations

import math

from rich.text import Text

from kvscen.predict import Hits, Prediction
from kvscen.predict.block import BlockSize
from kvscen.report.numbers import show_one, show_percent

#: The rows above the axis. A mark of the axis stands in the middle of its row, and so does the value of a row.
_ROWS = 12
_MARKED = 3
_LEFT, _RIGHT = 8, 8
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_TOPS = (1, 2, 4, 6, 8, 10, 20, 30, 40, 50, 60, 80, 100)


def hit_chart(found: Prediction, block: BlockSize | None, width: int) -> list[Text]:
    """Lines of at most `width` characters; none where there is nothing to draw, or no room."""
    least, most = chart_range(found)
    columns = width - _LEFT - _RIGHT
    if most <= least or columns < 16:
        return []
    top = axis_top(found)
    step = top / _ROWS
    limit_row = round((top - found.limit.hit_rate * 100) / step)
    drawn = _columns(found, least, most, columns)
    lines = [Text(f"{'hit rate':>{_LEFT}}", "dim")]
    for row in range(_ROWS):
        middle = top - row * step
        label = f"{middle:g} % ┤" if row % _MARKED == 0 else "│"
        empty = "╌" if row == limit_row else " "
        cells = "".join(empty if (cell := _cell(hits, middle, step)) == " " else cell for hits in drawn)
        tail = f" {show_percent(found.limit.hit_rate)}" if row == limit_row else ""
        lines.append(Text.assemble(f"{label:>{_LEFT}}", (cells, "cyan"), tail))
    places = {round(math.log(value / least) / math.log(most / least) * (columns - 1)): value for value in _marks(found)}
    axis = "".join("┴" if place in places else "─" for place in range(columns))
    lines.append(Text(f"{'0 % ┼':>{_LEFT}}{axis}"))
    shares = {place: f"{value / found.curve.distinct * 100:.3g} %" for place, value in places.items()}
    sizes = {
        place: f"{round(value):,}" if block is None else show_one(value * block.total_bytes, "B")
        for place, value in places.items()
    }
    lines += [Text(_labels(each, width)) for each in (shares, sizes)]
    what = "in blocks" if block is None else "in bytes"
    lines.append(Text(f"{'':{_LEFT}}capacity (logarithmic), of the unique blocks and {what}", "dim"))
    lines += [Text(f"{'':{_LEFT}}{line}", "dim") for line in _legend(drawn, step)]
    return lines


def chart_range(found: Prediction) -> tuple[float, float]:
    """The least and the greatest capacity that a chart shows, in blocks."""
    asked = [at.blocks for at in found.at if at.blocks is not None]
    most = max(found.curve.distinct, *asked, 1)
    return float(max(1, min([found.curve.distinct / 1000, *asked]))), float(most)


def axis_top(found: Prediction) -> float:
    """Where the axis of the hit rate ends, in percent; it begins at 0."""
    return float(next((top for top in _TOPS if top >= found.limit.hit_rate * 100), 100)) if found.limit.hits else 100.0


def _columns(found: Prediction, least: float, most: float, count: int) -> list[Hits | None]:
    if found.curve.whole:
        return [found.curve.at(round(least * (most / least) ** (place / (count - 1)))) for place in range(count)]
    drawn: list[Hits | None] = [None] * count
    for at in found.at:
        if at.blocks is not None:
            drawn[round(math.log(at.blocks / least) / math.log(most / least) * (count - 1))] = at.hits
    return drawn


def _cell(hits: Hits | None, middle: float, step: float) -> str:
    """What a row shows of a column; where prefixes hit clearly less, the rest is shaded."""
    if hits is None:
        return " "
    any_part, prefix_part = (
        min(1.0, max(0.0, (value - middle) / step + 0.5)) for value in (hits.hit_rate * 100, _prefix(hits) * 100)
    )
    if not _gaps(hits, step):
        return _EIGHTHS[round(any_part * 8)]
    if round(prefix_part * 8):
        return _EIGHTHS[round(prefix_part * 8)]
    return "░" if any_part >= 0.5 else " "


def _prefix(hits: Hits) -> float:
    return hits.hit_rate if hits.prefix_hit_rate is None else hits.prefix_hit_rate


def _gaps(hits: Hits, step: float) -> bool:
    return (hits.hit_rate - _prefix(hits)) * 100 >= step


def _marks(found: Prediction) -> list[float]:
    """Capacities with a mark on the axis: tenths, hundredths... of the unique blocks, and where the axis begins."""
    least, most = chart_range(found)
    marks = [found.curve.distinct / 10**power for power in range(-3, 4)]
    inside = [mark for mark in marks if least * 0.999 <= mark <= most]
    return inside if any(mark < 3 * least for mark in inside) else [least, *inside]


def _labels(labels: dict[int, str], width: int) -> str:
    """Labels below their places; one that has no room is left out."""
    line = ""
    for place, label in sorted(labels.items()):
        start = min(max(0, _LEFT + place - len(label) // 2), width - len(label))
        if start > len(line) or not line:
            line = f"{line:<{start}}{label}"
    return line


def _legend(drawn: list[Hits | None], step: float) -> list[str]:
    if any(hits is not None and _gaps(hits, step) for hits in drawn):
        return ["█ in an unbroken prefix   ░ found behind a gap   ╌ without limit"]
    return ["╌ without limit"]
