"""What the language is made of besides settings: the kinds of block and the statements, each in a few words."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from kvscen.language.blocks import FAMILIES, PATTERN_TYPES, USER_TYPES


@attrs.frozen
class KindOfBlock:
    """`base` says what its bases are, `built_in` names those that come with the language (a tier's are the drivers)."""

    name: str
    about: str
    base: str
    built_in: tuple[str, ...] = ()


@attrs.frozen
class Statement:
    """`usages` are the ways in which it is written. `words` are those of the language in it."""

    words: tuple[str, ...]
    usages: tuple[str, ...]
    about: str


#: The kinds of block, in the order in which they are met.
KINDS_OF_BLOCK: Mapping[str, KindOfBlock] = {
    kind.name: kind
    for kind in (
        KindOfBlock(
            "model",
            "whose KV is moved",
            'a family; a model of the catalogue, after `use models`; `hf("config.json")`; a model of yours',
            tuple(FAMILIES),
        ),
        KindOfBlock("tier", "where blocks are kept", "a driver; a tier of yours"),
        KindOfBlock(
            "pattern", "what is accessed, and when", "a type of pattern; a pattern of yours", tuple(PATTERN_TYPES)
        ),
        KindOfBlock(
            "users",
            "who asks, in a pattern of the type `conversations`",
            "a type of users; users of yours",
            tuple(USER_TYPES),
        ),
        KindOfBlock(
            "sweep",
            "what runs",
            "none; or a sweep of yours, which hands on settings, axes, skips, expectations and its search",
        ),
    )
}

#: What stands at the top of a file, besides blocks.
TOP: tuple[Statement, ...] = (
    Statement(("kvs",), ("kvs 1",), "the version of the language: the first line of every file"),
    Statement(
        ("use",), ("use models", 'use "team.kvs"'), "brings in the catalogue of models, or what another file defines"
    ),
    Statement(
        ("let",), ('let dir = "./kv-data"',), "gives a value a name; `--set dir=/mnt/nvme` gives it another value"
    ),
)

#: What stands in a sweep.
STATEMENTS: tuple[Statement, ...] = (
    Statement(("=",), ("pages.op = read",), "fixes a setting"),
    Statement(
        ("in",),
        ("pages.requests in [1, 10]", "(a, b) in [(1, 2), (3, 4)]"),
        "varies a setting, or several together: an axis. Axes are crossed, the first is the slowest",
    ),
    Statement(("skip", "when"), ("skip when CONDITION",), "drops the points where it is so"),
    Statement(
        ("expect", "when"),
        ("expect MEASURE OP VALUE [when CONDITION]",),
        "judges the points; `kvscen run` ends with 1 where one does not keep it",
    ),
    Statement(
        ("find", "highest", "lowest", "where", "saturation", "over", "within"),
        (
            "find highest PATH where MEASURE OP VALUE",
            "find lowest PATH where MEASURE OP VALUE",
            "find saturation of MEASURE over PATH within SHARE",
        ),
        "searches an axis instead of running all of its points",
    ),
)
