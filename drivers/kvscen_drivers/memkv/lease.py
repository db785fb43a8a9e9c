"""What a server has lent one of its clients: values that the client reads by itself, and room that it writes into. All
of it ends with the connection."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from kvscen_drivers.memkv.protocol import LEASE, MAX_LEASES, PLACE, WHOLE, Status
from kvscen_drivers.memkv.values import Incoming, Kept, Refused, Values


@attrs.frozen(eq=False)
class _Lease:
    """`holder` keeps the memory, `kept` is the value that must not be evicted, `incoming` what a COMMIT makes of it."""

    holder: object
    kept: Kept | None
    incoming: Incoming | None


class Leases:
    """`linger` is given the memory that a client which is gone may still be writing to."""

    def __init__(self, values: Values, linger: Callable[[object], None] | None) -> None:
        self._values, self._linger = values, linger
        self._leases: dict[int, _Lease] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._leases)

    def lend(self, key: bytes, offset: int, length: int) -> tuple[bytes, int]:
        """(a PLACE, bytes of the whole value) to be read. Raises Refused."""
        self._refuse_too_many()
        piece, kept = self._values.lend(key, offset, None if length == WHOLE else length)
        return self._add(_Lease(piece.holder, kept, None), piece.place, len(piece.view)), piece.value_bytes

    def reserve(self, key: bytes, offset: int, length: int, value_bytes: int) -> bytes:
        """A PLACE to be written to. Raises Refused."""
        self._refuse_too_many()
        if not key:
            raise Refused(Status.BAD_REQUEST, "the key is empty")
        incoming = self._values.receive(key, offset, length, value_bytes)
        if incoming.into is not None:
            incoming.into.lent += 1
        return self._add(_Lease(incoming.slot, incoming.into, incoming), incoming.place, length)

    def commit(self, named: bytes) -> None:
        """What was written is the value now. Raises Refused."""
        lease = self._leases.get(LEASE.unpack(named)[0]) if len(named) == LEASE.size else None
        if lease is None or lease.incoming is None:
            raise Refused(Status.LEASE, "there is no such lease to write")
        self._end(named)
        lease.incoming.keep()

    def release(self, named: bytes) -> None:
        """They are needed no more. Raises Refused where there is none of one of them; the others have ended."""
        unknown = len(named) % LEASE.size != 0
        for first in range(0, len(named) - LEASE.size + 1, LEASE.size):
            lease = self._end(named[first : first + LEASE.size])
            if lease is None:
                unknown = True
            elif lease.incoming is not None:
                lease.incoming.drop()
        if unknown:
            raise Refused(Status.LEASE, "there is no such lease")

    def close(self) -> None:
        for lease in self._leases.values():
            if lease.incoming is not None:
                lease.incoming.drop()
                if self._linger is not None:
                    self._linger(lease.holder)
            if lease.kept is not None:
                self._values.take_back(lease.kept)
        self._leases.clear()

    def _add(self, lease: _Lease, place: int, nbytes: int) -> bytes:
        self._last += 1
        self._leases[self._last] = lease
        return PLACE.pack(self._last, place, nbytes)

    def _end(self, named: bytes) -> _Lease | None:
        lease = self._leases.pop(LEASE.unpack(named)[0], None)
        if lease is not None and lease.kept is not None:
            self._values.take_back(lease.kept)
        return lease

    def _refuse_too_many(self) -> None:
        if len(self._leases) >= MAX_LEASES:
            raise Refused(Status.FULL, f"a connection has at most {MAX_LEASES} leases at a time")
