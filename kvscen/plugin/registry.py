"""Which drivers are installed. The only place that knows `entrypoints`.

The disk is read once, at the first question. Two drivers of one name are a problem that is reported, never a silent choice: neither
can be used until one is removed. A driver's module is imported only when that driver is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import attrs
import entrypoints

from kvscen.plugin.contract import API_VERSION, Driver

GROUP = "kvscen.drivers"

#: Drivers that are known but not part of this installation, and how to get them.
ELSEWHERE: Mapping[str, str] = {}


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
        """Import the driver. Raises PluginError whatever the plugin raises."""
        origin = f"driver `{self.name}` of the package {self.distribution} {self.version} ({self.target})"
        try:
            loaded = self._entry.load()
        except Exception as error:
            raise PluginError(
                f"{origin} could not be imported: {type(error).__name__}: {error}",
                f"reinstall or remove it: pip uninstall {self.distribution}",
            ) from error
        if not (isinstance(loaded, type) and issubclass(loaded, Driver)):
            raise PluginError(f"{origin} is not a subclass of kvscen.plugin.Driver", "tell its author")
        if loaded.api_version != API_VERSION:
            raise PluginError(
                f"{origin} is written for version {loaded.api_version} of the driver contract, this kvscen has {API_VERSION}",
                f"upgrade it: pip install --upgrade {self.distribution}",
            )
        if getattr(loaded, "name", None) != self.name:
            raise PluginError(f"{origin} calls itself `{getattr(loaded, 'name', None)}`", "tell its author")
        return loaded()


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
            remedy = ELSEWHERE.get(name, f"install the package that brings it; installed: {', '.join(self.names())}")
            raise PluginError(f"no driver is called `{name}`", remedy)
        return self.refs[name].load()


def _normal(distribution: str) -> str:
    return distribution.replace("_", "-").lower()


@functools.cache
def registry() -> Registry:
    """Read what is installed, once."""
    found: dict[str, list[DriverRef]] = {}
    for entry in entrypoints.get_group_all(GROUP):
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
    refs, problems = {}, {}
    for name, candidates in found.items():
        if len(candidates) == 1:
            refs[name] = candidates[0]
        else:
            owners = sorted({f"{c.distribution} {c.version}" for c in candidates})
            problems[name] = PluginError(
                f"the driver `{name}` is brought by several packages: {', '.join(owners)}",
                "remove one of them with pip uninstall",
            )
    return Registry(refs, problems)
