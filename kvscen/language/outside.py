"""The functions that name files of others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from kvscen.language import huggingface, syntax
from kvscen.language.codes import problem
from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.files import read_source
from kvscen.language.published import instead_of
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


def configuration(call: syntax.Call, folder: Path | None, name: str) -> tuple[str, str, str]:
    """The file that a call of `hf` names: its path, its text, and the blocks of a model called `name` that it comes to.
    `folder` is where the text with the call stands. Raises ScenarioError."""
    usage = 'write `hf("config.json")`'
    if len(call.arguments) != 1 or not isinstance(call.arguments[0], syntax.Text):
        raise problem("KVS109", "`hf` takes the name of one file, in quotes", call.span, help=usage)
    written, span = call.arguments[0].value, call.arguments[0].span
    if not written or "\0" in written:
        raise problem("KVS109", "this is not the name of a file", span, help=usage)
    if folder is None:
        raise problem(
            "KVS240", "a scenario that does not come from a file cannot name one", span, help="save it to a file first"
        )
    source = read_source(folder / written)
    if isinstance(source, Diagnostic):
        repository = re.fullmatch(r"[\w.-]+/[\w.-]+(?<!\.json)", written) is not None
        help = instead_of(written) if repository else source.help.replace(" a scenario", " a file")
        raise problem("KVS240", source.message, span, help=help)
    config = _object(source, span)
    try:
        model = huggingface.read_model(config)
    except huggingface.Unknown as unknown:
        raise problem("KVS241", f"{written}: {unknown}", span, help=unknown.help) from None
    return str(folder / written), source.text, f"kvs 1\n{huggingface.model_text(name, model)}"


def _object(source: Source, span: Span) -> dict[str, object]:
    try:
        config = json.loads(source.text)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise problem("KVS240", f"{source.name} is not JSON ({where})", span) from None
    if not isinstance(config, dict):
        raise problem("KVS240", f"{source.name} is no JSON object", span, help="name the config.json of a model")
    return config


def _folder(source: Source) -> str:
    """The folder of the file that a text stands in; of the standard input and of `--set` the working directory."""
    return "" if source.name.startswith(("<", "--set")) else os.path.dirname(source.name)  # noqa: PTH120
