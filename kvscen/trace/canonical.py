"""The canonical form of a trace: one row for a request, in the order of arrival, as Arrow record batches.

Names and types are a public interface: VERSION changes with them.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import attrs
import numpy as np
import numpy.typing as npt
import pyarrow as pa

import kvscen
from kvscen.results.schema import Column, field
from kvscen.trace.errors import Place, out_of_order

VERSION = "1"

Int64s = npt.NDArray[np.int64]

COLUMNS: tuple[Column, ...] = (
    Column(
        "arrival_ns", "int64", "ns", "when the request came, since the first one; null where the trace has no times"
    ),
    Column("session", "int64", None, "conversation, user or agent, numbered from 0; null where the trace names none"),
    Column("turn", "int32", None, "number of the request in its session, from 1; null where it is not known"),
    Column("input_tokens", "int64", "tokens", "the prompt, what earlier turns left in it included"),
    Column("output_tokens", "int64", "tokens", "generated tokens"),
    Column("type", "dictionary", None, "kind of the request, as the trace has it"),
    Column("model", "dictionary", None, "model that was asked, as the trace has it"),
    Column("block_ids", "list of int64", None, "blocks of the prompt in order; equal ids, one block; null without any"),
)
SCHEMA = pa.schema([field(column) for column in COLUMNS])

#: A batch ends with the row that reaches one of these: what is in memory at a time is bounded.
BATCH_ROWS = 8192
BATCH_IDS = 1 << 20


@attrs.frozen
class About:
    """What holds for a whole trace. `block_tokens` is None where it has no block ids; `notes` say what it cannot tell
    and by which rules its figures were made."""

    format: str
    source: str
    block_tokens: int | None
    notes: tuple[str, ...] = ()

    def schema(self) -> pa.Schema:
        metadata = {
            "kvscen.trace.version": VERSION,
            "kvscen.version": kvscen.__version__,
            "kvscen.trace.format": self.format,
            "kvscen.trace.source": self.source,
            "kvscen.trace.notes": "\n".join(self.notes),
        }
        if self.block_tokens is not None:
            metadata["kvscen.trace.block_tokens"] = str(self.block_tokens)
        return SCHEMA.with_metadata(metadata)


def about_of(metadata: Mapping[bytes, bytes]) -> About:
    """What `schema` wrote. KeyError or ValueError where it is not there."""
    get = {key.decode(): value.decode() for key, value in metadata.items()}.__getitem__
    tokens = int(get("kvscen.trace.block_tokens")) if b"kvscen.trace.block_tokens" in metadata else None
    notes = tuple(line for line in get("kvscen.trace.notes").split("\n") if line)
    return About(get("kvscen.trace.format"), get("kvscen.trace.source"), tokens, notes)


class Arrivals:
    """Times as they come, made relative to the first; refuses one that goes back, unless the rows are sorted later."""

    def __init__(self, sorted_later: bool) -> None:
        self._sorted_later = sorted_later
        self._first_ns: int | None = None
        self._last_ns = 0

    def next(self, absolute_ns: int, place: Place) -> int:
        if self._first_ns is None:
            self._first_ns = self._last_ns = absolute_ns
        if absolute_ns < self._last_ns and not self._sorted_later:
            raise out_of_order(place, absolute_ns, self._last_ns)
        self._last_ns = absolute_ns
        return absolute_ns - self._first_ns

    def next_many(self, absolute_ns: Int64s) -> tuple[Int64s, int | None]:
        """(times since the first, index of the first that goes back)."""
        if self._first_ns is None:
            self._first_ns = self._last_ns = int(absolute_ns[0])
        back = np.flatnonzero(np.diff(absolute_ns, prepend=self._last_ns) < 0)
        if len(back) and not self._sorted_later:
            return absolute_ns, int(back[0])
        self._last_ns = int(absolute_ns[-1])
        return absolute_ns - self._first_ns, None

    @property
    def last_ns(self) -> int:
        return self._last_ns


class Numbers:
    """Names to numbers from 0, in the order in which they come."""

    def __init__(self) -> None:
        self._known: dict[object, int] = {}

    def of(self, name: object) -> int:
        return self._known.setdefault(name, len(self._known))


class Rows:
    """Rows one by one, to record batches."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._columns: dict[str, list[int | str | None]] = {c.name: [] for c in COLUMNS if c.name != "block_ids"}
        self._ids: array[int] = array("q")
        self._ends: list[int | None] = []

    def add(
        self,
        arrival_ns: int | None,
        input_tokens: int,
        output_tokens: int,
        ids: array[int] | None,
        *,
        session: int | None = None,
        turn: int | None = None,
        type: str | None = None,
        model: str | None = None,
    ) -> None:
        values = (arrival_ns, session, turn, input_tokens, output_tokens, type, model)
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        if ids is not None:
            self._ids += ids
        self._ends.append(None if ids is None else len(self._ids))

    @property
    def full(self) -> bool:
        return len(self._ends) >= BATCH_ROWS or len(self._ids) >= BATCH_IDS

    def __len__(self) -> int:
        return len(self._ends)

    def take(self) -> pa.RecordBatch:
        """The rows since the last call."""
        arrays = [pa.array(values, SCHEMA.field(name).type) for name, values in self._columns.items()]
        arrays.append(lists(np.frombuffer(self._ids, dtype=np.int64), self._ends))
        batch = pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
        self._clear()
        return batch


def lists(ids: Int64s, ends: list[int | None]) -> pa.Array:
    """A list<int64> array from its flat values and where each list ends; None: there is none."""
    filled, last = [0], 0
    for end in ends:
        last = last if end is None else end
        filled.append(last)
    mask = pa.array([end is None for end in ends], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(filled, pa.int32()), pa.array(ids), mask=mask)
