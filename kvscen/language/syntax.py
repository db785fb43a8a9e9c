"""The syntax tree: what the text says, before anything is known about what it means. Every node has its span."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import attrs

from kvscen.language.diagnose import Source, Span

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]


@attrs.frozen
class Ident:
    name: str
    span: Span


@attrs.frozen
class Path:
    """`pages.op`, or a bare `tier` (one part)."""

    parts: tuple[str, ...]
    span: Span

    def __str__(self) -> str:
        return ".".join(self.parts)


# ---- expressions


@attrs.frozen
class Number:
    """A number with or without a unit; the unit is not checked yet."""

    value: Fraction
    unit: str | None
    span: Span
    unit_span: Span | None = None


@attrs.frozen
class Text:
    value: str
    span: Span


@attrs.frozen
class Boolean:
    value: bool
    span: Span


@attrs.frozen
class Name:
    """A name as a value. A dotted path is parsed too, so that its misuse can be explained."""

    path: Path
    span: Span


@attrs.frozen
class ListExpr:
    items: tuple[Expr, ...]
    span: Span


@attrs.frozen
class TupleExpr:
    """`(a, b)`: one row of a grouped axis."""

    items: tuple[Expr, ...]
    span: Span


@attrs.frozen
class Negate:
    operand: Expr
    span: Span


@attrs.frozen
class Binary:
    operator: Literal["+", "-", "*", "/"]
    left: Expr
    right: Expr
    span: Span


@attrs.frozen
class Call:
    function: Ident
    arguments: tuple[Expr, ...]
    span: Span


Expr: TypeAlias = Number | Text | Boolean | Name | ListExpr | TupleExpr | Negate | Binary | Call

# ---- conditions


@attrs.frozen
class Compare:
    path: Path
    operator: Operator
    value: Expr
    span: Span


@attrs.frozen
class And:
    items: tuple[Condition, ...]
    span: Span


@attrs.frozen
class Or:
    items: tuple[Condition, ...]
    span: Span


@attrs.frozen
class Not:
    item: Condition
    span: Span


Condition: TypeAlias = Compare | And | Or | Not

# ---- statements


@attrs.frozen
class Setting:
    """`path = value`; in a sweep the path may have two parts."""

    path: Path
    value: Expr
    span: Span


@attrs.frozen
class Axis:
    """`path in values`, or `(a, b) in [(1, 2), ...]` with several paths."""

    paths: tuple[Path, ...]
    values: Expr
    span: Span


@attrs.frozen
class Skip:
    condition: Condition
    span: Span


@attrs.frozen
class Expect:
    measure: Path
    operator: Operator
    value: Expr
    when: Condition | None
    span: Span


@attrs.frozen
class Find:
    """`find highest PATH where CONDITIONS`, or `lowest`: CONDITIONS hold measures against values, joined by `and`.
    `find saturation of MEASURE over PATH [within SHARE]`: then `measure` is there, and there are no conditions."""

    kind: Literal["highest", "lowest", "saturation"]
    path: Path
    conditions: tuple[Compare, ...]
    measure: Path | None
    share: Expr | None
    span: Span


Statement: TypeAlias = Setting | Axis | Skip | Expect | Find


@attrs.frozen
class Block:
    """`KIND NAME : BASE { ... }`; `base` is a Call only for `hf("config.json")`."""

    kind: str
    name: Ident
    base: Ident | Call | None
    body: tuple[Statement, ...]
    span: Span


@attrs.frozen
class Let:
    name: Ident
    value: Expr
    span: Span


@attrs.frozen
class Use:
    """`use models` (is_file false) or `use "team.kvs"`."""

    target: str
    is_file: bool
    span: Span


Item: TypeAlias = Block | Let | Use


@attrs.frozen
class Document:
    """One parsed file. `version` is None where the `kvs` line is missing (reported by the parser). `complete`: every
    item was read, though perhaps not every statement in the blocks; no other name is defined."""

    source: Source
    version: int | None
    items: tuple[Item, ...]
    complete: bool = True


#: What a node holds that is no node, as it is annotated.
_NO_NODES = frozenset(
    ("Span", "Span | None", "Source", "str", "str | None", "tuple[str, ...]", "bool", "int | None", "Fraction")
)

#: The fields of each kind of node that may hold others, in the order of the text.
FIELDS: Mapping[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in attrs.fields(kind) if field.type not in _NO_NODES)
    for kind in tuple(vars().values())
    if isinstance(kind, type) and kind.__module__ == __name__ and attrs.has(kind)
}


def nodes_below(node: Any) -> Iterator[Any]:
    """A node, or each of a tuple of nodes, with every node below it, in the order of the text."""
    pending = [node]
    while pending:
        node = pending.pop()
        kind = type(node)
        if kind is tuple:
            pending.extend(reversed(node))
            continue
        fields = FIELDS.get(kind)
        if fields is not None:
            yield node
            for name in reversed(fields):
                pending.append(getattr(node, name))
