"""Reading a machine: lists, control groups, limits, wear, what moved while idle."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from kvscen.facts.files import Files, count_listed
from kvscen.facts.host import network
from kvscen.facts.limits import IoLimit, io_uring_error, limits
from kvscen.facts.sample import sample
from kvscen.facts.storage import held_bytes, look
from kvscen.facts.wear import Command, Wear, wear_of


def files(root: Path, **content: str) -> Files:
    """Files by their path, with __ for each slash."""
    for name, text in content.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Files(root)


@pytest.mark.parametrize(
    ("text", "count"), [("0", 1), ("0-3", 4), ("0-3,8,10-11", 7), ("", None), (None, None), ("a-b", None)]
)
def test_lists_of_cpus(text: str | None, count: int | None) -> None:
    assert count_listed(text) == count


def test_links_out_of_the_root_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/proc")
    assert Files(tmp_path).link("/out") is None
    assert Files(tmp_path).link("/nothing") is None


def test_the_tightest_of_nested_groups_counts(tmp_path: Path) -> None:
    machine = files(
        tmp_path,
        proc__self__cgroup="0::/a/b\n",
        sys__fs__cgroup__cgroup_controllers="",
        **{
            "sys__fs__cgroup__a__memory.max": "2000000",
            "sys__fs__cgroup__a__memory.current": "1500000",
            "sys__fs__cgroup__a__b__memory.max": "max",
            "sys__fs__cgroup__a__b__memory.current": "7",
            "sys__fs__cgroup__a__cpu.max": "max 100000",
            "sys__fs__cgroup__a__b__cpu.max": "250000 100000",
            "sys__fs__cgroup__a__io.max": "8:0 rbps=1000 wbps=max riops=5 wiops=max\n8:16 rbps=max wbps=max",
            "sys__fs__cgroup__cgroup.controllers": "memory cpu io",
        },
    )
    found = limits(machine, lambda: 0)
    assert (found.cgroup, found.cgroup_memory_bytes, found.cgroup_memory_used_bytes) == ("/a/b", 2_000_000, 1_500_000)
    assert found.cgroup_cpus == 2.5
    assert found.cgroup_io == (IoLimit("8:0", "rbps=1000 riops=5"),)


def test_version_1_of_control_groups(tmp_path: Path) -> None:
    machine = files(
        tmp_path,
        proc__self__cgroup="5:memory:/x\n3:blkio:/x\n0::/\n",
        **{
            "sys__fs__cgroup__memory__x__memory.limit_in_bytes": "9223372036854771712",
            "sys__fs__cgroup__memory__memory.limit_in_bytes": "1000000",
            "sys__fs__cgroup__blkio__x__blkio.throttle.write_iops_device": "8:0 100\n8:16 max",
        },
    )
    found = limits(machine, lambda: 1)
    assert found.cgroup_memory_bytes == 1_000_000
    assert found.cgroup_io == (IoLimit("8:0", "wiops=100"),)
    assert found.io_uring == "EPERM"


def test_this_machine_agrees_with_its_libc(tmp_path: Path) -> None:
    import os
    import resource

    found = limits(Files(), io_uring_error)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert found.open_files == (None if soft == resource.RLIM_INFINITY else soft)
    lock = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    assert found.memlock_unlimited == (lock == resource.RLIM_INFINITY)
    seen = look(str(tmp_path / "a" / "b"))
    assert (seen.seen, seen.exists) == (str(tmp_path), False)
    assert seen.free_bytes == pytest.approx(os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize, rel=0.1)
    (tmp_path / "data").write_bytes(b"x" * 10_000)
    assert 10_000 <= held_bytes(str(tmp_path)) < 20_000
    assert [path.name for path in tmp_path.iterdir()] == ["data"], "looking leaves nothing behind"


def test_a_sample_counts_what_moved(tmp_path: Path) -> None:
    machine = files(
        tmp_path,
        proc__stat="cpu  10 0 10 80 0 0 0 0 0 0\ncpu0 5 0 5 40 0 0 0 0\ncpu1 5 0 5 40 0 0 0 0\n",
        sys__block__sda__stat="10 0 100 0 10 0 100 0 0 0 0",
        sys__block__loop0__stat="0 0 0 0 0 0 0 0 0 0 0",
    )
    times = iter([10.0, 12.0])

    def wait(seconds: float) -> None:
        files(
            tmp_path,
            proc__stat="cpu  60 0 10 120 0 0 0 10 0 0\n",
            sys__block__sda__stat="110 0 2148 0 10 0 100 0 0 0 0",
        )

    found = sample(machine, wait, lambda: next(times))
    # 50 user, 40 idle and 10 stolen ticks of 100, of the processors that the second reading lists: none.
    assert (found.seconds, found.steal_share, found.busy_cpus) == (2.0, 0.1, 0.0)
    assert list(found.devices) == ["sda"]
    assert found.devices["sda"].operations_per_s == 50
    assert found.devices["sda"].read_bytes_per_s == 2048 * 512 / 2


def test_cards_that_are_devices(tmp_path: Path) -> None:
    machine = files(
        tmp_path,
        sys__class__net__eth0__speed="-1",
        sys__class__net__eth0__device__numa_node="1",
        sys__class__net__lo__mtu="65536",
    )
    [card] = network(machine)
    assert (card.name, card.speed_mbit_per_s, card.numa_node) == ("eth0", None, 1)


# ---- wear

NVME_LOG = {"percentage_used": 4, "data_units_written": 62_786_553, "media_errors": 0, "critical_warning": 0}
ATA_LOG = {
    "logical_block_size": 512,
    "smart_status": {"passed": True},
    "ata_device_statistics": {
        "pages": [
            {"table": [{"name": "Logical Sectors Written", "value": 2_000_000}]},
            {"table": [{"name": "Percentage Used Endurance Indicator", "value": 7}]},
        ]
    },
}


def test_wear_by_smartctl() -> None:
    asked: list[Command] = []

    def nvme(command: Command) -> str | None:
        asked.append(command)
        return json.dumps({"nvme_smart_health_information_log": NVME_LOG}) if command[0] == "smartctl" else None

    found = wear_of("nvme0n1", nvme)
    assert found == Wear("smartctl", 4, 62_786_553 * 512_000, 0, False)
    assert asked[0][-1] == "/dev/nvme0n1" and "--nocheck=standby" in asked[0], "a disk that sleeps is left asleep"
    assert wear_of("sda", lambda _: json.dumps(ATA_LOG)) == Wear("smartctl", 7, 1_024_000_000, None, False)


def test_wear_by_nvme_where_smartctl_is_missing() -> None:
    log = {"percent_used": 11, "data_units_written": "1000", "media_errors": 2, "critical_warning": {"value": 4}}
    found = wear_of("nvme1n1", lambda command: json.dumps(log) if command[0] == "nvme" else None)
    assert found == Wear("nvme", 11, 512_000_000, 2, True)


@pytest.mark.parametrize(
    ("disk", "answer", "problem"),
    [
        ("vda", "{}", "only NVMe, SATA and SAS devices do"),
        ("sda", None, "neither smartctl nor nvme is installed"),
        ("nvme0n1", '{"smartctl": {"exit_status": 2}}', "smartctl could not read it (it needs root)"),
        ("sda", "not JSON", "smartctl gave no answer (JSONDecodeError)"),
        ("sda", "[1]", "smartctl could not read it (it needs root)"),
    ],
)
def test_wear_that_cannot_be_read(disk: str, answer: str | None, problem: str) -> None:
    found = wear_of(disk, lambda command: answer)
    assert found.source is None and found.used_percent is None
    assert str(found.problem).startswith(problem)


def test_a_device_that_does_not_answer() -> None:
    def stuck(command: Command) -> str:
        raise subprocess.TimeoutExpired(command, 3)

    assert "smartctl gave no answer (TimeoutExpired); nvme gave no answer" in str(wear_of("nvme0n1", stuck).problem)
