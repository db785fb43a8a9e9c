"""A NIXL agent as a lane uses it: one backend, the lane's buffers on this side, a file or another process's memory on
the other."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.plugin import Arena, DriverError
from kvscen_drivers.nixl import wheel

DONE, ACTIVE = "DONE", "PROC"
#: The errno that stands for each of NIXL's errors; any other is EIO.
_ERRNO = {
    "nixlRemoteDisconnectError": errno.ECONNRESET,
    "nixlNotAllowedError": errno.ENOBUFS,
    "nixlCancelledError": errno.ECANCELED,
}
#: A file is registered once, as long as files get.
_WHOLE_FILE = 1 << 62
_numbers = itertools.count()

#: A transfer that NIXL can post, and post again.
Request: TypeAlias = Any
#: (address of the buffer, offset from the place's base, bytes) of each block.
Blocks: TypeAlias = "Sequence[Sequence[int]] | npt.NDArray[np.uint64]"


@attrs.frozen
class Place:
    """Where the blocks are: in a file that is open as `device`, or in the memory of an agent that `metadata` describes.
    `base` is where key 0 would lie: an offset, or an address."""

    memory: Literal["FILE", "DRAM"]
    base: int
    device: int = 0
    metadata: bytes = b""


class Agent:
    """An agent with one backend. Used by one thread at a time. Raises DriverError where it cannot be made."""

    def __init__(self, backend: str, parameters: Mapping[str, str], env: Mapping[str, str], arena: Arena) -> None:
        api = wheel.api()
        self.name = f"kvscen-{os.getpid()}-{next(_numbers)}"
        self._backends = [backend]
        self._place: Place | None = None
        self._peer = ""
        self._file: Any = None
        with wheel.variables(env):
            # The lane looks for completions anyway, and a progress thread would take a CPU of its own.
            config = api.nixl_agent_config(enable_prog_thread=False, backends=[])
            agent = api.nixl_agent(self.name, config)
            try:
                agent.create_backend(backend, dict(parameters))
                self._buffers = agent.register_memory([(arena.address, arena.nbytes, 0, "")], "DRAM", self._backends)
            except Exception as error:  # the bindings have error classes of their own
                raise DriverError(
                    f"NIXL's {backend} does not come up for {arena.nbytes} bytes of buffers: {error}",
                    "use fewer `threads`, a smaller `depth`, or look into the worker's log",
                ) from error
        self._agent: Any = agent
        #: `post(request)` and `look(request)` give DONE, ACTIVE or something else, or raise.
        self.post = agent.transfer
        self.look = agent.check_xfer_state

    def turn_to(self, place: Place) -> None:
        """From now on requests are for this place; those that were made before must not be posted any more. Raises
        DriverError."""
        if place == self._place:
            return
        self._forget_file()
        agent, backends = self._agent, self._backends
        try:
            if place.memory == "FILE":
                self._file = agent.register_memory([(0, _WHOLE_FILE, place.device, "")], "FILE", backends)
                self._peer = self.name
            elif self._place is None or place.metadata != self._place.metadata:
                self._peer = self._known(place)
        except Exception as error:  # the bindings have error classes of their own
            raise DriverError(
                f"NIXL's {backends[0]} does not take the place of the blocks ({place.memory}): {error}",
                "look into the worker's log",
            ) from error
        self._place = place

    def request(self, write: bool, blocks: Blocks) -> Request:
        """One transfer of these blocks of the place that was turned to."""
        assert self._place is not None
        return self._request(write, blocks, self._place, self._peer)

    def _request(self, write: bool, blocks: Blocks, place: Place, peer: str) -> Request:
        """Made with createXferReq. Requests out of prepared lists (makeXferReq) would merge blocks that are neighbours
        on both sides into one, and move something else than blocks.
        """
        agent = self._agent
        # (address, length, device) of each block on this side and on the other.
        here = np.array(blocks, np.uint64)
        there = here.copy()
        here[:, 1], here[:, 2] = there[:, 2], 0
        there[:, 0], there[:, 1], there[:, 2] = there[:, 1] + np.uint64(place.base), there[:, 2], place.device
        return agent.initialize_xfer(
            "WRITE" if write else "READ",
            agent.get_xfer_descs(here, "DRAM"),
            agent.get_xfer_descs(there, place.memory),
            peer,
            b"",
            self._backends,
        )

    def _known(self, place: Place) -> str:
        """The name of the agent that a place's metadata describes, which is made known to this one."""
        name = self._agent.add_remote_agent(place.metadata)
        return name.decode() if isinstance(name, bytes) else str(name)

    def close(self) -> None:
        """Nothing is in flight, and no request is held any more."""
        self._forget_file()
        self._agent.deregister_memory(self._buffers, backends=self._backends)
        del self.post, self.look, self._agent

    def _forget_file(self) -> None:
        if self._file is not None:
            self._agent.deregister_memory(self._file, backends=self._backends)
            self._file = None


def errno_of(error: Exception) -> int:
    """The errno that comes nearest to what NIXL says; it has none of its own."""
    return _ERRNO.get(type(error).__name__, errno.EIO)
