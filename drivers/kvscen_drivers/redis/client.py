"""redis-py, for all but the blocks: connecting, logging in, asking the server about itself, removing keys.

It is imported where it is first needed: `kvscen lint` does without.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from kvscen.plugin import DriverError, Tier, Unavailable, read_secret
from kvscen_drivers.redis.settings import Address, RedisSettings

INSTALL = "pip install 'kvscen[redis]'"
MISSING = "redis-py is not installed"

#: How long connecting may take.
_CONNECT_S = 5.0


def installed() -> bool:
    return importlib.util.find_spec("redis") is not None


@attrs.frozen
class Login:
    """How to reach a server and be let in. `password` is never printed."""

    address: Address
    database: int = 0
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    patience_s: float = 10.0

    @classmethod
    def of(cls, settings: RedisSettings, address: Address, password: str | None = None) -> Login:
        """Raises DriverError where the secret cannot be read."""
        if settings.password is not None:
            password = read_secret(settings.password)
        return cls(address, settings.database, settings.user, password, settings.patience_ns / 1e9)

    def options(self) -> dict[str, Any]:
        where: dict[str, Any]
        if self.address.path:
            where = {"path": self.address.path}
        else:
            where = {"host": self.address.host, "port": self.address.port}
        return {
            **where,
            "db": self.database,
            "username": self.user,
            "password": self.password,
            "socket_timeout": self.patience_s,
            "socket_connect_timeout": _CONNECT_S,
            "client_name": "kvscen",
            "protocol": 2,
        }


@contextlib.contextmanager
def translated(tier: Tier, login: Login) -> Iterator[None]:
    """What redis-py raises, as what kvscen tells its user."""
    from redis import exceptions

    where = f"tier `{tier.name}`: the server at {login.address}"
    try:
        yield
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        given = "does not take the password" if login.password else "asks for a password"
        if isinstance(error, exceptions.NoPermissionError):
            given = "does not permit what is needed"
        raise DriverError(f"{where} {given}: {error}", 'set `user` and `password = secret("FILE")`') from error
    except exceptions.TimeoutError as error:
        raise DriverError(
            f"{where} says nothing for {login.patience_s:g} s", "see whether it hangs, or set a longer `patience`"
        ) from error
    except exceptions.ConnectionError as error:
        cause = error.__context__ if isinstance(error.__context__, OSError) else None
        why = cause.strerror or str(cause) if cause is not None else str(error)
        raise Unavailable(f"{where} cannot be reached: {why}", "start it, or name another `endpoint`") from error
    except exceptions.MovedError as error:
        raise DriverError(f"{where} is a cluster: {error}", _NO_CLUSTER) from error
    except exceptions.ResponseError as error:
        if "NOAUTH" in str(error) or "Authentication required" in str(error):
            raise DriverError(f"{where} asks for a password", 'set `password = secret("FILE")`') from error
        raise DriverError(f"{where} answered: {error}", "see the server's log") from error
    except exceptions.RedisError as error:
        raise DriverError(f"{where}: {error}", "is it a Redis or Valkey server?") from error


_NO_CLUSTER = "a cluster is not supported: name a server that is none"


class Client:
    """One connection of redis-py's to the server of a tier. What goes wrong is a DriverError or Unavailable."""

    def __init__(self, tier: Tier, login: Login) -> None:
        if not installed():
            raise Unavailable(f"tier `{tier.name}`: {MISSING}", INSTALL)
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self.tier, self.login = tier, login
        options = login.options()
        if "path" in options:
            options["unix_socket_path"] = options.pop("path")
        self._redis: Any = redis.Redis(**options, retry=Retry(NoBackoff(), 0))
        info = self.info()
        if info.get("cluster_enabled") in (1, "1") or info.get("redis_mode") == "cluster":
            raise DriverError(f"tier `{tier.name}`: the server at {login.address} is part of a cluster", _NO_CLUSTER)

    def info(self) -> Mapping[str, Any]:
        """INFO, all sections together."""
        with translated(self.tier, self.login):
            found: Mapping[str, Any] = self._redis.info()
            return found

    def config(self, *names: str) -> dict[str, str]:
        """These settings of the server; those that it does not tell are left out (managed services hide them)."""
        from redis.exceptions import ResponseError

        found: dict[str, str] = {}
        with translated(self.tier, self.login):
            for name in names:
                try:
                    found |= self._redis.config_get(name)
                except ResponseError:
                    return found
        return found

    # ---- our keys, and no others

    def claim(self, prefix: str) -> None:
        """Mark the prefix as ours. Raises DriverError where keys of others begin with it."""
        marker = f"{prefix}marker"
        with translated(self.tier, self.login):
            if self._redis.get(marker) is not None:
                return
            other = next(self._redis.scan_iter(match=_literal(prefix) + "*", count=10_000), None)
            if other is not None:
                raise DriverError(
                    f"tier `{self.tier.name}`: the server at {self.login.address} has keys that begin with "
                    f'"{prefix}" and are not ours, such as {other.decode(errors="replace")!r}',
                    "set another `prefix`",
                )
            self._redis.set(marker, "the keys that begin like this one are kvscen's: it may overwrite and remove them")

    def lengths(self, names: list[str]) -> list[int]:
        """The bytes of each value; 0 where there is none."""
        found: list[int] = []
        with translated(self.tier, self.login):
            for first in range(0, len(names), 10_000):
                pipeline = self._redis.pipeline(transaction=False)
                for name in names[first : first + 10_000]:
                    pipeline.strlen(name)
                found += pipeline.execute()
        return found

    def remove(self, prefix: str, but: str) -> int:
        """Remove our blocks whose names do not begin with `but`; how many there were."""
        removed = 0
        with translated(self.tier, self.login):
            batch = []
            for name in self._redis.scan_iter(match=_literal(prefix) + "*", count=10_000):
                if not name.startswith(but.encode()) and name != f"{prefix}marker".encode():
                    batch.append(name)
                if len(batch) == 1000:
                    removed += self._redis.unlink(*batch)
                    batch = []
            if batch:
                removed += self._redis.unlink(*batch)
        return removed

    def data_socket(self) -> socket.socket:
        """A connection of its own that is logged in, for blocks."""
        from redis.connection import Connection, UnixDomainSocketConnection

        options = self.login.options()
        kind: Any = UnixDomainSocketConnection if "path" in options else Connection
        connection = kind(**options)
        with translated(self.tier, self.login):
            connection.connect()
        # redis-py keeps its socket to itself; a copy is ours, and lives on when the connection is closed.
        own = socket.socket(fileno=connection._sock.detach())
        connection._sock = None
        return own

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._redis.close()


def _literal(text: str) -> str:
    """A pattern of MATCH that is this text."""
    return "".join("\\" + letter if letter in "*?[]\\^" else letter for letter in text)
