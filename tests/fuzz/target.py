"""What must hold for every text: lint and fmt end in their time, raise nothing, and say where."""

from __future__ import annotations

import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from unittest import mock

import attrs

from kvscen.language.diagnose import Diagnostic, Span
from kvscen.language.files import decode
from kvscen.language.format import format_source
from kvscen.language.render import render
from kvscen.lint import lint_source
from kvscen.plan import expand, grid

#: Here `use`, `hf` and `trace` find nothing.
FOLDER = Path("/nowhere")


class Hang(BaseException):
    """A text took longer than it may. No Exception, so that nobody catches it on the way."""


@attrs.frozen
class Finding:
    """`kind` is the same for texts that fail in the same place."""

    kind: str
    details: str


def probe(data: bytes, limit_s: int) -> Finding | None:
    """What is wrong with how a text is treated; None where nothing is."""
    try:
        with _limited(limit_s), warnings.catch_warnings():
            # A number that numpy could not hold is a wrong number.
            warnings.simplefilter("error")
            examine(data)
    except (Exception, Hang) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "kvscen" in frame.filename] or frames
        # Where it hangs is chance.
        place = "" if isinstance(error, Hang) else f" at {Path(own[-1].filename).name}:{own[-1].lineno}"
        return Finding(f"{type(error).__name__}{place}", "".join(traceback.format_exception(error)))
    return None


def examine(data: bytes) -> None:
    """Raises whatever lint and fmt raise, and AssertionError where their results are not what they must be."""
    source = decode("text.kvs", data)
    if isinstance(source, Diagnostic):
        _look((source,))
        return
    _look(lint_source(source, FOLDER).diagnostics)
    formatted = format_source(source)
    if isinstance(formatted, str):
        again = decode("text.kvs", formatted.encode("utf-8"))
        assert not isinstance(again, Diagnostic), "what fmt writes cannot be read"
        assert format_source(again) == formatted, "formatted again it is another text"
    else:
        _look(formatted)


def _look(found: tuple[Diagnostic, ...]) -> None:
    for item in found:
        assert item.message, "nothing is said"
        for span in (item.span, item.fix.span if item.fix else None, *(span for span, _ in item.related)):
            assert span is None or _inside(span), f"{item.code} points outside of its text"
    render(found)


def _inside(span: Span) -> bool:
    return 0 <= span.start <= span.end <= len(span.source.text)


@contextmanager
def small_plans() -> Iterator[None]:
    """A plan of more points takes its time and finds nothing that a smaller one does not."""
    limits = ((expand, "MOST_HELD", 300), (grid, "MOST_BOXES", 300), (grid, "MOST_PLANNED", 100_000))
    with ExitStack() as stack:
        for module, name, most in limits:
            stack.enter_context(mock.patch.object(module, name, most))
        yield


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
