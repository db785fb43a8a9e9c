"""The settings and the columns of the driver `redis`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs

from kvscen.plugin import (
    Count,
    Duration,
    Finding,
    Measure,
    Secret,
    SecretFile,
    Size,
    String,
    Unfit,
    Word,
    setting,
    show_bytes,
)
from kvscen_drivers.gpu import bounce

#: The longest value that Redis keeps (its default `proto-max-bulk-len`).
MAX_VALUE_BYTES = 512 << 20
DEFAULT_PORT = 6379


def too_large(nbytes: int) -> str:
    return f"a block of {show_bytes(nbytes)} is more than a value may have, {show_bytes(MAX_VALUE_BYTES)}"


@attrs.frozen
class Address:
    """Where a server listens: a host and a port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.path}" if self.path else f"{host}:{self.port}"

    @classmethod
    def of(cls, text: str) -> Address:
        """Of "host", "host:port", "[::1]:port" or "unix:/path". Raises ValueError."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path:
                raise ValueError("the path of the socket is missing")
            return cls(path=path)
        if "/" in text or "@" in text:
            raise ValueError("this is no `host:port`")
        head, sep, tail = text.rpartition(":")
        host, port = (head, tail) if sep and not tail.endswith("]") and ("[" in head or ":" not in head) else (text, "")
        host = host.removeprefix("[").removesuffix("]")
        if not host or (port and not (port.isdecimal() and 0 < int(port) < 65536)) or (sep and not tail):
            raise ValueError("this is no `host:port`")
        return cls(host, int(port) if port else DEFAULT_PORT)


class EndpointText(String):
    """Where a server listens."""

    def describe(self) -> str:
        return 'an address such as `"10.0.0.7:6379"` or `"unix:/run/redis.sock"`'

    def convert(self, value: object) -> str:
        text = super().convert(value)  # type: ignore[arg-type]  # a Value, of which String knows what is a text
        try:
            Address.of(text)
        except ValueError as error:
            raise Unfit(f'"{text}": {error}', f"write {self.describe()}") from None
        return text


@attrs.frozen
class RedisSettings:
    """Settings of a tier of the driver `redis`. Those of a private server are taken out where an endpoint is named."""

    endpoint: str | None = setting(
        EndpointText(),
        default=None,
        help="the server; default: a private one on this machine, started for the run and ended with it",
    )
    user: str | None = setting(String(), default=None, help="the ACL user to log in as; default: the server's default")
    password: SecretFile | None = setting(  # noqa: RUF009 - an attrs field
        Secret(), default=None, help="the password, in a file of its own"
    )
    database: int = setting(Count(0, 65535), default=0, help="number of the database")
    prefix: str = setting(
        String(), default="kvscen:", help="what the names of our keys begin with; no other key is ever touched"
    )
    capacity_bytes: int | None = setting(
        Size(minimum=1), default=None, help="of a private server: its `maxmemory`; default: none"
    )
    io_threads: int | None = setting(Count(1, 128), default=1, help="of a private server: its `io-threads`")
    socket: Literal["tcp", "unix"] | None = setting(
        Word("tcp", "unix"), default="tcp", help="of a private server: how it is reached"
    )
    patience_ns: int = setting(
        Duration(minimum=10**6),
        default=10 * 10**9,
        help="so long may the server say nothing while it is waited for; then what is in flight has failed",
    )
    max_in_flight: int = setting(
        Count(1, 4096), default=128, help="most operations in flight in a lane, pipelined on its connection"
    )
    gpu: int | None = bounce.gpu_setting()

    def check(self) -> Iterator[Finding]:
        if not self.prefix:
            yield Finding(
                "KVS105", "without a prefix every key of the server would be ours", "prefix", 'write `"kvscen:"`'
            )
        if self.user is not None and self.password is None:
            yield Finding("KVS113", "a `user` needs a `password`", "user", 'add `password = secret("FILE")`')
        if self.endpoint is None and self.password is not None:
            yield Finding(
                "KVS114",
                "a private server has a password of its own",
                "password",
                "name an `endpoint`, or leave it out",
            )

    def complete(self) -> RedisSettings:
        if self.endpoint is None:
            return self
        return attrs.evolve(self, capacity_bytes=None, io_threads=None, socket=None)


MEASURES = (
    Measure("server", "string", "", "the server: its version, and those of its settings that matter here"),
    Measure("server_cpu_ns", "int64", "ns", "CPU time of the server from the start of the load to its end"),
    Measure("server_used_bytes", "int64", "B", "memory that the server uses after the load"),
    Measure("evicted_keys", "int64", "", "keys that the server evicted from the start of the load to its end"),
    *bounce.MEASURES,
)
