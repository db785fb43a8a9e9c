"""What names and paths mean in one scenario, and how a value is read for what it is assigned to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import attrs

from kvscen.language import syntax
from kvscen.language.blocks import BUILT_INS, SweepSettings
from kvscen.language.codes import problem
from kvscen.language.diagnose import Diagnostic, ScenarioError, Span
from kvscen.language.evaluate import evaluate
from kvscen.language.instead import range_of
from kvscen.language.published import instead_of, is_shipped
from kvscen.language.scenario import BlockDef, LetType, Scenario, Target
from kvscen.language.schema import ListOf, SettingType, Unfit, settings_of
from kvscen.language.suggest import did_you_mean, listed, one_of
from kvscen.language.unknown import OTHERWISE, meant, unknown_setting
from kvscen.language.values import Symbol, Value
from kvscen.plugin.registry import registry


def broken() -> ScenarioError:
    """A name is defined but cannot be used, because of a problem that was reported where it is defined."""
    return ScenarioError([])


OWN = settings_of(SweepSettings)


@attrs.frozen(eq=False)
class Universe:
    """The names of a scenario. `kinds` maps each block's name to its kind, `lets` each let's to its type (None:
    broken), `blocks` holds the blocks whose base is known. `words` are the words of all settings. `complete`: the whole
    text could be read."""

    kinds: Mapping[str, str]
    lets: Mapping[str, LetType | None]
    blocks: Mapping[str, BlockDef]
    words: frozenset[str]
    complete: bool

    def target(self, path: syntax.Path, sweep: str | None) -> Target:
        """What a path means in the body of `sweep`, or on the command line (None). Raises ScenarioError."""
        if len(path.parts) == 1:
            return self._bare(path, sweep)
        if len(path.parts) > 2:
            raise problem("KVS102", f"`{path}` has too many parts", path.span, help="a path is `block.setting`")
        block, name = path.parts
        if block == sweep:
            return self._own(name, path)
        kind = self.kinds.get(block)
        if kind == "sweep":
            if sweep is None:
                own = self._own(name, path)
                return attrs.evolve(own, key=f"{block}.{name}", block=block)
            raise problem(
                "KVS116",
                f"`{block}` is another sweep, and a sweep sets its own settings only",
                path.span,
                help=f"write `{name}`",
            )
        if kind is None:
            if not self.complete:
                raise broken()
            if block in self.lets:
                raise problem("KVS101", f"`{block}` is a `let`; it has no settings", path.span)
            raise problem(
                "KVS101",
                f"no block is called `{block}`",
                path.span,
                help=did_you_mean(block, self.kinds, self._blocks_like(block, name)),
            )
        if block not in self.blocks:
            raise broken()
        definition = self.blocks[block]
        settings = settings_of(definition.declaration)
        if name not in settings:
            sweeps = [other for other, kind in self.kinds.items() if kind == "sweep" and sweep is None and name in OWN]
            paths = [f"{other}.{name}" for other in sweeps]
            raise unknown_setting(name, definition.kind, definition.built_in, settings, path.span, paths)
        info = settings[name]
        return Target(f"{block}.{name}", info.type, info, block)

    def _blocks_like(self, said: str, setting: str) -> str:
        """What was meant by somebody who wrote a kind, a type or a driver: `pattern.op`, `posix.direct`."""
        alike = [
            block
            for block, kind in self.kinds.items()
            if said == kind or said == getattr(self.blocks.get(block), "built_in", "")
        ]
        if alike:
            return f"a setting is named by its block: {listed((f'{block}.{setting}' for block in alike), 4)}"
        return f"the blocks here are {listed(self._own_blocks())}"

    def _own(self, name: str, path: syntax.Path) -> Target:
        if name not in OWN:
            raise unknown_setting(name, "sweep", "", OWN, path.span)
        return Target(name, OWN[name].type, OWN[name])

    def _bare(self, path: syntax.Path, sweep: str | None) -> Target:
        name = path.parts[0]
        if sweep is not None and name in OWN:
            return Target(name, OWN[name].type, OWN[name])
        if name in self.lets:
            kind = self.lets[name]
            if kind is None:
                raise broken()
            return Target(name, kind)
        if name in self.kinds:
            raise problem(
                "KVS102",
                f"`{name}` is {one_of(self.kinds[name])}, not a setting",
                path.span,
                help=f"name one of its settings, as in `{name}.{self._example(name)}`",
            )
        if not self.complete:
            raise broken()
        candidates = [*self.lets, *(OWN if sweep is not None else ())]
        if sweep is not None:
            message = f"a sweep has no setting `{name}`, and no `let` is called so"
            paths = [
                f"{block}.{name}"
                for block, kind in self.kinds.items()
                if kind != "sweep" and name in self._settings(block)
            ]
            otherwise = f"a sweep's settings are {listed(OWN, len(OWN))}; a block's are written `block.setting`"
            if paths:
                otherwise = f"did you mean {listed(paths, 4)}? A block's settings are written `block.setting`"
            elif meant(name, OWN) is not None:
                otherwise = f"did you mean `{meant(name, OWN)}`?"
            elif name in OTHERWISE:
                otherwise = OTHERWISE[name]
        else:
            message = f"no `let` is called `{name}`"
            paths = [f"{block}.{name}" for block in self.kinds if name in self._settings(block)]
            otherwise = f"did you mean {listed(paths, 4)}?" if paths else "a path is `block.setting`"
        raise problem("KVS102", message, path.span, help=did_you_mean(name, candidates, otherwise))

    def _settings(self, block: str) -> Mapping[str, Any]:
        if self.kinds[block] == "sweep":
            return OWN
        return settings_of(self.blocks[block].declaration) if block in self.blocks else {}

    def _example(self, block: str) -> str:
        return next(iter(self._settings(block)), "setting")

    def _own_blocks(self) -> Iterator[str]:
        return (name for name, kind in self.kinds.items() if not is_shipped(name, kind))


@attrs.frozen(eq=False)
class ScopeNames:
    """The names of a universe as an expression sees them; `value_of` gives a let's value where the expression
    stands."""

    universe: Universe
    value_of: Callable[[str], Value]

    def is_let(self, name: str) -> bool:
        return name in self.universe.lets

    def let(self, name: str) -> Value:
        return self.value_of(name)

    def kind_of(self, name: str) -> str | None:
        return self.universe.kinds.get(name)

    def known(self) -> Iterator[str]:
        yield from self.universe.lets
        yield from self.universe.kinds

    def bases(self, kind: str) -> Container[str]:
        return registry().names() if kind == "tier" else BUILT_INS.get(kind, ())

    def is_word(self, word: str) -> bool:
        return word in self.universe.words

    @property
    def complete(self) -> bool:
        return self.universe.complete


@attrs.frozen
class Reading:
    """A value that was read: as the language has it, and as Python has it."""

    value: Value
    python: Any


def read_value(expr: syntax.Expr, kind: SettingType, names: ScopeNames) -> Reading:
    """Evaluate an expression for a setting (or let) of this type. Raises ScenarioError with every problem found."""
    return convert(evaluate(expr, kind, names), expr, kind, names.universe)


def convert(value: Value, expr: syntax.Expr, kind: SettingType, universe: Universe) -> Reading:
    """Turn a value into what its setting takes. `expr` is where it was written. Raises ScenarioError."""
    if (
        isinstance(kind, ListOf)
        and isinstance(expr, syntax.ListExpr)
        and isinstance(value, tuple)
        and len(value) == len(expr.items) >= kind.minimum
    ):
        readings: list[Reading] = []
        found: list[Diagnostic] = []
        for item, item_expr in zip(value, expr.items, strict=True):
            try:
                readings.append(convert(item, item_expr, kind.item, universe))
            except ScenarioError as error:
                found.extend(error.diagnostics)
                if not error.diagnostics:
                    raise
        if found:
            raise ScenarioError(_alike(found))
        return Reading(tuple(r.value for r in readings), tuple(r.python for r in readings))
    try:
        fitting = kind.fit(value)
        python = kind.convert(fitting)
    except Unfit as unfit:
        help_text = unfit.help or f"write {kind.describe()}"
        if isinstance(value, tuple) and not isinstance(kind, ListOf):
            help_text = f"one value stands behind `=`: {kind.describe()}; in a sweep `in` varies it over a list"
        elif isinstance(expr, syntax.Binary) and expr.operator == "-" and _ends(expr):
            help_text = range_of(*_ends(expr))
        elif expr.span.text.startswith("-") and "\n" in expr.span.text:
            help_text = "in [ ] stand values alone, with `,` between them and no `-` before them"
        elif isinstance(value, str) and kind.refers_to == "model" and not value.isidentifier():
            help_text = instead_of(value)
        raise problem("KVS105", str(unfit), expr.span, help=help_text) from None
    if kind.refers_to is not None:
        for name in _symbols(fitting):
            found_kind = universe.kinds.get(name)
            if found_kind is None and name in kind.words:
                continue
            if found_kind != kind.refers_to:
                what = one_of(found_kind) if found_kind else "a word"
                raise problem(
                    "KVS105",
                    f"`{name}` is {what}; expected {kind.describe()}",
                    expr.span,
                    help=f"write {kind.describe()}",
                )
    return Reading(fitting, python)


def _alike(found: list[Diagnostic]) -> list[Diagnostic]:
    """Of the values of a list that all have the same problem: said once."""
    if len({(item.code, item.message) for item in found}) != 1 or len(found) == 1:
        return found
    begin, end = found[0].span, found[-1].span
    if begin is None or end is None or begin.source is not end.source or begin.start >= end.start:
        return found
    span = Span(begin.source, begin.start, end.end)
    return [attrs.evolve(found[0], span=span, label=f"each of these {len(found)}", fix=None)]


def _symbols(value: Value) -> Iterator[str]:
    if isinstance(value, Symbol):
        yield value.name
    elif isinstance(value, tuple):
        for item in value:
            yield from _symbols(item)


def axis_rows(
    values: syntax.Expr, targets: tuple[Target, ...], names: ScopeNames
) -> tuple[tuple[tuple[Reading, ...], Span], ...]:
    """The rows of an axis: for each the readings of its targets, and where it is written. Raises ScenarioError."""
    rows: list[tuple[tuple[Reading, ...], Span]] = []
    found: list[Diagnostic] = []
    failed = False
    for raw, exprs, span in _raw_rows(values, targets, names):
        try:
            if raw is not None:
                readings = tuple(
                    convert(value, span_expr, target.type, names.universe)
                    for value, span_expr, target in zip(raw, exprs, targets, strict=True)
                )
            else:
                readings = tuple(
                    read_value(expr, target.type, names) for expr, target in zip(exprs, targets, strict=True)
                )
        except ScenarioError as error:
            failed = True
            found.extend(error.diagnostics)
        else:
            rows.append((readings, span))
    if failed:
        raise ScenarioError(_alike(found))
    if not rows:
        raise problem("KVS118", "this axis has no values", values.span, help="give it at least one")
    return tuple(rows)


def _raw_rows(
    values: syntax.Expr, targets: tuple[Target, ...], names: ScopeNames
) -> Iterator[tuple[tuple[Value, ...] | None, tuple[syntax.Expr, ...], Span]]:
    """For each row either the expressions of its values, or (from a range or a `let`) the values themselves."""
    wanted = len(targets)
    if isinstance(values, syntax.ListExpr):
        for item in values.items:
            if wanted == 1:
                yield None, (item,), item.span
            elif isinstance(item, syntax.TupleExpr) and len(item.items) == wanted:
                yield None, item.items, item.span
            else:
                raise _bad_row(item, targets)
        return
    if wanted == 1 and isinstance(values, syntax.Name) and not names.is_let(str(values.path)) and targets[0].type.words:
        words = ", ".join(targets[0].type.words)
        raise problem("KVS118", "an axis needs a list or a range", values.span, help=f"write some of `[{words}]`")
    whole = evaluate(values, None, names)
    if not isinstance(whole, tuple):
        raise problem("KVS118", "an axis needs a list or a range", values.span, help=_as_axis(values))
    for value in whole:
        if wanted == 1:
            yield (value,), (values,), values.span
        elif isinstance(value, tuple) and len(value) == wanted:
            yield value, (values,) * wanted, values.span
        else:
            raise _bad_row(values, targets)


def _as_axis(values: syntax.Expr) -> str:
    """What to write instead of a single value: `1-64` is a difference."""
    if isinstance(values, syntax.Binary) and values.operator == "-" and _ends(values):
        return range_of(*_ends(values))
    return f"write `[{values.span.text}, ...]` with all values, or `=` for one"


def _ends(expr: syntax.Binary) -> tuple[str, ...]:
    """What stands on both sides, where these are numbers; else nothing."""
    ends = (expr.left, expr.right)
    return tuple(end.span.text for end in ends) if all(isinstance(end, syntax.Number) for end in ends) else ()


def _bad_row(expr: syntax.Expr, targets: tuple[Target, ...]) -> ScenarioError:
    names = ", ".join(target.key for target in targets)
    return problem(
        "KVS118",
        f"each value of this axis is a row of {len(targets)} values in ( )",
        expr.span,
        help=f"write `(...)` with a value for each of {names}",
    )


def all_words(declarations: Iterator[type]) -> frozenset[str]:
    """The words of all settings of the core and of these declarations."""
    return _core_words().union(*map(_words, declarations))


@functools.cache
def _core_words() -> frozenset[str]:
    built_ins = (declaration for known in BUILT_INS.values() for declaration in known.values())
    return frozenset().union(*map(_words, (SweepSettings, *built_ins)))


def _words(declaration: type) -> set[str]:
    return {word for info in settings_of(declaration).values() for word in info.type.words}


def universe_of(scenario: Scenario) -> Universe:
    """The names of a checked scenario."""
    kinds = {name: block.kind for name, block in scenario.blocks.items()}
    kinds.update(dict.fromkeys(scenario.sweeps, "sweep"))
    lets: dict[str, LetType | None] = {name: item.type for name, item in scenario.lets.items()}
    words = all_words(driver.settings for driver in scenario.drivers.values())
    return Universe(kinds, lets, scenario.blocks, words, True)
