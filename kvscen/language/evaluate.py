"""Expressions to values: exact arithmetic with dimensions, ranges, and names.

Percentages: `70 % + 10 %` and `70 % / 2` are percentages, `70 % * 10` is the number 7, `70 % * 4 GiB` a size. `+` joins
two texts. Nothing here can hang or grow without bound: numbers beyond 2^63 - 1 base units (bytes, nanoseconds, tokens),
fractions, texts and lists that grow too long are errors.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Protocol, TypeGuard

import attrs

from kvscen.language import syntax
from kvscen.language.codes import diagnostic, problem
from kvscen.language.diagnose import Diagnostic, Fix, ScenarioError, Span
from kvscen.language.functions import check_call
from kvscen.language.instead import THOUSANDS, thousands_help, unit_help, word_meant
from kvscen.language.operands import quantity_of
from kvscen.language.published import instead_of, is_catalogued, is_shipped
from kvscen.language.ranges import LONGEST_LIST
from kvscen.language.schema import Flag, ListOf, Reference, SettingType, Size, Word
from kvscen.language.suggest import closest, did_you_mean, listed, one_of
from kvscen.language.values import TIME, UNITS, Distribution, Quantity, Symbol, Value, describe

#: The largest number of base units (bytes, nanoseconds, tokens): what a signed 64-bit column holds.
LARGEST = 2**63 - 1
#: A denominator longer than this comes of multiplying fractions over and over.
LONGEST_DENOMINATOR_BITS = 512
LONGEST_TEXT = 64 * 1024


class Names(Protocol):
    """What bare names mean where an expression stands."""

    def is_let(self, name: str) -> bool: ...

    def let(self, name: str) -> Value:
        """The value of a `let`. Raises ScenarioError; without diagnostics where its problem was reported already."""
        ...

    def kind_of(self, name: str) -> str | None:
        """The kind of the block of this name, None where there is none."""
        ...

    def known(self) -> Iterator[str]:
        """All names, for did-you-mean."""
        ...

    def is_word(self, word: str) -> bool:
        """Is this a word of some setting's own list?"""
        ...

    def bases(self, kind: str) -> Container[str]:
        """The types that a block of this kind may have, where the language itself knows them."""
        ...

    @property
    def complete(self) -> bool:
        """False where a part of the text could not be read: then a name that is not known is no problem of its own."""
        ...


def nested_too_deeply() -> Diagnostic:
    """What is said where Python's stack ends: the parser bounds one expression, but hundreds of `let`s can need each
    other."""
    return diagnostic(
        "KVS033", "the values of this scenario need each other too deeply", help="use fewer `let`s from value to value"
    )


def evaluate(expr: syntax.Expr, target: SettingType | None, names: Names) -> Value:
    """The value of an expression. `target` is the type of the setting that it is for, None in a `let`: it gives bare
    names their meaning, it does not check the value (see SettingType.convert). Raises ScenarioError with every problem
    found."""
    match expr:
        case syntax.Number():
            return _number(expr, target)
        case syntax.Text():
            return expr.value
        case syntax.Boolean():
            return expr.value
        case syntax.Name():
            return _name(expr, target, names)
        case syntax.ListExpr() | syntax.TupleExpr():
            inner = target.item if isinstance(target, ListOf) else target
            return _sequence(expr, inner, names)
        case syntax.Negate() | syntax.Binary() if _takes_names(target):
            raise _no_name(expr, target, names)
        case syntax.Negate():
            value = quantity_of(evaluate(expr.operand, None, names), expr.operand.span, "-")
            return attrs.evolve(value, value=-value.value)
        case syntax.Binary():
            return _binary(expr, names)
        case syntax.Call():
            return _call(expr, names)


def _takes_names(target: SettingType | None) -> TypeGuard[Word | Reference]:
    """Nothing that comes out of a calculation can be its value."""
    inner = target.item if isinstance(target, ListOf) else target
    return isinstance(inner, Word | Reference)


def _no_name(expr: syntax.Expr, target: SettingType, names: Names) -> ScenarioError:
    """`model = llama-3.1-8b`, `eviction = s3-fifo`."""
    written = " ".join(expr.span.text.split())
    help_text = f"names have no `-`; this setting takes {target.describe()}"
    if target.refers_to == "model":
        help_text = instead_of(written)
    else:
        known = [*target.words, *(name for name in names.known() if names.kind_of(name) == target.refers_to)]
        alike = {re.sub(r"\W|_", "", name).lower(): name for name in known}
        bare = re.sub(r"\W|_", "", written).lower()
        near = alike.get(bare) or alike.get(closest(bare, alike) or "")
        help_text = f"did you mean `{near}`?" if near else help_text
    return problem("KVS105", f"`{written}` is a calculation, and a name is asked for", expr.span, help=help_text)


def _number(expr: syntax.Number, target: SettingType | None) -> Quantity:
    if expr.unit is None:
        return _bounded(Quantity(expr.value), expr.span)
    unit = UNITS.get(expr.unit)
    if unit is None:
        span = expr.unit_span or expr.span
        help_text, better = unit_help(expr.unit)
        inner = target.item if isinstance(target, ListOf) else target
        if expr.unit in THOUSANDS or (expr.unit in ("m", "g", "t") and isinstance(inner, Size)):
            help_text = thousands_help(expr.value, expr.span.text, expr.unit, inner)
        fix = Fix(span, better) if better is not None else None
        raise ScenarioError([diagnostic("KVS104", f"`{expr.unit}` is not a unit", span, help=help_text, fix=fix)])
    value = expr.value if unit.factor == 1 else expr.value * unit.factor
    return _bounded(Quantity(value, unit.dimension, unit.percent), expr.span)


def _bounded(value: Quantity, span: Span) -> Quantity:
    scale = 10**9 if value.dimension == TIME else 1
    # As abs(value.value) * scale > LARGEST, and without making fractions.
    if abs(value.value.numerator) * scale > LARGEST * value.value.denominator:
        raise problem(
            "KVS107",
            "this number is too large",
            span,
            help=f"the largest is 2^63 - 1 ({LARGEST}) in bytes, nanoseconds, tokens or ones",
        )
    if value.value.denominator.bit_length() > LONGEST_DENOMINATOR_BITS:
        raise problem("KVS107", "this fraction has too many digits", span, help="write a number with fewer digits")
    return value


def _name(expr: syntax.Name, target: SettingType | None, names: Names) -> Value:
    if len(expr.path.parts) > 1:
        raise problem(
            "KVS101",
            f"`{expr.path}` is a path, and a path has no value here",
            expr.span,
            help="give the value a name with `let`, and use that name in both places",
        )
    name = expr.path.parts[0]
    kind = names.kind_of(name)
    meanings = []
    if target is not None and name in target.words:
        meanings.append("a word of this setting")
    if kind is not None and (target is None or kind == target.refers_to):
        meanings.append(f"the {kind} of that name")
    if names.is_let(name):
        meanings.append("the `let` of that name")
    if len(meanings) > 1:
        raise problem(
            "KVS108",
            f"`{name}` could be {' or '.join(meanings)}",
            expr.span,
            help=f"give the {kind or '`let`'} another name",
        )
    if names.is_let(name):
        return names.let(name)
    if meanings or (target is None and names.is_word(name)):
        return Symbol(name)
    if not names.complete and kind is None:
        raise ScenarioError([])
    raise _unknown(expr, name, kind, target, names)


def _unknown(expr: syntax.Name, name: str, kind: str | None, target: SettingType | None, names: Names) -> ScenarioError:
    if kind is not None:
        wanted = target.describe() if target else "a value"
        what = f"`{name}` is {one_of(kind)}; expected {wanted}"
        return problem("KVS105", what, expr.span, help=f"write {wanted}")
    usable = [
        other for other in names.known() if names.is_let(other) or (target and names.kind_of(other) == target.refers_to)
    ]
    words = list(target.words) if target else []
    otherwise = f"define it: `let {name} = ...`"
    if words:
        otherwise = f"this setting takes {listed(words)}"
    elif target is not None and target.refers_to:
        block = target.refers_to
        there = [name for name in names.known() if names.kind_of(name) == block and not is_shipped(name, block)]
        every = "kinds of users" if block == "users" else f"{block}s"
        otherwise = f"the {every} here are {listed(there)}" if there else f"define {one_of(block)}"
        if name in names.bases(block):
            # A block is asked for: the nearest other name would lead astray.
            what = "a driver" if block == "tier" else f"a type of {block}"
            help_text = f"`{name}` is {what}: define {one_of(block)}, `{block} NAME : {name} {{ ... }}`, and name that"
            return problem("KVS101", f"nothing is called `{name}` here", expr.span, help=help_text)
        if block == "users" and not there:
            otherwise += f": `users {name} : chat {{ }}`"
        if block == "model":
            otherwise = (
                instead_of(name)
                if is_catalogued(name)
                else f"{otherwise}; those of the catalogue (`use models`): kvscen explain models"
            )
    elif target is not None:
        otherwise = f"write {target.describe()}"
        if isinstance(target, Flag) and name.lower() in ("yes", "on", "no", "off", "true", "false"):
            otherwise = f"write `{'true' if name.lower() in ('yes', 'on', 'true') else 'false'}`"
        elif name in ("None", "null", "nil", "default", "auto"):
            otherwise = "take the line out: then the default holds"
        elif name in UNITS:
            otherwise = f"a unit stands behind its number: `4 {name}`"
    help_text = word_meant(name, words) or did_you_mean(name, [*words, *usable], otherwise)
    return problem("KVS101", f"nothing is called `{name}` here", expr.span, help=help_text)


def _sequence(expr: syntax.ListExpr | syntax.TupleExpr, inner: SettingType | None, names: Names) -> Value:
    items: list[Value] = []
    found: list[Diagnostic] = []
    failed = False
    size = 0
    for item in expr.items:
        try:
            value = evaluate(item, inner, names)
        except ScenarioError as error:
            failed = True
            found.extend(error.diagnostics)
            continue
        items.append(value)
        size += _size(value)
        if size > LONGEST_LIST:
            raise problem("KVS107", f"this list has more than {LONGEST_LIST} items", expr.span)
    if failed:
        raise ScenarioError(found)
    return tuple(items)


def _size(value: Value) -> int:
    if isinstance(value, Distribution):
        value = value.parameters
    return 1 + sum(_size(item) for item in value) if isinstance(value, tuple) else 1


def _binary(expr: syntax.Binary, names: Names) -> Value:
    left, operator = evaluate(expr.left, None, names), expr.operator
    if operator == "/" and isinstance(left, tuple) and expr.right.span.text == "s":
        raise problem(
            "KVS106",
            "each number has a unit of its own, and `/s` stands behind the list",
            expr.span,
            help=f"write `[{', '.join(f'{value} /s' for value in left)}]`",
        )
    right = evaluate(expr.right, None, names)
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        if len(left) + len(right) > LONGEST_TEXT:
            raise problem("KVS107", f"this text is longer than {LONGEST_TEXT} characters", expr.span)
        return left + right
    a, b = quantity_of(left, expr.left.span, operator), quantity_of(right, expr.right.span, operator)
    loose = a.loose or b.loose
    if operator in ("+", "-"):
        if a.dimension != b.dimension or a.percent != b.percent:
            raise problem(
                "KVS106",
                f"cannot {'add' if operator == '+' else 'subtract'} {describe(right)} "
                f"{'to' if operator == '+' else 'from'} {describe(left)}",
                expr.span,
                help="both sides need the same kind of unit",
            )
        value = a.value + b.value if operator == "+" else a.value - b.value
        return _bounded(Quantity(value, a.dimension, a.percent, loose), expr.span)
    if operator == "*":
        return _bounded(
            Quantity(a.value * b.value, a.dimension * b.dimension, a.percent and b.percent, loose), expr.span
        )
    if b.value == 0:
        raise problem("KVS106", "division by zero", expr.right.span, help="divide by a number other than zero")
    return _bounded(Quantity(a.value / b.value, a.dimension / b.dimension, a.percent and b.is_count, loose), expr.span)


# ---- functions


def _call(expr: syntax.Call, names: Names) -> Value:
    function = check_call(expr)
    return function.make(expr, [evaluate(item, None, names) for item in expr.arguments])
