"""Values that lanes move themselves: leases of a server, what a line makes of one that lies, and a stand-in for RDMA.

The stand-in is Mooncake's engine as it is where there is no RDMA device: it moves the bytes by TCP. All of ours runs,
but no verbs (tests/drivers/memkv/test_rdma.py).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest

from kvscen.plugin import ERROR, OK, READ, WRITE, Arena, DriverError, Layout, PathReport, Tier, Unavailable, Work
from kvscen_drivers.memkv import engine, protocol
from kvscen_drivers.memkv.client import Control, Endpoint, connect
from kvscen_drivers.memkv.driver import MemkvDriver
from kvscen_drivers.memkv.fleet import join, part_from
from kvscen_drivers.memkv.lane import MemkvLane
from kvscen_drivers.memkv.lent import LentLine
from kvscen_drivers.memkv.memory import Pool, Region
from kvscen_drivers.memkv.protocol import LEASE, PLACE, Op, Status
from kvscen_drivers.memkv.reach import Mapped, Remote
from kvscen_drivers.memkv.settings import MemkvSettings
from kvscen_drivers.memkv.store import MemkvStore
from kvscen_drivers.mooncake import wheel
from tests.drivers.memkv import test_contract as contract
from tests.drivers.memkv.support import serving
from tests.drivers.redis.support import ops, run

BLOCK = 4096


def lent(client: Control, op: Op, key: bytes, offset: int = 0, length: int = 0, value: int = 0) -> tuple[int, ...]:
    """(lease, place, bytes) that a server answers to LEND or RESERVE."""
    status, _, text = client.ask(op, key, offset, length, value)
    assert status == Status.OK, text
    return PLACE.unpack(text)


def name(lease: int) -> bytes:
    return LEASE.pack(lease)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(capacity_bytes=1 << 20, shm=True) as endpoint:
        yield endpoint


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[Control]:
    client = Control(endpoint, 5.0, "shm")
    yield client
    client.close()


def memory(client: Control) -> Mapped:
    return Mapped(client.endpoint, client.about()["transports"]["shm"])


def put(client: Control, key: bytes, value: bytes) -> None:
    lease, first, _ = lent(client, Op.RESERVE, key, 0, len(value), len(value))
    memory(client).start(True, first, [memoryview(value)], [])
    assert client.call(Op.COMMIT, name(lease))[0] == Status.OK


def test_what_is_written_into_a_servers_memory_is_its_value_when_it_is_committed(client: Control) -> None:
    value = os.urandom(100_000)
    lease, first, count = lent(client, Op.RESERVE, b"k", 0, len(value), len(value))
    assert count == len(value)
    memory(client).start(True, first, [memoryview(value)], [])
    assert client.call(Op.EXISTS, b"k")[0] == Status.MISSING
    assert client.call(Op.COMMIT, name(lease))[0] == Status.OK
    assert client.call(Op.GET, b"k", length=len(value))[2] == value
    lease, first, count = lent(client, Op.LEND, b"k", 10, 200)
    found = bytearray(count)
    memory(client).start(False, first, [memoryview(found)[:50], memoryview(found)[50:]], [])
    assert bytes(found) == value[10:210]
    assert client.call(Op.RELEASE, name(lease))[0] == Status.OK
    assert client.about()["leases"] == 0


def test_a_lease_that_there_is_not_any_more_is_refused(client: Control) -> None:
    put(client, b"k", bytes(1000))
    lease, _, _ = lent(client, Op.LEND, b"k", 0, 1000)
    assert client.call(Op.COMMIT, name(lease))[0] == Status.LEASE, "it is there to be read"
    assert client.call(Op.RELEASE, name(lease))[0] == Status.OK
    for named in (name(lease), name(2**63), b"", b"123"):
        status, _, why = client.call(Op.COMMIT, named)
        assert (status, why) == (Status.LEASE, b"there is no such lease to write")
        assert client.call(Op.RELEASE, named)[0] == (Status.LEASE if named else Status.OK)
    other = Control(client.endpoint, 5.0, "shm")
    lease, _, _ = lent(client, Op.LEND, b"k", 0, 1000)
    assert other.call(Op.RELEASE, name(lease))[0] == Status.LEASE, "it is another connection's"
    other.close()


def test_a_connection_for_tcp_gets_no_leases(endpoint: Endpoint) -> None:
    client = Control(endpoint, 5.0)
    assert client.call(Op.LEND, b"k", length=1)[::2] == (Status.BAD_REQUEST, b"this connection is for values over TCP")
    client.close()


@pytest.mark.parametrize("transport", ["shm", "rdma"])
def test_a_server_without_it_says_so(transport: str) -> None:
    with serving() as endpoint, pytest.raises(Unavailable) as caught:
        connect(endpoint, 5.0, None, transport)
    assert str(caught.value) == f"the memkv server {endpoint} does not offer the transport `{transport}`"
    assert "kvscen serve memkv --" in caught.value.remedy


def test_leases_end_with_their_connection(endpoint: Endpoint) -> None:
    keeps, goes = Control(endpoint, 5.0, "shm"), Control(endpoint, 5.0, "shm")
    put(keeps, b"k", bytes(600 << 10))
    lent(goes, Op.LEND, b"k", 0, 1000)
    lent(goes, Op.RESERVE, b"other", 0, 300 << 10, 300 << 10)
    assert keeps.about()["leases"] == 2
    assert keeps.call(Op.PUT, b"third", value=bytes(300 << 10))[0] == Status.FULL, "the room has been promised"
    goes.close()
    while keeps.about()["leases"]:
        pass  # it notices when it reads next
    assert keeps.call(Op.PUT, b"third", value=bytes(300 << 10))[0] == Status.OK
    assert keeps.call(Op.EXISTS, b"other")[0] == Status.MISSING
    keeps.close()


def test_what_is_lent_is_neither_evicted_nor_used_again() -> None:
    with serving(capacity_bytes=1 << 20, evict=True, shm=True) as endpoint:
        client = Control(endpoint, 5.0, "shm")
        value = os.urandom(400 << 10)
        put(client, b"lent", value)
        put(client, b"other", bytes(400 << 10))
        lease, first, _ = lent(client, Op.LEND, b"lent", 0, len(value))
        put(client, b"new", bytes(400 << 10))
        assert [client.call(Op.EXISTS, key)[0] for key in (b"lent", b"other")] == [Status.OK, Status.MISSING]
        client.call(Op.DELETE, b"lent")
        assert client.about()["used_bytes"] == 800 << 10, "its bytes are still there"
        put(client, b"newer", bytes(400 << 10))
        found = bytearray(len(value))
        memory(client).start(False, first, [memoryview(found)], [])
        assert bytes(found) == value
        client.call(Op.RELEASE, name(lease))
        assert client.about()["used_bytes"] == 400 << 10
        client.close()


def test_a_server_whose_values_are_all_lent_refuses() -> None:
    with serving(capacity_bytes=1 << 20, evict=True, shm=True) as endpoint:
        client = Control(endpoint, 5.0, "shm")
        put(client, b"k", bytes(900 << 10))
        lease, _, _ = lent(client, Op.LEND, b"k", 0, 1)
        assert client.ask(Op.RESERVE, b"new", 0, 900 << 10, 900 << 10)[0] == Status.FULL
        client.call(Op.RELEASE, name(lease))
        put(client, b"new", bytes(900 << 10))
        client.close()


def test_leases_have_a_limit(client: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvscen_drivers.memkv.lease.MAX_LEASES", 2)
    put(client, b"k", bytes(10))
    for _ in range(2):
        lent(client, Op.LEND, b"k", 0, 1)
    status, _, why = client.call(Op.LEND, b"k", length=1)
    assert (status, why) == (Status.FULL, b"a connection has at most 2 leases at a time")


def test_gaps_of_a_region_are_joined_and_its_memory_goes_back() -> None:
    region = Region(8 << 20, "kvscen-test")
    first, second, third = (region.take(2 << 20) for _ in range(3))
    region.view[first : first + 3] = b"abc"
    region.give_back(first, 2 << 20)
    region.give_back(second, 2 << 20)
    assert region.take(4 << 20) == 0 and bytes(region.view[:3]) == bytes(3), "pages of gaps are the kernel's again"
    with pytest.raises(OSError):
        region.take(4 << 20)
    assert third == 4 << 20


def test_a_pool_gives_back_what_is_free_when_its_region_is_full() -> None:
    pool = Pool(1 << 30, Region(4 << 20))
    slots = [pool.take(3 << 20)]
    assert slots[0] is not None and pool.take(2 << 20) is None
    slots.clear()
    assert pool.take(4 << 20) is not None


# ---- a client's side: the wrong memory, and servers that lie


def test_only_the_servers_own_memory_is_mapped(client: Control) -> None:
    told = client.about()["transports"]["shm"]
    with pytest.raises(Unavailable, match="is not on this machine"):
        Mapped(client.endpoint, told | {"name": "kvscen-memkv-of-somebody-else"})
    with pytest.raises(Unavailable, match="cannot be opened"):
        Mapped(client.endpoint, told | {"descriptor": 999_999})


@contextmanager
def liar(answer: Callable[[Op, bytes], bytes]) -> Iterator[Endpoint]:
    """A server's proxy that replaces what it says to a LEND or RESERVE."""
    with serving(shm=True) as real:
        listener = socket.create_server(("127.0.0.1", 0))

        def serve(sock: socket.socket) -> None:
            with sock, socket.create_connection((real.host, real.port)) as behind:
                try:
                    behind.sendall(_exactly(sock, protocol.HELLO.size))
                    sock.sendall(_exactly(behind, protocol.WELCOME.size))
                    behind.sendall(_exactly(sock, protocol.PROOF.size))
                    sock.sendall(_exactly(behind, protocol.VERDICT.size))
                    while True:
                        head = _exactly(sock, protocol.REQUEST.size)
                        op, key = head[2], _exactly(sock, protocol.REQUEST.unpack(head)[3])
                        behind.sendall(head + key)
                        said = _exactly(behind, protocol.ANSWER.size)
                        follows = _exactly(behind, protocol.ANSWER.unpack(said)[5])
                        if op in (Op.LEND, Op.RESERVE) and follows:
                            follows = answer(Op(op), follows)
                        sock.sendall(said + follows)
                except (OSError, EOFError):
                    return

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield Endpoint("127.0.0.1", listener.getsockname()[1])
        listener.close()


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (lambda op, place: PLACE.pack(1, 2**40, BLOCK), "beyond its"),
        (lambda op, place: PLACE.pack(1, 2**64 - 1, BLOCK), "beyond its"),
        (lambda op, place: PLACE.pack(1, 0, BLOCK // 2), "it lends 2048 bytes where 4096 were asked for"),
    ],
)
def test_a_place_outside_the_servers_memory_is_not_touched(lie: Callable[[Op, bytes], bytes], why: str) -> None:
    with liar(lie) as endpoint:
        tier = Tier("kv", "memkv", MemkvSettings(endpoints=(str(endpoint),), transport="shm").complete())
        store = MemkvDriver().open(tier, Work(op="mixed", block_bytes=BLOCK, batch=1, keys=2, depth=1), ())
        lane = store.lane(0, store.allocate(2 * BLOCK, "dram"))
        store.prepare(Layout(2, BLOCK, BLOCK, 0, 2))
        done = run(lane, ops([0], WRITE))
        assert done["outcome"][0] == ERROR and why in store.locate(0)
        store.close()


def opened(settings: MemkvSettings, keys: int = 8) -> tuple[MemkvStore, MemkvLane, Arena]:
    """Every key written."""
    tier = Tier("kv", "memkv", settings)
    work = Work(op="mixed", block_bytes=BLOCK, batch=4, keys=keys, depth=4)
    store = MemkvDriver().open(tier, work, ())
    arena = store.allocate(keys * BLOCK, "dram")
    lane = store.lane(0, arena)
    arena.put(0, arena.nbytes, np.random.default_rng(7).integers(0, 256, arena.nbytes, np.uint8))
    assert (run(lane, ops(list(store.prepare(Layout(keys, BLOCK, BLOCK, 0, keys))), WRITE))["outcome"] == OK).all()
    assert isinstance(store, MemkvStore) and isinstance(lane, MemkvLane)
    return store, lane, arena


def reaching(endpoint: Endpoint, transport: Literal["shm", "rdma"] = "shm") -> MemkvSettings:
    return MemkvSettings(endpoints=(str(endpoint),), transport=transport).complete()


def moves_all_and_counts_it(settings: MemkvSettings) -> PathReport:
    """Every byte comes back, the lanes moved it and nobody else; the path."""
    store, lane, arena = opened(settings)
    before = arena.view.copy()
    arena.view[:] = 0
    store.reset()
    assert (run(lane, ops(range(8), READ))["outcome"] == OK).all()
    assert (arena.view == before).all()
    told, path = store.measures(), store.path()
    assert (told["transport"], told["lane_moved_operations"]) == (settings.transport, 8)
    assert told["lane_moved_bytes"] == 8 * BLOCK
    received = told["received_bytes"]
    assert isinstance(received, int) and received < BLOCK, "the connection had the places, not the blocks"
    store.close()
    return path


def test_a_server_that_dies_with_leases_fails_what_it_was_asked_and_a_new_one_is_not_taken_for_it() -> None:
    with serving(shm=True) as endpoint:
        store, lane, _ = opened(reaching(endpoint))
        assert store.path().kind == "shm" and "mapped" in store.path().evidence
    with serving(shm=True, port=endpoint.port):
        done = run(lane, ops(range(8), READ))
        assert (done["outcome"] == ERROR).all(), "nothing of the old memory is read"
        with pytest.raises(DriverError):
            store.check()
        store.close()


def test_what_lanes_moved_is_counted_and_did_not_go_over_the_connection(endpoint: Endpoint) -> None:
    assert moves_all_and_counts_it(reaching(endpoint)).kind == "shm"


# ---- RDMA's stand-in

needs_engine = pytest.mark.skipif(bool(wheel.why_not("mooncake.engine")[0]), reason=wheel.why_not("mooncake.engine")[0])


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "devices", lambda: [engine.Device("standin", True)])


@needs_engine
class TestStandin(contract.TestMemkv):
    more: ClassVar[dict[str, object]] = {"connections": 2}

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "devices", lambda: [engine.Device("standin", True)])
            with serving(devices=()) as one, serving(devices=()) as other:
                settings = MemkvSettings(endpoints=(str(one), str(other)), transport="rdma", **cls.more).complete()
                tier = Tier("under_test", "memkv", settings)
                join(tier, 10.0)
                yield settings
                part_from(tier)


@needs_engine
class TestStandinBatches(TestStandin, contract.TestBatchesInFrames):
    more: ClassVar[dict[str, object]] = {"coalesce": True, "entry": 8}


@needs_engine
def test_a_transfer_that_fails_fails_its_operation_and_others_go_on(standin: None) -> None:
    with serving(devices=()) as endpoint:
        store, lane, _ = opened(reaching(endpoint, "rdma"))
        line = lane.lines.all[0]
        assert isinstance(line, LentLine) and isinstance(line.reach, Remote)
        right, line.reach._address = line.reach._address, 4096
        assert (run(lane, ops([0], READ))["outcome"] == ERROR).all()
        line.reach._address = right
        assert "RDMA transfer failed" in store.locate(0)
        store.close()


def test_without_a_device_the_tier_is_unavailable_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.wheel, "why_not", lambda module: ("", ""))
    tier = Tier("kv", "memkv", MemkvSettings(transport="rdma").complete())
    monkeypatch.setattr(engine, "devices", lambda: [])
    here = MemkvDriver().probe(tier)
    assert (here.ok, here.reason) == (False, "this machine has no RDMA device") and here.remedy
    with pytest.raises(Unavailable, match="tier `kv`: this machine has no RDMA device"):
        MemkvDriver().open(tier, Work(op="read", block_bytes=BLOCK, batch=1, keys=1, depth=1), ())
    monkeypatch.setattr(engine, "devices", lambda: [engine.Device("mlx5_0", False)])
    assert engine.why_not(["mlx5_1"])[0] == "this machine has no RDMA device `mlx5_1`"
    assert engine.why_not(["mlx5_0"])[0] == "no port of the RDMA device `mlx5_0` has a link"
    assert engine.why_not([])[0] == "no port of mlx5_0 has a link"


def test_without_mooncake_the_tier_is_unavailable_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "installed", lambda: False)
    here = MemkvDriver().probe(Tier("kv", "memkv", MemkvSettings(transport="rdma").complete()))
    assert (here.ok, here.reason, here.remedy) == (False, wheel.MISSING, wheel.INSTALL)


def test_what_devices_count_is_read_where_they_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_DEVICES", tmp_path)
    for device, file, text in (
        ("mlx5_0", "counters/port_xmit_data", "1000\n"),
        ("mlx5_0", "counters/port_rcv_data", "24\n"),
        ("mlx5_0", "counters/port_xmit_packets", "7"),
        ("rxe0", "hw_counters/sent_pkts", "5"),
        ("rxe0", "hw_counters/rcvd_pkts", "6"),
    ):
        path = tmp_path / device / "ports" / "1" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "mlx5_0" / "ports" / "1" / "state").write_text("4: ACTIVE\n")
    assert engine.counted(["mlx5_0"]) == engine.DeviceCount(4096, 7)
    assert engine.counted(["rxe0"]) == engine.DeviceCount(None, 11)
    assert engine.counted(["rxe0"]).at_least(11 * 4096) and not engine.counted(["rxe0"]).at_least(11 * 4096 + 1)
    assert engine.counted(["none"]).at_least(1) is None
    assert engine.devices() == [engine.Device("mlx5_0", True), engine.Device("rxe0", False)]
