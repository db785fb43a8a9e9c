"""`make test-rdma`: the tests of `rdma` in a virtual machine with soft-RoCE. They say that the verbs path is right; the
times that they take say nothing."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from kvscen_drivers.mooncake import wheel
from tests.drivers.memkv.machine import Machine, NoMachine

ROOT = Path(__file__).parents[3]
#: The kernel is fetched there, once; `make clean` removes it.
CACHE = Path(sys.prefix) / "kernel"
_TIMEOUT_S = 3600.0


def test_rdma_in_a_virtual_machine(tmp_path: Path) -> None:
    reason, remedy = wheel.why_not("mooncake.engine")
    if reason:
        pytest.skip(f"{reason}: {remedy}")
    if not [*Path("/usr/lib").glob("*/libibverbs/librxe-*"), *Path("/usr/lib").glob("libibverbs/librxe-*")]:
        pytest.skip("the library of verbs has no provider for soft-RoCE: apt install ibverbs-providers")
    try:
        machine = Machine.make(CACHE, tmp_path)
    except NoMachine as error:
        pytest.skip(str(error))
    libraries = os.environ.get("LD_LIBRARY_PATH", "")
    command = f"""
        cd {shlex.quote(str(ROOT))}
        export LD_LIBRARY_PATH={shlex.quote(libraries)} KVSCEN_TEST_GID_INDEX=1 PYTHONDONTWRITEBYTECODE=1
        {shlex.quote(sys.executable)} -m pytest tests/drivers/memkv/test_rdma.py -v -ra --color=no
    """
    status, output = machine.run(command, _TIMEOUT_S)
    print(output)
    assert status == 0, output[-8000:]
    assert " passed" in output and "no RDMA device" not in output, output[-8000:]
