"""The journal: whatever happens to process or disk, a row that was completely written is read, and nothing else is."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.results.errors import JournalError, ResultsError
from kvscen.results.journal import Journal, journal_paths, merge, read_journal, read_journals
from kvscen.results.record import STATUSES, LatencySeries, TrialRecord
from tests.results.support import make_record

ROOT = Path(__file__).resolve().parents[2]

texts = st.text(st.characters(exclude_categories=()), max_size=12)
ints = st.integers(-(2**63), 2**63 - 1)
values = st.one_of(ints, st.floats(), texts, st.booleans())
names = st.sampled_from(["my_metric", "x", "ünit", "other"])
series = st.builds(
    lambda triples: LatencySeries("disk", "read", "block", "latency", *map(tuple, zip(*triples, strict=True))),
    st.lists(st.tuples(ints, ints, ints), min_size=1, max_size=4),
)
records = st.builds(
    TrialRecord,
    point_id=st.sampled_from(["a", "b"]),
    trial=st.integers(1, 3),
    trial_order=st.integers(1, 9),
    status=st.sampled_from(list(STATUSES)),
    reason=texts,
    started_unix_ns=ints,
    measures=st.dictionaries(names, values, max_size=4),
    latency=st.lists(series, max_size=2).map(tuple),
    timeline=st.lists(st.fixed_dictionaries({"interval": st.integers(0, 99), "operations": ints}), max_size=2).map(
        tuple
    ),
    workers=st.lists(st.fixed_dictionaries({"host": texts, "rank": st.none()}), max_size=2).map(tuple),
    steps=st.lists(
        st.fixed_dictionaries({"step": st.integers(0, 9), "latency_mean_ns": st.floats(0, 1e18)}), max_size=2
    ).map(tuple),
    users=st.lists(
        st.fixed_dictionaries({"users": texts, "requests": ints, "qos_met": st.booleans() | st.none()}), max_size=2
    ).map(tuple),
    found=st.lists(st.fixed_dictionaries({"kind": texts, "hits": ints}), max_size=2).map(tuple),
    occupancy=st.lists(st.fixed_dictionaries({"time_ns": ints, "blocks": ints}), max_size=2).map(tuple),
)


def as_read(record: TrialRecord) -> str:
    """A record in the form in which it comes back: lone surrogates made printable, nulls in rows left out."""

    def clean(value: object) -> object:
        return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value

    def rows(given: tuple) -> tuple:
        return tuple({k: clean(v) for k, v in sorted(row.items()) if v is not None} for row in given)

    # repr makes NaN equal to itself.
    return repr(
        attrs.evolve(
            record,
            reason=clean(record.reason),
            measures={k: clean(v) for k, v in record.measures.items()},
            timeline=rows(record.timeline),
            tiers=rows(record.tiers),
            workers=rows(record.workers),
            steps=rows(record.steps),
            users=rows(record.users),
            found=rows(record.found),
            occupancy=rows(record.occupancy),
        )
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(records, max_size=3))
def test_what_is_appended_is_read_back(tmp_path_factory: pytest.TempPathFactory, written: list[TrialRecord]) -> None:
    folder = tmp_path_factory.mktemp("run")
    with Journal.create(folder) as journal:
        for record in written:
            journal.append(record)
    found = read_journal(folder / "journal.arrows")
    assert list(map(as_read, found.records)) == list(map(as_read, written))
    assert found.torn_bytes == 0


def journal_with_offsets(folder: Path, count: int, **record: object) -> tuple[Path, list[int]]:
    """A journal of `count` rows and its length after the header and after each row."""
    with Journal.create(folder) as journal:
        ends = [journal.path.stat().st_size]
        for number in range(count):
            journal.append(make_record(f"p{number}", number + 1, **record))
            ends.append(journal.path.stat().st_size)
    return journal.path, ends


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    path, ends = journal_with_offsets(tmp_path, 2, values={"operations": 5}, timeline=(), tiers=(), workers=())
    expected = read_journal(path).records
    assert len(expected) == 2
    for length in range(path.stat().st_size, -1, -1):
        os.truncate(path, length)
        complete = sum(1 for end in ends[1:] if end <= length)
        found = read_journal(path)
        assert found.records == expected[:complete], length
        kept = max([0, *(end for end in ends if end <= length)])
        assert found.torn_bytes == length - kept, length


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_row_of_zeros_or_garbage_is_never_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """After a power failure blocks of a file may hold anything: what is read is a prefix of what was written."""
    folder = tmp_path_factory.mktemp("run")
    path, ends = journal_with_offsets(folder, 3)
    expected = read_journal(path).records
    content = bytearray(path.read_bytes())
    start = data.draw(st.integers(ends[0], len(content) - 1))
    damage = data.draw(st.one_of(st.binary(min_size=1, max_size=64), st.integers(1, 4096).map(bytes)))
    before = bytes(content)
    content[start : start + len(damage)] = damage[: len(content) - start]
    path.write_bytes(content)
    found = read_journal(path).records
    assert found == expected[: len(found)]
    untouched = sum(1 for end in ends[1:] if end <= start)
    assert len(found) >= untouched
    if bytes(content) == before:
        assert found == expected


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_a_file_of_garbage_holds_nothing(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    folder = tmp_path_factory.mktemp("run")
    (folder / "journal.arrows").write_bytes(garbage)
    assert read_journals(folder) == []


def test_any_arrow_library_reads_it(tmp_path: Path) -> None:
    path, _ = journal_with_offsets(tmp_path, 2)
    table = pa.ipc.open_stream(path.read_bytes()).read_all()
    assert table["point_id"].to_pylist() == ["p0", "p1"]
    assert table["latency"][0].as_py()[0]["count"] == [19, 1]


WRITER = """
import sys
from pathlib import Path
from kvscen.results.journal import Journal
from tests.results.support import make_record

with Journal.create(Path(sys.argv[1])) as journal:
    for number in range(1, 10_000):
        journal.append(make_record("point", number))
        print(number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7])
def test_kill_9_loses_no_finished_trial(tmp_path: Path, after: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert writer.stdout is not None
    acknowledged = 0
    for line in writer.stdout:
        acknowledged = int(line)
        if acknowledged == after:
            break
    writer.send_signal(signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, writer.stdout)])
    writer.wait()
    writer.stdout.close()
    found = [record.trial for record in read_journals(tmp_path)]
    # The row that was being written may have come through too.
    assert found in (list(range(1, acknowledged + 1)), list(range(1, acknowledged + 2)))


def test_a_full_disk_is_one_sentence_and_keeps_the_rows_before(tmp_path: Path) -> None:
    """RLIMIT_FSIZE cuts a write in the middle as a full disk does."""
    journal = Journal.create(tmp_path)
    journal.append(make_record("point", 1))
    limit = journal.path.stat().st_size + 100
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(
            JournalError, match=r"could not be kept in .*journal\.arrows: File too large \(EFBIG\)"
        ) as e:
            journal.append(make_record("point", 2))
        assert "ulimit -f" in e.value.remedy
        assert journal.path.stat().st_size == limit - 100
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    # Room again: the journal goes on where it was.
    journal.append(make_record("point", 3))
    journal.close()
    assert [record.trial for record in read_journals(tmp_path)] == [1, 3]
    assert read_journal(journal.path).torn_bytes == 0


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(JournalError, match="ENOSPC") as caught:
        journal.append(make_record("point", 1))
    assert caught.value.remedy == "make room on that file system, then go on with --resume"
    monkeypatch.undo()
    journal.close()
    assert read_journals(tmp_path) == []


def test_a_removed_folder_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with Journal.create(folder) as journal:
        shutil.rmtree(folder)
        with pytest.raises(JournalError, match="was removed while it was written"):
            journal.append(make_record("point", 1))


def test_a_resumed_run_writes_a_new_file(tmp_path: Path) -> None:
    for _ in range(11):
        with Journal.create(tmp_path) as journal:
            pass
    assert journal.path.name == "journal-11.arrows"
    assert [path.name for path in journal_paths(tmp_path)][-2:] == ["journal-10.arrows", "journal-11.arrows"]


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    with Journal.create(tmp_path), pytest.raises(JournalError, match="another kvscen is writing into"):
        Journal.create(tmp_path)
    Journal.create(tmp_path).close()


def test_a_later_row_replaces_an_earlier_one_unless_that_is_ok(tmp_path: Path) -> None:
    with Journal.create(tmp_path) as journal:
        journal.append(make_record("a", 1, "hang", "first"))
        journal.append(make_record("b", 1, "ok"))
    with Journal.create(tmp_path) as journal:
        journal.append(make_record("a", 1, "ok"))
        journal.append(make_record("b", 1, "error", "second"))
        journal.append(make_record("a", 2, "error", "new"))
    found = {(r.point_id, r.trial): r.status for r in read_journals(tmp_path)}
    assert found == {("a", 1): "ok", ("b", 1): "ok", ("a", 2): "error"}


def test_merge_is_stable() -> None:
    first, second = make_record("a", 1, "error", "x"), make_record("a", 1, "hang", "y")
    assert merge([first, second]) == [second]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"values": {"operations": "many"}}, "the column `operations` holds int64 values, not 'many'"),
        ({"values": {"errors": 2**70}}, "the column `errors` holds int64 values"),
        ({"values": {"mine": object()}}, "the measure `mine` is neither a number nor a text"),
        ({"values": {"status": "ok"}}, "`status` is not a measure: the plan fills that column"),
        ({"tiers": ({"nonsense": 1},)}, "the table `tiers` has no column `nonsense`; it has tier, to_tier"),
    ],
)
def test_a_record_that_fits_no_table_is_refused(tmp_path: Path, change: dict, sentence: str) -> None:
    with Journal.create(tmp_path) as journal:
        with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
            journal.append(make_record("a", **change))
        journal.append(make_record("a", 1))
    assert len(read_journals(tmp_path)) == 1


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    with Journal.create(tmp_path) as journal:
        journal.append(make_record("a", values={"operations": np.int64(5), "device_ratio": np.float32(0.5)}))
    assert read_journals(tmp_path)[0].measures == {"operations": 5, "device_ratio": 0.5}


def test_another_schema_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = journal_with_offsets(tmp_path, 1)
    monkeypatch.setattr("kvscen.results.schema.SCHEMA_VERSION", "2")
    with pytest.raises(ResultsError, match="is of schema version 1, this kvscen reads 2"):
        read_journal(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="cannot read the run's folder"):
        Journal.create(tmp_path / "missing")
