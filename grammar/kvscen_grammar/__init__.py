"""What is known about the language and is not program: its grammar and the catalogue of models."""

from __future__ import annotations

from importlib import resources

#: The name under which the catalogue appears in diagnostics and beside a run's scenario.
CATALOGUE_NAME = "models.kvs"


def catalogue_text() -> str:
    """The text of the catalogue: what `use models` brings in."""
    return (resources.files(__name__) / CATALOGUE_NAME).read_text(encoding="utf-8")
