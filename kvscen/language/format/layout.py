"""From the structure of a text to its lines.

Which settings share a line is the author's: a newline between two of them stays, and so does a `;`, as long as the
line fits. A list is on one line where it fits and the author has no newline behind its bracket, and else has one item
to a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from kvscen.language.format.flat import flat, glue, has_comments, has_lines, until_break
from kvscen.language.format.tokens import Comment, Mark
from kvscen.language.format.tree import Block, Group, Item, Nodes, Text, first, last

#: Characters of a line, its comment not counted.
WIDTH = 120

INDENT = 2


@attrs.define
class Line:
    """`code` without its indent, and the comment that ends the line or is all of it. `cells`: the columns of a
    block's header, for the alignment with its neighbours of the same `kind`."""

    indent: int
    code: str = ""
    comment: str | None = None
    blank: bool = False
    below: bool = False
    kind: str = ""
    cells: tuple[str, ...] = ()


def lay_out(text: Text) -> list[Line]:
    layout = _Layout()
    layout.items(text.items)
    layout.comments(text.end.before, 0)
    return layout.lines


class _Layout:
    def __init__(self) -> None:
        self.lines: list[Line] = []

    @property
    def line(self) -> Line:
        return self.lines[-1]

    def new(self, indent: int, blank: bool = False) -> None:
        self.lines.append(Line(indent, blank=blank))

    def comments(self, comments: Iterable[Comment], indent: int, opening: bool = False) -> None:
        """Comments on lines of their own. `opening`: they come first, so that no blank line precedes them."""
        for i, comment in enumerate(comments):
            blank = comment.blank and not (opening and i == 0)
            self.lines.append(Line(indent, comment=comment.text, blank=blank, below=comment.below))

    def begin(self, mark: Mark, indent: int, opening: bool = False) -> None:
        """The comments before a mark, and the line that it begins."""
        self.comments(mark.before, indent, opening)
        self.new(indent, mark.blank and not (opening and not mark.before))

    # ---- items

    def items(self, items: Sequence[Item]) -> None:
        signs = _sign_columns([() if isinstance(item, Block) else (item,) for item in items])
        for i, item in enumerate(items):
            self.begin(first(item.header if isinstance(item, Block) else item), 0, opening=i == 0)
            if isinstance(item, Block):
                self.block(item)
            else:
                self.nodes(item, sign=signs[i])

    def block(self, block: Block) -> None:
        moved = [comment for comment in (last(block.header).after, *(c.text for c in block.open.before)) if comment]
        moved += [block.open.after] if block.open.after else []
        if has_lines(block.header):
            self.nodes(block.header)
            # The comment behind the header is among those that move behind the brace.
            self.line.comment = None
        else:
            self.header(block)
        if not moved and _on_one_line(block):
            self.line.code += flat_body(block)
            self.line.cells += tuple(body_cells(block)) if self.line.cells else ()
            self.line.comment = block.close.after
            return
        self.line.code += " {"
        self.line.comment = moved[0] if moved else None
        self.comments((Comment(text) for text in moved[1:]), INDENT)
        self.body(block, plain=len(moved) > 1)
        self.comments(block.close.before, INDENT, opening=not block.body)
        self.new(0)
        self.line.code = block.close.text
        self.line.comment = block.close.after

    def header(self, block: Block) -> None:
        """KIND NAME and : BASE are columns."""
        self.line.code = flat(block.header)
        self.line.kind = first(block.header).text
        self.line.cells = (flat(block.header[:2]), flat(block.header[2:]))

    def body(self, block: Block, plain: bool) -> None:
        rows = _rows(block.body)
        signs = _sign_columns(rows)
        for i, row in enumerate(rows):
            mark = first(row[0])
            if i == 0 and plain:
                mark = attrs.evolve(mark, before=_plain(mark.before))
            self.begin(mark, INDENT, opening=i == 0)
            for j, statement in enumerate(row):
                if j:
                    self.line.code += "; "
                self.nodes(statement, sign=signs[i])

    # ---- words

    def nodes(self, nodes: Nodes, sign: int = 0, tail: int = 0) -> None:
        """Behind what stands in the line. `sign`: the column of `=` or `in`; `tail`: what must fit behind the last
        one."""
        further = self.line.indent + INDENT
        signed = _sign(nodes) if sign else None
        for i, node in enumerate(nodes):
            mark = node if isinstance(node, Mark) else node.open
            space = glue(nodes, i)
            if i and (mark.before or self.line.comment is not None):
                # Within brackets only: elsewhere a comment ends the statement.
                self.comments(_plain(mark.before), further)
                self.new(further)
                space = ""
            if i == signed:
                self.line.code = self.line.code.ljust(sign)
            if isinstance(node, Mark):
                self.line.code += space + node.text
                self.line.comment = node.after
            else:
                self.line.code += space
                self.group(node, until_break(nodes, i + 1, tail))

    def group(self, group: Group, tail: int) -> None:
        if has_comments((group,)):
            self.broken(group)
            return
        text = flat((group,))
        if not has_lines((group,)) and (
            self.line.indent + len(self.line.code) + len(text) + tail <= WIDTH or not group.items
        ):
            self.line.code += text
            self.line.comment = group.close.after
        elif group.listed:
            self.broken(group)
        else:
            self.line.code += group.open.text
            self.nodes(group.items[0], tail=tail + 1)
            self.line.code += group.close.text
            self.line.comment = group.close.after

    def broken(self, group: Group) -> None:
        """One item to a line."""
        base = self.line.indent
        self.line.code += group.open.text
        self.line.comment = group.open.after
        for i, item in enumerate(group.items):
            self.begin(first(item), base + INDENT, opening=i == 0)
            self.nodes(item, tail=1)
            if group.listed:
                self.line.code += ","
        self.comments(group.close.before, base + INDENT, opening=not group.items)
        self.new(base)
        self.line.code = group.close.text
        self.line.comment = group.close.after


def flat_body(block: Block) -> str:
    """` { a = 1; b = 2 }`"""
    return " " + " ".join(body_cells(block))


def body_cells(block: Block) -> list[str]:
    """A body on one line, cut behind each `;`."""
    statements = [flat(statement) for statement in block.body]
    if not statements:
        return ["{ }"]
    cells = [f"{statement};" for statement in statements[:-1]] + [f"{statements[-1]} }}"]
    return ["{ " + cells[0], *cells[1:]]


def _on_one_line(block: Block) -> bool:
    """Whether the author has it so (or has nothing in it) and it fits."""
    if block.close.before or any(
        first(statement).before or last(statement).after or has_lines(statement) for statement in block.body
    ):
        return False
    if any(first(statement).newline for statement in block.body) or (block.body and block.close.newline):
        return False
    return len(flat(block.header)) + len(flat_body(block)) <= WIDTH


def _rows(body: Sequence[Nodes]) -> list[tuple[Nodes, ...]]:
    """The statements that stand on one line: as the author has them, and each on its own where that is too long or
    where they stood behind the brace of a block that takes several lines."""
    rows: list[list[Nodes]] = []
    for statement in body:
        if rows and not first(statement).newline:
            rows[-1].append(statement)
        else:
            rows.append([statement])
    found: list[tuple[Nodes, ...]] = []
    for row in rows:
        width = INDENT + sum(len(flat(statement)) + 2 for statement in row) - 2
        if first(row[0]).newline and width <= WIDTH and not any(has_lines(statement) for statement in row):
            found.append(tuple(row))
        else:
            found += [(statement,) for statement in row]
    return found


def _sign(nodes: Nodes) -> int | None:
    """Where the `=` or `in` of a statement is; None where it has none, or begins with a group of paths."""
    if isinstance(nodes[0], Group):
        return None
    for i, node in enumerate(nodes):
        if isinstance(node, Mark) and node.kind in ("EQUAL", "_IN"):
            return i
    return None


def _sign_columns(rows: Sequence[tuple[Nodes, ...]]) -> list[int]:
    """For each row the column of its `=` or `in`: one column for all rows between two blank lines. Rows of several
    statements, and those that are neither settings nor axes, have none (0). An empty row stands for a block, which
    ends what belongs together."""
    columns: list[int] = []
    start = 0
    for i, row in enumerate(rows):
        if not row or _blank(first(row[0])) or not rows[i - 1]:
            _level(columns, start)
            start = i
        sign = _sign(row[0]) if len(row) == 1 else None
        columns.append(len(flat(row[0][:sign])) if sign else 0)
    _level(columns, start)
    return columns


def _level(columns: list[int], start: int) -> None:
    width = max(columns[start:], default=0)
    columns[start:] = [width if column else 0 for column in columns[start:]]


def _blank(mark: Mark) -> bool:
    return mark.blank or any(comment.blank for comment in mark.before)


def _plain(comments: tuple[Comment, ...]) -> tuple[Comment, ...]:
    """Where a comment's place has changed, those below it have nothing to be in line with."""
    return tuple(Comment(comment.text) for comment in comments)
