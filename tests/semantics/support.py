"""Drivers that exist only here, and short ways from a text to what it means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kvscen.language.check import Checked, check_source
from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.render import render
from kvscen.plan.expand import Expanded, expand
from kvscen.plan.point import Plan
from kvscen.plugin import (
    Count,
    Driver,
    Finding,
    Flag,
    Footprint,
    ListOf,
    Measure,
    PathText,
    Reference,
    Severity,
    Size,
    Tier,
    Word,
    Work,
    setting,
)
from kvscen.plugin.registry import DriverRef, PluginError, Registry


@attrs.frozen
class SsdSettings:
    path: str = setting(PathText(), help="folder")
    direct: bool = setting(Flag(), default=True, help="bypass the page cache")
    queue: int = setting(Count(), default=64, help="most in flight")


class Ssd(Driver):
    name = "ssd"
    summary = "a disk"
    settings = SsdSettings

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        if work.block_bytes % 512:
            yield Finding("SSD1", "blocks are not whole sectors", "block", severity=Severity.WARNING)
        if tier.settings.queue > 1000:
            yield Finding("KVS302", "the queue is too long", "queue", "use at most 1000")

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        return Footprint(memory_bytes=work.batch * work.block_bytes, disk_bytes=work.keys * work.block_bytes)


@attrs.frozen
class RamSettings:
    capacity_bytes: int | None = setting(Size(), default=None, help="most bytes")
    engine: str = setting(Word("fast", "slow"), default="fast", help="how")


class Ram(Driver):
    name = "ram"
    summary = "memory"
    settings = RamSettings
    max_processes = 1


@attrs.frozen
class StackSettings:
    levels: tuple[str, ...] = setting(ListOf(Reference("tier")), help="tiers, fastest first")
    eviction: str = setting(Word("lru", "fifo"), default="lru", help="what goes first")


class Stack(Driver):
    name = "stack"
    summary = "tiers over tiers"
    settings = StackSettings
    levels_setting = "levels"


@attrs.frozen
class NetSettings:
    def check(self) -> Iterable[Finding]:
        return ()


class Net(Driver):
    name = "net"
    summary = "reads only"
    settings = NetSettings
    operations = frozenset({"read"})
    memory = frozenset({"dram", "vram"})
    measures = (Measure("prep_p50_ns", "int64", "ns", "preparing"),)


class Crashing(Driver):
    name = "crashing"
    summary = "its lint raises"
    settings = NetSettings

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        raise RuntimeError("boom")


class _Entry:
    """What an installed driver's entry point gives."""

    def __init__(self, driver: type[Driver] | None) -> None:
        self.driver = driver

    def load(self) -> Any:
        if self.driver is None:
            raise ImportError("no module named cuda")
        return self.driver


def _ref(name: str, driver: type[Driver] | None, distribution: str = "kvscen") -> DriverRef:
    return DriverRef(name, distribution, "1.0", f"fakes:{name}", _Entry(driver))  # type: ignore[arg-type]


REGISTRY = Registry(
    {
        **{d.name: _ref(d.name, d) for d in (Ssd, Ram, Stack, Net)},
        "crashing": _ref("crashing", Crashing, "kvscen-crashing"),
        "broken": _ref("broken", None, "kvscen-broken"),
    },
    {"twice": PluginError("the driver `twice` is brought by several packages: a 1, b 1", "remove one of them")},
)


def check(text: str) -> Checked:
    return check_source(Source("test.kvs", text), None, REGISTRY)


def shown(diagnostics: Iterable[Diagnostic]) -> str:
    return render(diagnostics)


def expanded(text: str, pins: Sequence[str] = (), sweeps: Sequence[str] = ()) -> Expanded:
    """The expansion of a text that checks without errors."""
    checked = check(text)
    assert checked.scenario is not None, shown(checked.diagnostics)
    return expand(checked.scenario, pins, sweeps)


def plan(text: str, pins: Sequence[str] = (), sweeps: Sequence[str] = ()) -> Plan:
    """The plan of a text without errors."""
    result = expanded(text, pins, sweeps)
    assert result.plan is not None, shown(result.diagnostics)
    return result.plan


def problems(text: str, pins: Sequence[str] = ()) -> tuple[Diagnostic, ...]:
    """Everything found in a text: by the check, and where it has no errors by the expansion."""
    checked = check(text)
    if checked.scenario is None:
        return checked.diagnostics
    return (*checked.diagnostics, *expand(checked.scenario, pins).diagnostics)


#: Blocks that most tests need; a sweep is to follow.
HEAD = """kvs 1
tier disk : ssd { path = "/d" }
tier dram : ram {}
pattern pages : transfer { block = 1 MiB; op = read }
"""


def sweep(body: str, head: str = HEAD) -> str:
    """A text with one sweep `s` over `pages`."""
    return f"{head}sweep s {{\n  pattern = pages\n  {body}\n}}\n"
