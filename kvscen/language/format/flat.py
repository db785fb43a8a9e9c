"""A stretch of a statement on one line."""

from __future__ import annotations

from kvscen.language.format.tokens import Mark
from kvscen.language.format.tree import Group, Node, Nodes, first, last, marks_of

#: Behind these a `-` takes something away; elsewhere it is a sign.
_OPERANDS = ("NAME", "NUMBER", "UNIT", "STRING", "TRUE", "FALSE")

#: Wider than any line.
_FAR = 1000


def flat(nodes: Nodes) -> str:
    """The nodes with the spaces between them, whatever comments they have."""
    return "".join(glue(nodes, i) + _flat(node) for i, node in enumerate(nodes))


def _flat(node: Node) -> str:
    if isinstance(node, Mark):
        return node.text
    inside = ", ".join(flat(item) for item in node.items) + ("," if node.single else "")
    return f"{node.open.text}{inside}{node.close.text}"


def glue(nodes: Nodes, i: int) -> str:
    """What stands before nodes[i]: a space or nothing."""
    if i == 0:
        return ""
    node, before = nodes[i], nodes[i - 1]
    if isinstance(node, Group):
        if node.call:
            return ""
    elif node.kind == "DOT":
        return ""
    if isinstance(before, Mark) and (before.kind == "DOT" or (before.kind == "MINUS" and _is_sign(nodes, i - 1))):
        return ""
    return " "


def _is_sign(nodes: Nodes, i: int) -> bool:
    before = nodes[i - 1] if i else None
    return before is None or (isinstance(before, Mark) and before.kind not in _OPERANDS)


def has_comments(nodes: Nodes) -> bool:
    """Whether there are comments within the nodes, which then cannot stand on one line."""
    opening, closing = first(nodes), last(nodes)
    return any(
        (mark.before and mark is not opening) or (mark.after and mark is not closing) for mark in marks_of(nodes)
    )


def has_lines(nodes: Nodes) -> bool:
    """Whether the nodes cannot stand on one line: they have comments within, or a list that the author has one item
    to a line."""
    return has_comments(nodes) or any(isinstance(node, Group) and _has_lines(node) for node in nodes)


def _has_lines(group: Group) -> bool:
    if group.listed and group.items and first(group.items[0]).newline:
        return True
    return any(isinstance(node, Group) and _has_lines(node) for item in group.items for node in item)


def until_break(nodes: Nodes, i: int, tail: int) -> int:
    """The characters from nodes[i] to where the line can end: behind the next opening bracket of a list, or behind
    `tail` characters more."""
    width = 0
    while i < len(nodes):
        node = nodes[i]
        width += len(glue(nodes, i))
        if isinstance(node, Group) and node.listed and node.items:
            return width + 1
        if isinstance(node, Mark) and node.before:
            return width
        width += len(_flat(node))
        if width > _FAR or last((node,)).after:
            return width
        i += 1
    return width + tail
