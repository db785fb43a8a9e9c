"""Lines written, with what belongs together in columns: the headers of neighbouring blocks, and comments at the ends
of lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kvscen.language.format.layout import WIDTH, Line


def write(lines: list[Line]) -> str:
    for run in _runs(lines):
        _align_headers(run)
    columns = _comment_columns(lines)
    return "".join(_write(line, column) for line, column in zip(lines, columns, strict=True))


def _write(line: Line, column: int) -> str:
    """One line with its end, and the blank line before it."""
    text = " " * line.indent + line.code
    if line.comment is not None:
        text = text.ljust(column) + line.comment
    return ("\n" if line.blank else "") + text + "\n"


# ---- headers


def _runs(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """The headers of blocks of one kind on neighbouring lines; the last one's body may follow. Comments may stand
    between."""
    run: list[Line] = []
    for line in lines:
        belongs = bool(run) and not line.blank and (not line.code or line.kind == run[0].kind)
        if run and (not belongs or _opens(run[-1])):
            yield run
            run = []
        if line.cells:
            run.append(line)
    if run:
        yield run


def _opens(line: Line) -> bool:
    return len(line.cells) == 2


def _align_headers(run: list[Line]) -> None:
    """First the bases, then the bodies, then the settings in bodies that have the same: as far as the lines stay
    within the width."""
    based = [line for line in run if line.cells[1]]
    _align(based, 1)
    closed = [line for line in run if not _opens(line)]
    if len({bool(line.cells[1]) for line in closed}) == 1 and _align(closed, 2):
        for alike in _alike(closed):
            for i in range(3, max(len(line.cells) for line in alike)):
                if not _align([line for line in alike if len(line.cells) > i], i):
                    break


def _alike(closed: list[Line]) -> Iterator[list[Line]]:
    """Neighbouring bodies with the same settings in the same order; one may end before another."""
    alike: list[Line] = []
    longest: list[str] = []
    for line in closed:
        names = [cell.removeprefix("{ ").split(" =")[0] for cell in line.cells[2:]]
        if alike and any(name != other for name, other in zip(names, longest, strict=False)):
            yield alike
            alike, longest = [], []
        alike.append(line)
        longest = max(longest, names, key=len)
    yield alike


def _align(lines: list[Line], column: int) -> bool:
    """Begin the cells of a column below each other, unless that makes a line too long."""
    if not lines:
        return False
    width = max(len(_joined(line, column)) for line in lines)
    padded = [(_joined(line, column).ljust(width), *line.cells[column:]) for line in lines]
    rests = [cells[1:] for cells in padded]
    if any(width + 1 + len(" ".join(cell for cell in rest if cell)) > WIDTH for rest in rests):
        return False
    for line, rest in zip(lines, rests, strict=True):
        tail = " ".join(cell for cell in rest if cell)
        head = _joined(line, column).ljust(width)
        line.cells = (head, *[""] * (column - 1), *rest)
        line.code = f"{head} {tail}" + (" {" if _opens(line) else "")
    return True


def _joined(line: Line, column: int) -> str:
    return " ".join(cell for cell in line.cells[:column] if cell)


# ---- comments


def _comment_columns(lines: list[Line]) -> list[int]:
    """The column of each line's comment: one for the lines of a depth that no blank line and no other depth divides,
    two spaces behind the longest of those that have a comment."""
    columns = [line.indent for line in lines]
    together: list[int] = []

    def close() -> None:
        if together:
            width = max(lines[i].indent + len(lines[i].code) for i in together)
            for i in together:
                columns[i] = width + 2
            together.clear()

    before: Line | None = None
    closing = False
    for i, line in enumerate(lines):
        if before is not None and (line.blank or line.indent != before.indent or closing) and not line.below:
            close()
            # A bracket that closes several lines stands by itself.
            closing = line.indent < before.indent
        if line.code and line.comment is not None:
            together.append(i)
        if not line.below:
            before = line
    close()
    for i, line in enumerate(lines):
        if line.below and i:
            columns[i] = columns[i - 1]
    return columns
