"""KVS213: a page that is larger than all of a request is mostly empty."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, at
from kvscen.plan.point import Point


class PageOverRequest(PointRule):
    code = "KVS213"
    finds = """
A pattern with a model whose `page` has more tokens than a whole request, `prompt` and `output` together.
"""
    why = """
A page is moved whole. Where it is larger than a request, each request moves one page, most of which holds nothing,
and the figures are those of a block that no engine would make. Often `page` was given in bytes' stead, or `prompt`
is that of a test.
"""
    remedy = "Use the page of the engine (16 tokens is vLLM's), or the length of real prompts."

    def see(self, point: Point) -> Iterator[Diagnostic]:
        settings = point.pattern.settings
        if point.model is None or point.pattern.type != "transfer":
            return
        tokens = settings.prompt_tokens + (settings.output_tokens or 0)
        if settings.page_tokens > tokens and self.first(point.pattern.name):
            yield self.say(
                f"a page of {settings.page_tokens:,} tokens is larger than the {tokens:,} of a whole request",
                self.place(f"{point.pattern.name}.page"),
                label=at(point),
                help="use a smaller `page` or a longer `prompt`",
            )
