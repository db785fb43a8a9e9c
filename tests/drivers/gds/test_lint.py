"""What `gds` says of a scenario from its text alone."""

import subprocess
import sys

import pytest

from kvscen.plugin import Severity, Tier, Work
from kvscen_drivers.gds.driver import GdsDriver
from kvscen_drivers.gds.settings import GdsSettings

MIB = 1 << 20


def _lint(work, **settings):
    work = Work(**{"op": "read", "block_bytes": MIB, "batch": 16, "keys": 64, "wait": "batch"} | work)
    return list(GdsDriver().lint(Tier("direct", "gds", GdsSettings(path="./kv-data", **settings)), work))


@pytest.mark.parametrize(
    ("work", "settings"),
    [
        ({}, {}),
        ({"batch": 512}, {"mode": "sync"}),
        ({"batch": 64}, {}),
        ({"batch": 128}, {"compat": "forbid"}),
        ({"batch": 512}, {"compat": "forbid"}),
    ],
)
def test_what_there_is_room_for_is_no_finding(work, settings):
    """A lane has `max_in_flight` in flight, 128 by default, whatever the batch."""
    assert _lint(work, **settings) == []


@pytest.mark.parametrize(
    ("work", "settings", "setting", "text"),
    [
        ({"batch": 65}, {}, None, "(posix_pool_slab_count): before cuFile 1.18 at most 64"),
        ({"batch": 65}, {"unclamped": True}, "unclamped", "(posix_pool_slab_count): before cuFile 1.18 it may hang"),
        ({"batch": 33, "threads": 2}, {}, None, "at most 32"),
        ({"batch": 512}, {"compat": "forbid", "max_in_flight": 512}, None, "(io_batchsize): at most 128"),
        ({"batch": 128, "threads": 2}, {"compat": "forbid", "registered": False}, None, "at most 64"),
    ],
)
def test_what_there_is_no_room_for(work, settings, setting, text):
    (found,) = _lint(work, **settings)
    assert (found.code, found.severity, found.setting) == ("KVS341", Severity.WARNING, setting)
    assert text in found.message


def test_padding_is_mentioned():
    (found,) = _lint({"block_bytes": 1000})
    assert (found.code, found.severity) == ("KVS310", Severity.INFO)


def test_buffers_on_the_gpu_take_no_host_memory():
    tier, work = Tier("direct", "gds", GdsSettings(path="./kv-data")), Work("read", MIB, 16, 64, memory="vram")
    assert GdsDriver().footprint(tier, work).memory_bytes == 0
    assert GdsDriver().footprint(tier, work).disk_bytes == 64 * MIB


def test_whoever_lints_or_conducts_imports_no_library_of_a_gpu():
    code = (
        "import sys, kvscen.execute.conductor, kvscen_drivers.gds.driver as gds, kvscen_drivers.gpu.driver as gpu; "
        "from kvscen.plugin import Tier, Work; "
        "work = Work('read', 1 << 20, 512, 64, memory='vram'); "
        "list(gds.GdsDriver().lint(Tier('a', 'gds', gds.GdsSettings(path='x')), work)); "
        "list(gpu.GpuDriver().lint(Tier('b', 'gpu', gpu.GpuSettings()), work)); "
        "print([name for name in sys.modules if name.split('.')[0] in ('cuda', 'cupy', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
