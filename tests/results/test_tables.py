"""The tables, as the libraries that people use read them."""

from __future__ import annotations

import random
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kvscen.language.values import Quantity, Symbol
from kvscen.plan.point import Plan
from kvscen.plugin.registry import registry
from kvscen.results import schema
from kvscen.results.errors import ResultsError
from kvscen.results.judge import judge
from kvscen.results.points import columns_of_plan
from kvscen.results.record import TrialRecord
from kvscen.results.searches import searched
from kvscen.results.tables import make_tables, read_table, write_tables
from tests.report.scenes import searching
from tests.results.support import RUN_ID, expectation, make_plan, make_point, make_record, measures

FAST = expectation("throughput", ">=", Quantity.of(200, "MiB/s"))


def a_run() -> tuple[Plan, list[TrialRecord]]:
    points = [
        make_point(1, axes={"pages.op": Symbol("write"), "pages.requests": Quantity.of(1)}, expectations=(FAST,)),
        make_point(2, axes={"pages.op": Symbol("read"), "pages.requests": Quantity.of(10)}, expectations=(FAST,)),
    ]
    records = [make_record(point, trial) for trial in (1, 2, 3) for point in points]
    records[3] = make_record(points[1], 2, "hang", "nothing completed for 30 s")
    return make_plan(*points), records


def another_run() -> tuple[Plan, list[TrialRecord]]:
    """Other axes, and a column that only its driver has."""
    point = make_point(7, axes={"disk.direct": True, "pages.block": Quantity.of(4, "MiB")}, sweep="sizes")
    return make_plan(point, scenario="other"), [
        make_record(point, 1, values=measures(prep_p50_ns=5, engine="io_uring"))
    ]


def write(folder: Path, run: tuple[Plan, list[TrialRecord]], run_id: str = RUN_ID) -> dict[str, Path]:
    folder.mkdir(parents=True)
    plan, records = run
    return write_tables(folder, plan, records, run_id, judge(plan, records), searched(plan, records))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write(tmp_path / "runs/one", a_run(), "run-1")
    write(tmp_path / "runs/two", another_run(), "run-2")
    return tmp_path / "runs"


def test_what_searches_came_to(tmp_path: Path) -> None:
    paths = write(tmp_path / "run", searching())
    found = read_table(paths["searches"])
    assert found.schema.field("value").metadata[b"description"]
    rows = found.to_pylist()
    assert [(row["others"], row["outcome"], row["value"], row["next_value"]) for row in rows] == [
        ("tier=disk", "found", 400, 800),
        ("tier=dram", "beyond", 1600, None),
        ("tier=tape", "none", None, 100),
        ("tier=net", "found", 800, 1600),
        ("tier=gds", "not_judged", None, None),
        ("", "found", 4, 8),
    ]
    assert {(row["unit"], row["measure"], row["measure_unit"]) for row in rows} == {
        ("1/s", "latency_p99", "ns"),
        (None, "throughput", "B/s"),
    }
    candidates = read_table(paths["candidates"]).to_pylist()
    assert len(candidates) == 5 * 5 * 2 + 6, "one row for each candidate and each of its conditions"
    net = [row for row in candidates if row["others"] == "tier=net" and row["value"] == 1600]
    assert [(row["measure"], row["outcome"], row["status"]) for row in net] == [
        ("latency_p99", "fail", "not_kept"),
        ("errors", "fail", "not_kept"),
    ]
    assert {row["reason"] for row in net} == {"1 of 3 trials error: 3 operations failed; the first: ECONNRESET"}


def test_every_table_has_its_columns_and_rows(tmp_path: Path) -> None:
    paths = write(tmp_path / "run", a_run())
    assert set(paths) == {"trials", "verdicts", *schema.TABLES}
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(f"{name}.parquet" for name in paths)
    for name, columns in schema.TABLES.items():
        table = pq.read_table(paths[name])
        assert [(f.name, f.type) for f in table.schema] == [(c.name, c.type) for c in columns], name
        # Only a matrix has steps, only requests that are known before have the next three, and only `find` searches.
        assert table.num_rows > 0 or name in ("steps", "users", "found", "occupancy", "searches", "candidates")
    trials = pq.read_table(paths["trials"])
    fixed = [column.name for column in (*schema.TRIALS, schema.SETTINGS)]
    own = [measure.name for measure in registry().driver("posix").measures]
    assert trials.column_names == [*fixed, "axis.pages.op", "axis.pages.requests", *own]
    assert trials.num_rows == 6
    assert trials["status"].to_pylist() == ["ok", "ok", "ok", "ok", "hang", "ok"]
    assert trials["throughput_bytes_per_s"].null_count == 1
    assert trials["axis.pages.requests"].to_pylist() == [1, 1, 1, 10, 10, 10]
    assert pq.read_table(paths["latency"])["count"].to_pylist() == [19, 1] * 6


def test_metadata_says_version_run_units_and_descriptions(tmp_path: Path) -> None:
    for name, path in write(tmp_path / "run", another_run()).items():
        found = pq.read_schema(path)
        assert found.metadata[b"kvscen.schema_version"] == schema.SCHEMA_VERSION.encode()
        assert found.metadata[b"kvscen.run_id"] == RUN_ID.encode()
        assert found.metadata[b"kvscen.table"] == name.encode()
        assert b"kvscen.version" in found.metadata
        assert all(field.metadata[b"description"] for field in found)
    trials = pq.read_schema(tmp_path / "run/trials.parquet")
    assert trials.field("latency_p99_ns").metadata[b"unit"] == b"ns"
    assert trials.field("axis.pages.block").metadata[b"unit"] == b"B"
    assert trials.field("axis.pages.block").type == pa.int64()
    assert trials.field("axis.disk.direct").type == pa.bool_()
    assert trials.field("prep_p50_ns").type == pa.int64()
    assert trials.field("engine").type == pa.string()


def test_the_plan_fills_the_columns_of_the_schema() -> None:
    (point, *_) = columns_of_plan(a_run()[0])
    assert set(point.variables) == {column.name for column in schema.VARIABLES}


def test_the_order_of_rows_does_not_depend_on_the_order_of_the_run() -> None:
    plan, records = a_run()
    points = columns_of_plan(plan)
    expected = make_tables(plan.scenario, points, records, RUN_ID)
    for seed in range(5):
        shuffled = random.Random(seed).sample(records, len(records))
        found = make_tables(plan.scenario, points, shuffled, RUN_ID)
        assert all(found[name].equals(expected[name]) for name in expected)


def test_one_row_for_each_point_and_trial() -> None:
    plan, records = a_run()
    again = attrs.evolve(records[3], status="ok", reason="", measures=measures())
    table = make_tables(plan.scenario, columns_of_plan(plan), [*records, again], RUN_ID)["trials"]
    assert table.num_rows == 6
    assert table["status"].to_pylist() == ["ok"] * 6


def test_no_trial_at_all_gives_empty_tables_with_all_columns(tmp_path: Path) -> None:
    plan, _ = a_run()
    (tmp_path / "run").mkdir()
    paths = write_tables(tmp_path / "run", plan, [], RUN_ID, [])
    trials = read_table(paths["trials"])
    assert trials.num_rows == 0
    assert "axis.pages.op" in trials.column_names


def test_records_of_another_plan_are_not_rows_of_this_one() -> None:
    plan, records = a_run()
    stranger = make_record("ffffffffffff", 1)
    assert make_tables("demo", columns_of_plan(plan), [*records, stranger], RUN_ID)["trials"].num_rows == 6


def test_a_value_of_the_wrong_type_is_one_sentence() -> None:
    plan, records = a_run()
    wrong = attrs.evolve(records[0], measures={"operations": "many"})
    with pytest.raises(ResultsError, match="the column `operations` holds int64 values, and 'many' is none"):
        make_tables("demo", columns_of_plan(plan), [wrong], RUN_ID)


def test_a_driver_that_mixes_whole_and_broken_numbers() -> None:
    plan, records = a_run()
    mixed = [attrs.evolve(records[0], measures={"x": 1}), attrs.evolve(records[1], measures={"x": 1.5})]
    table = make_tables("demo", columns_of_plan(plan), mixed, RUN_ID)["trials"]
    assert table["x"].to_pylist() == [1.0, 1.5]


def test_a_failed_write_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(tmp_path / "run", a_run())
    before = paths["trials"].read_bytes()

    def full(table: pa.Table, where: Path, **_: object) -> None:
        Path(where).write_bytes(b"PAR1 half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    plan, records = another_run()
    with pytest.raises(ResultsError, match=r"cannot write .*trials\.parquet: No space left on device \(ENOSPC\)"):
        write_tables(tmp_path / "run", plan, records, RUN_ID, [])
    assert paths["trials"].read_bytes() == before
    assert len(list((tmp_path / "run").iterdir())) == len(paths)


@pytest.mark.parametrize("content", [b"", b"not a table", b"PAR1" * 20])
def test_a_damaged_table(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trials.parquet"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match="is no Parquet file or is damaged"):
        read_table(path)


def test_a_table_of_somebody_else(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "trials.parquet")
    with pytest.raises(ResultsError, match="is of schema version none"):
        read_table(tmp_path / "trials.parquet")


def test_duckdb_reads_runs_with_different_axes_together(runs: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = f"select * from read_parquet('{runs}/*/trials.parquet', union_by_name=true)"
    relation = duckdb.sql(query)
    assert len(relation.fetchall()) == 7
    assert {"axis.pages.op", "axis.disk.direct", "prep_p50_ns"} <= set(relation.columns)
    rows = duckdb.sql(
        "select \"axis.pages.requests\", median(throughput_bytes_per_s), any_value(settings['pages.op']) "
        f"from ({query}) where status = 'ok' and run_id = 'run-1' group by 1 order by 1"
    ).fetchall()
    assert [row[0] for row in rows] == [1, 10]
    joined = duckdb.sql(
        f"select count(*) from ({query}) t "
        f"join read_parquet('{runs}/*/latency.parquet') l using (run_id, point_id, trial)"
    ).fetchall()
    assert joined == [(14,)]


def test_polars_reads_them(runs: Path) -> None:
    polars = pytest.importorskip("polars")
    frames = [polars.read_parquet(path) for path in sorted(runs.glob("*/trials.parquet"))]
    together = polars.concat(frames, how="diagonal_relaxed")
    assert together.shape[0] == 7
    assert together.filter(polars.col("status") == "hang")["reason"].to_list() == ["nothing completed for 30 s"]


def test_pandas_reads_them(runs: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.concat([pandas.read_parquet(path) for path in sorted(runs.glob("*/trials.parquet"))])
    assert len(frame) == 7
    medians = frame[frame.status == "ok"].groupby("point_id").throughput_bytes_per_s.median()
    assert len(medians) == 3


def test_pyarrow_reads_a_column_without_the_rest(runs: Path) -> None:
    table = pq.read_table(runs / "one/trials.parquet", columns=["point_id", "latency_p50_ns"])
    assert table.column_names == ["point_id", "latency_p50_ns"]
