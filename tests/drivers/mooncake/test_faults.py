"""What goes wrong with real masters and nodes: each ends as a sentence that names the store, and the key where there is
one."""

import errno
import os
import signal

import attrs
import numpy as np
import pytest

from kvscen.plugin import ERROR, OK, READ, WRITE, DriverError, Layout, Lost, Tier, Unavailable, Work
from kvscen_drivers.mooncake import wheel
from kvscen_drivers.mooncake.driver import MooncakeDriver
from kvscen_drivers.mooncake.settings import MooncakeSettings
from kvscen_drivers.private import free_port
from tests.drivers.mooncake.support import needs_mooncake
from tests.drivers.redis.support import ops, run
from tests.e2e.support import kvscen, scenario, trials
from tests.processes import kill

MIB = 1 << 20


def tier(**settings):
    return Tier("kv", "mooncake", MooncakeSettings(**settings).complete())


def opened(where, keys=8):
    store = MooncakeDriver().open(where, Work("mixed", MIB, 4, keys, depth=4), ())
    arena = store.allocate(keys * MIB, "dram")
    lane = store.lane(0, arena)
    arena.put(0, arena.nbytes, np.random.default_rng(7).integers(0, 256, arena.nbytes, np.uint8))
    missing = list(store.prepare(Layout(keys, MIB, MIB, 0, keys)))
    assert (run(lane, ops(missing, WRITE, MIB))["outcome"] == OK).all()
    return store, lane, arena


def closing(store, lane, arena):
    lane.close()
    arena.close()
    store.close()


@pytest.fixture
def kv(request):
    found = opened(tier(**getattr(request, "param", {})))
    yield found
    closing(*found)


@needs_mooncake
def test_a_key_that_is_gone_is_an_error_that_names_it(kv):
    store, lane, arena = kv
    assert store._cluster.api.remove(f"kvscen:{MIB}:5", True) == 0
    arena.view[:] = 0
    done = run(lane, ops(range(8), READ, MIB))
    assert done["outcome"].tolist() == [OK] * 5 + [ERROR] + [OK] * 2
    assert int(done["errno"][5]) == errno.ENODATA and not arena.view[5 * MIB : 6 * MIB].any()
    assert f"`kvscen:{MIB}:5`" in store.locate(5) and "OBJECT_NOT_FOUND (-704)" in store.locate(5)
    store.check()


@needs_mooncake
def test_a_value_of_another_length_is_never_a_block(kv):
    store, lane, arena = kv
    for key, nbytes in ((1, MIB - 1), (2, 2 * MIB)):
        store._cluster.api.remove(f"kvscen:{MIB}:{key}", True)
        assert store._cluster.api.put_from(f"kvscen:{MIB}:{key}", arena.address, nbytes) == 0
    done = run(lane, ops(range(8), READ, MIB))
    assert done["errno"].tolist() == [0, errno.EBADMSG, errno.EINVAL, 0, 0, 0, 0, 0]
    assert f"a value of {MIB - 1} bytes came" in store.locate(1) and "INVALID_PARAMS" in store.locate(2)


@needs_mooncake
def test_a_store_that_is_full(kv):
    """Its memory is taken by others meanwhile: a status with the reason, and what is there stays."""
    store, lane, arena = kv
    api = store._cluster.api
    taken = 0
    while api.put_from(f"others:{taken}", arena.address, MIB) == 0:
        taken += 1
    api.remove(f"kvscen:{MIB}:3", True)
    assert api.put_from("others:last", arena.address, MIB) == 0
    done = run(lane, ops([3], WRITE, MIB))
    assert int(done["errno"][0]) == errno.ENOSPC
    assert "NO_AVAILABLE_HANDLE (-200): the store's memory is full" in store.locate(3)
    assert (run(lane, ops([0, 1, 2], READ, MIB))["outcome"] == OK).all()


@needs_mooncake
def test_blocks_that_do_not_fit_are_refused_before_they_are_written(kv):
    with pytest.raises(DriverError, match=r"do not fit in the .* of free memory"):
        kv[0].prepare(Layout(2**40, MIB, MIB, 0, 2**40))


@needs_mooncake
def test_a_node_that_is_killed_in_the_middle_of_a_batch(kv):
    store, lane, _ = kv
    kill(store._cluster.private.nodes[0].pid)
    done = run(lane, ops(range(8), READ, MIB))
    assert (done["outcome"] == ERROR).all() and not done["bytes"].any()
    with pytest.raises(Lost, match=rf"failed a read of `kvscen:{MIB}:\d` with TRANSFER_FAIL \(-800\)"):
        lane.submit(ops([0], READ, MIB))
    with pytest.raises(Lost, match="the process that holds the blocks was killed by SIGKILL"):
        store.check()


@needs_mooncake
@pytest.mark.parametrize("kv", [{"patience_ns": 2_000_000_000}], indirect=True)
def test_a_node_that_is_stopped_is_waited_for_no_longer_than_its_patience(kv):
    store, lane, _ = kv
    pid = store._cluster.private.nodes[0].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        lane.submit(ops(range(8), READ, MIB))
        with pytest.raises(Lost, match=r"the Mooncake store of 127.0.0.1:\d+ has not ended a call in 2 s"):
            lane.reap(np.zeros(8, "V48"), 8, 20_000_000_000)
        with pytest.raises(Lost):
            lane.submit(ops([0], READ, MIB))
    finally:
        os.kill(pid, signal.SIGCONT)


@needs_mooncake
def test_a_master_that_is_killed(kv):
    store, lane, _ = kv
    kill(store._cluster.private.master.pid)
    done = run(lane, ops(range(8), WRITE, MIB))
    assert (done["outcome"] == ERROR).all()
    with pytest.raises(Lost, match=r"RPC_FAIL \(-900\): the master does not answer"):
        lane.submit(ops([0], READ, MIB))
    with pytest.raises(Lost, match="the private mooncake_master was killed by SIGKILL"):
        store.reset()


@needs_mooncake
def test_nobody_listens():
    where = tier(master=f"127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match=r"tier `kv`: the master at 127.0.0.1:\d+ cannot be reached: Connection ref"):
        MooncakeDriver().open(where, Work("read", MIB, 1, 1), ())
    assert "cannot be reached" in MooncakeDriver().probe(where).reason


@pytest.mark.parametrize(
    ("said", "reason", "remedy"),
    [
        (
            "libibverbs.so.1: cannot open shared object file: No such file or directory",
            "Mooncake needs libibverbs.so.1, which its wheel does not bring",
            "apt install libibverbs1",
        ),
        (
            "libwhatever.so: cannot open shared object file",
            "Mooncake cannot be imported: libwhatever.so: cannot",
            "pip",
        ),
    ],
)
def test_libraries_of_the_system_that_are_missing(monkeypatch, said, reason, remedy):
    def fail(*_):
        raise ImportError(said)

    monkeypatch.setattr(wheel, "installed", lambda: True)
    monkeypatch.setattr(wheel, "api", fail)
    here = MooncakeDriver().probe(None)
    assert not here.ok and here.reason.startswith(reason) and here.remedy.startswith(remedy)
    with pytest.raises(Unavailable) as refused:
        MooncakeDriver().open(tier(), Work("read", MIB, 1, 1), ())
    assert reason in str(refused.value) and refused.value.remedy.startswith(remedy)


def test_codes_have_names():
    assert wheel.spelled(-200) == "NO_AVAILABLE_HANDLE (-200): the store's memory is full"
    assert wheel.spelled(-4711) == "an error that is not known here (-4711)"
    assert wheel.errno_of(-4711) == errno.EREMOTEIO and not wheel.harmless(-4711)


def test_settings_of_a_private_store_are_taken_out_where_a_master_is_named():
    settings = MooncakeSettings(master="h:1", capacity_bytes=64 * MIB).complete()
    assert settings.capacity_bytes is None
    assert [finding.code for finding in attrs.evolve(settings, prefix="", devices="mlx5_0").check()] == [
        "KVS105",
        "KVS114",
    ]


SCENARIO = """kvs 1
tier dram : memory { }
tier kv   : mooncake { }
pattern pages : transfer { block = 256 KiB; batch = 4 }
sweep stores {
  pattern = pages
  tier in [dram, kv]
  pages.op in [write, read]
  trials = 1; warmup = 20 ms; operations = 200; seed = 1
  expect errors == 0
}
"""


@needs_mooncake
def test_a_run(tmp_path):
    done = kvscen(tmp_path, "run", scenario(tmp_path, SCENARIO), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for row in trials(tmp_path / "out") if row["driver"] == "mooncake"]
    assert [row["status"] for row in rows] == ["ok"] * 2
    for row in rows:
        assert row["verified_bytes"] == 4 * 256 << 10
        assert row["path"] == "tcp" and "lo sent all" in row["path_evidence"]
        assert row["calls"] > 0 and 1 <= row["blocks_per_call"] <= 4 and row["mooncake_version"] == wheel.version()


def test_without_the_package_the_others_run(tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'mooncake' else found(name, *more)\n"
    )
    done = kvscen(tmp_path, "run", scenario(tmp_path, SCENARIO), "--out", "out", env={"PYTHONPATH": str(hidden)})
    assert done.returncode == 0, done.stdout + done.stderr
    rows = trials(tmp_path / "out")
    assert {(row["driver"], row["status"]) for row in rows} == {("memory", "ok"), ("mooncake", "unavailable")}
    assert "Mooncake is not installed; pip install 'kvscen[mooncake]'" in done.stdout.replace("\n", " ") or any(
        "Mooncake is not installed; pip install 'kvscen[mooncake]'" in row["reason"] for row in rows
    )
