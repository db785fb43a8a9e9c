"""How many tokens a block of a trace has, where the trace does not say it: told by lengths and counts of blocks.

A prompt of L tokens has L / B blocks, rounded up (Mooncake) or down (kv-cache-tester leaves the last, partial block
out): n blocks mean that (n - 1) B < L < (n + 1) B.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kvscen.trace.canonical import Int64s
from kvscen.trace.errors import TraceError

_POWERS: tuple[int, ...] = tuple(2**power for power in range(13))
#: Some records of real traces do not fit; a block size that few fit is none.
_ENOUGH = 0.9


def fitting(input_tokens: Int64s, blocks: Int64s, block_tokens: int) -> npt.NDArray[np.bool_]:
    """Which prompts have as many blocks as their length gives."""
    fits: npt.NDArray[np.bool_] = ((blocks - 1) * block_tokens < input_tokens) & (
        input_tokens < (blocks + 1) * block_tokens
    )
    return fits


def block_size_of(path: Path, input_tokens: Int64s, blocks: Int64s, documented: int | None, stated: int | None) -> int:
    """The size that was `stated`, else the format's `documented` one where the records fit it, else the power of two
    that they fit. Raises TraceError where that is none or not one."""
    if stated is not None:
        return stated
    if documented is not None and fitting(input_tokens, blocks, documented).mean() >= _ENOUGH:
        return documented
    shares = {size: float(fitting(input_tokens, blocks, size).mean()) for size in _POWERS}
    best = [size for size, share in shares.items() if share == max(shares.values()) and share >= _ENOUGH]
    if len(best) == 1:
        return best[0]
    if best:
        what = f"its blocks may have {', '.join(map(str, best))} tokens"
    else:
        what = "no block size explains how many blocks its prompts have"
    raise TraceError(f"{path}: {what}", "say how many tokens a block has with --block-tokens")
