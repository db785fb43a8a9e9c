"""KVS131: a block that nothing names is not part of what is measured."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.language.suggest import one_of
from kvscen.language.syntax import Block
from kvscen.lint.names import names_used
from kvscen.lint.rule import TextRule

_KINDS = {
    "model": "no pattern has it as its `model`",
    "pattern": "no sweep has it as its `pattern`",
    "tier": "no sweep has it as its `tier`, and no tier as a level",
}


class UnusedBlocks(TextRule):
    code = "KVS131"
    finds = """
A model, a tier or a pattern in a scenario's own file that no sweep, no other block and no condition names, and that
no other block is based on.
"""
    why = """
The reader believes that it is measured. It is a leftover, or the sweep was meant to name it: a tier that is missing
from the list of an axis gives no rows, and nobody sees rows that are not there.
"""
    remedy = """
Name it in the sweep, or take it out. A block that is there to be chosen on the command line (`--set
blocks.tier=other`) may stay, with a comment behind its first line that says so:

```kvs-part
tier other : posix { path = "/mnt/other" }  # kvs: allow KVS131 because it is chosen with --set blocks.tier=other
```
"""

    def check(self) -> Iterator[Diagnostic]:
        used = names_used(self.subject)
        for item in self.subject.document.items:
            if isinstance(item, Block) and item.kind in _KINDS and item.name.name not in used:
                yield self.say(
                    f"nothing uses the {item.kind} `{item.name.name}`: {_KINDS[item.kind]}",
                    item.name.span,
                    help=f"name it where {one_of(item.kind)} is asked for, or take it out",
                )
