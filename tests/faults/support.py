"""A faulty file system and small ones for tests, and scenarios on them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from tests.e2e.support import ROOT
from tests.faults.fuse import mount, unmount


@attrs.define
class Faulty:
    """The mounted folder `path` is `backing` with faults. `_control` is read by the server."""

    path: Path
    backing: Path
    _control: Path
    _server: subprocess.Popen[str]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Nothing that is asked of the file system is answered, not even whether a file exists."""
        self._server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)

    def cut_off(self) -> None:
        """The server is gone: whatever is asked of the file system fails at once."""
        self._server.kill()
        self._server.wait()

    def set(self, *rules: dict[str, object]) -> None:
        """From now on these rules, and no others."""
        fresh = self._control.with_suffix(".new")
        fresh.write_text(json.dumps(rules))
        fresh.replace(self._control)

    @property
    def struck(self) -> list[str]:
        """What went wrong until now: "read 65536 4096"."""
        log = self._control.with_suffix(".struck")
        return log.read_text().splitlines() if log.exists() else []


def _need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")


@contextmanager
def faulty(folder: Path) -> Iterator[Faulty]:
    """Mount a faulty file system in `folder`. Skips the test where FUSE or root is missing."""
    _need_root()
    if not Path("/dev/fuse").exists():
        pytest.skip("no FUSE here (/dev/fuse is missing)")
    for name in ("mounted", "backing"):
        (folder / name).mkdir()
    (folder / "control.json").write_text("[]")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.fuse", *(str(folder / n) for n in ("mounted", "backing", "control.json"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert server.stdin is not None and server.stdout is not None and server.stderr is not None
    try:
        if server.stdout.readline() != "ready\n":
            pytest.skip(f"a FUSE file system cannot be mounted here: {server.stderr.read().strip().splitlines()[-1]}")
        yield Faulty(folder / "mounted", folder / "backing", folder / "control.json", server)
    finally:
        server.stdin.close()
        if server.wait(timeout=30):
            unmount(folder / "mounted")
        server.stdout.close()
        server.stderr.close()


@contextmanager
def small_disk(folder: Path, nbytes: int) -> Iterator[Path]:
    """A tmpfs of so many bytes. Skips the test where it cannot be mounted."""
    _need_root()
    folder.mkdir()
    try:
        mount("kvscen-small", folder, "tmpfs", f"size={nbytes}")
    except OSError as error:
        pytest.skip(f"a tmpfs cannot be mounted here: {error.strerror}")
    try:
        yield folder
    finally:
        unmount(folder)


#: Two tiers on two file systems, one point each: 16 blocks of 16 KiB. The layout writes 16 blocks, the verification
#: writes 16 and reads 16; what comes after is a trial's.
SCENARIO = """kvs 1
tier bad  : posix {{ path = "{bad}"; direct = false; engine = {engine} }}
tier good : posix {{ path = "{good}"; direct = false }}
pattern pages : transfer {{ op = {op}; block = 16 KiB; batch = 4; working_set = 256 KiB }}
sweep blocks {{
  pattern = pages
  tier in [bad, good]
  trials = 2; warmup = 20 ms; operations = 400; timeout = 3 s; seed = 1
}}
"""
KEYS, BLOCK = 16, 16 << 10
#: Operations on the data file before the first trial, by kind.
BEFORE = {"read": KEYS, "write": 2 * KEYS}


def text(bad: Path, good: Path, op: str = "read", engine: str = "auto") -> str:
    """A scenario whose tier `bad` is on the first folder and whose tier `good` is on the other."""
    return SCENARIO.format(bad=bad / "kv", good=good / "kv", op=op, engine=engine)


def by_tier(rows: list[dict[str, object]]) -> dict[str, list[dict[str, object]]]:
    """Rows of trials.parquet, in the order in which they ran."""
    ordered = sorted(rows, key=lambda row: int(str(row["trial_order"])))
    return {tier: [row for row in ordered if row["tier"] == tier] for tier in ("bad", "good")}
