"""The journal: each finished trial is one row, one write, one fsync.

`journal.arrows` is an Arrow IPC stream (any Arrow library opens it) whose every record batch is one row, with
histograms and intervals as nested columns. Killed at any moment, the file holds every row whose write was complete;
what is torn is cut off when it is read. Each row carries a checksum: after a power failure a file system may leave
blocks of zeros, and these must not become figures. A run that is resumed writes a new file, `journal-2.arrows`, and
never touches an old one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa

from kvscen.results import schema
from kvscen.results.errors import JournalError, ResultsError, why
from kvscen.results.record import LatencySeries, TrialRecord

_NAME = re.compile(r"journal(?:-([0-9]+))?\.arrows")
_IDENTITY = ("run_id", "point_id", "trial")

_MEASURE = pa.struct(
    [
        ("name", pa.string()),
        ("number", pa.int64()),
        ("real", pa.float64()),
        ("text", pa.string()),
        ("flag", pa.bool_()),
    ]
)
_SERIES = pa.struct(
    [
        ("tier", pa.string()),
        ("operation", pa.string()),
        ("unit", pa.string()),
        ("phase", pa.string()),
        ("lower_ns", pa.list_(pa.int64())),
        ("upper_ns", pa.list_(pa.int64())),
        ("count", pa.list_(pa.int64())),
    ]
)


def _rows_of(columns: Iterable[schema.Column]) -> pa.DataType:
    return pa.list_(pa.struct([(c.name, schema.arrow_type(c.type)) for c in columns if c.name not in _IDENTITY]))


_SCHEMA = pa.schema(
    [
        ("point_id", pa.string()),
        ("trial", pa.int32()),
        ("trial_order", pa.int32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("started_unix_ns", pa.int64()),
        ("measures", pa.list_(_MEASURE)),
        ("latency", pa.list_(_SERIES)),
        ("timeline", _rows_of(schema.TIMELINE)),
        ("tiers", _rows_of(schema.TIERS)),
        ("workers", _rows_of(schema.WORKERS)),
        ("steps", _rows_of(schema.STEPS)),
        ("users", _rows_of(schema.USERS)),
        ("found", _rows_of(schema.FOUND)),
        ("occupancy", _rows_of(schema.OCCUPANCY)),
        ("checksum", pa.uint32()),
    ],
    metadata={"kvscen.schema_version": schema.SCHEMA_VERSION, "kvscen.table": "journal"},
)


def journal_paths(folder: Path) -> list[Path]:
    """The journals of a run, oldest first. Raises ResultsError when the folder cannot be read."""
    try:
        found = [(int(m[1] or 1), path) for path in folder.iterdir() if (m := _NAME.fullmatch(path.name))]
    except OSError as error:
        raise ResultsError(f"cannot read the run's folder {folder}: {why(error)}") from error
    return [path for _, path in sorted(found)]


class Journal:
    """An open journal. While it is open, no other kvscen can write into the same run."""

    def __init__(self, path: Path, file: int, lock: int) -> None:
        self.path = path
        self._file = file
        self._lock = lock
        self._length = 0

    @classmethod
    def create(cls, folder: Path) -> Journal:
        """Start `journal.arrows`, or the next `journal-N.arrows`. Raises JournalError."""
        numbers = [int(m[1] or 1) for path in journal_paths(folder) if (m := _NAME.fullmatch(path.name))]
        number = max(numbers, default=0) + 1
        path = folder / ("journal.arrows" if number == 1 else f"journal-{number}.arrows")
        lock = -1
        try:
            lock = _lock(folder)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if lock >= 0:
                os.close(lock)
            raise JournalError(f"cannot start the journal {path}: {why(error)}", _remedy(error)) from error
        journal = cls(path, file, lock)
        # pyarrow looks for pandas at its first conversion, which takes a quarter of a second where that is installed:
        # now, and not between two trials.
        pa.array([0])
        try:
            journal._write(_SCHEMA.serialize())
            os.fsync(lock)
        except OSError as error:
            journal.close()
            raise JournalError(f"cannot start the journal {path}: {why(error)}", _remedy(error)) from error
        except JournalError:
            journal.close()
            raise
        return journal

    def append(self, record: TrialRecord) -> None:
        """Keep one finished trial: when this returns, it survives a crash of the machine.

        Raises JournalError when it could not be kept (the rows before it still are), ValueError for a record that
        does not fit the tables (see `schema.misfit_of_record`).
        """
        problem = schema.misfit_of_record(record)
        if problem:
            raise ValueError(problem)
        self._write(_to_row(record).serialize())

    def close(self) -> None:
        """Let go of the file and of the run. May be called again."""
        for name in ("_file", "_lock"):
            descriptor = getattr(self, name)
            setattr(self, name, -1)
            if descriptor >= 0:
                os.close(descriptor)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, message: pa.Buffer) -> None:
        try:
            written = os.write(self._file, message)
            if written != message.size:
                # A disk that fills up takes a part; the rest is written only to learn the reason.
                written += os.write(self._file, memoryview(message)[written:])
            if written != message.size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            self._cut()
            raise JournalError(
                f"a finished trial could not be kept in {self.path}: {why(error)}", _remedy(error)
            ) from error
        if os.fstat(self._file).st_nlink == 0:
            raise JournalError(
                f"the run's folder was removed while it was written: {self.path} is gone",
                "start the run again, and leave its folder alone until it ends",
            )
        self._length += message.size

    def _cut(self) -> None:
        """Take a torn row off again. Reading does without, so a failure to do it is no loss."""
        try:
            os.ftruncate(self._file, self._length)
            os.lseek(self._file, self._length, os.SEEK_SET)
        except OSError:
            pass


def _lock(folder: Path) -> int:
    """The folder's descriptor, locked. Raises JournalError when another process has it, OSError when it cannot be
    opened."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise JournalError(
            f"another kvscen is writing into {folder}", "wait until it has ended, or give this run another folder"
        ) from error
    except OSError:
        # Some network file systems do not lock folders. The journal's name is still exclusive.
        pass
    return descriptor


def is_being_written(folder: Path) -> bool:
    """Whether a kvscen is running in this folder now. False where that cannot be known."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # A file system that does not lock folders.
        return False
    finally:
        os.close(descriptor)
    return False


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room on that file system, then go on with --resume"
    if error.errno == errno.EFBIG:
        return "raise the limit on the size of files (ulimit -f), then go on with --resume"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "give --out a folder that you can write to"
    return "mend that file system, then go on with --resume"


def _to_row(record: TrialRecord) -> pa.RecordBatch:
    row = _plain(record)
    row["checksum"] = _checksum(row)
    return pa.RecordBatch.from_pylist([row], schema=_SCHEMA)


def _plain(record: TrialRecord) -> dict[str, Any]:
    return {
        "point_id": record.point_id,
        "trial": record.trial,
        "trial_order": record.trial_order,
        "status": record.status,
        "reason": _clean(record.reason),
        "started_unix_ns": record.started_unix_ns,
        "measures": [_measure(name, value) for name, value in record.measures.items()],
        "latency": [
            {
                "tier": series.tier,
                "operation": series.operation,
                "unit": series.unit,
                "phase": series.phase,
                "lower_ns": [int(v) for v in series.lower_ns],
                "upper_ns": [int(v) for v in series.upper_ns],
                "count": [int(v) for v in series.count],
            }
            for series in record.latency
        ],
        "timeline": _full(schema.TIMELINE, record.timeline),
        "tiers": _full(schema.TIERS, record.tiers),
        "workers": _full(schema.WORKERS, record.workers),
        "steps": _full(schema.STEPS, record.steps),
        "users": _full(schema.USERS, record.users),
        "found": _full(schema.FOUND, record.found),
        "occupancy": _full(schema.OCCUPANCY, record.occupancy),
    }


def _full(columns: Iterable[schema.Column], rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with every column, as a reader gets them back: the checksum is over this form."""
    own = [c for c in columns if c.name not in _IDENTITY]

    def cell(column: schema.Column, value: Any) -> Any:
        if value is None:
            return None
        if column.type == "string":
            return _clean(value)
        if column.type == "bool":
            return bool(value)
        return float(value) if column.type == "float64" else int(value)

    return [{c.name: cell(c, row.get(c.name)) for c in own} for row in rows]


def _measure(name: str, value: Any) -> dict[str, Any]:
    return {
        "name": _clean(name),
        "number": int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None,
        "real": float(value) if isinstance(value, Real) and not isinstance(value, Integral) else None,
        "text": _clean(value) if isinstance(value, str) else None,
        "flag": value if isinstance(value, bool) else None,
    }


def _clean(text: str) -> str:
    """Text that is not UTF-8 (a file name in an error message) made printable."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def _checksum(row: Mapping[str, Any]) -> int:
    content = {name: value for name, value in row.items() if name != "checksum"}
    return zlib.crc32(json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode())


@attrs.frozen
class JournalFile:
    """What one journal holds. `torn_bytes` were cut off: the tail of a row that was not completely written, or
    garbage."""

    path: Path
    records: tuple[TrialRecord, ...]
    torn_bytes: int


def read_journal(path: Path) -> JournalFile:
    """Every complete row of one journal. Raises ResultsError when the file cannot be read or is of another schema
    version."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {why(error)}") from error
    source = pa.BufferReader(content)
    records: list[TrialRecord] = []
    good = 0
    try:
        found = pa.ipc.read_schema(pa.ipc.read_message(source))
        _check_version(path, found)
        if not found.equals(_SCHEMA, check_metadata=False):
            return JournalFile(path, (), len(content))
        good = source.tell()
        while True:
            batch = pa.ipc.read_record_batch(pa.ipc.read_message(source), _SCHEMA)
            batch.validate(full=True)
            row = batch.to_pylist()[0] if batch.num_rows == 1 else {}
            if _checksum(row) != row.get("checksum"):
                break
            records.append(_to_record(row))
            good = source.tell()
    except (pa.ArrowException, OSError, EOFError, ValueError):
        # The end of the file, or of what can be understood of it: everything up to `good` was complete.
        pass
    return JournalFile(path, tuple(records), len(content) - good)


def _check_version(path: Path, found: pa.Schema) -> None:
    version = (found.metadata or {}).get(b"kvscen.schema_version", b"").decode("utf-8", "replace")
    if version and version != schema.SCHEMA_VERSION:
        raise ResultsError(
            f"{path} is of schema version {version}, this kvscen reads {schema.SCHEMA_VERSION}",
            "use the kvscen that wrote it: environment.json names its version",
        )


def _to_record(row: Mapping[str, Any]) -> TrialRecord:
    return TrialRecord(
        point_id=row["point_id"],
        trial=row["trial"],
        trial_order=row["trial_order"],
        status=row["status"],
        reason=row["reason"],
        started_unix_ns=row["started_unix_ns"],
        measures={m["name"]: _value_of(m) for m in row["measures"]},
        latency=tuple(
            LatencySeries(
                s["tier"],
                s["operation"],
                s["unit"],
                s["phase"],
                tuple(s["lower_ns"]),
                tuple(s["upper_ns"]),
                tuple(s["count"]),
            )
            for s in row["latency"]
        ),
        timeline=_known(row["timeline"]),
        tiers=_known(row["tiers"]),
        workers=_known(row["workers"]),
        steps=_known(row["steps"]),
        users=_known(row["users"]),
        found=_known(row["found"]),
        occupancy=_known(row["occupancy"]),
    )


def _known(rows: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    return tuple({name: value for name, value in row.items() if value is not None} for row in rows)


def _value_of(measure: Mapping[str, Any]) -> int | float | str | bool | None:
    return next((measure[key] for key in ("number", "real", "text", "flag") if measure[key] is not None), None)


def merge(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """One record for each (point, trial): a later one replaces an earlier one, unless the earlier is `ok`."""
    kept: dict[tuple[str, int], TrialRecord] = {}
    for record in records:
        key = (record.point_id, record.trial)
        if key not in kept or kept[key].status != "ok":
            kept[key] = record
    return list(kept.values())


def read_journals(folder: Path) -> list[TrialRecord]:
    """Every finished trial of a run, once. Raises ResultsError as `read_journal`; a torn tail is no error."""
    return merge(record for path in journal_paths(folder) for record in read_journal(path).records)
