"""The contract between the core and a driver.

A driver is light to import: its module imports nothing heavy at the top. What touches the machine happens in `probe` (a
child process with a time limit) and in `open` (the worker process). The contract is provisional: `API_VERSION` says
which one a driver was written for.

Who calls what, in a worker process, for one point:

    store = driver.open(tier, work, levels)
    arena = store.allocate(nbytes, work.memory)
    lanes = [store.lane(i, arena) for i in range(work.threads)]
    missing = store.prepare(layout)             # the core writes the missing keys through the lanes
    per trial: store.reset(); the hot loop: lane.submit / lane.reap, each lane in a thread of its own
    lane.close() for each; arena.close(); store.close()

Where workers are ranks (`work.traffic`), in each of them:

    store = driver.open(tier, work, ()); arena = store.allocate(...); lane = store.lane(0, arena)
    inbox = store.offer(nbytes)
    store.meet([the cards of all ranks])        # then lane.submit / lane.reap, step by step
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.cache import TieredCache
from kvscen.language.codes import RuleText
from kvscen.language.schema import Finding
from kvscen.plan.point import Point, Tier, Work
from kvscen.plugin.exchange import CommandLine, Importer
from kvscen.plugin.peer import Load, Peer

if TYPE_CHECKING:
    import click

API_VERSION = 1

READ, WRITE, LOOKUP, DISCARD = 0, 1, 2, 3
#: Names of the operation kinds, by number.
KINDS = ("read", "write", "lookup", "discard")

OK, MISS, ERROR = 0, 1, 2

#: The `buffer` of an operation that is to have any of the lane's own (`Lane.limit`).
ANY_BUFFER = 2**64 - 1

#: The `request` of an operation whose block belongs to no request alone.
NO_REQUEST = 2**64 - 1

#: One operation. `key` is the block, `offset` and `bytes` the range in it, `buffer` the byte offset in the arena where
#: the data goes to or comes from, `due` the time in ns of the store's clock at which it should be submitted. `batch`
#: and `request` are numbers within a lane.
OPERATION = np.dtype(
    [
        ("id", "<u8"),
        ("key", "<u8"),
        ("offset", "<u8"),
        ("bytes", "<u8"),
        ("buffer", "<u8"),
        ("batch", "<u8"),
        ("request", "<u8"),
        ("due", "<i8"),
        ("kind", "u1"),
        ("pad", "u1", 7),
    ]
)

#: One completion. Times are ns of the store's clock. `bytes` is what was really moved for the caller, `wire_bytes` what
#: crossed a wire (0 where there is none), `level` which level of a tiered tier served it, `errno` why it failed.
COMPLETION = np.dtype(
    [
        ("id", "<u8"),
        ("submit", "<i8"),
        ("end", "<i8"),
        ("bytes", "<i8"),
        ("wire_bytes", "<i8"),
        ("errno", "<i4"),
        ("outcome", "u1"),
        ("level", "u1"),
        ("pad", "u1", 2),
    ]
)

#: The rows as plain bytes, for copying them: `rows.view(RAW_OPERATION)`. numpy copies rows with fields field by field,
#: ten times slower.
RAW_OPERATION = np.dtype(f"V{OPERATION.itemsize}")
RAW_COMPLETION = np.dtype(f"V{COMPLETION.itemsize}")

Rows: TypeAlias = npt.NDArray[np.void]


class Decided(NamedTuple):
    """What a cache decided about the blocks of a request: for each the level that had it, -1 where none did; and which
    are to be written, in this order."""

    found: list[int]
    writes: list[int]


Memory: TypeAlias = Literal["dram", "vram"]
PathKind: TypeAlias = Literal[
    "direct",
    "page cache",
    "memory",
    "p2p",
    "nvfs",
    "compat",
    "tcp",
    "unix socket",
    "rdma",
    "shm",
    "simulated",
    "mixed",
    "unknown",
]


class DriverError(Exception):
    """A driver cannot do what was asked. The message is one sentence for the user; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class Lost(DriverError):
    """This process can no longer use the tier (a GPU that failed): the next point gets a fresh one."""


class Unavailable(DriverError):
    """This tier cannot be used on this machine: its points end as `unavailable`, which is no failure of the run."""


@attrs.frozen
class Availability:
    """What a probe found. `facts` are for `kvscen drivers` and environment.json."""

    ok: bool
    reason: str = ""
    remedy: str = ""
    facts: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Limits:
    """What a store asks of the core. `alignment_bytes` rounds the stride and the length of every operation.

    `pipelined`: the lanes know `Lane.limit` for this work. They are then given operations ahead of time, so that the
    tier need not wait for the core, and the core is asked once for many.
    """

    alignment_bytes: int = 1
    max_in_flight: int = 4096
    pipelined: bool = False


@attrs.frozen
class Layout:
    """`keys` blocks of `block_bytes`, each in a slot of `stride_bytes`. `first_key` is this worker's first one:
    it touches keys first_key <= key < first_key + keys; all workers together touch `total_keys`."""

    keys: int
    block_bytes: int
    stride_bytes: int
    first_key: int = 0
    total_keys: int = 0


@attrs.frozen
class Footprint:
    """What a point will take: host memory and disk space, in bytes (at most), without looking at the machine."""

    memory_bytes: int = 0
    disk_bytes: int = 0


@attrs.frozen
class PathReport:
    """Which way the bytes went and how that is known. "mixed": several ways, which the evidence names."""

    kind: PathKind
    evidence: str


@attrs.frozen
class Measure:
    """A column that a driver adds to trials.parquet. `type` is "int64", "float64" or "string"."""

    name: str
    type: Literal["int64", "float64", "string"]
    unit: str
    description: str


class Arena:
    """Memory that operations read from and write to. `view` is a writable uint8 array of `nbytes`, `address` its first
    byte, `pages` what it is made of ("huge", "small", "pinned"...). The core fills and compares it by `put` and `get`.

    Where the processor cannot reach the memory (a GPU's) `view` is empty, and `nbytes`, `put` and `get` are overridden.
    """

    view: npt.NDArray[np.uint8]
    address: int
    pages: str = "unknown"

    @property
    def nbytes(self) -> int:
        return int(self.view.nbytes)

    def put(self, first: int, nbytes: int, data: npt.NDArray[np.uint8] | int) -> None:
        """Fill bytes `first` <= byte < `first + nbytes` with an array of that length, or with one value."""
        self.view[first : first + nbytes] = data

    def get(self, first: int, nbytes: int) -> npt.NDArray[np.uint8]:
        """What bytes `first` <= byte < `first + nbytes` hold: the memory itself, or a copy. For reading."""
        return self.view[first : first + nbytes]

    def close(self) -> None:
        """Give the memory back. No operation is in flight."""


@attrs.frozen
class Inbox:
    """Memory of a rank that other ranks write to. `card` is what they need to reach it."""

    arena: Arena
    card: bytes


class Lane:
    """One thread's way to the tier. Used by one thread at a time, except for `close`.

    A buffer is lent from submit to reap: nobody touches it meanwhile. An accepted operation may be started at the next
    `reap` at the latest. Every accepted operation is reaped exactly once, whatever became of it.

    `cpus` is where its thread had better run, for a lane with threads of its own; empty: anywhere. What the scenario
    says of CPUs comes first.
    """

    cpus: frozenset[int] = frozenset()

    def submit(self, ops: Rows) -> int:
        """Accept the first n of `ops` (rows of OPERATION), return n, 0 when full. Never blocks; `ops` is not kept."""
        raise NotImplementedError

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        """Put finished operations into `out` (rows of COMPLETION), return how many; wait until `at_least` are there or
        `timeout_ns` has passed. An operation that failed is a row with `outcome = ERROR` and `errno`.
        """
        raise NotImplementedError

    def limit(self, in_flight: int) -> None:
        """From now on have at most so many in flight. What is accepted beyond them waits in the lane and starts as
        others end, in the order of submission, while `reap` waits; `submit` of its completion is when it started.

        With `wait = batch` whole batches are held back: one starts when one before it has ended, and its operations get
        neighbouring parts, in their order. The lane then accepts whatever it is given.

        Such operations come with `ANY_BUFFER`: when one starts, the lane gives it one of `in_flight` equal parts of the
        arena, the one that was free last. More buffers than operations in flight would fall out of the processor's
        cache, and a disk that is another machine's memory was up to a sixth slower then. Operations with buffers of
        their own start as ever; the two kinds are never in flight together. Only asked of the lanes of a store whose
        limits are `pipelined`, and before their first operation.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what the lane holds. Operations in flight may be abandoned."""


class Store:
    """One tier in one worker."""

    limits: Limits = Limits()
    #: True where `clock` is moved by the lanes instead of by the machine: of a `VirtualStore`.
    virtual: bool = False

    def clock(self) -> int:
        """Nanoseconds. The machine's monotonic clock unless the store is virtual."""
        return time.perf_counter_ns()

    def allocate(self, nbytes: int, memory: Memory) -> Arena:
        """Buffers as this driver needs them: touched, registered, pinned. Raises DriverError."""
        raise NotImplementedError

    def prepare(self, layout: Layout) -> Sequence[int]:
        """Make room for the layout's keys and return those that hold no data yet (a range or an array); the core
        then writes them through the lanes with content that does not compress. Raises DriverError.
        """
        raise NotImplementedError

    def lane(self, index: int, arena: Arena) -> Lane:
        raise NotImplementedError

    def decide(self, request: Sequence[int], look_up: bool = True) -> Decided | None:
        """Of a cache, for requests that are known before (`work.replay`): look up all blocks of a request, as they are
        before it, then decide at once what becomes of each. The core submits a read of each that was found, in the
        order of the request, then the writes in their order; all of a request before any of the next. A block that was
        found may have to be written as well, where the request itself pushed it out. Without `look_up` all are written
        and none is looked for. The lane carries out what was decided, and `reset` empties the cache. None: the tier is
        no cache, and keeps every block that it is given.
        """
        return None

    def occupancy(self) -> Sequence[int]:
        """Of a cache: the blocks that each of its levels holds, as has been decided so far."""
        return ()

    def offer(self, nbytes: int) -> Inbox:
        """Of a tier whose workers are ranks (`Driver.ranks`, `work.traffic`): this rank's memory that the others write
        to. Called once, after `lane`. Raises DriverError."""
        raise NotImplementedError

    def meet(self, cards: Sequence[bytes]) -> None:
        """What `offer` gave in each rank, by rank, this one's own included. From now on the key of an operation is a
        rank and its offset a byte of that rank's inbox; all operations write. Called again where ranks have been opened
        anew. Raises DriverError.

        A rank that waits for others calls `reap` again and again with nothing in flight, for 0 operations and 0 ns: a
        driver whose transfers take both sides helps them along there.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """After the core has written: make the data durable where that matters (fsync). Not in the measured window. It
        may take as long as the sweep's `sync_timeout`.
        """

    def reset(self) -> None:
        """Between trials. It may take as long as `settle`."""

    def recount(self) -> None:
        """Begin to count anew what `edges` and `measures` tell, and keep what is there."""

    def counters(self) -> Mapping[str, int]:
        """Running totals, read before and after the load: "device_read_bytes", "device_write_bytes", "wire_bytes"..."""
        return {}

    def edges(self) -> Sequence[Mapping[str, Any]]:
        """Rows for tiers.parquet since `reset` (tiered tiers): see kvscen.results.schema.TIERS."""
        return ()

    def measures(self) -> Mapping[str, int | float | str | None]:
        """Values for the driver's own columns (`Driver.measures`) since `reset`. Those of several ranks are put
        together: whole numbers added up, others averaged."""
        return {}

    def path(self) -> PathReport:
        return PathReport("unknown", "the driver does not say")

    def locate(self, key: int) -> str:
        """Where a block lies, for the message of an operation that failed: "kv-data/blocks.data at 157286400"."""
        return f"block {key}"

    def check(self) -> None:
        """After the load: raises DriverError where the data is no longer what was laid out (a file that was truncated
        or replaced under the run), although no operation may have failed.
        """

    def ceiling(self, load: Load) -> Peer:
        """The program that `work.ceiling` names, ready to repeat this load on the same blocks, without laying out or
        losing any. Asked only where `Driver.ceilings` has it. Raises DriverError where it cannot.
        """
        raise DriverError("no ceiling: the driver has nothing to hold against")

    def close(self) -> None:
        """Let go of everything."""


class Driver:
    """What an entry point in the group `kvscen.drivers` loads: a subclass of this. Made without arguments."""

    name: ClassVar[str]
    summary: ClassVar[str]
    api_version: ClassVar[int] = API_VERSION
    #: An attrs class, declared with kvscen.plugin.setting.
    settings: ClassVar[type]
    operations: ClassVar[frozenset[str]] = frozenset({"read", "write", "mixed"})
    memory: ClassVar[frozenset[str]] = frozenset({"dram"})
    measures: ClassVar[tuple[Measure, ...]] = ()
    #: What `ceiling` may name in a sweep: programs that do the same work on this driver's tiers (`Store.ceiling`).
    ceilings: ClassVar[frozenset[str]] = frozenset()
    #: Other tools' files that it turns into scenarios: `kvscen import NAME FILES`.
    importers: ClassVar[tuple[Importer, ...]] = ()
    #: Whether workers can write to each other's memory (pattern `matrix`): then its stores know `offer` and `meet`.
    ranks: ClassVar[bool] = False
    #: How many client processes can share a tier; None: any number.
    max_processes: ClassVar[int | None] = None
    #: The name of the setting that lists lower tiers, for composed drivers.
    levels_setting: ClassVar[str | None] = None
    #: Whether its stores are `VirtualStore`s. A composed driver's are where those of all levels are.
    virtual: ClassVar[bool] = False
    #: What the pages of its own codes say, those that `lint` and `lint_here` report: `kvscen explain` shows them, and
    #: scenarios can allow them. They begin with letters of the driver's own (`FILES001`); `KVS` is kvscen's.
    rules: ClassVar[tuple[RuleText, ...]] = ()

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        """What can be said from the text alone about this tier doing this work."""
        return ()

    def lint_here(self, tier: Tier, work: Work) -> Iterable[Finding]:
        """What more can be said on this machine, asked by `kvscen lint --here`. It looks and changes nothing, and
        answers within a second or so: one that does not answer is left alone."""
        return ()

    def most_bytes_per_s(self, tier: Tier, work: Work) -> Fraction | None:
        """What the tier lets through at most by its own settings (a simulated bandwidth, a link whose rate is given);
        None: nothing in the text says. An expectation above it cannot be met."""
        return None

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        return Footprint()

    def level_work(self, tier: Tier, work: Work, level: int) -> Work:
        """Of a composed driver: what `tier.levels[level]` is asked for when the tier is asked for `work`.

        The level's driver lints it, gives its footprint and opens the level with it.
        """
        return work

    def cache(self, tier: Tier, work: Work) -> TieredCache | None:
        """Of a driver whose tiers are caches: the bookkeeping of one, empty, without opening anything; for predictions.
        It decides about requests (`work.replay`) as an open store does (`Store.decide`), of blocks without padding.
        None: the tier keeps every block that it is given. Raises DriverError.
        """
        return None

    def server(self) -> click.Command | None:
        """What `kvscen serve NAME` runs: its own server, for tiers on other machines. None: it has none."""
        return None

    def probe(self, tier: Tier | None) -> Availability:
        """Can this run here? `tier` None asks about the machine in general. Runs in a child with a time limit."""
        return Availability(True)

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        """Called in the worker. `levels` are the open stores of `tier.levels`. Raises DriverError or Unavailable."""
        raise NotImplementedError


@attrs.frozen
class ToolRow:
    """What a tool measured for one trial of a point. `measures` are columns of trials.parquet. A point that ends as
    `hang` or `unavailable` is not tried again in its further trials."""

    point_id: str
    status: Literal["ok", "incomplete", "hang", "error", "corrupt", "unavailable"]
    reason: str = ""
    measures: Mapping[str, int | float | str | None] = attrs.field(factory=dict)


class Tool(Driver):
    """A driver that takes whole points instead of operations: it runs another program. It has no Store."""

    def group(self, points: Sequence[Point]) -> Sequence[Sequence[Point]]:
        """Points that one invocation measures together, each in one group. They are of one sweep, all to be measured
        in the same trial. Default: each alone."""
        return [[point] for point in points]

    async def run(self, points: Sequence[Point], trial: int, folder: Path, deadline_s: float) -> Sequence[ToolRow]:
        """Measure one trial of a group. `folder` is fresh and its own; raw output is kept there. Runs under trio and is
        cancelled at the deadline: it must kill its whole process group then."""
        raise NotImplementedError

    def command_lines(self, points: Sequence[Point], verbatim: bool) -> Sequence[CommandLine]:
        """What `kvscen plan --as NAME` prints: how a user would run the program for these points, of tiers of this
        driver and of others. `verbatim`: as the tool prints it that people use for it. Raises DriverError where it has
        no such thing.
        """
        raise DriverError(
            f"the driver `{self.name}` has no {'such ' if verbatim else ''}command lines to print", "use another one"
        )


class Source(Protocol):
    """In the core, made from the pattern: what a lane asks for work."""

    def next(self, count: int, now: int) -> Rows: ...

    def done(self, completions: Rows) -> None: ...


Clock: TypeAlias = Callable[[], int]
