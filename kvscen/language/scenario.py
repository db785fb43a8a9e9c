"""A checked scenario: blocks, lets and sweeps with everything in them bound to its declaration, values still as
expressions.

Values stay expressions because they bind late: what `disk.path` is depends on the point, for an axis, a sweep or
`--set` may change a `let` or a base block that it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs

from kvscen.language import syntax
from kvscen.language.diagnose import Span
from kvscen.language.schema import SettingInfo, SettingType, Unfit
from kvscen.language.values import Quantity, Symbol, Value, format_value
from kvscen.plugin.contract import Driver
from kvscen.results.measures import MeasureInfo


class LetType(SettingType):
    """The type of a `let`: whatever its own value is. What replaces it must be of the same kind and dimension."""

    def __init__(self, like: Value, words: tuple[str, ...] = (), refers_to: str | None = None) -> None:
        self.like = like
        self.words = words
        self.refers_to = refers_to

    def describe(self) -> str:
        like = self.like
        if isinstance(like, bool):
            return "`true` or `false`"
        if isinstance(like, Quantity):
            return f"{'a percentage' if like.percent else like.dimension} such as `{like}`"
        if isinstance(like, Symbol):
            return f"a name such as `{like}`"
        return f"a text such as {format_value(like)}" if isinstance(like, str) else "a list"

    def convert(self, value: Value) -> Value:
        if _kind(value) != _kind(self.like):
            raise Unfit(f"expected {self.describe()}, as in its `let`, found `{format_value(value)}`")
        return value

    def show(self, value: Value) -> str:
        return format_value(value)


def _kind(value: Value) -> Any:
    return (value.dimension, value.percent) if isinstance(value, Quantity) else type(value)


@attrs.frozen(eq=False)
class Target:
    """What a path leads to.

    `key` names it the same way everywhere: `disk.direct` a block's setting, `dir` a `let`, `trials` the running sweep's
    own. `info` is None for a `let`, `block` is the name of the block, None for a `let` and the sweep's own.
    """

    key: str
    type: SettingType
    info: SettingInfo | None = None
    block: str | None = None


@attrs.frozen(eq=False)
class Assigned:
    """`path = value` as written."""

    target: Target
    expr: syntax.Expr
    span: Span
    path_span: Span


@attrs.frozen(eq=False)
class LetDef:
    name: str
    expr: syntax.Expr
    span: Span
    type: LetType


@attrs.frozen(eq=False)
class BlockDef:
    """A model, tier or pattern. `chain` is its name and its bases', nearest first; `built_in` the family, driver or
    pattern type at the end of it and `declaration` the attrs class of that one's settings."""

    kind: str
    name: str
    span: Span
    chain: tuple[str, ...]
    built_in: str
    declaration: type
    settings: Mapping[str, Assigned]


# ---- conditions, bound to their targets


@attrs.frozen(eq=False)
class Test:
    target: Target
    operator: syntax.Operator
    expr: syntax.Expr


@attrs.frozen(eq=False)
class AllOf:
    items: tuple[Test | AllOf | AnyOf | NotOf, ...]


@attrs.frozen(eq=False)
class AnyOf:
    items: tuple[Test | AllOf | AnyOf | NotOf, ...]


@attrs.frozen(eq=False)
class NotOf:
    item: Test | AllOf | AnyOf | NotOf


Bound: TypeAlias = Test | AllOf | AnyOf | NotOf


@attrs.frozen(eq=False)
class AxisDef:
    """`path in values`, or several paths together: then each of the values is a row, one value for each path."""

    targets: tuple[Target, ...]
    values: syntax.Expr
    path_spans: tuple[Span, ...]
    span: Span

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(target.key for target in self.targets)


@attrs.frozen(eq=False)
class SkipDef:
    condition: Bound
    span: Span


@attrs.frozen(eq=False)
class ExpectDef:
    measure: str
    info: MeasureInfo
    operator: syntax.Operator
    value: syntax.Expr
    when: Bound | None
    span: Span


@attrs.frozen(eq=False)
class FindDef:
    """`find highest PATH where CONDITIONS`, `find lowest ...`, or `find saturation of MEASURE over PATH within SHARE`:
    of this one `measure`, its `info` and (where it is written) `share` are set, of the others `conditions`."""

    kind: Literal["highest", "lowest", "saturation"]
    target: Target
    conditions: tuple[ExpectDef, ...]
    measure: str | None
    info: MeasureInfo | None
    share: syntax.Expr | None
    path_span: Span
    span: Span


@attrs.frozen(eq=False)
class SweepDef:
    """`chain` is its name and its base sweeps', nearest first. `assigned` is by the target's key."""

    name: str
    span: Span
    chain: tuple[str, ...]
    assigned: Mapping[str, Assigned]
    axes: tuple[AxisDef, ...]
    skips: tuple[SkipDef, ...]
    expects: tuple[ExpectDef, ...]
    find: FindDef | None = None


@attrs.frozen(eq=False)
class Scenario:
    """`name` is the file's name without its ending; `files` are (name, text), the scenario first; `runs` names the
    sweeps of the scenario's own file, in its order; `drivers` holds those that its tiers name."""

    name: str
    files: tuple[tuple[str, str], ...]
    blocks: Mapping[str, BlockDef]
    lets: Mapping[str, LetDef]
    sweeps: Mapping[str, SweepDef]
    runs: tuple[str, ...]
    drivers: Mapping[str, Driver]

    def writes(self, sweep: str, setting: str) -> bool:
        """Is the sweep's own `setting` written (or varied) in the text of this sweep or one of its bases?"""
        for name in self.sweeps[sweep].chain:
            level = self.sweeps[name]
            if setting in level.assigned or any(setting in axis.keys for axis in level.axes):
                return True
        return False
