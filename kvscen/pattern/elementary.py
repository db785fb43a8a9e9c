"""log, exp, log1p and expm1 from additions, multiplications and divisions alone, elementwise over arrays of float64.

The standard's basic operations are rounded alike on every machine; the elementary functions of a C library, and numpy's
own for the vector units of one processor, are not. What is drawn through these is the same everywhere. They are within
a few units in the last place for finite arguments (log: positive ones).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# ln 2 in two parts: a whole number of up to 11 bits times the first is exact (fdlibm's).
_LN2_HIGH: Final = 6.93147180369123816490e-01
_LN2_LOW: Final = 1.90821492927058770002e-10
_SQRT_HALF: Final = 0.7071067811865476
# 2 atanh(f) = 2 f (1 + f^2/3 + f^4/5 + ...): |f| < 0.172, so twelve terms reach 2^-53.
_ATANH: Final = tuple(1.0 / (2 * term + 1) for term in range(12))
# exp(r) = 1 + r (1 + r/2 (1 + r/3 (...))): |r| < 0.347, so fourteen terms do.
_EXP_TERMS: Final = 14


def log(x: Floats) -> Floats:
    """Natural logarithm of positive numbers."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < _SQRT_HALF
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    power = (exponent - small).astype(np.float64)
    f = (mantissa - 1.0) / (mantissa + 1.0)
    square = f * f
    total = np.full_like(f, _ATANH[-1])
    for term in reversed(_ATANH[:-1]):
        total = total * square + term
    result: Floats = power * _LN2_HIGH + (power * _LN2_LOW + 2.0 * f * total)
    return result


def exp(x: Floats) -> Floats:
    """e^x for |x| < 700."""
    power = np.rint(x * 1.4426950408889634)
    r = (x - power * _LN2_HIGH) - power * _LN2_LOW
    total = np.ones_like(r)
    for term in range(_EXP_TERMS, 0, -1):
        total = 1.0 + r * total / term
    result: Floats = np.ldexp(total, power.astype(np.int32))
    return result


def log1p(x: Floats) -> Floats:
    """log(1 + x) for x > -1, exact for a small x as well: Kahan's correction of the rounding in 1 + x."""
    u = 1.0 + x
    tiny = u == 1.0
    return np.where(tiny, x, log(u) * (x / np.where(tiny, 1.0, u - 1.0)))


def expm1(x: Floats) -> Floats:
    """e^x - 1, exact for a small x as well: Kahan's way (Higham 2002, section 1.14.1)."""
    u = exp(x)
    tiny = u == 1.0
    # Far from zero the correction is one, and log(u) = 0 is met only where u = 1.
    return np.where(tiny, x, (u - 1.0) * (x / np.where(tiny, 1.0, log(u))))
