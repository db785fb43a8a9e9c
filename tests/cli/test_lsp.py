"""`kvscen lsp`: what it says where it cannot serve. Serving is tests/lsp."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from kvscen.cli.main import main


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "pygls" else find(name, *rest))
    result = CliRunner().invoke(main, ["lsp"])
    assert result.exit_code == 2
    assert "the language server needs pygls, which is not installed" in result.output
    assert "pip install 'kvscen[lsp]'" in result.output


@pytest.mark.parametrize("address", ["", "x", "host:", "localhost:99999", "1.5"])
def test_a_wrong_address(address: str) -> None:
    result = CliRunner().invoke(main, ["lsp", "--tcp", address])
    assert result.exit_code == 2 and "--tcp takes PORT or HOST:PORT" in result.output


def test_an_address_that_cannot_be_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvscen.lsp.server import Server

    def refuse(self: Any, host: str, port: int) -> None:
        assert (host, port) == ("127.0.0.1", 2087)
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(Server, "start_tcp", refuse)
    result = CliRunner().invoke(main, ["lsp", "--tcp", "2087"])
    assert result.exit_code == 2 and "127.0.0.1:2087 cannot be listened on (Address already in use)" in result.output


def test_only_the_server_imports_pygls() -> None:
    """Every question can be asked without the extra, and `kvscen lsp --help` waits for nothing."""
    modules = "analysis complete hover definition rename outline layout shown open looking child looker"
    code = (
        f"import sys, importlib\nfor name in {modules.split()!r}: importlib.import_module('kvscen.lsp.' + name)\n"
        "import kvscen.cli.lsp\nassert not {'pygls', 'lsprotocol'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
