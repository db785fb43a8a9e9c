"""What makes a point the same point: in this run, in the next one, and on another machine.

The identity is the hash of the sweep's name and of every block that the point reaches: its name, kind, built-in
(driver, family or pattern type) and settings, defaults included, settings without a value left out, and what is in the
files that they name. Of the sweep's own settings only those that an axis varies belong to it, so that more trials or
another seed measure the same points again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvscen.plan.resolve import Resolved


def point_id(sweep: str, varied: Mapping[str, str], blocks: Iterable[Resolved], contents: Sequence[str] = ()) -> str:
    """12 hex digits. `varied`: the sweep's own settings that an axis gives their value, as text. `contents`: digests of
    what is in the files that the blocks name."""
    # One JSON object with sorted keys; the parts of it that are blocks are the same at many points.
    reached = ",".join(spelled for _, spelled in sorted({block.name: block.spelled for block in blocks}.items()))
    files = f'"contents":{_json(list(contents))},' if contents else ""
    text = f'{{"blocks":{{{reached}}},{files}"sweep":{_json(sweep)},"varied":{_json(dict(varied))}}}'
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]


def spell_block(name: str, kind: str, built_in: str, shown: Mapping[str, str]) -> str:
    """A block as it is in the text that is hashed."""
    return f"{_json(name)}:{_json({'kind': kind, 'is': built_in, 'settings': dict(shown)})}"


_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _json(value: Any) -> str:
    return _ENCODER.encode(value)
