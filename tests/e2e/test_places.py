"""Folders that cannot be used: one sentence with the path and what to do, and the points that can be measured are."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import kvscen, scenario, trials

SCENARIO = """kvs 1
let place = "./kv-data"
tier disk : posix { path = place; direct = false }
tier dram : memory { }
pattern pages : transfer { op = write; block = 64 KiB; working_set = 16 MiB }
sweep blocks {
  pattern = pages
  tier in [disk, dram]
  trials = 2; warmup = 10 ms; operations = 300; seed = 1
}
"""


def run(folder: Path, place: Path | str, *more: str) -> tuple[int, str, Counter[object]]:
    """(exit code, the disk's reason, statuses by tier) of a run with the tier at `place`."""
    done = kvscen(folder, "run", scenario(folder, SCENARIO), "--out", "out", "--set", f"place={place}", *more)
    rows = trials(folder / "out")
    reason = next((str(row["reason"]) for row in rows if row["tier"] == "disk"), "")
    return done.returncode, reason, Counter((row["tier"], row["status"]) for row in rows)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB in memory."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place]).returncode:
        pytest.skip("only root can mount a file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_folder_is_made_and_used_again(tmp_path: Path) -> None:
    assert run(tmp_path, tmp_path / "data")[2] == {("disk", "ok"): 2, ("dram", "ok"): 2}
    done = kvscen(tmp_path, "run", "test.kvs", "--out", "again", "--set", f"place={tmp_path / 'data'}")
    assert done.returncode == 0


def test_a_missing_parent(tmp_path: Path) -> None:
    code, reason, statuses = run(tmp_path, tmp_path / "not" / "there")
    assert (code, statuses) == (3, {("disk", "error"): 2, ("dram", "ok"): 2})
    assert str(tmp_path / "not") in reason


def test_somebody_elses_folder_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("precious")
    code, reason, _ = run(tmp_path, tmp_path / "theirs")
    assert code == 3 and str(tmp_path / "theirs") in reason
    assert [p.name for p in (tmp_path / "theirs").iterdir()] == ["thesis.txt"]


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, reason, _ = run(tmp_path, tmp_path / "file")
    assert code == 3 and str(tmp_path / "file") in reason


def test_no_room(mounted: Path, tmp_path: Path) -> None:
    code, reason, statuses = run(tmp_path, mounted / "data")
    assert (code, statuses) == (3, {("disk", "error"): 2, ("dram", "ok"): 2})
    assert str(mounted) in reason and "MiB" in reason


def test_a_read_only_file_system(mounted: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    code, reason, _ = run(tmp_path, mounted / "data")
    assert code == 3 and "read-only" in reason.lower()


def test_no_direct_io(mounted: Path, tmp_path: Path) -> None:
    code, reason, _ = run(tmp_path, mounted / "data", "--set", "disk.direct=true", "--set", "pages.working_set=1 MiB")
    assert code == 3 and "direct" in reason and "tmpfs" in reason and "allow_buffered" in reason


def test_a_run_folder_that_cannot_be_made(tmp_path: Path) -> None:
    path = scenario(tmp_path, SCENARIO)
    done = kvscen(tmp_path, "run", path, "--out", tmp_path / "not" / "there")
    assert done.returncode == 2 and "error:" in done.stderr and "not" in done.stderr


def test_a_run_folder_that_fills_up_keeps_what_was_measured(mounted: Path, tmp_path: Path) -> None:
    out = mounted / "out"
    path = scenario(tmp_path, SCENARIO)
    (mounted / "ballast").write_bytes(b"x" * (8 * 1024 * 1024 - 160 * 1024))
    done = kvscen(tmp_path, "run", path, "--out", out, "--set", "blocks.trials=60", "--set", "blocks.tier=dram")
    assert done.returncode in (2, 3) and "error:" in done.stderr, done.stderr
    if (out / "plan.json").exists():
        shown = kvscen(tmp_path, "show", out)
        assert shown.returncode == 0, shown.stderr


@pytest.fixture
def large_sectors(tmp_path: Path) -> Iterator[Path]:
    """A file system on a device with sectors of 4096 bytes."""
    place, image = tmp_path / "disk", tmp_path / "image"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    if os.geteuid() != 0:
        pytest.skip("only root can make a loop device")
    made = subprocess.run(["losetup", "--show", "-f", "-b", "4096", image], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no loop device here: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        subprocess.run(["mkfs.ext4", "-q", device], check=True)
        subprocess.run(["mount", device, place], check=True)
        yield place
        subprocess.run(["umount", place], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def test_a_block_that_the_device_cannot_take_as_it_is_goes_padded(large_sectors: Path, tmp_path: Path) -> None:
    text = SCENARIO.replace("block = 64 KiB; working_set = 16 MiB", "block = 549 KiB; batch = 4").replace(
        "direct = false", "direct = true"
    )
    done = kvscen(tmp_path, "run", scenario(tmp_path, text), "--out", "out", "--set", f"place={large_sectors / 'data'}")
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(row for row in trials(tmp_path / "out") if row["tier"] == "disk")
    assert (row["alignment_bytes"], row["block_bytes"], row["stride_bytes"]) == (4096, 562_176, 565_248)
    operations = int(str(row["operations"]))
    assert (row["logical_bytes"], row["moved_bytes"]) == (operations * 562_176, operations * 565_248)
    assert row["verified_bytes"] == 4 * 565_248
