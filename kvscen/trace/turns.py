"""The conversations of a trace as turns: how much each adds to the prompt, and how long its answer is."""

from __future__ import annotations

from pathlib import Path

from kvscen.plan.talk import Turns
from kvscen.trace.errors import TraceError


def read_turns(path: Path, most: int) -> Turns:
    """The first `most` conversations, in the order in which they begin. A prompt that is shorter than the one before it
    (a trace may cut it) is taken as one of its own. Raises TraceError."""
    from kvscen.trace.trace import open_trace

    trace = open_trace(path)
    found: dict[int, list[tuple[int, int]]] = {}
    before: dict[int, int] = {}
    alone = -1
    for batch in trace.batches():
        columns = (batch.column(name).to_pylist() for name in ("session", "input_tokens", "output_tokens"))
        for session, prompt, output in zip(*columns, strict=True):
            if session is None:
                session, alone = alone, alone - 1
            if session not in found:
                if len(found) == most:
                    continue
                found[session] = []
            said = before.get(session, 0)
            found[session].append((max(1, prompt - said if prompt > said else prompt), output or 0))
            before[session] = prompt + (output or 0)
        if len(found) == most and trace.about.format == "sharegpt":
            break  # there a conversation stands together
    if found and max(found) < 0:
        raise TraceError(
            f"{path}: this trace does not say which requests are of one conversation",
            "name a trace that does, such as ShareGPT's, or run its requests as they are with the pattern `replay`",
        )
    if not found:
        raise TraceError(f"{path}: there is no request in it", "name another trace")
    return tuple(tuple(turns) for turns in found.values())
