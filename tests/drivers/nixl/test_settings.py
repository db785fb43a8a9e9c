"""The settings of `nixl`, and what it says from the text alone."""

import pytest

from kvscen.language.values import Symbol
from kvscen.plugin import Severity, Tier, Unfit, Work
from kvscen_drivers.nixl.driver import NixlDriver
from kvscen_drivers.nixl.settings import NixlSettings
from kvscen_drivers.nixl_backends import BackendName


def _codes(**settings):
    return [(finding.code, finding.setting) for finding in NixlSettings(**settings).check()]


def test_a_backend_is_a_word_or_a_text():
    name = BackendName("POSIX", "UCX")
    assert name.convert(Symbol("UCX")) == "UCX" and name.show("UCX") == "UCX"
    assert name.convert("MEMKV") == "MEMKV" and name.show("MEMKV") == '"MEMKV"'
    for wrong in (Symbol("MEMKV"), "a b", True):
        with pytest.raises(Unfit):
            name.convert(wrong)


def test_files_need_a_path():
    assert _codes() == _codes(backend="GDS") == [("KVS113", "backend")]
    assert _codes(path="x") == _codes(backend="UCX") == _codes(backend="MEMKV") == []


def test_what_nixl_would_refuse():
    assert _codes(path="x", max_in_flight=65, ios_pool_size=64) == [("KVS114", "max_in_flight")]
    assert _codes(path="x", parameters=("use_uring=true",)) == [("KVS114", "parameters")]
    assert _codes(backend="UCX", parameters=("num_workers",)) == [("KVS105", "parameters")]
    assert _codes(backend="UCX", env=("UCX TLS=tcp",)) == [("KVS105", "env")]


def test_what_the_backend_has_no_use_for_is_taken_out():
    remote = NixlSettings(backend="UCX", path="x", parameters=("num_workers=2",)).complete()
    assert remote == NixlSettings(
        backend="UCX",
        direct=None,
        allow_buffered=None,
        api=None,
        kernel_queue_size=None,
        ios_pool_size=None,
        parameters=("num_workers=2",),
    )
    assert not remote.in_files and remote.plugin_parameters() == {"num_workers": "2"}
    other = NixlSettings(backend="MEMKV", path="x").complete()
    assert other.in_files and other.direct and other.api is None and other.plugin_parameters() == {}


def test_what_the_posix_plugin_is_told():
    assert NixlSettings(path="x", api="uring", parameters=("a=b=c",)).plugin_parameters() == {
        "use_aio": "false",
        "use_uring": "true",
        "use_posix_aio": "false",
        "kernel_queue_size": "256",
        "ios_pool_size": "65536",
        "a": "b=c",
    }


def _lint(work=None, **settings):
    work = {"op": "read", "block_bytes": 4096, "batch": 16, "keys": 16, **(work or {})}
    return list(NixlDriver().lint(Tier("t", "nixl", NixlSettings(**settings).complete()), Work(**work)))


def test_a_batch_that_is_posted_in_parts_is_warned_of():
    [found] = _lint({"wait": "batch", "batch": 200}, path="x")
    assert (found.code, found.severity, found.setting) == ("KVS340", Severity.WARNING, "max_in_flight")
    assert "200" in found.message and "max_in_flight = 200" in found.help
    [found] = _lint({"wait": "batch", "batch": 100, "depth": 2}, backend="UCX")
    assert found.code == "KVS340"
    assert not _lint({"wait": "batch", "batch": 200}, path="x", max_in_flight=200)
    assert not _lint({"batch": 200}, path="x")


def test_files_are_linted_as_those_of_posix():
    [found] = _lint({"block_bytes": 2**31}, path="x")
    assert found.code == "KVS312"
    [found] = _lint({"block_bytes": 1000}, path="x")
    assert found.code == "KVS310"
    assert not _lint({"block_bytes": 2**31}, backend="UCX")


@pytest.mark.parametrize("settings", [{"backend": "UCX"}, {"backend": "GDS", "path": "x"}])
def test_only_posix_has_a_ceiling(settings):
    [found] = _lint({"ceiling": "fio"}, **settings)
    assert (found.code, found.severity) == ("KVS305", Severity.WARNING)
    assert not _lint({"ceiling": "fio"}, path="x")


def test_footprint():
    work = Work("read", 5000, batch=16, keys=100, threads=2, depth=4)
    files = NixlDriver().footprint(Tier("t", "nixl", NixlSettings(path="x")), work)
    assert (files.memory_bytes, files.disk_bytes) == (2 * 4 * 8192, 100 * 8192)
    remote = NixlDriver().footprint(Tier("t", "nixl", NixlSettings(backend="UCX").complete()), work)
    assert (remote.memory_bytes, remote.disk_bytes) == (2 * 4 * 8192 + 100 * 5000, 0)
