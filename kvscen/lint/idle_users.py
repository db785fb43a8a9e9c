"""KVS406: users that are written down ask nothing unless a pattern has them in its `mix`."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.codes import diagnostic
from kvscen.language.conversations import DEFAULT_MIX
from kvscen.language.diagnose import Diagnostic
from kvscen.language.suggest import listed
from kvscen.language.syntax import Block, Ident, Name
from kvscen.lint.rule import Rule, Subject, nodes_in


def check(subject: Subject) -> Iterator[Diagnostic]:
    blocks = [item for item in subject.document.items if isinstance(item, Block)]
    named = {node.path.parts[0] for node in nodes_in(subject.document) if isinstance(node, Name)}
    named |= {block.base.name for block in blocks if isinstance(block.base, Ident)}
    for point in subject.plan.points:  # a mix may also come from a pin, or from a file that is used
        talk = None if point.work.replay is None else point.work.replay.talk
        named |= set() if talk is None else {users.name for users in talk.mix}
    for block in blocks:
        if block.kind == "users" and block.name.name not in named:
            yield diagnostic(
                "KVS406",
                f"nobody asks as `{block.name.name}`: no pattern has these users in its `mix`",
                block.name.span,
                help=f"name them in the pattern's `mix`; without one its users are {listed(DEFAULT_MIX)}",
            )


RULE = Rule("KVS406", check)
