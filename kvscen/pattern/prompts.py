"""Prompt lengths that are drawn: a normal distribution, rounded to whole tokens and clipped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kvscen.pattern.elementary import Floats, log


def normal_prompts(count: int, mean: int, spread: int, least: int, most: int | None, seed: int) -> tuple[int, ...]:
    """`count` lengths in tokens. The same seed gives the same lengths, on every machine; the first of them do not
    depend on `count`."""
    # What is beyond all that 64 bits hold is far beyond any prompt: sizes are refused before they come near it.
    lengths = np.clip(np.rint(mean + spread * _normals(count, seed)), -(2.0**62), 2.0**62).astype(np.int64)
    clipped: npt.NDArray[np.int64] = np.clip(lengths, least, most)
    return tuple(clipped.tolist())


def _normals(count: int, seed: int) -> Floats:
    """Marsaglia's polar method (SIAM Review 6, 1964): of points drawn in a square those inside the unit circle are
    kept. It needs no function but a logarithm and a root, which is rounded alike everywhere."""
    generator = np.random.PCG64(seed)
    found: list[Floats] = []
    have = 0
    while have < count:
        raw = generator.random_raw(512) >> np.uint64(11)
        points = (raw.astype(np.float64) * 2.0**-52 - 1.0).reshape(-1, 2)
        square = points[:, 0] * points[:, 0] + points[:, 1] * points[:, 1]
        inside = (square > 0.0) & (square < 1.0)
        points, square = points[inside], square[inside]
        found.append((points * np.sqrt(-2.0 * log(square) / square)[:, None]).reshape(-1))
        have += len(found[-1])
    return np.concatenate(found)[:count] if found else np.zeros(0)
