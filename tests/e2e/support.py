"""Running kvscen as a user does: in another folder, and where that is the point in another process."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

import pyarrow.parquet as pq

from kvscen.cli.main import main

ROOT = Path(__file__).resolve().parents[2]

#: Four points on host memory, three trials each, about two seconds.
MEMORY = """kvs 1
tier dram : memory { }
pattern pages : transfer { block = 64 KiB; batch = 8 }
sweep blocks {
  pattern = pages
  tier = dram
  pages.op in [write, read]
  pages.batch in [4, 8]
  trials = 3; warmup = 20 ms; operations = 2000; seed = 1
  expect errors == 0
}
"""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", "from kvscen.cli.main import main; main()", *map(str, arguments)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "120", **(extra or {})}


def kvscen(
    folder: Path,
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
    fresh: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` and return what it printed. Fails the test on a traceback, whatever the command.

    In a `fresh` process, or one with an environment of its own, as a user does; otherwise in this one, which has
    imported all that takes a second to import. The workers are processes in either case.
    """
    if fresh or env is not None:
        done = subprocess.run(
            command(*arguments), cwd=folder, env=environment(env), capture_output=True, text=True, timeout=timeout
        )
    else:
        done = _here(folder, [str(argument) for argument in arguments], timeout)
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done


def _here(folder: Path, arguments: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    printed, said = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, environment()),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(said),
        _within(timeout),
    ):
        try:
            main(arguments)
            code = 0
        except SystemExit as end:
            code = end.code
    texts = [stream.buffer.getvalue().decode() for stream in (printed, said)]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(["kvscen", *arguments], code, *texts)


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """A command that hangs fails its test, not all that would come after it."""

    def late(*_: object) -> None:
        raise TimeoutError(f"it did not end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def scenario(folder: Path, text: str = MEMORY, name: str = "test.kvs") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def trials(run: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(run / "trials.parquet").to_pylist()
    return rows
