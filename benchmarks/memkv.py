"""The driver `memkv` beside what the network can carry, and beside other stores: `python benchmarks/memkv.py [WHAT]...`

    ceiling    get and put beside iperf3 (up to its largest block, 1 MiB) or a bare socket loop (above), as many streams
               and the same blocks and congestion control
    peers      beside redis-py, Mooncake's store over TCP, and LMCache's server where `--lmcache` says where one runs
    coalesce   a batch of 16 that shares a block beside one read, over loopback and over a link of 1 Gbit/s (as root)
    servers    two servers beside one: bytes for each second of the servers' CPU

All sides run on this machine, alternate in one run (A B B A), and move blocks between the same kind of buffers. A ratio
is of one round; medians with their range over the rounds. The machine should be otherwise idle: what disturbs it
disturbs the ratios less than the rates.

The bare loop streams blocks of the same size from as many buffers into as many as we have, one way and without asking:
what iperf3 does with one buffer; `asked for` it waits for each before it asks for the next. redis-py is given
memoryviews, and what it returns is copied into the buffer, as a caller must who has one. LMCache's server answers no
put, so each is followed by a question whether it is there.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt
import redis
from rows import Row, at_least, at_most, show

from kvscen.plugin import (
    ANY_BUFFER,
    COMPLETION,
    OK,
    OPERATION,
    READ,
    WRITE,
    Arena,
    DriverError,
    Lane,
    Layout,
    Rows,
    SecretFile,
    Store,
    Tier,
    Work,
    host_arena,
)
from kvscen_drivers.memkv.client import congestion_of
from kvscen_drivers.memkv.settings import MemkvSettings
from kvscen_drivers.memkv.store import MemkvStore
from kvscen_drivers.mooncake.settings import MooncakeSettings
from kvscen_drivers.redis.settings import RedisSettings

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
VERBS = {READ: "get", WRITE: "put"}
Side = Callable[[], float]


@attrs.frozen
class Case:
    """`depth` blocks are in flight, on `streams` connections."""

    block: int
    streams: int
    depth: int

    @property
    def name(self) -> str:
        size = f"{self.block // MIB} MiB" if self.block >= MIB else f"{self.block // KIB} KiB"
        flight = f", {self.depth} in flight" if self.depth > 1 else ""
        return f"{size}, {self.streams} stream{'s' if self.streams > 1 else ''}{flight}"

    @property
    def keys(self) -> int:
        return max(4, self.depth)


ALONE = Case(64 * KIB, 1, 1)
PIPELINED = Case(64 * KIB, 1, 16)
LARGE = [Case(block, streams, max(4, 2 * streams)) for block in (MIB, 4 * MIB, 16 * MIB) for streams in (1, 4)]


# ---- our lanes, and other drivers'


@contextmanager
def opened(store: Store, block: int, keys: int, depth: int, ahead: bool = True) -> Iterator[tuple[Lane, Arena]]:
    """A lane of a store in which the blocks are. `ahead`: it is given operations ahead of time, as the core does where
    nobody waits for a batch."""
    arena = store.allocate(depth * block, "dram")
    try:
        arena.put(0, arena.nbytes, np.random.default_rng(1).integers(0, 256, arena.nbytes, np.uint8))
        lane = store.lane(0, arena)
        store.prepare(Layout(keys, block, block, 0, keys))
        for first in range(0, keys, depth):
            posted(lane, WRITE, block, np.arange(first, min(first + depth, keys)))
        if ahead:
            lane.limit(depth)
        yield lane, arena
        lane.close()
    finally:
        store.close()
        arena.close()


def posted(lane: Lane, kind: int, block: int, keys: npt.NDArray[np.int64]) -> None:
    """One batch, until all of it has ended."""
    ops, out = np.zeros(len(keys), OPERATION), np.zeros(len(keys), COMPLETION)
    ops["key"], ops["buffer"] = keys, np.arange(len(keys)) * block
    ops["bytes"], ops["kind"] = block, kind
    sent = done = 0
    while done < len(keys):
        sent += lane.submit(ops[sent:])
        done += _ended(lane, out)


def _ended(lane: Lane, out: Rows) -> int:
    count = lane.reap(out, 1, 1_000_000_000)
    if (out["outcome"][:count] != OK).any():
        sys.exit(f"an operation failed: {out[:count]}")
    return count


def batches(lane: Lane, kind: int, case: Case, seconds: float) -> float:
    """Bytes a second where batches of `depth` are posted and waited for."""
    began, done = time.perf_counter(), 0
    while (now := time.perf_counter()) < began + seconds:
        posted(lane, kind, case.block, (done + np.arange(case.depth)) % case.keys)
        done += case.depth
    return done * case.block / (now - began)


def rate(lane: Lane, kind: int, case: Case, seconds: float, **shape: int) -> float:
    """Bytes a second where a lane is kept filled."""
    began = time.perf_counter()
    nbytes = moved(lane, kind, case, seconds, **shape)
    return nbytes / (time.perf_counter() - began)


def moved(lane: Lane, kind: int, case: Case, seconds: float, *, keys: int = 0, batch: int = 0) -> int:
    """Bytes, of all that was begun within `seconds`. As many operations are given ahead of time as the core would.
    `keys`: so many blocks, where not those of the case. `batch`: batches are waited for."""
    most = 64 * MIB // case.block
    ahead = min(64 * batch, max(1, most // batch) * batch) if batch else max(1, min(4 * case.depth, most))
    ops, out = np.zeros(ahead, OPERATION), np.zeros(ahead + case.depth, COMPLETION)
    ops["bytes"], ops["kind"], ops["buffer"] = case.block, kind, ANY_BUFFER
    sent = done = 0
    stop = time.perf_counter() + seconds
    while True:
        if sent - done <= case.depth and time.perf_counter() < stop:
            ops["key"] = (sent + np.arange(ahead)) % (keys or case.keys)
            if batch:
                ops["batch"] = (sent + np.arange(ahead)) // batch
            sent += lane.submit(ops)
        elif sent == done:
            return done * case.block
        done += _ended(lane, out)


def memkv(work: Work, **settings: object) -> MemkvStore:
    given = {"max_in_flight": 64, **({} if SPIN_NS is None else {"spin_ns": SPIN_NS}), **settings}
    return MemkvStore(Tier("kv", "memkv", MemkvSettings(**given).complete()), work)  # type: ignore[arg-type]


#: Set by `--spin`.
SPIN_NS: int | None = None


# ---- ceilings


class Iperf:
    """A server of iperf3, and clients of it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])
        self._server = subprocess.Popen(["iperf3", "-s", "-p", self._port], stdout=subprocess.DEVNULL)
        _connects(int(self._port))

    def rate(self, kind: int, case: Case, seconds: float) -> float:
        command = ["iperf3", "-c", "127.0.0.1", "-p", self._port, "-P", str(case.streams), "-l", str(case.block), "-J"]
        command += ["-t", str(max(1, round(seconds))), *(["-R"] if kind == READ else [])]
        told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        return float(told["end"]["sum_received"]["bits_per_second"]) / 8

    def close(self) -> None:
        self._server.kill()
        self._server.wait()


def _connects(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


_HEAD = struct.Struct("<BIQI")
#: Beside the kind: one at a time.
_ASKED = 128


def _receive(sock: socket.socket, view: memoryview) -> bool:
    done = 0
    while done < len(view):
        count = sock.recv_into(view[done:])
        if not count:
            return False
        done += count
    return True


class Bare:
    """A process that streams blocks to whoever connects, or takes them."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self._address = listener.getsockname()
        self._process = get_context("fork").Process(target=_bare_peer, args=(listener,), daemon=True)
        self._process.start()
        listener.close()

    def rate(self, kind: int, case: Case, seconds: float) -> float:
        socks = []
        for _ in range(case.streams):
            sock = socket.create_connection(self._address)
            sock.sendall(_HEAD.pack(kind, case.streams, case.block, case.keys))
            socks.append(sock)
        buffers = _buffers(case.block, case.depth if kind == READ else case.keys)
        socks[0].recv(1, socket.MSG_WAITALL)  # it has its own
        began = time.perf_counter()
        moved = _stream(socks, kind == WRITE, buffers, began + seconds)
        took = time.perf_counter() - began
        for sock in socks:
            sock.close()
        return moved / took

    def asked(self, kind: int, case: Case, seconds: float) -> float:
        """One block at a time, each asked for: what a round trip leaves of the ceiling."""
        with socket.create_connection(self._address) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(_HEAD.pack(kind | _ASKED, 1, case.block, case.keys))
            buffers, done = _buffers(case.block, case.keys), 0
            sock.recv(1, socket.MSG_WAITALL)
            began = time.perf_counter()
            while (now := time.perf_counter()) < began + seconds:
                view = buffers[done % len(buffers)]
                if kind == WRITE:
                    sock.sendall(view)
                    sock.recv(32, socket.MSG_WAITALL)
                else:
                    sock.sendall(bytes(64))
                    _receive(sock, view)
                done += 1
            return done * case.block / (now - began)

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def _bare_peer(listener: socket.socket) -> None:
    while True:
        socks = [listener.accept()[0]]
        kind, streams, block, keys = _HEAD.unpack(socks[0].recv(_HEAD.size, socket.MSG_WAITALL))
        while len(socks) < streams:
            socks.append(listener.accept()[0])
            socks[-1].recv(_HEAD.size, socket.MSG_WAITALL)
        # Values that are written come into other buffers than those that are read from, as in a store.
        buffers = _buffers(block, keys)
        socks[0].sendall(b"!")
        if kind & _ASKED:
            _answer(socks.pop(), kind & ~_ASKED, buffers)
            continue
        _stream(socks, kind == READ, buffers, float("inf"))
        for sock in socks:
            sock.close()


def _answer(sock: socket.socket, kind: int, buffers: list[memoryview]) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    done = 0
    with sock, contextlib.suppress(ConnectionError):
        while True:
            view = buffers[done % len(buffers)]
            if not (_receive(sock, view) if kind == WRITE else sock.recv(64, socket.MSG_WAITALL)):
                return
            sock.sendall(bytes(32) if kind == WRITE else view)
            done += 1


def _buffers(block: int, count: int) -> list[memoryview]:
    arena = host_arena(block * count)
    arena.put(0, arena.nbytes, np.random.default_rng(1).integers(0, 256, arena.nbytes, np.uint8))
    return [arena.view.data[number * block : (number + 1) * block] for number in range(count)]


def _stream(socks: list[socket.socket], out: bool, buffers: list[memoryview], until: float) -> int:
    """Bytes that were moved, until the time is over or the other side has gone."""
    poll, moved = select.poll(), 0
    rest: dict[int, memoryview] = {}
    by = {sock.fileno(): sock for sock in socks}
    for sock in socks:
        sock.setblocking(False)
        poll.register(sock, select.POLLOUT if out else select.POLLIN)
        rest[sock.fileno()] = buffers[0]
    turn = 0
    try:
        while time.perf_counter() < until:
            for descriptor, _ in poll.poll(100):
                while True:
                    view = rest[descriptor]
                    try:
                        count = by[descriptor].send(view) if out else by[descriptor].recv_into(view)
                    except BlockingIOError:
                        break
                    if not count:
                        return moved
                    moved += count
                    if count == len(view):
                        turn += 1
                        rest[descriptor] = buffers[turn % len(buffers)]
                    else:
                        rest[descriptor] = view[count:]
                    if len(socks) > 1 or time.perf_counter() >= until:
                        break
    except (BrokenPipeError, ConnectionResetError):
        pass
    return moved


# ---- peers


def redis_py(client: redis.Redis, arena: Arena, kind: int, case: Case, seconds: float, least: int = 1) -> float:
    block, depth, keys = case.block, case.depth, case.keys
    buffers = [arena.view[i * block : (i + 1) * block] for i in range(depth)]
    views = [memoryview(buffer) for buffer in buffers]
    names = [f"kvscen:{block}:{key}" for key in range(keys)]
    began, done = time.perf_counter(), 0
    while (now := time.perf_counter()) < began + seconds or done < least:
        asked = [names[(done + i) % keys] for i in range(depth)]
        if depth == 1 and kind == WRITE:
            client.set(asked[0], views[0])
        elif depth == 1:
            buffers[0][:] = np.frombuffer(client.get(asked[0]), np.uint8)
        else:
            with client.pipeline(transaction=False) as pipeline:
                for name, view in zip(asked, views, strict=True):
                    pipeline.set(name, view) if kind == WRITE else pipeline.get(name)
                answers = pipeline.execute()
            if kind == READ:
                for buffer, answer in zip(buffers, answers, strict=True):
                    buffer[:] = np.frombuffer(answer, np.uint8)
        done += depth
    return done * block / (now - began)


class LmCache:
    """LMCache's server, spoken to by its protocol over one connection; it has no pipelining."""

    _ASK = struct.Struct("iiiiiiiii150s")
    _TOLD = struct.Struct("iiiiiiiii")
    _PUT, _GET, _EXIST = 1, 2, 3

    def __init__(self, place: str) -> None:
        host, _, port = place.rpartition(":")
        self._sock = socket.create_connection((host, int(port)))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _ask(self, command: int, key: int, length: int) -> bytes:
        name = f"kvscen@1@0@{key:x}@half".encode().ljust(150)
        return self._ASK.pack(command, length, 1, 1, 0, length, 0, 0, 0, name)

    def rate(self, arena: Arena, kind: int, case: Case, seconds: float, least: int = 1) -> float:
        block, view, sock = case.block, arena.view.data, self._sock
        began, done = time.perf_counter(), 0
        while (now := time.perf_counter()) < began + seconds or done < least:
            key, place = block + done % case.keys, done % case.depth * block
            if kind == WRITE:
                sock.sendall(self._ask(self._PUT, key, block))
                sock.sendall(view[place : place + block])
                sock.sendall(self._ask(self._EXIST, key, 0))
            else:
                sock.sendall(self._ask(self._GET, key, 0))
            status, length, *_ = self._TOLD.unpack(sock.recv(self._TOLD.size, socket.MSG_WAITALL))
            if status != 200 or (kind == READ and length != block):
                sys.exit(f"LMCache's server answers {status} with {length} bytes")
            if kind == READ:
                done_bytes = 0
                while done_bytes < block:
                    done_bytes += sock.recv_into(view[place + done_bytes : place + block])
            done += 1
        return done * block / (now - began)


# ---- what is measured


def alternate(sides: Mapping[str, Side], rounds: int, pause_s: float) -> dict[str, list[float]]:
    """Each side once a round, every other round backwards."""
    for side in sides.values():
        side()  # what a first time costs is nobody's figure
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sides if number % 2 == 0 else reversed(sides):
            time.sleep(pause_s)
            found[name].append(sides[name]())
    return found


def rates(found: Mapping[str, list[float]], what: str) -> Iterator[Row]:
    for name, values in found.items():
        yield Row(f"{what}: {name}", [value / GIB for value in values], unit="GiB/s")


def ratio(found: Mapping[str, list[float]], one: str, other: str) -> list[float]:
    return [a / b for a, b in zip(found[one], found[other], strict=True)]


def ceiling(options: argparse.Namespace) -> Iterator[Row]:
    iperf, bare = Iperf(), Bare()
    try:
        for case, least in [(ALONE, 0.6), (PIPELINED, 0.8), *((case, 0.9) for case in LARGE)]:
            store = memkv(Work("mixed", case.block, 1, case.keys, depth=case.depth), connections=case.streams)
            with opened(store, case.block, case.keys, case.depth) as (lane, _):
                for kind, verb in VERBS.items():
                    sides: dict[str, Side] = {"memkv": partial(rate, lane, kind, case, options.seconds)}
                    sides["bare loop"] = partial(bare.rate, kind, case, options.seconds)
                    if case.block <= MIB:
                        sides["iperf3"] = partial(iperf.rate, kind, case, options.seconds)
                    if case is ALONE:
                        sides["bare loop, asked for"] = partial(bare.asked, kind, case, options.seconds)
                    found = alternate(sides, options.rounds, options.pause)
                    what, above = f"{verb}, {case.name}", "iperf3" if case.block <= MIB else "bare loop"
                    yield from rates(found, what)
                    yield at_least(Row(f"{what}: memkv / {above}", ratio(found, "memkv", above)), least)
                    for name in sides:
                        if name not in ("memkv", above):
                            yield Row(f"{what}: memkv / {name}", ratio(found, "memkv", name))
    finally:
        iperf.close()
        bare.close()


def peers(options: argparse.Namespace) -> Iterator[Row]:
    from kvscen_drivers.mooncake.store import MooncakeStore
    from kvscen_drivers.redis.store import RedisStore

    lmcache = LmCache(options.lmcache) if options.lmcache else None
    for case in (ALONE, PIPELINED, *(case for case in LARGE if case.streams == 1)):
        block, keys, depth = case.block, case.keys, case.depth
        work = Work("mixed", block, depth, keys, depth=depth)
        with ExitStack() as stack:
            lane, arena = stack.enter_context(opened(memkv(work), block, keys, depth))
            beside = RedisStore(Tier("redis", "redis", RedisSettings().complete()), work)
            stack.callback(beside.close)
            place = beside.login.address
            client = redis.Redis(place.host, place.port, password=beside.login.password, protocol=2)
            stack.callback(client.close)
            mooncake = None
            try:
                store = MooncakeStore(Tier("mooncake", "mooncake", MooncakeSettings().complete()), work)
                mooncake, _ = stack.enter_context(opened(store, block, keys, depth, ahead=False))
            except (DriverError, ImportError) as error:
                print(f"without Mooncake: {error}", file=sys.stderr)
            redis_py(client, arena, WRITE, case, 0, keys)
            if lmcache is not None:
                lmcache.rate(arena, WRITE, case, 0, keys)
            for kind in (WRITE, READ):
                sides: dict[str, Side] = {"memkv": partial(rate, lane, kind, case, options.seconds)}
                sides["redis-py"] = partial(redis_py, client, arena, kind, case, options.seconds)
                if mooncake is not None:
                    sides["Mooncake"] = partial(batches, mooncake, kind, case, options.seconds)
                if lmcache is not None:
                    sides["LMCache"] = partial(lmcache.rate, arena, kind, case, options.seconds)
                found = alternate(sides, options.rounds, options.pause)
                what = f"{VERBS[kind]}, {case.name}"
                yield from rates(found, what)
                for name in list(sides)[1:]:
                    yield at_least(Row(f"{what}: memkv / {name}", ratio(found, "memkv", name)), 1.0)


def coalesce(options: argparse.Namespace) -> Iterator[Row]:
    for block in (4 * KIB, 16 * KIB, 64 * KIB):
        yield from _shared(block, f"{block // KIB} KiB over loopback", options)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import pytest

    from tests.drivers.memkv.link import linked
    from tests.drivers.memkv.support import served

    try:
        with linked() as link, ExitStack() as stack:
            secret = stack.enter_context(_secret())
            there = ["--secret", secret, "--capacity", "64 MiB"]
            _, place = stack.enter_context(served(*there, before=link.inside([]), listen=f"{link.there}:7707"))
            link.slow("1gbit")
            known = SecretFile(secret, secret)
            yield from _shared(MIB, "1 MiB over 1 Gbit/s", options, endpoints=(place,), secret=known)
    except pytest.skip.Exception as reason:
        print(f"without a link: {reason}", file=sys.stderr)


@contextmanager
def _secret() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="kvscen-bench-") as folder:
        path = Path(folder) / "secret"
        path.write_text("open sesame\n")
        yield str(path)


def _shared(block: int, what: str, options: argparse.Namespace, **where: object) -> Iterator[Row]:
    names = {1: "one read", 16: "16 that share"}
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for batch, name in names.items():
            store = memkv(Work("read", block, batch, 1, depth=1, wait="batch"), coalesce=True, **where)
            lane, _ = stack.enter_context(opened(store, block, 1, batch))

            def for_batch(lane: Lane = lane, batch: int = batch) -> float:
                case = Case(block, 1, batch)
                return batch * block / rate(lane, READ, case, options.seconds, keys=1, batch=batch)

            sides[name] = for_batch
        found = alternate(sides, options.rounds, options.pause)
    for name, values in found.items():
        yield Row(f"{what}: {name}", [value * 1e6 for value in values], unit="us")
    yield at_most(Row(f"{what}: 16 that share / one read", ratio(found, names[16], names[1])), 1.5)


def servers(options: argparse.Namespace) -> Iterator[Row]:
    case = Case(MIB, 2, 8)
    work = Work("mixed", case.block, 1, case.keys, depth=case.depth)
    with ExitStack() as stack:
        sides_of: dict[str, tuple[Lane, MemkvStore]] = {}
        for count in (1, 2):
            store = memkv(work, servers=count, connections=2 // count)
            lane, _ = stack.enter_context(opened(store, case.block, case.keys, case.depth))
            sides_of[f"{count} server{'s' if count > 1 else ''}"] = lane, store
        for kind, verb in VERBS.items():

            def for_cpu(lane: Lane, store: MemkvStore, kind: int = kind) -> float:
                store.recount()
                nbytes = moved(lane, kind, case, options.seconds)
                return nbytes / int(store.measures()["server_cpu_ns"] or 0) * 1e9

            found = alternate({name: partial(for_cpu, *both) for name, both in sides_of.items()}, options.rounds, 0.1)
            for name, values in found.items():
                yield Row(f"{verb}, 1 MiB: {name}", [value / GIB for value in values], unit="GiB/CPU s")
            yield at_least(Row(f"{verb}, 1 MiB: two / one", ratio(found, "2 servers", "1 server")), 0.95)


PARTS = {"ceiling": ceiling, "peers": peers, "coalesce": coalesce, "servers": servers}


def main() -> None:
    global SPIN_NS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[*PARTS, []], metavar="WHAT", help="(default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="of each row (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each side (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds before each side (default: %(default)s)")
    parser.add_argument("--spin", type=float, metavar="US", help="the setting `spin` (default: the driver's)")
    parser.add_argument("--lmcache", metavar="HOST:PORT", help="where LMCache's server listens")
    options = parser.parse_args()
    os.environ.setdefault("GLOG_minloglevel", "3")  # Mooncake's
    gc.disable()  # as the core does while it measures
    if shutil.which("iperf3") is None and (not options.what or "ceiling" in options.what):
        parser.exit(2, "iperf3 is not installed: get it with `apt-get install iperf3` or `dnf install iperf3`\n")
    SPIN_NS = None if options.spin is None else round(options.spin * 1000)
    rows: list[Row] = []
    for what in options.what or PARTS:
        for row in PARTS[what](options):
            rows.append(row)
            print(f"{row.what}: {statistics.median(row.values):.2f} {row.unit}", file=sys.stderr)
    with socket.socket() as probe:
        print(f"congestion control {congestion_of(probe)}\n")
    print(show(rows))
    missed = [row.what for row in rows if row.met == "NO"]
    print(f"\n{len(missed)} of {sum(bool(row.target) for row in rows)} targets missed")


if __name__ == "__main__":
    main()
