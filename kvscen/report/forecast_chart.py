"""Forecasts in characters: where each point finds its blocks, and how long a first token takes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from kvscen.predict.forecast import Forecast
from kvscen.report.numbers import scale_for, show_percent

#: A level's blocks, from the top down; further ones share the last.
_SHADES = "█▓▒░"
_MISSED = "·"
_MOST = 40
_TIMES = (("TTFT p50", "ttft_p50_ns"), ("load p50", "load_latency_p50_ns"))


def level_names(found: Sequence[Forecast]) -> list[str]:
    """Of all points, from the top down."""
    rows = [(row["level"], row["tier"]) for one in found for row in one.levels]
    return list(dict.fromkeys(name for _, name in sorted(rows, key=lambda row: row[0])))


def text_chart(found: Sequence[Forecast], labels: Sequence[str], width: int) -> list[Text]:
    """A bar for each point, parted by level, and with times a second one; none where there is no room."""
    shown = [(one, label) for one, label in zip(found, labels, strict=True) if one.status == "ok"]
    left = max((len(label) for _, label in shown), default=0) + 2
    time = next(((name, key) for name, key in _TIMES if any(one.measures.get(key) for one, _ in shown)), None)
    room = (width - left - 2) // (2 if time else 1) - 10
    if not shown or room < 10:
        return []
    bar = min(_MOST, room)
    names = level_names(found)
    legend = "   ".join(f"{_shade(number)} {name}" for number, name in enumerate(names)) or f"{_SHADES[0]} found"
    head = f"{'':{left}}{'hit rate':<{bar + 10}}{time[0] if time else ''}".rstrip()
    lines = [Text(head, "dim")]
    values = [one.measures.get(time[1]) if time else None for one, _ in shown]
    numbers = [value if isinstance(value, int) else None for value in values]
    scale, longest = scale_for(numbers, "ns"), max((value or 0 for value in numbers), default=0)
    for (one, label), value in zip(shown, numbers, strict=True):
        cells = _found(one, names, bar)
        rate = one.measures.get("hit_rate")
        rest = _MISSED * (bar - len(cells))
        line = Text.assemble(f"{label:<{left}}", (cells, "cyan"), (rest, "dim"), f" {_percent(rate):<9}")
        if time and value is not None:
            length = max(1, round(value / longest * bar)) if longest and value else 0
            line.append("█" * length, "yellow").append(f" {scale.show(value)} {scale.unit}")
        lines.append(line)
    lines.append(Text(f"{'':{left}}{legend}", "dim"))
    return lines


def _percent(rate: object) -> str:
    return show_percent(rate if isinstance(rate, float) else None)


def _shade(number: int) -> str:
    return _SHADES[min(number, len(_SHADES) - 1)]


def _found(one: Forecast, names: Sequence[str], bar: int) -> str:
    """The share of each level, of a bar that stands for all look-ups."""
    lookups, hits = one.measures.get("lookups"), one.measures.get("hits")
    if not isinstance(lookups, int) or not isinstance(hits, int) or not lookups:
        return ""
    parts = [(names.index(row["tier"]), row["hits"]) for row in one.levels] or [(0, hits)]
    cells, total = "", 0
    for number, count in parts:
        total += count
        # From where the bar ends to where it should: so that parts do not add up to another length than the whole.
        cells += _shade(number) * (round(total / lookups * bar) - len(cells))
    return cells
