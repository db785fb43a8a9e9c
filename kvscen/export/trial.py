"""One trial of requests that are known before, with all of its rows and the place of each level in another program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import attrs
import numpy as np

from kvscen.language.conversations import GENERATION_NS
from kvscen.language.values import Quantity
from kvscen.measure.histogram import BUCKETS, bucket_of, percentile
from kvscen.results.measures import PERCENTILES

Row = Mapping[str, Any]


@attrs.frozen
class Level:
    """A level of a cache, or the tier itself where it has none. `stands_for`: what it is in the other program, which
    the user `said` or its driver tells. `row`: its columns of tiers.parquet."""

    name: str
    driver: str
    stands_for: str
    said: bool
    row: Row


@attrs.frozen
class Trial:
    """`row` is the trial's of trials.parquet, the others are its rows of the tables of those names."""

    row: Row
    users: Sequence[Row]
    found: Sequence[Row]
    latency: Sequence[Row]
    levels: Sequence[Level]

    def levels_of(self, kind: str) -> list[Level]:
        return [level for level in self.levels if level.stands_for == kind]

    def sum_of(self, kind: str, column: str) -> int:
        """Over the levels that stand for `kind`; 0 where there is none."""
        return sum(level.row[column] for level in self.levels_of(kind))

    def only(self, kind: str, column: str) -> Any:
        """Of the one level that stands for `kind`; None where there are none or several."""
        levels = self.levels_of(kind)
        return levels[0].row.get(column) if len(levels) == 1 else None

    @property
    def talks(self) -> bool:
        """Whether its requests are of users who converse; those of a replay are not."""
        return bool(self.users)

    @property
    def elapsed_ns(self) -> int:
        return int(self.row["window_ns"] + (self.row["sync_ns"] or 0))

    @property
    def requests(self) -> int:
        return sum(row["requests"] for row in self.users) if self.talks else int(self.row["requests"])

    @property
    def token_ns(self) -> int:
        """Time for a generated token, as the scenario says; 0 where nothing waits for tokens."""
        own, pattern = self.row["settings"], self.row["pattern"]
        if own.get(f"{pattern}.phases") == "prefill":
            return 0
        if (spelled := own.get(f"{pattern}.tpot")) is not None:
            number, unit = spelled.split()
            return int(Quantity.of(Fraction(number), unit).value * 10**9)
        return GENERATION_NS[own.get(f"{pattern}.generation", "none")]

    def user(self, name: str) -> Row:
        return next(row for row in self.users if row["users"] == name)

    def looked_up(self, *kinds: str) -> tuple[int, int] | None:
        """(found, not found) of the look-ups of these kinds, over all levels; None for a replay, which has no kinds."""
        if not self.talks:
            return None
        rows = [row for row in self.found if row["tier"] is None and row["kind"] in kinds]
        hits = sum(row["hits"] for row in rows)
        return hits, sum(row["lookups"] for row in rows) - hits

    def percentile(self, operation: str, unit: str, phase: str, which: str) -> int | None:
        """From the buckets of one of the trial's histograms, in ns."""
        return of_buckets(self.latency, operation, unit, phase, which)


def of_buckets(latency: Iterable[Row], operation: str, unit: str, phase: str, which: str) -> int | None:
    """A percentile from rows of latency.parquet, in ns; None where fewer than 10 values lie above it."""
    wanted = (operation, unit, phase)
    rows = [row for row in latency if (row["operation"], row["unit"], row["phase"]) == wanted]
    counts = np.zeros(BUCKETS, np.int64)
    buckets = bucket_of(np.array([row["lower_ns"] for row in rows], np.int64))
    np.add.at(counts, buckets, np.array([row["count"] for row in rows], np.int64))
    return percentile(counts, float(PERCENTILES[which]), int(counts.sum()))


def whole_tier(row: Row, latency: Iterable[Row]) -> Row:
    """What tiers.parquet would say of a tier that is no cache, from its trial: it keeps all that was written."""
    stride, latency = row["stride_bytes"], list(latency)
    return {
        "read_bytes": row["reads"] * stride,
        "write_bytes": row["writes"] * stride,
        "occupancy_bytes": row["keys"] * stride,
        "admitted": row["writes"],
        **{
            f"{operation}_latency_{which}_ns": of_buckets(latency, operation, "block", "service", which)
            for operation in ("read", "write")
            for which in PERCENTILES
        },
    }
