"""`kvscen run` over memkv: what is measured, and servers that fail."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from kvscen.execute.messages import Go
from tests.drivers.memkv.support import served
from tests.e2e.support import ROOT, kvscen, scenario, trials
from tests.execute.struck import run_struck

TEXT = """kvs 1
tier kv : memkv {{ {tier} }}
pattern pages : transfer {{ block = {block}; batch = 16; wait = batch; op = read; working_set = {working_set} }}
sweep s {{
  pattern = pages; tier = kv; trials = 1; warmup = 20 ms; time = {time}; timeout = 60 s; seed = 1
}}
"""


def text(tier: str = "", block: str = "64 KiB", working_set: str = "4 MiB", time: str = "200 ms") -> str:
    return TEXT.format(tier=tier, block=block, working_set=working_set, time=time)


def test_every_byte_is_verified_and_what_is_on_the_wire_is_counted_twice(tmp_path: Path) -> None:
    done = kvscen(tmp_path, "run", scenario(tmp_path, text("servers = 2; connections = 2")), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = trials(tmp_path / "out")
    assert (row["status"], row["path"], row["transport"]) == ("ok", "tcp", "tcp"), row["path_evidence"]
    assert row["verified_bytes"] == 2 * 64 * (64 << 10) or row["verified_bytes"] >= 4 << 20
    assert (row["servers"], row["connections_used"], row["interface"]) == (2, 4, "lo")
    received, kernel = int(str(row["received_bytes"])), int(str(row["kernel_received_bytes"]))
    assert received > 0 and abs(received - kernel) <= 0.01 * received + 65536
    assert row["merge_ratio"] == 1.0 and row["coalesced_operations"] == 0
    assert row["congestion_control"] and int(str(row["server_cpu_ns"])) > 0


def test_a_batch_that_shares_a_block_is_one_read(tmp_path: Path) -> None:
    done = kvscen(tmp_path, "run", scenario(tmp_path, text("coalesce = true", working_set="64 KiB")), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = trials(tmp_path / "out")
    assert row["status"] == "ok" and row["merge_ratio"] == 16.0
    assert 15 < float(str(row["wire_ratio"])) <= 16, "a figure above line rate explains itself"
    throughput, wire = (float(str(row[name])) for name in ("throughput_bytes_per_s", "wire_throughput_bytes_per_s"))
    assert throughput / wire == pytest.approx(row["wire_ratio"])


def test_blocks_by_shared_memory_are_verified_and_do_not_cross_the_connection(tmp_path: Path) -> None:
    tier = "transport = shm; coalesce = true; entry = 4; servers = 2"
    done = kvscen(tmp_path, "run", scenario(tmp_path, text(tier)), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = trials(tmp_path / "out")
    assert (row["status"], row["path"], row["transport"]) == ("ok", "shm", "shm"), row["path_evidence"]
    assert int(str(row["verified_bytes"])) >= 4 << 20
    moved, operations = int(str(row["lane_moved_bytes"])), int(str(row["lane_moved_operations"]))
    assert moved >= operations * (64 << 10) > 0 and operations == row["wire_operations"]
    assert int(str(row["kernel_received_bytes"])) < moved / 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "why"),
    [(signal.SIGKILL, "Connection reset|closed the connection"), (signal.SIGSTOP, "sent nothing for 1 s")],
)
def test_a_server_that_dies_or_hangs_costs_its_point_and_is_named(tmp_path: Path, number: int, why: str) -> None:
    with served("--capacity", "64 MiB") as (server, place):
        endpoints = text(f'endpoints = ["{place}"]; timeout = 1 s', time="6 s")
        (record,) = run_struck(tmp_path, endpoints, Go, lambda _: os.kill(server.pid, number))
        os.kill(server.pid, signal.SIGCONT)
    assert record.status == "error" and place in record.reason and re.search(why, record.reason), record.reason


def test_a_wrong_secret_is_an_error_and_no_secret_is_ever_told(tmp_path: Path) -> None:
    (tmp_path / "right").write_text("open sesame\n")
    (tmp_path / "wrong").write_text("open barley\n")
    with served("--capacity", "64 MiB", "--secret", str(tmp_path / "right")) as (_, place):
        for name, status in (("right", "ok"), ("wrong", "error")):
            path = scenario(tmp_path, text(f'endpoints = ["{place}"]; secret = secret("{name}")'))
            done = kvscen(tmp_path, "run", path, "--out", name + ".out")
            (row,) = trials(tmp_path / f"{name}.out")
            assert row["status"] == status, row["reason"]
            if status != "ok":
                assert "does not accept the secret" in str(row["reason"])
            assert "sesame" not in done.stdout + done.stderr
            for file in (tmp_path / f"{name}.out").rglob("*"):
                assert not file.is_file() or b"sesame" not in file.read_bytes(), file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sweep", "less"),
    [
        ("block_sweep", "sizes", ("sizes.operations=4", "lanes=1", "most=64 MiB", "blocks.op=read")),
        ("coalescing", "coalesced", ("count=160",)),
    ],
)
def test_the_shipped_scenarios_run(tmp_path: Path, name: str, sweep: str, less: tuple[str, ...]) -> None:
    path, quick = ROOT / "scenarios" / "memkv" / f"{name}.kvs", [f"{sweep}.trials=1", *less]
    pins = [word for pin in quick for word in ("--set", pin)]
    done = kvscen(tmp_path, "run", path, "--out", "out", *pins, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["status"] for row in trials(tmp_path / "out")} == {"ok"}
