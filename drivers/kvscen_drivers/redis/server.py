"""A private server: the one of the Redis or Valkey that is installed, for one tier, on this machine."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from kvscen.plugin import DriverError, Tier, Unavailable
from kvscen_drivers.private import PrivateServer, find_program, on_free_port
from kvscen_drivers.redis.settings import Address, RedisSettings

PROGRAMS = ("redis-server", "valkey-server")
MISSING = "no `endpoint` is named, and neither redis-server nor valkey-server is installed here"
INSTALL = "apt install redis-server (or dnf install valkey), or name an `endpoint`"
_LIMIT_S = 5.0


def program() -> str | None:
    return find_program(*PROGRAMS)


def program_version(path: str) -> str:
    """What the program says of itself; Raises DriverError where it does not run."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"{path} does not run: {error}", INSTALL) from error
    found = [word.removeprefix("v=") for word in done.stdout.split() if word.startswith("v=")]
    if done.returncode or not found:
        raise DriverError(f"{path} --version ended with status {done.returncode}", INSTALL)
    return f"{Path(path).name.removesuffix('-server')} {found[0]}"


class Private:
    """Without persistence, for connections of this machine that know its password."""

    def __init__(self, tier: Tier) -> None:
        """Raises Unavailable, DriverError."""
        settings: RedisSettings = tier.settings
        path = program()
        if path is None:
            raise Unavailable(f"tier `{tier.name}`: {MISSING}", INSTALL)
        self.users = 0
        self.version = program_version(path)
        self.password = secrets.token_hex(16)
        # A path of a socket has at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="kvscen-redis-"))
        lines = [
            "bind 127.0.0.1",
            'save ""',
            "appendonly no",
            "maxmemory-policy noeviction",
            "daemonize no",
            f"dir {self._folder}",
            f"requirepass {self.password}",
            f"io-threads {settings.io_threads}",
            f"maxmemory {settings.capacity_bytes or 0}",
        ]
        what = f"tier `{tier.name}`: the private {self.version}"

        def start(address: Address, listens: list[str]) -> PrivateServer:
            self.address = address
            return PrivateServer(what, [path, "-"], self._answers, stdin="\n".join([*lines, *listens, ""]).encode())

        try:
            if settings.socket == "unix":
                place = Address(path=str(self._folder / "socket"))
                self._server = start(place, ["port 0", f"unixsocket {place.path}", "unixsocketperm 600"])
            else:
                self._server, _ = on_free_port(lambda port: start(Address("127.0.0.1", port), [f"port {port}"]))
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def _answers(self, _: PrivateServer) -> bool:
        with contextlib.suppress(OSError), self._connected() as link:
            # It wants a password first: an answer all the same.
            link.settimeout(1)
            link.sendall(b"PING\r\n")
            return link.recv(64).startswith(b"-NOAUTH")
        return False

    def _connected(self) -> socket.socket:
        if not self.address.path:
            return socket.create_connection((self.address.host, self.address.port), timeout=1)
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(self.address.path)
        except BaseException:
            link.close()
            raise
        return link

    @property
    def pid(self) -> int:
        return self._server.pid

    @property
    def ended(self) -> str:
        return self._server.ended

    def close(self) -> None:
        self._server.close()
        shutil.rmtree(self._folder, ignore_errors=True)


_private_of: dict[Tier, Private] = {}


def private_server(tier: Tier) -> Private:
    """The server of a tier in this worker, which the stores of all its points share; `leave` when it is done with.
    Raises Unavailable, DriverError."""
    found = _private_of.get(tier)
    if found is None or found.ended:
        found = _private_of[tier] = Private(tier)
    found.users += 1
    return found


def leave(tier: Tier, server: Private) -> None:
    """The last one ends it."""
    server.users -= 1
    if not server.users:
        server.close()
        if _private_of.get(tier) is server:
            del _private_of[tier]
