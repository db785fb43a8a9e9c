"""The TextMate grammar of the language, which editors colour scenarios by.

`python -m kvscen.editors.textmate editors/vscode/syntaxes/kvs.tmLanguage.json` writes it anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

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

_KINDS = "|".join(KINDS)
_START = r"(?<![A-Za-z0-9_.])"


def grammar() -> dict[str, Any]:
    """The grammar as a JSON object. Its regular expressions are Oniguruma's; none looks behind a line."""
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "kvscen scenario",
        "scopeName": "source.kvs",
        "fileTypes": ["kvs"],
        "patterns": [
            _match(r"#.*$", "comment.line.number-sign.kvs"),
            _groups(rf"^\s*(kvs)\s+({NUMBER})", "keyword.control.version.kvs", "constant.numeric.kvs"),
            _groups(rf"{_START}(use)\s+({NAME})", "keyword.control.import.kvs", "entity.name.namespace.kvs"),
            _groups(r'(use)\s+(?=")', "keyword.control.import.kvs"),
            _groups(rf"{_START}(let)\s+({NAME})", "storage.type.kvs", "variable.other.constant.kvs"),
            _groups(
                rf"{_START}({_KINDS})\s+({NAME})\s*(:)\s*({NAME})",
                "storage.type.kvs",
                "entity.name.type.kvs",
                "punctuation.separator.kvs",
                "entity.other.inherited-class.kvs",
            ),
            _groups(rf"{_START}({_KINDS})\s+({NAME})(?=\s*(?:\{{|$))", "storage.type.kvs", "entity.name.type.kvs"),
            _groups(rf"({NAME})(?=\s*=(?!=))", "variable.other.property.kvs"),
            _groups(rf"({NAME})\s+(in)(?![A-Za-z0-9_])", "variable.other.property.kvs", "keyword.operator.in.kvs"),
            _groups(rf"({NAME})\s*(\.)", "variable.other.object.kvs", "punctuation.accessor.kvs"),
            _match(_START + one_of(STATEMENTS), "keyword.control.kvs"),
            _match(_START + one_of(INNER), "keyword.operator.word.kvs"),
            _match(_START + one_of(CONSTANTS), "constant.language.kvs"),
            _match(rf"{_START}{one_of(CALLED)}(?=\s*\()", "support.function.kvs"),
            _groups(rf"{_START}({NUMBER})\s*({unit()})", "constant.numeric.kvs", "keyword.other.unit.kvs"),
            _match(rf"{_START}{NUMBER}", "constant.numeric.kvs"),
            {
                "begin": '"',
                "end": r'"|$',
                "name": "string.quoted.double.kvs",
                "patterns": [
                    _match(ESCAPE, "constant.character.escape.kvs"),
                    _match(r"\\.", "invalid.illegal.escape.kvs"),
                ],
            },
            _match(COMPARE, "keyword.operator.comparison.kvs"),
            _match(r"[-+*/=]", "keyword.operator.kvs"),
            _match(r"[(){}\[\]]", "punctuation.section.kvs"),
            _match(r"[,;:.]", "punctuation.separator.kvs"),
            _match(NAME, "variable.other.kvs"),
        ],
    }


def text() -> str:
    return json.dumps(grammar(), indent=2, ensure_ascii=False) + "\n"


def _match(pattern: str, scope: str) -> dict[str, Any]:
    return {"match": pattern, "name": scope}


def _groups(pattern: str, *scopes: str) -> dict[str, Any]:
    return {"match": pattern, "captures": {str(i): {"name": scope} for i, scope in enumerate(scopes, start=1)}}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
