"""Ranks that write to each other's memory by NIXL: each worker has one agent, for what it sends and for what it is
sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from kvscen.plugin import WRITE, Arena, DriverError, Inbox, Lane, Limits, PathReport, Rows, Tier, Work, host_arena
from kvscen_drivers.nixl import wheel, wire
from kvscen_drivers.nixl.agent import Agent, Blocks, Place, Request
from kvscen_drivers.nixl.lane import NixlLane
from kvscen_drivers.nixl.settings import as_dict
from kvscen_drivers.nixl.store import NixlStore, network_verdict
from kvscen_drivers.nixl.transfers import Posting, Transfer

#: Under so many bytes the interfaces' counters say nothing.
_LEAST_BYTES = 1 << 20


class RankAgent(Agent):
    """An agent that knows those of all ranks. The device of a block's place is not used: its `base` says which
    rank's."""

    def __init__(self, backend: str, parameters: Mapping[str, str], env: Mapping[str, str], arena: Arena) -> None:
        super().__init__(backend, parameters, env, arena)
        self._inboxes: list[object] = []
        self._peers: list[tuple[Place, str]] = []

    def offer(self, arena: Arena) -> bytes:
        """Let others write to this memory; what they need for it. Raises DriverError."""
        try:
            self._inboxes.append(
                self._agent.register_memory([(arena.address, arena.nbytes, 0, "")], "DRAM", self._backends)
            )
            metadata: bytes = self._agent.get_agent_metadata()
        except Exception as error:  # the bindings have error classes of their own
            raise DriverError(
                f"NIXL's {self._backends[0]} does not register {arena.nbytes} bytes for other ranks: {error}",
                "look into the worker's log",
            ) from error
        return json.dumps([self.name, arena.address, metadata.hex()]).encode()

    def meet(self, cards: Sequence[bytes]) -> None:
        """What `offer` gave in each rank. Raises DriverError."""
        found = []
        for rank, card in enumerate(cards):
            name, address, metadata = json.loads(card)
            place = Place("DRAM", int(address), 0, bytes.fromhex(metadata))
            try:
                found.append((place, name if name == self.name else self._known(place)))
            except Exception as error:  # the bindings have error classes of their own
                raise DriverError(
                    f"NIXL's {self._backends[0]} does not reach rank {rank}: {error}", "look into the worker's log"
                ) from error
        self._peers = found

    def request_to(self, rank: int, write: bool, blocks: Blocks) -> Request:
        place, peer = self._peers[rank]
        return self._request(write, blocks, place, peer)

    def help_along(self) -> None:
        """Without hardware that does it, moving bytes takes both processes."""
        self._agent.get_new_notifs(self._backends)

    def close(self) -> None:
        for registered in self._inboxes:
            self._agent.deregister_memory(registered, backends=self._backends)
        self._inboxes.clear()
        super().close()


class RankLane(NixlLane):
    """The key of an operation is a rank; its offset a byte of that rank's memory, of which `sizes` says how much there
    is."""

    _agent: RankAgent
    sizes: Sequence[int] = ()
    moved_bytes = 0

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        if not at_least and not self._closed:
            self._agent.help_along()
        return super().reap(out, at_least, timeout_ns)

    def meet(self, cards: Sequence[bytes], sizes: Sequence[int]) -> None:
        self._kept.clear()
        self._agent.meet(cards)
        self.sizes = sizes

    def _block(self, key: int, offset: int, nbytes: int, buffer: int, kind: int) -> tuple[int, int, int] | None:
        if key >= len(self.sizes) or offset + nbytes > self.sizes[key] or kind != WRITE:
            return None
        return None if buffer + nbytes > self._arena_bytes else (self._address + buffer, offset, nbytes)

    def _end(self, posting: Posting, now: int) -> None:
        super()._end(posting, now)
        self.moved_bytes += int(posting.report.rows["bytes"][posting.first : posting.last].sum())

    def _request(self, transfer: Transfer) -> Request:
        assert isinstance(transfer.identity, tuple), "each operation is a transfer of its own"
        return self._agent.request_to(transfer.identity[0], transfer.write, transfer.blocks)


class RankStore(NixlStore):
    """One rank of a point."""

    def __init__(self, tier: Tier, work: Work) -> None:
        super().__init__(tier, work)
        network_verdict(tier)
        self.limits = Limits(1, self._settings.max_in_flight)
        self._lane: RankLane | None = None
        self._agent: RankAgent | None = None
        self._before: Mapping[str, int] = {}

    def lane(self, index: int, arena: Arena) -> Lane:
        settings = self._settings
        agent = RankAgent(settings.backend, settings.plugin_parameters(), as_dict(settings.env), arena)
        lane = RankLane(
            agent,
            arena,
            self.limits.max_in_flight,
            self.clock,
            batch=0,
            again=not settings.recreate,
        )
        self._agent, self._lane = agent, lane
        self._lanes.append(lane)
        return lane

    def offer(self, nbytes: int) -> Inbox:
        assert self._agent is not None
        arena = host_arena(nbytes, huge=self._settings.buffers == "huge")
        try:
            return Inbox(arena, self._agent.offer(arena))
        except DriverError:
            arena.close()
            raise

    def meet(self, cards: Sequence[bytes]) -> None:
        assert self._lane is not None and self._work.traffic is not None
        traffic = self._work.traffic
        self._lane.meet(cards, [traffic.inbox_bytes(rank) for rank in range(traffic.ranks)])

    def reset(self) -> None:
        super().reset()
        if self._lane is not None:
            self._lane.moved_bytes = 0
        self._before = wire.sent_bytes()

    def path(self) -> PathReport:
        """By what all ranks have sent since the last reset, for they send at the same time."""
        what = (
            f"NIXL {wheel.version()} {self._settings.backend} between {self._work.processes} processes on this machine"
        )
        moved = 0 if self._lane is None else self._lane.moved_bytes
        if moved < _LEAST_BYTES:
            return PathReport("unknown", f"{what}; too little was sent to see which way it went")
        return wire.path_of(what, moved, self._before, wire.sent_bytes(), part="what a rank sent")

    def locate(self, key: int) -> str:
        return f"the memory of rank {key}"

    def close(self) -> None:
        self._lane = self._agent = None
