"""Direct means direct, and what is said about the way of the bytes is so."""

import os
from pathlib import Path

import pytest

from kvscen.plugin import DriverError, Severity, Tier, Work
from kvscen_drivers.posix import honesty
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings
from tests.drivers.posix.support import BLOCK, fill, layout_of, open_store

SHM = Path("/dev/shm")


@pytest.fixture
def tmpfs():
    if not os.access(SHM, os.W_OK) or honesty.file_system(SHM) != "tmpfs":
        pytest.skip("/dev/shm is not a tmpfs that we may write to")
    folder = SHM / f"kvscen-test-{os.getpid()}"
    yield folder
    if folder.exists():
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()


@pytest.fixture
def scratch(tmp_path):
    descriptor = honesty.scratch(tmp_path, "scratch")
    yield descriptor
    os.close(descriptor)


def test_tmpfs_has_no_direct_io(tmpfs):
    with pytest.raises(DriverError, match="asks for direct I/O, but tmpfs at") as refused:
        open_store(tmpfs, direct=True)
    assert "`direct = false`" in refused.value.remedy and "`allow_buffered = true`" in refused.value.remedy
    said = PosixDriver().probe(Tier("disk", "posix", PosixSettings(path=str(tmpfs))))
    assert not said.ok and "tmpfs" in said.reason


def test_allowed_to_fall_back_it_says_so(tmpfs):
    store = open_store(tmpfs, direct=True, allow_buffered=True)
    assert store.path().kind == "page cache"
    assert store.path().evidence.startswith("buffered, for want of reliable direct I/O, tmpfs, ")
    assert store.limits.alignment_bytes == 1
    store.close()


def test_buffered_says_page_cache(tmp_path):
    store = open_store(tmp_path / "data", direct=False)
    assert store.path().kind == "page cache"
    assert "buffered" in store.path().evidence
    store.close()


def test_direct_says_how_it_is_known(tmp_path, scratch):
    alignment = honesty.direct_alignment(scratch)
    if alignment is None:
        pytest.skip("no direct I/O where the temporary folder is")
    store = open_store(tmp_path / "data", direct=True)
    assert store.path().kind == "direct"
    assert f"O_DIRECT, {alignment}, {honesty.file_system(tmp_path)}" in store.path().evidence
    assert store.limits.alignment_bytes == alignment.bytes
    store.close()


def test_where_statx_does_not_say_a_trial_does(scratch, monkeypatch):
    reported = honesty.direct_alignment(scratch)
    monkeypatch.setattr(honesty, "_statx", None)
    tried = honesty.direct_alignment(scratch)
    if reported is None:
        assert tried is None
    else:
        assert tried is not None and tried.source == "alignment by trial"
        assert tried.bytes >= reported.offset_bytes


def test_the_trial_is_not_fooled_by_tmpfs(tmpfs, monkeypatch):
    monkeypatch.setattr(honesty, "_statx", None)
    descriptor = honesty.scratch(SHM)
    assert honesty.direct_alignment(descriptor) is None
    os.close(descriptor)


def test_the_device_counts_what_direct_io_writes(tmp_path, scratch):
    if honesty.direct_alignment(scratch) is None or not honesty.device_bytes(tmp_path):
        pytest.skip("no device to count at the temporary folder")
    store = open_store(tmp_path / "data", direct=True)
    store.prepare(layout_of(16))
    before = store.counters()
    fill(store, range(16))
    after = store.counters()
    assert after["device_write_bytes"] - before["device_write_bytes"] >= 16 * BLOCK
    assert after["device_read_bytes"] >= before["device_read_bytes"]
    store.close()


def test_a_file_system_without_a_device_counts_nothing(tmpfs):
    store = open_store(tmpfs)
    assert store.counters() == {}
    store.close()


def test_mount_points_with_spaces(monkeypatch):
    table = "1 0 0:1 / / rw - overlay o rw\n2 1 0:2 / /a\\040b rw - nfs4 h:/x rw\n3 1 0:3 / /a rw - xfs /dev/x rw\n"
    monkeypatch.setattr(Path, "read_text", lambda self: table)
    monkeypatch.setattr(honesty, "_block_device", lambda path: None)
    assert honesty.file_system(Path("/a b/c")) == "nfs4"
    assert honesty.file_system(Path("/a/c")) == "xfs"
    assert honesty.file_system(Path("/ab")) == "overlay"


# ---- what is said from the text alone


def _tier(**settings):
    return Tier("disk", "posix", PosixSettings(path="x", **settings))


def _work(block, **more):
    return Work(op="read", block_bytes=block, batch=630, keys=630, **more)


def test_padding_is_information():
    (finding,) = PosixDriver().lint(_tier(), _work(562_177))
    assert (finding.code, finding.severity, finding.setting) == ("KVS310", Severity.INFO, "direct")
    assert not list(PosixDriver().lint(_tier(), _work(562_176)))
    assert not list(PosixDriver().lint(_tier(direct=False), _work(562_177)))


def test_a_block_too_large_for_one_call_is_an_error():
    (finding,) = PosixDriver().lint(_tier(), _work(2**31))
    assert (finding.code, finding.severity) == ("KVS312", Severity.ERROR)


def test_footprint_is_of_the_whole_point():
    found = PosixDriver().footprint(_tier(max_in_flight=100), _work(4097, threads=2, processes=3))
    assert found.disk_bytes == 630 * 8192
    assert found.memory_bytes == 2 * 3 * 100 * 8192
    # As many operations again are given to a lane ahead of time, as far as it takes them.
    assert PosixDriver().footprint(_tier(), _work(4096, depth=5)).memory_bytes == 2 * 5 * 4096
    assert PosixDriver().footprint(_tier(), _work(20 << 20, depth=5)).memory_bytes == (5 + 1) * (20 << 20)
