"""From a scenario to its plan: the points of its sweeps, in order, equal ones merged, with everything that running them
needs.

The points of each sweep are searched (kvscen.plan.search), then skipped or judged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, ScenarioError, has_errors
from kvscen.language.evaluate import nested_too_deeply
from kvscen.language.resolve import universe_of
from kvscen.language.scenario import Scenario, SweepDef
from kvscen.language.suggest import did_you_mean, listed
from kvscen.pattern.matrix_file import MatrixFile
from kvscen.plan.grid import Grid
from kvscen.plan.judge import Judged, judge, large_of
from kvscen.plan.large import MOST_HELD, MOST_RUN, joined
from kvscen.plan.late import Late, flatten
from kvscen.plan.pins import Pin, read_pins
from kvscen.plan.point import Plan
from kvscen.plan.search import Said, search_points


@attrs.frozen(eq=False)
class Expanded:
    """What became of a scenario. `plan` is None where there is an error."""

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]


def make_plan(scenario: Scenario, pins: Sequence[str] = (), sweeps: Sequence[str] = ()) -> Plan:
    """The plan of the named sweeps (none: all that run), with `path=value` pins, whole. Raises ScenarioError with every
    problem found."""
    expanded = expand(scenario, pins, sweeps, whole=True)
    if expanded.plan is None:
        raise ScenarioError(expanded.diagnostics)
    return expanded.plan


def expand(
    scenario: Scenario, pins: Sequence[str] = (), sweeps: Sequence[str] = (), *, whole: bool = False
) -> Expanded:
    """Like make_plan, with the warnings, and without raising. Unless the plan is to be held `whole` it may be large."""
    try:
        return _expand(scenario, pins, sweeps, whole)
    except RecursionError:
        return Expanded(None, (nested_too_deeply(),))


def _expand(scenario: Scenario, pins: Sequence[str], sweeps: Sequence[str], whole: bool) -> Expanded:
    universe = universe_of(scenario)
    try:
        read = read_pins(scenario, universe, pins)
        chosen = _chosen(scenario, sweeps, read)
    except ScenarioError as error:
        return Expanded(None, error.diagnostics)
    parts: list[Judged] = []
    found: list[Diagnostic] = []
    used: set[str] = set()
    named: dict[MatrixFile, None] = {}
    for sweep in chosen:
        try:
            flat = flatten(scenario, universe, sweep, read)
        except ScenarioError as error:
            found += error.diagnostics
            continue
        late = Late(scenario, universe, flat)
        search = search_points(late, MOST_RUN if whole else MOST_HELD)
        found += search.diagnostics
        used |= search.used
        if has_errors(search.diagnostics):
            continue
        if search.grid is not None and whole:
            found.append(_too_many_to_run(search.grid))
            continue
        said = Said(every=search.grid is None)
        parts.append(judge(late, search, sum(len(part.points) for part in parts), said))
        found += said.diagnostics
        named.update(dict.fromkeys(parts[-1].files))
    if not has_errors(found):
        found += idle_pins(read, used)
    if not has_errors(found) and not any(len(part.points) for part in parts):
        found.append(_all_skipped(chosen))
    if has_errors(found):
        return Expanded(None, tuple(found))
    shown = tuple((pin.key, pin.shown) for pin in read.values())
    files = (*scenario.files, *((file.name, file.source.text) for file in named))
    plan = Plan(
        scenario.name,
        files,
        shown,
        joined([part.points for part in parts]),
        joined([part.skipped for part in parts]),
        tuple(find for part in parts for find in part.finds),
        large_of(parts),
    )
    return Expanded(plan, tuple(found))


def _too_many_to_run(grid: Grid) -> Diagnostic:
    sweep = grid.flat.sweep
    return diagnostic(
        "KVS107",
        f"the sweep `{sweep.name}` has {len(grid):,} points before any is skipped, and at most {MOST_RUN:,} can be run "
        "or shown one by one",
        sweep.span,
        help="fix some of the axes with `--set`, or vary in coarser steps; `kvscen plan` shows what all would cost",
    )


def _chosen(scenario: Scenario, names: Sequence[str], pins: Mapping[str, Pin]) -> list[SweepDef]:
    """The sweeps to run, in the order of the file."""
    unknown = [name for name in names if name not in scenario.runs]
    if unknown:
        raise ScenarioError(
            diagnostic(
                "KVS123",
                f"`{name}` is a sweep of another file, which does not run"
                if name in scenario.sweeps
                else f"no sweep is called `{name}`",
                help=did_you_mean(name, scenario.runs, f"the sweeps are {listed(scenario.runs)}"),
            )
            for name in unknown
        )
    if names:
        return [scenario.sweeps[name] for name in scenario.runs if name in names]
    return [
        sweep for sweep in map(scenario.sweeps.__getitem__, scenario.runs) if not _is_base_only(scenario, sweep, pins)
    ]


def _is_base_only(scenario: Scenario, sweep: SweepDef, pins: Mapping[str, Pin]) -> bool:
    """A sweep that names no pattern or no tier and is the base of another one is there to be derived from; it does not
    run."""
    if all(
        scenario.writes(sweep.name, setting) or any(f"{level}.{setting}" in pins for level in sweep.chain)
        for setting in ("pattern", "tier")
    ):
        return False
    return any(sweep.name in other.chain[1:] for other in scenario.sweeps.values())


def idle_pins(pins: Mapping[str, Pin], used: set[str]) -> list[Diagnostic]:
    """What is said about pins that nothing takes a value from."""
    return [
        diagnostic(
            "KVS124",
            f"`--set {pin.key}` changes nothing: no point takes this setting from there",
            pin.span,
            help="set what the points reach: `kvscen plan` lists their tiers and patterns",
        )
        for pin in pins.values()
        if pin.key not in used
    ]


def _all_skipped(sweeps: Sequence[SweepDef]) -> Diagnostic:
    spans = [skip.span for sweep in sweeps for skip in sweep.skips]
    return diagnostic(
        "KVS126",
        "every point is skipped",
        spans[0] if spans else None,
        help="let the conditions after `skip when` spare some",
    )
