"""Mistakes outside of blocks: the version, headers, `let`, `use`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Span
from kvscen.language.mistakes.wrong import Wrong
from kvscen.language.scan import KINDS
from kvscen.language.suggest import closest

# ---- headers and the other items

_MEANT = {
    "from": "use",
    "require": "use",
    "import": "use",
    "include": "use",
    "using": "use",
    "var": "let",
    "variable": "let",
    "locals": "let",
    "const": "let",
    "set": "let",
    "def": "let",
    "define": "let",
    "param": "let",
    "backend": "tier",
    "device": "tier",
    "disk": "tier",
    "driver": "tier",
    "storage": "tier",
    "store": "tier",
    "access": "pattern",
    "workload": "pattern",
    "load": "pattern",
    "bench": "sweep",
    "benchmark": "sweep",
    "experiment": "sweep",
    "grid": "sweep",
    "matrix": "sweep",
    "run": "sweep",
    "scenario": "sweep",
}


_LOOP = "nothing loops: in a sweep `blocks.op in [read, write]` measures with each value"
_BRANCH = "in a sweep `skip when CONDITION` drops points, and `expect ... when CONDITION` judges some"

#: What begins a line elsewhere, and how it is done here.
NOT_THERE = {
    **dict.fromkeys(("for", "foreach", "while", "loop"), _LOOP),
    **dict.fromkeys(("if", "unless", "else", "elif"), _BRANCH),
    **dict.fromkeys(("assert", "require", "ensure", "must", "check"), "write `expect errors == 0` into a sweep"),
    **dict.fromkeys(("function", "fn", "class", "lambda"), "a `let` names a value; a block is the base of others"),
    **dict.fromkeys(("print", "echo", "return", "output"), "kvscen run shows a table, and leaves all in a folder"),
    **dict.fromkeys(("export", "env"), "write `let dir = ...`, and on the command line --set dir=..."),
}


def version(wrong: Wrong) -> Diagnostic | None:
    if wrong.start != "version":
        return None
    if wrong.at == 2 and wrong.kind(1) == "number":
        return diagnostic(
            "KVS021",
            "the version stands on a line of its own",
            wrong.span(2),
            help="start a new line, or write `;` before it",
        )
    return diagnostic(
        "KVS011",
        "the version of the language is not a number"
        if len(wrong.words) > 1
        else "the version of the language is missing",
        wrong.span(min(1, len(wrong.words)), len(wrong.words)),
        help="write `kvs 1`",
    )


def astray(wrong: Wrong) -> Diagnostic | None:
    """What belongs into a block."""
    behind = wrong.path_end(0)
    if wrong.start != "item" or wrong.text(0) in ("let", "use"):
        return None
    if wrong.text(behind) in ("=", "in") and behind:
        path = wrong.span(0, behind - 1)
        named = behind == 1 and wrong.text(1) == "="
        return diagnostic(
            "KVS020",
            f"`{path.text}` is set outside of any block",
            path,
            help=f"move it into a block; a name for a value is written `let {path.text} = ...`"
            if named
            else "move it into a sweep",
        )
    if wrong.text(0) in ("skip", "expect", "find", "("):
        what = "an axis" if wrong.text(0) == "(" else f"`{wrong.text(0)}`"
        return diagnostic("KVS020", f"{what} stands outside of any block", wrong.span(0), help="move it into a sweep")
    return None


def unknown_kind(wrong: Wrong) -> Diagnostic | None:
    if wrong.at != 0 or wrong.start not in ("header", "item"):
        return None
    word, span = wrong.text(0), wrong.span(0)
    if wrong.kind(0) != "name":
        return diagnostic(
            "KVS020",
            f"`{word}` begins nothing",
            span,
            help="outside of blocks stand `use`, `let` and the kinds of block: model, tier, users, pattern, sweep",
        )
    if word in NOT_THERE:
        return diagnostic("KVS020", f"there is no `{word}` in the language", span, help=NOT_THERE[word])
    known = (*KINDS, "use", "let") if wrong.start == "item" else KINDS
    meant = kind_meant(word, known)
    if wrong.start == "header" and _MEANT.get(word.lower()) == "let":
        help = "a value gets a name by `let NAME = VALUE`, in a line without braces"
        return diagnostic("KVS026", f"`{word}` is not a kind of block", span, help=help)
    help = f"did you mean `{meant}`?" if meant else "the kinds of block are model, tier, users, pattern and sweep"
    return diagnostic(
        "KVS026",
        f"`{word}` is not a kind of block",
        span,
        help=help,
        fix=Fix(span, meant) if meant and closest(word, known) == meant else None,
    )


def kind_meant(word: str, known: Sequence[str] = KINDS) -> str | None:
    """The word of the language that was meant, of these."""
    meant = _MEANT.get(word.lower()) or closest(word, known)
    return meant if meant in known else None


def header(wrong: Wrong) -> Diagnostic | None:
    if wrong.start != "header":
        return None
    i, kind, span = wrong.at, wrong.text(0), wrong.span(wrong.at)
    if i == 1:
        if wrong.kind(1) == "string":
            bare = wrong.text(1).strip('"')
            base = " { ... }" if kind == "sweep" else " : ..."
            if wrong.kind(2) == "string":  # `tier "posix" "disk"`, as Terraform has it
                bare, base = wrong.text(2).strip('"'), f" : {bare}"
            return diagnostic("KVS020", "a name stands without quotes", span, help=f"write `{kind} {bare}{base}`")
        if wrong.kind(1) == "number":
            return diagnostic(
                "KVS020", "a name begins with a letter", wrong.span(1, 2), help=f"write `{kind} m{wrong.text(1)}`"
            )
        place = span if i < len(wrong.words) else wrong.span(0)
        return diagnostic("KVS020", f"this {kind} has no name", place, help=f"write `{kind} NAME : BASE {{ ... }}`")
    if i == 2:
        if wrong.text(2) in ("-", ".") or (wrong.text(2) in ("/", "@") and wrong.adjacent(1)):
            match = re.compile(r"[\w.@/-]+").match(wrong.source.text, wrong.words[1].start, wrong.end)
            assert match is not None
            return diagnostic(
                "KVS020",
                f"`{match[0]}` is not a name",
                Span(wrong.source, match.start(), match.end()),
                help=f"names are made of letters, digits and `_`: {re.sub(r'[^A-Za-z0-9_]', '_', match[0])}",
            )
        if wrong.text(2) == "=":
            if wrong.text(4) == "(":
                return _called(wrong, 2)
            return diagnostic(
                "KVS024", "the base of a block stands behind `:`", span, help="write `:`", fix=Fix(span, ":")
            )
        if wrong.kind(2) == "name":
            place = Span(wrong.source, wrong.words[1].end, wrong.words[1].end)
            return diagnostic(
                "KVS024",
                "`:` is missing before the base",
                span,
                help=f"write `{kind} {wrong.text(1)} : {wrong.text(2)}`",
                fix=Fix(place, " :"),
            )
    if wrong.text(4) == "(" and wrong.text(3) != "hf":
        return _called(wrong, 2)
    if wrong.text(i - 1) == ":" and i == 3:
        if i >= len(wrong.words):
            return diagnostic(
                "KVS031", "a base is missing after `:`", wrong.span(2), help=f"what is this {kind} based on?"
            )
        return diagnostic(
            "KVS020", 'a base is the name of a block, of a built-in, or a call such as `hf("config.json")`', span
        )
    if wrong.text(i) == "," or (wrong.kind(i) == "name" and i > 3):
        return diagnostic("KVS020", "a block has one base", span, help="chain them: the base may have a base itself")
    return None


def _called(wrong: Wrong, sign: int) -> Diagnostic:
    """`tier disk = posix(path=dir)`."""
    inner = wrong.span(sign + 3, len(wrong.words) - 2).text if wrong.text(len(wrong.words) - 1) == ")" else "..."
    settings = "; ".join(re.sub(r"\s*=\s*", " = ", part.strip()) for part in inner.split(","))
    head = wrong.span(0, 1).text
    return diagnostic(
        "KVS020",
        "the settings of a block stand in braces",
        wrong.span(sign, len(wrong.words)),
        help=f"write `{head} : {wrong.text(sign + 1)} {{ {settings} }}`",
    )


def item(wrong: Wrong) -> Diagnostic | None:
    if wrong.start != "item":
        return None
    i, word = wrong.at, wrong.text(0)
    if word == "use":
        if i >= len(wrong.words):
            return diagnostic(
                "KVS031", "what should be used?", wrong.span(0), help='write `use models` or `use "file.kvs"`'
            )
        return diagnostic(
            "KVS020",
            f"`{wrong.text(i)}` cannot stand in a `use`",
            wrong.span(i),
            help='write `use models` or `use "file.kvs"`, one for a line',
        )
    if word == "let" and i == 1:
        place = wrong.span(1) if i < len(wrong.words) else wrong.span(0)
        return diagnostic("KVS020", "`let` gives a name to a value", place, help="write `let NAME = VALUE`")
    if word == "let" and i == 2 and (i >= len(wrong.words) or wrong.text(2) in (".", "-")):
        if i >= len(wrong.words):
            return diagnostic(
                "KVS031", f"`{wrong.text(1)}` has no value", wrong.span(1), help="write `let NAME = VALUE`"
            )
        return diagnostic(
            "KVS020",
            "the name of a `let` is one word",
            wrong.span(1, 3),
            help="names are made of letters, digits and `_`",
        )
    return None


def misplaced_item(wrong: Wrong) -> Diagnostic | None:
    """`let x = 1` or `use models` inside a block."""
    if wrong.start != "statement" or wrong.at != 1 or wrong.text(0) not in ("let", "use"):
        return None
    return diagnostic(
        "KVS020",
        f"`{wrong.text(0)}` stands outside of blocks",
        wrong.span(0),
        help="move the line above the block",
    )
