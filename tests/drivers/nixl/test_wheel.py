"""The package: absent, present, and plugins that fail, crash or never return."""

import os
import sys

import pytest

from kvscen.plugin import Unavailable
from kvscen_drivers.nixl import wheel
from kvscen_drivers.nixl.driver import NixlDriver
from tests.drivers.nixl.support import needs_nixl, open_store, tier_of


@pytest.fixture(autouse=True)
def _asked_anew():
    wheel._examined.cache_clear()
    wheel.plugins.cache_clear()
    yield
    wheel._examined.cache_clear()
    wheel.plugins.cache_clear()


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """Puts a program in the place of the trial process."""

    def be(text):
        script = tmp_path / "interpreter"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        monkeypatch.setattr(wheel, "package", lambda: "nixl_cu13")
        monkeypatch.setattr(wheel, "version", lambda: "9.9")

    return be


def test_absent(monkeypatch):
    monkeypatch.setattr(wheel, "package", lambda: None)
    for tier in (None, tier_of(path="x"), tier_of(backend="UCX")):
        here = NixlDriver().probe(tier)
        assert (here.ok, here.reason) == (False, "NIXL's Python package is not installed")
        assert "pip install --no-deps nixl-cu13" in here.remedy and "`posix`" in here.remedy
    for tier in (tier_of(path="x"), tier_of(backend="UCX")):
        with pytest.raises(Unavailable, match="tier `t`: NIXL's Python package is not installed") as missing:
            open_store(tier)
        assert "pip install" in missing.value.remedy
    with pytest.raises(ImportError):
        wheel.api()


def test_a_plugin_that_never_returns(trial, monkeypatch):
    trial("exec sleep 60")
    monkeypatch.setattr(wheel, "LIMIT_S", 0.2)
    with pytest.raises(Unavailable, match=r"tier `t`: NIXL's GDS does not come up within 0\.2 s"):
        open_store(tier_of(backend="GDS", path="x"))


def test_a_plugin_that_crashes(trial):
    trial("kill -SEGV $$")
    here = NixlDriver().probe(tier_of(backend="UCX"))
    assert (here.ok, here.reason) == (False, "NIXL's UCX ends the process that creates it (status -11)")


def test_a_plugin_of_another_kind_of_memory(trial):
    trial("""echo noise; echo '{"ok": true, "reason": "", "memory": ["OBJ"]}'""")
    with pytest.raises(Unavailable, match="NIXL's OBJ moves OBJ; what is measured here is files"):
        open_store(tier_of(backend="OBJ"))


def test_variables_are_those_of_before_again(monkeypatch):
    monkeypatch.setenv("KVSCEN_A", "1")
    monkeypatch.delenv("KVSCEN_B", raising=False)
    with wheel.variables({"KVSCEN_A": "2", "KVSCEN_B": "3"}):
        assert (os.environ["KVSCEN_A"], os.environ["KVSCEN_B"]) == ("2", "3")
    assert os.environ["KVSCEN_A"] == "1" and "KVSCEN_B" not in os.environ


@needs_nixl
def test_this_machine():
    here = NixlDriver().probe(None)
    assert here.ok and here.facts["POSIX"] == "works"
    assert here.facts["NIXL"] == wheel.version()


@needs_nixl
def test_a_plugin_that_is_not_there():
    verdict = wheel.examine("MEMKV", {}, {})
    assert not verdict.ok and "no plugin MEMKV; it has" in verdict.reason and "POSIX" in verdict.reason


@needs_nixl
def test_a_plugin_that_is_there_and_does_not_load():
    broken = next((name for name, problem in wheel.plugins().items() if problem), None)
    if broken is None:
        pytest.skip("every plugin of this package can be loaded here")
    verdict = wheel.examine(broken, {}, {})
    assert not verdict.ok and verdict.reason == f"NIXL cannot create {broken}: {wheel.plugins()[broken]}"
