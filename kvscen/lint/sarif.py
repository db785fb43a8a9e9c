"""Diagnostics as SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), which code-scanning services read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import kvscen
from kvscen.language.codes import CODES, RuleText
from kvscen.language.diagnose import Diagnostic, Severity, Span
from kvscen.language.render import place_of
from kvscen.lint.allow import Allowed

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def sarif(
    diagnostics: Sequence[Diagnostic], allowed: Sequence[Allowed] = (), texts: Mapping[str, RuleText] | None = None
) -> str:
    """One run. What the text allows is in it too, as suppressed results with their reason; `texts` are what the rules
    say of themselves."""
    codes = list(dict.fromkeys(d.code for d in (*diagnostics, *(a.diagnostic for a in allowed))))
    results = [_result(d, codes) for d in diagnostics]
    for each in allowed:
        suppression = {"kind": "inSource", "justification": each.reason}
        results.append({**_result(each.diagnostic, codes), "suppressions": [suppression]})
    run = {
        "tool": {
            "driver": {
                "name": "kvscen",
                "semanticVersion": kvscen.__version__,
                "rules": [_rule(code, (texts or {}).get(code)) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(code: str, text: RuleText | None) -> dict[str, Any]:
    known = CODES.get(code)
    title = text.title if text is not None else known.title if known is not None else code
    rule: dict[str, Any] = {"id": code, "shortDescription": {"text": title}}
    if text is not None:
        rule["fullDescription"] = {"text": " ".join(text.finds.split())}
        rule["help"] = {
            "text": f"{text.why}\n\n{text.remedy}",
            "markdown": f"**Why it matters**\n\n{text.why}\n\n**Remedy**\n\n{text.remedy}",
        }
    if known is not None:
        rule["defaultConfiguration"] = {"level": _LEVELS[known.severity]}
    return rule


def _result(diagnostic: Diagnostic, codes: list[str]) -> dict[str, Any]:
    text = diagnostic.message + (f"\n\n{diagnostic.help}" if diagnostic.help else "")
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": codes.index(diagnostic.code),
        "level": _LEVELS[diagnostic.severity],
        "message": {"text": text},
    }
    if diagnostic.span is not None:
        result["locations"] = [{"physicalLocation": _physical(diagnostic.span)}]
    if diagnostic.related:
        result["relatedLocations"] = list(_related(diagnostic.related))
    if diagnostic.fix is not None:
        span = diagnostic.fix.span
        replacement: dict[str, Any] = {"deletedRegion": _region(span)}
        if diagnostic.fix.replacement:
            replacement["insertedContent"] = {"text": diagnostic.fix.replacement}
        change = {"artifactLocation": _artifact(span), "replacements": [replacement]}
        result["fixes"] = [{"description": {"text": diagnostic.help or "mend it"}, "artifactChanges": [change]}]
    return result


def _related(related: Iterable[tuple[Span, str]]) -> Iterable[dict[str, Any]]:
    for span, text in related:
        yield {"physicalLocation": _physical(span), "message": {"text": text}}


def _physical(span: Span) -> dict[str, Any]:
    return {"artifactLocation": _artifact(span), "region": _region(span)}


def _artifact(span: Span) -> dict[str, str]:
    name = span.source.name
    if name.startswith("/"):
        return {"uri": Path(name).as_uri()}
    return {"uri": quote(name)}


def _region(span: Span) -> dict[str, int]:
    place = place_of(span)
    assert place is not None
    return {
        "startLine": place["line"],
        "startColumn": place["column"],
        "endLine": place["end_line"],
        "endColumn": place["end_column"],
        "charOffset": span.start,
        "charLength": span.end - span.start,
    }
