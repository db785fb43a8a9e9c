"""Ranks with a Zipf distribution over 1..count, exactly, without a table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kvscen.pattern.draw import UInt64s
from kvscen.pattern.elementary import Floats, exp, expm1, log, log1p


class ZipfRanks:
    """P(k) is proportional to k^-skew for k in 1..count (2^52 at most), skew >= 0.

    Rejection-inversion: W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
    distributions", ACM TOMACS 6 (1996) 169-184, algorithm RI. An area is drawn uniformly below H(count + 1/2), where H
    is the integral of h(x) = x^-skew; x is where H reaches it, and the nearest k is kept where the area is within h(k)
    of H(k + 1/2). So every k comes out in proportion to h(k). H(x) = (x^(1 - skew) - 1) / (1 - skew), which is log x
    where skew is 1; it and its inverse are computed through expm1 and log1p, so that a skew close to 1 loses nothing.
    """

    def __init__(self, count: int, skew: float, seed: int) -> None:
        self.count = count
        self._skew = skew
        self._generator = np.random.PCG64(seed)
        edges = self._integral(np.array([1.5, count + 0.5, 2.5]))
        # From here to H(3/2) it is h(1) = 1: rank 1 is never rejected.
        self._lowest = float(edges[0]) - 1.0
        self._span = float(edges[1]) - self._lowest
        # Within this distance below a k every point is accepted: no need to look closer.
        at_two = edges[2] - self._height(np.array([2.0]))[0]
        self._sure = 2.0 - float(self._inverse(np.array([at_two]))[0])

    def draw(self, number: int) -> UInt64s:
        """Independent ranks: at least one, at most `number`."""
        while True:
            raw = self._generator.random_raw(number) >> np.uint64(11)
            uniform = raw.astype(np.float64) * 2.0**-53
            area = self._lowest + uniform * self._span
            x = self._inverse(area)
            rank = np.clip(np.floor(x + 0.5), 1.0, float(self.count))
            accepted = rank - x <= self._sure
            unsure = np.flatnonzero(~accepted)
            close = rank[unsure]
            accepted[unsure] = area[unsure] >= self._integral(close + 0.5) - self._height(close)
            ranks = rank[accepted].astype(np.uint64)
            if len(ranks):
                return ranks

    def _height(self, x: Floats) -> Floats:
        return exp(-self._skew * log(x))

    def _integral(self, x: Floats) -> Floats:
        logarithm = log(x)
        return _over(expm1, (1.0 - self._skew) * logarithm) * logarithm

    def _inverse(self, area: Floats) -> Floats:
        # Rounding may lead just past the pole of the inverse.
        bent = np.maximum(area * (1.0 - self._skew), -1.0 + 2.0**-53)
        return exp(_over(log1p, bent) * area)


def _over(function: Callable[[Floats], Floats], x: Floats) -> Floats:
    """function(x) / x, which tends to 1 at 0."""
    zero = x == 0.0
    safe = np.where(zero, 1.0, x)
    return np.where(zero, 1.0, function(safe) / safe)
