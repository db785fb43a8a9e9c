"""The folder of a run: its name, what it was made from, and how it is found again."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

from kvscen.plan.point import Plan
from kvscen.results import schema
from kvscen.results.errors import ResultsError, why
from kvscen.results.files import replace

#: Where runs go when no folder is given, under the working directory.
RUNS = Path("runs")


@attrs.frozen
class RunFolder:
    """A run that is there: where, its id, and plan.json and environment.json as they were written."""

    path: Path
    run_id: str
    plan_text: str
    plan: Mapping[str, Any]
    environment: Mapping[str, Any]


def new_run_id(scenario_name: str, utc_time: datetime) -> str:
    """A name for a run that no other run has, on any machine."""
    return f"{_safe(scenario_name)}-{_stamp(utc_time)}-{secrets.token_hex(4)}"


def create_run_folder(out: Path | None, scenario_name: str, utc_time: datetime) -> Path:
    """Make `runs/<scenario>-<UTC time>/`, or use `out`, which must be new or empty. Raises ResultsError."""
    if out is not None:
        _make(out)
        return out
    try:
        RUNS.mkdir(exist_ok=True)
    except OSError as error:
        raise ResultsError(
            f"cannot make the folder {RUNS.absolute()}: {why(error)}", "give the run a folder with --out DIR"
        ) from error
    name = f"{_safe(scenario_name)}-{_stamp(utc_time)}"
    for number in range(1, 1000):
        path = RUNS / (name if number == 1 else f"{name}-{number}")
        if not path.exists():
            _make(path)
            return path
    raise ResultsError(f"{RUNS / name} and 998 more of that name exist", "give the run a folder with --out DIR")


def _make(path: Path) -> None:
    try:
        path.mkdir()
        return
    except FileExistsError:
        pass
    except OSError as error:
        parent = path.absolute().parent
        if not parent.exists():
            raise ResultsError(
                f"cannot make the folder {path}: its parent {parent} does not exist", f"mkdir -p {parent}"
            ) from error
        raise ResultsError(f"cannot make the folder {path}: {why(error)}", "give --out another folder") from error
    if not path.is_dir():
        raise ResultsError(f"{path} is a file, not a folder", "give --out a new or an empty folder")
    try:
        there = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise ResultsError(f"cannot read the folder {path}: {why(error)}", "give --out another folder") from error
    if there:
        named = ", ".join(there[:3]) + (f" and {len(there) - 3} more" if len(there) > 3 else "")
        is_run = "plan.json" in there
        remedy = f"go on in it with --resume {path}, or give" if is_run else "give"
        raise ResultsError(f"the folder {path} is not empty: it holds {named}", f"{remedy} --out a new folder")


def write_inputs(
    folder: Path, plan: Plan, plan_json: str | Mapping[str, Any], environment: Mapping[str, Any], run_id: str
) -> None:
    """Write scenario.kvs (the exact text), `uses/`, plan.json and environment.json. Raises ResultsError."""
    (_, scenario), *used = plan.files
    _write_text(folder / "scenario.kvs", scenario)
    for name, text in zip(_names_of_uses(tuple(name for name, _ in used)), (text for _, text in used), strict=True):
        path = folder / "uses" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultsError(f"cannot make the folder {path.parent}: {why(error)}") from error
        _write_text(path, text)
    write_environment(folder, environment, run_id)
    # plan.json comes last: a folder that has it has everything, and is a run.
    _write_text(folder / "plan.json", _json(plan_json))


def write_environment(folder: Path, environment: Mapping[str, Any], run_id: str) -> Path:
    """Write environment.json, or, when a run goes on, environment-2.json and so on: each journal has its own.
    Raises ResultsError."""
    number = 1
    while (path := folder / ("environment.json" if number == 1 else f"environment-{number}.json")).exists():
        number += 1
    _write_text(path, _json({"schema_version": schema.SCHEMA_VERSION, "run_id": run_id, **environment}))
    return path


def open_run_folder(folder: Path) -> RunFolder:
    """A run's folder, for `--resume` and `show`. Raises ResultsError for what is no run."""
    if not folder.exists():
        raise ResultsError(f"there is no folder {folder}", _remedy_for_missing())
    if not folder.is_dir():
        raise ResultsError(f"{folder} is a file, not the folder of a run", _remedy_for_missing())
    plan_text, plan = _read_json(folder / "plan.json", folder)
    _, environment = _read_json(folder / "environment.json", folder)
    version = environment.get("schema_version")
    if version != schema.SCHEMA_VERSION:
        raise ResultsError(
            f"{folder} is of schema version {version}, this kvscen reads {schema.SCHEMA_VERSION}",
            f"use the kvscen that wrote it: {environment.get('versions', {}).get('kvscen', 'see environment.json')}",
        )
    return RunFolder(folder, str(environment.get("run_id", folder.name)), plan_text, plan, environment)


def newest_run() -> Path:
    """The newest run under `runs/`. Raises ResultsError when there is none."""
    try:
        found = [(path.stat().st_mtime_ns, path.parent) for path in RUNS.glob("*/plan.json")]
    except OSError as error:
        raise ResultsError(f"cannot read the folder {RUNS.absolute()}: {why(error)}") from error
    if not found:
        raise ResultsError(
            f"there is no run in {RUNS.absolute()}", "name its folder, or run a scenario first: kvscen run"
        )
    return max(found)[1]


def check_same_plan(run: RunFolder, plan_json: str | Mapping[str, Any]) -> None:
    """Raises ResultsError, saying what differs, unless `plan_json` is the plan that the run was made from."""
    now = json.loads(_json(plan_json))
    if now == run.plan:
        return
    then_ids = {point["point_id"] for point in run.plan.get("points", ())}
    now_ids = {point["point_id"] for point in now.get("points", ())}
    if then_ids != now_ids:
        what = (
            f"{len(now_ids - then_ids)} of its points are not in that run, "
            f"and {len(then_ids - now_ids)} points of that run are not in it"
        )
    else:
        keys = sorted(k for k in {*now, *run.plan} if now.get(k) != run.plan.get(k))
        what = f"they differ in {', '.join(keys)}"
    raise ResultsError(
        f"this scenario does not make the plan of {run.path}: {what}",
        f"resume with the text in {run.path / 'scenario.kvs'} and the same --set, or start a new run",
    )


def _read_json(path: Path, folder: Path) -> tuple[str, Mapping[str, Any]]:
    try:
        text = path.read_text("utf-8")
        value = json.loads(text)
    except FileNotFoundError as error:
        raise ResultsError(
            f"{folder} is not the folder of a run: it has no {path.name}", _remedy_for_missing()
        ) from error
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {why(error)}") from error
    except ValueError as error:
        raise ResultsError(
            f"{path} is damaged: {error}", "restore it from a copy; the journal beside it is intact"
        ) from error
    if not isinstance(value, dict):
        raise ResultsError(f"{path} is damaged: it holds no object", "restore it from a copy")
    return text, value


def _remedy_for_missing() -> str:
    try:
        runs = sorted(path.parent for path in RUNS.glob("*/plan.json"))
    except OSError:
        # Only a hint is at stake.
        runs = []
    return f"there is {runs[-1]}" if runs else "name the folder that `kvscen run` made"


def _names_of_uses(names: tuple[str, ...]) -> list[str]:
    """File names inside `uses/` for paths that may be absolute or lead upwards; no two are equal."""
    made: list[str] = []
    for name in names:
        parts = ["up" if part == ".." else _safe(part) for part in PurePosixPath(name).parts if part not in ("/", ".")]
        wanted = "/".join(parts) or "file.kvs"
        number, unique = 1, wanted
        while unique in made:
            number += 1
            unique = f"{number}-{wanted}"
        made.append(unique)
    return made


def _json(value: str | Mapping[str, Any]) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write_text(path: Path, text: str) -> None:
    replace(path, lambda temporary: temporary.write_bytes(text.encode("utf-8", "surrogateescape")))


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip(".")[:80] or "scenario"


def _stamp(utc_time: datetime) -> str:
    return utc_time.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
