"""Another name for a block or a `let`, everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import attrs

from kvscen.language.define import reserved
from kvscen.language.diagnose import Diagnostic, Severity
from kvscen.lsp.analysis import Analysis, analyse, catalogue_path
from kvscen.lsp.definition import defined, references
from kvscen.lsp.names import occurrence_at
from kvscen.lsp.pieces import Parser

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: Words that a value cannot be called by.
_VALUES = frozenset({"true", "false", "not"})


@attrs.frozen
class Edit:
    """Replace [start, end) of the file `path`, whose text is `text`."""

    path: str
    text: str = attrs.field(repr=False)
    start: int
    end: int
    replacement: str


class Refused(Exception):
    """It cannot be renamed, or not to this. The message is for the user."""


def renamable(analysis: Analysis, offset: int) -> tuple[str, int, int]:
    """The name at an offset, and where it stands. Raises Refused."""
    item = occurrence_at(analysis, offset)
    place = analysis.here(item.span) if item is not None else None
    if item is None or place is None:
        raise Refused("only the names of blocks and `let`s can be renamed, and here is none")
    if item.kind != "name":
        what = {"built_in": "a driver, family or type", "file": "a file"}.get(item.kind, f"a {item.kind}")
        raise Refused(f"`{item.name}` is {what}: only the names of blocks and `let`s can be renamed")
    home = defined(analysis, item.name)
    if home is None:
        raise Refused(f"`{item.name}` is defined in no file that can be changed")
    if home.path == catalogue_path():
        raise Refused(f"`{item.name}` is a model of the shipped catalogue; base one of your own on it")
    return item.name, *place


def rename(
    analysis: Analysis, offset: int, new: str, users: Iterable[Analysis] = (), others: Mapping[str, str] | None = None
) -> tuple[Edit, ...]:
    """The edits that give the name at an offset another one. `users` are analyses of other texts; those that use the
    file in which it is defined are changed too. `others` are the texts that the editor holds. Raises Refused."""
    name, _, _ = renamable(analysis, offset)
    if new == name:
        return ()
    home = defined(analysis, name)
    assert home is not None
    affected = [analysis, *(user for user in users if user.path == home.path or home.path in user.paths)]
    affected = [user for user in affected if user is analysis or defined(user, name) is not None]
    for user in affected:
        _check(user, name, new)
    edits = dict.fromkeys(
        Edit(place.path, place.text, place.start, place.end, new)
        for user in affected
        for place in references(user, name)
    )
    done = tuple(sorted(edits, key=lambda edit: (edit.path, edit.start)))
    for user in affected:
        _try(user, done, new, others or {})
    return done


def _check(analysis: Analysis, name: str, new: str) -> None:
    if not _NAME.match(new):
        raise Refused(f"`{new}` is no name: letters, digits and `_`, and no digit first")
    if new in _VALUES:
        raise Refused(f"`{new}` is a word of the language")
    known = analysis.known
    assert known is not None, "a name was found"
    definitions = known.definitions
    if new in definitions.blocks or new in definitions.lets:
        other = definitions.blocks.get(new)
        raise Refused(f"`{new}` is taken: it is {f'a {other.kind}' if other else 'a `let`'} already")
    item = definitions.blocks.get(name) or definitions.lets[name]
    taken = reserved(new, item, analysis.registry)
    if taken is not None:
        raise Refused(f"`{new}` is the name of {taken}")


def _try(analysis: Analysis, edits: Sequence[Edit], new: str, others: Mapping[str, str]) -> None:
    """Nothing may be wrong afterwards that was not wrong before: the new name could be a word of a setting, or hide
    another name."""
    texts = {**others, analysis.path: analysis.source.text}
    texts.update(applied(edits))
    own = texts.pop(analysis.path)
    after = analyse(analysis.path, own, Parser(), texts, analysis.registry)
    before = [item.code for item in _errors(analysis)]
    for item in _errors(after):
        if item.code in before:
            before.remove(item.code)
        else:
            raise Refused(f"it cannot be called `{new}`: then {item.message}")


def applied(edits: Iterable[Edit]) -> dict[str, str]:
    """The texts of the files after the edits, by their paths."""
    texts: dict[str, str] = {}
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = texts.get(edit.path, edit.text)
        texts[edit.path] = text[: edit.start] + edit.replacement + text[edit.end :]
    return texts


def _errors(analysis: Analysis) -> list[Diagnostic]:
    return [item for item in analysis.diagnostics if item.severity is Severity.ERROR]
