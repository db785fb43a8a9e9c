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

from kvscen.plan.resolve import Resolved


def point_id(sweep: str, varied: Mapping[str, str], blocks: Iterable[Resolved], contents: Sequence[str] = ()) -> str:
    """12 hex digits. `varied`: the sweep's own settings that an axis gives their value, as text. `contents`: digests of
    what is in the files that the blocks name."""
    reached = {
        block.name: {"kind": block.kind, "is": block.built_in, "settings": dict(block.shown)} for block in blocks
    }
    whole = {"sweep": sweep, "varied": dict(varied), "blocks": reached}
    text = json.dumps(
        whole | ({"contents": list(contents)} if contents else {}),
        sort_keys=True,
        ensure_ascii=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]
