"""The driver `minio_memkv` on a stand-in for MinIO's client: it calls it rightly; what a cluster does is open."""

import errno
import importlib
import importlib.util
import os
import re
import sys
import types

import pytest

from kvscen.plugin import ERROR, OK, READ, WRITE, DriverError, Layout, Lost, SecretFile, Tier, Unavailable, Work
from kvscen.testing.contract import DriverContract
from kvscen_drivers.minio_memkv import store as module
from kvscen_drivers.minio_memkv.driver import MinioMemkvDriver, MinioMemkvSettings
from tests.drivers.minio_memkv import standin
from tests.drivers.redis.support import BLOCK, ops, run
from tests.e2e.support import kvscen, scenario, trials


@pytest.fixture(autouse=True)
def client(monkeypatch, request):
    """The stand-in where the package would be."""
    if "real" in request.node.name:
        return
    package = types.ModuleType("memkv_lmcache")
    package.__spec__ = importlib.util.spec_from_loader("memkv_lmcache", None)
    monkeypatch.setitem(sys.modules, "memkv_lmcache", package)
    monkeypatch.setitem(sys.modules, "memkv_lmcache._native", standin)
    for name, value in (("blocks", {}), ("calls", []), ("fault", "")):
        monkeypatch.setattr(standin.Client, name, value)


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "minio.license").write_text("a licence")
    (tmp_path / "key").write_text("0123abcd\n")
    return MinioMemkvSettings(
        servers=("10.0.0.1:9900", "10.0.0.2:9900"),
        license=SecretFile("minio.license", str(tmp_path / "minio.license")),
        auth_key=SecretFile("key", str(tmp_path / "key")),
        devices=("mlx5_0",),
        transport="rdma",
    )


class TestContract(DriverContract):
    @pytest.fixture
    def driver(self):
        return MinioMemkvDriver()

    @pytest.fixture
    def settings(self, settings):
        return settings


def opened(settings):
    store = MinioMemkvDriver().open(Tier("kv", "minio_memkv", settings), Work("mixed", BLOCK, 4, 8, depth=8), ())
    arena = store.allocate(8 * BLOCK, "dram")
    lane = store.lane(0, arena)
    missing = store.prepare(Layout(8, BLOCK, BLOCK, 0, 8))
    assert (run(lane, ops(missing, WRITE))["outcome"] == OK).all()
    return store, lane, arena


def test_what_the_client_is_told(settings):
    store, lane, arena = opened(settings)
    assert store._client.told == {
        "MEMKV_TRANSPORT": "rdma",
        "MEMKV_SERVERS": "10.0.0.1:9900,10.0.0.2:9900",
        "MEMKV_RDMA_DEVICES": "mlx5_0",
        "MEMKV_LICENSE": settings.license.path,
        "MEMKV_AUTH_KEY": "0123abcd",
    }
    assert "MEMKV_AUTH_KEY" not in os.environ, "only while the client is made"
    assert "0123abcd" not in store.path().evidence + store.locate(1)
    lane.close(), arena.close(), store.close()


def test_what_is_posted_together_is_one_call(settings):
    store, lane, arena = opened(settings)
    store.reset()
    assert (run(lane, ops(range(8)))["outcome"] == OK).all()
    assert standin.Client.calls == [("put", 8), ("get", 8)]
    told = store.measures()
    assert (told["calls"], told["blocks_per_call"]) == (1, 8.0)
    lane.close(), arena.close(), store.close()


def test_a_miss_a_value_of_another_length_and_a_refused_write_are_errors(settings):
    store, lane, arena = opened(settings)
    del standin.Client.blocks[f"kvscen:{BLOCK}:2"]
    standin.Client.blocks[f"kvscen:{BLOCK}:3"] = b"short"
    done = run(lane, ops(range(8)))
    assert done["errno"].tolist() == [0, 0, errno.ENODATA, errno.ENODATA, 0, 0, 0, 0]
    assert f"key `kvscen:{BLOCK}:2` in the MemKV cluster at 10.0.0.1:9900, 10.0.0.2:9900" in store.locate(2)
    standin.Client.fault = "full"
    done = run(lane, ops([0], WRITE))
    assert int(done["errno"][0]) == errno.EREMOTEIO and "gives no reason" in store.locate(0)
    lane.close(), arena.close(), store.close()


def test_a_client_that_raises_ends_the_lane(settings):
    store, lane, arena = opened(settings)
    standin.Client.fault = "raise"
    assert (run(lane, ops(range(8)))["outcome"] == ERROR).all()
    with pytest.raises(Lost, match=r"`kvscen:4096:0` with raised RuntimeError: all connections"):
        lane.submit(ops([0], READ))
    with pytest.raises(Lost):
        store.check()
    lane.close(), arena.close(), store.close()


def test_servers_that_nobody_answers_at(settings):
    standin.Client.fault = "unreachable"
    with pytest.raises(Unavailable, match=r"10.0.0.1:9900, 10.0.0.2:9900 cannot be reached: connect .* refused"):
        opened(settings)


def test_no_licence():
    tier = Tier("kv", "minio_memkv", MinioMemkvSettings(servers=("h:1",)))
    with pytest.raises(Unavailable, match="no license found"):
        MinioMemkvDriver().open(tier, Work("read", BLOCK, 1, 1), ())
    here = MinioMemkvDriver().probe(tier)
    assert not MinioMemkvDriver().probe(None).ok
    assert not here.ok and 'license = secret("FILE")' in here.remedy


def test_an_unreadable_key(settings, tmp_path):
    (tmp_path / "key").unlink()
    with pytest.raises(DriverError, match=r'the file of `secret\("key"\)` cannot be read: No such file'):
        opened(settings)


def test_without_the_real_package_the_others_run(tmp_path):
    text = """kvs 1
    tier dram : memory { }
    tier kv   : minio_memkv { servers = ["127.0.0.1:9900"] }
    pattern pages : transfer { block = 64 KiB; op = read }
    sweep s { pattern = pages; tier in [dram, kv]; trials = 1; warmup = 10 ms; operations = 200; seed = 1 }
    """
    done = kvscen(tmp_path, "run", scenario(tmp_path, text), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["driver"]: row for row in trials(tmp_path / "out")}
    assert rows["memory"]["status"] == "ok" and rows["minio_memkv"]["status"] == "unavailable"
    assert re.search("is not installed; pip install|no license found", rows["minio_memkv"]["reason"])


@pytest.mark.skipif(importlib.util.find_spec("memkv_lmcache") is None, reason="memkv-lmcache is not installed")
def test_the_stand_in_has_the_real_ones_methods():
    """Where somebody has installed it: no licence is needed to look."""
    real = module.native().Client
    shown = {name: getattr(real, name).__text_signature__ for name in dir(real) if not name.startswith("_")}
    own = {name: value for name, value in vars(standin.Client).items() if callable(value) and name[0] != "_"}
    assert set(own) == set(shown)
    for name, function in own.items():
        wanted = function.__code__.co_varnames[1 : function.__code__.co_argcount]
        assert tuple(re.findall(r", (\w+)", shown[name])) == wanted, name
