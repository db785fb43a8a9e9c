"""The hit rate by capacity as a PNG, drawn by matplotlib, which the extra `chart` brings."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kvscen.predict import Prediction
from kvscen.predict.block import BlockSize
from kvscen.report.chart import axis_top, chart_range
from kvscen.report.numbers import scale_for, show_one, show_percent
from kvscen.results.files import whole_file

#: Capacities at which a whole curve is drawn, at most.
_POINTS = 1000


def can_draw() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def write_png(found: Prediction, block: BlockSize | None, path: Path) -> None:
    """1600 x 1000 pixels. The file appears complete or not at all. Raises OSError."""
    with new_figure() as figure:
        _draw(figure.add_subplot(), found, block)
        save_png(figure, path)


@contextmanager
def new_figure(height: float = 5) -> Iterator[Any]:
    """A figure, 1600 pixels wide and 200 x `height` high. Without pyplot: no display is looked for, and no settings of
    the user's change the picture."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        figure = Figure(figsize=(8, height), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def save_png(figure: Any, path: Path) -> None:
    """Without the program's version, so that the same picture is the same file. Raises OSError."""
    whole_file(path, lambda temporary: figure.savefig(temporary, format="png", metadata={"Software": None}))


def _draw(axes: Any, found: Prediction, block: BlockSize | None) -> None:
    curve, (least, most) = found.curve, chart_range(found)
    if block is None:
        unit, factor = "blocks", 1.0
    else:
        scale = scale_for([most * block.total_bytes / 100], "B")
        unit, factor = scale.unit, block.total_bytes / float(scale.factor)
    if curve.whole:
        steps = np.unique(np.geomspace(least, most, _POINTS).round().astype(np.int64)).tolist()
    else:
        steps = [at.blocks for at in found.at if at.blocks is not None]
    hits = [curve.at(step) for step in steps]
    x, rates = np.array(steps) * factor, np.array([each.hit_rate for each in hits]) * 100
    style = {} if curve.whole else {"linestyle": "none", "marker": "o", "clip_on": False}
    axes.plot(x, rates, color="C0", label="hit rate", **style)
    if curve.standard_error is not None:
        error = np.array([each.standard_error or 0.0 for each in hits]) * 100
        axes.fill_between(
            x, rates - error, rates + error, color="C0", alpha=0.25, linewidth=0, label="± standard error"
        )
    if curve.prefix_hits is not None:
        prefix = np.array([each.prefix_hit_rate or 0.0 for each in hits]) * 100
        style = {"linestyle": "--"} if curve.whole else {"linestyle": "none", "marker": "x", "clip_on": False}
        axes.plot(x, prefix, color="C1", label="in an unbroken prefix", **style)
    limit = found.limit.hit_rate
    axes.axhline(limit * 100, color="0.4", linestyle=":", label=f"without limit: {show_percent(limit)}")
    axes.set_xscale("log")
    axes.set_xlim(*((least * factor, most * factor) if most > least else (x[0] / 2, x[0] * 2)))
    axes.set_ylim(0, axis_top(found))
    of_model = "" if block is None or block.model is None else f" of {block.model}, {block.kv_dtype}"
    ranks = 1 if block is None else (block.tp or 1) * (block.pp or 1)
    axes.set_xlabel(f"capacity in {unit}{of_model}{f', all {ranks} ranks' if ranks > 1 else ''} (logarithmic)")
    axes.set_ylabel("hit rate in % of the look-ups")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    share = 100 / (curve.distinct * factor)
    above = axes.secondary_xaxis("top", functions=(lambda value: value * share, lambda value: value / share))
    above.set_xlabel("capacity in % of the unique blocks")
    above.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.grid(which="both", alpha=0.25)
    axes.legend(loc="lower right")
    sample = f", from 1 of {round(1 / curve.rate):,} blocks" if curve.rate < 1 else ""
    size = "" if block is None else f" of {show_one(block.total_bytes, 'B')}"
    axes.set_title(
        f"{Path(found.path).name}: {curve.policy}{sample}\n{curve.lookups:,} look-ups of "
        f"{'about ' if curve.rate < 1 else ''}{curve.distinct:,} blocks{size}",
        fontsize="medium",
    )
