"""Streams of a GPU, each piece of work on them between two events that time it there.

A stream does its work in order, so that only the oldest piece of each need be looked at. A piece has ended when
somebody looks and sees it, as a user of CUDA would; between its two events lies what the GPU itself needed for it.
"""

from __future__ import annotations

import array
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from kvscen.plugin import Histogram
from kvscen_drivers.gpu.cuda import CudaError, Gpu, calling, lost

_NOT_READY = 600
_CLOSE_S = 1.0
# Times are put into a histogram so many at once, which costs the same for one or a thousand.
_PORTION = 4096


class Times:
    """Durations in ns, as a histogram."""

    def __init__(self) -> None:
        self._portion = array.array("d")
        self._histogram = Histogram()

    def add(self, time_ns: float) -> None:
        self._portion.append(time_ns)
        if len(self._portion) >= _PORTION:
            _ = self.histogram

    @property
    def histogram(self) -> Histogram:
        if self._portion:
            self._histogram.add(np.rint(np.frombuffer(self._portion)).astype(np.int64))
            self._portion = array.array("d")
        return self._histogram


class _Piece(NamedTuple):
    tag: Any
    begin: Any
    end: Any


class Streams:
    """`count` streams that are used in turn:

        stream = streams.begin()
        ...put work on `stream`...
        streams.end(tag)

    The calling thread has entered the GPU's context. Calls raise Lost.
    """

    def __init__(self, gpu: Gpu, count: int) -> None:
        self._gpu = gpu
        self.all = [calling(gpu, gpu.stream) for _ in range(count)]
        self._lines: list[deque[_Piece]] = [deque() for _ in self.all]
        self._turn = itertools.cycle(zip(self.all, self._lines, strict=True))
        self._events: list[Any] = []
        self._made: list[Any] = []
        self._begun: tuple[Any, deque[_Piece], Any] | None = None
        #: Pieces that have not ended.
        self.flying = 0
        #: How long each took on the GPU.
        self.times = Times()

    def begin(self) -> Any:
        stream, line = next(self._turn)
        event = self._event()
        self._record(event, stream)
        self._begun = stream, line, event
        return stream

    def end(self, tag: Any) -> None:
        assert self._begun is not None
        stream, line, begin = self._begun
        self._begun = None
        event = self._event()
        self._record(event, stream)
        line.append(_Piece(tag, begin, event))
        self.flying += 1

    def give_up(self) -> None:
        """Instead of `end`, where nothing was put on the stream."""
        assert self._begun is not None
        self._events.append(self._begun[2])
        self._begun = None

    def _event(self) -> Any:
        if self._events:
            return self._events.pop()
        event = calling(self._gpu, self._gpu.event)
        self._made.append(event)
        return event

    def _record(self, event: Any, stream: Any) -> None:
        (failed,) = self._gpu.api.cuEventRecord(event, stream)
        if failed:
            raise lost(self._gpu, self._gpu.error("cuEventRecord", failed))

    def ended(self) -> Iterator[Any]:
        """The tags of what has ended since the last look."""
        api, gpu = self._gpu.api, self._gpu
        for line in self._lines:
            while line:
                (status,) = api.cuEventQuery(line[0].end)
                if status:
                    if int(status) == _NOT_READY:
                        break
                    raise lost(gpu, gpu.error("work on a stream", status))
                piece = line.popleft()
                self.flying -= 1
                failed, took_ms = api.cuEventElapsedTime(piece.begin, piece.end)
                if failed:
                    raise lost(gpu, gpu.error("cuEventElapsedTime", failed))
                self.times.add(took_ms * 1e6)
                self._events += (piece.begin, piece.end)
                yield piece.tag

    def close(self, let_go: Callable[[], None] | None = None) -> bool:
        """Waits a second for what is in flight, calls `let_go` and destroys the streams. False: something hangs longer,
        and is left to go with the process."""
        deadline = time.monotonic() + _CLOSE_S
        try:
            while self.flying and time.monotonic() < deadline:
                for _ in self.ended():
                    pass
        except Exception:  # a GPU that was lost: nothing runs on it any more
            self._lines.clear()
            self.flying = 0
        if self.flying:
            return False
        if let_go is not None:
            let_go()
        with contextlib.suppress(CudaError):
            self._gpu.drop(self.all, self._made)
        return True
