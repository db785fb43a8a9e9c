"""Follows `use` and `hf(...)`: the scenario's own text, the files that it uses and the catalogue, each parsed once.

`model m : hf("config.json") {}` becomes `model m : m_hf {}`, where `m_hf` is what the file says, in the language; where
its layers are of several kinds they are `m_hf_full`, `m_hf_window` and so on."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import attrs

import kvscen_grammar
from kvscen.language import syntax
from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, ScenarioError, Source, Span, has_errors
from kvscen.language.files import read_source
from kvscen.language.functions import BASE_FUNCTION
from kvscen.language.outside import configuration
from kvscen.language.parse import parse
from kvscen.language.suggest import did_you_mean

#: Makes a document of a text, and says what is wrong with its syntax.
Parse: TypeAlias = Callable[[Source], tuple[syntax.Document, tuple[Diagnostic, ...]]]

#: What `use NAME` can bring in.
LIBRARIES = ("models",)


@attrs.frozen
class Loaded:
    """`own` is the scenario's document, `used` those of the files that it uses (a file before the one that uses it),
    `catalogue` the shipped models where `use models` asks for them. `complete` is False where some text could not be
    understood."""

    own: syntax.Document
    used: tuple[syntax.Document, ...]
    catalogue: syntax.Document | None
    files: tuple[tuple[str, str], ...]
    complete: bool
    diagnostics: tuple[Diagnostic, ...]


@functools.cache
def parse_catalogue() -> syntax.Document:
    """The shipped catalogue of models."""
    document, problems = parse(Source(kvscen_grammar.CATALOGUE_NAME, kvscen_grammar.catalogue_text()))
    assert not has_errors(problems), problems
    return document


def load(source: Source, folder: Path | None, parse: Parse = parse) -> Loaded:
    """Parse a scenario and everything that it uses. `folder` is where it stands; None: it can use no files."""
    return _Loader(parse).load(source, folder)


def file_name(source: Source) -> str:
    """The name of a scenario's file, without its folder; of the standard input `stdin.kvs`."""
    return "stdin.kvs" if source.name.startswith("<") else PurePosixPath(source.name).name


@attrs.define
class _Loader:
    parse: Parse
    diagnostics: list[Diagnostic] = attrs.field(factory=list)
    used: list[syntax.Document] = attrs.field(factory=list)
    files: list[tuple[str, str]] = attrs.field(factory=list)
    seen: set[Path] = attrs.field(factory=set)
    wants_models: bool = False
    complete: bool = True

    def load(self, source: Source, folder: Path | None) -> Loaded:
        own = self._parse(source)
        name = file_name(source)
        self.files.append((name, source.text))
        chain = () if folder is None else (Path(os.path.abspath(folder / name)),)  # noqa: PTH100 - no symlink is followed
        own = self._follow(own, folder, folder, chain)
        catalogue = None
        if self.wants_models:
            catalogue = parse_catalogue()
            self.files.append((self._free_name(kvscen_grammar.CATALOGUE_NAME), catalogue.source.text))
        return Loaded(own, tuple(self.used), catalogue, tuple(self.files), self.complete, tuple(self.diagnostics))

    def _parse(self, source: Source) -> syntax.Document:
        document, problems = self.parse(source)
        self.diagnostics.extend(problems)
        self.complete = self.complete and document.complete
        return document

    def _say(self, code: str, message: str, span: Span, help: str = "") -> None:
        self.complete = False
        self.diagnostics.append(diagnostic(code, message, span, help=help))

    def _follow(
        self, document: syntax.Document, folder: Path | None, root: Path | None, chain: tuple[Path, ...]
    ) -> syntax.Document:
        """The document with its configurations read; what it uses is in `used`, before what it is used by."""
        items: list[syntax.Item] = []
        for item in document.items:
            if isinstance(item, syntax.Block) and item.kind == "model" and isinstance(item.base, syntax.Call):
                items.append(self._configured(item, item.base, folder, root))
                continue
            items.append(item)
            if not isinstance(item, syntax.Use):
                continue
            if not item.is_file:
                if item.target == "models":
                    self.wants_models = True
                else:
                    self._say(
                        "KVS122",
                        f"there is no library called `{item.target}`",
                        item.span,
                        did_you_mean(
                            item.target,
                            LIBRARIES,
                            f'`use models` brings in the catalogue, `use "{item.target}.kvs"` a file',
                        ),
                    )
            elif folder is None or root is None:
                self._say(
                    "KVS122",
                    "a scenario that does not come from a file cannot use one",
                    item.span,
                    "save it to a file first",
                )
            else:
                self._use_file(item, folder, root, chain)
        return attrs.evolve(document, items=tuple(items))

    def _configured(
        self, block: syntax.Block, call: syntax.Call, folder: Path | None, root: Path | None
    ) -> syntax.Block:
        """The block with the name of what its configuration says as its base; as it is where that cannot be read."""
        if call.function.name != BASE_FUNCTION:
            return block
        try:
            name, text, blocks = configuration(call, folder, f"{block.name.name}_{BASE_FUNCTION}")
        except ScenarioError as error:
            self.complete = False
            self.diagnostics.extend(error.diagnostics)
            return block
        assert root is not None, "there is a folder"
        self.files.append((self._free_name(os.path.relpath(os.path.abspath(name), root)), text))  # noqa: PTH100
        document, problems = parse(Source(f"{name} of `{block.name.name}`", blocks))
        assert not problems, problems
        self.used.append(document)
        return attrs.evolve(block, base=attrs.evolve(call.function, name=f"{block.name.name}_{BASE_FUNCTION}"))

    def _use_file(self, item: syntax.Use, folder: Path, root: Path, chain: tuple[Path, ...]) -> None:
        if "\0" in item.target or not item.target:
            self._say("KVS122", "this is not the name of a file", item.span)
            return
        path = folder / item.target
        place = Path(os.path.abspath(path))  # noqa: PTH100 - the name as written counts, not what a symlink leads to
        if place in chain:
            names = " -> ".join(os.path.relpath(step, root) for step in (*chain[chain.index(place) :], place))
            self._say("KVS111", f"the files use each other: {names}", item.span, "take one of the `use` lines out")
            return
        if place in self.seen:
            return
        self.seen.add(place)
        source = read_source(path)
        if isinstance(source, Diagnostic):
            self.complete = False
            said = source if source.span else attrs.evolve(source, span=item.span)
            self.diagnostics.append(said)
            return
        document = self._parse(source)
        self.files.append((self._free_name(os.path.relpath(place, root)), source.text))
        self.used.append(self._follow(document, path.parent, root, (*chain, place)))

    def _free_name(self, wanted: str) -> str:
        """A relative name that stays inside a folder and is not taken."""
        path = PurePosixPath(wanted)
        if ".." in path.parts or path.is_absolute():
            path = PurePosixPath("used") / path.name
        taken = {name for name, _ in self.files}
        name, number = str(path), 2
        while name in taken:
            name = str(path.with_stem(f"{path.stem}-{number}"))
            number += 1
        return name
