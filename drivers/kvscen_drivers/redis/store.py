"""One tier of the driver `redis` in one worker: a connection for each lane, and one of redis-py's for all else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kvscen.plugin import (
    Arena,
    DriverError,
    Lane,
    Layout,
    Limits,
    Lost,
    PathReport,
    Store,
    Tier,
    Work,
    available_bytes,
    host_arena,
    show_bytes,
)
from kvscen_drivers.redis.client import Client, Login
from kvscen_drivers.redis.lane import RedisLane
from kvscen_drivers.redis.replies import Commands
from kvscen_drivers.redis.server import Private, leave, private_server
from kvscen_drivers.redis.settings import MAX_VALUE_BYTES, Address, RedisSettings, too_large

#: Of a server's settings those that a reader of a figure wants to know.
_TOLD = ("maxmemory-policy", "io-threads", "save", "appendonly")
#: What a key takes beside its value, at least.
_KEY_BYTES = 96
_REMEDY = "touch fewer keys (`working_set`)"


class RedisStore(Store):
    """One point's view of its tier's server."""

    def __init__(self, tier: Tier, work: Work) -> None:
        """Raises Unavailable, DriverError."""
        self._tier, self._work = tier, work
        settings: RedisSettings = tier.settings
        self._settings = settings
        self.limits = Limits(alignment_bytes=1, max_in_flight=settings.max_in_flight)
        self._layout = Layout(0, 0, 1)
        self._lanes: list[RedisLane] = []
        self._private: Private | None = None
        self._client: Client | None = None
        self._before: Mapping[str, Any] = {}
        if settings.endpoint is None:
            self._private = private_server(tier)
            login = Login.of(settings, self._private.address, self._private.password)
        else:
            login = Login.of(settings, Address.of(settings.endpoint))
        self._where = f"the server at {login.address}"
        try:
            self._client = Client(tier, login)
            self._server = describe_server(self._client, private=self._private is not None)
            self._client.claim(settings.prefix)
        except BaseException:
            self.close()
            raise

    @property
    def _open(self) -> Client:
        assert self._client is not None
        return self._client

    @property
    def login(self) -> Login:
        """How the server is reached."""
        return self._open.login

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes)

    def lane(self, index: int, arena: Arena) -> Lane:
        lane = RedisLane(
            self._open.data_socket(),
            f"tier `{self._tier.name}`: {self._where}",
            arena,
            self._settings.max_in_flight,
            self._settings.patience_ns / 1e9,
            self.clock,
            self._within,
        )
        lane.commands = self._commands
        self._lanes.append(lane)
        return lane

    # ---- laying out

    @property
    def _prefix(self) -> str:
        """What the names of this layout's keys begin with: blocks of another size are other keys."""
        return f"{self._settings.prefix}{self._layout.stride_bytes}:"

    @property
    def _commands(self) -> Commands:
        return Commands(self._prefix.encode(), self._layout.stride_bytes)

    def _within(self, key: int, offset: int, nbytes: int) -> bool:
        layout = self._layout
        return 0 <= key - layout.first_key < layout.keys and offset + nbytes <= layout.stride_bytes and nbytes > 0

    def prepare(self, layout: Layout) -> Sequence[int]:
        if layout.stride_bytes > MAX_VALUE_BYTES:
            raise DriverError(f"tier `{self._tier.name}`: {too_large(layout.stride_bytes)}", "use smaller blocks")
        self._fits(layout.keys, layout.stride_bytes, self._room(None))
        self._layout = layout
        for lane in self._lanes:
            lane.commands = self._commands
        keys = range(layout.first_key, layout.first_key + layout.keys)
        lengths = self._open.lengths([f"{self._prefix}{key}" for key in keys])
        missing = [key for key, length in zip(keys, lengths, strict=True) if length != layout.stride_bytes]
        if missing:
            free = self._room(self._open.info())
            if free is not None and len(missing) * (layout.stride_bytes + _KEY_BYTES) > free:
                # Blocks of other sizes are ours too, and the next point that wants them lays them out again.
                self._open.remove(self._settings.prefix, but=self._prefix)
                free = self._room(self._open.info())
            self._fits(len(missing), layout.stride_bytes, free)
        return missing

    def _room(self, info: Mapping[str, Any] | None) -> int | None:
        """What the server can still hold, or could if it were empty (`info` is None); None where it does not say."""
        told = self._open.info() if info is None else info
        used = 0 if info is None else int(told.get("used_memory", 0))
        most = int(told.get("maxmemory", 0) or 0)
        if most:
            return max(0, most - used)
        if self._private is None:
            total = int(told.get("total_system_memory", 0) or 0)
            return max(0, total - used) if total else None
        free = available_bytes()
        return None if free is None else free + (int(told.get("used_memory", 0)) if info is None else 0)

    def _fits(self, keys: int, stride_bytes: int, room: int | None) -> None:
        needed = keys * (stride_bytes + _KEY_BYTES)
        if room is not None and needed > room:
            remedy = "give it a larger `capacity`, or " if self._settings.capacity_bytes else ""
            raise DriverError(
                f"tier `{self._tier.name}`: {show_bytes(needed)} of blocks do not fit in the {show_bytes(room)} that "
                f"{self._where} has for them",
                remedy + _REMEDY,
            )

    # ---- trials

    def reset(self) -> None:
        self._alive()
        for lane in self._lanes:
            lane.check()
        self._before = self._open.info()

    def counters(self) -> Mapping[str, int]:
        return {"wire_bytes": sum(lane.sent_bytes + lane.received_bytes for lane in self._lanes)}

    def measures(self) -> Mapping[str, int | float | str | None]:
        info, before = self._open.info(), self._before
        return {
            "server": self._server,
            "server_cpu_ns": round((_cpu_s(info) - _cpu_s(before)) * 1e9) if before else None,
            "server_used_bytes": int(info.get("used_memory", 0)),
            "evicted_keys": _evicted(info) - _evicted(before) if before else None,
        }

    def path(self) -> PathReport:
        what = f"RESP over {'a Unix socket' if self._unix else 'TCP'} to {self.login.address}"
        if self._unix:
            return PathReport("unix socket", f"{what}; the bytes are the driver's own count")
        open_lanes = [lane for lane in self._lanes if not lane.lost]
        known = [count for lane in open_lanes if (count := lane.kernel_bytes()) is not None]
        if not known or len(known) < len(self._lanes):
            return PathReport("tcp", f"{what}; the bytes are the driver's own count")
        sent, received = (sum(column) for column in zip(*known, strict=True))
        ours = sum(lane.sent_bytes for lane in open_lanes), sum(lane.received_bytes for lane in open_lanes)
        if (sent, received) == ours:
            return PathReport("tcp", f"{what}; the kernel counts the same bytes on its connections as the driver")
        return PathReport(
            "tcp",
            f"{what}; the driver counts {ours[0]} bytes sent and {ours[1]} received, the kernel {sent} and {received}",
        )

    @property
    def _unix(self) -> bool:
        return bool(self.login.address.path)

    def locate(self, key: int) -> str:
        place = f"key `{self._prefix}{key}` at {self.login.address}"
        said = next((lane.said[key] for lane in self._lanes if key in lane.said), "")
        return f"{place} [{said}]" if said else place

    def check(self) -> None:
        self._alive()
        for lane in self._lanes:
            lane.check()
        evicted = _evicted(self._open.info()) - _evicted(self._before) if self._before else 0
        if evicted > 0:
            raise DriverError(
                f"tier `{self._tier.name}`: {self._where} evicted {evicted} keys during the load",
                "give the server more memory (`maxmemory`) or the pattern a smaller `working_set`",
            )

    def _alive(self) -> None:
        """Raises Lost where the private server has ended."""
        if self._private is not None and self._private.ended:
            raise Lost(
                f"tier `{self._tier.name}`: the private server {self._private.ended}",
                "run again; the next point starts a fresh one",
            )

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()
        if self._client is not None:
            self._client.close()
        if self._private is not None:
            leave(self._tier, self._private)
            self._private = None


def describe_server(client: Client, *, private: bool = False) -> str:
    """Version and settings, for people."""
    info = client.info()
    name = "valkey" if "valkey_version" in info else "redis"
    version = info.get("valkey_version") or info.get("redis_version") or "of unknown version"
    most = int(info.get("maxmemory", 0) or 0)
    told = client.config(*_TOLD)
    facts = [f"{name} {version}" + (", private to this worker" if private else "")]
    facts.append(f"maxmemory {show_bytes(most) if most else 'none'}")
    facts += [f"{key} {value or 'none'}" for key, value in told.items()]
    return ", ".join(facts)


def _cpu_s(info: Mapping[str, Any]) -> float:
    return float(info.get("used_cpu_user", 0)) + float(info.get("used_cpu_sys", 0))


def _evicted(info: Mapping[str, Any]) -> int:
    return int(info.get("evicted_keys", 0))
