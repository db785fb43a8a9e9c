"""Runs of the stand-in, good and bad: what becomes of each point, what is passed, what is left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from kvscen_drivers.nixlbench.driver import NixlbenchDriver
from tests.drivers.nixlbench.support import STAND_IN, commands, flags_of, grid, point, run, settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def play(tmp_path: Path, what: dict[str, Any], *, deadline_s: float = 20, **values: Any) -> list[Any]:
    """Four rows in one run: (status, reason, note) of each."""
    points = grid(settings(what, num_iter=16, **values), [4096, 8192], [1, 2])
    rows = run(points, tmp_path / "run", deadline_s)
    assert [row.point_id for row in rows] == ["p0", "p1", "p2", "p3"]
    assert all("\n" not in row.reason and len(row.reason) < 400 for row in rows)
    return [(row.status, row.reason, row.measures.get("note")) for row in rows]


# ---- what it measures


def test_every_column_of_a_row(tmp_path: Path) -> None:
    [row] = run([point(settings({"batch_us": 100}), operations=64)], tmp_path / "run")
    assert row.status == "ok"
    assert row.measures == {
        "operations": 64,
        "reads": 0,
        "writes": 64,
        "errors": 0,
        "logical_bytes": 64 * 65536,
        "throughput_bytes_per_s": 4 * 65536 / 100e-6,
        "operations_per_s": 4 / 100e-6,
        "window_ns": 16 * 100_000,
        "depth_used": 4,
        "path": "page cache",
        "path_evidence": "nixlbench opens its files without O_DIRECT; kvscen has not seen the bytes",
        "num_iter": 16,
        "warmup_iter": 2,
        "time_per_block_ns": 25_000.0,
        "prep_mean_ns": 3000.0,
        "prep_p99_ns": 3000.0,
        "post_mean_ns": 99_000.0,
        "post_p99_ns": 120_000.0,
        "transfer_mean_ns": 1000.0,
        "transfer_p99_ns": 2000.0,
        "own_bytes_per_s": None,
        "network_share": None,
        "exit_status": 0,
        "note": None,
    }


def test_its_own_columns_are_declared(tmp_path: Path) -> None:
    from kvscen.results.schema import TRIALS

    [row] = run([point(settings())], tmp_path / "run")
    known = {column.name for column in TRIALS} | {measure.name for measure in NixlbenchDriver.measures}
    assert set(row.measures) <= known
    assert {measure.name for measure in NixlbenchDriver.measures} <= set(row.measures)


@pytest.mark.parametrize(
    ("work", "values", "iterations", "passed"),
    [
        ({"operations": 64}, {}, 16, {"num_iter": "16", "warmup_iter": "2", "large_blk_iter_ftr": "1"}),
        ({"operations": 65}, {}, 17, {"num_iter": "17"}),
        ({"operations": 1}, {}, 1, {"num_iter": "1", "warmup_iter": "1"}),
        ({"operations": 64, "threads": 3}, {}, 18, {"num_iter": "18", "warmup_iter": "3"}),
        ({"operations": 64, "block_bytes": 2 << 20}, {}, 16, {"num_iter": "16"}),
        ({"operations": 64, "block_bytes": 2 << 20}, {"large_blk_iter_ftr": 16}, 16, {"num_iter": "256"}),
        ({"operations": 60, "block_bytes": 2 << 20}, {"large_blk_iter_ftr": 16}, 15, {"num_iter": "240"}),
        ({"block_bytes": 1 << 20}, {"num_iter": 1000}, 1008, {"num_iter": "1008", "warmup_iter": "112"}),
        ({"block_bytes": (1 << 20) + 4096}, {"num_iter": 1000}, 63, {"num_iter": "1008"}),
        ({"threads": 4}, {"num_iter": 1000, "warmup_iter": 0}, 1024, {"num_iter": "1024", "warmup_iter": "0"}),
    ],
)
def test_operations_are_counted_as_nixlbench_does_them(
    tmp_path: Path, work: dict[str, Any], values: dict[str, Any], iterations: int, passed: dict[str, str]
) -> None:
    [row] = run([point(settings({"batch_us": 700}, **values), **work)], tmp_path / "run")
    assert row.measures["num_iter"] == iterations and row.measures["operations"] == 4 * iterations
    # The stand-in's clock: each batch takes 700 us, all threads at once.
    assert row.measures["window_ns"] == pytest.approx(iterations * 700_000 / work.get("threads", 1), rel=1e-3)
    assert passed.items() <= flags_of(commands(tmp_path / "run")).items()
    # What is passed is rounded already, so nixlbench has nothing to adjust.
    assert "Adjusting" not in (tmp_path / "run" / "stdout").read_text()


def test_time_is_filled_from_pilot_runs(tmp_path: Path) -> None:
    driver = NixlbenchDriver()
    of = settings({"batch_us": 5000})
    work = {"operations": None, "time_ns": 2 * 10**9, "warmup_ns": 5 * 10**8}
    [row] = run([point(of, **work)], tmp_path / "run", driver=driver)
    assert (row.status, row.measures["num_iter"], row.measures["warmup_iter"]) == ("ok", 400, 100)
    pilots = sorted(path.name for path in (tmp_path / "run").glob("pilot-*"))
    assert pilots and len(pilots) <= 3
    assert flags_of(commands(tmp_path / "run" / "pilot-1"))["num_iter"] == "1"
    [again] = run([point(of, **work)], tmp_path / "second", trial=2, driver=driver)
    assert again.measures["num_iter"] == 400 and not list((tmp_path / "second").glob("pilot-*"))


def test_a_pilot_that_fails_ends_the_trial(tmp_path: Path) -> None:
    of = settings({"fail": "no table"})
    [row] = run([point(of, operations=None, time_ns=10**9)], tmp_path / "run")
    assert (row.status, row.reason) == ("error", "nixlbench ended with status 0 and printed no table")


def test_what_is_passed_and_kept(tmp_path: Path) -> None:
    of = settings({}, num_iter=16, storage_enable_direct=True, posix_api_type="URING", flags=("--memkv_shard=3",))
    run([point(of, op="read", threads=2, depth=3, block_bytes=8192)], tmp_path / "run")
    words = commands(tmp_path / "run")
    assert words[0] == str(STAND_IN)
    flags = flags_of(words)
    place = Path(flags.pop("filepath"))
    assert place.parent == tmp_path / "kv" and place.name.startswith("kvscen-nixlbench-")
    assert flags == {
        "backend": "POSIX",
        "op_type": "READ",
        "initiator_seg_type": "DRAM",
        "start_block_size": "8192",
        "max_block_size": "8192",
        "start_batch_size": "4",
        "max_batch_size": "4",
        "total_buffer_size": str(2 * 3 * 4 * 8192),
        "num_iter": "32",
        "warmup_iter": "128",
        "large_blk_iter_ftr": "16",
        "num_threads": "2",
        "pipeline_depth": "3",
        "storage_enable_direct": "true",
        "posix_api_type": "URING",
        "memkv_shard": "3",
    }
    assert "Creating file" in (tmp_path / "run" / "stdout").read_text()
    assert (tmp_path / "run" / "stderr").exists()
    # The folder of the run is gone with its file; what was there before it is not.
    assert list((tmp_path / "kv").iterdir()) == []


def test_each_run_has_a_folder_a_port_and_a_group_of_its_own(tmp_path: Path) -> None:
    seen: dict[str, set[str]] = {"filepath": set(), "asio_port": set(), "benchmark_group": set()}
    for number in range(2):
        kinds = (
            settings(num_iter=16),
            settings(backend="UCX", num_iter=16),
            settings(backend="UCX", num_iter=16, etcd_endpoints="http://e:1"),
        )
        for kind, of in enumerate(kinds):
            folder = tmp_path / f"run{number}{kind}"
            [row] = run([point(of)], folder)
            assert row.status == "ok", row.reason
            flags = flags_of(commands(folder))
            for name in seen.keys() & flags.keys():
                seen[name].add(flags[name])
    assert all(len(values) == 2 for values in seen.values()), seen


def test_paths_are_ours_although_it_runs_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text("")
    run([point(settings(num_iter=16, config_file="more.toml"))], tmp_path / "run")
    assert flags_of(commands(tmp_path / "run"))["config_file"] == str(tmp_path / "more.toml")


def test_two_processes_meet_over_asio(tmp_path: Path) -> None:
    [row] = run([point(settings(backend="UCX", num_iter=16, target_seg_type="VRAM"), memory="vram")], tmp_path / "run")
    assert row.status == "ok" and row.measures["path"] == "unknown"
    flags = flags_of(commands(tmp_path / "run"))
    assert (flags["runtime_type"], flags["initiator_seg_type"], flags["target_seg_type"]) == ("ASIO", "VRAM", "VRAM")
    assert "filepath" not in flags
    both = [(tmp_path / "run" / name).read_text() for name in ("stdout", "stdout-2")]
    assert sum("using connect() instead" in text for text in both) == 1


def test_a_plugin_that_it_does_not_know(tmp_path: Path) -> None:
    of = settings(backend="MEMKV", storage=True, filepath="kv", num_iter=16, flags=("--memkv_servers=a:1,b:2",))
    [row] = run([point(of)], tmp_path / "run")
    assert row.status == "ok" and row.measures["path"] == "unknown"
    flags = flags_of(commands(tmp_path / "run"))
    assert (flags["backend"], flags["memkv_servers"]) == ("MEMKV", "a:1,b:2") and "runtime_type" not in flags
    assert json.loads((tmp_path / "run" / "command.json").read_text())["processes"] == 1


# ---- what goes wrong


def test_it_is_not_installed(tmp_path: Path) -> None:
    [row] = run([point(settings(program="no-such-nixlbench"))], tmp_path / "run")
    assert row.status == "unavailable"
    assert row.reason.startswith(
        "the program no-such-nixlbench is not installed here: build it from https://github.com/"
    )
    assert row.reason.endswith("`posix` and `nixl` measure the same here")
    assert not (tmp_path / "kv").exists()


def test_it_cannot_be_started(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("hello\n")
    broken.chmod(0o755)
    [row] = run([point(settings(program=str(broken)))], tmp_path / "run")
    assert (row.status, row.reason) == ("error", f"{broken} could not be started: Exec format error")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "kv").write_text("mine")
    [row] = run([point(settings())], tmp_path / "run")
    assert (row.status, row.reason) == ("error", "`filepath = kv` is a file, and nixlbench needs a folder")
    assert (tmp_path / "kv").read_text() == "mine"
    [row] = run([point(settings(filepath="kv/below"))], tmp_path / "run")
    assert row.status == "error" and "Not a directory" in row.reason
    [row] = run([point(settings(filepath="a/b"))], tmp_path / "run")
    assert row.status == "error" and "its parent a is not there" in row.reason


def test_a_flag_that_this_version_does_not_know(tmp_path: Path) -> None:
    rows = play(tmp_path, {"unknown": ["pipeline_depth"]})
    reason = (
        "nixlbench does not know the flag `pipeline_depth`: this nixlbench is of another version than 1.4; leave "
        "`pipeline_depth` at its default"
    )
    assert rows == [("error", reason, None)] * 4


def test_rows_before_a_crash_are_kept(tmp_path: Path) -> None:
    rows = play(tmp_path, {"fail": "crash 2"})
    assert rows[:2] == [("ok", "", "nixlbench ended with a crash (SIGSEGV) after 2 rows")] * 2
    assert rows[2:] == [("error", "nixlbench ended with a crash (SIGSEGV) after 2 rows", None)] * 2


def test_a_crash_before_any_row(tmp_path: Path) -> None:
    rows = play(tmp_path, {"fail": "crash 0", "say": "E1120 08:48:01.502494 31443 nixl_agent.cpp:318] out of memory"})
    assert rows == [("error", "nixlbench ended with a crash (SIGSEGV): out of memory", None)] * 4


def test_a_crash_after_a_complete_table(tmp_path: Path) -> None:
    rows = play(tmp_path, {"fail": "crash at the end"})
    assert rows == [("ok", "", "nixlbench ended with a crash (SIGSEGV) after a complete table")] * 4


def test_status_1_after_a_complete_table_is_no_crash(tmp_path: Path) -> None:
    rows = play(tmp_path, {"fail": "status 1 after 4", "say": "Failed to synchronize"})
    note = "nixlbench ended with status 1 after a complete table"
    assert rows[:3] == [("ok", "", note)] * 3
    assert rows[3][0] == "error" and rows[3][2] == note
    assert rows[3][1].startswith("nixlbench waited for peers that never came or were too many")


def test_a_row_that_was_cut_short_by_a_signal(tmp_path: Path) -> None:
    """Asked to stop, nixlbench prints a row for iterations that it did not do."""
    rows = play(tmp_path, {"fail": "status 1 after 2", "say": "Ctrl-C received, exiting..."})
    assert [status for status, *_ in rows] == ["ok", "error", "error", "error"]


def test_a_truncated_table(tmp_path: Path) -> None:
    rows = play(tmp_path, {"fail": "truncate"})
    assert [status for status, *_ in rows] == ["ok", "ok", "ok", "incomplete"]
    reason = "nixlbench ended with status 0 after 3 rows, and its table has no row for 8192 bytes x 2"
    assert rows[3][1] == reason


def test_a_table_that_ends_within_a_row(tmp_path: Path) -> None:
    rows = play(tmp_path, {"fail": "cut"})
    assert [status for status, *_ in rows] == ["ok", "ok", "ok", "error"]
    assert rows[3][1].startswith("nixlbench's output cannot be used: the table ends within a row: 8192 2 ")


@pytest.mark.parametrize("fail", ["garble 1", "garble 0"])
def test_a_garbled_table(tmp_path: Path, fail: str) -> None:
    rows = play(tmp_path, {"fail": fail})
    good = int(fail[-1])
    assert [status for status, *_ in rows] == ["ok"] * good + ["error"] * (4 - good)
    assert rows[-1][1].startswith("nixlbench's output cannot be used: a row of the table cannot be read: 4096 ")


def test_a_table_of_another_version(tmp_path: Path) -> None:
    rows = play(tmp_path, {"fail": "no table"})
    assert rows == [("error", "nixlbench ended with status 0 and printed no table", None)] * 4


def test_a_hang_without_output(tmp_path: Path) -> None:
    began = time.monotonic()
    rows = play(tmp_path, {"fail": "hang"}, deadline_s=1)
    assert time.monotonic() - began < 3
    reason = "nixlbench was killed after 1 s, its deadline (warm-up, time and timeout): no row for this point came"
    assert rows == [("hang", reason, None)] * 4


def test_a_hang_in_the_middle_of_a_sweep(tmp_path: Path) -> None:
    rows = play(tmp_path, {"fail": "hang 3"}, deadline_s=1)
    assert rows[:3] == [("ok", "", "nixlbench was killed at its deadline after 3 rows")] * 3
    assert rows[3][0] == "hang" and "after 3 rows: no row for this point came" in rows[3][1]
    assert list((tmp_path / "kv").iterdir()) == []


def test_a_peer_that_never_comes(tmp_path: Path) -> None:
    of = settings({"peer": "absent"}, backend="UCX", num_iter=16, start="first", asio_port=find_port())
    [row] = run([point(of)], tmp_path / "run")
    assert row.status == "error"
    assert row.reason == (
        f"nixlbench waited for a peer that never came (ASIO at 127.0.0.1:{of.asio_port}): start the other process, and "
        "let both reach this port"
    )
    assert json.loads((tmp_path / "run" / "command.json").read_text())["processes"] == 1


def find_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_one_that_ends_badly_takes_the_other_with_it(tmp_path: Path) -> None:
    """The second process connects to a first one that is dead, and would wait."""
    began = time.monotonic()
    of = settings({"peer": "absent"}, backend="UCX", num_iter=16)
    [row] = run([point(of)], tmp_path / "run")
    assert row.status == "error" and "never came" in row.reason and time.monotonic() - began < 10


def test_content_that_is_not_what_was_written(tmp_path: Path) -> None:
    rows = play(tmp_path, {"fail": "status 1 after 0", "say": "Consistency check failed for iov 0:0"})
    reason = "nixlbench found content that is not what was written: Consistency check failed for iov 0:0"
    assert rows == [("corrupt", reason, None)] * 4


@pytest.mark.parametrize(
    ("said", "status", "sentence"),
    [
        ("Invalid runtime: ETCD", "unavailable", "is built without ETCD"),
        ("createBackend: unsupported backend 'GDS'", "unavailable", "finds no NIXL plugin `GDS` here"),
        ("VRAM not supported without CUDA, ROCm or Neuron", "unavailable", "is built without a GPU"),
        ("Invalid segment type: FILE", "error", "refuses the memory type FILE"),
        ("Error preparing I/O operation: -6", "error", "more operations in flight than `posix_ios_pool_size`"),
        ("GDS batch pool exhausted", "error", "more cuFile batches in flight than `gds_batch_pool_size`"),
        ("Invalid mode: {braces} %s", "error", "ended with status 1: Invalid mode: {braces} %s"),
    ],
)
def test_what_it_says(tmp_path: Path, said: str, status: str, sentence: str) -> None:
    rows = play(tmp_path, {"fail": "status 1 after 0", "say": said})
    assert {row[0] for row in rows} == {status} and sentence in rows[0][1]


def test_cancelled_it_leaves_nothing_behind(tmp_path: Path) -> None:
    points = [point(settings({"fail": "hang"}, num_iter=16))]
    (tmp_path / "run").mkdir()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(NixlbenchDriver().run, points, 1, tmp_path / "run", 100.0)
            while not (tmp_path / "run" / "stdout").exists() or not list((tmp_path / "kv").glob("*/*")):
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert list((tmp_path / "kv").iterdir()) == []
    running = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in text(path)]
    assert not running


def text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
