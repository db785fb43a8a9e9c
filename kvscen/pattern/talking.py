"""Users who converse, while their script runs: when each may go on, and what each request got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.pattern.order_wait import order_wait
from kvscen.trace.requests import ACTIONS, KINDS, STORE, Script

Int64s = npt.NDArray[np.int64]

NEVER = 2**63 - 1
#: Levels of a cache whose hits are told apart.
_MOST_LEVELS = 32


@attrs.frozen(eq=False)
class Talked:
    """What the requests of a script got, for those that were served to their end; arrays of shape (requests,).

    `latency_ns` is the sum over the steps of a request of the time from when each was due to its end: what its user
    waited for storage, generation and thinking left out. `storage_ns` is the part of it in which an operation of the
    step had been submitted, the rest is `wait_ns`; of that, `order_ns` is what the order of the requests cost, as the
    one before had not ended thinking. `steps_ns`: by what steps did, the latency of each one. `hits`:
    int64[kinds, levels], of each of KINDS and each level of the cache, `lookups` int64[kinds].
    """

    mix: tuple[str, ...]
    targets_ns: tuple[tuple[int | None, int | None], ...]
    users_of: Int64s
    prompt_tokens: Int64s
    output_tokens: Int64s
    latency_ns: Int64s
    storage_ns: Int64s
    order_ns: Int64s
    steps_ns: Mapping[str, Int64s]
    lookups: Int64s
    hits: Int64s

    @property
    def wait_ns(self) -> Int64s:
        return self.latency_ns - self.storage_ns


class Talking:
    """Keeps the time of one run of a script. `hurry`: nobody thinks or waits for his time."""

    def __init__(self, script: Script, hurry: bool = False) -> None:
        self.script = script
        self._hurry = hurry
        steps = len(script.request)
        self._user: list[int] = script.user.tolist()
        self._gap: list[int] = script.gap_ns.tolist()
        self._due: list[int] = script.due_ns.tolist()
        # When each user may go on; NEVER while a step of his is under way.
        self._ready = [0] * script.users
        self._start_ns = 0
        # Of each step: when it was due and when it began, its first submission and its end, 0 while it has none.
        self._due_ns, self._begin_ns = [0] * steps, [0] * steps
        self._submit_ns, self._end_ns = [0] * steps, [0] * steps
        self._begun = 0
        self._counts = np.zeros((len(KINDS), _MOST_LEVELS + 1), np.int64)

    def start(self, now: int) -> None:
        self._start_ns = now
        self._ready = [now] * len(self._ready)

    def when(self, step: int) -> int:
        """When a step is due: not before its user's last one has ended, and then NEVER."""
        ready = self._ready[self._user[step]]
        if ready == NEVER or self._hurry:
            return 0 if ready != NEVER else NEVER
        due = self._due[step]
        return ready if due < 0 else self._start_ns + due

    def begin(self, step: int, due_ns: int, now: int) -> None:
        """Steps begin in their order."""
        self._ready[self._user[step]] = NEVER
        self._due_ns[step], self._begin_ns[step] = due_ns, now
        self._begun = step + 1

    def looked_up(self, kinds: npt.NDArray[np.int8], found: Sequence[int]) -> None:
        """The level that each block was found in, -1 where it was not."""
        places = np.minimum(np.array(found, np.int64) + 1, _MOST_LEVELS)
        which = kinds.astype(np.int64) * (_MOST_LEVELS + 1) + places
        self._counts += np.bincount(which, minlength=self._counts.size).reshape(self._counts.shape)

    def end(self, step: int, submit_ns: int, end_ns: int) -> None:
        self._submit_ns[step], self._end_ns[step] = submit_ns, end_ns
        self._ready[self._user[step]] = end_ns + self._gap[step]

    def talked(self) -> Talked:
        script = self.script
        due, submit, end = (np.array(each, np.int64) for each in (self._due_ns, self._submit_ns, self._end_ns))
        served = np.ones(script.requests, np.bool_)
        served[script.request[end == 0]] = False
        latency, storage = np.zeros(script.requests, np.int64), np.zeros(script.requests, np.int64)
        np.add.at(latency, script.request, end - due)
        np.add.at(storage, script.request, end - submit)
        order = np.zeros(script.requests, np.int64)
        if not self._hurry:
            np.add.at(order, script.request[: self._begun], self._order_wait(due[: self._begun]))
        return Talked(
            script.mix,
            script.targets_ns,
            script.users_of[served],
            script.prompt_tokens[served],
            script.output_tokens[served],
            latency[served],
            storage[served],
            order[served],
            {name: (end - due)[(script.action == action) & (end > 0)] for action, name in enumerate(ACTIONS)},
            self._counts.sum(axis=1),
            self._counts[:, 1:],
        )

    def _order_wait(self, due: Int64s) -> Int64s:
        script, count = self.script, len(due)
        # How long a user paused before his step: since his last one, or for his time to come.
        paused = np.where(script.due_ns[:count] >= 0, NEVER // 2, 0)
        by_user = np.argsort(script.user[:count], kind="stable")
        same = script.user[by_user[1:]] == script.user[by_user[:-1]]
        later, earlier = by_user[1:][same], by_user[:-1][same]
        paused[later] = np.maximum(paused[later], script.gap_ns[earlier])
        return order_wait(self._start_ns, due, np.array(self._begin_ns[:count], np.int64), paused)


def looks_up(action: int) -> bool:
    return action != STORE
