"""What a lane has NIXL do: transfers, which are kept to be posted again, and postings of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

import attrs

from kvscen_drivers.nixl.agent import Blocks, Request
from kvscen_drivers.reports import Report

#: Operations whose requests are kept for posting them again.
_KEPT = 1 << 16


@attrs.define
class Figures:
    """What a lane has seen of NIXL since `Figures` was made; times in ns."""

    transfers: int = 0
    made: int = 0
    making_ns: int = 0
    posting_ns: int = 0
    moving_ns: int = 0
    looks: int = 0
    looking_ns: int = 0


@attrs.define(eq=False, slots=True)
class Transfer:
    """Blocks that NIXL moves as one. `identity` is that of any other that moves the same blocks the same way between
    the same buffers, None where it is not to be kept."""

    identity: Hashable
    write: bool
    blocks: Blocks
    request: Request = None


class Kept:
    """Transfers that are not in flight, those that were posted last at the end."""

    def __init__(self) -> None:
        self._transfers: OrderedDict[Hashable, Transfer] = OrderedDict()
        self._operations = 0

    def take(self, identity: Hashable) -> Transfer | None:
        """The transfer that moves the same, if there is one: it is in flight from now on."""
        transfer = self._transfers.pop(identity, None)
        if transfer is not None:
            self._operations -= len(transfer.blocks)
        return transfer

    def put(self, transfer: Transfer) -> None:
        """It may be posted again. Where the same was in flight twice one of both is let go."""
        self.take(transfer.identity)
        self._transfers[transfer.identity] = transfer
        self._operations += len(transfer.blocks)
        while self._operations > _KEPT and len(self._transfers) > 1:
            self._operations -= len(self._transfers.popitem(last=False)[1].blocks)

    def clear(self) -> None:
        self._transfers.clear()
        self._operations = 0


@attrs.define(eq=False, slots=True)
class Buffers:
    """A part of the arena for one batch at a time, from `first` on; `used` counts what is in flight in it."""

    first: int
    used: int = 0


@attrs.define(eq=False, slots=True)
class Posting:
    """A transfer on its way, and the rows [first, last) that tell of it. `buffers` are those that the lane has lent
    it, if any."""

    transfer: Transfer
    report: Report
    first: int
    last: int
    buffers: Buffers | None = None
    posted_ns: int = 0
