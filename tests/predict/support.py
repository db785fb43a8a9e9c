"""Small traces whose curves are known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.trace.support import lines

#: (second, blocks). As a stack under LRU, the block touched last first:
#: 3 2 1 | 4 2 1 3 | 6 5 4 2 1 3. So the second request finds 1 and 2 at depths 3 and 2, the last one 1, 2 and 3 at 5, 4
#: and 6. Tail first: 1 2 3 | 1 2 4 3 | 5 6 1 2 4 3, and depths 1, 2 and 3, 4, 6.
BY_HAND = ((0, [1, 2, 3]), (60, [1, 2, 4]), (120, [5, 6]), (180, [1, 2, 3]))

#: 600 requests of 12 conversations that grow.
GROWING = tuple((i, [(i * i * 7 + i) % 23 * 100 + block for block in range(5 + i // 10)]) for i in range(600))


def mooncake(path: Path, requests: Iterable[tuple[float, list[int]]]) -> Path:
    path.write_text(
        lines(
            {"timestamp": 1000 * at, "input_length": 512 * len(ids), "output_length": 1, "hash_ids": ids}
            for at, ids in requests
        )
    )
    return path
