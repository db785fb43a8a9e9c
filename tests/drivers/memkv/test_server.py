"""The server by itself: what it keeps, whom it lets in, and what it makes of nonsense."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable

import pytest

from kvscen.plugin import DriverError
from kvscen_drivers.memkv import protocol
from kvscen_drivers.memkv.client import Control, Endpoint
from kvscen_drivers.memkv.protocol import MAX_KEY_BYTES, Op, Status
from kvscen_drivers.memkv.server import Server, ServerSettings
from tests.drivers.memkv.support import control, serving


@pytest.mark.parametrize("key", [b"k", b"x" * MAX_KEY_BYTES], ids=["short", "64 KiB"])
@pytest.mark.parametrize("value", [b"", b"v", bytes(range(256)) * 4096], ids=["0 bytes", "1 byte", "1 MiB"])
def test_a_value_comes_back_as_it_was_put(key: bytes, value: bytes) -> None:
    with serving() as endpoint:
        client = control(endpoint)
        assert client.call(Op.EXISTS, key)[0] == Status.MISSING
        assert client.call(Op.PUT, key, value=value)[0] == Status.OK
        assert client.call(Op.EXISTS, key)[:2] == (Status.OK, len(value))
        assert client.call(Op.GET, key, length=len(value)) == (Status.OK, len(value), value)
        assert client.call(Op.DELETE, key)[0] == Status.OK
        assert client.call(Op.GET, key, length=len(value))[0] == Status.MISSING
        client.close()


def test_ranges_of_a_value() -> None:
    with serving() as endpoint:
        client = control(endpoint)
        client.call(Op.PUT, b"k", value=bytes(range(200)))
        assert client.call(Op.GET, b"k", 10, 5) == (Status.OK, 200, bytes(range(10, 15)))
        status, _, why = client.call(Op.GET, b"k", 190, 20)
        assert (status, why) == (Status.RANGE, b"the range ends at 210, beyond a value of 200 bytes")
        client.close()


def test_a_full_server_refuses_and_keeps_what_it_has() -> None:
    with serving(capacity_bytes=1 << 20) as endpoint:
        client = control(endpoint)
        assert client.call(Op.PUT, b"first", value=bytes(600 << 10))[0] == Status.OK
        status, _, why = client.call(Op.PUT, b"second", value=bytes(600 << 10))
        assert (status, why) == (Status.FULL, b"600 KiB of 1 MiB are used, and a value of 600 KiB is to come")
        assert client.call(Op.EXISTS, b"first")[0] == Status.OK
        assert client.about()["used_bytes"] == 600 << 10
        client.close()


def test_a_full_server_that_evicts_drops_what_was_used_longest_ago() -> None:
    with serving(capacity_bytes=1 << 20, evict=True) as endpoint:
        client = control(endpoint)
        for key in (b"a", b"b"):
            client.call(Op.PUT, key, value=bytes(400 << 10))
        client.call(Op.GET, b"a", length=1)
        assert client.call(Op.PUT, b"c", value=bytes(400 << 10))[0] == Status.OK
        assert [client.call(Op.EXISTS, key)[0] for key in (b"a", b"b", b"c")] == [Status.OK, Status.MISSING, Status.OK]
        assert client.about()["evicted"] == 1
        client.close()


@pytest.mark.parametrize(
    ("server", "client", "why"),
    [
        (b"right", b"wrong", "does not accept the secret"),
        (b"right", None, "asks for a secret, and the tier has none"),
        (None, b"mine", "does not know the secret"),
    ],
)
def test_who_does_not_know_the_secret_gets_nothing(server: bytes | None, client: bytes | None, why: str) -> None:
    with serving(secret=server) as endpoint, pytest.raises(DriverError) as caught:
        Control(Endpoint("127.0.0.1", endpoint.port, client), 2.0)
    assert str(caught.value) == f"the memkv server {endpoint} {why}" and caught.value.remedy
    assert "right" not in repr(endpoint) + str(caught.value)


def test_both_who_know_the_secret() -> None:
    with serving(secret=b"right") as endpoint:
        assert Control(endpoint, 2.0).about()["version"] == protocol.VERSION


def test_beyond_this_machine_only_with_a_secret() -> None:
    with pytest.raises(DriverError, match=r"0\.0\.0\.0 can be reached from other machines, and there is no secret"):
        Server(ServerSettings(host="0.0.0.0"))


def impostor(answer: Callable[[socket.socket], None]) -> Endpoint:
    """Somebody else on a port; for one connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as sock:
            answer(sock)

    threading.Thread(target=serve, daemon=True).start()
    return Endpoint("127.0.0.1", listener.getsockname()[1])


def welcome(version: int, status: int = 0) -> bytes:
    return protocol.WELCOME.pack(protocol.MAGIC, version, status, 0, bytes(32), 65536, 1 << 30, 4096, 1, False)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (welcome(9), "speaks version 9 of its protocol, and this is version 2"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(200), "answers with something that is not its protocol"),
        (b"", "closed the connection without a word"),
    ],
)
def test_somebody_else_on_the_port_is_named(said: bytes, why: str) -> None:
    endpoint = impostor(lambda sock: sock.sendall(said) if sock.recv(4096) else None)
    with pytest.raises(DriverError) as caught:
        Control(endpoint, 2.0)
    assert str(caught.value) == f"the memkv server {endpoint} {why}"


def test_a_server_that_says_nothing_is_given_up() -> None:
    release = threading.Event()

    def wait(_: socket.socket) -> None:
        release.wait(10)

    endpoint = impostor(wait)
    with pytest.raises(DriverError, match="did not greet: it does not answer"):
        Control(endpoint, 0.3)
    release.set()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(
        DriverError, match=rf"the memkv server 127\.0\.0\.1:{port} cannot be reached: Connection refused"
    ):
        Control(Endpoint("127.0.0.1", port), 2.0)


def test_one_that_stops_in_the_middle_does_not_hold_up_the_others() -> None:
    with serving() as endpoint:
        half = control(endpoint)
        half._sock.sendall(protocol.request(Op.PUT, 1, b"k", 0, 1 << 20, 1 << 20) + bytes(1000))
        other = control(endpoint)
        assert other.call(Op.PUT, b"o", value=b"1")[0] == Status.OK
        assert other.call(Op.EXISTS, b"k")[0] == Status.MISSING
        half.close()
        assert other.about()["values"] == 1
        other.close()


def test_connections_that_end_are_forgotten() -> None:
    with serving() as endpoint:
        clients = [control(endpoint) for _ in range(50)]
        assert clients[-1].about()["connections"] == 50
        for client in clients:
            client.close()
        last = control(endpoint)
        end = time.monotonic() + 10
        while last.about()["connections"] > 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert last.about()["connections"] == 1


def _nonsense(draw: random.Random) -> bytes:
    """Bytes that look like a request, more or less."""
    if draw.random() < 0.3:
        return draw.randbytes(draw.randrange(200))
    mark = protocol.REQUEST_MARK if draw.random() < 0.9 else draw.randrange(65536)
    numbers = [draw.choice([0, 1, 100, 4096, 1 << 20, 2**63, 2**64 - 1]) for _ in range(4)]
    key = draw.randbytes(draw.choice([0, 1, 16]))
    told = len(key) if draw.random() < 0.9 else draw.randrange(2**32)
    # PURGE may well delete what is looked at afterwards: the empty prefix is everybody's.
    op = draw.choice([op for op in range(12) if op != Op.PURGE])
    head = protocol.REQUEST.pack(mark, op, draw.randrange(256), told, *numbers)
    return head + key + draw.randbytes(draw.randrange(300))


def _fuzz(seconds: float) -> int:
    draw, count = random.Random(1), 0
    with serving() as endpoint:
        witness = control(endpoint)
        witness.call(Op.PUT, b"witness", value=b"kept" * 1000)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if draw.random() < 0.3:
                with socket.create_connection(("127.0.0.1", endpoint.port), 2.0) as raw:
                    raw.sendall(draw.randbytes(draw.randrange(1, 300)))
            else:
                client = control(endpoint)
                client._sock.settimeout(2.0)
                try:
                    for _ in range(draw.randrange(1, 5)):
                        client._sock.sendall(_nonsense(draw))
                except OSError:  # it has ended the connection, as it may
                    pass
                client.close()
            count += 1
            assert witness.call(Op.GET, b"witness", length=4000)[2] == b"kept" * 1000
        assert witness.about()["used_bytes"] <= 64 << 20
    return count


def test_nonsense_on_the_port_neither_ends_nor_hangs_the_server() -> None:
    assert _fuzz(2.0) > 50


@pytest.mark.long
def test_a_minute_of_nonsense() -> None:
    assert _fuzz(60.0) > 1000


def test_a_long_value_and_then_silence_is_answered() -> None:
    """The turn of a client ends after so many reads: what is left then is done though nothing more arrives."""
    with serving() as endpoint:
        client = control(endpoint)
        client._sock.settimeout(5.0)
        for size in range(1, 200):
            head = protocol.request(Op.PUT, size, b"k", 0, size * 1000, size * 1000)
            client._sock.sendall(head)
            for _ in range(size):  # in pieces, each of which may be a read
                client._sock.sendall(bytes(1000))
            answer = client._sock.recv(protocol.ANSWER.size, socket.MSG_WAITALL)
            assert protocol.ANSWER.unpack(answer)[2] == Status.OK
        client.close()


def test_a_client_that_only_waits_is_no_stalled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvscen_drivers.memkv.server.STALLED_S", 0.2)
    monkeypatch.setattr("kvscen_drivers.memkv.server._SWEEP_S", 0.05)
    with serving() as endpoint:
        client, half = control(endpoint), control(endpoint)
        client.call(Op.PUT, b"k", value=b"v")
        half._sock.sendall(protocol.request(Op.PUT, 1, b"h", 0, 1 << 20, 1 << 20))
        half._sock.settimeout(10.0)
        assert half._sock.recv(1) == b"", "whoever stops in the middle of a request is let go"
        assert client.call(Op.GET, b"k", length=1)[2] == b"v"
