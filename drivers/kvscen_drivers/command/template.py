"""The command line of a tool: words with placeholders such as `{block_bytes}`. `{{` and `}}` are braces."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping

import attrs

from kvscen.plugin import Work

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class BadTemplate(ValueError):
    """A word cannot be filled in. `help` says what would do."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.help = help


@attrs.frozen
class Placeholder:
    """`value` gives the text for a point's work; None where it has no such number."""

    help: str
    value: Callable[[Work], str | None]


def _seconds(time_ns: int) -> str:
    whole, part = divmod(time_ns, 10**9)
    return f"{whole}.{part:09d}".rstrip("0").rstrip(".")


def _optional(number: int | None) -> str | None:
    return None if number is None else str(number)


#: What can stand in a command line. `folder` and `trial` are known only when a trial runs.
PLACEHOLDERS: Mapping[str, Placeholder] = {
    "op": Placeholder("read, write or mixed", lambda work: work.op),
    "block_bytes": Placeholder("bytes of one block", lambda work: str(work.block_bytes)),
    "batch": Placeholder("operations posted together", lambda work: str(work.batch)),
    "depth": Placeholder(
        "what is in flight; the batch where it is not set", lambda work: str(work.depth or work.batch)
    ),
    "threads": Placeholder("lanes in a process", lambda work: str(work.threads)),
    "processes": Placeholder("client processes", lambda work: str(work.processes)),
    "requests": Placeholder("requests in a batch", lambda work: str(work.requests)),
    "keys": Placeholder("distinct blocks that are touched", lambda work: str(work.keys)),
    "warmup_s": Placeholder("seconds of load before the measurement", lambda work: _seconds(work.warmup_ns)),
    "time_s": Placeholder(
        "seconds to measure, where the sweep has a `time`",
        lambda work: None if work.time_ns is None else _seconds(work.time_ns),
    ),
    "operations": Placeholder(
        "operations to measure, where the sweep has `operations`", lambda work: _optional(work.operations)
    ),
    "seed": Placeholder("the sweep's seed", lambda work: str(work.seed)),
    "folder": Placeholder("a folder of this trial's own, where stdout and stderr are kept", lambda work: "folder"),
    "trial": Placeholder("the number of the trial, from 1", lambda work: "1"),
}


def placeholders(word: str) -> Iterator[str]:
    """The names in a word, in order. Raises BadTemplate for a brace that stands alone and for an unknown name."""
    for match in _TOKEN.finditer(word):
        if match[0] in ("{{", "}}"):
            continue
        name = match[1]
        if name is None:
            raise BadTemplate(f"a single `{match[0]}` in `{word}`", f"write `{match[0] * 2}` for a brace")
        if name not in PLACEHOLDERS:
            close = difflib.get_close_matches(name, PLACEHOLDERS, n=1)
            known = ", ".join(PLACEHOLDERS)
            help = f"did you mean `{{{close[0]}}}`?" if close else f"the placeholders are {known}; `{{{{` is a brace"
            raise BadTemplate(f"`{{{name}}}` is no placeholder", help)
        yield name


def fill(word: str, values: Mapping[str, str]) -> str:
    """A word with its placeholders replaced. Raises BadTemplate, also for a placeholder that has no value."""
    for name in placeholders(word):
        if name not in values:
            raise BadTemplate(f"`{{{name}}}` has no value for this point", "use another placeholder")

    def replace(match: re.Match[str]) -> str:
        return match[0][0] if match[0] in ("{{", "}}") else values[match[1]]

    return _TOKEN.sub(replace, word)


def values_of(work: Work) -> dict[str, str]:
    """Every placeholder that this work has a value for."""
    found = {name: placeholder.value(work) for name, placeholder in PLACEHOLDERS.items()}
    return {name: value for name, value in found.items() if value is not None}
