"""fio as the ceiling beside a figure: the command line that repeats a trial's load on the same blocks, and what it
says.

fio's threads (`--thread`) stand for our lanes: they are one process, which ends as a whole. Nothing is laid out,
unlinked or invalidated: the jobs cover exactly the blocks that are there.

Two of fio's habits would make this a comparison of pages instead of programs. Its buffers are of 4 KiB pages unless
glibc is told otherwise (`GLIBC_TUNABLES`), and glibc gives huge pages to nothing below 2 MiB, so a pool of 16 buffers
of 64 KiB has none: such a fio reads half as fast (docs/methodology.md). Its pool has room for the largest of its block
sizes, the one of trims included, which it never does here: that one is set so that the pool reaches 4 MiB. What fio
really had is read from the kernel while it runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import attrs

from kvscen.plugin import DriverError, Load, Peer, PeerFigures, Work

#: fio's name for each of our engines.
ENGINES = {"io_uring": "io_uring", "libaio": "libaio", "threads": "psync"}

_HUGE_PAGE = 2 << 20
_LEAST_POOL = 2 * _HUGE_PAGE
_PERCENTILES = {"p50": Fraction(50), "p99": Fraction(99), "p999": Fraction(999, 10)}
#: As everywhere in kvscen: a percentile is printed where so many operations lie above it.
_OPERATIONS_ABOVE = 10
#: Below this fio's clock (ms) and its threads' start would be the figure.
_LEAST_WINDOW_NS = 100_000_000


@attrs.frozen
class Extent:
    """Where the blocks of a lane lie: `nbytes` of a file, from `offset` on."""

    file: Path
    offset: int
    nbytes: int


def why_not(work: Work, layout: str, engine: str) -> str | None:
    """Why fio cannot repeat this work on files of this layout, as a sentence; None where it can."""
    if work.memory == "vram":
        return "fio's buffers are in host memory"
    if layout == "block":
        return "fio would have to be told a file for each block"
    if work.rate_per_s is not None:
        return "the rate of an open loop is the scenario's, so there is no ceiling to hold it against"
    if work.wait == "batch" and engine == "threads":
        return "fio's threads do not wait for each other's batch"
    if work.order == "strided":
        return "fio's strides leave blocks out: it would touch others than `order = strided` does"
    if work.order == "zipf" and work.skew == 1:
        return "fio refuses a skew of exactly 1"
    return None


@attrs.frozen
class FioPeer(Peer):
    """One run of fio. `how` is what it does: its engine."""

    how: str = ""

    name: ClassVar[str] = "fio"
    missing: ClassVar[str] = (
        "no ceiling: fio is not installed here; get it with `apt-get install fio` or `dnf install fio`"
    )

    def observe(self, pid: int) -> str:
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() != self.name:  # not started yet
                return ""
            return pages_of(Path(f"/proc/{pid}/smaps").read_text())
        except OSError:  # it has just ended
            return ""

    def read(self, output: str, observed: str) -> PeerFigures:
        return figures_of(output, self.how, observed)


def peer(
    load: Load, extents: Sequence[Extent], engine: str, *, direct: bool, registered: bool = False, cold: bool = False
) -> FioPeer:
    """fio for a load whose lanes' blocks lie in `extents`, one for each; `cold`: out of the page cache first. Raises
    DriverError where fio would have to lay out data."""
    for extent in extents:
        if not extent.file.exists() or extent.file.stat().st_size < extent.offset + extent.nbytes:
            raise DriverError(f"no ceiling: {extent.file} does not hold all blocks, and fio must not lay them out")
    window_ns = max(load.window_ns, _LEAST_WINDOW_NS)
    argv = (
        *("fio", "--output-format=json", "--eta=never", "--group_reporting", "--thread", "--exitall_on_error"),
        *_target(load, direct, cold),
        *_order(load.work),
        *_engine(load, engine, registered),
        *_buffers(load, engine),
        f"--runtime={_ms(window_ns)}ms",
        "--time_based",
        *([f"--ramp_time={_ms(load.work.warmup_ns)}ms"] if load.work.warmup_ns else []),
        *("--unified_rw_reporting=mixed", "--lat_percentiles=1", "--clat_percentiles=0"),
        "--percentile_list=" + ":".join(f"{float(p):g}" for p in _PERCENTILES.values()),
        *_jobs(load, extents, engine),
    )
    tunables = f"glibc.malloc.hugetlb={int(load.pages != 'small')}"
    how = ENGINES[engine] + (" with registered buffers and files" if registered else "")
    return FioPeer(argv, {"GLIBC_TUNABLES": tunables}, (window_ns + load.work.warmup_ns) / 1e9, how)


def _ms(time_ns: int) -> int:
    return -(-time_ns // 10**6)


def _target(load: Load, direct: bool, cold: bool) -> Iterator[str]:
    yield from (f"--direct={int(direct)}", f"--invalidate={int(cold)}")
    yield from ("--allow_file_create=0", "--overwrite=1", "--fallocate=none")
    if load.work.op == "read":
        yield "--readonly"
        return
    # Our buffers are written again and again as they are; fio would stir them each time.
    yield "--scramble_buffers=0"
    if load.work.durability == "each":
        yield "--sync=dsync"
    elif load.work.durability == "end":
        yield "--end_fsync=1"


def _order(work: Work) -> Iterator[str]:
    verb = {"read": "read", "write": "write", "mixed": "rw"}[work.op]
    yield f"--rw={verb}" if work.order == "sequential" else f"--rw=rand{verb}"
    if work.op == "mixed":
        yield f"--rwmixread={round(work.read_share * 100)}"
    if work.order == "zipf" and work.skew:
        yield f"--random_distribution=zipf:{float(work.skew):g}"
    yield f"--randseed={work.seed + 1}"


def _engine(load: Load, engine: str, registered: bool) -> Iterator[str]:
    yield f"--ioengine={ENGINES[engine]}"
    if registered:
        yield from ("--fixedbufs=1", "--registerfiles=1")
    if engine == "threads":
        return
    yield f"--iodepth={load.depth}"
    if load.work.wait == "batch":
        batch = min(load.work.batch, load.depth)
        yield from (f"--iodepth_batch={batch}", f"--iodepth_batch_complete_min={batch}")
        if batch == load.depth:
            yield "--iodepth_low=1"


def _buffers(load: Load, engine: str) -> Iterator[str]:
    """Block size, and a pool of buffers that can have huge pages where ours do."""
    stride = load.stride_bytes
    if load.pages == "small":
        yield f"--bs={stride}"
        return
    pool = stride * (1 if engine == "threads" else load.depth)
    # An odd multiple, so that buffers do not all fall on the same lines of the processor's cache.
    room = math.ceil(_LEAST_POOL / pool) | 1
    yield f"--bs={stride},{stride},{stride * room}" if room > 1 else f"--bs={stride}"
    yield f"--iomem_align={_HUGE_PAGE}"


def _jobs(load: Load, extents: Sequence[Extent], engine: str) -> Iterator[str]:
    cpus = _cpus(load.work)
    for number, extent in enumerate(extents):
        each = load.depth if engine == "threads" else 1
        parts, copies = [extent], each
        if load.work.order == "sequential" and each > 1:
            # Our threads share one sequence; fio's would all walk through the same blocks.
            parts, copies = _split(extent, load.stride_bytes, each), 1
        for part in parts:
            yield f"--name=lane{number}"
            # A colon separates names for fio.
            yield "--filename=" + str(part.file.absolute()).replace(":", "\\:")
            yield f"--offset={part.offset}"
            yield f"--size={part.nbytes}"
            if copies > 1:
                yield f"--numjobs={copies}"
            if cpus:
                yield f"--cpus_allowed={cpus[number % len(cpus)]}"


def _split(extent: Extent, stride: int, parts: int) -> list[Extent]:
    """Nearly equal parts of whole blocks; where there are fewer blocks than parts, the whole for each."""
    blocks = extent.nbytes // stride
    if blocks < parts:
        return [extent] * parts
    ends = [blocks * (part + 1) // parts for part in range(parts)]
    starts = [0, *ends[:-1]]
    return [
        Extent(extent.file, extent.offset + first * stride, (end - first) * stride)
        for first, end in zip(starts, ends, strict=True)
    ]


def _cpus(work: Work) -> list[str]:
    """The CPUs of each lane, in turn, as fio spells them; none: any."""
    if work.cpus is not None:
        return [str(cpu) for cpu in work.cpus]
    if work.numa_node is not None:
        return [Path(f"/sys/devices/system/node/node{work.numa_node}/cpulist").read_text().strip()]
    return []


def pages_of(smaps: str) -> str:
    """What the large private mappings of a process are made of, from its /proc/PID/smaps: "huge pages", "small pages",
    "mixed pages"; empty where nothing of them is touched yet."""
    touched = huge = 0
    inside = False
    for line in smaps.splitlines():
        fields = line.split()
        if not fields[0].endswith(":"):
            first, last = (int(part, 16) for part in fields[0].split("-"))
            inside = len(fields) == 5 and fields[1].endswith("p") and last - first >= _HUGE_PAGE
        elif inside and fields[0] == "Rss:":
            touched += int(fields[1])
        elif inside and fields[0] == "AnonHugePages:":
            huge += int(fields[1])
    if not touched:
        return ""
    # Ends of a pool that fill no huge page, and the stacks of threads, are a small part.
    return "huge pages" if huge >= 0.85 * touched else "mixed pages" if huge else "small pages"


def figures_of(output: str, how: str, pages: str) -> PeerFigures:
    """What fio measured, from its JSON (notes may stand before it). Raises DriverError."""
    try:
        report: dict[str, Any] = json.loads(output[output.index("{") :])
        (job,) = report["jobs"]
        mixed = job["mixed"]
        count, rate = int(mixed["total_ios"]), float(mixed["iops"])
        error = int(job["error"])
        found = {float(name): int(value) for name, value in mixed["lat_ns"].get("percentile", {}).items()}
        version = str(report["fio version"])
    except (ValueError, KeyError, TypeError) as problem:
        raise DriverError(f"no ceiling: fio's output cannot be read ({type(problem).__name__}: {problem})") from None
    if error or not count or rate <= 0:
        raise DriverError(f"no ceiling: fio completed {count} operations and reports the error {error}")
    above = {name: count * (1 - p / 100) for name, p in _PERCENTILES.items()}
    return PeerFigures(
        tool=f"{version} {how}, {pages or 'pages not known'}",
        operations_per_s=rate,
        latency_ns={
            name: found[float(p)]
            for name, p in _PERCENTILES.items()
            if float(p) in found and above[name] >= _OPERATIONS_ABOVE
        },
    )
