"""The functions that name files of others."""

from __future__ import annotations

import os
from collections.abc import Sequence

from kvscen.language import syntax
from kvscen.language.codes import problem
from kvscen.language.diagnose import Source
from kvscen.language.values import TraceFile, Value, describe


def trace_file(expr: syntax.Call, arguments: Sequence[Value]) -> TraceFile:
    """A trace by the name of its file. Nothing is read here."""
    written, span = arguments[0], expr.arguments[0].span
    if not isinstance(written, str):
        raise problem(
            "KVS106",
            f"`trace` takes the name of a file, and this is {describe(written)}",
            span,
            help='write `trace("requests.jsonl")`',
        )
    if not written or "\0" in written:
        raise problem("KVS109", "this is not the name of a file", span, help='write `trace("requests.jsonl")`')
    return TraceFile(written, os.path.join(_folder(span.source), written))  # noqa: PTH118 - as it is written


def _folder(source: Source) -> str:
    """The folder of the file that a text stands in; of the standard input and of `--set` the working directory."""
    return "" if source.name.startswith(("<", "--set")) else os.path.dirname(source.name)  # noqa: PTH120
