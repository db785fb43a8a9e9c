"""The requests of a trace as a replay needs them: blocks numbered from 0, in the order in which they first come."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.trace.errors import TraceError

if TYPE_CHECKING:
    from kvscen.trace.trace import Trace

Int64s = npt.NDArray[np.int64]

#: What a step of a request does: look its blocks up, read those that are found and write the others, which is also what
#: a request does that has no steps (LOAD); the same again while it decodes (REREAD); write blocks without looking them
#: up, for nobody can have them yet (STORE).
ACTIONS = ("load", "reread", "store")
LOAD, REREAD, STORE = range(len(ACTIONS))
#: Kinds of look-ups: of a block that the conversation asked for before, of one that conversations share, of one of a
#: document that requests retrieve, of one that the same request wrote, and of one that nobody had before.
KINDS = ("history", "shared", "document", "reread", "new")
HISTORY, SHARED, DOCUMENT, REREAD_KIND, NEW = range(len(KINDS))


@attrs.frozen(eq=False)
class Script:
    """Requests of users who converse, taken apart into steps: of a `Requests` each entry is one.

    Of each step, arrays of shape (steps,): its `request`, what it does (`action`), its `user`, and `gap_ns`, which
    passes between its end and its user's next step. A step with a `due_ns` of 0 or more is due then, the others when
    that gap has passed. `lookup_kind`: int8[n], of each key one of KINDS. Of each request, arrays of shape (requests,):
    the place of its users in `mix`, its turn in its conversation, tokens of its prompt and of its answer. `targets_ns`
    are the p95 and p99 that each users of the mix are to be served within, None where they have none.

    `stored` are blocks that are there before the first request.
    """

    request: Int64s
    action: npt.NDArray[np.int8]
    user: Int64s
    gap_ns: Int64s
    due_ns: Int64s
    lookup_kind: npt.NDArray[np.int8]
    users_of: Int64s
    turn: Int64s
    prompt_tokens: Int64s
    output_tokens: Int64s
    mix: tuple[str, ...]
    targets_ns: tuple[tuple[int | None, int | None], ...]
    open_loop: bool = False
    stored: int = 0

    @property
    def requests(self) -> int:
        return len(self.turn)

    @property
    def users(self) -> int:
        return int(self.user.max(initial=-1)) + 1

    def parts(self) -> tuple[npt.NDArray[Any], ...]:
        """All arrays: equal ones, the same script."""
        steps = (self.request, self.action, self.user, self.gap_ns, self.due_ns, self.lookup_kind)
        return (*steps, self.users_of, self.turn, self.prompt_tokens, self.output_tokens)


@attrs.frozen(eq=False)
class Requests:
    """Request i of m asks for keys[offsets[i]:offsets[i + 1]] at `arrival_ns[i]` (None where the trace has no times).
    keys: int64[n], 0 <= key < `distinct`; offsets: int64[m + 1]; arrival_ns: int64[m]. `known_blocks`: the trace says
    which blocks are the same. With a `script` an entry is a step of a request."""

    keys: Int64s
    offsets: Int64s
    arrival_ns: Int64s | None
    distinct: int
    block_tokens: int
    known_blocks: bool
    script: Script | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def first(self, count: int) -> Requests:
        """The first `count` requests alone."""
        offsets = self.offsets[: count + 1]
        keys = self.keys[: offsets[-1]]
        times = None if self.arrival_ns is None else self.arrival_ns[:count]
        # Numbered as they come: those of a beginning are the first ones.
        distinct = int(keys.max(initial=-1)) + 1
        return attrs.evolve(self, keys=keys, offsets=offsets, arrival_ns=times, distinct=distinct)

    def digest(self) -> str:
        """16 hex digits over all of it: the same requests in another format have an equal one."""
        whole = hashlib.sha256()
        script = self.script
        if script is not None:
            whole.update(f"{script.open_loop} {script.stored}".encode())
        for part in (self.keys, self.offsets, self.arrival_ns, *(() if script is None else script.parts())):
            whole.update(b"-" if part is None else np.ascontiguousarray(part, "<i8").tobytes())
        return whole.hexdigest()[:16]


def read_requests(path: Path, page_tokens: int | None = None) -> Requests:
    """All requests of a trace, in memory. `page_tokens` is the size of a block where the trace does not tell it. Raises
    TraceError."""
    trace = _opened(path, page_tokens)
    if trace.about.block_tokens is None and page_tokens is None:
        raise TraceError(
            f"{path} has lengths and no blocks, and how many tokens a block has was not given",
            "give it with --block-tokens",
        )
    blocks = trace.blocks(page_tokens)
    size = trace.about.block_tokens or page_tokens
    assert size is not None, "without a size there are no blocks"
    keys, distinct = _numbered(blocks.ids)
    return Requests(keys, blocks.offsets, blocks.arrival_ns, distinct, size, trace.about.block_tokens is not None)


def _opened(path: Path, page_tokens: int | None) -> Trace:
    """A size that the trace tells by itself is believed, and another one refused when blocks are asked for."""
    from kvscen.trace.trace import open_trace  # here: a worker takes requests that were read, and needs no pyarrow

    if page_tokens is None:
        return open_trace(path)
    try:
        trace = open_trace(path)
    except TraceError:
        return open_trace(path, block_tokens=page_tokens)
    cuts_texts = trace.form is not None and trace.form.blocks == "text"
    return open_trace(path, block_tokens=page_tokens) if cuts_texts else trace


def _numbered(ids: Int64s) -> tuple[Int64s, int]:
    _, first, where = np.unique(ids, return_index=True, return_inverse=True)
    number: npt.NDArray[np.int64] = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[where], len(first)
