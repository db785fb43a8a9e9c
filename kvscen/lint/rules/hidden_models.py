"""KVS137: a model that has the name of one of the catalogue hides it."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.language.syntax import Block, Use
from kvscen.lint.rule import TextRule


class HiddenModels(TextRule):
    code = "KVS137"
    finds = "After `use models`, a block of the scenario's own file that has the name of a model of the catalogue."
    why = """
The file's own block is meant wherever the name stands, and the reader, who knows the name from the catalogue, takes
its figures for the published ones. The results say `llama3_1_70b` of something that is none.
"""
    remedy = """
Give it a name of its own; what it shares with the published model it takes over by naming it as its base:

```kvs-part
model llama70b : llama3_1_70b { kv_dtype = fp8 }
```
"""

    def check(self) -> Iterator[Diagnostic]:
        items = self.subject.document.items
        if not any(isinstance(item, Use) and not item.is_file for item in items):
            return
        from kvscen.language.use import parse_catalogue

        models = {item.name.name for item in parse_catalogue().items if isinstance(item, Block)}
        for item in items:
            if isinstance(item, Block) and item.name.name in models:
                yield self.say(
                    f"`{item.name.name}` is a model of the catalogue, and this {item.kind} hides it",
                    item.name.span,
                    help=f"call it something else: `{item.kind} my_{item.name.name} : ...`",
                )
