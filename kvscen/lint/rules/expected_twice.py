"""KVS138: an expectation that stands in a sweep twice is judged twice."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic, Fix
from kvscen.language.format import one_line
from kvscen.language.scenario import ExpectDef
from kvscen.lint.edits import removal
from kvscen.lint.rule import PointRule


class ExpectedTwice(PointRule):
    code = "KVS138"
    finds = "Two expectations of a sweep, those of its bases included, that say the same in the same words."
    why = """
Both are judged and both are listed, so that a point that fails seems to fail twice. Mostly the second was copied to
be changed, and the change is missing.
"""
    remedy = """
Take one of them out (`kvscen lint --fix` takes the later one), or change what was to be changed. A derived sweep
has those of its base.
"""

    def end(self) -> Iterator[Diagnostic]:
        first: dict[str, ExpectDef] = {}
        for level in reversed(self.subject.levels(self.sweep)):
            for expect in level.expects:
                text = one_line(expect.span.text)
                known = first.setdefault(text, expect)
                if known is not expect and expect.span.source is self.subject.source:
                    yield self.say(
                        f"`{text}` is expected twice",
                        expect.span,
                        help="take one of them out",
                        related=((known.span, "it stands here first"),),
                        fix=Fix(*removal(expect.span), safe=True),
                    )
