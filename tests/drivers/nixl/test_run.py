"""`kvscen run` with NIXL, and without."""

from kvscen_drivers.nixl import wheel
from tests.drivers.nixl.support import needs_nixl
from tests.e2e.support import kvscen, scenario, trials

SCENARIO = """kvs 1
tier dram : memory { }
tier disk : nixl { path = "./kv-data"; direct = false }
tier peer : nixl { backend = UCX }
pattern pages : transfer { block = 256 KiB; batch = 4 }
sweep agents {
  pattern = pages
  tier in [dram, disk, peer]
  pages.op in [write, read]
  trials = 1; warmup = 20 ms; operations = 200; seed = 1
  expect errors == 0
}
"""


@needs_nixl
def test_files_and_another_process(tmp_path):
    done = kvscen(tmp_path, "run", scenario(tmp_path, SCENARIO), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for row in trials(tmp_path / "out") if row["driver"] == "nixl"]
    assert [row["status"] for row in rows] == ["ok"] * 4
    for row in rows:
        assert row["nixl_version"] == wheel.version() and row["transfers"] and row["post_mean_ns"]
        assert row["verified_bytes"] == 4 * 256 << 10
        assert f"NIXL {wheel.version()}" in row["path_evidence"]
    assert {row["path"] for row in rows if row["tier"] == "disk"} == {"page cache"}


def test_without_the_package_the_others_run(tmp_path):
    """Its points are unavailable, which is no failure, and the reason says what to install."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name.startswith('nixl_') else found(name, *more)\n"
    )
    done = kvscen(tmp_path, "run", scenario(tmp_path, SCENARIO), "--out", "out", env={"PYTHONPATH": str(hidden)})
    assert done.returncode == 0, done.stdout + done.stderr
    rows = trials(tmp_path / "out")
    assert {(row["driver"], row["status"]) for row in rows} == {("memory", "ok"), ("nixl", "unavailable")}
    for row in rows:
        if row["driver"] == "nixl":
            assert "NIXL's Python package is not installed; pip install --no-deps nixl-cu13" in row["reason"]
    assert "pip install --no-deps nixl-cu13" in done.stdout


@needs_nixl
def test_a_level_of_a_cache(tmp_path):
    text = SCENARIO.replace(
        "tier peer : nixl { backend = UCX }",
        "tier cache : tiered { levels = [dram, disk]; capacities = [512 KiB] }",
    ).replace("tier in [dram, disk, peer]", "tier = cache")
    done = kvscen(tmp_path, "run", scenario(tmp_path, text), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["status"] for row in trials(tmp_path / "out")] == ["ok"] * 2
