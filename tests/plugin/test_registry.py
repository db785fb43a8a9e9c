"""Finding drivers, and what broken packages do to it: each is named with the remedy, and the others work."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import warnings

import pytest

from kvscen.plugin.registry import ELSEWHERE, GROUP, PluginError, registry

from .installed import GOOD, Installed

OURS = {"command", "memory", "nixl", "posix", "sim", "tiered"}


def problem(name: str) -> PluginError:
    with pytest.raises(PluginError) as caught:
        registry().driver(name)
    return caught.value


def test_it_agrees_with_importlib_metadata(installed: Installed) -> None:
    installed.package("kvscen-extra", "one = one_mod:Good\ntwo = one_mod:Sub.Good", {"one_mod": ""})
    ours = {(name, ref.target, ref.distribution, ref.version) for name, ref in registry().refs.items()}
    theirs = {
        (e.name, e.value, e.dist.name.replace("_", "-").lower(), e.dist.version)
        for e in importlib.metadata.entry_points(group=GROUP)
        if e.dist is not None
    }
    assert ours == theirs
    assert {name for name, *_ in ours} >= OURS | {"one", "two"}


def test_a_plugin_is_found_and_loaded(installed: Installed) -> None:
    installed.package("kvscen-extra", "extra = extra_mod:Good", {"extra_mod": GOOD.format(name="extra")}, "2.5")
    ref = registry().refs["extra"]
    assert (ref.distribution, ref.version, ref.target) == ("kvscen-extra", "2.5", "extra_mod:Good")
    assert "extra_mod" not in sys.modules
    assert registry().driver("extra").summary == "a good one"
    assert registry().driver("extra") is registry().driver("extra")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise RuntimeError('no such device')", "could not be imported: RuntimeError: no such device"),
        ("import sys; sys.exit('bye')", "could not be imported: SystemExit: bye"),
        ("import not_there_at_all", "No module named 'not_there_at_all'"),
        ("", "has no attribute 'Good'"),
        ("def Good(: pass", "SyntaxError"),
        ("Good = 3", "is not a subclass of kvscen.plugin.Driver"),
        (GOOD.format(name="other"), "calls itself `other`"),
        (GOOD.format(name="bad") + "    api_version = 99\n", "written for version 99 of the driver contract"),
        (GOOD.format(name="bad") + "    settings = dict\n", "has no settings"),
        (GOOD.format(name="bad") + "    summary = None\n", "has no summary"),
        (GOOD.format(name="bad") + "    def __init__(self):\n        raise KeyError('x')\n", "could not be made"),
        (
            "from kvscen.plugin import setting, Size\n"
            + GOOD.format(name="bad").replace("    pass", "    size: int = setting(Size(), help='x')", 1),
            "declares its settings wrongly: Settings.size: a Size field ends in _bytes",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named(installed: Installed, code: str, says: str) -> None:
    installed.package("kvscen-bad", "bad = bad_mod:Good", {"bad_mod": code})
    found = problem("bad")
    assert says in str(found)
    assert str(found).startswith("driver `bad` of the package kvscen-bad 1.0 (bad_mod:Good)")
    assert found.remedy
    assert registry().driver("sim").name == "sim"


def test_an_entry_point_that_leads_nowhere(installed: Installed) -> None:
    installed.package("kvscen-bad", "bad = no_such_module_here:Good")
    assert "No module named 'no_such_module_here'" in str(problem("bad"))
    assert problem("bad").remedy == "reinstall or remove it: pip uninstall kvscen-bad"


def test_what_a_plugin_prints_does_not_reach_stdout(installed: Installed, capsys: pytest.CaptureFixture[str]) -> None:
    installed.package("p", "loud = loud_mod:Good", {"loud_mod": "print('hello')\n" + GOOD.format(name="loud")})
    registry().driver("loud")
    assert capsys.readouterr() == ("", "hello\n")


def test_two_packages_that_bring_one_name(installed: Installed) -> None:
    installed.package("kvscen-a", "twin = a_mod:Good", {"a_mod": GOOD.format(name="twin")})
    installed.package("kvscen-b", "twin = b_mod:Good\nsole = b_mod:Good", version="3.1")
    assert "twin" not in registry().refs and "sole" in registry().refs
    found = problem("twin")
    assert str(found) == (
        "the driver `twin` is brought by several packages: kvscen-a 1.0 (a_mod:Good), kvscen-b 3.1 (b_mod:Good)"
    )
    assert "pip uninstall" in found.remedy


def test_a_package_that_brings_the_name_of_ours(installed: Installed) -> None:
    installed.package("kvscen-a", "sim = a_mod:Good")
    assert "kvscen-a 1.0" in str(problem("sim"))
    assert registry().driver("memory").name == "memory"


@pytest.mark.parametrize("value", ["no colon or module!", "a-b:C", ":C"])
def test_an_entry_point_that_is_none(installed: Installed, value: str) -> None:
    installed.package("kvscen-bad", f"bad = {value}\ngood = g_mod:Good")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "good" in registry().refs
    assert f"the package kvscen-bad names the driver `bad` by `{value}`" in str(problem("bad"))


@pytest.mark.parametrize(
    "broken",
    [
        b"[kvscen.drivers]\nx = a:B\nx = a:C\n",
        b"x = 1\n[kvscen.drivers]\n",
        b"[console_scripts]\n\xff\xfe = a:b\n",
    ],
    ids=["a name twice", "no section", "not UTF-8"],
)
def test_a_package_with_broken_metadata_does_not_hide_the_others(installed: Installed, broken: bytes) -> None:
    """Any package on the machine can be the broken one, not only those with drivers."""
    installed.package("unlucky", broken)
    installed.package("kvscen-good", "good = g_mod:Good\nbad = no module", {"g_mod": GOOD.format(name="good")})
    assert set(registry().refs) >= OURS | {"good"}
    assert registry().refs["sim"].distribution == "kvscen"
    assert registry().driver("good").summary == "a good one"
    assert "the entry points of the package unlucky cannot be read" in str(problem("unlucky"))
    assert "`no module`, which is no module:Class" in str(problem("bad"))


def test_an_unknown_driver() -> None:
    found = problem("nosuch")
    assert str(found) == "no driver is called `nosuch`"
    assert found.remedy.startswith("install the package that brings it; installed: ") and "sim" in found.remedy
    for name in ELSEWHERE:
        assert name not in registry().refs
        assert "is not part of this version of kvscen" in problem(name).remedy


def test_the_core_imports_no_driver() -> None:
    """Not even by way of the registry, until a driver is asked for."""
    script = (
        "import sys, pkgutil, importlib, kvscen\n"
        "from kvscen.plugin.registry import registry\n"
        "assert registry().names()\n"
        "for module in pkgutil.walk_packages(kvscen.__path__, 'kvscen.'):\n"
        "    if '__main__' not in module.name: importlib.import_module(module.name)\n"
        "print([name for name in sys.modules if name.startswith('kvscen_drivers')])\n"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert child.stdout == "[]\n", child.stderr
