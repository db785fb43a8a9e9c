"""The servers of one tier in this worker: those that it was told of, or children of its own, which end with it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import attrs

from kvscen.plugin import DriverError, Lost, Tier, available_bytes, leashed, read_secret
from kvscen_drivers.memkv import protocol
from kvscen_drivers.memkv.client import Control, Endpoint
from kvscen_drivers.memkv.engine import Engine
from kvscen_drivers.memkv.protocol import Op
from kvscen_drivers.memkv.reach import Reach, reach
from kvscen_drivers.memkv.settings import MemkvSettings, split_endpoint

#: How long a server of our own may take to come up, and to end.
_START_S, _END_S = 60.0, 2.0


class Child:
    """A server on this machine that ends with this process. It comes up while others do: `greet` waits for it."""

    def __init__(self, tier: Tier, settings: dict[str, Any], secret: str) -> None:
        self._tier = tier
        self._process = subprocess.Popen(
            leashed([sys.executable, "-P", "-m", "kvscen_drivers.memkv.server"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        )
        assert self._process.stdin is not None
        # By a pipe: a command line is there for everybody to read.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({**settings, "secret": secret}).encode() + b"\n")
            self._process.stdin.flush()
        self._secret = secret.encode()
        self.endpoint = Endpoint("127.0.0.1", 0)

    def greet(self) -> None:
        """Raises DriverError where it does not come up."""
        self.endpoint = Endpoint("127.0.0.1", int(self._first_line()["port"]), self._secret)

    def _first_line(self) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream is not None
        line = stream.readline() if select.select([stream], [], [], _START_S)[0] else b""
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            raise DriverError(
                f"tier `{self._tier.name}`: its memkv server did not come up", "look into the worker's log"
            ) from None
        if "problem" in said:
            raise DriverError(f"tier `{self._tier.name}`, memkv server: {said['problem']}", said.get("remedy", ""))
        return said

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises Lost where the process has ended."""
        status = self._process.poll()
        if status is not None:
            raise Lost(
                f"tier `{self._tier.name}`: the memkv server {self.endpoint}, process {self.pid}, has ended with "
                f"status {status}",
                "look into the worker's log, and run again",
            )

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@attrs.define(eq=False)
class Namespace:
    """The values of blocks of one size: their keys begin with `tag`."""

    tag: int
    users: int = 0


class Fleet:
    """`users` are the stores that share it."""

    def __init__(self, tier: Tier, timeout_s: float) -> None:
        """Raises DriverError."""
        settings: MemkvSettings = tier.settings
        self.users = 0
        self.children: list[Child] = []
        self.endpoints: list[Endpoint] = []
        self._controls: list[Control] = []
        self._namespaces: dict[tuple[int, int], Namespace] = {}
        self._tier, self._timeout_s = tier, timeout_s
        self._reaches: dict[object, Reach] = {}
        self._transport = settings.transport
        #: For `rdma`.
        self.engine: Engine | None = None
        try:
            if settings.transport == "rdma":
                self.engine = self._engine(settings)
            if settings.endpoints is None:
                self._start(settings)
            else:
                secret = None if settings.secret is None else read_secret(settings.secret).encode()
                for text in settings.endpoints:
                    place = split_endpoint(text)
                    assert place is not None, "a checked setting"
                    self.endpoints.append(Endpoint(*place, secret))
            self._controls = [Control(endpoint, timeout_s, settings.transport) for endpoint in self.endpoints]
            self._boots = [told["boot"] for told in self.about()]
        except BaseException:
            self.close()
            raise

    def _engine(self, settings: MemkvSettings) -> Engine:
        """Raises Unavailable, DriverError."""
        place = None if settings.endpoints is None else split_endpoint(settings.endpoints[0])
        try:
            return Engine(own_address(place), settings.devices or (), settings.gid_index)
        except DriverError as error:
            raise type(error)(f"tier `{self._tier.name}`: {error}", error.remedy) from error

    def reach(self, server: int, control: Control) -> Reach:
        """The memory of a server, as the connection that `control` has tells of it; all lanes share it. Raises
        DriverError."""
        about = control.about()
        if about.get("boot") != self._boots[server]:
            raise DriverError(f"the memkv server {control.endpoint} was restarted", "run again")
        if server not in self._reaches:
            self._reaches[server] = reach(self._transport, control.endpoint, about, self.engine)
        return self._reaches[server]

    def _start(self, settings: MemkvSettings) -> None:
        secret = secrets.token_hex(32) if settings.secret is None else read_secret(settings.secret)
        assert settings.servers is not None, "a completed setting"
        capacity = settings.capacity_bytes
        if capacity is None:
            capacity = max(1 << 20, (available_bytes() or 1 << 30) // 2 // settings.servers)
            if settings.values == "files":
                capacity = _free_bytes(settings.path or ".") // 2 // settings.servers
        told = {
            "capacity_bytes": capacity,
            "evict": settings.eviction == "lru",
            "folder": settings.path if settings.values == "files" else None,
            "spin_ns": settings.spin_ns,
            "congestion": settings.congestion,
            "shm": settings.transport == "shm",
            "devices": list(settings.devices or ()) if settings.transport == "rdma" else None,
            "gid_index": settings.gid_index,
        }
        for _ in range(settings.servers):
            self.children.append(Child(self._tier, told, secret))
        for child in self.children:
            child.greet()
        self.endpoints = [child.endpoint for child in self.children]

    @property
    def limits(self) -> protocol.Limits:
        """What every server takes."""
        all_limits = [control.limits for control in self._controls]
        return protocol.Limits(
            min(each.key_bytes for each in all_limits),
            min(each.value_bytes for each in all_limits),
            min(each.batch for each in all_limits),
            max(each.grain for each in all_limits),
            any(each.evicts for each in all_limits),
        )

    def about(self) -> Sequence[dict[str, Any]]:
        """What the servers say of themselves. Raises DriverError."""
        return [control.about() for control in self._controls]

    def check(self) -> None:
        """Raises DriverError where a server has ended, does not answer, or is not the one that was written to."""
        for child in self.children:
            child.check()
        for endpoint, boot, told in zip(self.endpoints, self._boots, self.about(), strict=True):
            if told.get("boot") != boot:
                raise Lost(
                    f"tier `{self._tier.name}`: the memkv server {endpoint} was restarted, and what was written to it "
                    "is gone",
                    "run again",
                )

    def namespace(self, stride_bytes: int, entry: int) -> Namespace:
        """Of blocks of this size. Give it back with `leave`."""
        found = self._namespaces.setdefault((stride_bytes, entry), Namespace(secrets.randbits(64)))
        found.users += 1
        return found

    def leave(self, namespace: Namespace) -> None:
        """With its last user its values are deleted."""
        namespace.users -= 1
        if namespace.users:
            return
        self._namespaces = {size: each for size, each in self._namespaces.items() if each is not namespace}
        for control in self._controls:
            with contextlib.suppress(DriverError):  # it is gone, and its values with it
                control.call(Op.PURGE, namespace.tag.to_bytes(8, "little"))

    def close(self) -> None:
        for control in self._controls:
            control.close()
        self._reaches.clear()
        if self.engine is not None:
            self.engine.close()
        for child in self.children:
            child.close()


def own_address(place: tuple[str, int] | None) -> str:
    """The address of this machine by which a server there, or one on this machine, finds it. Raises DriverError."""
    if place is None:
        return "127.0.0.1"
    try:
        with socket.create_connection(place, _START_S) as probe:
            return str(probe.getsockname()[0])
    except OSError as error:
        raise DriverError(
            f"the memkv server {place[0]}:{place[1]} cannot be reached: {error.strerror or error}",
            "start it with `kvscen serve memkv`, or correct `endpoints`",
        ) from error


def _free_bytes(path: str) -> int:
    while not os.path.isdir(path):  # noqa: PTH112 - as it is written
        path = os.path.dirname(path) or "."  # noqa: PTH120
    free = os.statvfs(path)
    return free.f_bavail * free.f_frsize


_fleet_of: dict[Tier, Fleet] = {}


def join(tier: Tier, timeout_s: float) -> Fleet:
    """The servers of a tier, which all of its points in this worker share. Give them back with `part_from`."""
    if tier not in _fleet_of:
        _fleet_of[tier] = Fleet(tier, timeout_s)
    fleet = _fleet_of[tier]
    fleet.users += 1
    return fleet


def part_from(tier: Tier) -> None:
    """With the last user, servers of our own end."""
    fleet = _fleet_of[tier]
    fleet.users -= 1
    if not fleet.users:
        del _fleet_of[tier]
        fleet.close()
