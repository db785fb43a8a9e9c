"""The server: one thread that waits for all of its clients at once (epoll)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import secrets
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from kvscen.plugin import DriverError
from kvscen_drivers.memkv.memory import Region
from kvscen_drivers.memkv.patience import SPIN_NS, Patience
from kvscen_drivers.memkv.peer import Gone, House, Peer
from kvscen_drivers.memkv.protocol import VERSION, Limits
from kvscen_drivers.memkv.shared import share
from kvscen_drivers.memkv.values import FileValues, Values

#: How long a client may take to greet, and to go on with a request that it has begun.
GREETING_S, STALLED_S = 10.0, 60.0
#: An RDMA write that a client had started when its connection ended is over by then.
LINGER_S = 10.0
#: What values in files need of memory that is shared with clients.
_BUFFERS_BYTES = 256 << 20
_SWEEP_S = 1.0
_ACCEPTED_TOGETHER = 64
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT


@attrs.frozen
class ServerSettings:
    """Where a server listens and what it keeps. `spin_ns`: how long it looks for more before it sleeps, where more came
    about as soon before. `shm`, `devices`: clients may reach its memory by a mapping, or through these RDMA devices
    (all where it names none)."""

    host: str = "127.0.0.1"
    port: int = 0
    capacity_bytes: int = 1 << 30
    value_limit_bytes: int = 4 << 30
    connections: int = 4096
    evict: bool = False
    folder: str | None = None
    spin_ns: int = SPIN_NS
    congestion: str | None = None
    shm: bool = False
    devices: Sequence[str] | None = None
    gid_index: int | None = None
    secret: bytes | None = attrs.field(default=None, repr=False)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    with contextlib.suppress(OSError):
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        return all(str(address).startswith("127.") or address == "::1" for address in found)
    return False


class Server:
    """Listens when it is made. `run` serves until `stop`, or until `leash`, a file descriptor, is at its end."""

    def __init__(self, settings: ServerSettings) -> None:
        """Raises DriverError."""
        if settings.secret is None and not is_loopback(settings.host):
            raise DriverError(
                f"{settings.host} can be reached from other machines, and there is no secret",
                "give it a secret, or let it listen on 127.0.0.1",
            )
        if settings.devices is not None and settings.host in ("0.0.0.0", "::"):
            raise DriverError(
                f"{settings.host} is no address by which clients find the memory that RDMA devices reach",
                "listen on the address that clients use",
            )
        limits = Limits(value_bytes=min(settings.value_limit_bytes, settings.capacity_bytes), evicts=settings.evict)
        self._settings = settings
        self._shared = share(
            settings.capacity_bytes if settings.folder is None else _BUFFERS_BYTES,
            settings.host,
            settings.shm,
            settings.devices,
            settings.gid_index,
        )
        self._values = _values(settings, limits, None if self._shared is None else self._shared.region)
        self._boot = secrets.token_hex(8)
        #: When memory that a client which is gone may still be writing to is used again.
        self._lingering: deque[tuple[float, object]] = deque()
        self._house = House(self._values, settings.secret, self._about)
        if self._shared is not None:
            linger = self._linger if self._shared.engine is not None else None
            self._house = attrs.evolve(self._house, transports=self._shared.transports, linger=linger)
        self._peers: dict[int, tuple[Peer, list[float]]] = {}
        #: Whose turn ended before their work did.
        self._unfinished: set[int] = set()
        self._epoll = select.epoll()
        self._patience = Patience(settings.spin_ns)
        self._running = True
        try:
            family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
            self._listener = socket.create_server((settings.host, settings.port), family=family, backlog=1024)
        except OSError as error:
            raise DriverError(
                f"it cannot listen on {settings.host}:{settings.port}: {error.strerror}", "name another address"
            ) from error
        self._listener.setblocking(False)
        self._epoll.register(self._listener, _READ)
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.port: int = self._listener.getsockname()[1]

    def _about(self) -> dict[str, object]:
        values = self._values
        return {
            "version": VERSION,
            "boot": self._boot,
            "pid": os.getpid(),
            "values": len(values),
            "used_bytes": values.used_bytes,
            "capacity_bytes": values.capacity_bytes,
            "evicted": values.evicted,
            "connections": len(self._peers),
            "in": "memory" if self._settings.folder is None else "files",
            "transports": {} if self._shared is None else self._shared.told,
            "leases": sum(peer.leases for peer, _ in self._peers.values()),
            "cpu_ns": time.process_time_ns(),
        }

    def run(self, leash: int | None = None) -> None:
        listener, swept = self._listener.fileno(), time.monotonic()
        if leash is not None:
            self._epoll.register(leash, _READ)
        while self._running:
            events = self._events()
            now = time.monotonic()
            if self._unfinished:
                unfinished, self._unfinished = self._unfinished, set()
                for descriptor in unfinished.difference(each for each, _ in events):
                    if descriptor in self._peers:
                        self._ready(descriptor, now)
            for descriptor, _ in events:
                if descriptor == listener:
                    self._accept(now)
                elif descriptor == leash:
                    if not os.read(descriptor, 4096):
                        self._running = False
                else:
                    self._ready(descriptor, now)
            if now - swept > _SWEEP_S:
                swept = now
                self._sweep(now)
        self.close()

    def _events(self) -> list[tuple[int, int]]:
        """What is ready: at least something, unless a sweep is due."""
        poll, patience = self._epoll.poll, self._patience
        if self._unfinished:
            return poll(0)
        while patience.looks:
            events = poll(0)
            now = time.monotonic_ns()
            if events:
                patience.came(now)
                return events
            if not patience.again(now):
                break
        patience.again(time.monotonic_ns())
        events = poll(_SWEEP_S)
        patience.came(time.monotonic_ns())
        return events

    def stop(self) -> None:
        self._running = False

    def close(self) -> None:
        for descriptor in list(self._peers):
            self._drop(descriptor)
        self._listener.close()
        self._epoll.close()
        self._values.close()
        if self._shared is not None:
            self._shared.close()
        os.close(self._spare)

    def _accept(self, now: float) -> None:
        for _ in range(_ACCEPTED_TOGETHER):
            if not self._accept_one(now):
                return

    def _accept_one(self, now: float) -> bool:
        """Whether there may be more."""
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # Take the connection with the spare descriptor and end it: it would wait for ever.
                os.close(self._spare)
                with contextlib.suppress(OSError):
                    self._listener.accept()[0].close()
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            return False
        if len(self._peers) >= self._settings.connections:
            sock.close()
            return True
        sock.setblocking(False)
        tune(sock, self._settings.congestion)
        self._peers[sock.fileno()] = Peer(sock, self._house), [now, _READ]
        self._epoll.register(sock, _READ)
        return True

    def _ready(self, descriptor: int, now: float) -> None:
        peer, state = self._peers[descriptor]
        try:
            peer.ready()
        except Gone:
            self._drop(descriptor)
            return
        state[0] = now
        if peer.more:
            self._unfinished.add(descriptor)
        wanted = _WRITE if peer.writing else _READ
        if wanted != state[1]:
            state[1] = wanted
            self._epoll.modify(descriptor, wanted)

    def _sweep(self, now: float) -> None:
        """End those that never greeted, or stopped in the middle of something."""
        while self._lingering and self._lingering[0][0] < now:
            self._lingering.popleft()
        for descriptor, (peer, (last, _)) in list(self._peers.items()):
            if now - last > (STALLED_S if peer.greeted else GREETING_S) and not peer.idle:
                self._drop(descriptor)

    def _linger(self, memory: object) -> None:
        self._lingering.append((time.monotonic() + LINGER_S, memory))

    def _drop(self, descriptor: int) -> None:
        peer, _ = self._peers.pop(descriptor)
        with contextlib.suppress(OSError):
            self._epoll.unregister(descriptor)
        peer.close()


def tune(sock: socket.socket, congestion: str | None) -> None:
    """Small messages go at once, and a peer whose machine is gone is noticed. Raises OSError."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    if congestion is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())


def _values(settings: ServerSettings, limits: Limits, region: Region | None) -> Values:
    if settings.folder is None:
        return Values(settings.capacity_bytes, limits, settings.evict, region)
    folder = Path(settings.folder)
    try:
        folder.mkdir(exist_ok=True)
        limits = attrs.evolve(limits, grain=FileValues.grain)
        return FileValues(folder, settings.capacity_bytes, limits, settings.evict, region)
    except OSError as error:
        raise DriverError(
            f"the folder {folder} cannot be used for values with direct I/O: {error.strerror}",
            "name a folder on a disk, whose parent exists",
        ) from error


def more_files() -> None:
    """Let this process have as many connections as the machine permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """`python -m kvscen_drivers.memkv.server`: settings as a JSON object in one line of stdin; says on stdout, in
    another one, where it listens, or what is wrong. Ends when stdin does."""
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    secret = given.pop("secret", None)
    settings = ServerSettings(**given, secret=None if secret is None else secret.encode())
    more_files()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server = Server(settings)
    except DriverError as error:
        print(json.dumps({"problem": str(error), "remedy": error.remedy}), flush=True)
        return
    print(json.dumps({"port": server.port}), flush=True)
    server.run(leash=0)


if __name__ == "__main__":
    main()
