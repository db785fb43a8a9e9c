"""What a lane reports of operations that it accepted together, in whatever order they end. For lanes of many
operations: what they report is filled in as arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kvscen.plugin import COMPLETION, ERROR, RAW_COMPLETION, Rows


class Report:
    """What will be reported of the operations that one `submit` accepted, in their order."""

    def __init__(self, ops: Rows, submitted_ns: int) -> None:
        self.rows = np.zeros(len(ops), COMPLETION)
        self.rows["id"], self.rows["bytes"] = ops["id"], ops["bytes"]
        # Fields of rows, once: each look at one costs as much as writing to it.
        self.submits: npt.NDArray[np.int64] = self.rows["submit"]
        self.ends: npt.NDArray[np.int64] = self.rows["end"]
        self.submits[:] = submitted_ns
        self.raw: Rows = self.rows.view(RAW_COMPLETION)

    def fail(self, first: int, last: int, now: int, code: int) -> None:
        rows = self.rows[first:last]
        rows["end"], rows["bytes"], rows["outcome"], rows["errno"] = now, 0, ERROR, code


class Ended:
    """Operations that have ended and are not reported yet."""

    def __init__(self) -> None:
        self.count = 0
        # [report, first, last]: what ended in the order in which it was accepted is one stretch, and copied at once.
        self._stretches: list[tuple[Report, int, int]] = []

    def add(self, report: Report, first: int, last: int) -> None:
        self.count += last - first
        if self._stretches:
            same, start, end = self._stretches[-1]
            if same is report and end == first:
                self._stretches[-1] = report, start, last
                return
        self._stretches.append((report, first, last))

    def take(self, out: Rows) -> int:
        """As many as there are and fit into `out`."""
        count, raw = 0, out.view(RAW_COMPLETION)
        stretches, self._stretches = self._stretches, []
        for number, (report, first, last) in enumerate(stretches):
            part = min(last - first, len(out) - count)
            raw[count : count + part] = report.raw[first : first + part]
            count += part
            if first + part < last:
                self._stretches = [(report, first + part, last), *stretches[number + 1 :]]
                break
        self.count -= count
        return count

    def clear(self) -> None:
        self.count = 0
        self._stretches.clear()
