"""A rank that dies or hangs ends its trial with a status and a sentence, and the rest of the run goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from kvscen.execute.messages import Go, Meet, Request, Verify
from kvscen.results.record import TrialRecord
from tests.drivers.nixl.support import needs_nixl
from tests.execute.struck import run_struck

TEXT = """kvs 1
tier a : {driver}
tier b : memory {{ }}
pattern traffic : matrix {{ files = ["m.txt"] }}
sweep s {{
  pattern = traffic; tier in [a, b]
  trials = 2; warmup = 5 ms; operations = 40; timeout = {timeout}; seed = 1; order = sequential
}}
"""


def run(folder: Path, driver: str, when: type[Request], sign: int, timeout: str) -> list[TrialRecord]:
    """Run it; the worker of rank 1 gets `sign` after the first request of the kind `when`, once."""
    (folder / "m.txt").write_text("0 64K 1\n0 0 1M\n2K 0 0\n")
    text = TEXT.format(driver=driver, timeout=timeout)
    return run_struck(folder, text, when, lambda pid: os.kill(pid, sign), worker=1, workers=3)


@pytest.mark.parametrize("when", [Meet, Verify, Go])
def test_a_rank_that_is_killed_costs_its_trial(tmp_path: Path, when: type[Request]) -> None:
    records = run(tmp_path, "memory { }", when, signal.SIGKILL, "20 s")
    assert [record.status for record in records] == ["error", "ok", "ok", "ok"]
    assert records[0].reason == "the worker died: killed by SIGKILL (out of memory, or someone killed it)"
    assert [len(record.steps) for record in records] == [0, 1, 1, 1]
    # The point was not verified before it was killed, and is then.
    assert records[1].measures["verified_bytes"] == (64 << 10) + 1 + (1 << 20) + 2048


@pytest.mark.alone  # it waits for a short `timeout` to pass, and for nothing else to pass it
def test_a_rank_that_hangs_costs_its_point(tmp_path: Path) -> None:
    records = run(tmp_path, "memory { }", Go, signal.SIGSTOP, "1 s")
    assert [record.status for record in records] == ["hang", "hang", "ok", "ok"]
    assert records[0].reason == "no operation finished for 1 s (timeout); the worker was killed"


@needs_nixl
@pytest.mark.parametrize("when", [Verify, Go])
def test_a_rank_of_nixl_that_is_killed(tmp_path: Path, when: type[Request]) -> None:
    records = run(tmp_path, "nixl { backend = UCX }", when, signal.SIGKILL, "20 s")
    assert [record.status for record in records] == ["error", "ok", "ok", "ok"]
    assert records[0].reason.startswith("the worker died: killed by SIGKILL")
