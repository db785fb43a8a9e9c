"""What to say about a piece of text that the grammar refused: the mistakes that people make, by hand."""

from __future__ import annotations

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.mistakes import conditions, items, marks, names, searches, statements, values
from kvscen.language.mistakes.wrong import Mistake, Wrong
from kvscen.language.scan import scan

#: The first that has something to say is heard.
_MISTAKES: tuple[Mistake, ...] = (
    marks.open_string,
    marks.quotes,
    marks.environment,
    names.base,
    names.pointed,
    values.dotted_range,
    values.shortened,
    values.unit_of_all,
    values.in_words,
    marks.grouped_digits,
    marks.number,
    marks.bare_path,
    marks.comment,
    marks.foreign,
    items.version,
    items.astray,
    items.unknown_kind,
    items.misplaced_item,
    values.range_in_words,
    statements.second_setting,
    conditions.when,
    searches.find,
    items.header,
    statements.sign,
    statements.in_a_list,
    statements.bracket,
    conditions.condition,
    items.item,
    statements.comma,
    statements.missing_value,
    statements.second_value,
)


def explain(source: Source, start: str, begin: int, end: int, at: int, expected: frozenset[str]) -> Diagnostic:
    """Why source.text[begin:end] is not a `start` (of grammar.STARTS).

    The grammar stopped at the offset `at` and would have taken the terminals `expected` there.
    """
    words = [word for word in scan(source.text, begin, end) if word.kind != "newline"]
    index = next((i for i, word in enumerate(words) if word.end > at), len(words))
    wrong = Wrong(source, start, words, index, words[-1].end if words else end, expected)
    for mistake in _MISTAKES:
        found = mistake(wrong)
        if found is not None:
            return found
    return _otherwise(wrong)


def _otherwise(wrong: Wrong) -> Diagnostic:
    wanted = _wanted(wrong.expected)
    help = f"{wanted} was expected" if wanted else ""
    if wrong.at >= len(wrong.words):
        return diagnostic("KVS020", "this ends too early", wrong.span(wrong.at), help=help)
    return diagnostic("KVS020", f"`{wrong.text(wrong.at)}` cannot stand here", wrong.span(wrong.at), help=help)


def _wanted(expected: frozenset[str]) -> str:
    """What would have fitted, in words; empty where that is too much to say."""
    if "NUMBER" in expected and "STRING" in expected:
        return "a value"
    if "EQUAL" in expected and "_IN" in expected:
        return "`=` or `in`"
    if "COMPARE" in expected:
        return "a comparison such as `==`"
    if expected == {"NAME"}:
        return "a name"
    return ""
