"""Read a text that the grammar refused piece by piece, so that all its problems are found in one go.

A piece is what the grammar can read on its own: the version line, an item without braces, a block's header, a
statement. Where one ends is guessed from newlines, `;` and brackets, and from what the next line looks like when a
bracket was forgotten.
"""

from __future__ import annotations

import contextlib
from typing import Any

import attrs

from kvscen.language.ahead import Ahead
from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Source, Span
from kvscen.language.mistakes.layouts import braced, dashed, indented, is_version, section
from kvscen.language.pieces import parse_piece
from kvscen.language.scan import KINDS, scan
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
class _Reader(Ahead):
    at: int = 0
    version: int | None = None
    items: list[Item] = attrs.field(factory=list)
    problems: list[Diagnostic] = attrs.field(factory=list)
    #: A problem outside of statements was found: an item may be lost.
    lost: bool = False
    #: A setting outside of the blocks has been reported, and no block came since: its neighbours are the same mistake.
    _astray: bool = False

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
        sign = self.text(bracket)
        close = {"(": ")", "[": "]", "{": "}"}[sign]
        self._report(
            diagnostic(
                "KVS022",
                f"this `{sign}` is never closed",
                self.span(bracket),
                label="opened here",
                help=f"write the closing `{close}`",
            )
        )

    def read(self) -> None:
        self.at = self.past_newlines(0)
        if not self._read_version():
            return
        while self.at < len(self.words):
            if self.text(self.at) == ";" or self.kind(self.at) == "newline":
                self.at += 1
            elif self.text(self.at) in ("}", ")", "]"):
                if not (self._astray and self.text(self.at) == "}"):
                    self._report(
                        diagnostic(
                            "KVS023",
                            f"this `{self.text(self.at)}` closes nothing",
                            self.span(self.at),
                            help="remove it, or look for one too many above",
                        )
                    )
                self.at += 1
            else:
                self._read_item()

    def _read_version(self) -> bool:
        """False where the file is of another version: nothing more can be said about it."""
        if self.text(self.at) != "kvs":
            if self.text(self.at) == "{" and self.kind(self.past_newlines(self.at + 1)) == "string":
                self._report(
                    diagnostic(
                        "KVS010",
                        "this is JSON, and a scenario is written otherwise",
                        self.span(self.at),
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
            if is_version(self.text(self.at)) and not self.is_item(self.at):
                self.at, _ = self.piece_end(self.at)
            return True
        end, _ = self.piece_end(self.at)
        self.version = self._parse("version", self.at, end)
        self.at = end
        return self.version is not None or self.problems[-1].code != "KVS011"

    def _read_item(self) -> None:
        first = self.at
        end, bracket = self.piece_end(first)
        brace = self.past_newlines(end)
        plain = self.text(first) in ("let", "use", "kvs")
        if bracket is None and self.text(brace) == "{" and not plain:
            self._astray = False
            self._read_block(first, end, brace)
            return
        self.at = max(end, first + 1)
        below = self.indented(first, end)
        if self.text(first) == "[" and self.text(end - 1) == "]":
            self._report(section(self.source, self.words[first:end]))
            self._skip_section()
        elif below > end:
            self._report(indented(self.source, self.words[first:end], self.words[end:below]))
            self.at = below
        elif bracket is not None:
            self._report_open(bracket)
        elif self.text(end) == "{":
            self._report(
                diagnostic("KVS020", f"`{self.text(first)}` has no braces", self.span(end), help="a list stands in [ ]")
            )
            self.at = self.skip_braces(end)
        elif self.text(first) == "kvs":
            self._report(
                diagnostic(
                    "KVS010",
                    "the version stands once, at the beginning of the file",
                    self.span(first, end - 1),
                    help="remove this line, or make it the first one",
                )
            )
        elif self.text(first) in KINDS and not self.is_assignment(first):
            self._astray = False
            self._read_headless(first, end)
        elif self.is_assignment(first) or self.text(first) in ("skip", "expect", "find", "("):
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
            line = self.past_newlines(self.at)
            if line >= len(self.words) or self.text(line) == "[" or self.is_item(line):
                return
            self.at = max(self.piece_end(line)[0], line + 1)

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
        following = self.past_newlines(end)
        if self.text(following) == "}" or (self.is_assignment(following) and not self.is_item(following)):
            body = self._read_body(header, None)
            if header is not None:
                self.items.append(attrs.evolve(header, body=body, span=self.span(first, self.at - 1)))

    def _read_block(self, first: int, header_end: int, brace: int) -> None:
        self.at = brace + 1
        header: Block | None = None
        if header_end == first:
            self._report(
                diagnostic(
                    "KVS020",
                    "these braces belong to no block",
                    self.span(brace),
                    help="a block begins with its kind and its name: tier disk : posix { ... }",
                )
            )
        else:
            header = self._parse("header", first, header_end)
        body = self._read_body(header, brace)
        if header is not None:
            self.items.append(attrs.evolve(header, body=body, span=self.span(first, self.at - 1)))
        if self.text(self.at - 1) == "}" and self.kind(self.at) != "newline" and self.text(self.at) not in (";", "}"):
            self._report_follower()

    def _report_follower(self) -> None:
        """What stands behind a block, on the line of its `}`."""
        if self.is_item(self.at):
            self._report(
                diagnostic(
                    "KVS021",
                    "two blocks on one line need a `;` between them",
                    self.span(self.at),
                    label="a second one starts here",
                    help="start a new line, or write `;` before it",
                )
            )
            return
        self._report(
            diagnostic(
                "KVS023",
                "the block ends at this `}`, and more stands behind it",
                self.span(self.at - 1),
                help="remove the brace, or start a new line behind it",
            )
        )
        self._astray = True
        self.at, _ = self.piece_end(self.at)

    def _read_body(self, header: Block | None, brace: int | None) -> tuple[Statement, ...]:
        """Statements up to and with the `}`."""
        found: list[Statement] = []
        nested = False
        while True:
            self.at = self.past_newlines(self.at)
            if self.text(self.at) == "}":
                self.at += 1
                return tuple(found)
            if self.at >= len(self.words) or (self.is_item(self.at) and self.missing_braces(self.at)):
                if brace is not None:
                    self._report_open_block(header, brace)
                return tuple(found)
            if self.text(self.at) == ";":
                self.at += 1
                continue
            if self.is_item(self.at) and self.text(self.at) not in ("let", "use"):
                if not nested:
                    self._report(
                        diagnostic(
                            "KVS020",
                            "a block cannot stand inside another",
                            self.span(self.at, self.at + 1),
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
            related = ((self.span(self.at), "the next block starts here"),)
        self._report(
            diagnostic(
                "KVS022",
                f"the `{{`{of} is never closed",
                self.span(brace),
                label="opened here",
                help="write `}` behind the last setting of the block",
                related=related,
            )
        )

    def _dashed(self, index: int) -> list[Span]:
        """What stands behind the `-` of the lines from here on that begin with one; they are read."""
        found: list[Span] = []
        index = self.past_newlines(index)
        while self.text(index) == "-":
            self.at = max(self.piece_end(index)[0], index + 1)
            found.append(Span(self.source, self.words[index].end, self.words[self.at - 1].end))
            index = self.past_newlines(self.at)
        return found

    def _read_statement(self, header: Block | None) -> Statement | None:
        first = self.at
        end, bracket = self.piece_end(first)
        self.at = max(end, first + 1)
        if self.text(first) == "-" or self.text(end - 1) in (":", "=", "in"):
            items = self._dashed(first if self.text(first) == "-" else end)
            if items:
                before = () if self.text(first) == "-" else self.words[first:end]
                self._report(dashed(self.source, before, items, header is not None and header.kind == "sweep"))
                return None
        if bracket is not None:
            self._report_open(bracket)
            return None
        if self.text(end) == "{":
            self.at = self.skip_braces(end)
            self._report(braced(self.source, self.words[first : self.at], end - first))
            end, _ = self.piece_end(self.at)
            self.at = end
            return None
        node: Statement | None = self._parse("statement", first, self.at)
        return node
