"""The description of the machine: complete, quick, and never in the way."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from kvscen.facts import gather, host
from kvscen.facts.gather import Senses
from kvscen.facts.storage import Look, Mount, block_device, mount_of, mounts
from kvscen.results.environment import capture, environment
from tests.doctor.machines import Machine


def test_it_is_json_with_everything_that_was_promised(tmp_path: Path) -> None:
    found = json.loads(json.dumps(capture([str(tmp_path / "not" / "there")])))
    assert set(found) >= {"cpu", "memory", "limits", "gpus", "network", "versions", "variables", "drivers"}
    assert set(found) >= {"host", "idle", "python"}
    assert found["cpu"]["threads"] == os.cpu_count()
    assert found["memory"]["total_bytes"] > 0
    assert set(found["versions"]) >= {"kvscen", "python", "lark", "attrs", "entrypoints", "trio", "pyarrow", "numpy"}
    (system,) = found["file_systems"]
    assert system["path"].endswith("not/there")
    assert Path(system["mount_point"]).is_mount()
    assert 0 < system["free_bytes"] <= system["total_bytes"]


def test_it_tells_what_the_doctor_looks_at(tmp_path: Path) -> None:
    facts = Machine({"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave"}).facts(tmp_path)
    found = json.loads(json.dumps(environment(facts, ["/mnt/nvme/kv", "/gone"])))
    assert found["cpu"]["governor"] == "performance, powersave"
    assert found["idle"]["devices"]["nvme0n1"]["operations_per_s"] == 0
    [system, gone] = found["file_systems"]
    assert (system["type"], system["direct_io_bytes"]) == ("xfs", [4, 512])
    assert system["device"]["wear"]["used_percent"] == 3
    assert gone == {"path": "/gone", "problem": "not asked"}


def test_secrets_are_named_but_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"UCX_TLS": "tcp", "MC_AUTH_token": "hunter2", "CUFILE_KEY": "x", "HOME_KEY": "y"}.items():
        monkeypatch.setenv(name, value)
    variables = capture()["variables"]
    assert variables["UCX_TLS"] == "tcp"
    assert (variables["MC_AUTH_token"], variables["CUFILE_KEY"]) == ("***", "***")
    assert "HOME_KEY" not in variables


def test_what_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def stuck(path: str) -> Look:
        release.wait(60)
        raise OSError("too late")

    monkeypatch.setattr(gather, "PATIENCE_S", 0.05)
    found = capture(["/stuck"], senses=Senses(look=stuck))
    release.set()
    assert found["file_systems"] == [{"path": "/stuck", "problem": "did not answer within 0.05 s"}]


def test_what_raises_is_a_problem_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("odd machine")

    for name in ("host", "cpu", "memory", "limits", "network", "sample", "file_system"):
        monkeypatch.setattr(gather, name, broken)
    found = capture(["/x"])
    assert found["cpu"] == found["network"] == found["idle"] == {"problem": "RuntimeError: odd machine"}
    assert found["file_systems"] == [{"path": "/x", "problem": "RuntimeError: odd machine"}]


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return program


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_gpus_as_nvidia_smi_lists_them(nvidia_smi: Path) -> None:
    _script(nvidia_smi, "echo '0, NVIDIA H200, GPU-1234, 570.1, 143771, 00000000:19:00.0, 5, 16'")
    (gpu,) = capture()["gpus"]
    assert (gpu["name"], gpu["memory_mib"], gpu["pcie_width"]) == ("NVIDIA H200", "143771", "16")


def test_a_gpu_driver_that_fails_or_hangs(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _script(nvidia_smi, "echo 'Failed to initialize NVML'; exit 9")
    assert capture()["gpus"] == {"problem": "nvidia-smi: Failed to initialize NVML"}
    monkeypatch.setattr(host, "GPU_PATIENCE_S", 0.2)
    _script(nvidia_smi, "exec sleep 20")
    assert "did not answer" in capture()["gpus"]["problem"]


MOUNTINFO = r"""
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 0:50 / /mnt/my\040disk rw,nosuid - nfs4 server:/export rw,vers=4.2
41 27 259:1 / /mnt ro - xfs /dev/nvme0n1 ro
"""


def test_the_mount_of_a_path() -> None:
    table = mounts(MOUNTINFO)
    assert table[1] == Mount("/mnt/my disk", "0:50", "nfs4", "server:/export", "rw,nosuid,vers=4.2")
    for path, type_ in (("/", "ext4"), ("/mntx", "ext4"), ("/mnt", "xfs"), ("/mnt/my disk/a", "nfs4")):
        mount = mount_of(path, table)
        assert mount is not None
        assert mount.type == type_


def test_a_composed_block_device(tmp_path: Path) -> None:
    def files(at: Path, content: dict[str, str]) -> None:
        for name, text in content.items():
            (at / name).parent.mkdir(parents=True, exist_ok=True)
            (at / name).write_text(text)

    nvme, dm = tmp_path / "nvme0n1", tmp_path / "dm-0"
    queue = {"queue/rotational": "0\n", "queue/scheduler": "[none] mq-deadline\n", "queue/max_sectors_kb": "512\n"}
    files(nvme, {"device/model": "Fast SSD  \n", "size": "2048\n", **queue})
    files(nvme / "nvme0n1p1", {"partition": "1\n", "size": "1024\n"})
    files(dm, {"dm/name": "vg-data\n", "size": "2048\n", **queue})
    (dm / "slaves").mkdir()
    (dm / "slaves" / "nvme0n1p1").symlink_to(nvme / "nvme0n1p1")
    found = block_device(dm)
    assert (found.model, found.rotational, found.scheduler) == ("vg-data", False, "none")
    (part,) = found.parts
    assert (part.name, part.disk, part.model, part.size_bytes) == ("nvme0n1p1", "nvme0n1", "Fast SSD", 1024 * 512)
    assert part.largest_request_bytes == 512 * 1024
    assert found.disks == (part,)
