"""Read a text that the grammar refused piece by piece, so that all its problems are found in one go.

A piece is what the grammar can read on its own: the version line, an item without braces, a block's header, a
statement. Where one ends is guessed from newlines, `;` and brackets, and from what the next line looks like when a
bracket was forgotten.
"""

from __future__ import annotations

import contextlib
from typing import Any

import attrs

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Source, Span
from kvscen.language.mistakes.layouts import braced, dashed, indented, is_version, section
from kvscen.language.pieces import parse_piece
from kvscen.language.scan import FINDS, KINDS, Word, scan
from kvscen.language.syntax import Block, Document, Item, Statement

#: Nobody reads more, and a file with more is no scenario.
MAX_PROBLEMS = 100


class _TooMany(Exception):
    """MAX_PROBLEMS is reached."""


def recover(source: Source) -> tuple[Document, tuple[Diagnostic, ...]]:
    """The document of what could be read, and every problem found, in the order of the text."""
    reader = _Reader(source, list(scan(source.text)))
    with contextlib.suppress(_TooMany):
        reader.read()
    problems = sorted(dict.fromkeys(reader.problems), key=lambda d: d.span.start if d.span else 0)
    return Document(source, reader.version, tuple(reader.items), not reader.lost), tuple(problems)


@attrs.define
class _Reader:
    source: Source
    words: list[Word]
    at: int = 0
    version: int | None = None
    items: list[Item] = attrs.field(factory=list)
    problems: list[Diagnostic] = attrs.field(factory=list)
    #: A problem outside of statements was found: an item may be lost.
    lost: bool = False
    #: A setting outside of the blocks has been reported, and no block came since: its neighbours are the same mistake.
    _astray: bool = False

    # ---- looking ahead

    def _text(self, index: int) -> str:
        return self.words[index].text if index < len(self.words) else ""

    def _kind(self, index: int) -> str:
        return self.words[index].kind if index < len(self.words) else "newline"

    def _span(self, first: int, last: int | None = None) -> Span:
        return Span(self.source, self.words[first].start, self.words[first if last is None else last].end)

    def _past_newlines(self, index: int) -> int:
        while index < len(self.words) and self.words[index].kind == "newline":
            index += 1
        return index

    def _is_assignment(self, index: int) -> bool:
        """`a.b =` or `a.b in`."""
        if self._kind(index) != "name":
            return False
        index += 1
        while self._text(index) == "." and self._kind(index + 1) == "name":
            index += 2
        return self._text(index) in ("=", "in")

    def _is_item(self, index: int) -> bool:
        """`tier x :`, `tier x {`, `let x =`, `use models`."""
        if self._kind(index) != "name":
            return False
        word, after = self._text(index), self._text(index + 2)
        if word == "let":
            return self._kind(index + 1) == "name" and after == "="
        if word == "use":
            return self._kind(index + 1) in ("name", "string") and self._kind(index + 2) == "newline"
        named = self._kind(index + 1) == "name" and not (self._text(index + 1) == "in" and after == "{")
        return named and after in (":", "{")

    def _is_start(self, index: int) -> bool:
        """Surely not the continuation of a value in brackets."""
        index = self._past_newlines(index)
        if self._text(index) == "}" or self._is_assignment(index) or self._is_item(index):
            return True
        word, after = self._text(index), self._text(index + 1)
        return (
            (word, after) == ("skip", "when")
            or (word == "expect" and self._kind(index + 1) == "name")
            or (word == "find" and after in FINDS)
        )

    def _ends_line(self, index: int) -> bool:
        return self._kind(index) == "newline" or self._text(index) == "}"

    def _piece_end(self, index: int) -> tuple[int, int | None]:
        """(the index behind the piece that begins here, the bracket that is open there and will not be closed)."""
        open_brackets: list[int] = []
        while index < len(self.words):
            word = self.words[index]
            if word.kind == "open_string":
                # It may have swallowed the closing bracket.
                end = next((i for i in range(index, len(self.words)) if self._ends_line(i)), len(self.words))
                return end, None
            if word.kind == "newline" or (word.text == ";" and open_brackets):
                if not open_brackets or self._is_start(index + 1):
                    break
            elif word.text in ("(", "["):
                open_brackets.append(index)
            elif word.text in (")", "]"):
                if open_brackets:
                    open_brackets.pop()
            elif word.text == "{" and open_brackets and self._skip_braces(index) > index + 1:
                index = self._skip_braces(index)  # `[{ a = 1 }, ...]`
                continue
            elif word.text == "}" or (word.text in (";", "{") and not open_brackets):
                break
            index += 1
        return index, open_brackets[-1] if open_brackets else None

    def _skip_braces(self, index: int) -> int:
        """The index behind the `}` that closes the `{` here, or behind the `{` where none does."""
        depth = 0
        for behind, word in enumerate(self.words[index:], start=index + 1):
            depth += {"{": 1, "}": -1}.get(word.text, 0)
            if depth == 0:
                return behind
        return index + 1

    def _dashed(self, index: int) -> list[Span]:
        """What stands behind the `-` of the lines from here on that begin with one; they are read."""
        found: list[Span] = []
        index = self._past_newlines(index)
        while self._text(index) == "-":
            self.at = max(self._piece_end(index)[0], index + 2)
            found.append(self._span(min(index + 1, len(self.words) - 1), min(self.at, len(self.words)) - 1))
            index = self._past_newlines(self.at)
        return found

    def _indented(self, first: int, end: int) -> int:
        """The index behind the lines below `tier disk:` that stand further to the right, or begin with `-`; `end` where
        it is no such block."""
        if self._text(end - 1) != ":" or self._kind(end) != "newline":
            return end
        own, behind = self._column(first), end
        while behind < len(self.words):
            line = self._past_newlines(behind)
            if line >= len(self.words) or self._column(line) < own:
                break
            if self._column(line) == own and (self._text(line) != "-" or self._text(first) == "-"):
                break
            behind = next((i for i in range(line, len(self.words)) if self._kind(i) == "newline"), len(self.words))
        return behind

    def _column(self, index: int) -> int:
        return self.source.position(self.words[index].start)[1]

    def _missing_braces(self, index: int) -> bool:
        """Fewer braces are closed than opened from here on, counting one that is open."""
        rest = [word.text for word in self.words[index:] if word.kind == "sign"]
        return rest.count("}") < rest.count("{") + 1

    # ---- reading

    def _report(self, problem: Diagnostic) -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems.append(
                diagnostic(
                    "KVS020",
                    f"more than {MAX_PROBLEMS} problems: the rest of the file was not read",
                    problem.span,
                    help="is this a scenario?",
                )
            )
            raise _TooMany
        self.problems.append(problem)
        self.lost = True

    def _parse(self, start: str, first: int, behind: int) -> Any | None:
        """The node of a piece; its problem is reported."""
        node, problems = parse_piece(start, self.source, self.words[first].start, self.words[behind - 1].end)
        for problem in problems:
            self._report(problem)
        return node

    def _report_open(self, bracket: int) -> None:
        sign = self._text(bracket)
        close = {"(": ")", "[": "]", "{": "}"}[sign]
        self._report(
            diagnostic(
                "KVS022",
                f"this `{sign}` is never closed",
                self._span(bracket),
                label="opened here",
                help=f"write the closing `{close}`",
            )
        )

    def read(self) -> None:
        self.at = self._past_newlines(0)
        if not self._read_version():
            return
        while self.at < len(self.words):
            if self._text(self.at) == ";" or self._kind(self.at) == "newline":
                self.at += 1
            elif self._text(self.at) in ("}", ")", "]"):
                if not (self._astray and self._text(self.at) == "}"):
                    self._report(
                        diagnostic(
                            "KVS023",
                            f"this `{self._text(self.at)}` closes nothing",
                            self._span(self.at),
                            help="remove it, or look for one too many above",
                        )
                    )
                self.at += 1
            else:
                self._read_item()

    def _read_version(self) -> bool:
        """False where the file is of another version: nothing more can be said about it."""
        if self._text(self.at) != "kvs":
            if self._text(self.at) == "{" and self._kind(self._past_newlines(self.at + 1)) == "string":
                self._report(
                    diagnostic(
                        "KVS010",
                        "this is JSON, and a scenario is written otherwise",
                        self._span(self.at),
                        help="`kvscen new` writes one to begin with",
                    )
                )
                return False
            place = self.words[self.at].start if self.at < len(self.words) else len(self.source.text)
            length = len(self.words[self.at].text.splitlines()[0]) if self.at < len(self.words) else 0
            self._report(
                diagnostic(
                    "KVS010",
                    "the file does not begin with its version",
                    Span(self.source, place, place + length),
                    help="write `kvs 1` as the first line",
                    fix=Fix(Span(self.source, 0, 0), "kvs 1\n"),
                )
            )
            if is_version(self._text(self.at)) and not self._is_item(self.at):
                self.at, _ = self._piece_end(self.at)
            return True
        end, _ = self._piece_end(self.at)
        self.version = self._parse("version", self.at, end)
        self.at = end
        return self.version is not None or self.problems[-1].code != "KVS011"

    def _read_item(self) -> None:
        first = self.at
        end, bracket = self._piece_end(first)
        brace = self._past_newlines(end)
        plain = self._text(first) in ("let", "use", "kvs")
        if bracket is None and self._text(brace) == "{" and not plain:
            self._astray = False
            self._read_block(first, end, brace)
            return
        self.at = max(end, first + 1)
        below = self._indented(first, end)
        if self._text(first) == "[" and self._text(end - 1) == "]":
            self._report(section(self.source, self.words[first:end]))
            self._skip_section()
        elif below > end:
            self._report(indented(self.source, self.words[first:end], self.words[end:below]))
            self.at = below
        elif bracket is not None:
            self._report_open(bracket)
        elif self._text(end) == "{":
            self._report(
                diagnostic(
                    "KVS020", f"`{self._text(first)}` has no braces", self._span(end), help="a list stands in [ ]"
                )
            )
            self.at = self._skip_braces(end)
        elif self._text(first) == "kvs":
            self._report(
                diagnostic(
                    "KVS010",
                    "the version stands once, at the beginning of the file",
                    self._span(first, end - 1),
                    help="remove this line, or make it the first one",
                )
            )
        elif self._text(first) in KINDS and not self._is_assignment(first):
            self._astray = False
            self._read_headless(first, end)
        elif self._is_assignment(first) or self._text(first) in ("skip", "expect", "find", "("):
            if not self._astray:
                self._parse("item", first, self.at)
            self._astray = True
        else:
            self._astray = False
            node = self._parse("item", first, self.at)
            if node is not None:
                self.items.append(node)

    def _skip_section(self) -> None:
        """Past the lines of an INI or a TOML file that belong to the `[section]` before them."""
        while True:
            line = self._past_newlines(self.at)
            if line >= len(self.words) or self._text(line) == "[" or self._is_item(line):
                return
            self.at = max(self._piece_end(line)[0], line + 1)

    def _read_headless(self, first: int, end: int) -> None:
        """A header without its `{`, and the body if one seems to follow."""
        header = self._parse("header", first, end)
        if header is not None:
            self._report(
                diagnostic(
                    "KVS022",
                    f"the `{{` of {header.kind} `{header.name.name}` is missing",
                    Span(self.source, self.words[end - 1].end, self.words[end - 1].end),
                    label="it belongs here",
                    help="write `{ }` where a block changes nothing",
                )
            )
        following = self._past_newlines(end)
        if self._text(following) == "}" or (self._is_assignment(following) and not self._is_item(following)):
            body = self._read_body(header, None)
            if header is not None:
                self.items.append(attrs.evolve(header, body=body, span=self._span(first, self.at - 1)))

    def _read_block(self, first: int, header_end: int, brace: int) -> None:
        self.at = brace + 1
        header: Block | None = None
        if header_end == first:
            self._report(
                diagnostic(
                    "KVS020",
                    "these braces belong to no block",
                    self._span(brace),
                    help="a block begins with its kind and its name: tier disk : posix { ... }",
                )
            )
        else:
            header = self._parse("header", first, header_end)
        body = self._read_body(header, brace)
        if header is not None:
            self.items.append(attrs.evolve(header, body=body, span=self._span(first, self.at - 1)))
        if (
            self._text(self.at - 1) == "}"
            and self._kind(self.at) != "newline"
            and self._text(self.at) not in (";", "}")
        ):
            self._report_follower()

    def _report_follower(self) -> None:
        """What stands behind a block, on the line of its `}`."""
        if self._is_item(self.at):
            self._report(
                diagnostic(
                    "KVS021",
                    "two blocks on one line need a `;` between them",
                    self._span(self.at),
                    label="a second one starts here",
                    help="start a new line, or write `;` before it",
                )
            )
            return
        self._report(
            diagnostic(
                "KVS023",
                "the block ends at this `}`, and more stands behind it",
                self._span(self.at - 1),
                help="remove the brace, or start a new line behind it",
            )
        )
        self._astray = True
        self.at, _ = self._piece_end(self.at)

    def _read_body(self, header: Block | None, brace: int | None) -> tuple[Statement, ...]:
        """Statements up to and with the `}`."""
        found: list[Statement] = []
        nested = False
        while True:
            self.at = self._past_newlines(self.at)
            if self._text(self.at) == "}":
                self.at += 1
                return tuple(found)
            if self.at >= len(self.words) or (self._is_item(self.at) and self._missing_braces(self.at)):
                if brace is not None:
                    self._report_open_block(header, brace)
                return tuple(found)
            if self._text(self.at) == ";":
                self.at += 1
                continue
            if self._is_item(self.at) and self._text(self.at) not in ("let", "use"):
                if not nested:
                    self._report(
                        diagnostic(
                            "KVS020",
                            "a block cannot stand inside another",
                            self._span(self.at, self.at + 1),
                            help="close the outer block first: blocks stand side by side and name each other",
                        )
                    )
                nested = True
                self._read_item()
                continue
            lost = self.lost
            statement = self._read_statement(header)
            self.lost = lost
            if statement is not None:
                found.append(statement)

    def _report_open_block(self, header: Block | None, brace: int) -> None:
        of = f" of {header.kind} `{header.name.name}`" if header else ""
        related: tuple[tuple[Span, str], ...] = ()
        if self.at < len(self.words):
            related = ((self._span(self.at), "the next block starts here"),)
        self._report(
            diagnostic(
                "KVS022",
                f"the `{{`{of} is never closed",
                self._span(brace),
                label="opened here",
                help="write `}` behind the last setting of the block",
                related=related,
            )
        )

    def _read_statement(self, header: Block | None) -> Statement | None:
        first = self.at
        end, bracket = self._piece_end(first)
        self.at = max(end, first + 1)
        if self._text(first) == "-" or self._text(end - 1) in (":", "=", "in"):
            items = self._dashed(first if self._text(first) == "-" else end)
            if items:
                before = () if self._text(first) == "-" else self.words[first:end]
                self._report(dashed(self.source, before, items, header is not None and header.kind == "sweep"))
                return None
        if bracket is not None:
            self._report_open(bracket)
            return None
        if self._text(end) == "{":
            self.at = self._skip_braces(end)
            self._report(braced(self.source, self.words[first : self.at], end - first))
            end, _ = self._piece_end(self.at)
            self.at = end
            return None
        node: Statement | None = self._parse("statement", first, self.at)
        return node
