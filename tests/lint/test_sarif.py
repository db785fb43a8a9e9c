"""SARIF 2.1.0: its structure as the standard has it, of the parts that kvscen writes; and what code scanning needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import kvscen
from kvscen.cli.main import main

TEXT = """kvs 1
let unused = 1
tier dram : memory { }
pattern p : transfer { block = 1 MiB; op = read }
sweep s {
  pattern = p; tier = dram; seed = 1
  trials = 1  # kvs: allow KVS401 because it is quick
  p.block in [1 MiB, 2 MiB, 1 MiB]
}
"""

# Of the schema: for each kind of object its properties (those with ! are required) and what they hold. A list of one is
# an array of that, text in quotes another kind of object, a tuple its only values.
MESSAGE: dict[str, Any] = {"text": str, "markdown": str}
REGION = dict.fromkeys(("startLine", "startColumn", "endLine", "endColumn", "charOffset", "charLength"), int)
ARTIFACT = {"uri": str}
PHYSICAL = {"artifactLocation": ARTIFACT, "region": REGION}
LEVEL = ("none", "note", "warning", "error")
REPLACEMENT = {"deletedRegion!": REGION, "insertedContent": MESSAGE}
CHANGE = {"artifactLocation!": ARTIFACT, "replacements!": [REPLACEMENT]}
RESULT = {
    "ruleId": str,
    "ruleIndex": int,
    "level": LEVEL,
    "message!": MESSAGE,
    "locations": [{"physicalLocation": PHYSICAL}],
    "relatedLocations": [{"physicalLocation": PHYSICAL, "message": MESSAGE}],
    "fixes": [{"description": MESSAGE, "artifactChanges!": [CHANGE]}],
    "suppressions": [{"kind!": ("inSource", "external"), "justification": str}],
}
RULE = {
    "id!": str,
    "shortDescription": MESSAGE,
    "fullDescription": MESSAGE,
    "help": MESSAGE,
    "defaultConfiguration": {"level": LEVEL},
}
DRIVER = {"name!": str, "semanticVersion": str, "rules": [RULE]}
RUN = {"tool!": {"driver!": DRIVER}, "columnKind": ("utf16CodeUnits", "unicodeCodePoints"), "results": [RESULT]}
LOG = {"$schema": str, "version!": ("2.1.0",), "runs!": [RUN]}


def hold(value: Any, shape: Any, where: str = "") -> None:
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        known = {name.rstrip("!"): (inner, name.endswith("!")) for name, inner in shape.items()}
        assert set(value) <= set(known), f"{where}: {set(value) - set(known)}"
        for name, (inner, required) in known.items():
            assert name in value or not required, f"{where}: no {name}"
            if name in value:
                hold(value[name], inner, f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        for item in value:
            hold(item, shape[0], f"{where}[]")
    elif isinstance(shape, tuple):
        assert value in shape, where
    else:
        assert type(value) is shape, where


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "ä.kvs").write_text(TEXT)
    (tmp_path / "wrong.kvs").write_text(TEXT.replace("op = read", "op = raed"))
    result = CliRunner().invoke(main, ["lint", ".", "missing.kvs", "--format", "sarif"])
    assert result.exit_code == 2
    return json.loads(result.stdout)


def test_the_structure(log: Any) -> None:
    hold(log, LOG)
    [run] = log["runs"]
    assert run["tool"]["driver"]["semanticVersion"] == kvscen.__version__
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(ids) == len(set(ids))
    assert all(ids[result["ruleIndex"]] == result["ruleId"] for result in run["results"])


def test_what_is_in_it(log: Any) -> None:
    [run] = log["runs"]
    by_code = {result["ruleId"]: result for result in run["results"]}
    assert set(by_code) == {"KVS001", "KVS101", "KVS130", "KVS134", "KVS401"}
    assert by_code["KVS101"]["level"] == "error" and "locations" not in by_code["KVS001"]
    # What the text allows is there, and says so.
    assert by_code["KVS401"]["suppressions"] == [{"kind": "inSource", "justification": "it is quick"}]
    assert all("suppressions" not in result for code, result in by_code.items() if code != "KVS401")
    place = by_code["KVS134"]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b/%C3%A4.kvs"
    first = TEXT.rindex("1 MiB")
    assert place["region"] == {
        "startLine": 8,
        "startColumn": 29,
        "endLine": 8,
        "endColumn": 34,
        "charOffset": first,
        "charLength": 5,
    }
    assert len(by_code["KVS134"]["relatedLocations"]) == 1
    [change] = by_code["KVS134"]["fixes"][0]["artifactChanges"]
    assert change["replacements"] == [
        {"deletedRegion": {**place["region"], "startColumn": 27, "charOffset": first - 2, "charLength": 7}}
    ]
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert rules["KVS130"]["help"]["text"] and "help" not in rules["KVS101"]


def test_nothing_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.kvs").write_text(TEXT.replace("let unused = 1\n", "").replace(", 1 MiB]", "]"))
    found = json.loads(CliRunner().invoke(main, ["lint", "a.kvs", "--format", "sarif"]).stdout)
    hold(found, LOG)
    assert [result["ruleId"] for result in found["runs"][0]["results"]] == ["KVS401"]
