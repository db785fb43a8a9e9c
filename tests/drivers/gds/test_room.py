"""cufile.json as cuFile reads it, and what the configuration of this machine has room for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.plugin import DriverError, Severity, Tier, Work
from kvscen_drivers.gds import room
from kvscen_drivers.gds.clamp import Configuration
from kvscen_drivers.gds.driver import GdsDriver
from kvscen_drivers.gds.settings import GdsSettings

MIB = 1 << 20
TEXT = """{
    // NOTE : Application can override custom configuration via export CUFILE_ENV_PATH_JSON=<filepath>
    "logging": { "dir": "/var/log//x", /* "level": "TRACE", */ "level": "ERROR" },
    "execution" : { "max_io_queue_depth": 64, },
    "properties": {
        "io_batchsize": 256,   // entries
        "max_device_cache_size_kb" : 262144,
        "per_buffer_cache_size_kb" : 2048,
        "posix_pool_slab_size_kb" : [ 4, 1024, 16384 ],
        "posix_pool_slab_count" : [128, 512, 64],
    },
}
"""


def test_a_file_as_it_is_shipped():
    found = room.read_configuration(TEXT, "here", 1170)
    pool = ((4096, 128), (MIB, 512), (16 * MIB, 64))
    assert found == Configuration(1170, 256, 64, 262144, 2048, pool, "here")


def test_an_empty_file_says_nothing():
    assert room.read_configuration("{}", "here") == Configuration(source="here")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "line 1"),
        ("[]", "not one object"),
        ('{"properties": []}', "properties is not an object"),
        ('{"properties": {"io_batchsize": "many"}}', "io_batchsize is not a number"),
        ('{"properties": {"posix_pool_slab_count": [1, 2]}}', "not of one length"),
        ('{"properties": {"posix_pool_slab_count": 64}}', "not a list"),
    ],
)
def test_what_is_no_configuration_says_why(text, why):
    with pytest.raises(ValueError, match=why):
        room.read_configuration(text, "here")


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\\\/*,{}[] \n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"/*,\\\\'), inner, max_size=3),
    max_leaves=8,
)


@given(_plain)
def test_taking_comments_away_changes_no_json(value):
    for indent in (None, 1):
        text = json.dumps(value, indent=indent)
        assert json.loads(room._NOISE.sub(lambda match: match.group(1) or "", text)) == value


@pytest.fixture
def here(tmp_path, monkeypatch):
    """`here(text, version)` makes that the configuration of this machine; what is then said of a batch of 256."""
    monkeypatch.setattr(room, "NVIDIA_FS", tmp_path / "none")

    def _here(text, version=1170, **settings):
        path = tmp_path / "cufile.json"
        path.write_text(text)
        monkeypatch.setenv("CUFILE_ENV_PATH_JSON", str(path))
        monkeypatch.setattr(room, "version_installed", lambda: version)
        settings = GdsSettings(path="./kv-data", max_in_flight=512, **settings)
        work = Work("read", MIB, 256, 512, wait="batch", memory="vram")
        return list(GdsDriver().lint_here(Tier("fast", "gds", settings), work)), str(path)

    return _here


def test_a_configuration_that_has_room(here):
    assert here(TEXT)[0] == []


def test_one_that_has_not_names_the_setting_to_raise(here):
    (found,), path = here(TEXT.replace("128, 512, 64", "128, 100, 64"))
    assert found.code == "KVS341"
    assert found.severity == Severity.WARNING
    assert found.message == (
        f"256 operations in flight in a lane are more than {path} has room for (posix_pool_slab_count): "
        "at most 100 are in flight"
    )
    assert "raise `posix_pool_slab_count`" in found.help


def test_a_newer_cufile_does_not_mind_the_bounce_buffers(here):
    assert here(TEXT.replace("128, 512, 64", "128, 100, 64"), version=1180)[0] == []


def test_unclamped_says_what_may_come_of_it(here):
    (found,), _ = here(TEXT.replace("128, 512, 64", "128, 100, 64"), unclamped=True)
    assert found.message.endswith("(posix_pool_slab_count): it may hang")


def test_streams_go_by_the_queue(here):
    (found,), _ = here(TEXT, mode="stream")
    assert "(max_io_queue_depth): at most 64 are in flight" in found.message


def test_a_file_that_cannot_be_read_is_said(here, monkeypatch, tmp_path):
    (found,), path = here("{")
    assert found.message.startswith(f"{path} is no configuration of cuFile")
    assert found.severity == Severity.WARNING
    monkeypatch.setenv("CUFILE_ENV_PATH_JSON", str(tmp_path / "gone.json"))
    with pytest.raises(DriverError, match="which is not there"):
        room.configuration_here()


def test_without_a_file_the_default_configuration_is_in_force(monkeypatch, tmp_path):
    monkeypatch.delenv("CUFILE_ENV_PATH_JSON", raising=False)
    monkeypatch.setattr(room, "_USUAL", tmp_path / "none.json")
    monkeypatch.setattr(room, "version_installed", lambda: 1170)
    assert room.configuration_here() == Configuration(1170)
    tier = Tier("fast", "gds", GdsSettings(path="./kv-data", max_in_flight=512))
    assert list(GdsDriver().lint_here(tier, Work("read", MIB, 256, 512, wait="batch"))) == [], "`lint` has said it"
