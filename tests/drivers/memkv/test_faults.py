"""A lane whose server dies, hangs, is slow or answers with nonsense: every operation ends, with an error that says who
it was, and no byte comes where none was asked for."""

from __future__ import annotations

import errno
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from kvscen.plugin import (
    COMPLETION,
    ERROR,
    OK,
    OPERATION,
    READ,
    WRITE,
    Arena,
    DriverError,
    Layout,
    Rows,
    Tier,
    Work,
    host_arena,
)
from kvscen_drivers.memkv import protocol
from kvscen_drivers.memkv.chunk import Place
from kvscen_drivers.memkv.client import Endpoint, connect
from kvscen_drivers.memkv.lane import MemkvLane
from kvscen_drivers.memkv.line import Line
from kvscen_drivers.memkv.placement import servers_of
from kvscen_drivers.memkv.protocol import ANSWER, ANSWER_MARK, REQUEST, Op, Status
from kvscen_drivers.memkv.server import more_files
from kvscen_drivers.memkv.settings import MemkvSettings
from kvscen_drivers.memkv.store import MemkvStore
from tests.drivers.memkv.support import control, served, serving

BLOCK, KEYS, POISON = 4096, 64, 0xAA


def dialler(*endpoints: Endpoint) -> Callable[[int], Line]:
    return lambda server: Line(endpoints[server], server, connect(endpoints[server], 5.0)[0])


@contextmanager
def lane_to(
    *endpoints: Endpoint,
    block: int = BLOCK,
    batch: int = 0,
    timeout_s: float = 10.0,
    dial: Callable[[int], Line] | None = None,
) -> Iterator[tuple[MemkvLane, Arena]]:
    arena = host_arena(18 * block)
    arena.view[:] = POISON
    lane = MemkvLane(
        *(dial or dialler(*endpoints), len(endpoints), 1, arena, 16, time.perf_counter_ns),
        batch=batch,
        merges=False,
        evicts=False,
        timeout_ns=round(timeout_s * 1e9),
        spin_ns=0,
    )
    lane.turn_to(Place(7, Layout(KEYS, block, block, 0, KEYS), 1, len(endpoints)))
    try:
        yield lane, arena
    finally:
        lane.close()
        arena.close()


def posted(lane: MemkvLane, kind: int, *keys: int, block: int = BLOCK) -> Rows:
    """What became of operations that were posted together; the first one's buffer is block 1 of the arena."""
    ops = np.zeros(len(keys), OPERATION)
    ops["id"], ops["key"], ops["kind"], ops["bytes"] = np.arange(len(keys)), keys, kind, block
    ops["buffer"] = (1 + np.arange(len(keys))) * block
    assert lane.submit(ops) == len(keys)
    return ended(lane, len(keys))


def ended(lane: MemkvLane, count: int) -> Rows:
    out, done = np.zeros(count, COMPLETION), 0
    end = time.monotonic() + 30
    while done < count:
        assert time.monotonic() < end, "an operation is lost"
        done += lane.reap(out[done:], 1, 100_000_000)
    return np.sort(out, order="id")


# ---- somebody who greets as a server does, and then misbehaves


def asked(sock: socket.socket) -> int:
    """Take one GET; its number."""
    head = sock.recv(REQUEST.size + protocol.KEY_BYTES, socket.MSG_WAITALL)
    return int(REQUEST.unpack_from(head)[4])


@contextmanager
def misbehaving(answer: Callable[[socket.socket], None]) -> Iterator[Endpoint]:
    """Whoever greets it is answered by `answer`, which is over when the connection is; once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener.accept()[0] as sock:
            sock.recv(protocol.HELLO.size, socket.MSG_WAITALL)
            limits = (65536, 1 << 30, 4096, 1, False)
            sock.sendall(protocol.WELCOME.pack(protocol.MAGIC, protocol.VERSION, 0, 0, bytes(32), *limits))
            sock.recv(protocol.PROOF.size, socket.MSG_WAITALL)
            sock.sendall(protocol.VERDICT.pack(0, bytes(32)))
            with suppress(ConnectionError):
                answer(sock)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        yield Endpoint("127.0.0.1", listener.getsockname()[1])
    thread.join(10)
    assert not thread.is_alive()


def told(number: int, length: int, op: int = Op.GET, status: int = 0, mark: int = ANSWER_MARK) -> bytes:
    return ANSWER.pack(mark, op, status, 0, number, length, BLOCK)


VALUE = bytes(range(256)) * (BLOCK // 256)
ANSWERS: dict[str, tuple[Callable[[int], bytes], int, str]] = {
    "too long": (lambda number: told(number, 2 * BLOCK) + 2 * VALUE, errno.EPROTO, "8192 bytes where 4096 were asked"),
    "too short": (lambda number: told(number, 100) + VALUE[:100], errno.EPROTO, "100 bytes where 4096 were asked"),
    "of another request": (lambda number: told(number + 1, BLOCK) + VALUE, errno.EPROTO, "not its protocol"),
    "of another operation": (lambda number: told(number, 0, Op.PUT), errno.EPROTO, "not its protocol"),
    "no answer at all": (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100), errno.EPROTO, "not its protocol"),
    "an endless refusal": (lambda number: told(number, 1 << 40, status=8), errno.EPROTO, "not its protocol"),
    "a refusal of a new kind": (lambda number: told(number, 4, status=99) + b"well", errno.EIO, "well"),
    "cut in the head": (lambda number: told(number, BLOCK)[:10], errno.ECONNRESET, "closed the connection"),
    "cut off in the value": (
        lambda number: told(number, BLOCK) + VALUE[:999],
        errno.ECONNRESET,
        "closed the connection",
    ),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_is_wrong_ends_its_operation_and_is_named(what: str) -> None:
    answer, code, why = ANSWERS[what]
    with misbehaving(lambda sock: sock.sendall(answer(asked(sock)))) as endpoint, lane_to(endpoint) as (lane, arena):
        (done,) = posted(lane, READ, 3)
        assert (done["outcome"], done["errno"], done["bytes"]) == (ERROR, code, 0)
        assert str(endpoint) in lane.lines.complaint() and why in lane.lines.complaint()
        beside = np.delete(arena.view, np.arange(BLOCK, 2 * BLOCK))
        assert (beside == POISON).all(), "bytes came where none were asked for"


def test_what_nobody_asked_for_comes_nowhere() -> None:
    def answer(sock: socket.socket) -> None:
        number = asked(sock)
        sock.sendall(told(number, BLOCK) + VALUE + told(number, BLOCK) + bytes(BLOCK))
        sock.recv(1)

    with misbehaving(answer) as endpoint, lane_to(endpoint) as (lane, arena):
        (done,) = posted(lane, READ, 3)
        assert done["outcome"] == OK and bytes(arena.view[BLOCK : 2 * BLOCK]) == VALUE
        (done,) = posted(lane, READ, 4)
        assert done["outcome"] == ERROR and done["errno"] in (errno.EPROTO, errno.ECONNREFUSED)
        assert lane.lines.complaint() == f"{endpoint}: it answers what nobody asked"
        assert bytes(arena.view[BLOCK : 2 * BLOCK]) == VALUE


@pytest.mark.parametrize("sent", [0, 10, ANSWER.size + 999], ids=["nothing", "in the head", "in the value"])
def test_a_server_that_falls_silent_is_given_up_after_its_time(sent: int) -> None:
    def answer(sock: socket.socket) -> None:
        sock.sendall((told(asked(sock), BLOCK) + VALUE)[:sent])
        sock.recv(1)

    with misbehaving(answer) as endpoint, lane_to(endpoint, timeout_s=0.2) as (lane, _):
        (done,) = posted(lane, READ, 3)
        assert (done["outcome"], done["errno"]) == (ERROR, errno.ETIMEDOUT)
        assert lane.lines.complaint() == f"{endpoint}: it has sent nothing for 0.2 s"


def test_a_slow_server_is_waited_for() -> None:
    """Longer than the timeout in all, and never silent for so long."""

    def answer(sock: socket.socket) -> None:
        whole = told(asked(sock), BLOCK) + VALUE
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for first in range(0, len(whole), 100):
            sock.sendall(whole[first : first + 100])
            time.sleep(0.03)

    with misbehaving(answer) as endpoint, lane_to(endpoint, timeout_s=1.0) as (lane, arena):
        (done,) = posted(lane, READ, 3)
        assert done["outcome"] == OK and bytes(arena.view[BLOCK : 2 * BLOCK]) == VALUE


# ---- servers of our own that end


def test_a_server_that_ends_in_the_middle_of_a_batch_and_comes_back_empty() -> None:
    block = 4 << 20
    with ExitStack() as server:
        endpoint = server.enter_context(serving(capacity_bytes=80 << 20))
        with lane_to(endpoint, block=block, batch=16) as (lane, _):
            assert (posted(lane, WRITE, *range(16), block=block)["outcome"] == OK).all()
            ops = np.zeros(16, OPERATION)
            ops["id"], ops["key"], ops["kind"], ops["bytes"] = np.arange(16), np.arange(16), READ, block
            ops["buffer"] = (1 + np.arange(16)) * block
            lane.submit(ops)
            assert ended(lane, 1)["outcome"][0] == OK
            server.close()  # more is on its way than sockets hold
            rest = ended(lane, 15)
            failed = rest[rest["outcome"] != OK]
            assert len(failed) and (failed["bytes"] == 0).all()
            assert set(failed["errno"].tolist()) <= {errno.ECONNRESET, errno.EPIPE}
            assert str(endpoint) in lane.lines.complaint()
            with serving(port=endpoint.port):
                lane.lines.mend()
                done = posted(lane, READ, 0, 1, block=block)
                assert (done["outcome"] == ERROR).all() and (done["errno"] == errno.ENODATA).all()


def test_a_server_that_was_restarted_is_not_the_one_that_was_written_to() -> None:
    with ExitStack() as server:
        endpoint = server.enter_context(serving())
        tier = Tier("kv", "memkv", MemkvSettings(endpoints=(str(endpoint),)).complete())
        store = MemkvStore(tier, Work("read", BLOCK, 1, KEYS))
        try:
            server.close()
            with serving(port=endpoint.port), pytest.raises(DriverError, match=f"memkv server {endpoint}"):
                store.reset()
        finally:
            store.close()


def test_while_one_server_hangs_the_others_go_on() -> None:
    """A connection that broke is made anew beside the load, however long that takes."""
    hangs, release = threading.Event(), threading.Event()
    numbers = servers_of(np.arange(KEYS, dtype=np.uint64), 2)
    here, gone = (int(np.flatnonzero(numbers == server)[0]) for server in (0, 1))
    with serving() as first, ExitStack() as second:
        endpoint = second.enter_context(serving())
        dial, times = dialler(first, endpoint), [0]

        def dialled(server: int) -> Line:
            times[0] += 1
            if times[0] > 2:
                hangs.set()
                assert release.wait(30)
            return dial(server)

        with lane_to(first, endpoint, dial=dialled) as (lane, _):
            assert (posted(lane, WRITE, here, gone)["outcome"] == OK).all()
            second.close()
            with serving(port=endpoint.port):
                while posted(lane, READ, gone)["errno"][0] != errno.ECONNREFUSED or not hangs.is_set():
                    pass  # it is noticed, and 0.1 s later the connection is made anew
                assert (posted(lane, READ, here, here)["outcome"] == OK).all(), "the other server's blocks go on"
                release.set()
                end = time.monotonic() + 30
                while posted(lane, WRITE, gone)["outcome"][0] != OK:
                    assert time.monotonic() < end


def test_two_thousand_connections() -> None:
    more_files()
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 4200:
        pytest.skip("this process may not have 4,200 open files")
    greeting = protocol.HELLO.pack(protocol.MAGIC, protocol.VERSION, protocol.TCP, bytes(32)) + bytes(32)
    with serving() as endpoint, ExitStack() as stack:
        socks = []
        for _ in range(2000):
            socks.append(stack.enter_context(socket.create_connection(("127.0.0.1", endpoint.port), 30.0)))
            socks[-1].sendall(greeting)
        for sock in socks:
            sock.recv(protocol.WELCOME.size + protocol.VERDICT.size, socket.MSG_WAITALL)
        put = protocol.request(Op.PUT, 1, b"k", 0, 1000, 1000) + bytes(1000)
        for sock in socks:
            sock.sendall(put)
        assert all(ANSWER.unpack(sock.recv(ANSWER.size, socket.MSG_WAITALL))[2] == 0 for sock in socks)
        client = control(endpoint)
        about = client.about()
        assert (about["connections"], about["values"]) == (2001, 1)
        client.close()


def test_one_connection_too_many_is_named() -> None:
    with serving(connections=1) as endpoint:
        only = control(endpoint)
        with pytest.raises(DriverError, match=f"memkv server {endpoint} (closed the connection|did not greet)"):
            control(endpoint)
        only.close()


def test_who_connects_and_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvscen_drivers.memkv.server.GREETING_S", 0.1)
    monkeypatch.setattr("kvscen_drivers.memkv.server._SWEEP_S", 0.05)
    with serving() as endpoint, socket.create_connection(("127.0.0.1", endpoint.port), 30.0) as half:
        half.sendall(protocol.HELLO.pack(protocol.MAGIC, protocol.VERSION, protocol.TCP, bytes(32))[:20])
        assert half.recv(1) == b""


def test_a_value_beyond_the_limit_is_refused_and_the_connection_stays() -> None:
    with serving(value_limit_bytes=1 << 20) as endpoint:
        client = control(endpoint)
        status, _, why = client.call(Op.PUT, b"k", value=bytes(3 << 20))
        assert (status, why) == (Status.TOO_LARGE, b"a value of 3 MiB is more than the 1 MiB that this server takes")
        assert client.call(Op.EXISTS, b"k")[0] == Status.MISSING
        assert client.call(Op.PUT, b"k", value=b"small")[0] == Status.OK
        client.close()


def test_a_machine_without_memory_refuses() -> None:
    with serving(capacity_bytes=1 << 60, value_limit_bytes=1 << 60) as endpoint:
        client = control(endpoint)
        status, _, why = client.call(Op.PUT, b"k", 0, 1 << 50, b"a range of it")
        assert (status, why) == (Status.FULL, b"the machine has no 1024 TiB of memory left")
        assert client.about()["used_bytes"] == 0 and client.call(Op.PUT, b"k", value=b"v")[0] == Status.OK
        client.close()


@pytest.mark.long
def test_a_value_of_4_gib() -> None:
    """In pieces, so that only the server has all of it, once."""
    whole, piece = 4 << 30, 16 << 20
    with served("--capacity", "4 GiB") as (server, place):
        client = control(Endpoint("127.0.0.1", int(place.rpartition(":")[2])))
        sock, draw = client._sock, np.random.default_rng(1)
        parts = [draw.integers(0, 256, piece, np.uint8) for _ in range(2)]
        sock.settimeout(60.0)
        sock.sendall(protocol.request(Op.PUT, 1, b"k", 0, whole, whole))
        for number in range(whole // piece):
            sock.sendall(parts[number % 2])
        assert ANSWER.unpack(sock.recv(ANSWER.size, socket.MSG_WAITALL))[2:] == (0, 0, 1, 0, whole)
        sock.sendall(protocol.request(Op.GET, 2, b"k", 0, protocol.WHOLE))
        assert ANSWER.unpack(sock.recv(ANSWER.size, socket.MSG_WAITALL))[2:] == (0, 0, 2, whole, whole)
        got = np.empty(piece, np.uint8)
        for number in range(whole // piece):
            have = 0
            while have < piece:
                have += sock.recv_into(got[have:].data)
            assert np.array_equal(got, parts[number % 2])
        status, _, why = client.call(Op.PUT, b"more", value=bytes(4096))
        assert status == Status.FULL and why.startswith(b"4 GiB of 4 GiB are used")
        client.close()
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
        assert peak is not None and int(peak[1]) << 10 < whole + (512 << 20)
