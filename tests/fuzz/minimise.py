"""A failing text made as short as it can be while it fails in the same way."""

from __future__ import annotations

from collections.abc import Callable


def minimised(data: bytes, fails: Callable[[bytes], bool], most_tries: int = 2000) -> bytes:
    """Takes out stretches of lines, then of bytes, that are not needed (delta debugging)."""
    tries = most_tries

    def smaller(parts: list[bytes]) -> list[bytes]:
        nonlocal tries
        size = max(1, len(parts) // 2)
        while True:
            at, shrunk = 0, False
            while at < len(parts) and tries > 0:
                left = parts[:at] + parts[at + size :]
                tries -= 1
                if left and fails(b"".join(left)):
                    parts, shrunk = left, True
                else:
                    at += size
            if tries <= 0 or (size == 1 and not shrunk):
                return parts
            size = max(1, size // 2)

    lines = smaller(data.splitlines(keepends=True))
    return b"".join(smaller([bytes((byte,)) for byte in b"".join(lines)]))
