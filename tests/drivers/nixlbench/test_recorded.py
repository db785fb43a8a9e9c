"""The driver against what the real program printed: each recorded run and failure, replayed by the stand-in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kvscen_drivers.nixlbench.flags import FLAGS
from kvscen_drivers.nixlbench.said import problem_of
from kvscen_drivers.nixlbench.table import read_table
from tests.drivers.nixlbench.support import RECORDED, grid, point, run, settings

pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason=f"{RECORDED} is not there")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def replayed(name: str, **values: Any) -> Any:
    return settings({"replay": str(RECORDED / name)}, **values)


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def test_the_flags_are_those_of_the_program() -> None:
    theirs = json.loads((RECORDED / "flags_v1.4.0.json").read_text())
    assert set(FLAGS) == set(theirs)
    for name, flag in theirs.items():
        ours = FLAGS[name]
        assert (ours.type, ours.default) == (flag["type"], flag["default"]), name
        if "choices" in flag:
            assert list(ours.choices) == flag["choices"], name


def test_a_sweep_of_21_rows_in_one_run(tmp_path: Path) -> None:
    of = replayed("1_posix_write_aio.txt", num_iter=64, warmup_iter=16)
    points = grid(of, [65536 << i for i in range(7)], [1, 2, 4])
    rows = run(points, tmp_path / "run")
    assert [row.status for row in rows] == ["ok"] * 21 and all(row.measures["note"] is None for row in rows)
    by_place = {(p.work.block_bytes, p.work.batch): row.measures for p, row in zip(points, rows, strict=True)}
    last = by_place[4194304, 4]
    assert last["throughput_bytes_per_s"] == 7.854502e9
    # 64 iterations, a sixteenth of them above 1 MiB.
    assert last["num_iter"] == 4 and last["operations"] == 16 and last["logical_bytes"] == 16 * 4194304
    assert by_place[1048576, 4]["num_iter"] == 64 and by_place[1048576, 4]["operations"] == 256
    assert last["time_per_block_ns"] == 534000.0 and last["post_p99_ns"] == 3545000.0
    assert (
        last["prep_mean_ns"] == 28000.0 and last["transfer_mean_ns"] == 11000.0 and last["transfer_p99_ns"] == 26000.0
    )
    assert last["window_ns"] == round(16 * 4194304 / 7.854502)
    assert last["path"] == "page cache"


def test_as_kvbench_asks_for_it(tmp_path: Path) -> None:
    of = replayed("3_posix_read_kvbench_style.txt", num_iter=16, warmup_iter=16)
    [row] = run([point(of, op="read", block_bytes=589824, batch=596)], tmp_path / "run")
    assert (row.status, row.measures["operations"], row.measures["reads"]) == ("ok", 9536, 9536)
    assert row.measures["throughput_bytes_per_s"] == 2.517347e9 and row.measures["window_ns"] == round(
        9536 * 589824 / 2.517347
    )


def test_a_crash_after_a_complete_table_is_accepted_and_said(tmp_path: Path) -> None:
    of = replayed("5_ucx_asio_tcp.txt", backend="UCX", num_iter=64, warmup_iter=16)
    points = grid(of, [65536 << i for i in range(7)], [4])
    rows = run(points, tmp_path / "run")
    assert [row.status for row in rows] == ["ok"] * 7
    assert rows[-1].measures["throughput_bytes_per_s"] == 0.388463e9
    assert {row.measures["exit_status"] for row in rows} == {-11}
    note = "nixlbench ended with a crash (SIGSEGV) after a complete table"
    assert {row.measures["note"] for row in rows} == {note}
    assert (tmp_path / "run" / "stdout-2").read_text().count("type target") == 1


def test_as_a_shell_reports_a_crash(tmp_path: Path) -> None:
    text = recorded("5_ucx_asio_tcp.txt")
    assert re.search(r"first=139 second=139", text)
    assert problem_of("", "", 139, {}).sentence == "ended with a crash (SIGSEGV)"


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        (
            "fail2_bad_filepath.txt",
            {},
            "nixlbench could not open /nonexistent/dir/nixlbench_posix_test_file_initiator_0: No such file or "
            "directory",
        ),
        (
            "fail6_threads_kvbench_bufsize.txt",
            {},
            "nixlbench refuses the size of its buffers: Incorrect buffer size configuration (max_block_size * "
            "max_batch_size) (1048576) is > (total_buffer_size / num_threads) (262144); leave `total_buffer_size` out",
        ),
        (
            "fail7_unknown_flag.txt",
            {},
            "nixlbench does not know the flag `nosuchflag`: this nixlbench is of another version than 1.4; leave "
            "`nosuchflag` at its default",
        ),
        (
            "fail10_etcd_down.txt",
            {"backend": "UCX", "etcd_endpoints": "http://127.0.0.1:9"},
            "nixlbench found no etcd: nothing answers at http://127.0.0.1:9; start etcd there, set `etcd_endpoints`, "
            "or meet by `runtime_type = ASIO`",
        ),
    ],
)
def test_failures(tmp_path: Path, name: str, values: dict[str, Any], sentence: str) -> None:
    [row] = run([point(replayed(name, **values))], tmp_path / "run")
    assert (row.status, row.reason) == ("error", sentence)


def test_every_recording_is_here() -> None:
    used = Path(__file__).read_text()
    assert all(path.name in used for path in RECORDED.glob("*.txt"))


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.txt")), ids=lambda path: path.name)
def test_rows_agree_with_themselves(path: Path) -> None:
    """A rate and a time per block that do not fit each other would be refused: no recorded row is."""
    table = read_table(path.read_text(), threads=1)
    assert not table.garbled and len(table.rows) == path.read_text().count("\n") - len(
        re.findall(r"^(?!\d+ +\d+ +\d).*\n", path.read_text(), re.MULTILINE)
    )
