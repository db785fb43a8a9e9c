"""What the language asks of others must not cost it what it does not use."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["kvscen.results.measures", "kvscen.report.numbers", "kvscen.cli.show"])
def test_pyarrow_is_not_imported(module: str) -> None:
    code = f"import sys, {module}; assert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lint_imports_nothing_that_looks_at_the_machine() -> None:
    heavy = ("pyarrow", "kvscen.doctor", "kvscen.facts", "kvscen.lint.here")
    code = f"import sys, kvscen.lint; assert not [name for name in sys.modules if name.startswith({heavy})]"
    subprocess.run([sys.executable, "-c", code], check=True)
