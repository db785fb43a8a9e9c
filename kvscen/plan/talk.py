"""All that the requests of users who converse follow from, as it travels to the worker."""

from __future__ import annotations

import attrs

from kvscen.language.conversations import ConversationsSettings, UsersSettings

#: (tokens that the turn adds to the prompt, tokens of its answer), by conversation.
Turns = tuple[tuple[tuple[int, int], ...], ...]


@attrs.frozen
class Users:
    """Users of one kind, completed."""

    name: str
    settings: UsersSettings


@attrs.frozen
class Talk:
    """All that a script follows from. `block_bytes` are those of a block of `page` tokens. `turns` are conversations
    taken from a trace, in its order, over and over; None where they are drawn."""

    settings: ConversationsSettings
    mix: tuple[Users, ...]
    seed: int
    block_bytes: int
    turns: Turns | None = None
