"""Meanings as text for a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kvscen.explain.meaning import Meaning, table

#: Names of a long group that the list of all shows.
_SOME = 4


def explain(word: str, found: Sequence[Meaning], width: int) -> str:
    """One meaning whole, several in short."""
    if len(found) == 1:
        return _text(_whole(found[0], width))
    lines = [f"`{word}` means {len(found)} things"]
    for each in found:
        lines += ["", f"{each.name}: {each.what}", *_wrapped(each.brief, width, "  ")]
        lines += [f"  {value}" for label, value in each.facts if label == "write"]
    asked = [name for each in found for name in each.names if name != word and "." in name and "TIER" not in name]
    if asked:
        lines += ["", f"one of them alone: kvscen explain {asked[0]}"]
    return _text(lines)


def _whole(found: Meaning, width: int) -> Iterator[str]:
    if found.page is not None:
        yield from _page(found.page(), width)
        return
    yield f"{found.name}: {found.what}"
    yield ""
    yield from _wrapped(found.brief, width, "  ")
    if found.facts:
        yield ""
        rows = [(label, value) for label, value in found.facts]
        left = max(len(label) for label, _ in rows) + 2
        for label, value in rows:
            first, *more = textwrap.wrap(value, max(20, width - left - 2), break_long_words=False) or [""]
            yield f"  {label:<{left}}{first}"
            yield from (" " * (left + 2) + line for line in more)
    if found.lines:
        yield ""
        yield from (line for each in found.lines for line in _hanging(each, width))
    if found.see:
        yield ""
        yield from (f"  see also: {command}" for command in found.see)


def overview(groups: Mapping[str, Sequence[Meaning]], long: Iterable[str], width: int) -> str:
    """What can be asked."""
    lines = ["kvscen explain WORD...  says what a word of a scenario, a diagnostic or a table means."]
    shortened = set(long)
    for group, found in groups.items():
        names = list(dict.fromkeys(each.name for each in found))
        text = ", ".join(names)
        if group in shortened:
            text = f"{', '.join(names[:_SOME])} and {len(names) - _SOME} more"
        more = [f"  all of them: kvscen explain {group}"] if group in shortened else []
        lines += ["", group, *_wrapped(text, width, "  "), *more]
    lines += ["", "A setting can be asked for by its block or driver as well: tier.path, posix.direct, sweep.trials"]
    return _text(lines)


def group_list(group: str, found: Sequence[Meaning], width: int) -> str:
    """All of a group, a line for each."""
    rows = [(each.name, each.brief) for each in found]
    return _text([group, "", *(line for each in table(rows) for line in _hanging(each, width))])


def _page(text: str, width: int) -> Iterator[str]:
    """A page of docs/rules without the marks of Markdown: headings at the margin, paragraphs below them filled."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    for number, piece in enumerate(re.split(r"^```.*\n", text, flags=re.MULTILINE)):
        if number % 2:
            yield from (f"    {line}".rstrip() for line in piece.rstrip("\n").split("\n"))
            continue
        for paragraph in re.split(r"\n\n+", piece.strip("\n")):
            if paragraph.startswith("#"):
                yield from (*([] if paragraph.startswith("# ") else [""]), paragraph.lstrip("# "))
            elif re.match(r"[-|]", paragraph):
                yield from (line for each in paragraph.split("\n") for line in _hanging(each, width))
            elif paragraph:
                yield from _wrapped(" ".join(paragraph.split()), width, "  ")


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _hanging(line: str, width: int) -> list[str]:
    """A line of two columns; what does not fit goes on below the second."""
    name, gap, rest = line.partition("  ")
    if not gap or line.startswith((" ", "#")) or len(line) + 2 <= width:
        return [f"  {line}".rstrip()]
    second = len(name) + len(gap) + len(rest) - len(rest.lstrip())
    return textwrap.wrap(
        line[second:],
        max(width, second + 30),
        initial_indent=f"  {line[:second]}",
        subsequent_indent=" " * (second + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
