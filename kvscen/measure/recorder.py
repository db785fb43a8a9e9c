"""What a lane remembers of its operations: histograms, bytes and a timeline, in memory that does not grow with their
number.

Completions are reaped into the recorder's own memory (`room`), so that the hot loop copies none of them; every few
thousand rows they are counted in bulk (`flush`). Recording a latency for every operation then costs little even where
an operation takes a few microseconds.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar, cast

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.measure.histogram import BUCKETS, Histogram, bucket_of, largest, percentile
from kvscen.plugin.contract import (
    COMPLETION,
    ERROR,
    MISS,
    OK,
    OPERATION,
    WRITE,
    Rows,
)

_ROWS = 4096
# The 64-bit words of a completion that everything is made of, and where each is among them.
_WORDS = COMPLETION.itemsize // 8
_FIRST_WORD = COMPLETION.fields["submit"][1] // 8  # type: ignore[index]
_SUBMIT, _END, _BYTES, _WIRE = range(4)
_NEVER = 2**63 - 1
Count = TypeVar("Count", np.uint32, np.int64)
MAX_INTERVALS = 300
MIN_INTERVAL_NS = 100_000_000

#: The columns of OPERATION that are needed, by name.
Columns: TypeAlias = "dict[str, npt.NDArray[Any]]"
#: (operation, unit, phase), e.g. ("read", "block", "latency").
SeriesKey = tuple[str, str, str]


@attrs.define
class Window:
    """The measured window of a trial in ns of the store's clock. `end_ns` is None where operations are counted
    instead of time.
    """

    start_ns: int
    end_ns: int | None


@attrs.define
class Sample:
    """What one worker measured in one trial; lanes and workers are merged by `merge`.

    The window is [window_start_ns, window_end_ns). `load_bytes` counts from the start of the load to its end.
    `interval_*` has one row for each interval of `interval_ns`.
    """

    operations: int = 0
    reads: int = 0
    writes: int = 0
    errors: int = 0
    misses: int = 0
    moved_bytes: int = 0
    wire_bytes: int = 0
    load_bytes: int = 0
    load_errors: int = 0
    first_ns: int = _NEVER
    last_ns: int = 0
    backlog: int = 0
    first_error: str = ""
    series: dict[SeriesKey, Histogram] = attrs.field(factory=dict)
    interval_ns: int = MIN_INTERVAL_NS
    interval_counts: npt.NDArray[np.uint32] = attrs.field(factory=lambda: np.zeros((0, BUCKETS), np.uint32))
    interval_bytes: npt.NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(0, np.int64))
    interval_errors: npt.NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(0, np.int64))

    def histogram(self, key: SeriesKey) -> Histogram:
        found = self.series.get(key)
        if found is None:
            found = self.series[key] = Histogram()
        return found

    def merge(self, other: Sample) -> None:
        """Add another lane's or worker's sample of the same window."""
        for name in (
            "operations",
            "reads",
            "writes",
            "errors",
            "misses",
            "moved_bytes",
            "wire_bytes",
            "load_bytes",
            "load_errors",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.backlog += other.backlog
        self.first_ns = min(self.first_ns, other.first_ns)
        self.last_ns = max(self.last_ns, other.last_ns)
        self.first_error = self.first_error or other.first_error
        for key, histogram in other.series.items():
            self.histogram(key).merge(histogram)
        self.merge_intervals(other)

    def merge_intervals(self, other: Sample) -> None:
        """Add another sample's intervals alone. Both began with intervals of one length and may have halved them."""
        if not len(self.interval_bytes):
            self.interval_ns = other.interval_ns
        while self.interval_ns < other.interval_ns:
            self._halve()
        rows, sizes, errors = other.interval_counts, other.interval_bytes, other.interval_errors
        theirs = other.interval_ns
        while theirs < self.interval_ns:
            rows, sizes, errors, theirs = _pairs(rows), _pairs(sizes), _pairs(errors), theirs * 2
        self._grow(len(rows))
        self.interval_counts[: len(rows)] += rows
        self.interval_bytes[: len(sizes)] += sizes
        self.interval_errors[: len(errors)] += errors

    def _grow(self, length: int) -> None:
        if length > len(self.interval_bytes):
            more = length - len(self.interval_bytes)
            self.interval_counts = np.concatenate([self.interval_counts, np.zeros((more, BUCKETS), np.uint32)])
            self.interval_bytes = np.concatenate([self.interval_bytes, np.zeros(more, np.int64)])
            self.interval_errors = np.concatenate([self.interval_errors, np.zeros(more, np.int64)])

    def _halve(self) -> None:
        self.interval_counts, self.interval_bytes = _pairs(self.interval_counts), _pairs(self.interval_bytes)
        self.interval_errors = _pairs(self.interval_errors)
        self.interval_ns *= 2

    def timeline(self) -> list[dict[str, int | None]]:
        """One row for each interval of the window."""
        rows: list[dict[str, int | None]] = []
        columns = zip(self.interval_counts, self.interval_bytes, self.interval_errors, strict=True)
        for number, (counts, size, errors) in enumerate(columns):
            total = int(counts.sum())
            wide = counts.astype(np.int64)
            rows.append(
                {
                    "start_ns": number * self.interval_ns,
                    "duration_ns": self.interval_ns,
                    "operations": total,
                    "errors": int(errors),
                    "moved_bytes": int(size),
                    "latency_p50_ns": percentile(wide, 0.5, total),
                    "latency_p99_ns": percentile(wide, 0.99, total),
                    "latency_max_ns": largest(wide),
                }
            )
        return rows


def _pairs(array: npt.NDArray[Count]) -> npt.NDArray[Count]:
    """Neighbouring intervals added: half as many, twice as long."""
    if len(array) % 2:
        array = np.concatenate([array, np.zeros((1, *array.shape[1:]), array.dtype)])
    return cast("npt.NDArray[Count]", array[0::2] + array[1::2])


class Groups:
    """Latency of batches and requests: from the first operation's due time to the last one's end.

    Only groups that are still incomplete are kept. A group with a failed operation has no latency. `size` is how many
    operations each has, or an array with a size for each id, which is filled in before its operations end.
    """

    def __init__(self, size: int | npt.NDArray[np.int64]) -> None:
        self.size = size
        none = np.zeros(0, np.int64)
        self._kept = (none, none, none, none, none)  # id, operations seen, first due, last end, failed

    def update(
        self,
        ids: npt.NDArray[np.int64],
        due: npt.NDArray[np.int64],
        end: npt.NDArray[np.int64],
        failed: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Add operations, shape (n,) each; (first due, last end) of the groups now complete, shape (m,) each."""
        rows = (ids, np.ones(len(ids), np.int64), due, end, failed)
        if len(self._kept[0]):
            rows = cast("Any", tuple(np.concatenate(pair) for pair in zip(self._kept, rows, strict=True)))
        if np.count_nonzero(rows[0][1:] < rows[0][:-1]):
            order = np.argsort(rows[0], kind="stable")
            rows = cast("Any", tuple(column[order] for column in rows))
        ids, seen, due, end, failed = rows
        starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
        merged = (
            ids[starts],
            np.add.reduceat(seen, starts),
            np.minimum.reduceat(due, starts),
            np.maximum.reduceat(end, starts),
            np.add.reduceat(failed, starts),
        )
        size = self.size
        complete = merged[1] >= (size if isinstance(size, int) else size[merged[0]])
        self._kept = cast("Any", tuple(column[~complete] for column in merged))
        whole = complete & (merged[4] == 0)
        return merged[2][whole], merged[3][whole]


class Recorder:
    """Records one lane's operations of one trial. `batch` and `request` are operations per batch and per request; where
    requests have no operations of their own `request` is None, and they have no latency; where they differ it is an
    array with a number for each. `interval_ns` is the length of the timeline's intervals, where the caller wants one of
    its own; `kind` is that of all operations, None where they differ.
    """

    def __init__(
        self,
        window: Window,
        batch: int,
        request: int | npt.NDArray[np.int64] | None,
        open_loop: bool,
        interval_ns: int | None = None,
        kind: int | None = None,
    ) -> None:
        self.window = window
        self.sample = Sample()
        self._open_loop = open_loop
        # Which operations are those of the window: in a closed loop those that were submitted in it, or, where
        # operations are counted, those that were asked for after its start, so that they are as many as were asked for.
        self._by_due = open_loop or window.end_ns is None
        self._batches = Groups(batch) if batch > 1 else None
        self._mixed_requests = isinstance(request, np.ndarray)
        alone = request is None or (isinstance(request, int) and request <= 1)
        self._requests = None if request is None or alone else Groups(request)
        self._kind = kind
        needed = {"kind": kind is None, "due": self._by_due, "batch": batch > 1, "request": self._requests is not None}
        self._needed = tuple(name for name, wanted in needed.items() if wanted)
        self._used = 0
        self._allocate(_ROWS)
        length = MIN_INTERVAL_NS
        rows = MAX_INTERVALS
        if window.end_ns is not None:
            span = window.end_ns - window.start_ns
            length = interval_ns or max(length, -(-span // MAX_INTERVALS))
            rows = max(1, -(-span // length))
        self.sample.interval_ns = length
        # Allocated and touched before the window: nothing grows inside it.
        self.sample.interval_counts = np.ones((rows, BUCKETS), np.uint32)
        self.sample.interval_counts[:] = 0
        self.sample.interval_bytes = np.zeros(rows, np.int64)
        self.sample.interval_errors = np.zeros(rows, np.int64)
        for operation in ("read", "write"):
            for unit, phase in (
                ("block", "latency"),
                ("block", "service"),
                ("block", "delay"),
                ("batch", "latency"),
                ("request", "latency"),
            ):
                self.sample.histogram((operation, unit, phase))

    def _allocate(self, rows: int) -> None:
        self._completions = np.zeros(rows, COMPLETION)
        self._completions.view(np.uint8)[:] = 0  # zeros as they come are not touched yet
        self._asked: Columns = {name: np.ones(rows, OPERATION[name]) for name in self._needed}

    def room(self, count: int) -> Rows:
        """Rows of COMPLETION for at least `count` completions, to be reaped into and remembered by `push`."""
        if self._used + count > len(self._completions):
            self.flush()
            if count > len(self._completions):
                self._allocate(2 * count)
        return self._completions[self._used :]

    def push(self, ops: Rows) -> None:
        """Remember the first completions of `room`: those of `ops`, rows of OPERATION in the same order."""
        start, self._used = self._used, self._used + len(ops)
        for name, column in self._asked.items():
            column[start : self._used] = ops[name]

    def flush(self) -> None:
        """Count what was pushed."""
        used, self._used = self._used, 0
        if used:
            asked = {name: column[:used] for name, column in self._asked.items()}
            done = self._completions[:used]
            if not self._count_plain(asked, done):
                self._count_all(asked, done)

    def finish(self, backlog: int = 0) -> Sample:
        """The sample, with the intervals cut to what the window covers and empty series left out."""
        self.flush()
        sample = self.sample
        sample.backlog = backlog
        if not self._open_loop:
            # Nothing waits before its submission in a closed loop: the service is the latency, and is not counted
            # twice.
            for name in ("read", "write"):
                sample.series[name, "block", "service"].merge(sample.series[name, "block", "latency"])
        sample.series = {key: histogram for key, histogram in sample.series.items() if histogram.number}
        if self.window.end_ns is None:
            used = np.flatnonzero(sample.interval_counts.any(axis=1) | (sample.interval_errors > 0))
            rows = int(used[-1]) + 1 if len(used) else 0
            sample.interval_counts = sample.interval_counts[:rows]
            sample.interval_bytes = sample.interval_bytes[:rows]
            sample.interval_errors = sample.interval_errors[:rows]
        return sample

    def _count_plain(self, asked: Columns, done: Rows) -> bool:
        """The common case, several times faster: a closed loop, all operations of one kind, successful,
        asked for and ended in one interval inside the window. False, and nothing counted, where it is another one.
        """
        kind = self._kind
        if kind is None:
            kind = int(asked["kind"][0])
            if np.count_nonzero(asked["kind"] != kind):
                return False
        if self._open_loop or np.count_nonzero(done["outcome"]):
            return False
        sample, window = self.sample, self.window
        # Each word by itself and side by side: one walk through the rows instead of one for each figure.
        words = done.view(np.int64).reshape(-1, _WORDS)[:, _FIRST_WORD : _FIRST_WORD + 4].T.copy()
        submit, end = words[_SUBMIT], words[_END]
        first_submit, first = words[:_BYTES].min(axis=1).tolist()
        last_submit, last = words[:_BYTES].max(axis=1).tolist()
        first_due, last_due = first_submit, last_submit
        if self._by_due:
            first_due, last_due = int(asked["due"].min()), int(asked["due"].max())
        interval = (last - window.start_ns) // sample.interval_ns
        if (
            first_due < window.start_ns
            or (window.end_ns is not None and (last >= window.end_ns or last_due >= window.end_ns))
            or interval >= len(sample.interval_bytes)
            or (first - window.start_ns) // sample.interval_ns != interval
        ):
            return False
        count = len(done)
        size, wire = words[_BYTES:].sum(axis=1).tolist()
        sample.load_bytes += size
        sample.moved_bytes += size
        sample.wire_bytes += wire
        sample.operations += count
        name = "write" if kind == WRITE else "read"
        if kind == WRITE:
            sample.writes += count
        else:
            sample.reads += count
        sample.first_ns = min(sample.first_ns, first_submit)
        sample.last_ns = max(sample.last_ns, last)
        counts = sample.series[name, "block", "latency"].add(end - submit)
        sample.interval_counts[interval] += counts.astype(np.uint32)
        sample.interval_bytes[interval] += size
        if self._batches or self._requests:
            self._count_groups(asked, submit, end, np.zeros(count, np.int64), name)
        return True

    def _count_all(self, asked: Columns, done: Rows) -> None:
        sample, window = self.sample, self.window
        outcome, end, submit, moved = done["outcome"], done["end"], done["submit"], done["bytes"]
        due = asked["due"] if self._by_due else submit
        # In a closed loop the latency runs from the submission, whenever the operation was asked for.
        begin = due if self._open_loop else submit
        good = outcome == OK
        sample.load_bytes += int(moved[good].sum())
        sample.load_errors += int((outcome == ERROR).sum())

        due_inside = due >= window.start_ns
        if window.end_ns is None:
            ended_inside = due_inside
        else:
            due_inside &= due < window.end_ns
            ended_inside = (end >= window.start_ns) & (end < window.end_ns)
        bytes_inside = good & ended_inside
        sample.moved_bytes += int(moved[bytes_inside].sum())
        sample.wire_bytes += int(done["wire_bytes"][bytes_inside].sum())
        sample.operations += int(bytes_inside.sum())
        sample.errors += int(((outcome == ERROR) & ended_inside).sum())
        sample.misses += int(((outcome == MISS) & ended_inside).sum())
        is_write = asked["kind"] == WRITE if self._kind is None else np.full(len(done), self._kind == WRITE)
        sample.writes += int((bytes_inside & is_write).sum())
        sample.reads += int((bytes_inside & ~is_write).sum())
        if due_inside.any():
            sample.first_ns = min(sample.first_ns, int(submit[due_inside].min()))
            sample.last_ns = max(sample.last_ns, int(end[due_inside].max()))

        latency, service = end - begin, end - submit
        timed = good & due_inside
        for name, of_kind in (("read", timed & ~is_write), ("write", timed & is_write)):
            if not of_kind.any():
                continue
            sample.series[name, "block", "latency"].add(latency[of_kind])
            if self._open_loop:
                sample.series[name, "block", "service"].add(service[of_kind])
                sample.series[name, "block", "delay"].add((submit - due)[of_kind])
        missed = (outcome == MISS) & due_inside
        if missed.any():
            sample.histogram(("miss", "block", "latency")).add(latency[missed])
        # A batch of mixed operations is counted with the reads: it is complete when its last operation is.
        name = "write" if is_write.all() else "read"
        self._count_groups(asked, begin, end, (outcome != OK).astype(np.int64), name)
        self._count_intervals(end[bytes_inside], moved[bytes_inside], latency[bytes_inside])
        self._count_errors(end[(outcome == ERROR) & ended_inside])

    def _count_groups(
        self,
        asked: Columns,
        due: npt.NDArray[np.int64],
        end: npt.NDArray[np.int64],
        failed: npt.NDArray[np.int64],
        name: str,
    ) -> None:
        for unit, groups in (("batch", self._batches), ("request", self._requests)):
            if groups is None:
                continue
            first_due, last_end = groups.update(asked[unit].astype(np.int64), due, end, failed)
            inside = first_due >= self.window.start_ns
            if self.window.end_ns is not None:
                inside &= first_due < self.window.end_ns
            if unit == "request" and self._mixed_requests:
                name = "read"
            self.sample.series[name, unit, "latency"].add((last_end - first_due)[inside])

    def _count_intervals(
        self, end: npt.NDArray[np.int64], moved: npt.NDArray[np.int64], latency: npt.NDArray[np.int64]
    ) -> None:
        if not len(end):
            return
        interval = self._intervals(end)
        sample = self.sample
        np.add.at(sample.interval_counts.reshape(-1), interval * BUCKETS + bucket_of(latency), 1)
        sample.interval_bytes += np.bincount(interval, weights=moved, minlength=len(sample.interval_bytes)).astype(
            np.int64
        )

    def _count_errors(self, end: npt.NDArray[np.int64]) -> None:
        if len(end):
            interval = self._intervals(end)
            self.sample.interval_errors += np.bincount(interval, minlength=len(self.sample.interval_errors))

    def _intervals(self, end: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The interval of each time of the window. Where they reach beyond the last one, all become twice as long."""
        sample = self.sample
        since = end - self.window.start_ns
        while int(since.max()) // sample.interval_ns >= len(sample.interval_bytes):
            rows = len(sample.interval_bytes)
            sample._halve()
            sample._grow(rows)
        interval: npt.NDArray[np.int64] = since // sample.interval_ns
        return interval
