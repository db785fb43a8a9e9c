"""The names that a scenario defines, and what each block is: its bases, and the built-in at the end of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import attrs

from kvscen.language import syntax
from kvscen.language.blocks import BUILT_INS, FAMILIES, PATTERN_TYPES, USER_TYPES, SweepSettings
from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Severity, Span
from kvscen.language.functions import BASE_FUNCTION, FUNCTIONS
from kvscen.language.schema import settings_of
from kvscen.language.suggest import did_you_mean, listed, one_of
from kvscen.language.use import Loaded, parse_catalogue
from kvscen.language.values import UNITS
from kvscen.plugin.contract import Driver
from kvscen.plugin.registry import PluginError, Registry

#: What people call a driver.
_DRIVERS_MEANT = {
    "posix": ("nvme", "ssd", "disk", "file", "files", "fs", "local", "nfs", "path"),
    "memory": ("dram", "ram", "cpu", "host", "mem"),
    "gpu": ("vram", "hbm", "cuda"),
    "redis": ("valkey",),
    "tiered": ("cache", "tier"),
    "sim": ("simulated", "virtual"),
}

#: The package whose drivers are shipped with the language, so that their names belong to it.
SHIPPED_BY = "kvscen"


@attrs.frozen(eq=False)
class BuiltIn:
    """A family, driver or pattern type, and the attrs class of its settings."""

    name: str
    declaration: type


@attrs.frozen(eq=False)
class Definitions:
    """`blocks` and `lets` are by name, as written. `chains` are the names of a block and its bases, nearest first;
    `built_ins` what stands at the end. A block with a problem in its bases is in neither. `runs` are the sweeps of the
    scenario's own file."""

    blocks: Mapping[str, syntax.Block]
    lets: Mapping[str, syntax.Let]
    chains: Mapping[str, tuple[str, ...]]
    built_ins: Mapping[str, BuiltIn]
    drivers: Mapping[str, Driver]
    runs: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]


def define(loaded: Loaded, registry: Registry) -> Definitions:
    return _Definer(loaded, registry).define()


@functools.cache
def catalogue_names() -> tuple[str, ...]:
    """The models of the shipped catalogue."""
    return tuple(item.name.name for item in parse_catalogue().items if isinstance(item, syntax.Block))


def reserved(name: str, item: syntax.Block | syntax.Let, registry: Registry) -> str | None:
    """What of the language, or of what is shipped with it, has this name already, so that `item` cannot have it."""
    ref = registry.refs.get(name)
    if (ref is not None and ref.distribution == SHIPPED_BY) or name in registry.problems:
        return "a driver"
    if name in FAMILIES:
        return "a family of models"
    if name in PATTERN_TYPES:
        return "a type of pattern"
    # `chat` is what many would call a pattern.
    if name in USER_TYPES and isinstance(item, syntax.Block) and item.kind == "users":
        return "a type of users"
    if name in FUNCTIONS or name == BASE_FUNCTION:
        return "a function"
    is_let = isinstance(item, syntax.Let)
    if is_let and name in settings_of(SweepSettings):
        return "a setting of sweeps"
    if is_let and name in UNITS:
        return "a unit"
    return None


@attrs.define
class _Definer:
    loaded: Loaded
    registry: Registry
    blocks: dict[str, syntax.Block] = attrs.field(factory=dict)
    lets: dict[str, syntax.Let] = attrs.field(factory=dict)
    chains: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    built_ins: dict[str, BuiltIn] = attrs.field(factory=dict)
    drivers: dict[str, Driver] = attrs.field(factory=dict)
    taken: set[str] = attrs.field(factory=set)
    broken: set[str] = attrs.field(factory=set)
    diagnostics: list[Diagnostic] = attrs.field(factory=list)

    def define(self) -> Definitions:
        for document in (*self.loaded.used, self.loaded.own):
            for item in document.items:
                if isinstance(item, syntax.Block | syntax.Let):
                    self._add(item)
        hidden = set(self.blocks) | set(self.lets)
        if self.loaded.catalogue is not None:
            for item in self.loaded.catalogue.items:
                if isinstance(item, syntax.Block) and item.name.name not in hidden:
                    self.blocks[item.name.name] = item
        for name in self.blocks:
            self._chain(name)
        runs = tuple(
            item.name.name
            for item in self.loaded.own.items
            if isinstance(item, syntax.Block) and item.kind == "sweep" and self.blocks.get(item.name.name) is item
        )
        return Definitions(
            self.blocks, self.lets, self.chains, self.built_ins, self.drivers, runs, tuple(self.diagnostics)
        )

    def _say(
        self, code: str, message: str, span: Span, help: str = "", related: tuple[tuple[Span, str], ...] = ()
    ) -> None:
        self.diagnostics.append(diagnostic(code, message, span, help=help, related=related))

    # ---- names

    def _add(self, item: syntax.Block | syntax.Let) -> None:
        name = item.name.name
        first = self.blocks.get(name) or self.lets.get(name)
        if first is not None:
            what = first.kind if isinstance(first, syntax.Block) else "`let`"
            self._say(
                "KVS103",
                f"`{name}` is defined twice",
                item.name.span,
                "give one of them another name: blocks and `let`s share their names, in all files together",
                ((first.name.span, f"the {what} `{name}` is here"),),
            )
            return
        taken = reserved(name, item, self.registry)
        if taken:
            self.taken.add(name)
            self._say("KVS115", f"`{name}` is the name of {taken}", item.name.span, "choose another name")
        if isinstance(item, syntax.Block):
            self.blocks[name] = item
        else:
            self.lets[name] = item

    # ---- bases

    def _chain(self, name: str) -> tuple[str, ...] | None:
        """The chain of a block, None where it has a problem, which is then reported."""
        path: list[str] = []
        here: str | None = name
        while here is not None and here not in self.chains:
            if here in self.broken:
                self.broken.update(path)
                return None
            if here in path:
                self._report_cycle(path[path.index(here) :])
                self.broken.update(path)
                return None
            path.append(here)
            block = self.blocks[here]
            base = self._base_block(block)
            if base is None and block.kind != "sweep":
                built_in = self._built_in(block)
                if built_in is None:
                    self.broken.update(path)
                    return None
                self.built_ins[here] = built_in
            elif base is None and block.base is not None:
                self._unknown_base(block)
                self.broken.update(path)
                return None
            here = base
        tail = self.chains[here] if here is not None else ()
        for step in reversed(path):
            tail = (step, *tail)
            self.chains[step] = tail
            if self.blocks[step].kind != "sweep" and step not in self.built_ins:
                self.built_ins[step] = self.built_ins[tail[1]]
        return self.chains[name]

    def _base_block(self, block: syntax.Block) -> str | None:
        """The name of the block of the same kind that this one is based on."""
        if isinstance(block.base, syntax.Ident) and block.base.name not in self.taken:
            base = self.blocks.get(block.base.name)
            if base is not None and base.kind == block.kind:
                return block.base.name
        return None

    def _report_cycle(self, cycle: list[str]) -> None:
        first = self.blocks[cycle[0]]
        assert isinstance(first.base, syntax.Ident)
        if len(cycle) == 1:
            message, help_text = f"`{cycle[0]}` is its own base", f"the base is {self._choices(first.kind)}"
            if cycle[0] in catalogue_names() and first.kind == "model":
                help_text = f"it hides the catalogue's `{cycle[0]}`: give yours another name"
            elif cycle[0] in self.registry.refs and first.kind == "tier":
                help_text = f"it hides the driver `{cycle[0]}`: give yours another name"
        else:
            message = f"these blocks are each other's base: {' -> '.join([*cycle, cycle[0]])}"
            help_text = "let one of them begin with a built-in"
        related = tuple((self.blocks[name].name.span, f"`{name}` is here") for name in cycle[1:])
        self._say("KVS111", message, first.base.span, help_text, related)

    def _built_in(self, block: syntax.Block) -> BuiltIn | None:
        base = block.base
        if base is None:
            self._say(
                "KVS117",
                f"the {block.kind} `{block.name.name}` has no base",
                block.name.span,
                f"write `{block.kind} {block.name.name} : BASE {{ ... }}`, where BASE is {self._choices(block.kind)}",
            )
            return None
        if isinstance(base, syntax.Call):
            if base.function.name != BASE_FUNCTION:
                message = f"`{base.function.name}(...)` is no base"
                self._say("KVS109", message, base.span, f"the base is {self._choices(block.kind)}")
            elif block.kind != "model":
                message = f"`{BASE_FUNCTION}(...)` is a model, and {one_of(block.kind)} cannot be one"
                self._say("KVS117", message, base.span, f"the base is {self._choices(block.kind)}")
            # That of a model is replaced where its file is read; one that is left has been reported there.
            return None
        a_type = block.kind != "tier" and base.name in BUILT_INS[block.kind]  # `chat` may be a pattern's name as well
        if not a_type and base.name not in self.taken and (base.name in self.blocks or base.name in self.lets):
            other = self.blocks.get(base.name)
            what = one_of(other.kind) if other else "a `let`"
            related = ((other.name.span, f"`{base.name}` is here"),) if other else ()
            self._say(
                "KVS117",
                f"`{base.name}` is {what}, and {one_of(block.kind)} cannot be one",
                base.span,
                f"the base is {self._choices(block.kind)}",
                related,
            )
            return None
        if block.kind == "tier":
            return self._driver(base)
        known = BUILT_INS[block.kind]
        if base.name in known:
            return BuiltIn(base.name, known[base.name])
        self._unknown_base(block)
        return None

    def _unknown_base(self, block: syntax.Block) -> None:
        base = block.base
        assert base is not None
        if isinstance(base, syntax.Call):
            self._say("KVS117", "a sweep's base is a sweep", base.span, "write the name of another sweep, or none")
            return
        name = base.name
        other = self.blocks.get(name)
        if other is not None:
            self._say(
                "KVS117",
                f"`{name}` is {one_of(other.kind)}, and {one_of(block.kind)} cannot be one",
                base.span,
                f"the base is {self._choices(block.kind)}",
            )
            return
        if not self.loaded.complete:
            return
        if block.kind == "model" and self.loaded.catalogue is None and name in catalogue_names():
            help_text = "it is a model of the catalogue: add `use models` below the first line"
        else:
            help_text = did_you_mean(name, self._bases(block.kind), f"the base is {self._choices(block.kind)}")
        self._say("KVS117", f"no {one_of(block.kind)[2:]} is called `{name}`", base.span, help_text)

    def _bases(self, kind: str) -> Iterator[str]:
        yield from (name for name, block in self.blocks.items() if block.kind == kind)
        yield from BUILT_INS.get(kind, ())
        if kind == "model":
            yield from catalogue_names()
        elif kind == "tier":
            yield from self.registry.names()

    def _choices(self, kind: str) -> str:
        if kind == "tier":
            return f"another tier or a driver ({listed(self.registry.names(), 20)})"
        if kind == "model":
            return (
                f'another model, one of the catalogue (after `use models`), `hf("config.json")` or a family '
                f"({listed(FAMILIES)})"
            )
        if kind in BUILT_INS:
            return f"{'other' if kind == 'users' else 'another'} {kind} or a type ({listed(BUILT_INS[kind])})"
        return "another sweep"

    def _driver(self, base: syntax.Ident) -> BuiltIn | None:
        name = base.name
        try:
            driver = self.registry.driver(name)
        except PluginError as error:
            help_text = error.remedy
            if name not in self.registry.refs and name not in self.registry.problems:
                meant = next((driver for driver, words in _DRIVERS_MEANT.items() if name.lower() in words), None)
                near = f"did you mean `{meant}`?" if meant else did_you_mean(name, self._bases("tier"))
                help_text = near or error.remedy
            self.diagnostics.append(
                diagnostic("KVS301", str(error), base.span, help=help_text, severity=Severity.ERROR)
            )
            return None
        try:
            settings_of(driver.settings)
        except (AttributeError, TypeError, attrs.exceptions.NotAnAttrsClassError) as error:
            self._say(
                "KVS301", f"the driver `{name}` does not declare its settings: {error}", base.span, "tell its author"
            )
            return None
        self.drivers[name] = driver
        return BuiltIn(name, driver.settings)
