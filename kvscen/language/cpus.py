"""CPUs as Linux writes them: `0-3,8`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from kvscen.language.schema import String, Unfit
from kvscen.language.values import Value

_PART = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")
#: More than any kernel is built for (CONFIG_NR_CPUS is at most 8192).
_MOST = 8192


def parse_cpus(text: str) -> tuple[int, ...]:
    """The CPUs that a list names, in its order. Raises ValueError with one sentence."""
    cpus: list[int] = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"`{part.strip()}` is neither a CPU nor a range of CPUs")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= _MOST:
            raise ValueError(f"`{part.strip()}` is no range of CPUs")
        cpus += range(first, last + 1)
    if len(set(cpus)) != len(cpus):
        raise ValueError("a CPU is named twice")
    return tuple(cpus)


def show_cpus(cpus: Sequence[int]) -> str:
    """The list of these CPUs, in their order, as short as it goes."""
    runs = [
        [cpu for _, cpu in run] for _, run in groupby(enumerate(cpus), key=lambda numbered: numbered[1] - numbered[0])
    ]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


class CpuList(String):
    """CPUs such as "0-3,8", held as a tuple of their numbers, in the order of the text."""

    def describe(self) -> str:
        return 'CPUs in quotes such as `"0-3,8"`'

    def convert(self, value: Value) -> tuple[int, ...]:  # type: ignore[override]
        try:
            return parse_cpus(super().convert(value))
        except ValueError as error:
            if isinstance(error, Unfit):
                raise
            raise Unfit(str(error), f"write {self.describe()}") from None

    def show(self, value: Sequence[int]) -> str:  # type: ignore[override]
        return super().show(show_cpus(value))
