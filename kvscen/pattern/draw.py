"""Reproducible draws: our own transforms of a bit generator's raw output, the same on every machine and version of
numpy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]


def mix(values: UInt64s) -> UInt64s:
    """splitmix64's finaliser (Steele, Lea, Flood 2014), elementwise: equal inputs give equal, unequal ones unrelated
    outputs.
    """
    values = values ^ (values >> np.uint64(30))
    values = values * np.uint64(0xBF58476D1CE4E5B9)
    values = values ^ (values >> np.uint64(27))
    values = values * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
