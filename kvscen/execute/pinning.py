"""On which CPUs lanes run.

A lane's buffers are touched first by the thread that allocates them, and the kernel puts a page on the node of the CPU
that first touches it: who allocates for a lane is pinned like the lane meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from kvscen.language.cpus import parse_cpus, show_cpus
from kvscen.plan.point import Work
from kvscen.plugin.contract import Unavailable

NODES = Path("/sys/devices/system/node")


def lane_cpus(work: Work, process: int, nodes: Path = NODES) -> tuple[frozenset[int], ...]:
    """The CPUs of each lane of worker `process`; empty sets where the lanes are not pinned.

    `cpus` are dealt out to the lanes of all workers, one each, in turn; of a `numa_node` each lane may use all CPUs.
    Raises Unavailable where one does not exist or this process may not use it.
    """
    allowed = os.sched_getaffinity(0)
    if work.numa_node is not None:
        own = _node_cpus(work.numa_node, nodes) & allowed
        if not own:
            raise Unavailable(
                f"this process may use no CPU of NUMA node {work.numa_node}",
                f"it may use the CPUs {show_cpus(sorted(allowed))}",
            )
        return (own,) * work.threads
    if work.cpus is None:
        return (frozenset(),) * work.threads
    missing = [cpu for cpu in work.cpus if cpu not in allowed]
    if missing:
        noun = "the CPUs" if len(missing) > 1 else "CPU"
        raise Unavailable(
            f"this process may not use {noun} {show_cpus(missing)}, or there is no such CPU",
            f"choose `cpus` among {show_cpus(sorted(allowed))}",
        )
    first = process * work.threads
    return tuple(frozenset({work.cpus[(first + lane) % len(work.cpus)]}) for lane in range(work.threads))


def _node_cpus(node: int, nodes: Path) -> frozenset[int]:
    try:
        return frozenset(_listed(nodes / f"node{node}" / "cpulist"))
    except OSError:
        found = sorted(int(path.name.removeprefix("node")) for path in nodes.glob("node[0-9]*"))
        has = f"it has the nodes {show_cpus(found)}" if len(found) > 1 else "it has one, node 0"
        raise Unavailable(f"this machine has no NUMA node {node}", has) from None


def _listed(path: Path) -> tuple[int, ...]:
    text = path.read_text().strip()
    return parse_cpus(text) if text else ()  # a node of memory alone


def node_of(cpus: Collection[int], nodes: Path = NODES) -> int | None:
    """The NUMA node that has all of these CPUs; None where they span several, or the kernel does not say."""
    for path in nodes.glob("node[0-9]*/cpulist"):
        if set(cpus) <= set(_listed(path)):
            return int(path.parent.name.removeprefix("node"))
    return None


@contextlib.contextmanager
def pinned(cpus: frozenset[int]) -> Iterator[None]:
    """The calling thread runs on these CPUs meanwhile, and the threads that it starts always; no CPUs: no change."""
    if not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
