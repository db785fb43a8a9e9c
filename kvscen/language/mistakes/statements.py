"""Mistakes in what stands in a block: settings, axes, lists, brackets."""

from __future__ import annotations

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Span
from kvscen.language.functions import FUNCTIONS
from kvscen.language.mistakes.items import NOT_THERE
from kvscen.language.mistakes.wrong import COMPARISONS, OPERATORS, Wrong
from kvscen.language.scan import FINDS
from kvscen.language.values import UNITS

# ---- signs between a name and its value


_COMPARISONS_OF_OTHERS = {"=>": ">=", "=<": "<=", "<>": "!=", "=!": "!="}


def sign(wrong: Wrong) -> Diagnostic | None:
    i, sign = wrong.at, wrong.text(wrong.at)
    span = wrong.span(i)
    if wrong.judges:
        for first in (i - 1, i):
            doubled = wrong.text(first) + wrong.text(first + 1)
            if wrong.adjacent(first) and doubled in _COMPARISONS_OF_OTHERS:
                pair, right = wrong.span(first, first + 1), _COMPARISONS_OF_OTHERS[doubled]
                return diagnostic(
                    "KVS024",
                    f"`{doubled}` is not a sign of the language",
                    pair,
                    help=f"write `{right}`",
                    fix=Fix(pair, right),
                )
        if sign in ("=", ":"):
            return diagnostic("KVS024", "a condition compares with `==`", span, help="write `==`", fix=Fix(span, "=="))
        return None
    if wrong.start not in ("statement", "item", "version") or sign == "":
        return None
    left = wrong.path_end(1 if wrong.start == "item" and wrong.text(0) == "let" else 0)
    if wrong.start == "version":
        if sign in ("=", ":"):
            return diagnostic("KVS024", "the version stands without a sign", span, help="write `kvs 1`")
        return None
    if i < left or i > left + 1 or left == 0 or (wrong.start == "item" and wrong.text(0) != "let"):
        return None
    if sign == "=" and wrong.text(i - 1) == ":" and wrong.adjacent(i - 1):
        pair = wrong.span(i - 1, i)
        return diagnostic("KVS024", "a value is given with `=`", pair, help="write `=`", fix=Fix(pair, "="))
    if i == left and sign == ":":
        if wrong.text(i + 1) == "=" and wrong.adjacent(i):
            span = wrong.span(i, i + 1)
        return diagnostic("KVS024", "a value is given with `=`", span, help="write `=`", fix=Fix(span, "="))
    behind_equals = i == left + 1 and wrong.text(left) == "="
    if (i == left and sign in COMPARISONS) or (behind_equals and sign in ("=", ">", "<")):
        span = wrong.span(left, i)
        return diagnostic(
            "KVS024",
            f"a value is given with `=`; `{span.text}` compares",
            span,
            help="write `=`, or begin the line with `expect` or `skip when` to compare",
            fix=Fix(span, "=") if span.text in ("==", "=>") else None,
        )
    if i == left and sign in OPERATORS and wrong.text(i + 1) == "=":
        return diagnostic(
            "KVS024",
            "a value cannot be changed, only given",
            wrong.span(i, i + 1),
            help="write the whole value behind `=`",
        )
    behind = wrong.path_end(1)
    if i == left == 1 and wrong.start == "statement" and wrong.text(0) in NOT_THERE and wrong.text(behind) != "in":
        word = wrong.text(0)
        return diagnostic("KVS024", f"there is no `{word}` in the language", wrong.span(0), help=NOT_THERE[word])
    if i == left == 1 and wrong.start == "statement" and wrong.text(0) == "when":
        return diagnostic(
            "KVS024",
            "no line begins with `when`",
            wrong.span(0),
            help="the condition stands at the end: `expect throughput >= 1 GiB/s when blocks.op == read`",
        )
    if i == left == 1 and wrong.start == "statement" and behind > 1 and wrong.text(behind) in ("in", "="):
        return diagnostic(
            "KVS024",
            f"`{wrong.text(0)}` begins no statement",
            wrong.span(0),
            help=f"leave it out: `{wrong.span(1, behind).text} ...`",
            fix=Fix(Span(wrong.source, wrong.words[0].start, wrong.words[1].start), ""),
        )
    if i == left and (wrong.kind(i) in ("name", "number", "string") or sign in ("[", "(")):
        sample = wrong.span(0, left - 1).text
        return diagnostic(
            "KVS024",
            f"`=` is missing between `{sample.removeprefix('let ')}` and its value",
            span,
            help=f"write `{sample} = ...`"
            + ("" if wrong.start == "item" or sign != "[" else f", or `{sample} in [...]` to vary it"),
        )
    return None


# ---- several on one line


def second_setting(wrong: Wrong) -> Diagnostic | None:
    """`a = 1 b = 2`: the grammar stops at `b`, or behind it where it took `b` for the unit of the 1."""
    if wrong.start not in ("statement", "item", "value") or wrong.depth(wrong.at):
        return None
    for first in (wrong.at, wrong.at - 1):
        if first < 2 or wrong.kind(first) != "name":
            continue
        behind = wrong.path_end(first)
        sign = wrong.text(behind)
        starts = sign in ("=", "in") and wrong.text(first - 1) not in (".", *OPERATORS)
        starts = starts or (wrong.text(first), wrong.text(first + 1)) == ("skip", "when")
        starts = starts or (wrong.text(first) == "find" and wrong.text(first + 1) in FINDS)
        starts = starts or (wrong.text(first) == "expect" and wrong.text(wrong.path_end(first + 1)) in COMPARISONS)
        compared = wrong.judges and (sign == "=" or wrong.text(first - 1) in ("when", "and", "or", "not"))
        if starts and not compared:
            if wrong.text(first - 1) == "let":
                first -= 1
            place = Span(wrong.source, wrong.words[first - 1].end, wrong.words[first - 1].end)
            before, after = wrong.span(0, first - 1).text, wrong.span(first, len(wrong.words)).text
            short = "\n" not in before + after and len(before + after) < 60
            return diagnostic(
                "KVS021",
                "two settings on one line need a `;` between them",
                wrong.span(first, behind - 1),
                label="a second one starts here",
                help=f"write `{before}; {after}`" if short else "start a new line, or write `;` before it",
                fix=Fix(place, ";"),
            )
    return None


def comma(wrong: Wrong) -> Diagnostic | None:
    i = wrong.at
    opened = wrong.depth(i)
    if wrong.text(i) == ",":
        if not opened:
            span = wrong.span(i)
            if wrong.judges:
                help = f"write each in a line of its own, with `{wrong.text(0)}`"
                return diagnostic("KVS029", "conditions are not separated by commas", span, help=help)
            values = _values_around(wrong)
            if values is not None:
                return diagnostic("KVS029", "several values stand in [ ]", span, help=f"write `{values}`")
            return diagnostic(
                "KVS029",
                "settings are not separated by commas",
                span,
                help="remove it: a newline or `;` ends a setting; several values stand in [ ]",
            )
        if wrong.text(i - 1) in ("[", "(", ","):
            return diagnostic("KVS029", "a value is missing before this comma", wrong.span(i), help="remove the comma")
    if not opened:
        return None
    if wrong.text(i) == ";":
        span = wrong.span(i)
        return diagnostic("KVS029", "inside brackets commas separate", span, help="write `,`", fix=Fix(span, ","))
    ended = wrong.kind(i - 1) in ("name", "number", "string") or wrong.text(i - 1) in (")", "]", "%")
    begins = wrong.kind(i) in ("name", "number", "string") or wrong.text(i) == "["
    if ended and begins and not wrong.judges:
        place = Span(wrong.source, wrong.words[i - 1].end, wrong.words[i - 1].end)
        return diagnostic(
            "KVS029",
            "a comma is missing between two values",
            wrong.span(i),
            label="the second one",
            help="write `,` between them",
            fix=Fix(place, ","),
        )
    return None


def _values_around(wrong: Wrong) -> str | None:
    """`tier in [a, b]` for `tier in a, b`; None where no further value follows."""
    sign = wrong.path_end(0)
    if wrong.text(sign) not in ("=", "in") or wrong.at == len(wrong.words) - 1:
        return None
    if any(word.text in ("=", "in", ":", "(", "[") for word in wrong.words[sign + 1 :]):
        return None
    return f"{wrong.span(0, sign).text} [{wrong.span(sign + 1, len(wrong.words)).text}]"


# ---- brackets


def in_a_list(wrong: Wrong) -> Diagnostic | None:
    """`[a = 2, b]`, `[a: 2]`: what belongs to an item is said elsewhere."""
    opened = wrong.depth(wrong.at)
    if wrong.text(wrong.at) == "{" and opened:
        help = "values stand alone; `(a, b) in [(1, 2), (3, 4)]` varies settings together, `skip when` drops points"
        return diagnostic("KVS020", "there are no braces in a list", wrong.span(wrong.at), help=help)
    if wrong.text(wrong.at) not in ("=", ":") or not opened or wrong.text(opened[-1]) != "[":
        return None
    item = wrong.text(wrong.at - 1)
    return diagnostic(
        "KVS020",
        f"`{wrong.text(wrong.at)}` cannot stand here",
        wrong.span(wrong.at),
        help=f"in [ ] stand values alone; what belongs to `{item}` is said in its own block"
        if wrong.kind(wrong.at - 1) == "name"
        else "in [ ] stand values alone, with `,` between them",
    )


def bracket(wrong: Wrong) -> Diagnostic | None:
    i, sign = wrong.at, wrong.text(wrong.at)
    opened = wrong.depth(i)
    if sign in (")", "]"):
        if not opened:
            return diagnostic("KVS023", f"this `{sign}` closes nothing", wrong.span(i), help="remove it")
        right = {"(": ")", "[": "]"}[wrong.text(opened[-1])]
        if right != sign:
            return diagnostic(
                "KVS022",
                f"`{wrong.text(opened[-1])}` is closed by `{sign}`",
                wrong.span(i),
                label=f"`{right}` belongs here",
                help=f"write `{right}`",
                related=((wrong.span(opened[-1]), "opened here"),),
                fix=Fix(wrong.span(i), right),
            )
    if sign == "" and opened:
        right = {"(": ")", "[": "]"}[wrong.text(opened[-1])]
        return diagnostic(
            "KVS022",
            f"this `{wrong.text(opened[-1])}` is never closed",
            wrong.span(opened[-1]),
            label="opened here",
            help=f"write the closing `{right}`",
        )
    if sign in ("{", "}") and wrong.start == "value":
        return diagnostic("KVS020", "a value has no braces", wrong.span(i), help="a list stands in [ ]")
    return None


# ---- values


def missing_value(wrong: Wrong) -> Diagnostic | None:
    i, previous = wrong.at, wrong.text(wrong.at - 1)
    if i < len(wrong.words):
        return None
    if previous in ("=", "in", *COMPARISONS, *OPERATORS):
        end = wrong.words[-1].end
        what = "a list of values" if previous == "in" else "a value"
        return diagnostic(
            "KVS031",
            f"{what} is missing after `{previous}`",
            Span(wrong.source, end, end),
            help={"in": "write `in [a, b]`", "=": "write one, or remove the line: then the default holds"}.get(
                previous, ""
            ),
        )
    if wrong.start == "statement" and not wrong.judges and wrong.path_end(0) == len(wrong.words) > 0:
        path = wrong.span(0, i - 1)
        help = "write `expect MEASURE == VALUE`" if path.text == "expect" else f"write `{path.text} = ...`"
        return diagnostic("KVS031", f"`{path.text}` has no value", path, help=help)
    if wrong.start == "value":
        return diagnostic("KVS031", "a value is missing", wrong.span(i))
    return None


def second_value(wrong: Wrong) -> Diagnostic | None:
    """`levels = dram disk`, `tier in disk, dram`."""
    i = wrong.at
    if wrong.depth(i) or wrong.judges or wrong.start not in ("statement", "item", "value"):
        return None
    ended = wrong.kind(i - 1) in ("name", "number", "string") or wrong.text(i - 1) in (")", "]", "%")
    begins = wrong.kind(i) in ("name", "number", "string") or wrong.text(i) == "["
    sign = wrong.path_end(0)
    if wrong.text(i) in ("or", "and") and wrong.text(sign) in ("=", "in") and wrong.kind(i + 1) == "name":
        values = ", ".join(word.text for word in wrong.words[sign + 1 :] if word.text not in ("or", "and", ","))
        help = f"write `{wrong.span(0, sign - 1).text} in [{values}]` in a sweep"
        return diagnostic("KVS020", "several values stand in [ ]", wrong.span(i), help=help)
    if wrong.text(i - 1) in UNITS and wrong.kind(i) == "number" and wrong.text(i + 1) in UNITS:
        help = f"write `{wrong.span(i - 2, i - 1).text} + {wrong.span(i, i + 1).text}`"
        return diagnostic("KVS020", "two quantities are added with `+`", wrong.span(i, i + 1), help=help)
    if wrong.text(i) == "[" and wrong.text(i - 1) in FUNCTIONS:
        usage = FUNCTIONS[wrong.text(i - 1)].usage
        return diagnostic("KVS020", "a function is called with ( )", wrong.span(i), help=f"write `{usage}`")
    if ended and begins and any(word.text in ("=", "in") for word in wrong.words[:i]):
        return diagnostic(
            "KVS020",
            f"`{wrong.text(i)}` stands behind a complete value",
            wrong.span(i),
            help="end the setting with a newline or `;`; several values stand in a list: [a, b]",
        )
    if ended and begins and wrong.start == "value":
        return diagnostic("KVS020", f"`{wrong.text(i)}` stands behind a complete value", wrong.span(i))
    return None
