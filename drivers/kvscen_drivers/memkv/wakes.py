"""How many bytes have to be there before whoever waits for a connection is woken."""

from __future__ import annotations

import socket

#: Waking up and being put to sleep again costs as much as copying some hundred KiB.
_MOST_BYTES = 1 << 20
#: Below this there is nothing to save.
_LEAST_BYTES = 32 << 10


def wake_at(sock: socket.socket, rest_bytes: int, now: int) -> int:
    """Be woken when so much of the rest of a value is there (SO_RCVLOWAT), for other things at once. `now` is how many
    bytes wake so far; returns how many do from now on. A connection that ends wakes always. Raises OSError."""
    wanted = 1 if rest_bytes < _LEAST_BYTES else min(rest_bytes, _MOST_BYTES)
    if wanted != now:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
    return wanted
