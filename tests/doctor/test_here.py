"""`kvscen plan --here`: a plan against a machine."""

from __future__ import annotations

from pathlib import Path

import attrs

from kvscen.doctor.here import Here, here, here_json, here_lines
from kvscen.facts.wear import Wear
from kvscen.plan.needs import Needs, PathNeed
from kvscen.plan.writes import TierWrites
from tests.doctor.machines import FOLDER, NVME, VARIANTS, Machine, _disk
from tests.doctor.test_checks import DISK, check, works

PATH = "/mnt/nvme/kv"
NEEDS = Needs((DISK,), (PathNeed(PATH, ("disk",), 10 << 30, True),))
WRITES = (TierWrites("disk", 10 << 30, 20 << 30, 0, 70 << 30, 0, False),)


def look(machine: Machine, root: Path, endurance: dict[str, int] | None = None, needs: Needs = NEEDS) -> Here:
    return here(machine.facts(root), needs, WRITES, endurance or {}, works)


def said(found: Here) -> str:
    return "".join(line + "\n" for line in here_lines(found))


def test_texts(tmp_path: Path) -> None:
    text = ""
    for name, machine, endurance in (
        ("good", Machine(), {"": 600 * 10**12}),
        ("no rating", Machine(), {}),
        ("another tier's rating", Machine(), {"other": 10**12}),
        ("no wear to be read", Machine(wear=Wear(problem="neither smartctl nor nvme is installed")), {"disk": 10**15}),
        ("too small", Machine(look=attrs.evolve(FOLDER, free_bytes=1 << 30)), {}),
        ("no parent", VARIANTS["no parent"], {}),
        ("tmpfs", VARIANTS["tmpfs"], {}),
    ):
        found = look(machine, tmp_path / name, endurance)
        text += f"==== {name}: {'possible' if found.possible else 'impossible'}\n{said(found)}\n"
    check("here.txt", text)


def test_json_has_raw_figures(tmp_path: Path) -> None:
    shown = here_json(look(Machine(), tmp_path, {"disk": 600 * 10**12}))
    [path] = shown["paths"]
    assert (path["needed_bytes"], path["free_bytes"], path["least_written_bytes"]) == (
        10 << 30,
        3000 * 10**9,
        100 << 30,
    )
    [disk] = path["disks"]
    assert (disk["used_percent"], disk["written_bytes"], disk["rated_bytes"]) == (3, 61_400 * 10**9, 600 * 10**12)
    assert disk["share"] == (100 << 30) / (600 * 10**12)
    assert shown["possible"] is True


def test_several_disks_are_not_added_up(tmp_path: Path) -> None:
    second = NVME.replace("nvme0", "nvme1")
    tree = {
        **_disk("md0"),
        f"{second}/size": "2097152",
        f"{second}/queue/rotational": "0",
        "sys/devices/virtual/block/md0/slaves/nvme0n1": f"->../../../../../../{NVME}",
        "sys/devices/virtual/block/md0/slaves/nvme1n1": f"->../../../../../../{second}",
    }
    found = look(Machine(tree, look=attrs.evolve(FOLDER, device=(7, 0))), tmp_path, {"": 10**15})
    assert [disk.name for disk in found.paths[0].disks] == ["nvme0n1", "nvme1n1"]
    assert said(found).count("0.011 % of the 1 PB that it is rated for, if all of it goes to this disk") == 2


def test_a_path_that_does_not_answer(tmp_path: Path) -> None:
    facts = attrs.evolve(Machine().facts(tmp_path), file_systems={}, unreadable={PATH: "did not answer within 5 s"})
    found = here(facts, NEEDS, WRITES, {}, works)
    assert not found.possible
    assert "problem: did not answer within 5 s" in said(found)


def test_folders_on_one_file_system_share_its_space(tmp_path: Path) -> None:
    both = Needs(paths=(PathNeed(PATH, ("a",), 10 << 30, True), PathNeed("/mnt/nvme/b", ("b",), 10 << 30, True)))
    facts = Machine(look=attrs.evolve(FOLDER, free_bytes=15 << 30)).facts(tmp_path)
    facts = attrs.evolve(facts, file_systems=dict.fromkeys((PATH, "/mnt/nvme/b"), facts.file_systems[PATH]))
    found = here(facts, both, (), {}, works)
    assert not found.possible
    assert said(found).count("problem: 15 GiB of 3.49 TiB free, 10 GiB needed, 10 GiB more in other folders") == 2
    alone = here(facts, attrs.evolve(both, paths=both.paths[:1]), (), {}, works)
    assert alone.possible


def test_a_disk_below_a_cache(tmp_path: Path) -> None:
    found = here(Machine().facts(tmp_path), NEEDS, (), {"": 10**15}, works)
    assert "what this plan writes to it is not known before it runs" in said(found)
