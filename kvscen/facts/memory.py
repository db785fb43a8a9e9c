"""Memory: how much, of what pages, what swaps, how much unwritten data it may hold."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from kvscen.facts.files import Files, chosen, fields

_THP = "/sys/kernel/mm/transparent_hugepage"
_VM = "/proc/sys/vm"


@attrs.frozen
class Pool:
    """Huge pages that are set aside. Nothing else can use them."""

    total: int | None = None
    free: int | None = None


@attrs.frozen
class Memory:
    """`dirty_limit_bytes` is how much unwritten data buffered writes may leave in memory before a writer must wait:
    `vm.dirty_bytes`, or `vm.dirty_ratio` of the memory that is available now."""

    total_bytes: int | None = None
    available_bytes: int | None = None
    swap_bytes: int | None = None
    swap_used_bytes: int | None = None
    swappiness: int | None = None
    dirty_limit_bytes: int | None = None
    dirty_background_bytes: int | None = None
    transparent_hugepages: str | None = None
    transparent_hugepages_defrag: str | None = None
    transparent_hugepages_shmem: str | None = None
    hugepages: Mapping[str, Pool] = attrs.field(factory=dict)


def memory(files: Files) -> Memory:
    info = {name: _bytes(value) for name, value in fields(files.lines("/proc/meminfo")).items()}
    available = info.get("MemAvailable")
    swap, swap_free = info.get("SwapTotal"), info.get("SwapFree")
    return Memory(
        total_bytes=info.get("MemTotal"),
        available_bytes=available,
        swap_bytes=swap,
        swap_used_bytes=None if swap is None or swap_free is None else swap - swap_free,
        swappiness=files.number(f"{_VM}/swappiness"),
        dirty_limit_bytes=_dirty(files, "dirty", available),
        dirty_background_bytes=_dirty(files, "dirty_background", available),
        transparent_hugepages=chosen(files.read(f"{_THP}/enabled")),
        transparent_hugepages_defrag=chosen(files.read(f"{_THP}/defrag")),
        transparent_hugepages_shmem=chosen(files.read(f"{_THP}/shmem_enabled")),
        hugepages={
            pool.name.removeprefix("hugepages-"): Pool(
                files.number(pool / "nr_hugepages"), files.number(pool / "free_hugepages")
            )
            for pool in files.found("/sys/kernel/mm/hugepages", "hugepages-*")
        },
    )


def _bytes(value: str) -> int | None:
    """`16384 kB` in bytes."""
    number, _, unit = value.partition(" ")
    return int(number) * (1024 if unit == "kB" else 1) if number.isdigit() else None


def _dirty(files: Files, name: str, available: int | None) -> int | None:
    absolute = files.number(f"{_VM}/{name}_bytes")
    if absolute:
        return absolute
    ratio = files.number(f"{_VM}/{name}_ratio")
    return None if ratio is None or available is None else available * ratio // 100
