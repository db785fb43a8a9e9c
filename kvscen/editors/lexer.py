"""Scenarios in colour, by Pygments: registered as `kvscen`, so that ```kvs in documents and on sites is found."""

from __future__ import annotations

from typing import Any, ClassVar

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from kvscen.editors.words import (
    CALLED,
    COMPARE,
    CONSTANTS,
    ESCAPE,
    INNER,
    NAME,
    NUMBER,
    STATEMENTS,
    one_of,
    unit,
)
from kvscen.language.scan import KINDS

_BEHIND = r"(?![A-Za-z0-9_])"


class KvsLexer(RegexLexer):  # type: ignore[misc]
    """For kvscen scenarios."""

    name = "kvscen"
    url = "https://pypi.org/project/kvscen/"
    aliases: ClassVar[list[str]] = ["kvs", "kvscen"]
    filenames: ClassVar[list[str]] = ["*.kvs"]

    tokens: ClassVar[dict[str, list[Any]]] = {
        "root": [
            (r"[ \t\r\f\n]+", Whitespace),
            (r"#[^\n]*", Comment.Single),
            (rf"(kvs)([ \t]+)({NUMBER})", bygroups(Keyword.Namespace, Whitespace, Number)),
            (rf"(use)([ \t]+)({NAME})", bygroups(Keyword.Namespace, Whitespace, Name.Namespace)),
            (r"(use)([ \t]+)(?=\")", bygroups(Keyword.Namespace, Whitespace)),
            (rf"(let)([ \t]+)({NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Variable)),
            (
                rf"({'|'.join(KINDS)})([ \t]+)({NAME})([ \t]*)(:)([ \t]*)({NAME})",
                bygroups(Keyword.Declaration, Whitespace, Name.Class, Whitespace, Punctuation, Whitespace, Name.Class),
            ),
            (
                rf"({'|'.join(KINDS)})([ \t]+)({NAME})(?=[ \t]*\{{)",
                bygroups(Keyword.Declaration, Whitespace, Name.Class),
            ),
            # What is left of an assignment is a name, whatever word it is.
            (rf"({NAME})(?=[ \t]*=(?!=))", Name.Attribute),
            (rf"({NAME})([ \t]+)(in){_BEHIND}", bygroups(Name.Attribute, Whitespace, Keyword)),
            (rf"({NAME})([ \t]*)(\.)([ \t]*)", bygroups(Name.Class, Whitespace, Punctuation, Whitespace)),
            (words(STATEMENTS, suffix=_BEHIND), Keyword),
            (words(INNER, suffix=_BEHIND), Keyword),
            (words(CONSTANTS, suffix=_BEHIND), Keyword.Constant),
            (rf"({one_of(CALLED)})(?=[ \t]*\()", Name.Function),
            (rf"({NUMBER})([ \t]*)({unit()})", bygroups(Number, Whitespace, Keyword.Type)),
            (NUMBER, Number),
            (r'"', String.Double, "string"),
            (COMPARE, Operator),
            (r"[-+*/=]", Operator),
            (r"[(){}\[\],;:.%]", Punctuation),
            (NAME, Name),
        ],
        "string": [
            (ESCAPE, String.Escape),
            (r'[^"\\\n]+', String.Double),
            (r'"', String.Double, "#pop"),
        ],
    }
