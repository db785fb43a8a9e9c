"""Whether cuFile's configuration has room for a point, from the text alone, or with the configuration of this machine.

cuFile reads /etc/cufile.json, or the file that CUFILE_ENV_PATH_JSON names: JSON with comments.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kvscen.plugin import DriverError, Finding, Severity, Work, buffers_for
from kvscen_drivers.gds.clamp import KIB, Configuration, clamp
from kvscen_drivers.gds.cufile import version_installed
from kvscen_drivers.gds.settings import GdsSettings
from kvscen_drivers.gds.ways import NVIDIA_FS

_VARIABLE, _USUAL = "CUFILE_ENV_PATH_JSON", Path("/etc/cufile.json")
# A string is kept whole, so that what looks like a comment in one stays; commas before a closing brace go.
_NOISE = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/|,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[}\]])', re.DOTALL)


def too_much(
    settings: GdsSettings, work: Work, configuration: Configuration | None = None, *, nvidia_fs: bool = False
) -> Iterator[Finding]:
    """KVS341, where more is asked for than there is room for. `configuration` None: the default one, of any version."""
    known = configuration or Configuration()
    if settings.mode == "sync":
        return
    wanted = buffers_for(work, settings.max_in_flight)
    room = clamp(
        known,
        work.block_bytes,
        work.threads,
        mode=settings.mode,
        registered=settings.registered,
        bounced=settings.compat == "allow" and not nvidia_fs,
    )
    if wanted <= room.limit:
        return
    what = room.risk if settings.unclamped else f"at most {room.limit} are in flight"
    if not known.version and room.by_version and not settings.unclamped:
        what = f"before cuFile 1.18 {what}"
    yield Finding(
        "KVS341",
        f"{wanted} operations in flight in a lane are more than {known.source} has room for ({room.setting}): {what}",
        "unclamped" if settings.unclamped else None,
        help=f"raise `{room.setting}` in cufile.json, or use a smaller `depth` or `batch`",
        severity=Severity.WARNING,
    )


def too_much_here(settings: GdsSettings, work: Work) -> Iterator[Finding]:
    """The same with the configuration that cuFile would read on this machine. Of the default one `too_much` speaks."""
    try:
        found = configuration_here()
    except DriverError as error:
        yield Finding(
            "KVS341", f"{error}: nobody knows what it has room for", help=error.remedy, severity=Severity.WARNING
        )
        return
    if found.source != Configuration().source:
        yield from too_much(settings, work, found, nvidia_fs=NVIDIA_FS.exists())


def configuration_here() -> Configuration:
    """Of the file that cuFile would read, and of the version that is installed as a wheel. Raises DriverError."""
    named = os.environ.get(_VARIABLE)
    path, version = Path(named) if named else _USUAL, version_installed()
    try:
        text = path.read_text()
    except FileNotFoundError:
        if named:
            raise DriverError(f"{_VARIABLE} names {path}, which is not there", "correct or unset it") from None
        return Configuration(version)
    except OSError as error:
        raise DriverError(f"{path} cannot be read: {error.strerror}", "cuFile cannot read it either") from error
    try:
        return read_configuration(text, str(path), version)
    except ValueError as error:
        raise DriverError(f"{path} is no configuration of cuFile: {error}", "correct it") from error


def read_configuration(text: str, source: str, version: int = 0) -> Configuration:
    """What a cufile.json says. Raises ValueError."""
    found = json.loads(_NOISE.sub(lambda match: match.group(1) or "", text))
    if not isinstance(found, dict):
        raise ValueError("it is not one object")
    properties, execution = _part(found, "properties"), _part(found, "execution")
    sizes, counts = (_numbers(properties, f"posix_pool_slab_{what}") for what in ("size_kb", "count"))
    if len(sizes) != len(counts):
        raise ValueError("posix_pool_slab_size_kb and posix_pool_slab_count are not of one length")
    return Configuration(
        version=version,
        batch=_number(properties, "io_batchsize"),
        queue=_number(execution, "max_io_queue_depth"),
        cache_kib=_number(properties, "max_device_cache_size_kb"),
        buffer_kib=_number(properties, "per_buffer_cache_size_kb"),
        pool=tuple((size * KIB, count) for size, count in zip(sizes, counts, strict=True)),
        source=source,
    )


def _part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = found.get(name, {})
    if not isinstance(part, dict):
        raise ValueError(f"{name} is not an object")
    return part


def _number(part: Mapping[str, Any], name: str) -> int | None:
    value = part.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"{name} is not a number")
    return value or None


def _numbers(part: Mapping[str, Any], name: str) -> list[int]:
    values = part.get(name, [])
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise ValueError(f"{name} is not a list of numbers")
    return values
