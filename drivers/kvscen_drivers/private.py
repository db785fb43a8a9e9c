"""A server that a driver starts for itself: found, started, looked after and ended with the worker."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from kvscen.plugin import DriverError, leashed
from kvscen_drivers.program import ending, last_line

#: How long a server may take until it answers.
_START_S = 10.0
_LOOK_S = 0.005
_TRIES = 3


def find_program(*names: str) -> str | None:
    """The first of these programs that is on the PATH, or beside the interpreter as in a virtual environment."""
    beside = str(Path(sys.executable).parent)
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=beside)
        if found is not None:
            return found
    return None


def on_free_port(start: Callable[[int], PrivateServer]) -> tuple[PrivateServer, int]:
    """A server and its port. Between finding a port and listening on it somebody else may have taken it: then another
    one is tried. Raises DriverError."""
    for left in reversed(range(_TRIES)):
        port = free_port()
        try:
            return start(port), port
        except DriverError:
            if not left:
                raise
    raise AssertionError


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PrivateServer:
    """A process that is killed when this one ends, however it ends. Its output is kept in a file until then."""

    def __init__(
        self,
        what: str,
        argv: Sequence[str],
        answers: Callable[[PrivateServer], bool],
        *,
        stdin: bytes = b"",
    ) -> None:
        """Waits until `answers(self)` is true. `stdin` is what it reads first: the way to be told a secret, for others
        see the command line. Raises DriverError where it does not come up."""
        self.what = what
        self._output: IO[bytes] = tempfile.NamedTemporaryFile(prefix="kvscen-server-", suffix=".log")  # noqa: SIM115
        self._process = subprocess.Popen(
            leashed(argv),
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            # Where it is one of ours it finds what we find, wherever that was found.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(stdin)
        deadline = time.monotonic() + _START_S
        try:
            while not answers(self):
                self.check()
                if time.monotonic() > deadline:
                    raise DriverError(
                        f"{what} does not answer within {_START_S:g} s{self._words()}", "look at the machine"
                    )
                time.sleep(_LOOK_S)
            # It may have been another one's answer.
            self.check()
        except BaseException:
            self.close()
            raise

    @property
    def output(self) -> str:
        """What it has printed."""
        return Path(self._output.name).read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> str:
        """How it ended, "" while it runs."""
        status = self._process.poll()
        return "" if status is None else f"{ending(status)}{self._words()}"

    def check(self) -> None:
        """Raises DriverError where it has ended."""
        if self.ended:
            raise DriverError(f"{self.what} {self.ended}", "run again; where it happens again, start a server yourself")

    def _words(self) -> str:
        with contextlib.suppress(OSError):
            line = last_line(Path(self._output.name))
            return f"; its last words: {line}" if line else ""
        return ""

    def close(self) -> None:
        """It keeps nothing that a gentle end would save."""
        self._process.kill()
        self._process.wait()
        self._output.close()
