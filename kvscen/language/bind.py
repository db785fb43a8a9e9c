"""What stands in a sweep, bound to the declarations: settings, axes, skips, expectations and what is searched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from kvscen.language import syntax
from kvscen.language.codes import diagnostic, problem
from kvscen.language.diagnose import Diagnostic, ScenarioError, Span
from kvscen.language.evaluate import evaluate
from kvscen.language.resolve import ScopeNames, axis_rows, broken, read_value
from kvscen.language.scenario import (
    AllOf,
    AnyOf,
    Assigned,
    AxisDef,
    Bound,
    ExpectDef,
    FindDef,
    NotOf,
    SkipDef,
    SweepDef,
    Target,
    Test,
)
from kvscen.language.schema import Share
from kvscen.language.suggest import did_you_mean, listed, one_of
from kvscen.language.values import (
    BANDWIDTH,
    BYTES,
    NUMBER,
    RATE,
    TIME,
    TOKEN_RATE,
    TOKENS,
    Quantity,
    Symbol,
    Value,
    describe,
)
from kvscen.plugin.contract import Driver
from kvscen.results.measures import MEASURES, STATISTICS, TIER_MEASURES, MeasureInfo, driver_measure

_EXAMPLES = {
    NUMBER: "0",
    BYTES: "4 GiB",
    TIME: "2 ms",
    RATE: "1000 /s",
    BANDWIDTH: "200 MiB/s",
    TOKENS: "1000 tokens",
    TOKEN_RATE: "5000 tokens/s",
}

#: Operators that need an order, not only a difference.
_ORDERING = frozenset({"<", "<=", ">", ">="})


def check_assigned(assigned: Assigned, names: ScopeNames) -> tuple[Diagnostic, ...]:
    """What is wrong with a setting's value, with the `let`s as the text has them."""
    try:
        read_value(assigned.expr, assigned.target.type, names)
    except ScenarioError as error:
        return error.diagnostics
    return ()


def bind_sweep(
    item: syntax.Block, chain: tuple[str, ...], names: ScopeNames, drivers: Iterable[Driver]
) -> tuple[SweepDef, list[Diagnostic]]:
    """The sweep with everything that could be bound, and what is wrong with the rest."""
    return _Binder(item, chain, names, tuple(drivers)).bind()


#: What people call a measure, and what to write.
_MEASURES_MEANT = {
    **{p: f"write `latency_{p}`, or `service_{p}`, `batch_latency_{p}`...: kvscen explain {p}" for p in ("p50", "p99")},
    **{
        f"{other}_{p}": f"write `latency_{p}`, or `service_{p}`: kvscen explain {p}"
        for other in ("clat", "lat", "slat")
        for p in ("p50", "p99", "p999")
    },
    "p99_9": "write `latency_p999`",
    "p999": "write `latency_p999`",
    "cache_hit_rate": "write `hit_rate`",
    "hits": "write `hit_rate`",
    "tps": "write `tokens`, `wall_tokens` or `storage_tokens`: kvscen explain wall_tokens",
    "stddev": "the spread of the trials is shown beside their median, and not judged",
    "tpot": "no engine computes here, and no token has a time: kvscen explain measures",
    "itl": "no engine computes here, and no token has a time: kvscen explain measures",
    "latency": "write `latency_p50`, `latency_p99`, `latency_mean`...: kvscen explain latency",
    "bandwidth": "write `throughput`",
    "bw": "write `throughput`",
    "iops": "write `operations_per_s`",
    "ops": "write `operations_per_s`",
    "qps": "write `request_rate`, or `operations_per_s`",
    "ttft": "write `ttft_p50`, `ttft_p99` or `ttft_mean`",
}


@attrs.define
class _Binder:
    item: syntax.Block
    chain: tuple[str, ...]
    names: ScopeNames
    drivers: tuple[Driver, ...]
    found: list[Diagnostic] = attrs.field(factory=list)
    assigned: dict[str, Assigned] = attrs.field(factory=dict)
    axes: list[AxisDef] = attrs.field(factory=list)
    skips: list[SkipDef] = attrs.field(factory=list)
    expects: list[ExpectDef] = attrs.field(factory=list)
    find: FindDef | None = None
    find_span: Span | None = None
    places: dict[str, Span] = attrs.field(factory=dict)

    def bind(self) -> tuple[SweepDef, list[Diagnostic]]:
        for statement in self.item.body:
            try:
                match statement:
                    case syntax.Setting():
                        self._setting(statement)
                    case syntax.Axis():
                        self._axis(statement)
                    case syntax.Skip():
                        condition = self._condition(statement.condition)
                        if condition is not None:
                            self.skips.append(SkipDef(condition, statement.span))
                    case syntax.Expect():
                        self._expect(statement)
                    case syntax.Find():
                        self._find(statement)
            except ScenarioError as error:
                self.found.extend(error.diagnostics)
        sweep = SweepDef(
            self.item.name.name,
            self.item.name.span,
            self.chain,
            self.assigned,
            tuple(self.axes),
            tuple(self.skips),
            tuple(self.expects),
            self.find,
        )
        return sweep, self.found

    def _target(self, path: syntax.Path) -> Target:
        return self.names.universe.target(path, self.item.name.name)

    def _claim(self, target: Target, path: syntax.Path, varied: bool) -> None:
        """Each path is given once in a sweep. Raises ScenarioError."""
        first = self.places.get(target.key)
        if first is not None:
            both = varied and any(target.key == t.key for axis in self.axes for t in axis.targets)
            raise ScenarioError(
                [
                    diagnostic(
                        "KVS112",
                        f"`{path}` is {'varied by two axes' if both else 'given twice'}",
                        path.span,
                        help="take one of them out",
                        related=((first, "it is given here first"),),
                    )
                ]
            )
        self.places[target.key] = path.span

    def _setting(self, statement: syntax.Setting) -> None:
        target = self._target(statement.path)
        assigned = Assigned(target, statement.value, statement.span, statement.path.span)
        self.found.extend(check_assigned(assigned, self.names))
        self._claim(target, statement.path, False)
        self.assigned[target.key] = assigned

    def _axis(self, statement: syntax.Axis) -> None:
        targets: list[Target] = []
        failed = False
        for path in statement.paths:
            try:
                target = self._target(path)
                self._claim(target, path, True)
                if target.info is not None and not target.info.varies:
                    raise problem(
                        "KVS116", f"`{path}` cannot vary", path.span, help=f"give it one value: `{path} = ...`"
                    )
                targets.append(target)
            except ScenarioError as error:
                failed = True
                self.found.extend(error.diagnostics)
        if failed:
            return
        axis = AxisDef(tuple(targets), statement.values, tuple(path.span for path in statement.paths), statement.span)
        self.axes.append(axis)
        axis_rows(statement.values, axis.targets, self.names)

    # ---- conditions

    def _condition(self, condition: syntax.Condition) -> Bound | None:
        """The bound condition; None where a part of it has a problem, which is then reported."""
        match condition:
            case syntax.Compare():
                try:
                    return self._compare(condition)
                except ScenarioError as error:
                    self.found.extend(error.diagnostics)
                    return None
            case syntax.Not():
                inner = self._condition(condition.item)
                return NotOf(inner) if inner is not None else None
            case syntax.And() | syntax.Or():
                items = [self._condition(item) for item in condition.items]
                sound = tuple(item for item in items if item is not None)
                if len(sound) < len(items):
                    return None
                return AllOf(sound) if isinstance(condition, syntax.And) else AnyOf(sound)

    def _compare(self, compare: syntax.Compare) -> Test:
        target = self._target(compare.path)
        reading = read_value(compare.value, target.type, self.names)
        if compare.operator in _ORDERING and isinstance(reading.value, bool | str | Symbol | tuple):
            raise problem(
                "KVS120",
                f"`{compare.operator}` compares numbers, and `{compare.path}` is none",
                compare.span,
                help="compare with `==` or `!=`",
            )
        return Test(target, compare.operator, compare.value)

    # ---- expectations

    def _expect(self, statement: syntax.Expect) -> None:
        when = None
        failed = False
        if statement.when is not None:
            when = self._condition(statement.when)
            failed = when is None
        expect = self._expectation(statement.measure, statement.operator, statement.value, when, statement.span)
        if not failed:
            self.expects.append(expect)

    def _expectation(
        self, measure: syntax.Path, operator: syntax.Operator, value: syntax.Expr, when: Bound | None, span: Span
    ) -> ExpectDef:
        info = self._measure(measure)
        expectation_value(value, info, self.names)
        return ExpectDef(str(measure), info, operator, value, when, span)

    def _find(self, statement: syntax.Find) -> None:
        if self.find_span is not None:
            raise ScenarioError(
                [
                    diagnostic(
                        "KVS112",
                        "a sweep looks for one thing, and this is a second `find`",
                        statement.span,
                        help="give it to another sweep: `sweep second : first { find ... }` has its base's rest",
                        related=((self.find_span, "the first one"),),
                    )
                ]
            )
        self.find_span = statement.span
        target = self._target(statement.path)
        conditions = tuple(
            self._expectation(item.path, item.operator, item.value, None, item.span) for item in statement.conditions
        )
        info = None if statement.measure is None else self._measure(statement.measure)
        if statement.share is not None:
            read_value(statement.share, Share(), self.names)
        measure = None if statement.measure is None else str(statement.measure)
        path_span = statement.path.span
        self.find = FindDef(
            statement.kind, target, conditions, measure, info, statement.share, path_span, statement.span
        )

    def _measure(self, path: syntax.Path) -> MeasureInfo:
        own = {info.name: info for info in self._driver_measures()}
        if len(path.parts) == 1:
            name = path.parts[0]
            info = MEASURES.get(name) or own.get(name)
            if info is not None:
                return info
            columns = {info.column: info for info in (*MEASURES.values(), *own.values())}
            if name in columns:
                help_text = f"write `{columns[name].name}`: a measure is called by its column without the unit"
            else:
                whole, _, statistic = name.rpartition("_")
                if whole in MEASURES and statistic in (*STATISTICS, "avg", "median", "std"):
                    more = f"write `{whole}`: a point is judged on the median of its trials"
                    raise problem("KVS121", f"no measure is called `{name}`", path.span, help=more)
                help_text = _MEASURES_MEANT.get(name) or did_you_mean(
                    name,
                    [*MEASURES, *own],
                    "write `qos_missed == 0`: no kind of users missed its target"
                    if name.startswith("qos")
                    else "measures are `throughput`, `latency_p99`, `hit_rate`, `errors` ...: kvscen explain measures",
                )
            raise problem("KVS121", f"no measure is called `{name}`", path.span, help=help_text)
        tier, name = ".".join(path.parts[:-1]), path.parts[-1]
        kind = self.names.universe.kinds.get(tier)
        if kind != "tier":
            if kind is None and not self.names.complete:
                raise broken()
            tiers = [block for block, is_kind in self.names.universe.kinds.items() if is_kind == "tier"]
            what = f"`{tier}` is {one_of(kind)}" if kind else f"no tier is called `{tier}`"
            help_text = did_you_mean(tier, tiers, f"write `{name}`" if name in MEASURES else "")
            if kind == "users":
                help_text = (
                    "what each kind of users got is in users.parquet; to judge it give them a `target_p95`, and "
                    "`expect qos_missed == 0`"
                )
            raise problem("KVS121", f"{what}; `{path}` is a measure of a tier", path.span, help=help_text)
        if name not in TIER_MEASURES:
            raise problem(
                "KVS121",
                f"no measure of a tier is called `{name}`",
                path.span,
                help=did_you_mean(name, TIER_MEASURES, f"the measures of a tier are {', '.join(TIER_MEASURES)}"),
            )
        return TIER_MEASURES[name]

    def _driver_measures(self) -> Iterator[MeasureInfo]:
        for driver in self.drivers:
            for measure in driver.measures:
                info = driver_measure(measure.name, measure.type, measure.unit, measure.description)
                if info is not None:
                    yield info


def expectation_value(expr: syntax.Expr, info: MeasureInfo, names: ScopeNames) -> Quantity:
    """The value that a measure is held against. Raises ScenarioError."""
    value: Value = evaluate(expr, None, names)
    if isinstance(value, Quantity) and value.dimension == info.dimension and value.percent == info.percent:
        return value
    wanted = "a percentage" if info.percent else str(info.dimension)
    example = "85 %" if info.percent else _EXAMPLES.get(info.dimension, "1")
    if isinstance(value, Quantity) and value.is_count and info.dimension in (RATE, TOKENS, TOKEN_RATE):
        example = f"{value} {example.rpartition(' ')[2]}"  # they have one unit each
    help_text = f"write {wanted} such as `{example}`"
    if isinstance(value, Quantity) and value.dimension.seconds < 0:
        alike = [m.name for m in MEASURES.values() if (m.dimension, m.percent) == (value.dimension, value.percent)]
        if alike:
            help_text += f"; {describe(value)} is what {listed(alike[:3])} is"
    raise problem("KVS120", f"`{info.name}` is {wanted}, and this is {describe(value)}", expr.span, help=help_text)
