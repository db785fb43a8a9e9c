"""The software: the interpreter, packages, drivers, and the variables that steer libraries."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Mapping
from importlib import metadata

import attrs

import kvscen
from kvscen.plugin.registry import registry

_PACKAGES = ("attrs", "click", "entrypoints", "lark", "numpy", "pyarrow", "rich", "trio")
_VARIABLES = ("UCX_", "MC_", "CUFILE_")
_SECRET = ("SECRET", "KEY", "TOKEN", "PASSWORD")


@attrs.frozen
class Python:
    """`debug` is an interpreter built with assertions, `free_threaded` one without the global lock, `traced` whether a
    debugger, profiler or coverage measurement watches every line of this process."""

    version: str = ""
    build: str = ""
    debug: bool = False
    free_threaded: bool = False
    traced: bool = False


def python() -> Python:
    return Python(
        version=sys.version.split()[0],
        build=" ".join(platform.python_build()),
        debug=bool(sysconfig.get_config_var("Py_DEBUG")),
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        traced=sys.gettrace() is not None or sys.getprofile() is not None,
    )


def versions() -> dict[str, str | None]:
    def installed(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    interpreter = python()
    return {
        "kvscen": kvscen.__version__,
        "python": interpreter.version,
        "python_build": interpreter.build,
        "libc": " ".join(platform.libc_ver()),
        **{package: installed(package) for package in _PACKAGES},
    }


def drivers() -> dict[str, str]:
    return {name: f"{ref.distribution} {ref.version}" for name, ref in sorted(registry().refs.items())}


def variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that steer UCX, Mooncake and cuFile. What looks like a secret is named, not shown."""
    return {
        name: "***" if any(word in name.upper() for word in _SECRET) else value
        for name, value in sorted(environment.items())
        if name.startswith(_VARIABLES)
    }
