"""The functions that name files of others."""

from __future__ import annotations

import os
from collections.abc import Sequence

from kvscen.language import syntax
from kvscen.language.codes import problem
from kvscen.language.diagnose import Source
from kvscen.language.values import SecretFile, TraceFile, Value, describe


def trace_file(expr: syntax.Call, arguments: Sequence[Value]) -> TraceFile:
    """A trace by the name of its file. Nothing is read here."""
    return TraceFile(*_file("trace", "requests.jsonl", expr, arguments))


def secret_file(expr: syntax.Call, arguments: Sequence[Value]) -> SecretFile:
    """A secret by the name of its file. Nothing is read here."""
    return SecretFile(*_file("secret", "password.txt", expr, arguments))


def _file(function: str, example: str, expr: syntax.Call, arguments: Sequence[Value]) -> tuple[str, str]:
    """The name as it is written, and the path."""
    written, span = arguments[0], expr.arguments[0].span
    help = f'write `{function}("{example}")`'
    if not isinstance(written, str):
        raise problem(
            "KVS106", f"`{function}` takes the name of a file, and this is {describe(written)}", span, help=help
        )
    if not written or "\0" in written:
        raise problem("KVS109", "this is not the name of a file", span, help=help)
    return written, os.path.join(_folder(span.source), written)  # noqa: PTH118 - as it is written


def _folder(source: Source) -> str:
    """The folder of the file that a text stands in; of the standard input and of `--set` the working directory."""
    return "" if source.name.startswith(("<", "--set")) else os.path.dirname(source.name)  # noqa: PTH120
