"""What the tables say about each point: its variables, axes and settings, from a plan or from its plan.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from kvscen.language.values import BANDWIDTH, BYTES, RATE, TIME, TOKENS, Quantity, Value
from kvscen.plan.columns import axes, describe, settings
from kvscen.plan.point import Plan
from kvscen.results.errors import ResultsError
from kvscen.results.schema import VARIABLES

_VARIABLES = {column.name for column in VARIABLES}
_UNITS = {BYTES: "B", TIME: "ns", TOKENS: "tokens", RATE: "1/s", BANDWIDTH: "B/s"}


@attrs.frozen
class PointColumns:
    """One point as columns. `variables` are fixed columns of trials.parquet; `axes` maps paths to typed values, and
    `axis_units` those with a unit to it."""

    point_id: str
    sweep: str
    trials: int
    driver: str
    variables: Mapping[str, Any]
    axes: Mapping[str, Any]
    settings: Mapping[str, str]
    axis_units: Mapping[str, str] = attrs.field(factory=dict)


def columns_of_plan(plan: Plan) -> list[PointColumns]:
    """The points in the order of the plan."""
    return [
        PointColumns(
            point_id=point.id,
            sweep=point.sweep,
            trials=point.trials,
            driver=point.tier.driver,
            variables=describe(point),
            axes=axes(point),
            settings=settings(point),
            axis_units={path: unit for path, value in point.axes.items() if (unit := unit_of(value))},
        )
        for point in plan.points
    ]


def unit_of(value: Value) -> str | None:
    """The unit of a column that holds such values."""
    if not isinstance(value, Quantity):
        return None
    return "1" if value.percent else _UNITS.get(value.dimension)


def columns_of_json(plan: Mapping[str, Any]) -> list[PointColumns]:
    """The points of a plan.json. Raises ResultsError where it is not one."""
    try:
        return [
            PointColumns(
                point_id=point["point_id"],
                sweep=point["sweep"],
                trials=point["trials"],
                driver=point["driver"],
                variables={name: value for name, value in point.items() if name in _VARIABLES},
                axes=point["axes"],
                settings=point["settings"],
            )
            for point in plan["points"]
        ]
    except (KeyError, TypeError) as error:
        raise ResultsError(f"plan.json is damaged: {error} is missing in it", "restore it from a copy") from error
