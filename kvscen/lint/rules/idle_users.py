"""KVS406: users that are written down ask nothing unless a pattern has them in its `mix`."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.conversations import DEFAULT_MIX
from kvscen.language.diagnose import Diagnostic
from kvscen.language.suggest import listed
from kvscen.language.syntax import Block
from kvscen.lint.names import names_used
from kvscen.lint.rule import TextRule


class IdleUsers(TextRule):
    code = "KVS406"
    finds = "A block of the kind `users` that no `mix` names and no other users are based on."
    why = """
Only those who are in the `mix` of a pattern ask anything. Without a `mix` a pattern has `chat`, `code` and
`document` users, and a block of your own changes nothing.
"""
    remedy = "Name it in the pattern's `mix`, or take it out."

    def check(self) -> Iterator[Diagnostic]:
        used = names_used(self.subject)
        for block in self.subject.document.items:
            if isinstance(block, Block) and block.kind == "users" and block.name.name not in used:
                yield self.say(
                    f"nobody asks as `{block.name.name}`: no pattern has these users in its `mix`",
                    block.name.span,
                    help=f"name them in the pattern's `mix`; without one its users are {listed(DEFAULT_MIX)}",
                )
