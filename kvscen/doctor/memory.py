"""Checks of memory: pages, swap, limits, unwritten data."""

from __future__ import annotations

from kvscen.doctor.case import Case
from kvscen.doctor.finding import Finding, note, ok, problem
from kvscen.report.numbers import show_one

_THP = "/sys/kernel/mm/transparent_hugepage"


def huge_pages(case: Case) -> Finding | None:
    """Transparent ones, of private memory: what buffers are made of."""
    enabled, defrag = case.facts.memory.transparent_hugepages, case.facts.memory.transparent_hugepages_defrag
    if enabled is None:
        return None
    found = f"{enabled}, defrag {defrag}" if defrag else enabled
    if enabled == "never":
        return problem(
            found,
            "buffers are made of 4 KiB pages, pinned one by one for direct I/O: up to 1.8 times slower, at up to 3 "
            "times the CPU time",
            "let programs ask for huge pages",
            f"echo madvise | sudo tee {_THP}/enabled",
        )
    if defrag in ("never", "defer"):
        return note(
            found,
            "where memory is fragmented a buffer gets small pages; the column `pages` says what each trial had",
            "let a program that asks for huge pages wait for them",
            f"echo madvise | sudo tee {_THP}/defrag",
        )
    return ok(found)


def huge_pages_shared(case: Case) -> Finding | None:
    """Of shared memory and tmpfs."""
    shmem = case.facts.memory.transparent_hugepages_shmem
    if shmem is None:
        return None
    on_tmpfs = [path for path, files in case.facts.file_systems.items() if files.type == "tmpfs"]
    if shmem in ("never", "deny") and on_tmpfs:
        return note(
            f"{shmem}; {on_tmpfs[0]} is on a tmpfs",
            "its files are made of 4 KiB pages unless it was mounted with `huge=`",
            "allow huge pages in shared memory where the tmpfs is what is measured",
            f"echo advise | sudo tee {_THP}/shmem_enabled",
        )
    return ok(f"{shmem} (of tmpfs and shared memory; kvscen's buffers are private memory)")


def huge_pages_reserved(case: Case) -> Finding | None:
    pools, total = case.facts.memory.hugepages, case.facts.memory.total_bytes
    if not total:
        return None
    sizes = {size: (pool.free or 0) * int(size.removesuffix("kB")) * 1024 for size, pool in pools.items()}
    held = sum(sizes.values())
    if held * 4 < total:
        return ok("none set aside" if not held else f"{show_one(held, 'B')} set aside")
    return note(
        f"{show_one(held, 'B')} of {show_one(total, 'B')} set aside and unused",
        "nobody else can use this memory: it is missing for buffers and for the page cache",
        "set fewer aside",
        f"echo 0 | sudo tee /sys/kernel/mm/hugepages/hugepages-{max(sizes, key=sizes.__getitem__)}/nr_hugepages",
    )


def memory_size(case: Case) -> Finding | None:
    memory, limits, needs = case.facts.memory, case.facts.limits, case.needs
    free = memory.available_bytes
    if free is None or memory.total_bytes is None:
        return None
    found = f"{show_one(free, 'B')} of {show_one(memory.total_bytes, 'B')} available"
    if limits.cgroup_memory_bytes is not None:
        left = limits.cgroup_memory_bytes - (limits.cgroup_memory_used_bytes or 0)
        if left < free:
            free = max(0, left)
            found += f", {show_one(free, 'B')} of them to this control group"
    if needs.memory_bytes > free:
        return problem(
            f"{found}; a point needs {show_one(needs.memory_bytes, 'B')}",
            "the worker would swap or be killed",
            "use a smaller `depth`, fewer `threads` or `processes`, a smaller block or `capacity`",
            prevents=True,
        )
    if needs.working_set_bytes:
        found += f"; the largest data set is {show_one(needs.working_set_bytes, 'B')}"
    buffered = [need.path for need in needs.paths if need.direct is False]
    if buffered and needs.working_set_bytes < memory.total_bytes:
        return problem(
            f"{found}, read through the page cache",
            "the whole data set fits into memory: what is measured is the page cache, not the device",
            "set `direct = true`, or a `working_set` of more than twice the memory",
        )
    return ok(found)


def memory_group(case: Case) -> Finding | None:
    limit, used = case.facts.limits.cgroup_memory_bytes, case.facts.limits.cgroup_memory_used_bytes
    total = case.facts.memory.total_bytes
    if case.facts.limits.cgroup is None:
        return None
    if limit is None or (total is not None and limit >= total):
        return ok("no limit on memory")
    return note(
        f"at most {show_one(limit, 'B')}" + (f", {show_one(used, 'B')} used" if used is not None else ""),
        "the page cache counts too: at its limit the group stops to write back and drop pages, within a trial",
        "start the container without a memory limit, or with a larger one",
    )


def swap(case: Case) -> Finding | None:
    memory = case.facts.memory
    if memory.swap_bytes is None or memory.swap_used_bytes is None:
        return None
    if not memory.swap_bytes:
        return ok("none")
    found = f"{show_one(memory.swap_used_bytes, 'B')} of {show_one(memory.swap_bytes, 'B')} used" + (
        f", swappiness {memory.swappiness}" if memory.swappiness is not None else ""
    )
    if not memory.swap_used_bytes:
        return ok(found)
    return note(
        found,
        "pages that come back from swap cost device time and show up as latency",
        "free some memory, then empty the swap",
        "sudo swapoff -a && sudo swapon -a",
    )


def dirty_pages(case: Case) -> Finding | None:
    limit = case.facts.memory.dirty_limit_bytes
    if limit is None:
        return None
    found = f"up to {show_one(limit, 'B')} of unwritten data"
    if not any(need.direct is False for need in case.needs.paths):
        return ok(f"{found} (of buffered writes only)")
    return note(
        found,
        "buffered writes go to memory until so much is unwritten, then wait for the device: short trials see memory",
        "use `durability = end`, so that the time until all is written counts, or lower the limit",
        "sudo sysctl -w vm.dirty_bytes=268435456 vm.dirty_background_bytes=67108864",
    )


CHECKS = (huge_pages, huge_pages_shared, huge_pages_reserved, memory_size, memory_group, swap, dirty_pages)
