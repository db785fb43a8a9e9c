"""The words of the language and what is a number, a unit, a string, for those who colour scenarios. A table of regular
expressions, understood by Python and by Oniguruma (TextMate) alike."""

from __future__ import annotations

import re

from kvscen.language.functions import BASE_FUNCTION, FUNCTIONS
from kvscen.language.scan import FINDS, KINDS
from kvscen.language.values import UNITS

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
#: As NUMBER in the grammar.
NUMBER = r"[0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?"
STRING = r'"(?:[^"\\\n]|\\[^\n])*"'
ESCAPE = r'\\["\\nt]'
COMPARE = r"==|!=|<=|>=|<|>"

#: Begin an item.
ITEMS = ("use", "let", *KINDS)
#: Begin a statement.
STATEMENTS = ("skip", "expect", "find")
#: Stand between the parts of a statement.
INNER = ("in", "when", "where", "over", "of", "within", "and", "or", "not", *FINDS)
CONSTANTS = ("true", "false")
CALLED = (*FUNCTIONS, BASE_FUNCTION)


def one_of(words: tuple[str, ...]) -> str:
    """A whole word of these."""
    return rf"(?:{'|'.join(words)})(?![A-Za-z0-9_])"


def unit() -> str:
    """A unit of the language, the longest first: `MiB/s` is one."""
    names = sorted(UNITS, key=len, reverse=True)
    return "|".join(re.escape(name) + ("" if name == "%" else r"(?![A-Za-z0-9_/])") for name in names)
