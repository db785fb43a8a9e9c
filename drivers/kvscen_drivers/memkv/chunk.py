"""What one `submit` of a lane accepted, as lists with a head for each request: looking into rows of an array one by one
costs as much as a system call."""

from __future__ import annotations

import attrs
import numpy as np

from kvscen.plugin import WRITE, Layout, Rows
from kvscen_drivers.memkv.placement import servers_of
from kvscen_drivers.memkv.protocol import KEY_BYTES, REQUEST_MARK, REQUEST_ROW, ROW, Op
from kvscen_drivers.reports import Report

#: Up to so many are looked at one by one: a call on an array takes about a microsecond however short it is.
_FEW = 8


@attrs.frozen
class Place:
    """Where the blocks are: the values of `tag`, of `entry` blocks each."""

    tag: int
    layout: Layout
    entry: int
    servers: int

    def key(self, value: int) -> bytes:
        return self.tag.to_bytes(8, "little") + value.to_bytes(8, "little")

    @property
    def value_bytes(self) -> int:
        return self.entry * self.layout.stride_bytes


class Chunk:
    """`held`: they wait for buffers of `arena_bytes` each, else their buffers are places in an arena of that size.

    `good` is None where all can be asked for; what is said of others means nothing.
    """

    heads: memoryview
    writes: list[bool]
    offsets: list[int]
    nbytes: list[int]
    buffers: list[int]
    values: list[int]
    batches: list[int]
    good: list[bool] | None

    def __init__(
        self, ops: Rows, now: int, place: Place, arena_bytes: int, held: bool, number: int, overhead_bytes: int
    ) -> None:
        self.count = len(ops)
        #: How many of the rows have been given buffers: those that wait for them begin in their order.
        self.begun = 0
        self.report = Report(ops, now)
        self.number = number
        fill = self._one_by_one if self.count <= _FEW else self._at_once
        fill(ops, place, arena_bytes, held, overhead_bytes)
        self.servers: list[int] | None = None
        if place.servers > 1:
            self.servers = servers_of(np.array(self.values, np.uint64), place.servers).tolist()

    def _one_by_one(self, ops: Rows, place: Place, arena_bytes: int, held: bool, overhead_bytes: int) -> None:
        layout, entry, room = place.layout, place.entry, place.layout.stride_bytes
        first, last, wire = layout.first_key, layout.first_key + layout.keys, self.report.rows["wire_bytes"]
        _, keys, offsets, nbytes, buffers, batches, _, _, kinds, _ = map(list, zip(*ops.tolist(), strict=True))
        heads, good = bytearray(), []
        values = [key // entry for key in keys]
        for row, key in enumerate(keys):
            taken, kind = nbytes[row], kinds[row]
            fits = taken + (0 if held else buffers[row]) <= arena_bytes
            if first <= key < last and kind <= WRITE and offsets[row] + taken <= room and fits:
                offsets[row] += key % entry * room
                if kind == WRITE:
                    op, whole = Op.PUT, place.value_bytes
                else:
                    op, whole = Op.GET, 0
                heads += ROW.pack(
                    REQUEST_MARK,
                    op,
                    0,
                    KEY_BYTES,
                    self.number + row,
                    offsets[row],
                    taken,
                    whole,
                    place.tag,
                    values[row],
                )
                wire[row] = taken + overhead_bytes
                good.append(True)
            else:
                heads += bytes(ROW.size)
                good.append(False)
        self.heads = memoryview(bytes(heads))
        self.writes = [kind == WRITE for kind in kinds]
        self.offsets, self.nbytes, self.buffers, self.batches = offsets, nbytes, [] if held else buffers, batches
        self.values = values
        self.good = None if all(good) else good

    def _at_once(self, ops: Rows, place: Place, arena_bytes: int, held: bool, overhead_bytes: int) -> None:
        layout, values = place.layout, ops["key"] // np.uint64(place.entry)
        offsets = ops["offset"]
        room = np.uint64(layout.stride_bytes)
        first, last = np.uint64(layout.first_key), np.uint64(layout.first_key + layout.keys)
        good = (ops["key"] >= first) & (ops["key"] < last) & (ops["kind"] <= WRITE)
        good &= (offsets <= room) & (ops["bytes"] <= room - np.minimum(offsets, room))
        if held:
            good &= ops["bytes"] <= arena_bytes
        else:
            good &= ops["buffer"] <= arena_bytes
            good &= ops["bytes"] <= arena_bytes - np.minimum(ops["buffer"], arena_bytes)
        if place.entry > 1:
            offsets = offsets + ops["key"] % np.uint64(place.entry) * room
        writes = ops["kind"] == WRITE
        requests = np.zeros(len(ops), REQUEST_ROW)
        requests["mark"], requests["key_bytes"] = REQUEST_MARK, KEY_BYTES
        requests["op"] = np.where(writes, np.uint8(Op.PUT), np.uint8(Op.GET))
        requests["id"] = np.arange(self.number, self.number + len(ops))
        requests["offset"], requests["length"] = offsets, ops["bytes"]
        requests["value_bytes"] = np.where(writes, np.uint64(place.value_bytes), np.uint64(0))
        requests["tag"], requests["number"] = place.tag, values
        self.heads = memoryview(requests.tobytes())
        self.writes, self.offsets, self.nbytes = writes.tolist(), offsets.tolist(), ops["bytes"].tolist()
        self.buffers = [] if held else ops["buffer"].tolist()
        self.values, self.batches = values.tolist(), ops["batch"].tolist()
        self.good = None if good.all() else good.tolist()
        self.report.rows["wire_bytes"] = ops["bytes"] + np.uint64(overhead_bytes)

    def is_one(self, first: int, last: int) -> bool:
        """Whether rows [first, last) all read the same."""
        count = last - first
        return (
            self.good is None
            and all(
                list_[first:last].count(list_[first]) == count for list_ in (self.values, self.offsets, self.nbytes)
            )
            and not any(self.writes[first:last])
        )
