"""KVS132: a `use` that nothing needs makes the file depend on another one for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic, Fix
from kvscen.language.syntax import Block, Ident, Path, Use, nodes_below
from kvscen.lint.edits import removal
from kvscen.lint.names import expressions, names_of
from kvscen.lint.rule import TextRule
from kvscen_grammar import CATALOGUE_NAME


class UnusedUses(TextRule):
    code = "KVS132"
    finds = """
A `use` of which the scenario's own file needs nothing: no name of the catalogue, or no name of the files that it
brings in.
"""
    why = """
The results record every file that a scenario uses, and each of them can break it: a name that is defined twice, a
file that moved. A reader looks for the models and tiers that come from there, and finds none.
"""
    remedy = "Take it out: `kvscen lint --fix` does. Or name what it was meant to bring in."

    def check(self) -> Iterator[Diagnostic]:
        uses = [item for item in self.subject.document.items if isinstance(item, Use)]
        if not uses:
            return
        scenario, own = self.subject.scenario, self.subject.source.name
        named = self._named()
        places = {
            **{name: block.span for name, block in scenario.blocks.items()},
            **{name: definition.span for name, definition in scenario.lets.items()},
            **{name: sweep.span for name, sweep in scenario.sweeps.items()},
        }
        needed = {span.source.name for name, span in places.items() if name in named} - {own, CATALOGUE_NAME}
        for use in uses:
            if use.is_file:
                # Which of several files brought a name in is not asked: one that is needed keeps them all.
                idle = not needed
            else:
                idle = not self._of_catalogue(named)
            if idle:
                what = f'"{use.target}"' if use.is_file else f"`{use.target}`"
                yield self.say(
                    f"nothing in this file needs what {what} brings in",
                    use.span,
                    help="take it out",
                    fix=Fix(*removal(use.span), safe=True),
                )

    def _named(self) -> set[str]:
        """Every name that the text mentions: bases, heads of paths, values."""
        found = set()
        for node in nodes_below(self.subject.document.items):
            if isinstance(node, Block) and isinstance(node.base, Ident):
                found.add(node.base.name)
            elif isinstance(node, Path):
                found.add(node.parts[0])
        return found

    def _of_catalogue(self, named: set[str]) -> bool:
        """Whether a model of the catalogue is named, here or in a file that this one uses."""
        from kvscen.language.use import parse_catalogue

        models = {item.name.name for item in parse_catalogue().items if isinstance(item, Block)}
        scenario = self.subject.scenario
        written = (expr for owner, expr in expressions(scenario) if owner not in models)
        everywhere = named | {name for expr in written for name in names_of(expr)}
        for block in scenario.blocks.values():
            if block.name not in models:
                everywhere.update(block.chain)
        return bool(everywhere & models)
