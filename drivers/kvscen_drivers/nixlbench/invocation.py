"""From points to the command line of one run of nixlbench: its flags, its iterations, its buffers, its processes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from kvscen.plugin import Point, Work
from kvscen_drivers.nixlbench.flags import FLAGS, HUGE_PAGE_BYTES, LARGE_BLOCK_BYTES
from kvscen_drivers.nixlbench.settings import field_of, processes

#: Passed even where they are at nixlbench's default: a reader sees what is measured, and no `config_file` changes it.
_ALWAYS = (
    "backend",
    "op_type",
    "initiator_seg_type",
    "start_block_size",
    "max_block_size",
    "start_batch_size",
    "max_batch_size",
    "num_threads",
    "pipeline_depth",
    "total_buffer_size",
    "num_iter",
    "warmup_iter",
    "large_blk_iter_ftr",
)
_NUM_ITER_MAX = 2**31 - 1


@attrs.frozen
class Iterations:
    """How often a batch is moved: the three flags, for `threads` threads together."""

    num_iter: int
    warmup_iter: int
    large_blk_iter_ftr: int
    threads: int

    @classmethod
    def rounded(cls, num_iter: int, warmup_iter: int, factor: int, threads: int) -> Iterations:
        """With the counts rounded up to whole rounds of all threads, as nixlbench does it."""
        whole = threads * factor
        most = _NUM_ITER_MAX // whole * whole
        up, warm_up = (min(-(-count // whole) * whole, most) for count in (num_iter, warmup_iter))
        return cls(up, warm_up, factor, threads)

    def measured(self, block_bytes: int) -> int:
        """Batches that are measured in a row of this block, by all threads."""
        return self.num_iter // self._less(block_bytes)

    def warmup(self, block_bytes: int) -> int:
        """Batches before them."""
        return self.warmup_iter // self._less(block_bytes)

    def _less(self, block_bytes: int) -> int:
        return self.large_blk_iter_ftr if block_bytes > LARGE_BLOCK_BYTES else 1


def iterations(settings: Any, work: Work, batch_s: float | None = None) -> Iterations | None:
    """The iterations of a point; None where it measures by time and nobody knows yet how long a batch takes.

    `num_iter` says them, or the sweep: `operations` / batch, or as many as fill `time` at `batch_s` seconds for each.
    The warm-up is `warmup_iter`, else nixlbench's own 100 beside a `num_iter`, `warmup` at `batch_s`, or a tenth.
    """
    factor = settings.large_blk_iter_ftr or (16 if settings.num_iter is not None else 1)
    less = factor if work.block_bytes > LARGE_BLOCK_BYTES else 1
    if settings.num_iter is not None:
        count, warmup = settings.num_iter, int(FLAGS["warmup_iter"].default)
    elif work.operations is not None:
        count = -(-work.operations // work.batch) * less
        warmup = -(-count // 10)
    elif batch_s is not None:
        assert work.time_ns is not None, "a point measures operations or time"
        count = round(work.time_ns / 1e9 / batch_s) * less
        warmup = round(work.warmup_ns / 1e9 / batch_s) * less
    else:
        return None
    if settings.warmup_iter is not None:
        warmup = settings.warmup_iter
    return Iterations.rounded(max(count, 1), warmup, factor, work.threads)


def depth(work: Work) -> int:
    """Batches in flight in a thread: `depth` counts them where `wait = batch`."""
    return work.depth or 1 if work.wait == "batch" else 1


def buffer_step_bytes(settings: Any, work: Work) -> int:
    """What the size of the buffers is a multiple of: nixlbench divides it by threads and by devices of each side."""
    step: int = work.threads * math.lcm(settings.num_initiator_dev, settings.num_target_dev)
    return math.lcm(step, HUGE_PAGE_BYTES) if settings.use_hugepages else step


def least_buffer_bytes(settings: Any, work: Work, block_bytes: int, batch: int) -> int:
    """threads x batch x block, for each device and each batch in flight: no two operations share a block."""
    devices: int = max(settings.num_initiator_dev, settings.num_target_dev)
    needed = work.threads * depth(work) * devices * batch * block_bytes
    step = buffer_step_bytes(settings, work)
    return -(-needed // step) * step


def spelled(value: Any) -> str:
    """A flag's value as gflags reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def flags(points: Sequence[Point], counts: Iterations | None, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The flags of one run for points that differ in block and batch alone, in the order of the table.

    `counts` None leaves the iterations to nixlbench. `given` are those that belong to the run: folder, group, port.
    """
    settings: Any = points[0].tier.settings
    work = points[0].work
    blocks, batches = ([getattr(p.work, name) for p in points] for name in ("block_bytes", "batch"))
    values: dict[str, Any] = {
        name: value
        for name, flag in FLAGS.items()
        if flag.said_by is None and (value := getattr(settings, field_of(flag))) is not None
    }
    values |= {
        "op_type": work.op.upper(),
        "initiator_seg_type": work.memory.upper(),
        "start_block_size": min(blocks),
        "max_block_size": max(blocks),
        "start_batch_size": min(batches),
        "max_batch_size": max(batches),
        "num_threads": work.threads,
        "pipeline_depth": depth(work),
    }
    if values.get("total_buffer_size") is None:
        values["total_buffer_size"] = least_buffer_bytes(settings, work, max(blocks), max(batches))
    if counts is not None:
        values |= {
            "num_iter": counts.num_iter,
            "warmup_iter": counts.warmup_iter,
            "large_blk_iter_ftr": counts.large_blk_iter_ftr,
        }
    values |= given or {}
    shown = {name: spelled(values[name]) for name in FLAGS if name in values}
    return {name: text for name, text in shown.items() if name in _ALWAYS or text != FLAGS[name].default}


def argv(program: str, flags: Mapping[str, str], more: Sequence[str] = ()) -> list[str]:
    """The command line. A flag and its value are one word: `--flag value` of a truth value would read as true."""
    return [program, *(f"--{name}={value}" for name, value in flags.items()), *more]


# ---- several points in one run


def grouped(points: Sequence[Point]) -> list[list[Point]]:
    """Points that nixlbench's doubling from the smallest to the largest block and batch reaches together, in its order.

    They are alike but for block and batch, and the counts of their iterations are the same and known.
    """
    alike: dict[Any, list[Point]] = {}
    for point in points:
        alike.setdefault(_likeness(point), []).append(point)
    return [group for members in alike.values() for group in _grids(members)]


def _likeness(point: Point) -> Any:
    settings: Any = point.tier.settings
    counts = iterations(settings, point.work)
    if counts is None or settings.invocation == "point":
        return point.id
    # The data set follows from block and batch; with an `operations` that does not divide, the counts differ.
    same = attrs.evolve(point.work, block_bytes=1, batch=1, keys=1, requests=1)
    return (point.sweep, point.trials, point.tier.name, repr(settings), repr(same), repr(counts))


def _grids(points: Sequence[Point]) -> list[list[Point]]:
    """The whole where it is a full grid; else a chain of blocks for each batch, and what is left alone."""
    by_place = {(p.work.block_bytes, p.work.batch): p for p in points}
    if len(by_place) < len(points):
        return [[point] for point in points]
    blocks, batches = ({place[i] for place in by_place} for i in (0, 1))
    if len(blocks) * len(batches) == len(points) and all(len(_chains(axis)) == 1 for axis in (blocks, batches)):
        return [[by_place[block, batch] for block in sorted(blocks) for batch in sorted(batches)]]
    return [
        [by_place[block, batch] for block in chain]
        for batch in sorted(batches)
        for chain in _chains({b for b, n in by_place if n == batch})
    ]


def _chains(values: set[int]) -> list[list[int]]:
    """Values that follow each other by doubling, each chain as long as it goes."""
    chains = []
    for first in sorted(values):
        if first % 2 == 0 and first // 2 in values:
            continue
        chain = [first]
        while chain[-1] * 2 in values:
            chain.append(chain[-1] * 2)
        chains.append(chain)
    return chains


def process_count(settings: Any) -> int:
    """How many processes kvscen starts."""
    return 1 if settings.start == "first" else processes(settings)
