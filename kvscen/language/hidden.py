"""Characters that a reader does not see, and that make a text look like another one.

Those that turn the direction of what follows show a line in another order than it is read in
(https://trojansource.codes), and those without a width make two names that look alike. Of these the joiners may stand
in comments: scripts and emoji are written with them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Source, Span

_TURNING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_JOINERS = "\u200c\u200d"
_NO_WIDTH = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\u3164\ufeff"
    "\ufff9-\ufffb"
)
_HIDDEN = re.compile(f"[{_TURNING}{_JOINERS}{_NO_WIDTH}\U000e0000-\U000e0fff]+")
_IN_COMMENTS = re.compile(f"[{_TURNING}{_NO_WIDTH}\U000e0000-\U000e0fff]+")
_STRINGS = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')

#: Of one file; nobody reads more.
_MOST = 20


def hidden(source: Source) -> tuple[Diagnostic, ...]:
    """What cannot be seen in the text, once for each line."""
    text = source.text
    if text.isascii() or _HIDDEN.search(text) is None:
        return ()
    found: list[Diagnostic] = []
    start = 0
    for line in text.split("\n"):
        span = next(_in_line(source, line, start), None)
        if span is not None:
            found.append(_diagnostic(span))
            if len(found) == _MOST:
                break
        start += len(line) + 1
    return tuple(found)


def _in_line(source: Source, line: str, start: int) -> Iterator[Span]:
    if line.isascii():
        return
    # What stands in a string is no comment.
    comment = _STRINGS.sub(lambda found: "x" * len(found[0]), line).find("#")
    code = len(line) if comment < 0 else comment
    for pattern, begin, end in ((_HIDDEN, 0, code), (_IN_COMMENTS, code, len(line))):
        for match in pattern.finditer(line, begin, end):
            yield Span(source, start + match.start(), start + match.end())


def _diagnostic(span: Span) -> Diagnostic:
    character = span.text[0]
    name = unicodedata.name(character, "a character without a name").lower()
    turns = re.match(f"[{_TURNING}]", character) is not None
    what = "shows what follows in another order than it is read in" if turns else "cannot be seen"
    return diagnostic(
        "KVS005",
        f"U+{ord(character):04X} ({name}) {what}",
        span,
        help="take it out: it came with a copy from elsewhere, or somebody hides something",
        fix=Fix(span, ""),
    )
