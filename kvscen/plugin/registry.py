"""Which drivers are installed. The only place that knows `entrypoints`.

The disk is read once, at the first question. Two drivers of one name are a problem that is reported, never a silent
choice: neither can be used until one is removed. A driver's module is imported only when that driver is asked for.
"""

from __future__ import annotations

import configparser
import contextlib
import functools
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping

import attrs
import entrypoints

from kvscen.language.schema import settings_of
from kvscen.plugin.contract import API_VERSION, Driver

GROUP = "kvscen.drivers"

#: Drivers that people ask for and that no package brings yet. No promise: `kvscen drivers` lists what is there.
ELSEWHERE: Mapping[str, str] = {
    name: f"{what} is not part of this version of kvscen"
    for name, what in {
        "lmcache": "LMCache",
    }.items()
}


class PluginError(Exception):
    """A driver cannot be used. The message names the plugin at fault; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


@attrs.frozen
class DriverRef:
    """An installed driver, not imported yet. `target` is `module:Class`."""

    name: str
    distribution: str
    version: str
    target: str
    _entry: entrypoints.EntryPoint = attrs.field(repr=False, eq=False)

    def load(self) -> Driver:
        """Import the driver. Raises PluginError whatever the plugin raises; what it prints goes to stderr.

        An import that never returns is not stopped here: `kvscen drivers` (kvscen.plugin.probe) shows which one it is.
        """
        origin = f"driver `{self.name}` of the package {self.distribution} {self.version} ({self.target})"
        with contextlib.redirect_stdout(sys.stderr):
            try:
                loaded = self._entry.load()
            except (Exception, SystemExit) as error:  # a plugin's import runs anything, and may call sys.exit
                raise PluginError(
                    f"{origin} could not be imported: {type(error).__name__}: {error}",
                    f"reinstall or remove it: pip uninstall {self.distribution}",
                ) from error
            fault = _fault_of(loaded, self.name)
            if fault:
                raise PluginError(f"{origin} {fault}", f"upgrade it: pip install --upgrade {self.distribution}")
            try:
                driver: Driver = loaded()
            except (Exception, SystemExit) as error:
                raise PluginError(
                    f"{origin} could not be made: {type(error).__name__}: {error}", "tell its author"
                ) from error
        return driver


def _fault_of(loaded: object, name: str) -> str:
    """What keeps an imported object from being the driver of this name; empty if nothing does."""
    if not (isinstance(loaded, type) and issubclass(loaded, Driver)):
        return "is not a subclass of kvscen.plugin.Driver"
    if loaded.api_version != API_VERSION:
        return f"is written for version {loaded.api_version} of the driver contract, this kvscen has {API_VERSION}"
    if getattr(loaded, "name", None) != name:
        return f"calls itself `{getattr(loaded, 'name', None)}`"
    if not isinstance(getattr(loaded, "summary", None), str):
        return "has no summary"
    settings = getattr(loaded, "settings", None)
    if not (isinstance(settings, type) and attrs.has(settings)):
        return "has no settings: they are an attrs class"
    try:
        settings_of(settings)
    except TypeError as error:
        return f"declares its settings wrongly: {error}"
    return ""


@attrs.frozen(eq=False)
class Registry:
    """The installed drivers by name, and what is wrong with the others: name -> the problem."""

    refs: Mapping[str, DriverRef]
    problems: Mapping[str, PluginError]

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.refs))

    @functools.cache  # noqa: B019 - one registry for a process
    def driver(self, name: str) -> Driver:
        """The driver of this name. Raises PluginError."""
        if name in self.problems:
            raise self.problems[name]
        if name not in self.refs:
            remedy = ELSEWHERE.get(name, "install the package that brings it")
            raise PluginError(f"no driver is called `{name}`", f"{remedy}; installed: {', '.join(self.names())}")
        return self.refs[name].load()


def _normal(distribution: str) -> str:
    return distribution.replace("_", "-").lower()


def _read() -> tuple[list[entrypoints.EntryPoint], dict[str, PluginError]]:
    """Every entry point of the group, and what could not be read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            entries = entrypoints.get_group_all(GROUP)
            return entries, dict(_malformed(str(warning.message) for warning in caught))
        except (configparser.Error, UnicodeDecodeError, OSError):
            # One package's broken entry_points.txt stops the whole scan: look package by package and say which it is.
            return _read_one_by_one()


def _malformed(messages: Iterable[str]) -> Iterator[tuple[str, PluginError]]:
    """Entries that `entrypoints` could not parse: it only warns, with the value but not the name."""
    broken = [message for message in messages if message.startswith("Couldn't parse entry point spec")]
    if not broken:
        return
    import importlib.metadata  # here, because it is seldom needed and not light

    for entry in importlib.metadata.entry_points(group=GROUP):
        if any(repr(entry.value) in message for message in broken):
            owner = _normal(entry.dist.name) if entry.dist else "?"
            yield (
                entry.name,
                PluginError(
                    f"the package {owner} names the driver `{entry.name}` by `{entry.value}`, which is no module:Class",
                    f"reinstall or remove it: pip uninstall {owner}",
                ),
            )


def _read_one_by_one() -> tuple[list[entrypoints.EntryPoint], dict[str, PluginError]]:
    import importlib.metadata

    entries, problems = [], {}
    seen = set()
    for distribution in importlib.metadata.distributions():
        name = _normal(distribution.metadata["Name"] or "?")
        if name in seen:
            continue
        seen.add(name)
        try:
            text = distribution.read_text("entry_points.txt") or ""
            parser = entrypoints.CaseSensitiveConfigParser(delimiters=("=",))
            parser.read_string(text)
            values = dict(parser.items(GROUP)) if parser.has_section(GROUP) else {}
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            problems[name] = PluginError(
                f"the entry points of the package {name} cannot be read: {str(error).splitlines()[0]}",
                f"reinstall or remove it: pip uninstall {name}",
            )
            continue
        owner = entrypoints.Distribution(name, distribution.version)
        for key, value in values.items():
            try:
                entries.append(entrypoints.EntryPoint.from_string(value, key, owner))
            except entrypoints.BadEntryPoint:
                problems[key] = PluginError(
                    f"the package {name} names the driver `{key}` by `{value}`, which is no module:Class",
                    f"reinstall or remove it: pip uninstall {name}",
                )
    return entries, problems


@functools.cache
def registry() -> Registry:
    """Read what is installed, once."""
    entries, problems = _read()
    found: dict[str, list[DriverRef]] = {}
    for entry in entries:
        distro = entry.distro
        ref = DriverRef(
            entry.name,
            _normal(distro.name) if distro else "?",
            distro.version if distro else "?",
            f"{entry.module_name}:{entry.object_name}",
            entry,
        )
        if all((ref.distribution, ref.target) != (o.distribution, o.target) for o in found.setdefault(ref.name, [])):
            found[ref.name].append(ref)
    refs = {}
    for name, candidates in found.items():
        if len(candidates) == 1:
            refs[name] = candidates[0]
        else:
            owners = sorted({f"{c.distribution} {c.version} ({c.target})" for c in candidates})
            problems[name] = PluginError(
                f"the driver `{name}` is brought by several packages: {', '.join(owners)}",
                "remove all but one of them with pip uninstall",
            )
    return Registry(refs, problems)
