"""A lane alone, at one end of a pair of sockets: every byte of the other end is the test's."""

import errno
import socket
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.plugin import COMPLETION, ERROR, OK, READ, WRITE, Lost, host_arena
from kvscen_drivers.redis.lane import RedisLane
from kvscen_drivers.redis.replies import Commands
from tests.drivers.redis.support import ops, reap, run

NBYTES = 300


class Pair:
    def __init__(self, depth=64, patience_s=30.0, nbytes=NBYTES, stride=None, keys=64):
        ours, self.theirs = socket.socketpair()
        self.arena = host_arena(keys * nbytes, huge=False)
        self.arena.view[:] = 0xA5
        place = lambda key, offset, size: key < keys and offset + size <= (stride or nbytes)  # noqa: E731
        self.lane = RedisLane(ours, "the server", self.arena, depth, patience_s, time.perf_counter_ns, place)
        self.lane.commands = Commands(b"k:", stride or nbytes)

    def block(self, row, nbytes=NBYTES):
        first = int(row["buffer"])
        return self.arena.view[first : first + nbytes].tobytes()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lane.close()
        self.theirs.close()
        self.arena.close()


def content(number, nbytes=NBYTES):
    return np.random.default_rng(number).bytes(nbytes)


#: What a server may answer to a read or a write: its bytes, and the errno that it comes to (0: the block).
_ANY = {
    "error": (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", errno.ENOSPC),
    "moved": (b"-MOVED 3999 127.0.0.1:6381\r\n", errno.EREMCHG),
    "other": (b"-ERR something else\r\n", errno.EREMOTEIO),
    "status": (b"+QUEUED\r\n", errno.EBADMSG),
}
_READS = _ANY | {
    "miss": (b"$-1\r\n", errno.ENODATA),
    "null": (b"_\r\n", errno.ENODATA),
    "empty": (b"$0\r\n\r\n", errno.ENODATA),
    "short": (b"$5\r\n\r\n$-1\r\n", errno.EBADMSG),
    "long": (b"$900\r\n" + b"+OK\r\n" * 180 + b"\r\n", errno.EBADMSG),
}


@settings(max_examples=200, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["good", *_READS]), min_size=1, max_size=12),
    write=st.lists(st.booleans(), min_size=12, max_size=12),
    pieces=st.lists(st.integers(1, 700), max_size=30),
)
def test_replies_of_any_kind_cut_anywhere_are_told_apart(kinds, write, pieces):
    rows = ops(range(len(kinds)), nbytes=NBYTES)
    rows["kind"] = [WRITE if w and kind in ("good", *_ANY) else READ for w, kind in zip(write, kinds, strict=False)]
    stream, wanted = b"", []
    for number, (kind, row) in enumerate(zip(kinds, rows, strict=True)):
        if kind != "good":
            answer, code = _READS[kind]
        else:
            code = 0
            answer = b"+OK\r\n" if row["kind"] == WRITE else b"$300\r\n" + content(number) + b"\r\n"
        stream += answer
        wanted.append(code)
    with Pair() as pair:
        assert pair.lane.submit(rows) == len(rows)
        found, out = {}, np.zeros(len(rows), COMPLETION)
        for size in [*pieces, len(stream)]:
            if not stream:
                break
            pair.theirs.sendall(stream[:size])
            stream = stream[size:]
            while count := pair.lane.reap(out, 0, 0):
                found |= {int(row["id"]): row.copy() for row in out[:count]}
        while len(found) < len(rows):
            count = pair.lane.reap(out, 1, 5_000_000_000)
            assert count, "an operation did not come back"
            found |= {int(row["id"]): row.copy() for row in out[:count]}
        for number, (row, code) in enumerate(zip(rows, wanted, strict=True)):
            done = found[number]
            assert (int(done["outcome"]), int(done["errno"])) == ((ERROR if code else OK), code)
            assert int(done["bytes"]) == (0 if code else NBYTES)
            if not code and row["kind"] == READ:
                assert pair.block(row) == content(number)


def test_what_is_sent():
    with Pair(stride=2 * NBYTES, nbytes=2 * NBYTES) as pair:
        rows = ops([7, 7, 7, 7], nbytes=2 * NBYTES)
        rows["kind"] = [READ, WRITE, READ, WRITE]
        rows["bytes"][2:], rows["offset"][2:] = NBYTES, NBYTES
        pair.arena.view[:] = ord("x")
        pair.lane.submit(rows)
        assert pair.theirs.recv(1 << 16) == (
            b"*2\r\n$3\r\nGET\r\n$3\r\nk:7\r\n"
            b"*3\r\n$3\r\nSET\r\n$3\r\nk:7\r\n$600\r\n" + b"x" * 600 + b"\r\n"
            b"*4\r\n$8\r\nGETRANGE\r\n$3\r\nk:7\r\n$3\r\n300\r\n$3\r\n599\r\n"
            b"*4\r\n$8\r\nSETRANGE\r\n$3\r\nk:7\r\n$3\r\n300\r\n$300\r\n" + b"x" * 300 + b"\r\n"
        )
        pair.theirs.sendall(b"$600\r\n" + b"a" * 600 + b"\r\n+OK\r\n$300\r\n" + b"b" * 300 + b"\r\n:599\r\n")
        done = reap(pair.lane, rows)
        assert done["outcome"].tolist() == [OK, OK, OK, ERROR], "the last one found another length"
        assert pair.lane.said[7] == "the value has 599 bytes now: the rest of it was not there"
        assert done["wire_bytes"][0] == 22 + 6 + 600 + 2


def test_more_than_the_kernel_takes_at_once_is_sent_as_it_is_read():
    nbytes = 1 << 20
    with Pair(nbytes=nbytes, keys=4) as pair:
        whole = content(1, 4 * nbytes)
        pair.arena.view[:] = np.frombuffer(whole, np.uint8)
        rows = ops(range(4), WRITE, nbytes)
        assert pair.lane.submit(rows) == 4
        pair.theirs.setblocking(False)
        got, out = bytearray(), np.zeros(4, COMPLETION)
        while len(got) < pair.lane.sent_bytes or len(got) < 4 * nbytes:
            try:
                got += pair.theirs.recv(1 << 20)
            except BlockingIOError:
                assert pair.lane.reap(out, 1, 1_000_000) == 0
        assert all(whole[i * nbytes : (i + 1) * nbytes] in got for i in range(4))
        pair.theirs.sendall(b"+OK\r\n" * 4)
        assert (reap(pair.lane, rows)["outcome"] == OK).all()


@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 400 Bad Request\r\n", b"\0" * 64, b"$x\r\n", b"*2\r\n", b"-" + b"e" * (1 << 17)],
    ids=["http", "zeros", "no number", "array", "endless line"],
)
def test_garbage_fails_what_is_in_flight_and_the_connection(garbage):
    with Pair() as pair:
        rows = ops([3, 4], nbytes=NBYTES)
        assert pair.lane.submit(rows) == 2
        pair.theirs.sendall(garbage)
        done = reap(pair.lane, rows)
        assert (done["outcome"] == ERROR).all() and (done["errno"] == errno.EPROTO).all()
        with pytest.raises(Lost, match=r"sent what is no answer, .* 2 operations in flight, .* a read of `k:3`"):
            pair.lane.submit(rows)


@pytest.mark.parametrize("extra", [b"+", b"+OK\r\n", b"$300\r\n" + bytes(300)])
@pytest.mark.parametrize("answer", [b"$300\r\n" + bytes(300) + b"\r\n", b"$-1\r\n"], ids=["block", "miss"])
def test_bytes_that_nobody_asked_for_end_the_connection(answer, extra):
    with Pair() as pair:
        rows = ops([0], nbytes=NBYTES)
        pair.lane.submit(rows)
        pair.theirs.sendall(answer + extra)
        reap(pair.lane, rows)
        if not pair.lane.lost:
            # They came later than the reply: the next reply is the first that could be taken for them.
            pair.lane.submit(rows)
            assert (reap(pair.lane, rows)["outcome"] == ERROR).all()
        assert "no answer" in pair.lane.lost


@pytest.mark.parametrize("answered", [0, 4, 150, 2 * (NBYTES + 8)])
def test_a_connection_that_ends_takes_along_what_is_in_flight(answered):
    with Pair() as pair:
        rows = ops(range(4), nbytes=NBYTES)
        pair.lane.submit(rows)
        pair.theirs.sendall((2 * (b"$300\r\n" + bytes(300) + b"\r\n"))[:answered])
        pair.theirs.close()
        done = reap(pair.lane, rows)
        whole = answered // (NBYTES + 8)
        assert done["outcome"].tolist() == [OK] * whole + [ERROR] * (4 - whole)
        assert not done["bytes"][whole:].any()
        with pytest.raises(Lost, match="is gone"):
            pair.lane.submit(rows)


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_allowed():
    with Pair(patience_s=0.05) as pair:
        rows = ops([5], nbytes=NBYTES)
        done = run(pair.lane, rows)
        assert int(done["errno"][0]) == errno.ETIMEDOUT
        with pytest.raises(Lost, match=r"has said nothing for 0.05 s with 1 operations in flight.*`k:5`"):
            pair.lane.submit(rows)


@pytest.mark.alone
def test_a_slow_server_is_not_a_silent_one():
    """Patience is with silence, not with the whole reply."""
    with Pair(patience_s=0.5) as pair:
        rows = ops([5], nbytes=NBYTES)
        pair.lane.submit(rows)
        stream = b"$300\r\n" + content(1) + b"\r\n"
        out = np.zeros(1, COMPLETION)
        for first in range(0, len(stream), 50):
            pair.theirs.sendall(stream[first : first + 50])
            count = pair.lane.reap(out, 1, 100_000_000)
        assert count == 1 and out["outcome"][0] == OK
        assert pair.block(rows[0]) == content(1)
