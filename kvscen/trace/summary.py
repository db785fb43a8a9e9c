"""What a trace holds: counts that other tools can check."""

from __future__ import annotations

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kvscen.trace.block_size import fitting
from kvscen.trace.canonical import About, Int64s

#: So many ids wait before they are merged; later as many as there are distinct ones, so that merging costs little.
_MERGED_AT_LEAST = 1 << 22


@attrs.frozen
class Summary:
    """`block_lookups` are the blocks of all prompts, `unique_blocks` their distinct ids; both None where there are no
    ids. `duration_ns` is the last arrival, None without times; `sessions` None where none are named. `odd_requests`
    have more or fewer blocks than their length gives."""

    requests: int
    input_tokens: int
    output_tokens: int
    duration_ns: int | None
    sessions: int | None
    block_lookups: int | None
    unique_blocks: int | None
    odd_requests: int

    @property
    def reuse_ratio(self) -> float | None:
        """The share of look-ups that an endless cache would find."""
        if not self.block_lookups or self.unique_blocks is None:
            return None
        return 1 - self.unique_blocks / self.block_lookups


class Counter:
    """Adds up batches. Memory: 8 bytes for a distinct block id, and as much again while they are merged."""

    def __init__(self, about: About) -> None:
        self._about = about
        self._requests = self._input = self._output = self._lookups = self._odd = 0
        self._duration_ns: int | None = None
        self._last_session: int | None = None
        self._unique: Int64s = np.empty(0, np.int64)
        self._pending: list[Int64s] = []
        self._pending_count = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._requests += len(batch)
        self._input += pc.sum(batch.column("input_tokens")).as_py()
        self._output += pc.sum(batch.column("output_tokens")).as_py()
        last, session = pc.max(batch.column("arrival_ns")).as_py(), pc.max(batch.column("session")).as_py()
        self._duration_ns = last if last is not None else self._duration_ns
        if session is not None:
            self._last_session = max(session, self._last_session or 0)
        if self._about.block_tokens is None:
            return
        counts = pc.list_value_length(batch.column("block_ids")).to_numpy().astype(np.int64)
        self._odd += int((~fitting(batch.column("input_tokens").to_numpy(), counts, self._about.block_tokens)).sum())
        ids = batch.column("block_ids").flatten().to_numpy()
        self._lookups += len(ids)
        self._pending.append(np.unique(ids))
        self._pending_count += len(self._pending[-1])
        if self._pending_count > max(_MERGED_AT_LEAST, len(self._unique)):
            self._merge()

    def _merge(self) -> None:
        self._unique = np.unique(np.concatenate([self._unique, *self._pending]))
        self._pending, self._pending_count = [], 0

    def summary(self) -> Summary:
        self._merge()
        blocks = self._about.block_tokens is not None
        return Summary(
            self._requests,
            self._input,
            self._output,
            self._duration_ns,
            None if self._last_session is None else self._last_session + 1,
            self._lookups if blocks else None,
            len(self._unique) if blocks else None,
            self._odd,
        )
