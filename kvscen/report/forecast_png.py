"""Forecasts against an axis as a PNG: what is found, and how long a first token takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from kvscen.language.suggest import did_you_mean
from kvscen.language.values import BYTES, TIME, Quantity, Value, format_value
from kvscen.plan.columns import typed
from kvscen.plan.point import Point
from kvscen.predict.errors import PredictionError
from kvscen.predict.forecast import Forecast
from kvscen.report.chart_png import new_figure, save_png
from kvscen.report.numbers import scale_for

#: The families of times that are drawn, the first that is there: name and column without the percentile.
_FAMILIES = (
    ("time to first token", "ttft"),
    ("load of what was found", "load_latency"),
    ("request", "request_latency"),
)


def axis_of(points: Sequence[Point], asked: str | None) -> str:
    """The path of the axis to draw against: the one that is asked for, else the first along which a number varies, else
    the first that varies. Raises PredictionError."""
    values: dict[str, list[Value]] = {}
    for point in points:
        for path, value in point.axes.items():
            values.setdefault(path, []).append(value)
    varied = {path: each for path, each in values.items() if len(set(map(format_value, each))) > 1}
    if asked is not None and asked in varied:
        return asked
    if not varied:
        raise PredictionError(
            "the points differ along no axis, so there is nothing to draw against",
            "let a setting vary in the sweep, as in `dram.capacity in [64 GiB, 128 GiB]`",
        )
    if asked is not None:
        raise PredictionError(
            f"no axis along which the points differ is called `{asked}`",
            did_you_mean(asked, list(varied), f"there are {', '.join(varied)}"),
        )
    numeric = (path for path, each in varied.items() if all(isinstance(value, Quantity) for value in each))
    return next(numeric, next(iter(varied)))


@attrs.frozen
class _Axis:
    """Where each value stands: in `unit`, or, of words, in their order."""

    path: str
    unit: str
    place: dict[str, float]
    words: bool

    @property
    def even(self) -> bool:
        """Do values follow each other by steps, not by factors?"""
        places = sorted(self.place.values())
        return self.words or places[0] <= 0 or places[-1] < 8 * places[0]


def _axis(found: Sequence[Forecast], path: str) -> _Axis:
    values = [one.point.axes[path] for one in found if path in one.point.axes]
    if not all(isinstance(value, Quantity) for value in values):
        return _Axis(
            path, "", {text: number for number, text in enumerate(dict.fromkeys(map(format_value, values)))}, True
        )
    dimension = values[0].dimension if isinstance(values[0], Quantity) else None
    numbers = {format_value(value): float(typed(value) or 0) for value in values}
    scale = scale_for(numbers.values(), {BYTES: "B", TIME: "ns"}.get(dimension) if dimension is not None else None)
    return _Axis(path, scale.unit, {text: number / float(scale.factor) for text, number in numbers.items()}, False)


def write_forecast_png(scenario: str, found: Sequence[Forecast], path: str, file: Path) -> None:
    """Against the axis `path`; a line for each combination of the others. 1600 x 1000 pixels, with times half as high
    again. The file appears complete or not at all. Raises OSError."""
    good = [one for one in found if one.status == "ok" and path in one.point.axes]
    axis = _axis(good, path)
    family = next((each for each in _FAMILIES if any(one.measures.get(f"{each[1]}_p50_ns") for one in good)), None)
    time = scale_for((_number(one, f"{family[1]}_p50_ns") for one in good) if family else (), "ns")
    with new_figure(height=7.5 if family else 5) as figure:
        panels = figure.subplots(2 if family else 1, 1, sharex=True, squeeze=False)[:, 0]
        lines = _lines(good, path)
        for number, (label, points) in enumerate(lines.items()):
            points.sort(key=lambda one: axis.place[format_value(one.point.axes[path])])
            x = [axis.place[format_value(one.point.axes[path])] for one in points]
            style = {"color": f"C{number % 10}", "marker": "o", "linestyle": "none" if axis.words else "-"}
            _draw(panels[0], x, points, "hit_rate", 100, style, f"{label} ".lstrip() + "hit rate")
            other = {**style, "marker": "x", "linestyle": "none" if axis.words else "--"}
            if family:
                factor = 1 / float(time.factor)
                _draw(panels[1], x, points, f"{family[1]}_p50_ns", factor, style, f"{label} p50".lstrip())
                _draw(panels[1], x, points, f"{family[1]}_p99_ns", factor, other, f"{label} p99".lstrip())
            else:
                _draw(panels[0], x, points, "prefix_hit_rate", 100, other, f"{label} in an unbroken prefix".lstrip())
        panels[0].set_ylim(0, 100)
        panels[0].set_ylabel("hit rate in % of the look-ups")
        if family:
            panels[1].set_ylim(0, 1.05 * panels[1].get_ylim()[1])
            panels[1].set_ylabel(f"{family[0]} in {time.unit}")
        _finish(panels, axis)
        panels[0].set_title(
            f"{scenario}: {', '.join(dict.fromkeys(one.point.sweep for one in good))}", fontsize="medium"
        )
        save_png(figure, file)


def _lines(found: Sequence[Forecast], path: str) -> dict[str, list[Forecast]]:
    """By what the points differ in besides the axis."""
    several = len({one.point.sweep for one in found}) > 1
    lines: dict[str, list[Forecast]] = {}
    for one in found:
        others = [format_value(value) for name, value in one.point.axes.items() if name != path]
        lines.setdefault(", ".join([one.point.sweep] * several + others), []).append(one)
    return lines


def _draw(
    panel: Any,
    x: Sequence[float],
    points: Sequence[Forecast],
    key: str,
    factor: float,
    style: dict[str, str],
    label: str,
) -> None:
    pairs = [
        (place, value * factor)
        for place, one in zip(x, points, strict=True)
        if (value := _number(one, key)) is not None
    ]
    if pairs:
        panel.plot(*zip(*pairs, strict=True), label=label, clip_on=False, **style)


def _number(one: Forecast, key: str) -> float | None:
    value = one.measures.get(key)
    return float(value) if isinstance(value, int | float) else None


def _finish(panels: Sequence[Any], axis: _Axis) -> None:
    last = panels[-1]
    if axis.words:
        last.set_xticks(list(axis.place.values()), list(axis.place))
        last.margins(x=0.15)
    else:
        if not axis.even:
            last.set_xscale("log")
        last.set_xticks(sorted(axis.place.values()))
        last.minorticks_off()
        last.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    unit = f" in {axis.unit}" if axis.unit else ""
    last.set_xlabel(f"{axis.path}{unit}{'' if axis.even else ' (logarithmic)'}")
    for panel in panels:
        panel.grid(alpha=0.25)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize="small")
