"""A diagnosis as text, JSON or CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator
from typing import Any

import attrs

from kvscen.doctor.examine import Diagnosis
from kvscen.doctor.finding import Finding
from kvscen.report.numbers import plural

_COLUMNS = tuple(field.name for field in attrs.fields(Finding))
_INDENT = " " * 9


def diagnosis_object(diagnosis: Diagnosis) -> dict[str, Any]:
    """One object with stable keys. `unseen` are the checks that had nothing to look at on this machine."""
    return {
        "can_measure": not diagnosis.prevented,
        "problems": len(diagnosis.of("problem")),
        "notes": len(diagnosis.of("note")),
        "findings": [attrs.asdict(finding) for finding in diagnosis.findings],
        "unseen": [{"check": check, "subject": subject} for check, subject in diagnosis.unseen],
    }


def diagnosis_csv(diagnosis: Diagnosis) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for finding in diagnosis.findings:
        writer.writerow(attrs.asdict(finding) | {"prevents": str(finding.prevents).lower()})
    return out.getvalue()


def diagnosis_text(diagnosis: Diagnosis, width: int = 100) -> str:
    """Problems and notes with reason and remedy, then what is as it should be, a line each."""
    return "".join(line + "\n" for line in _lines(diagnosis, width))


def _lines(diagnosis: Diagnosis, width: int) -> Iterator[str]:
    for severity in ("problem", "note"):
        for finding in diagnosis.of(severity):
            yield from _wrap(f"{severity:8} ", f"{_title(finding)}: {finding.found}", width)
            yield from _wrap(_INDENT, finding.why, width)
            if finding.remedy:
                yield from _wrap(_INDENT + "help: ", finding.remedy, width)
            if finding.command:
                # Never wrapped: it is there to be copied.
                yield f"{_INDENT}$ {finding.command}"
            yield ""
    good = diagnosis.of("ok")
    for finding in good:
        yield from _wrap("ok       ", f"{_title(finding)}: {finding.found}", width)
    if diagnosis.unseen:
        if good:
            yield ""
        yield from _wrap("not visible here: ", ", ".join(_name(check, on) for check, on in diagnosis.unseen), width)
    if good or diagnosis.unseen:
        yield ""
    counts = [plural(len(diagnosis.of("problem")), "problem"), plural(len(diagnosis.of("note")), "note")]
    prevented = sum(finding.prevents for finding in diagnosis.findings)
    yield f"{', '.join(counts)}, {len(good)} ok" + (
        f"; {plural(prevented, 'problem')} to solve before anything can be measured" if prevented else ""
    )


def _title(finding: Finding) -> str:
    return _name(finding.check, finding.subject)


def _name(check: str, subject: str) -> str:
    return f"{check} {subject}" if subject else check


def _wrap(start: str, text: str, width: int) -> list[str]:
    """Lines of at most `width`; those after the first begin below the text of the first."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=start,
        subsequent_indent=" " * len(start) if len(start) < 20 else _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
