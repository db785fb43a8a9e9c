"""Ask a driver about itself and about this machine, in a child process with a time limit.

A driver's import or probe may hang, crash or print: the child takes it, and what happened is the answer. The child is
`python -m kvscen.plugin.probe NAME`; with `--tier` it reads a pickled Tier from stdin. It writes one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from kvscen.language.schema import REQUIRED, settings_of
from kvscen.plan.point import Tier
from kvscen.plugin.contract import Availability, Driver, Tool
from kvscen.plugin.registry import PluginError, registry

#: How long a driver may take to import and to probe. Finding a GPU through a cold driver stack takes several seconds.
LIMIT_S = 20.0
# Children at once: they mostly import.
_CHILDREN = 4


@attrs.frozen
class SettingReport:
    """A setting as it is declared. `type` is a phrase, `default` is spelled as in a scenario (None: there is none)."""

    name: str
    type: str
    required: bool
    default: str | None
    help: str


@attrs.frozen
class DriverReport:
    """What is known of an installed driver. Where it could not even be loaded, `problem` is set and the rest empty."""

    name: str
    distribution: str = ""
    version: str = ""
    kind: str = ""
    summary: str = ""
    operations: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
    max_processes: int | None = None
    ranks: bool = False
    settings: tuple[SettingReport, ...] = ()
    measures: tuple[tuple[str, str, str], ...] = ()
    available: Availability = attrs.field(factory=lambda: Availability(False))
    problem: str = ""
    remedy: str = ""


def examine(name: str, tier: Tier | None = None, limit_s: float = LIMIT_S) -> DriverReport:
    """What the driver `name` says of itself and of this machine (of `tier` on it, where given).

    What the driver does wrong is in the report; nothing is raised for it.
    """
    installed = registry()
    if name not in installed.refs:
        problem = installed.problems.get(name) or PluginError(f"no driver is called `{name}`")
        return DriverReport(name, problem=str(problem), remedy=problem.remedy)
    ref = installed.refs[name]
    report = DriverReport(name, ref.distribution, ref.version)
    remedy = f"update or remove the package: pip uninstall {ref.distribution}"
    command = [sys.executable, "-P", "-m", "kvscen.plugin.probe", name, *(["--tier"] if tier is not None else [])]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # The child sees what we see, wherever that was found.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        start_new_session=True,
    )
    try:
        out, err = child.communicate(pickle.dumps(tier) if tier is not None else b"", timeout=limit_s)
    except subprocess.TimeoutExpired:
        return attrs.evolve(report, problem=f"its probe did not end within {limit_s:g} s", remedy=remedy)
    finally:
        _kill_group(child)
    if child.returncode:
        return attrs.evolve(report, problem=_ending(child.returncode, err), remedy=remedy)
    try:
        return _read(report, json.loads(out))
    except (ValueError, KeyError, TypeError):
        return attrs.evolve(report, problem="its probe ended without an answer", remedy=remedy)


def examine_all(names: Iterable[str], limit_s: float = LIMIT_S) -> list[DriverReport]:
    """`examine` for several drivers at once, in their order."""
    with ThreadPoolExecutor(_CHILDREN) as pool:
        return list(pool.map(lambda name: examine(name, limit_s=limit_s), names))


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """The child and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all gone; or only one in its last moments is left
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def _ending(status: int, err: bytes) -> str:
    lines = err.decode(errors="replace").strip().splitlines()
    last = f": {lines[-1]}" if lines else ""
    if status < 0:
        return f"its probe was killed by {signal.Signals(-status).name}{last}"
    return f"its probe ended with status {status}{last}"


def _read(report: DriverReport, answer: dict[str, Any]) -> DriverReport:
    if "problem" in answer:
        return attrs.evolve(report, problem=answer["problem"], remedy=answer["remedy"])
    return attrs.evolve(
        report,
        kind=answer["kind"],
        summary=answer["summary"],
        operations=tuple(answer["operations"]),
        memory=tuple(answer["memory"]),
        max_processes=answer["max_processes"],
        ranks=answer["ranks"],
        settings=tuple(SettingReport(**row) for row in answer["settings"]),
        measures=tuple((name, unit, text) for name, unit, text in answer["measures"]),
        available=Availability(**answer["available"]),
    )


def describe(driver: Driver) -> dict[str, Any]:
    """What a driver's class says, as JSON."""
    return {
        "kind": "tool" if isinstance(driver, Tool) else "store",
        "summary": driver.summary,
        "operations": sorted(driver.operations),
        "memory": sorted(driver.memory),
        "max_processes": driver.max_processes,
        "ranks": driver.ranks,
        "settings": [
            {
                "name": info.name,
                "type": info.type.describe(),
                "required": info.required,
                "default": None if info.default is REQUIRED or info.default is None else info.type.show(info.default),
                "help": info.help,
            }
            for info in settings_of(driver.settings).values()
        ],
        "measures": [(measure.name, measure.unit, measure.description) for measure in driver.measures],
    }


def _answer(name: str, tier: Tier | None) -> dict[str, Any]:
    try:
        driver = registry().driver(name)
    except PluginError as error:
        return {"problem": str(error), "remedy": error.remedy}
    try:
        available = driver.probe(tier)
    except (Exception, SystemExit) as error:  # a probe runs anything; whatever it raises means: not here
        available = Availability(False, f"its probe raised {type(error).__name__}: {error}", "tell its author")
    return {**describe(driver), "available": attrs.asdict(attrs.evolve(available, facts=dict(available.facts)))}


def main(arguments: list[str]) -> None:
    # What a driver prints, from Python or from C, must not get between us and who asked.
    answers = os.dup(1)
    os.dup2(2, 1)
    tier = pickle.load(sys.stdin.buffer) if "--tier" in arguments[1:] else None
    with os.fdopen(answers, "w") as out:
        json.dump(_answer(arguments[0], tier), out)
        out.flush()
        os._exit(0)  # a driver's own threads or exit handlers do not keep the answer waiting


if __name__ == "__main__":
    main(sys.argv[1:])
