"""A few operations are looked at one by one, many at once, and both come to the same."""

from __future__ import annotations

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kvscen.plugin import OPERATION, Layout
from kvscen_drivers.memkv import chunk
from kvscen_drivers.memkv.chunk import Chunk, Place

_ARENA = 40_000
#: Those that can be, those at an edge, and nonsense.
_NUMBERS = st.integers(0, 9000) | st.sampled_from([4096, 8192, _ARENA - 4096, _ARENA, 2**63, 2**64 - 1])
_OPERATIONS = st.lists(
    st.tuples(_NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS, st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6
)
_PLACES = st.builds(
    lambda first, keys, entry, servers: Place(7, Layout(keys, 8192, 8192, first, first + keys), entry, servers),
    st.integers(0, 50),
    st.integers(1, 9000),
    st.integers(1, 5),
    st.integers(1, 3),
)


@given(_OPERATIONS, _PLACES, st.booleans())
def test_one_by_one_and_at_once(operations: list[tuple[int, ...]], place: Place, held: bool) -> None:
    ops = np.zeros(len(operations), OPERATION)
    for name, column in zip(
        ("key", "offset", "bytes", "buffer", "kind", "batch"), zip(*operations, strict=True), strict=True
    ):
        ops[name] = np.array(column, ops.dtype[name])
    one = Chunk(ops, 5, place, _ARENA, held, 11, 96)
    with mock.patch.object(chunk, "_FEW", 0):
        many = Chunk(ops, 5, place, _ARENA, held, 11, 96)
    assert one.good == many.good
    assert (one.count, one.writes, one.buffers, one.batches) == (many.count, many.writes, many.buffers, many.batches)
    assert (one.nbytes, one.values, one.servers) == (many.nbytes, many.values, many.servers)
    size = len(one.heads) // one.count
    for row in range(one.count):
        if one.good is None or one.good[row]:
            assert one.offsets[row] == many.offsets[row]
            assert one.heads[row * size : (row + 1) * size] == many.heads[row * size : (row + 1) * size]
            assert one.report.rows[row] == many.report.rows[row]
