"""What a level's transfers took: reads and writes apart and together, each by the rule of ten above."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from kvscen.plugin import READ, WRITE, Place
from kvscen.results.schema import TIERS
from kvscen_drivers.tiered.mover import Failure, Tally
from kvscen_drivers.tiered.store import _percentiles, _tallied


def test_percentiles_of_reads_and_writes() -> None:
    tally = Tally()
    for number in range(1, 10_001):
        tally.count(READ, 10, number * 1000)
    for number in range(1, 401):
        tally.count(WRITE, 7, number * 100_000)
    tally.fail(Failure(READ, Place(0, 3), 10, 0, errno.EIO, None))
    own = {**_tallied(tally), **_percentiles("read_latency", tally.latency(READ))}
    own |= _percentiles("write_latency", tally.latency(WRITE))
    assert set(own) <= {column.name for column in TIERS}
    assert (own["operations"], own["errors"]) == (10_400, 1)
    assert (tally.read_bytes, tally.write_bytes) == (100_000, 2800)
    both = np.sort([*np.arange(1, 10_001) * 1000, *np.arange(1, 401) * 100_000])
    for name, values in (("read", np.arange(1, 10_001) * 1000), ("write", np.arange(1, 401) * 100_000), ("", both)):
        column = f"{name}_latency" if name else "latency"
        for which, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999), ("p9999", 0.9999)):
            rank = int(np.ceil(share * len(values) - 1e-9))
            expected = None if len(values) - rank < 10 else values[rank - 1]
            found = own[f"{column}_{which}_ns"]
            assert (found is None) == (expected is None), (column, which)
            if expected is not None:
                assert found == pytest.approx(expected, rel=0.01), (column, which)
    assert own["latency_max_ns"] == 40_000_000
    assert (own["read_latency_p999_ns"], own["write_latency_p99_ns"]) == (pytest.approx(9.99e6, rel=0.01), None)
