"""The requests of a replay or of conversations, read or drawn by the worker as the plan did."""

from __future__ import annotations

import functools
from pathlib import Path

from kvscen.pattern.script import write_script
from kvscen.plan.replay import Replay
from kvscen.plugin.contract import DriverError
from kvscen.trace.errors import TraceError
from kvscen.trace.requests import Requests, read_requests


def planned_requests(replay: Replay) -> Requests:
    """Raises DriverError where the trace cannot be read any more, or is another one."""
    if replay.talk is not None:
        requests = write_script(replay.talk)
        if requests.digest() != replay.digest:
            raise DriverError(
                "this worker draws other conversations from the seed than the plan did", "report this as a defect"
            )
        return requests
    try:
        whole = _read(replay.path, replay.page_tokens)
    except TraceError as error:
        raise DriverError(str(error), error.remedy) from error
    requests = whole.first(replay.requests) if replay.requests < len(whole) else whole
    if requests.digest() != replay.digest:
        _read.cache_clear()
        raise DriverError(f"the trace {replay.path} is not what it was when the plan was made", "run it anew")
    return requests


@functools.lru_cache(maxsize=2)
def _read(path: str, page_tokens: int | None) -> Requests:
    return read_requests(Path(path), page_tokens)
