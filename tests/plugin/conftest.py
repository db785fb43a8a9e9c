from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .installed import Installed


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    """An empty folder of installed packages, before all others."""
    place = Installed(tmp_path)
    yield place
    place.close()
