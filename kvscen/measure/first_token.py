"""When the first token of each request could come: once what was found is read, and the rest is computed.

Computing is not measured: it takes as long as a rate of prefill says, after the last read, and requests do not wait for
each other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from kvscen.measure.recorder import Sample
from kvscen.plugin.contract import OK, READ, Rows

_NS = 10**9
_FAILED = 2**63 - 1


class FirstToken:
    """`count` requests, numbered from 0. A look-up is of `tokens` tokens, or of as many as an array of shape
    (look-ups,) says, in the order of the requests."""

    def __init__(self, count: int, tokens: int | npt.NDArray[np.int64]) -> None:
        self._tokens = tokens
        # Of each request that has begun: when, when its last read ended (_FAILED: one did not), what is to be computed.
        self._begin: list[int | None] = [None] * count
        self._end = [0] * count
        self._missing = [0] * count

    def begin(self, request: int, begin_ns: int, found: Sequence[int], first: int = 0) -> None:
        """A request looked its blocks up: the level that had each, -1 where none did. `first` is the number of its
        first look-up. Its time counts from `begin_ns`."""
        self._begin[request], self._end[request] = begin_ns, begin_ns
        if isinstance(self._tokens, int):
            self._missing[request] = found.count(-1) * self._tokens
        else:
            self._missing[request] = int(self._tokens[first : first + len(found)][np.array(found, np.int64) < 0].sum())

    def done(self, ops: Rows, completions: Rows) -> None:
        """These have ended, well or not. Rows of OPERATION and COMPLETION in the same order."""
        ends = self._end
        for request, kind, end, outcome in zip(
            ops["request"].tolist(),
            ops["kind"].tolist(),
            completions["end"].tolist(),
            completions["outcome"].tolist(),
            strict=True,
        ):
            if kind == READ:
                if outcome != OK:
                    ends[request] = _FAILED
                elif end > ends[request]:
                    ends[request] = end

    def load_ns(self) -> npt.NDArray[np.int64]:
        """Of each request that began and could read all that it found: from its begin to the end of its last read; 0
        where nothing was found."""
        return np.array([self._end[each] - begin for each, begin in self._loaded()], np.int64)

    def ttft_ns(self, prefill_tokens_per_s: Fraction) -> npt.NDArray[np.int64]:
        """The same, and the time to compute what was not found, rounded up."""
        per_token = _NS / prefill_tokens_per_s
        computing = [
            -(-self._missing[each] * per_token.numerator // per_token.denominator) for each, _ in self._loaded()
        ]
        return self.load_ns() + np.array(computing, np.int64)

    def add_to(self, sample: Sample, prefill_tokens_per_s: Fraction | None) -> None:
        """As series of requests: the phase `load`, and with a rate `first token`."""
        series = {"load": self.load_ns()}
        if prefill_tokens_per_s is not None:
            series["first token"] = self.ttft_ns(prefill_tokens_per_s)
        for phase, values in series.items():
            if len(values):
                sample.histogram(("read", "request", phase)).add(values)

    def _loaded(self) -> list[tuple[int, int]]:
        return [
            (each, begin) for each, begin in enumerate(self._begin) if begin is not None and self._end[each] != _FAILED
        ]
