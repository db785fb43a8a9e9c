"""What the numbers were measured on: the machine, its limits and its software, as environment.json holds it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from kvscen.facts import software
from kvscen.facts.files import Files
from kvscen.facts.gather import Facts, Senses, gather


def capture(paths: Sequence[str] = (), files: Files | None = None, senses: Senses | None = None) -> dict[str, Any]:
    """The environment; `paths` are the tiers' folders (they need not exist yet). Takes some seconds at most
    (kvscen.facts.gather.PATIENCE_S). Never raises: a part that could not be read is `{"problem": why}`."""
    return environment(gather(paths, files, senses), paths)


def environment(facts: Facts, paths: Sequence[str]) -> dict[str, Any]:
    """The facts as JSON."""

    def shown(name: str) -> Any:
        if name in facts.problems:
            return {"problem": facts.problems[name]}
        value = getattr(facts, name)
        return [attrs.asdict(item) for item in value] if isinstance(value, tuple) else attrs.asdict(value)

    return {
        "captured_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "hostname": _safely(socket.gethostname),
        "host": shown("host"),
        "cpu": shown("cpu"),
        "memory": shown("memory"),
        "limits": shown("limits"),
        "idle": shown("idle"),
        "file_systems": [
            attrs.asdict(facts.file_systems[path])
            if path in facts.file_systems
            else {"path": path, "problem": facts.unreadable.get(path, "not asked")}
            for path in dict.fromkeys(paths)
        ],
        "gpus": {"problem": facts.problems["gpus"]} if "gpus" in facts.problems else facts.gpus,
        "network": shown("network"),
        "python": shown("python"),
        "versions": _safely(software.versions),
        "drivers": _safely(software.drivers),
        "variables": software.variables(),
    }


def _safely(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        # Whatever is installed, a run must not fail for the description of its machine.
        return {"problem": f"{type(error).__name__}: {error}"}
