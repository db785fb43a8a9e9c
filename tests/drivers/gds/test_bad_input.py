"""What a machine may lack, and what may go wrong on it: each is one sentence with a remedy. On stand-ins."""

import subprocess
import sys
from pathlib import Path

import pytest

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.plugin import ERROR, READ, WRITE, DriverError, Lost, Tier, Unavailable, Work
from kvscen_drivers.gds import cufile, store, trial
from kvscen_drivers.gds.driver import GdsDriver
from kvscen_drivers.gds.settings import GdsSettings
from kvscen_drivers.gpu import cuda
from kvscen_drivers.gpu import trial as gpu_trial
from kvscen_drivers.gpu.driver import GpuDriver
from kvscen_drivers.gpu.settings import GpuSettings
from kvscen_drivers.gpu.steps import Failed
from kvscen_drivers.posix import honesty
from tests.drivers.gds.test_standin import BLOCK, KEYS, _ops, _run, make  # noqa: F401 - a fixture
from tests.drivers.gpu.standin import CUresult, StandIn
from tests.e2e.support import ROOT

WORK = Work("read", BLOCK, 4, KEYS, memory="vram")


def _opened(driver, tier, work=WORK):
    """What a worker answers when a point is opened."""
    session = Session()
    target = f"{type(driver).__module__}:{type(driver).__qualname__}"
    answer = session.handle(messages.Open("p", tier, work, 0, {tier.driver: target}, 1))
    session.close()
    return answer


def _tier(path="blocks", **settings):
    return Tier("fast", "gds", GdsSettings(path=str(path), **settings))


def test_no_libcuda(monkeypatch, tmp_path):
    monkeypatch.setattr(cuda, "LIBRARY", "libcuda-that-is-not.so.1")
    trial.examine.cache_clear()
    for driver, tier in ((GdsDriver(), _tier(tmp_path / "b")), (GpuDriver(), Tier("hbm", "gpu", GpuSettings()))):
        for found in (driver.probe(None), driver.probe(tier)):
            assert not found.ok
            assert "libcuda.so.1 is not found" in found.reason
            assert "nvidia-smi" in found.remedy
        answer = _opened(driver, tier)
        assert isinstance(answer, messages.Failed)
        assert answer.status == "unavailable"
        assert "libcuda.so.1 is not found" in answer.reason
    trial.examine.cache_clear()
    assert not (tmp_path / "b").exists()


def test_no_gpu(monkeypatch, cufile_standin):
    monkeypatch.setattr(cuda, "bindings", lambda: StandIn(gpus=0))
    cuda._opened.cache_clear()
    for found in (trial.answer(0), gpu_trial.answer(0)):
        assert found.reason == "GPU 0 cannot be used: cuInit failed: CUDA_ERROR_NO_DEVICE (what CUDA says of it)"
        assert found.remedy


def test_no_nvidia_fs(monkeypatch, cufile_standin, make, tmp_path):  # noqa: F811
    monkeypatch.setattr(trial, "NVIDIA_FS", tmp_path / "none")
    monkeypatch.setattr(store, "NVIDIA_FS", tmp_path / "none")
    assert trial.answer(0).facts["nvidia-fs"].startswith("not loaded")
    cufile._open.clear()
    cufile_standin.refuse["handle_register"] = "NVFS_DRIVER_ERROR (5010)"
    with pytest.raises(Unavailable, match=r"does not take the file .* NVFS_DRIVER_ERROR") as none:
        make(compat="forbid")
    assert "compat = allow" in none.value.remedy
    cufile._open.clear()
    cufile_standin.refuse.clear()
    fast, lane, _ = make()
    _run(lane, _ops(WRITE))
    assert fast.path().kind == "compat", "which is never called GDS"


def test_a_cufile_of_another_minor_version(monkeypatch, cufile_standin):
    bindings = sys.modules["kvscen_drivers.gds.cufile"]
    cufile_standin.version = 1190
    monkeypatch.undo()
    monkeypatch.setattr(cufile, "why_not", lambda: None)
    monkeypatch.setattr(cufile, "bindings_version", lambda: "13.2.0")
    monkeypatch.setattr(cufile.importlib, "import_module", lambda name: cufile_standin)
    found = trial.answer(0)
    assert found.reason == "cuFile 1.19 and cuda-bindings 13.2.0 are of different minor versions of CUDA"
    assert found.remedy == bindings.INSTALL


def test_a_cufile_that_does_not_open(cufile_standin):
    cufile_standin.refuse["driver_open"] = "DRIVER_VERSION_MISMATCH (5004)"
    found = trial.answer(0)
    assert "cuFile's driver cannot be opened: DRIVER_VERSION_MISMATCH" in found.reason
    assert found.remedy


@pytest.mark.parametrize(
    ("module", "name"), [(gpu_trial, "kvscen_drivers.gpu.trial"), (trial, "kvscen_drivers.gds.trial")]
)
def test_what_a_probe_says_of_a_child_that_hangs(monkeypatch, module, name):
    asked = []
    said = Failed("opening the GPU did not end within 12 s", "look")
    monkeypatch.setattr(gpu_trial, "why_not", lambda: None)
    monkeypatch.setattr(cufile, "why_not", lambda: None)
    monkeypatch.setattr(module, "walk", lambda command: asked.append(command) or said)
    trial.examine.cache_clear()
    driver = GdsDriver() if module is trial else GpuDriver()
    found = driver.probe(None)
    trial.examine.cache_clear()
    assert (found.ok, found.reason, found.remedy) == (False, "opening the GPU did not end within 12 s", "look")
    assert asked[0][-2:] == [name, "0"]


def test_a_file_system_without_direct_io(monkeypatch, cufile_standin, tmp_path):
    monkeypatch.setattr(honesty, "direct_alignment", lambda descriptor: None)
    tier = _tier(tmp_path / "blocks")
    found = GdsDriver().probe(tier)
    assert not found.ok
    assert "no direct I/O that can be relied on" in found.reason
    answer = _opened(GdsDriver(), tier)
    assert isinstance(answer, messages.Failed)
    assert answer.status == "error"
    assert "asks for direct I/O" in answer.reason


@pytest.mark.parametrize("mode", ["batch", "stream", "sync"])
def test_a_file_that_is_too_small(make, tmp_path, mode):  # noqa: F811
    fast, lane, _ = make(mode=mode)
    _run(lane, _ops(WRITE))
    (data,) = (path for path in (tmp_path / "blocks").iterdir() if path.stat().st_size >= KEYS * BLOCK)
    with data.open("r+b") as file:
        file.truncate(BLOCK + 512)
    done = _run(lane, _ops(READ))
    bad = done["outcome"] == ERROR
    assert bad.sum() == KEYS - 1
    assert (done["bytes"][bad] < BLOCK).all()
    with pytest.raises(DriverError) as said:
        fast.check()
    assert str(data) in str(said.value) or "blocks" in str(said.value)


@pytest.mark.parametrize("memory", ["dram", "vram"])
def test_memory_exhausted(standin, cufile_standin, tmp_path, memory):
    standin.fail("cuMemAlloc" if memory == "vram" else "cuMemHostRegister", 0, CUresult.CUDA_ERROR_OUT_OF_MEMORY)
    work = Work("read", BLOCK, 4, KEYS, memory=memory)
    answer = _opened(GdsDriver(), _tier(tmp_path / "b", allow_buffered=True), work)
    assert isinstance(answer, messages.Failed)
    assert answer.status == "error"
    assert "of buffers" in answer.reason
    assert "depth" in answer.reason, "what to do"


@pytest.mark.parametrize("mode", ["batch", "stream"])
def test_a_gpu_lost_before_an_operation(make, standin, mode):  # noqa: F811
    _, lane, _ = make(mode=mode)
    _run(lane, _ops(WRITE))
    cuda._here.gpu = None
    standin.fail("cuCtxSetCurrent", 0, CUresult.CUDA_ERROR_LAUNCH_FAILED)
    with pytest.raises(Lost, match="CUDA_ERROR_LAUNCH_FAILED") as lost:
        lane.submit(_ops(READ))
    assert "Xid" in lost.value.remedy


WATCHED = """
import sys
seen = []
def look(event, arguments):
    word = str(arguments[0]) if arguments else ""
    if event == "import" and word.split(".")[0] in ("cuda", "cupy", "torch", "nvidia"):
        seen.append(word)
    if event == "ctypes.dlopen" and ("cuda" in word or "cufile" in word):
        seen.append(word)
sys.addaudithook(look)
from kvscen.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print("\\nended", end.code, seen)
"""


def test_who_conducts_a_run_touches_no_library_of_a_gpu(tmp_path: Path) -> None:
    """Whatever its tiers are: workers and children of probes do."""
    (tmp_path / "s.kvs").write_text("""kvs 1
tier fast : gds   { path = "b" }
tier disk : posix { path = "c"; allow_buffered = true }
pattern pages : transfer { block = 64 KiB; batch = 4; working_set = 1 MiB; op = write; memory = vram }
sweep s { pattern = pages; tier in [fast, disk]; trials = 1; operations = 8; seed = 1 }
""")
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, "run", "s.kvs", "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "ended 0 []", done.stdout + done.stderr
