"""Checks of the processors and the clock."""

from __future__ import annotations

from kvscen.doctor.case import Case
from kvscen.doctor.finding import Finding, note, ok, problem
from kvscen.report.numbers import plural

#: Half a processor that others use is more than one trial differs from the next on a quiet machine.
_BUSY_CPUS = 0.5
_STEAL_SHARE = 0.01
#: Read without a system call; the others cost a microsecond or more for each time stamp.
_FAST_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "timebase", "tod")


def cpu_governor(case: Case) -> Finding | None:
    governor = case.facts.cpu.governor
    if governor is None:
        return None
    if governor == "performance":
        return ok("performance")
    return problem(
        f"{governor} ({case.facts.cpu.frequency_driver})" if case.facts.cpu.frequency_driver else governor,
        "the clock falls while a trial waits for the device: CPU time and latency depend on the load before",
        "use the governor `performance`",
        "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    )


def cpu_boost(case: Case) -> Finding | None:
    turbo = case.facts.cpu.turbo
    if turbo is None:
        return None
    if not turbo:
        return ok("off")
    return note(
        "on",
        "the clock depends on temperature and on what other cores do: the first trials may be faster than the last",
        "switch it off for comparisons between runs",
        case.facts.cpu.turbo_switch or "",
    )


def cpu_smt(case: Case) -> Finding | None:
    smt = case.facts.cpu.smt
    if smt is None:
        return None
    if not smt:
        return ok("one thread for each core")
    return note(
        f"{plural(case.facts.cpu.threads or 0, 'thread')} on {plural(case.facts.cpu.cores or 0, 'core')}",
        "two lanes that land on one core share it, and which do so is chance",
        "name CPUs of different cores with the pattern's setting `cpus`, or switch siblings off",
        "echo off | sudo tee /sys/devices/system/cpu/smt/control",
    )


def cpu_load(case: Case) -> Finding | None:
    busy, load = case.facts.idle.busy_cpus, case.facts.cpu.load_average
    if busy is None:
        return None
    average = f", load average {' '.join(f'{value:.2f}' for value in load)}" if load else ""
    found = f"{busy:.1f} of {case.facts.cpu.threads} CPUs busy over {case.facts.idle.seconds:.1f} s{average}"
    if busy < _BUSY_CPUS:
        return ok(found)
    return problem(
        found,
        "other programs take turns on the CPUs and caches that the measurement uses",
        "find and stop what runs",
        "top -b -n 1 -o %CPU | head -20",
    )


def cpu_steal(case: Case) -> Finding | None:
    share = case.facts.idle.steal_share
    if share is None:
        return None
    found = f"{share * 100:.1f} % of the time went to other virtual machines"
    if share < _STEAL_SHARE:
        return ok(found)
    return problem(
        found,
        "the host gives this machine's processors to others in the middle of an operation",
        "use a machine with dedicated processors",
    )


def cpu_count(case: Case) -> Finding | None:
    cpu, quota = case.facts.cpu, case.facts.limits.cgroup_cpus
    usable = cpu.usable_threads
    if usable is None:
        return None
    limit = f"; its control group allows the time of {quota:g}" if quota is not None else ""
    found = f"{plural(usable, 'CPU')} usable of {cpu.threads}{limit}"
    lanes = case.needs.lanes
    enough = usable if quota is None else min(usable, quota)
    if lanes and enough < lanes:
        return problem(
            f"{found}; the scenario has {plural(lanes, 'lane')}",
            "lanes that wait for a CPU measure the scheduler, not the device",
            "use fewer `threads` and `processes`, or give the container more CPUs",
        )
    if quota is not None:
        return note(
            found,
            "a group that has used up its share is stopped until the next period (100 ms): that is seen as latency",
            "start the container without a CPU limit",
        )
    return ok(found)


def clock_source(case: Case) -> Finding | None:
    source = case.facts.cpu.clock_source
    if source is None:
        return None
    if source in _FAST_CLOCKS:
        return ok(source)
    has_tsc = "tsc" in case.facts.cpu.clock_sources
    return problem(
        source,
        "each time stamp is a system call or a read of a slow device, twice for each operation",
        "use tsc" if has_tsc else "boot with `tsc=reliable` if the processor's counter is sound (see the kernel's log)",
        "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource" if has_tsc else "",
    )


def numa_balancing(case: Case) -> Finding | None:
    nodes = len(case.facts.cpu.numa_nodes)
    if nodes < 2:
        return ok("one NUMA node") if nodes else None
    balancing = case.facts.cpu.numa_balancing
    if balancing is None:
        return None
    if not balancing:
        return ok(f"off; {nodes} NUMA nodes")
    return problem(
        f"on; {nodes} NUMA nodes",
        "the kernel unmaps pages to see who uses them and moves them between nodes, in the middle of a trial",
        "switch it off, and name a node with the pattern's setting `numa`",
        "sudo sysctl -w kernel.numa_balancing=0",
    )


CHECKS = (cpu_governor, cpu_boost, cpu_smt, cpu_load, cpu_steal, cpu_count, clock_source, numa_balancing)
