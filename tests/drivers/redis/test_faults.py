"""What goes wrong with real servers: each ends as a sentence that names the server, and the key where there is one."""

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import redis

from kvscen.plugin import ERROR, OK, READ, WRITE, DriverError, Layout, Lost, SecretFile, Unavailable
from kvscen_drivers.private import PrivateServer, find_program, free_port
from kvscen_drivers.redis.driver import RedisDriver
from kvscen_drivers.redis.server import PROGRAMS
from tests.drivers.redis.support import BLOCK, named_server, needs_server, opened, ops, reap, run, tier, work
from tests.e2e.support import ROOT
from tests.processes import kill

pytestmark = needs_server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with named_server(tmp_path_factory.mktemp("server")) as (server, where):
        yield server, where


@pytest.fixture
def admin(server):
    found = redis.Redis(server[0].address.host, server[0].address.port, password=server[0].password)
    found.flushall()
    yield found
    found.config_set("maxmemory", 0)
    found.config_set("maxmemory-policy", "noeviction")
    found.close()


def closing(store, lane, arena):
    lane.close()
    arena.close()
    store.close()


# ---- servers that die or hang


def test_a_private_server_that_is_killed_in_the_middle_of_a_batch():
    store, lane, arena = opened(tier())
    server = store._private
    os.kill(server.pid, signal.SIGSTOP)
    rows = ops(range(8))
    assert lane.submit(rows) == 8
    kill(server.pid)
    done = reap(lane, rows)
    assert (done["outcome"] == ERROR).all() and (done["errno"] == errno.ECONNRESET).all()
    assert not done["bytes"].any()
    with pytest.raises(Lost, match=r"8 operations in flight, the first of them a read of `kvscen:4096:0`"):
        lane.submit(rows)
    with pytest.raises(Lost, match=r"the private server was killed by SIGKILL"):
        store.check()
    # The next point has a fresh one.
    again = opened(tier())
    assert (run(again[1], ops(range(8)))["outcome"] == OK).all()
    closing(*again)
    closing(store, lane, arena)


def test_a_server_that_is_stopped_is_waited_for_no_longer_than_its_patience():
    store, lane, arena = opened(tier(patience_ns=1_000_000_000))
    pid = store._private.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        done = run(lane, ops(range(8)))
        assert (done["errno"] == errno.ETIMEDOUT).all()
        with pytest.raises(Lost, match=r"has said nothing for 1 s"):
            lane.submit(ops([0]))
        with pytest.raises(DriverError, match=r"says nothing for 1 s"):
            store.measures()
    finally:
        os.kill(pid, signal.SIGCONT)
        closing(store, lane, arena)


def test_nothing_of_a_private_server_is_left(tmp_path):
    store, lane, arena = opened(tier(socket="unix"))
    pid, path = store._private.pid, store.login.address.path
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert store.login.password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes(), "others see it"
    closing(store, lane, arena)
    assert not Path(path).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_private_server_ends_with_its_worker_however_that_ends():
    code = (
        "import signal\n"
        "from tests.drivers.redis.support import opened, tier\n"
        "store, _, _ = opened(tier())\n"
        "print(store._private.pid, flush=True)\n"
        "signal.pause()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    pid = int(child.stdout.readline())
    # It shows when the process is gone, also one that is nobody's child of ours.
    watched = os.pidfd_open(pid)
    child.kill()
    child.wait()
    assert select.select([watched], [], [], 20)[0], "the server is still there"
    os.close(watched)
    child.stdout.close()


def test_stores_of_one_tier_share_a_private_server():
    first, second = opened(tier()), opened(tier())
    assert first[0]._private is second[0]._private
    closing(*first)
    assert (run(second[1], ops(range(8)))["outcome"] == OK).all()
    closing(*second)


# ---- servers that cannot be used


def test_nobody_listens():
    where = tier(endpoint=f"127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match=r"tier `kv`: the server at 127.0.0.1:\d+ cannot be reached: Connection ref"):
        RedisDriver().open(where, work(), ())
    assert "cannot be reached" in RedisDriver().probe(where).reason
    with pytest.raises(Unavailable, match="No such file"):
        RedisDriver().open(tier(endpoint="unix:/nonexistent/socket"), work(), ())


def test_no_server_is_installed(monkeypatch):
    monkeypatch.setattr("kvscen_drivers.redis.server.find_program", lambda *_: None)
    with pytest.raises(Unavailable, match="neither redis-server nor valkey-server") as refused:
        RedisDriver().open(tier(), work(), ())
    assert "apt install redis-server" in refused.value.remedy
    assert not RedisDriver().probe(None).ok


def test_redis_py_is_not_installed(monkeypatch):
    monkeypatch.setattr("kvscen_drivers.redis.client.installed", lambda: False)
    with pytest.raises(Unavailable) as refused:
        RedisDriver().open(tier(), work(), ())
    assert refused.value.remedy == "pip install 'kvscen[redis]'"
    assert RedisDriver().probe(None).reason == "redis-py is not installed"


@pytest.mark.parametrize("given", ["wrong", None])
def test_a_wrong_password_is_refused_and_not_repeated(server, tmp_path, given):
    secret = None
    if given:
        (tmp_path / "p").write_text("hunter2")
        secret = SecretFile("p", str(tmp_path / "p"))
    with pytest.raises(DriverError, match=r"does not take the password|asks for a password") as refused:
        RedisDriver().open(tier(endpoint=server[1]["endpoint"], password=secret), work(), ())
    assert not isinstance(refused.value, Unavailable)
    assert "hunter2" not in str(refused.value) + refused.value.remedy + str(refused.value.__cause__)
    assert server[0].password not in str(refused.value)


def test_an_acl_that_forbids_what_is_needed(server, admin, tmp_path):
    admin.acl_setuser("reader", enabled=True, passwords=["+pw"], categories=["+@read"], commands=["+info"], keys=["*"])
    (tmp_path / "p").write_text("pw")
    where = tier(
        endpoint=server[1]["endpoint"], user="reader", password=SecretFile("p", str(tmp_path / "p")), prefix="acl:"
    )
    with pytest.raises(DriverError, match=r"does not permit what is needed"):
        RedisDriver().open(where, work(), ())
    admin.acl_deluser("reader")


def test_a_cluster_is_refused(tmp_path):
    # Its nodes talk to each other 10,000 ports above.
    port = next(port for port in iter(free_port, None) if port <= 55535)
    path = find_program(*PROGRAMS)
    lines = f"port {port}\ncluster-enabled yes\ndir {tmp_path}\nsave ''\nbind 127.0.0.1\n".encode()
    client = redis.Redis("127.0.0.1", port)

    def answers(_):
        try:
            return client.ping()
        except redis.ConnectionError:
            return False

    node = PrivateServer("a node", [path, "-"], answers, stdin=lines)
    try:
        with pytest.raises(DriverError, match="is part of a cluster") as refused:
            RedisDriver().open(tier(endpoint=f"127.0.0.1:{port}"), work(), ())
        assert "not supported" in refused.value.remedy
    finally:
        node.close()


def test_something_that_is_no_redis():
    def hello(link):
        link.recv(100)
        link.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            link, _ = listener.accept()
            with link:
                hello(link)

        threading.Thread(target=serve, daemon=True).start()
        where = tier(endpoint=f"127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(DriverError, match="the server at"):
            RedisDriver().open(where, work(), ())


# ---- memory


def test_a_server_that_is_full(server, admin):
    store, lane, arena = opened(tier(**server[1]))
    admin.config_set("maxmemory", 1)
    done = run(lane, ops(range(8), WRITE))
    assert (done["outcome"] == ERROR).all() and (done["errno"] == errno.ENOSPC).all()
    assert store.locate(3) == (
        f"key `kvscen:4096:3` at {server[0].address} [OOM command not allowed when used memory > 'maxmemory'.]"
    )
    assert (run(lane, ops(range(8), READ))["outcome"] == OK).all(), "the connection is as good as before"
    closing(store, lane, arena)


def test_blocks_that_do_not_fit_are_refused_before_they_are_written():
    store = RedisDriver().open(tier(capacity_bytes=4 << 20), work(), ())
    with pytest.raises(DriverError, match=r"do not fit in the 4 MiB that the server at") as refused:
        store.prepare(Layout(2000, BLOCK, BLOCK, 0, 2000))
    assert "`capacity`" in refused.value.remedy
    with pytest.raises(DriverError, match="more than a value may have, 512 MiB"):
        store.prepare(Layout(1, (512 << 20) + 1, (512 << 20) + 1, 0, 1))
    store.close()


def test_a_key_that_is_gone_is_an_error_that_names_it(server, admin):
    store, lane, arena = opened(tier(**server[1]))
    admin.delete("kvscen:4096:5")
    arena.view[:] = 0
    done = run(lane, ops(range(8)))
    assert done["outcome"].tolist() == [OK] * 5 + [ERROR] + [OK] * 2
    assert int(done["errno"][5]) == errno.ENODATA and not arena.view[5 * BLOCK : 6 * BLOCK].all()
    assert "`kvscen:4096:5`" in store.locate(5) and "evicted or removed" in store.locate(5)
    closing(store, lane, arena)


def test_evictions_during_a_load_are_no_success(server, admin):
    store, lane, arena = opened(tier(**server[1]), keys=64)
    store.reset()
    admin.config_set("maxmemory-policy", "allkeys-lru")
    admin.config_set("maxmemory", admin.info()["used_memory"] - 32 * BLOCK)
    run(lane, ops(range(8), WRITE))
    assert store.measures()["evicted_keys"] > 0
    with pytest.raises(DriverError, match=r"evicted \d+ keys during the load"):
        store.check()
    closing(store, lane, arena)


def test_a_value_of_another_length_or_type_is_never_a_block(server, admin):
    store, lane, arena = opened(tier(**server[1]))
    admin.set("kvscen:4096:1", b"x" * (BLOCK - 1))
    admin.set("kvscen:4096:2", b"x" * (3 * BLOCK))
    admin.delete("kvscen:4096:3")
    admin.lpush("kvscen:4096:3", "a list")
    done = run(lane, ops(range(8)))
    assert done["errno"].tolist() == [0] + 3 * [errno.EBADMSG] + [0] * 4
    assert "WRONGTYPE" in store.locate(3) and "a value of 12288 bytes came" in store.locate(2)
    assert np.count_nonzero(done["bytes"]) == 5
    closing(store, lane, arena)


# ---- what is ours


def test_keys_of_others_are_not_touched(server, admin):
    admin.set("theirs:letter", "dear reader")
    with pytest.raises(DriverError, match=r'begin with "theirs:" and are not ours, such as .theirs:letter'):
        RedisDriver().open(tier(**server[1], prefix="theirs:"), work(), ())
    admin.set("k*scen:x", "a pattern is no prefix")
    closing(*opened(tier(**server[1], prefix="k?")))
    assert admin.get("theirs:letter") == b"dear reader"


def test_what_is_written_is_found_again_and_other_sizes_make_room(server, admin):
    closing(*opened(tier(**server[1])))
    admin.set("letter", "dear reader")
    store, lane, arena = opened(tier(**server[1]), fill=False)
    assert list(store.prepare(Layout(8, BLOCK, BLOCK, 0, 8))) == []
    big = 1 << 20
    admin.config_set("maxmemory", admin.info()["used_memory"] + big + 200)
    assert list(store.prepare(Layout(1, big, big, 0, 1))) == [0]
    assert admin.exists("kvscen:4096:0") == 1, "there was room"
    with pytest.raises(DriverError, match="do not fit"):
        store.prepare(Layout(2, big, big, 0, 2))
    assert (admin.exists("kvscen:4096:0"), admin.exists("letter"), admin.exists("kvscen:marker")) == (0, 1, 1)
    closing(store, lane, arena)


def test_what_a_store_says_of_its_server(server, admin):
    store, lane, arena = opened(tier(**server[1]))
    store.reset()
    run(lane, ops(range(8)))
    told = store.measures()
    assert told["server"].startswith(("redis ", "valkey ")) and "maxmemory-policy noeviction" in told["server"]
    assert told["server_cpu_ns"] >= 0 and told["server_used_bytes"] > 8 * BLOCK and told["evicted_keys"] == 0
    assert store.path().kind == "tcp" and "the kernel counts the same bytes" in store.path().evidence
    assert "password" not in repr(store.login) and server[0].password not in repr(store.login)
    closing(store, lane, arena)
