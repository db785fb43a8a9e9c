"""The folder of a posix tier: what is made, what is reused, what is left alone, who shares it."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest

from kvscen.plugin import DriverError, Tier
from kvscen_drivers.posix import folder
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings
from tests.drivers.posix.support import child, fill, layout_of, open_store

HOLD = """
import sys
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings
from kvscen.plugin import DriverError, Tier, Work
try:
    store = PosixDriver().open(Tier("disk", "posix", PosixSettings(path=sys.argv[1], direct=False)),
                               Work(op="read", block_bytes=4096, batch=1, keys=1), ())
except DriverError as error:
    print("DriverError:", error, "|", error.remedy, flush=True)
else:
    print("open", flush=True)
    sys.stdin.readline()
    store.close()
"""


def _names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_the_last_component_is_made_and_marked(tmp_path):
    open_store(tmp_path / "data").close()
    assert _names(tmp_path / "data") == [".kvscen-data", ".kvscen-lock", "blocks.data"]
    assert json.loads((tmp_path / "data/.kvscen-data").read_text())["format"] == 1


def test_an_empty_folder_is_used(tmp_path):
    open_store(tmp_path).close()
    assert ".kvscen-data" in _names(tmp_path)


def test_marked_data_is_reused(tmp_path):
    store = open_store(tmp_path / "data")
    assert len(store.prepare(layout_of(8))) == 8
    fill(store, range(8))
    store.close()
    again = open_store(tmp_path / "data")
    assert list(again.prepare(layout_of(8))) == []
    assert list(again.prepare(layout_of(10))) == [8, 9]
    again.close()


def test_a_missing_parent_is_named(tmp_path):
    with pytest.raises(DriverError, match=f"the folder {tmp_path}/no does not exist") as refused:
        open_store(tmp_path / "no" / "data")
    assert f"mkdir -p {tmp_path}/no" in refused.value.remedy
    assert _names(tmp_path) == []


@pytest.mark.parametrize(("path", "said"), [("file", "is a file, not a folder"), ("file/data", "is not a folder")])
def test_a_file_in_the_way_is_named(tmp_path, path, said):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DriverError, match=said) as refused:
        open_store(tmp_path / path)
    assert refused.value.remedy
    assert (tmp_path / "file").read_text() == "mine"


def test_anything_else_is_never_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(DriverError, match=r"thesis\.tex.*left alone") as refused:
        open_store(tmp_path)
    assert "empty" in refused.value.remedy
    assert _names(tmp_path) == ["thesis.tex"]


def test_a_data_file_without_a_mark_is_not_ours(tmp_path):
    (tmp_path / "blocks.data").write_bytes(b"someone else's")
    with pytest.raises(DriverError, match=r"blocks\.data"):
        open_store(tmp_path)
    assert (tmp_path / "blocks.data").read_bytes() == b"someone else's"


@pytest.mark.parametrize("mark", ['{"format": 99}', "", "not json", "[]"])
def test_a_mark_that_we_do_not_know_is_refused(tmp_path, mark):
    (tmp_path / ".kvscen-data").write_text(mark)
    with pytest.raises(DriverError, match="another version"):
        open_store(tmp_path)
    assert _names(tmp_path) == [".kvscen-data"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "no file of this size"),
        (errno.ENAMETOOLONG, "not a usable path"),
        (errno.EIO, "cannot be used: Input/output error"),
    ],
)
def test_what_the_file_system_says_becomes_a_sentence(tmp_path, monkeypatch, code, said):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(folder.os, "open", refuse)
    with pytest.raises(DriverError, match=said) as refused:
        open_store(tmp_path / "data")
    assert str(tmp_path / "data") in str(refused.value)
    assert refused.value.remedy


def _namespace(script):
    """Run shell lines as root of a mount namespace of our own."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    if subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True).returncode:
        pytest.skip("no mount namespaces for this user")
    done = subprocess.run(["unshare", "-Urm", "sh", "-ec", script], capture_output=True, text=True, input="\n")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_read_only_file_system(tmp_path):
    script = f"mount -t tmpfs -o ro x {tmp_path}; exec {sys.executable} -c '{HOLD}' {tmp_path}/data"
    assert "read-only file system" in _namespace(script)


def test_a_full_file_system(tmp_path):
    script = f"""
        mount -t tmpfs -o size=64k x {tmp_path}; mkdir {tmp_path}/data
        head -c 1M /dev/zero > {tmp_path}/fill || true
        exec {sys.executable} -c '{HOLD}' {tmp_path}/data"""
    assert "is full" in _namespace(script)


def test_probe_says_the_same_and_leaves_nothing(tmp_path):
    def probe(path):
        return PosixDriver().probe(Tier("disk", "posix", PosixSettings(path=str(path), direct=False)))

    here = probe(tmp_path / "data")
    assert here.ok and here.facts["file system"]
    assert _names(tmp_path) == []
    assert "does not exist" in probe(tmp_path / "no" / "data").reason
    (tmp_path / "thesis.tex").write_text("mine")
    assert "left alone" in probe(tmp_path).reason
    assert _names(tmp_path) == ["thesis.tex"]


# ---- sharing


def test_stores_of_one_run_share_the_folder(tmp_path):
    first, second = open_store(tmp_path / "data"), open_store(tmp_path / "data")
    third = [child(HOLD, tmp_path / "siblings") for _ in range(6)]
    assert [process.stdout.readline() for process in third] == ["open\n"] * 6
    for process in third:
        process.communicate("\n", timeout=20)
    first.close()
    second.close()


def test_another_run_is_kept_out_until_we_let_go(tmp_path):
    store = open_store(tmp_path / "data")
    other = child(HOLD, tmp_path / "data")  # its parent is this process, ours is not: another run
    said, _ = other.communicate("\n", timeout=20)
    assert "in use by another run" in said and str(os.getppid()) in said
    store.close()
    other = child(HOLD, tmp_path / "data")
    assert other.communicate("\n", timeout=20)[0] == "open\n"


def test_a_killed_run_leaves_nothing_locked(tmp_path):
    other = child(HOLD, tmp_path / "data")
    assert other.stdout.readline() == "open\n"
    with pytest.raises(DriverError, match="another run"):
        open_store(tmp_path / "data")
    other.kill()
    other.communicate(timeout=20)
    open_store(tmp_path / "data").close()


def test_without_locks_it_works_and_says_so(tmp_path, monkeypatch):
    def none(descriptor, how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(folder, "_try", none)
    store = open_store(tmp_path / "data")
    assert "not locked against other runs" in store.path().evidence
    store.close()
