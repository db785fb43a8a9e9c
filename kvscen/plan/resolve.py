"""The blocks that a point reaches, with the values that they have there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from kvscen.language.blocks import SweepSettings
from kvscen.language.codes import CODES, diagnostic
from kvscen.language.diagnose import Diagnostic, ScenarioError, Span, has_errors
from kvscen.language.resolve import OWN
from kvscen.language.scenario import Assigned
from kvscen.language.schema import Finding, SettingInfo, settings_of, show_settings
from kvscen.language.values import Value
from kvscen.plan.identity import spell_block
from kvscen.plan.late import Found, Late
from kvscen.plan.matrices import MatrixFiles
from kvscen.plan.pins import Pin
from kvscen.plan.traces import TraceFiles

#: Blocks that are kept; of a large plan there are as many as points.
MOST_KNOWN = 50_000


@attrs.frozen(eq=False)
class Resolved:
    """A block (or the sweep's own settings) at a point.

    `settings` is the completed settings object, `shown` its values as the language spells them. `answers` maps every
    path that this block gives a value to that value. `used` are the keys of pins, axes and sweep settings that its
    values come from. `kept` and `dropped` are the statements whose value counts, or has no meaning here. `problems` are
    what the settings have to say about each other; with an error among them, `settings` is not completed.
    """

    kind: str
    name: str
    built_in: str
    span: Span
    settings: Any
    shown: Mapping[str, str]
    found: Mapping[str, Found]
    answers: Mapping[str, Any]
    lets: Mapping[str, Value]
    used: frozenset[str]
    kept: frozenset[Assigned | Pin]
    dropped: frozenset[Assigned | Pin]
    problems: tuple[Diagnostic, ...]

    @functools.cached_property
    def spelled(self) -> str:
        """Its part of a point's identity."""
        return spell_block(self.name, self.kind, self.built_in, self.shown)

    def span_of(self, setting: str | None) -> Span:
        """Where a setting's value is written, else where the block is defined."""
        found = self.found.get(setting) if setting else None
        return found.span if found is not None and found.span is not None else self.span


def to_diagnostic(finding: Finding, span: Span) -> Diagnostic:
    if finding.code in CODES:
        return diagnostic(finding.code, finding.message, span, help=finding.help, severity=finding.severity)
    return Diagnostic(finding.code, finding.severity, finding.message, span, help=finding.help)


def failed(driver: str, error: Exception, span: Span) -> Diagnostic:
    return diagnostic(
        "KVS303",
        f"the driver `{driver}` failed while it checked the scenario: {type(error).__name__}: {error}",
        span,
        help="tell its author; `kvscen drivers` says which package brings it",
    )


@attrs.define
class Resolver:
    """Resolves blocks, and keeps those that it has seen: what a block's values depend on is the same at every point.
    `files` and `traces` keep what they name."""

    late: Late
    files: MatrixFiles = attrs.field(factory=MatrixFiles)
    traces: TraceFiles = attrs.field(factory=TraceFiles)
    _axes: dict[str, tuple[int, ...]] = attrs.field(factory=dict)
    _known: dict[tuple[str, tuple[int | None, ...]], Resolved] = attrs.field(factory=dict)
    _given: dict[str, Mapping[str, SettingInfo]] = attrs.field(factory=dict)

    def sweep(self, choice: Mapping[int, int]) -> Resolved:
        """The sweep's own settings. Raises ScenarioError, and Unchosen."""
        sweep = self.late.flat.sweep
        return self._cached(
            "", choice, lambda: self._make("sweep", sweep.name, "", sweep.span, OWN, SweepSettings, choice)
        )

    def block(self, name: str, choice: Mapping[int, int]) -> Resolved:
        """A model, tier or pattern. Raises ScenarioError, and Unchosen."""
        block = self.late.scenario.blocks[name]
        settings = settings_of(block.declaration)
        return self._cached(
            name,
            choice,
            lambda: self._make(block.kind, name, block.built_in, block.span, settings, block.declaration, choice),
        )

    def _cached(self, name: str, choice: Mapping[int, int], make: Callable[[], Resolved]) -> Resolved:
        axes = self._axes.get(name)
        if axes is not None:
            # Of a sealed axis, which has no row, the state is one for all its rows.
            known = self._known.get((name, tuple(map(choice.get, axes))))
            if known is not None:
                return known
        resolved = make()
        axis_of = self.late.flat.axis_of
        used = {key for found in resolved.found.values() for key in found.trace.used if key in axis_of}
        axes = tuple(sorted({axis_of[key][0] for key in used}))
        self._axes[name] = axes
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[name, tuple(map(choice.get, axes))] = resolved
        return resolved

    def _make(
        self,
        kind: str,
        name: str,
        built_in: str,
        span: Span,
        declared: Mapping[str, SettingInfo],
        declaration: type,
        choice: Mapping[int, int],
    ) -> Resolved:
        found: dict[str, Found] = {}
        problems: list[Diagnostic] = []
        failed_one = False
        key = "" if kind == "sweep" else name
        # Whether a setting is given a value is the same at every point; most are not.
        for setting, info in self._given.get(key, declared).items():
            try:
                value = self.late.value(None if kind == "sweep" else name, setting, info.type, choice)
            except ScenarioError as error:
                failed_one = True
                problems.extend(error.diagnostics)
                continue
            if value is not None:
                found[setting] = value
            elif info.required:
                problems.append(_missing(kind, name, built_in, setting, info, span))
        if problems or failed_one:
            raise ScenarioError(problems)
        self._given[key] = {setting: declared[setting] for setting in found}
        return self._finish(kind, name, built_in, span, declared, declaration, found)

    def _finish(
        self,
        kind: str,
        name: str,
        built_in: str,
        span: Span,
        declared: Mapping[str, SettingInfo],
        declaration: type,
        found: Mapping[str, Found],
    ) -> Resolved:
        def at(setting: str | None) -> Span:
            value = found.get(setting) if setting else None
            return value.span if value is not None and value.span is not None else span

        try:
            settings = declaration(**{declared[key].field: value.reading.python for key, value in found.items()})
            problems = [to_diagnostic(finding, at(finding.setting)) for finding in _check(settings)]
            if not has_errors(problems) and hasattr(settings, "complete"):
                settings = settings.complete()
            shown = show_settings(settings)
        except Exception as error:
            # Settings classes of drivers are third-party code; the core's own raise nothing here, and a defect must
            # show.
            if kind != "tier":
                raise
            raise ScenarioError([failed(built_in, error, span)]) from error
        kept = {setting: value for setting, value in found.items() if setting in shown}
        dropped = [value for setting, value in found.items() if setting not in shown]
        return Resolved(
            kind,
            name,
            built_in,
            span,
            settings,
            shown,
            found,
            dict(self._answers(kind, name, declared, settings, found)),
            {key: value for item in kept.values() for key, value in item.trace.lets.items()},
            frozenset(key for item in kept.values() for key in item.trace.used),
            frozenset(item.by for item in kept.values() if item.by is not None),
            frozenset(item.by for item in dropped if item.by is not None),
            tuple(problems),
        )

    def _answers(
        self, kind: str, name: str, declared: Mapping[str, SettingInfo], settings: Any, found: Mapping[str, Found]
    ) -> Iterator[tuple[str, Any]]:
        """(path, value) for each path whose value this is; settings without a value are left out."""
        chain = (name,) if kind == "sweep" else self.late.scenario.blocks[name].chain
        for setting, info in declared.items():
            value = getattr(settings, info.field)
            if value is None:
                continue
            if kind == "sweep":
                yield setting, value
            elif setting in found:
                yield from ((path, value) for path in found[setting].answers)
            else:
                yield from ((f"{level}.{setting}", value) for level in chain)


def _check(settings: Any) -> list[Finding]:
    return list(settings.check()) if hasattr(settings, "check") else []


def _missing(kind: str, name: str, built_in: str, setting: str, info: SettingInfo, span: Span) -> Diagnostic:
    what = f"the {kind} `{name}`" + (f" of `{built_in}`" if built_in else "")
    return diagnostic(
        "KVS113", f"{what} needs `{setting}`: {info.help}", span, help=f"add `{setting} = ...`, {info.type.describe()}"
    )
