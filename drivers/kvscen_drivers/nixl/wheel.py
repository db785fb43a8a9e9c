"""NIXL's Python package: where it is, what it can do here, and what has to be said to it first.

Nothing is imported before it is asked for: the package loads a hundred megabytes of libraries.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs

#: The packages that NIXL comes in, by the version of CUDA that they are built for. Without a GPU they are alike.
_PACKAGES = ("nixl_cu13", "nixl_cu12")
MISSING = "NIXL's Python package is not installed"
INSTALL = (
    "pip install --no-deps nixl-cu13 (60 MB; what it asks for beside numpy is torch, which is not needed here); "
    "for files, the driver `posix` measures the same without it"
)
#: How long creating a backend may take. UCX takes half a second; some never return.
LIMIT_S = 15.0


@attrs.frozen
class Verdict:
    """Whether a backend can be created here. `memory` names what it can move: "DRAM", "FILE"..."""

    ok: bool
    reason: str = ""
    memory: tuple[str, ...] = ()


def package() -> str | None:
    """The name of the package that is installed; None: there is none."""
    return next((name for name in _PACKAGES if importlib.util.find_spec(name) is not None), None)


def version() -> str:
    """The installed version, or "" where none is."""
    found = package()
    return metadata.version(found.replace("_", "-")) if found else ""


def api() -> Any:
    """The module with `nixl_agent`. Raises ImportError."""
    found = package()
    if found is None:
        raise ImportError(MISSING)
    _before_import()
    return importlib.import_module(f"{found}._api")


def _before_import() -> None:
    # The UCX of the wheel crashes when a process ends that has loaded its InfiniBand modules. Where there is no such
    # hardware they are of no use. Our own processes end without running destructors, which spares them in any case.
    adapters = Path("/sys/class/infiniband")
    if not (adapters.is_dir() and any(adapters.iterdir())):
        os.environ.setdefault("UCX_MODULES", "^ib")
    # NIXL tells stdout about every agent otherwise.
    os.environ.setdefault("NIXL_LOG_LEVEL", "WARN")


@contextlib.contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for as long as an agent is made: UCX reads them then."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@functools.cache
def plugins() -> Mapping[str, str]:
    """The plugins that the package brings, by name: why the library of one cannot be loaded here, or "".

    Asked in a child process: what is loaded cannot be let go of.
    """
    answer = _ask(["plugins"], {})
    return answer if isinstance(answer, dict) else {}


def examine(backend: str, parameters: Mapping[str, str], env: Mapping[str, str]) -> Verdict:
    """Whether this backend can be created here, tried once in a child process with a time limit: that a plugin is there
    proves nothing, and some never return."""
    return _examined(backend, tuple(sorted(parameters.items())), tuple(sorted(env.items())))


@functools.cache
def _examined(backend: str, parameters: tuple[tuple[str, str], ...], env: tuple[tuple[str, str], ...]) -> Verdict:
    answer = _ask(["create", backend, json.dumps(dict(parameters))], dict(env))
    if isinstance(answer, str):
        return Verdict(False, f"NIXL's {backend} {answer}")
    return Verdict(answer["ok"], answer["reason"], tuple(answer["memory"]))


def _ask(arguments: list[str], env: Mapping[str, str]) -> dict[str, Any] | str:
    """What `kvscen_drivers.nixl.trial` answers, or how it failed."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "kvscen_drivers.nixl.trial", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=child_environment(env),
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return f"does not come up within {LIMIT_S:g} s"
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer
    except (ValueError, IndexError):
        return f"ends the process that creates it (status {done.returncode})"


def child_environment(more: Mapping[str, str]) -> dict[str, str]:
    """For a child that finds what we find, wherever that was found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry), **more}


def loadable(name: str) -> str:
    """Why the library of this plugin cannot be loaded, or "". Loads it."""
    found = package()
    spec = importlib.util.find_spec(found) if found else None
    if spec is None or spec.origin is None:
        return MISSING
    # The wheel has the plugins twice; those beside the package's build find the libraries that they are linked with.
    root = Path(spec.origin).parent.parent
    for library in sorted(root.glob(f".{found}*/plugins/libplugin_{name}.so")):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            return str(error)
        return ""
    return "the package has no such plugin"
