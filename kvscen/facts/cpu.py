"""The processors: how many, how fast their clock may go, how busy they are."""

from __future__ import annotations

import platform

import attrs

from kvscen.facts.files import Files, count_listed, fields

_CPU = "/sys/devices/system/cpu"
_CLOCK = "/sys/devices/system/clocksource/clocksource0"


@attrs.frozen
class Node:
    node: int
    cpus: str | None = None
    memory_bytes: int | None = None


@attrs.frozen
class Cpu:
    """`governor` names each governor in use; `turbo` is whether the clock may rise above its nominal rate;
    `clock_source` is what the kernel tells the time by. Counts are of this process's machine, `usable_threads` of what
    the process may run on."""

    model: str | None = None
    architecture: str | None = None
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None
    usable_threads: int | None = None
    isolated: str | None = None
    governor: str | None = None
    frequency_driver: str | None = None
    turbo: bool | None = None
    turbo_switch: str | None = None
    smt: bool | None = None
    load_average: tuple[float, ...] | None = None
    clock_source: str | None = None
    clock_sources: tuple[str, ...] = ()
    numa_balancing: bool | None = None
    numa_nodes: tuple[Node, ...] = ()


def cpu(files: Files) -> Cpu:
    info = fields(files.lines("/proc/cpuinfo"))
    status = fields(files.lines("/proc/self/status"))
    folders = files.found(_CPU, "cpu[0-9]*")
    cores = {
        (files.read(folder / "topology/physical_package_id"), files.read(folder / "topology/core_id"))
        for folder in folders
        if files.exists(folder / "topology/core_id")
    }
    governors = {files.read(folder / "cpufreq/scaling_governor") for folder in folders} - {None}
    drivers = {files.read(folder / "cpufreq/scaling_driver") for folder in folders} - {None}
    turbo, switch = _turbo(files)
    return Cpu(
        model=info.get("model name") or info.get("Model") or platform.processor() or None,
        architecture=platform.machine(),
        sockets=len({package for package, _ in cores}) or None,
        cores=len(cores) or None,
        threads=count_listed(files.read(f"{_CPU}/online")) or len(folders) or None,
        usable_threads=count_listed(status.get("Cpus_allowed_list")),
        isolated=files.read(f"{_CPU}/isolated") or None,
        governor=", ".join(sorted(str(name) for name in governors)) or None,
        frequency_driver=", ".join(sorted(str(name) for name in drivers)) or None,
        turbo=turbo,
        turbo_switch=switch,
        smt=files.flag(f"{_CPU}/smt/active"),
        load_average=_load(files),
        clock_source=files.read(f"{_CLOCK}/current_clocksource"),
        clock_sources=tuple((files.read(f"{_CLOCK}/available_clocksource") or "").split()),
        numa_balancing=files.flag("/proc/sys/kernel/numa_balancing"),
        numa_nodes=tuple(
            _node(files, int(path.name[4:])) for path in files.found("/sys/devices/system/node", "node[0-9]*")
        ),
    )


def _turbo(files: Files) -> tuple[bool | None, str | None]:
    """Whether it is on, and the command that switches it off."""
    no_turbo = files.flag(f"{_CPU}/intel_pstate/no_turbo")
    if no_turbo is not None:
        return not no_turbo, f"echo 1 | sudo tee {_CPU}/intel_pstate/no_turbo"
    boost = files.flag(f"{_CPU}/cpufreq/boost")
    return boost, None if boost is None else f"echo 0 | sudo tee {_CPU}/cpufreq/boost"


def _load(files: Files) -> tuple[float, ...] | None:
    words = (files.read("/proc/loadavg") or "").split()[:3]
    try:
        return tuple(map(float, words)) or None
    except ValueError:
        return None


def _node(files: Files, number: int) -> Node:
    folder = f"/sys/devices/system/node/node{number}"
    memory = None
    for line in files.lines(f"{folder}/meminfo"):
        if "MemTotal:" in line:
            memory = int(line.split()[-2]) * 1024
    return Node(number, files.read(f"{folder}/cpulist"), memory)
