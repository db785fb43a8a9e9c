"""The settings of a tiered tier and what can be said about them from the text alone."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import PurePosixPath

import attrs

from kvscen.plugin import (
    Finding,
    ListOf,
    Reference,
    RuleText,
    Severity,
    Share,
    Size,
    Tier,
    TieredCache,
    Word,
    Work,
    setting,
    show_bytes,
)
from kvscen_drivers.gpu import bounce


@attrs.frozen
class TieredSettings:
    levels: tuple[str, ...] = setting(ListOf(Reference("tier")), help="the tiers that it is made of, from the top down")
    eviction: str = setting(
        Word(*TieredCache.policies), default="lru", help="which block goes down when a level is full"
    )
    capacities: tuple[int, ...] | None = setting(
        ListOf(Size(minimum=1)),
        default=None,
        help="what this cache may take of each level, from the top down; the last may be left out. "
        "Without it each level's own `capacity`",
    )
    high_water_share: Fraction = setting(  # noqa: RUF009 - an attrs field
        Share(),
        default=Fraction(1),
        help="how much of each level but the last is filled before blocks go down; at least one block",
    )
    promotion: str = setting(
        Word(*TieredCache.promotions),
        default="never",
        help="whether a block that is read below the top level is brought up into it: never, when it is read, or when "
        "it is read for the second time since it came down",
    )
    write: str = setting(
        Word(*TieredCache.writes),
        default="back",
        help="where a block goes that is written: into the top level, or through it into every level at once",
    )
    admit: tuple[int, ...] | None = setting(
        ListOf(Size()),
        default=None,
        help="of each level, from the top down, the largest request whose blocks are written into it; those of a "
        "larger one enter the next level that takes them. A level without a size takes all",
    )
    gpu: int | None = bounce.gpu_setting()


def capacity_of(tier: Tier, level: int) -> int | None:
    """The bytes that the cache may take of a level; None: as many as there are blocks."""
    given: tuple[int, ...] = tier.settings.capacities or ()
    if level < len(given):
        return given[level]
    return _own_capacity(tier.levels[level])


def _own_capacity(level: Tier) -> int | None:
    own = getattr(level.settings, "capacity_bytes", None)
    return own if isinstance(own, int) else None


def admitted_bytes(tier: Tier, level: int) -> int | None:
    """The largest request whose blocks enter a level from outside; None: any."""
    given: tuple[int, ...] = tier.settings.admit or ()
    return given[level] if level < len(given) else None


def request_blocks(work: Work) -> int:
    """Blocks of one request."""
    return max(1, work.batch // work.requests)


def lint(tier: Tier, work: Work) -> Iterator[Finding]:
    yield from _levels(tier)
    yield from _capacities(tier, work)
    yield from _admission(tier, work)
    yield from _never_reached(tier, work)
    if work.threads > 1:
        yield Finding(
            "KVS323",
            f"a tiered tier is driven by one thread, the pattern has {work.threads}",
            setting="threads",
            help="set `threads = 1`; the I/O of the levels is concurrent all the same, as deep as `depth` says",
        )


def _levels(tier: Tier) -> Iterable[Finding]:
    seen = set()
    yield from _folders(tier)
    real = next((level.name for level in tier.levels if not level.virtual), None)
    for level in tier.levels:
        if level.name in seen:
            yield Finding(
                "KVS321",
                f"`{level.name}` is a level twice",
                setting="levels",
                help="a level holds blocks that no other level holds: name each tier once",
            )
        seen.add(level.name)
        if level.virtual and real is not None:
            yield Finding(
                "KVS321",
                f"`{level.name}` is simulated and `{real}` is not: times that are computed and times that are measured "
                "do not add up",
                setting="levels",
                help="build it of simulated tiers alone, or of tiers that keep data, such as `memory` and `posix`",
            )
        if level.levels:
            yield Finding(
                "KVS321",
                f"`{level.name}` is itself made of levels",
                setting="levels",
                help="put its levels into this list, in its place",
            )


def folders_of(tier: Tier) -> list[tuple[str, str]]:
    """(level, folder) of each level that keeps its blocks in one."""
    paths = [(level.name, getattr(level.settings, "path", None)) for level in tier.levels]
    return [(name, path) for name, path in dict(paths).items() if isinstance(path, str)]


def shared_folders(folders: Sequence[tuple[str, str]]) -> Iterator[str]:
    """What is wrong with the folders of levels, by their paths alone."""
    for (name, path), (other, its) in itertools.combinations(folders, 2):
        own, theirs = PurePosixPath(os.path.normpath(path)), PurePosixPath(os.path.normpath(its))
        if own == theirs:
            yield f"`{name}` and `{other}` keep their blocks in the same folder, {path}"
        elif _within(theirs, own):
            yield f"`{other}` keeps its blocks in {its}, within the folder of `{name}`, {path}"
        elif _within(own, theirs):
            yield f"`{name}` keeps its blocks in {path}, within the folder of `{other}`, {its}"


def _within(path: PurePosixPath, folder: PurePosixPath) -> bool:
    return path.is_relative_to(folder) and ".." not in path.parts[len(folder.parts) :]


def _folders(tier: Tier) -> Iterator[Finding]:
    for message in shared_folders(folders_of(tier)):
        yield Finding(
            "KVS321", message, setting="levels", help="give each of them a `path` of its own, beside the others"
        )


def _capacities(tier: Tier, work: Work) -> Iterable[Finding]:
    given: tuple[int, ...] = tier.settings.capacities or ()
    count = len(tier.levels)
    if given and not count - 1 <= len(given) <= count:
        yield Finding(
            "KVS322",
            f"`capacities` has {len(given)} sizes for {count} levels",
            setting="capacities",
            help="write one size for each level, from the top down; only the last may be left out",
        )
        return
    for index, level in enumerate(tier.levels):
        capacity, own = capacity_of(tier, index), _own_capacity(level)
        where = "capacities" if index < len(given) else "levels"
        if capacity is None:
            if index < count - 1:
                yield Finding(
                    "KVS322",
                    f"it is not said how much of `{level.name}` the cache may take, so nothing would leave it",
                    setting="levels",
                    help="set `capacities = [...]`, one size for each level; the last may be left out",
                )
        elif own is not None and capacity > own:
            yield Finding(
                "KVS322",
                f"the cache may take {show_bytes(capacity)} of `{level.name}`, which has {show_bytes(own)}",
                setting=where,
                help=f"lower this size or raise the capacity of `{level.name}`",
            )
        elif capacity < work.block_bytes:
            yield Finding(
                "KVS322",
                f"`{level.name}` may hold {show_bytes(capacity)}, a block is {show_bytes(work.block_bytes)}",
                setting=where,
                help="every level needs room for at least one block",
            )


RULES = (
    RuleText(
        "KVS328",
        finds="""
A level of a tiered tier to which no block ever goes down, because the levels above it have room for all blocks that the
pattern touches.
""",
        why="""
The row is that of a cache of fewer levels: the lower one serves nothing, and its speed changes nothing. It is the
commonest way to measure memory and call it a disk. What counts is the mean: requests of 112 tokens in the mean fill a
tenth of what those of 1000 fill.
""",
        remedy="Use a larger `working_set` (or more requests), or smaller `capacities`.",
    ),
)


def _never_reached(tier: Tier, work: Work) -> Iterator[Finding]:
    """Of the levels below the top the first that nothing comes to. Written through, or admitted by their size, blocks
    enter lower levels by themselves."""
    if tier.settings.admit is not None or tier.settings.write == "through":
        return
    room = 0
    for index, level in enumerate(tier.levels[:-1]):
        capacity = capacity_of(tier, index)
        if capacity is None:
            return
        room += max(1, math.floor(capacity // work.block_bytes * tier.settings.high_water_share))
        if work.keys <= room:
            below = tier.levels[index + 1].name
            yield Finding(
                "KVS328",
                f"nothing goes down to `{below}`: the {show_bytes(room * work.block_bytes)} above it hold all of the "
                f"{show_bytes(work.working_set_bytes)} that the pattern touches",
                setting="capacities" if tier.settings.capacities else "levels",
                help=f"touch more, or give `{level.name}` a smaller capacity",
                severity=Severity.WARNING,
            )
            return


def _admission(tier: Tier, work: Work) -> Iterable[Finding]:
    given: tuple[int, ...] = tier.settings.admit or ()
    request = request_blocks(work) * work.block_bytes
    if len(given) > len(tier.levels):
        yield Finding(
            "KVS327",
            f"`admit` has {len(given)} sizes for {len(tier.levels)} levels",
            setting="admit",
            help="write one size for each level, from the top down; those at the end may be left out",
        )
    elif len(given) == len(tier.levels) and max(given) < request:
        yield Finding(
            "KVS327",
            f"no level admits a request of {show_bytes(request)}, so nothing would be cached",
            setting="admit",
            help=f"raise a size to {show_bytes(request)}, or leave the last level's out",
        )
