"""Draws from the distributions of the language: the same on every machine and with every version of numpy, and the same
sequence however it is cut into draws.

Everything comes from a bit generator's raw output, through additions, multiplications, divisions and square roots
(which the standard rounds alike everywhere), the functions of kvscen.pattern.elementary, and sums in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from kvscen.language.drawn import Drawn
from kvscen.language.values import Distribution, Quantity
from kvscen.pattern.elementary import Floats, exp, log
from kvscen.pattern.zipf import ZipfRanks

Int64s = npt.NDArray[np.int64]

CHUNK = 1024
#: The 95th percentile of the standard normal distribution.
Z95 = 1.6448536269514722
#: Poisson's table goes so many deviations beyond the mean, and so many counts more: what is left out comes less often
#: than once in 10^15 draws.
_REACH_DEVIATIONS, _REACH_COUNTS = 9.0, 40


class Sampler:
    """What a setting draws: `draw(count)` gives that many values in the unit of the setting and within its limits,
    int64 where it takes whole numbers (halves go to the even one), else float64."""

    def __init__(self, drawn: Drawn, seed: int) -> None:
        self._drawn = drawn
        law = drawn.law
        self._chunk = _fixed(law, drawn) if isinstance(law, Quantity) else LAWS[law.name](law, drawn, seed)
        self._left: Floats = np.empty(0)

    def draw(self, count: int) -> Int64s | Floats:
        parts = [self._left[:count]]
        self._left = self._left[count:]
        missing = count - len(parts[0])
        while missing > 0:
            chunk = self._chunk()
            parts.append(chunk[:missing])
            self._left = chunk[missing:]
            missing -= len(parts[-1])
        return self._fit(np.concatenate(parts))

    def _fit(self, values: Floats) -> Int64s | Floats:
        drawn = self._drawn
        most = math.inf if drawn.maximum is None else float(drawn.maximum)
        values = np.clip(values, float(drawn.minimum), most)
        if not drawn.whole:
            return values
        # 2^63 - 1 is no float; this is the next one below it.
        return np.rint(np.minimum(values, 2.0**63 - 1024)).astype(np.int64)


#: Gives some values, at least one, each time it is called.
_Chunk = Callable[[], Floats]


def _fixed(law: Quantity, drawn: Drawn) -> _Chunk:
    value = float(law.value * drawn.scale)
    return lambda: np.full(CHUNK, value)


def _shares(generator: np.random.PCG64, count: int = CHUNK) -> Floats:
    """Uniform over [0, 1), in steps of 2^-53."""
    shares: Floats = (generator.random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return shares


def _parameters(law: Distribution, scale: int) -> tuple[float, ...]:
    return tuple(float(each.value * scale) for each in law.parameters if isinstance(each, Quantity))


def _uniform(law: Distribution, drawn: Drawn, seed: int) -> _Chunk:
    generator = np.random.PCG64(seed)
    low, high = _parameters(law, drawn.scale)
    if drawn.whole:
        count = high - low + 1.0
        return lambda: np.minimum(low + np.floor(_shares(generator) * count), high)
    return lambda: low + _shares(generator) * (high - low)


def _standard_normal(seed: int) -> _Chunk:
    """Marsaglia's polar method: a point of the unit disc gives two."""
    generator = np.random.PCG64(seed)

    def chunk() -> Floats:
        while True:
            points = 2.0 * _shares(generator).reshape(-1, 2) - 1.0
            square = points[:, 0] * points[:, 0] + points[:, 1] * points[:, 1]
            inside = (square < 1.0) & (square > 0.0)
            if inside.any():
                s = square[inside]
                made: Floats = (points[inside] * np.sqrt(-2.0 * log(s) / s)[:, np.newaxis]).ravel()
                return made

    return chunk


def _normal(law: Distribution, drawn: Drawn, seed: int) -> _Chunk:
    mean, deviation = _parameters(law, drawn.scale)
    standard = _standard_normal(seed)
    return lambda: mean + deviation * standard()


def _lognormal(law: Distribution, drawn: Drawn, seed: int) -> _Chunk:
    median, p95 = _parameters(law, drawn.scale)
    sigma = float(log(np.array([p95 / median]))[0]) / Z95
    standard = _standard_normal(seed)
    return lambda: median * exp(sigma * standard())


def _exponential(law: Distribution, drawn: Drawn, seed: int) -> _Chunk:
    (mean,) = _parameters(law, drawn.scale)
    generator = np.random.PCG64(seed)
    return lambda: -mean * log(1.0 - _shares(generator))


def _poisson(law: Distribution, drawn: Drawn, seed: int) -> _Chunk:
    """Inversion of the cumulative weights, which are computed outwards from the most likely count."""
    (mean,) = _parameters(law, drawn.scale)
    reach = _REACH_DEVIATIONS * math.sqrt(mean) + _REACH_COUNTS
    middle = math.floor(mean)
    low, high = max(0, math.floor(mean - reach)), math.ceil(mean + reach)
    above = np.multiply.accumulate(mean / np.arange(middle + 1, high + 1, dtype=np.float64))
    below = np.multiply.accumulate(np.arange(middle, low, -1, dtype=np.float64) / mean)
    weights = np.concatenate([below[::-1], [1.0], above])
    return _inversion(np.add.accumulate(weights), np.arange(low, high + 1, dtype=np.float64), seed)


def _zipf(law: Distribution, drawn: Drawn, seed: int) -> _Chunk:
    count, skew = _parameters(law, 1)
    ranks = ZipfRanks(int(count), skew, seed)
    return lambda: ranks.draw(CHUNK).astype(np.float64)


def _empirical(law: Distribution, drawn: Drawn, seed: int) -> _Chunk:
    values, *rest = (each for each in law.parameters if isinstance(each, tuple))
    weights = [weight.value for weight in rest[0]] if rest else [Fraction(1)] * len(values)
    cumulative, total = [], Fraction()
    for weight in weights:
        total += weight
        cumulative.append(total)
    shares = np.array([float(each / total) for each in cumulative])
    return _inversion(shares, np.array([float(value.value * drawn.scale) for value in values]), seed)


def _inversion(cumulative: Floats, values: Floats, seed: int) -> _Chunk:
    generator = np.random.PCG64(seed)
    total, last = cumulative[-1], len(cumulative) - 1

    def chunk() -> Floats:
        places = np.searchsorted(cumulative, _shares(generator) * total, side="right")
        found: Floats = values[np.minimum(places, last)]
        return found

    return chunk


#: How the distributions of the language are drawn, by their names.
LAWS: Mapping[str, Callable[[Distribution, Drawn, int], _Chunk]] = {
    "uniform": _uniform,
    "normal": _normal,
    "lognormal": _lognormal,
    "exponential": _exponential,
    "poisson": _poisson,
    "zipf": _zipf,
    "empirical": _empirical,
}
