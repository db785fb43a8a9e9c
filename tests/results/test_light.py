"""What the language asks of the results must not cost it pyarrow."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["kvscen.results.measures", "kvscen.report.numbers", "kvscen.cli.show"])
def test_pyarrow_is_not_imported(module: str) -> None:
    code = f"import sys, {module}; assert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
