"""The generated parts of docs/models.md: the catalogue in a table, and what `hf` knows.

`python -m kvscen.model.catalogue docs/models.md` writes them anew between its markers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

import kvscen_grammar
from kvscen.language.blocks import HeadsSettings, LatentSettings
from kvscen.language.huggingface import known_types
from kvscen.model.geometry import KindSettings, kinds_of
from kvscen.plan.sizing import Sized, size_model

_MARKED = re.compile(r"(<!-- begin: (catalogue|types) -->\n).*?(<!-- end -->)", re.DOTALL)
#: What stands above a model: its repository, bytes of a token, and where its figures were read.
_ABOVE = re.compile(r"^# (\S+/\S+): ([\d,]+) bytes per token.*\n# Read in (.+)\.$", re.MULTILINE)
_MODEL = re.compile(r"^model (\w+) :", re.MULTILINE)


@attrs.frozen
class Entry:
    """A published model of the catalogue, which is the last one below its comment, behind its parts. `token_bytes` is
    what the comment says."""

    name: str
    repository: str
    token_bytes: int
    source: str


def entries() -> Iterator[Entry]:
    """In the order of the catalogue."""
    for paragraph in kvscen_grammar.catalogue_text().split("\n\n"):
        above = _ABOVE.search(paragraph)
        if above is not None:
            yield Entry(_MODEL.findall(paragraph)[-1], above[1], int(above[2].replace(",", "")), above[3])


def table() -> str:
    rows = "".join(f"| {' | '.join(_cells(entry))} |\n" for entry in entries())
    heads = ("name", "layers", "KV heads", "head dim", "bytes of a token, bf16", "state of a request", "of", "read in")
    return f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n{rows}"


def _cells(entry: Entry) -> Iterator[str]:
    size = size_model(entry.name)
    kinds = kinds_of(size.model)
    assert size.geometry is not None, "the catalogue is sound"
    state = size.geometry.state_bytes
    yield f"`{entry.name}`"
    yield ", ".join(_layers(size))
    yield " and ".join(dict.fromkeys(str(kind.kv_heads) for kind in kinds if isinstance(kind, HeadsSettings))) or "–"
    yield " and ".join(dict.fromkeys(_dim(kind) for kind in kinds if _dim(kind)))
    yield f"{size.geometry.token_bytes:,}"
    yield f"{state:,}" if state else ""
    yield f"[{entry.repository}](https://huggingface.co/{entry.repository})"
    yield entry.source


def _layers(size: Sized) -> Iterator[str]:
    assert size.geometry is not None
    for kind in size.geometry.kinds:
        if kind.state_bytes:
            yield f"{kind.layers} linear"
        elif kind.window_tokens:
            yield f"{kind.layers} with a window of {kind.window_tokens:,}"
        elif kind.chunk_tokens:
            yield f"{kind.layers} with chunks of {kind.chunk_tokens:,}"
        else:
            yield f"{kind.layers}" if len(size.geometry.kinds) == 1 else f"{kind.layers} full"


def _dim(kind: KindSettings) -> str:
    if isinstance(kind, LatentSettings):
        return f"{kind.latent_dim} + {kind.rope_dim}"
    return str(kind.head_dim) if isinstance(kind, HeadsSettings) else ""


def filled(page: str) -> str:
    """The page with its table and the known types as they are now."""
    parts = {"catalogue": table(), "types": f"{', '.join(f'`{name}`' for name in known_types())}.\n"}
    return _MARKED.sub(lambda match: match[1] + parts[match[2]] + match[3], page)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(filled(place.read_text(encoding="utf-8")), encoding="utf-8")
