"""What can stand where the cursor is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from kvscen.explain import language, results, settings
from kvscen.explain.markdown import markdown
from kvscen.language import syntax
from kvscen.language.blocks import BUILT_INS
from kvscen.language.check import Known
from kvscen.language.constructs import KINDS_OF_BLOCK
from kvscen.language.diagnose import ScenarioError, Span
from kvscen.language.functions import BASE_FUNCTION, FUNCTIONS
from kvscen.language.resolve import OWN
from kvscen.language.scan import FINDS, KINDS
from kvscen.language.scan import Word as Written
from kvscen.language.scenario import LetType
from kvscen.language.schema import (
    Flag,
    ListOf,
    Measured,
    Reference,
    SettingInfo,
    SettingType,
    Share,
    String,
    Word,
    settings_of,
)
from kvscen.language.use import LIBRARIES
from kvscen.language.values import NUMBER, UNITS, Dimension, Quantity, Symbol, Value, show_value
from kvscen.lsp import describe as say
from kvscen.lsp.analysis import Analysis
from kvscen.lsp.cursor import Cursor, Header, cursor_at
from kvscen.lsp.names import measures
from kvscen.plugin.registry import PluginError

Kind: TypeAlias = Literal["keyword", "setting", "block", "let", "base", "word", "unit", "function", "measure", "file"]


@attrs.frozen
class Completion:
    """`label` is what is inserted, unless `insert` says more (a snippet, where `$0` is the cursor). `detail` stands
    beside it, `about` is Markdown."""

    label: str
    kind: Kind
    detail: str = ""
    about: str = ""
    insert: str | None = None


@attrs.frozen
class Completions:
    """They replace the text from the offset `start` to the cursor."""

    start: int
    items: tuple[Completion, ...]


def complete(analysis: Analysis, offset: int) -> Completions:
    if analysis.own is None:
        return Completions(offset, ())
    cursor = cursor_at(analysis.own, offset)
    if cursor is None:
        return Completions(offset, ())
    completer = _Completer(analysis, analysis.known, cursor)
    items = completer.files() if cursor.string is not None else completer.items()
    found: dict[str, Completion] = {}
    for item in items:
        found.setdefault(item.label, item)
    return Completions(cursor.start, tuple(found.values()))


@attrs.frozen
class _Completer:
    analysis: Analysis
    known: Known | None
    cursor: Cursor

    def items(self) -> Iterator[Completion]:
        header = self.cursor.header
        if header is None:
            return self._top()
        return self._in_sweep(header) if header.kind == "sweep" else self._in_block(header)

    # ---- between the blocks

    def _top(self) -> Iterator[Completion]:
        match self.cursor.texts:
            case ():
                yield from _ITEMS
                if self.analysis.own is not None and self.analysis.own.document.version is None:
                    yield Completion("kvs 1", "keyword", "the language's version, always first")
            case ("use",):
                for library in LIBRARIES:
                    yield Completion(library, "keyword", "the shipped catalogue of models")
            case ("let", _, "=", *_):
                yield from self._value(self.cursor.words[3:], None)
            case (kind, own, ":"):
                for name, about in say.bases(kind, self.known, self.analysis.registry):
                    if name == own:
                        continue
                    yield Completion(name, "base", about, say.built_in(kind, name, self.analysis.registry))
                if kind == "model":
                    hf = f'{BASE_FUNCTION}("$0")'
                    yield Completion(
                        BASE_FUNCTION, "function", 'hf("config.json")', markdown(language.function(BASE_FUNCTION)), hf
                    )

    # ---- in a block that is no sweep

    def _in_block(self, header: Header) -> Iterator[Completion]:
        declared = self._declared(header)
        words = self.cursor.words
        match self.cursor.texts:
            case ():
                yield from self._settings(declared, header.name, header.taken)
            case (name, "=", *_):
                info = declared.get(name)
                yield from self._value(words[2:], info.type if info else None)

    def _declared(self, header: Header) -> Mapping[str, SettingInfo]:
        """The settings of a block by its header, whatever else is wrong with it."""
        if header.kind == "sweep":
            return OWN
        declaration = None
        if self.known is not None:
            built_in = self.known.definitions.built_ins.get(header.name) or self.known.definitions.built_ins.get(
                header.base or ""
            )
            declaration = built_in.declaration if built_in else None
        if declaration is None and header.base is not None:
            declaration = BUILT_INS.get(header.kind, {}).get(header.base)
            if declaration is None and header.kind == "tier" and header.base in self.analysis.registry.refs:
                try:
                    declaration = self.analysis.registry.driver(header.base).settings
                except PluginError:
                    declaration = None
        return settings_of(declaration) if declaration is not None else {}

    def _settings(
        self, declared: Mapping[str, SettingInfo], block: str | None, taken: frozenset[str], sign: str = " = "
    ) -> Iterator[Completion]:
        """Of a block by its name, or (None) of the sweep."""
        for info in declared.values():
            if info.name not in taken:
                what, path = "a setting of the sweep", info.name
                if block is not None:
                    what, path = f"a setting of `{block}`", f"{block}.{info.name}"
                about = markdown(settings.setting(info, what, path))
                default = settings.short_default(info)
                yield Completion(info.name, "setting", default, about, f"{info.name}{sign}$0")

    # ---- in a sweep

    def _in_sweep(self, header: Header) -> Iterator[Completion]:
        words = self.cursor.words
        match self.cursor.texts:
            case ():
                yield from _STATEMENTS
                yield from self._settings(OWN, None, header.taken)
                yield from self._blocks(".")
                yield from self._lets()
            case ("skip",):
                yield _WHEN
            case ("skip", "when", *_):
                yield from self._condition(words[2:], header)
            case ("expect", *_):
                yield from self._expect(words[1:], header)
            case ("find",):
                for side in FINDS:
                    yield Completion(side, "keyword")
            case ("find", "saturation", *rest):
                yield from self._saturation(words[2:], rest, header)
            case ("find", _, *_):
                yield from self._find(words[2:], header)
            case ("(", *rest) if ")" not in rest:
                yield from self._paths(words[1:])
            case ("(", *rest):
                close = rest.index(")") + 1
                paths = _split(words[1:close])
                yield from self._rows(words[close + 1 :], paths, header)
            case _:
                path, rest_words = _path(words)
                if not rest_words or rest_words[0].text not in ("=", "in"):
                    yield from self._after_path(path, rest_words)
                else:
                    yield from self._value(rest_words[1:], self._type(path, header))

    def _after_path(self, path: Sequence[Written], rest: Sequence[Written]) -> Iterator[Completion]:
        if path and path[-1].text == ".":
            yield from self._settings(self._of_block(path[0].text), path[0].text, frozenset(), "")
        elif path and not rest:
            yield Completion("in", "keyword", "varies: an axis")

    def _rows(self, words: Sequence[Written], paths: list[Sequence[Written]], header: Header) -> Iterator[Completion]:
        """Behind the paths of a grouped axis."""
        if not words:
            yield Completion("in", "keyword", "varies these together", insert="in [\n\t($0),\n]")
            return
        opened = max((i for i, word in enumerate(words) if word.text == "("), default=None)
        if opened is None or ")" in [word.text for word in words[opened:]]:
            return
        row = _split(words[opened + 1 :])
        if len(row) <= len(paths):
            yield from self._value(row[-1], self._type(paths[len(row) - 1], header))

    def _saturation(self, words: Sequence[Written], rest: Sequence[str], header: Header) -> Iterator[Completion]:
        if not rest:
            yield Completion("of", "keyword")
        elif "over" not in rest:
            if len(rest) == 1 or rest[-1] == ".":
                yield from self._measures(words[1:])
            else:
                yield Completion("over", "keyword")
        elif "within" in rest:
            yield from self._value(words[list(rest).index("within") + 1 :], Share())
        else:
            over = list(rest).index("over")
            yield from self._paths(words[over + 1 :])
            if len(rest) > over + 1:
                yield Completion("within", "keyword")

    def _find(self, words: Sequence[Written], header: Header) -> Iterator[Completion]:
        texts = [word.text for word in words]
        if "where" not in texts:
            yield from self._paths(words)
            if texts and texts[-1] != ".":
                yield Completion("where", "keyword")
            return
        last = max(i for i, text in enumerate(texts) if text in ("where", "and"))
        yield from self._expect(words[last + 1 :], header, when=False)

    def _expect(self, words: Sequence[Written], header: Header, when: bool = True) -> Iterator[Completion]:
        texts = [word.text for word in words]
        if "when" in texts:
            yield from self._condition(words[texts.index("when") + 1 :], header)
            return
        operator = next((i for i, text in enumerate(texts) if text in _OPERATORS), None)
        if operator is None:
            yield from self._measures(words)
            return
        info = None
        if self.known is not None:
            path = [word.text for word in words[:operator] if word.text != "."]
            info = measures(self.known, tier=len(path) > 1).get(path[-1] if path else "")
        wanted = _Wanted(info.dimension, info.percent) if info else None
        yield from self._value(words[operator + 1 :], None, wanted)
        if words[operator + 1 :] and words[-1].kind in ("number", "name"):
            yield _WHEN if when else Completion("and", "keyword")

    def _measures(self, words: Sequence[Written]) -> Iterator[Completion]:
        if self.known is None or (words and words[-1].text != "."):
            return
        tier = words[0].text if words else None
        for info in measures(self.known, tier=bool(words)).values():
            unit = "a percentage" if info.percent else str(info.dimension)
            yield Completion(info.name, "measure", unit, markdown(results.measure(info, tier)))
        if not words:
            yield from self._blocks(".", "tier")

    def _condition(self, words: Sequence[Written], header: Header) -> Iterator[Completion]:
        last = max((i for i, word in enumerate(words) if word.text in ("and", "or", "not")), default=-1)
        clause = [word for word in words[last + 1 :] if word.text not in ("(", ")")]
        operator = next((i for i, word in enumerate(clause) if word.text in _OPERATORS), None)
        if operator is None:
            if not clause:
                yield Completion("not", "keyword")
            yield from self._paths(clause)
            return
        yield from self._value(clause[operator + 1 :], self._type(_path(clause[:operator])[0], header))
        if clause[operator + 1 :]:
            yield Completion("and", "keyword")
            yield Completion("or", "keyword")

    def _paths(self, words: Sequence[Written]) -> Iterator[Completion]:
        """Where a path begins or goes on; the last one of several."""
        path = _split(words)[-1] if words else ()
        if not path:
            yield from self._settings(OWN, None, frozenset(), "")
            yield from self._blocks(".")
            yield from self._lets()
        elif path[-1].text == ".":
            yield from self._settings(self._of_block(path[0].text), path[0].text, frozenset(), "")

    def _of_block(self, name: str) -> Mapping[str, SettingInfo]:
        known = self.known
        if known is None:
            return {}
        if known.universe.kinds.get(name) == "sweep":
            return OWN
        built_in = known.definitions.built_ins.get(name)
        return settings_of(built_in.declaration) if built_in is not None else {}

    def _type(self, path: Sequence[Written], header: Header) -> SettingType | None:
        if self.known is None or not path or self.analysis.own is None:
            return None
        names = tuple(word.text for word in path if word.text != ".")
        try:
            return self.known.universe.target(syntax.Path(names, Span(self.analysis.source, 0, 0)), header.name).type
        except ScenarioError:
            return None

    # ---- names and values

    def _blocks(self, tail: str, kind: str | None = None) -> Iterator[Completion]:
        if self.known is None:
            return
        catalogue = self.known.loaded.catalogue
        hidden = {id(item) for item in catalogue.items} if catalogue is not None and kind is None else set()
        for name, block in self.known.definitions.blocks.items():
            if (kind is None and block.kind != "sweep" and id(block) not in hidden) or block.kind == kind:
                chain = self.known.definitions.chains.get(name, (name,))[1:]
                built_in = self.known.definitions.built_ins.get(name)
                of = " : ".join([*chain, *([built_in.name] if built_in else [])])
                yield Completion(name, "block", f"{block.kind} : {of}" if of else block.kind, insert=f"{name}{tail}$0")

    def _lets(self, fits: Callable[[Value], bool] | None = None) -> Iterator[Completion]:
        if self.known is None:
            return
        for name in self.known.definitions.lets:
            item = self.known.lets.get(name)
            if item is not None and (fits is None or fits(item.type.like)):
                yield Completion(name, "let", show_value(item.type.like), say.let(name, self.known))

    def _value(
        self, words: Sequence[Written], kind: SettingType | None, wanted: _Wanted | None = None
    ) -> Iterator[Completion]:
        """A value, of which `words` are written. In a list, its next item."""
        wanted = wanted or _wanted(kind)
        if words and words[-1].kind == "number":
            yield from _units(wanted)
            return
        if words and words[-1].text not in _BEFORE_VALUE:
            return
        inner = kind.item if isinstance(kind, ListOf) else kind
        if isinstance(inner, LetType) and isinstance(inner.like, bool):
            inner = Flag()
        if inner is not None:
            for word in inner.words if not isinstance(inner, LetType) else ():
                yield Completion(word, "word", inner.describe().replace("`", ""))
            if inner.refers_to is not None:
                own = self.cursor.header.name if self.cursor.header is not None else None
                for item in self._blocks("", inner.refers_to):
                    if item.label != own:
                        yield attrs.evolve(item, insert=None)
        if isinstance(inner, Flag) or (inner is None and wanted is None):
            yield Completion("true", "word")
            yield Completion("false", "word")
        yield from self._lets(_fits(inner))
        if not isinstance(inner, _WITHOUT_FUNCTIONS):
            for name, made in FUNCTIONS.items():
                yield Completion(name, "function", made.usage, markdown(language.function(name)), f"{name}($0)")

    # ---- in a string

    def files(self) -> Iterator[Completion]:
        """The files that a string may name, relative to the folder of the text."""
        texts = self.cursor.texts
        if texts and texts[-1] == "use":
            endings: tuple[str, ...] = (".kvs",)
        elif len(texts) > 1 and texts[-1] == "(" and texts[-2] in ("hf", "trace", "secret"):
            endings = (".json",) if texts[-2] == "hf" else ()
        else:
            return
        written = self.cursor.string or ""
        folder, _, _ = written.rpartition("/")
        place = Path(self.analysis.path).parent / folder
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries[:_MOST_FILES]:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield Completion(f"{name}/", "file", "folder")
            elif (not endings or entry.name.endswith(endings)) and entry.path != self.analysis.path:
                yield Completion(name, "file")


_MOST_FILES = 500
#: Types whose values no function makes.
_WITHOUT_FUNCTIONS = (Flag, Word, Reference, String)
_OPERATORS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_BEFORE_VALUE = frozenset({"=", "in", "(", "[", ",", "+", "-", "*", "/", *_OPERATORS})
_WHEN = Completion("when", "keyword")

_STATEMENTS = (
    Completion("skip", "keyword", "drops points", insert="skip when $0"),
    Completion("expect", "keyword", "judges points", insert="expect $0"),
    Completion("find", "keyword", "searches an axis", insert="find $0"),
)

_ITEMS = (
    Completion("use", "keyword", "bring in the catalogue, or a file", insert="use $0"),
    Completion("let", "keyword", "give a value a name", insert="let ${1:name} = $0"),
    *(
        Completion(kind, "keyword", KINDS_OF_BLOCK[kind].about, insert=f"{kind} ${{1:name}}{_tail}")
        for kind in KINDS
        for _tail in (" {\n\t$0\n}" if kind == "sweep" else " : ${2:base} {\n\t$0\n}",)
    ),
)


@attrs.frozen
class _Wanted:
    """What a quantity has to be."""

    dimension: Dimension
    percent: bool = False


def _fits(kind: SettingType | None) -> Callable[[Value], bool] | None:
    """Whether a `let` of this value could stand where a value of this type does; None: any could."""
    if isinstance(kind, Flag):
        return lambda value: isinstance(value, bool)
    if isinstance(kind, Word | Reference):
        return lambda value: isinstance(value, Symbol)
    if isinstance(kind, String):
        return lambda value: isinstance(value, str)
    if isinstance(kind, Measured | Share):
        # In a calculation it may have another dimension.
        return lambda value: isinstance(value, Quantity | tuple)
    return None


def _wanted(kind: SettingType | None) -> _Wanted | None:
    if isinstance(kind, ListOf):
        kind = kind.item
    if isinstance(kind, Share):
        return _Wanted(NUMBER, percent=True)
    if isinstance(kind, Measured):
        return _Wanted(kind.dimension)
    if isinstance(kind, LetType) and isinstance(kind.like, Quantity):
        return _Wanted(kind.like.dimension, kind.like.percent)
    return None


def _units(wanted: _Wanted | None) -> Iterator[Completion]:
    """Those of the dimension that is asked for; where it has none, or is not known, all: a calculation may follow."""
    for unit in UNITS.values():
        if wanted is None or (unit.dimension, unit.percent) == (wanted.dimension, wanted.percent):
            yield Completion(unit.name, "unit", "a percentage" if unit.percent else str(unit.dimension))


def _path(words: Sequence[Written]) -> tuple[Sequence[Written], Sequence[Written]]:
    """(the path that these words begin with, the rest)."""
    end = 0
    while end < len(words) and (words[end].kind == "name" if end % 2 == 0 else words[end].text == "."):
        end += 1
    return words[:end], words[end:]


def _split(words: Sequence[Written]) -> list[Sequence[Written]]:
    """What stands between the commas that are in no other bracket."""
    found: list[list[Written]] = [[]]
    depth = 0
    for word in words:
        depth += (word.text in ("(", "[")) - (word.text in (")", "]"))
        if word.text == "," and depth == 0:
            found.append([])
        else:
            found[-1].append(word)
    return list(found)
