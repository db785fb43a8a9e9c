"""What a cache of each capacity hits in a trace: the way from a trace to the figures that are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import attrs
import numpy as np

from kvscen.predict.capacity import Capacity
from kvscen.predict.curve import HitCurve, Hits, Int64s, lru_curve, prefix_distances
from kvscen.predict.distances import COLD
from kvscen.predict.errors import PredictionError
from kvscen.predict.replay import curve_at
from kvscen.predict.sample import Sample, curve_of, first_arrivals
from kvscen.trace import FORMATS, About, Trace, TraceError

#: Policies whose whole curve is known after one pass.
ONE_PASS = ("lru", "lru_tail_first")
#: Capacities that are shown of a whole curve where none are asked for.
USUAL = (*(Capacity(f"{n}%", "share", Fraction(n, 100)) for n in (1, 2, 5, 10, 20, 50, 100)), Capacity("none", "none"))
#: Shares of all possible hits for which the least capacity is told.
REACHED = (0.5, 0.9, 0.99)
_MANY = 1 << 62


@attrs.frozen
class At:
    """One capacity as it was `asked` for, in `blocks` (None: without limit). `fill_ns`: how long after the first
    request so many different blocks had been asked for; None where the trace has no times or not so many blocks."""

    asked: str
    blocks: int | None
    fill_ns: int | None
    hits: Hits


@attrs.frozen(eq=False)
class Prediction:
    """`path`: of the trace, as it was given. `limit`: what a cache without a limit hits; every other look-up is of a
    block that no earlier request asked for. `duration_ns`: from the first request to the last, None where the trace has
    no times."""

    path: str
    about: About
    curve: HitCurve
    limit: Hits
    at: tuple[At, ...]
    duration_ns: int | None

    def reached(self) -> tuple[tuple[float, int], ...]:
        """(share of all possible hits, the least capacity in blocks that has it); none where the curve is not whole."""
        if not self.curve.whole or not self.limit.hits:
            return ()
        places = [int(np.searchsorted(self.curve.hits, share * self.limit.hits)) for share in REACHED]
        return tuple(zip(REACHED, self.curve.capacities[places].tolist(), strict=True))


def predict(
    trace: Trace,
    policy: str,
    asked: Sequence[Capacity],
    block_bytes: int | None = None,
    halvings: int | None = None,
) -> Prediction:
    """`asked`: none of them means the USUAL ones of a whole curve. `block_bytes`: of one block of the trace.
    `halvings`: from a sample of one of 2^halvings blocks, or of fewer where memory demands it; exact without.

    Raises TraceError and PredictionError.
    """
    if policy not in ONE_PASS and halvings is not None:
        one_pass = " and ".join(ONE_PASS)
        raise PredictionError(f"a sample tells nothing of `{policy}`", f"leave it out, or take one of {one_pass}")
    _check_asked(policy, asked, block_bytes)
    if trace.about.block_tokens is None:
        title = FORMATS[trace.about.format].title if trace.about.format in FORMATS else trace.about.format
        with_ids = ", ".join(name for name, form in FORMATS.items() if form.blocks != "none")
        raise TraceError(
            f"{trace.source.path}: {title} has no block ids, so nobody knows what a cache would find in it",
            f"name a trace with ids: {with_ids}",
        )
    if halvings is not None:
        return _sampled(trace, policy, asked, block_bytes, halvings)
    blocks = trace.blocks()
    _look_ups(trace, len(blocks.ids))
    return predict_requests(
        str(trace.source.path), trace.about, blocks.ids, blocks.offsets, blocks.arrival_ns, policy, asked, block_bytes
    )


def _check_asked(policy: str, asked: Sequence[Capacity], block_bytes: int | None) -> None:
    """What is wrong in any trace is said before one is read. Raises PredictionError."""
    if policy not in ONE_PASS and not asked:
        raise PredictionError(
            f"`{policy}` has no curve in one pass, so its capacities must be named",
            f"name one or more, as in --capacity 10% --capacity 20000; {' and '.join(ONE_PASS)} need none",
        )
    for capacity in asked:
        capacity.blocks(_MANY, block_bytes)


def predict_requests(
    path: str,
    about: About,
    ids: Int64s,
    offsets: Int64s,
    arrival_ns: Int64s | None,
    policy: str,
    asked: Sequence[Capacity],
    block_bytes: int | None = None,
) -> Prediction:
    """Of requests that are in memory, exactly: request r looks up ids[offsets[r]:offsets[r + 1]], at least one of them
    something. Raises PredictionError."""
    _check_asked(policy, asked, block_bytes)
    first = duration_ns = None
    if arrival_ns is not None:
        first = first_arrivals(ids, np.repeat(arrival_ns, np.diff(offsets)))
        duration_ns = int(arrival_ns[-1])
    if policy in ONE_PASS:
        curve = lru_curve(ids, offsets, policy)
        limit = _last(curve)
        wanted = _wanted(asked, curve.distinct, block_bytes)
    else:
        limit = without_limit(ids, offsets)
        wanted = _wanted(asked, limit.capacity, block_bytes)
        curve = curve_at(ids, offsets, policy, [count for _, count in wanted if count is not None])
    return Prediction(path, about, curve, limit, _at(curve, limit, wanted, first), duration_ns)


def _sampled(
    trace: Trace, policy: str, asked: Sequence[Capacity], block_bytes: int | None, halvings: int
) -> Prediction:
    sample, duration_ns = Sample(halvings=halvings), None
    for blocks in trace.block_batches():
        sample.add(blocks.ids, blocks.offsets, blocks.arrival_ns)
        if blocks.arrival_ns is not None:
            duration_ns = int(blocks.arrival_ns[-1])
    _look_ups(trace, sample.lookups)
    try:
        curve = curve_of(sample, policy)
    except ValueError as error:
        raise PredictionError(
            str(error), "take a larger sample, or none: the exact curve of few blocks is fast"
        ) from error
    limit, wanted = _last(curve), _wanted(asked, curve.distinct, block_bytes)
    at = _at(curve, limit, wanted, sample.first_arrivals())
    return Prediction(str(trace.source.path), trace.about, curve, limit, at, duration_ns)


def _look_ups(trace: Trace, count: int) -> None:
    if not count:
        raise TraceError(f"{trace.source.path}: no request in it has a block", "name another trace")


def _last(curve: HitCurve) -> Hits:
    return attrs.evolve(curve.at(int(curve.capacities[-1])), capacity=curve.distinct)


def without_limit(ids: Int64s, offsets: Int64s) -> Hits:
    """Of a cache that keeps everything, under any policy: its capacity is the number of different blocks."""
    request = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    unique, first, which = np.unique(ids, return_index=True, return_inverse=True)
    least = np.where(request[first][which] < request, 1, COLD)
    hits = int((least != COLD).sum())
    prefix_hits = int((prefix_distances(least, offsets) != COLD).sum())
    return Hits(len(unique), hits, prefix_hits, hits / len(ids), prefix_hits / len(ids), None)


def _wanted(
    asked: Sequence[Capacity], unique_blocks: int, block_bytes: int | None
) -> list[tuple[Capacity, int | None]]:
    """What is asked for in blocks, each number of blocks once, ascending. Usual shares of less than a block are left
    out."""
    found: dict[int | None, Capacity] = {}
    for capacity in asked or USUAL:
        try:
            found.setdefault(capacity.blocks(unique_blocks, block_bytes), capacity)
        except PredictionError:
            if asked:
                raise
    return [(found[count], count) for count in sorted(found, key=lambda count: math.inf if count is None else count)]


def _at(
    curve: HitCurve, limit: Hits, wanted: Sequence[tuple[Capacity, int | None]], first_ns: Int64s | None
) -> tuple[At, ...]:
    def fill_ns(count: int | None) -> int | None:
        index = math.inf if count is None else math.ceil(count * curve.rate) - 1
        return None if first_ns is None or index >= len(first_ns) else int(first_ns[int(index)])

    return tuple(
        At(capacity.text, count, fill_ns(count), limit if count is None else curve.at(count))
        for capacity, count in wanted
    )
