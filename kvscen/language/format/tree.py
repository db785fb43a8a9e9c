"""Marks grouped by brackets into statements and blocks: as much structure as the layout needs."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from kvscen.language.format.tokens import Mark


@attrs.frozen
class Group:
    """( ) or [ ] with its items. `listed`: the items are separated by commas, and may stand one to a line; `single`:
    a row of one item, whose comma must stay; `call`: the brackets belong to the name before."""

    open: Mark
    items: tuple[Nodes, ...]
    close: Mark
    listed: bool
    single: bool
    call: bool


Node: TypeAlias = Mark | Group
Nodes: TypeAlias = tuple[Node, ...]


@attrs.frozen
class Block:
    header: Nodes
    open: Mark
    body: tuple[Nodes, ...]
    close: Mark


Item: TypeAlias = Nodes | Block


@attrs.frozen
class Text:
    """A whole text: its items, the version line first, and the mark of its end, which may have comments before it."""

    items: tuple[Item, ...]
    end: Mark


def group(marks: tuple[Mark, ...]) -> Text:
    """The structure of a well-formed text."""
    return _Grouper(marks).text()


def statement(marks: tuple[Mark, ...]) -> Nodes:
    """The structure of a well-formed statement by itself."""
    return _Grouper(marks).statement(block=False)


def first(nodes: Nodes) -> Mark:
    node = nodes[0]
    return node if isinstance(node, Mark) else node.open


def last(nodes: Nodes) -> Mark:
    node = nodes[-1]
    return node if isinstance(node, Mark) else node.close


def marks_of(nodes: Nodes) -> list[Mark]:
    found: list[Mark] = []
    for node in nodes:
        if isinstance(node, Mark):
            found.append(node)
        else:
            found += [node.open, *(mark for item in node.items for mark in marks_of(item)), node.close]
    return found


class _Grouper:
    def __init__(self, marks: tuple[Mark, ...]) -> None:
        self.marks = marks
        self.at = 0

    def take(self) -> Mark:
        mark = self.marks[self.at]
        self.at += 1
        return mark

    @property
    def next(self) -> Mark:
        return self.marks[self.at]

    def text(self) -> Text:
        items: list[Item] = []
        while self.next.kind != "END":
            items.append(self.item())
        return Text(tuple(items), self.next)

    def item(self) -> Item:
        """The version, a `use`, a `let` or a block: each begins with a word that begins nothing else."""
        nodes = self.statement(block=self.next.kind == "KIND")
        if self.next.kind != "LBRACE":
            return nodes
        open = self.take()
        body: list[Nodes] = []
        while self.next.kind != "RBRACE":
            body.append(self.statement(block=False))
        return Block(nodes, open, tuple(body), self.take())

    def statement(self, block: bool) -> Nodes:
        """To the next separator. A newline before the brace of a block separates nothing."""
        nodes: list[Node] = [self.node(None)]
        while self.next.kind not in ("END", "LBRACE", "RBRACE") and (block or not self.next.separated):
            nodes.append(self.node(nodes[-1]))
        return tuple(nodes)

    def node(self, before: Node | None) -> Node:
        open = self.take()
        if open.kind not in ("LPAR", "LSQB"):
            return open
        items: list[Nodes] = []
        while self.next.kind not in ("RPAR", "RSQB"):
            nodes: list[Node] = [self.node(None)]
            while self.next.kind not in ("RPAR", "RSQB") and not self.next.comma:
                nodes.append(self.node(nodes[-1]))
            items.append(tuple(nodes))
        close = self.take()
        call = open.kind == "LPAR" and isinstance(before, Mark) and before.kind == "NAME"
        listed = open.kind == "LSQB" or call or len(items) > 1 or close.comma
        single = open.kind == "LPAR" and not call and len(items) == 1 and close.comma
        return Group(open, tuple(items), close, listed, single, call)
