"""A stand-in for fio, and what a real fio printed."""

import os
from pathlib import Path

HERE = Path(__file__).parent
#: The figures in fio-3.33.json.
RATE = 32884.231537


def stand_in(folder: Path, monkeypatch, how: str = "replay") -> Path:
    """Put the stand-in first on the PATH under the name fio. Returns the log of its command lines."""
    folder.mkdir(exist_ok=True)
    (folder / "fio").symlink_to(HERE / "stand-in")
    log = folder / "runs"
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("FIO_STAND_IN", how)
    monkeypatch.setenv("FIO_STAND_IN_LOG", str(log))
    monkeypatch.setenv("FIO_STAND_IN_PIDS", str(folder / "pids"))
    return log
