"""Servers for tests: in this process, on a thread, or as `kvscen serve memkv`."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kvscen_drivers.memkv.client import Control, Endpoint
from kvscen_drivers.memkv.server import Server, ServerSettings


@contextmanager
def serving(**settings: Any) -> Iterator[Endpoint]:
    server = Server(ServerSettings(**{"capacity_bytes": 64 << 20, **settings}))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield Endpoint("127.0.0.1", server.port, settings.get("secret"))
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def served(
    *options: str, before: Sequence[str] = (), listen: str = "127.0.0.1:0"
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """(process, "host:port") of `kvscen serve memkv`, started by the command line `before`, if any."""
    code = "from kvscen.cli.main import main; main()"
    process = subprocess.Popen(
        [*before, sys.executable, "-c", code, "serve", "memkv", "--listen", listen, *options],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"listens on (\S+):(\d+): ", said)
        assert found is not None, said
        yield process, f"{found[1]}:{found[2]}"
    finally:
        process.kill()
        process.wait()


def control(endpoint: Endpoint) -> Control:
    return Control(endpoint, 5.0)
