"""No GPU: a message with the reason and help, exit code 2, no fallback. And the devices that are available."""

from __future__ import annotations

import ctypes
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import archscope
from archscope import devices, targets
from archscope.analysis.prepared_timing import fused_kernels_device
from archscope.cli import cli
from archscope.devices import cuda
from archscope.errors import UsageError
from tests.devices.fakes import FakeGpu, pretending

LENET = str(Path(__file__).parents[2] / "specs/tutorials/lenet.yaml")
OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading "
    "and installing a new version from the URL: https://example.com"
)
TOO_OLD = "The NVIDIA driver on your system is too old (found version 11040)"
ABSENT = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver"

NOT_READY = (
    "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that "
    "might have already set an error? Error 802: system not yet initialized"
)
UNKNOWN = (
    "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env variable "
    "CUDA_VISIBLE_DEVICES after program start. Setting the available devices to be zero."
)


def raising(text: str) -> Any:
    def init() -> None:
        raise RuntimeError(text)

    return init


def with_cuda(monkeypatch: pytest.MonkeyPatch, *, count: int = 0, said: str = "") -> None:
    """A torch that is built for CUDA, with so many GPUs, or a reason why there is none."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "init", raising(said) if said else lambda: None)


def refused(device: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(cli, ["time", LENET, "--device", device, "--seconds", "0.01"])
    assert done.stdout == ""
    return done.exit_code, done.stderr.splitlines()


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_torch_without_cuda(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, (fact, fix) = refused(device)
    assert code == 2
    assert fact == f"there is no device {device!r} here: this torch, {torch.__version__}, is built without CUDA"
    assert fix.startswith("  help: install a torch that is built for CUDA; --device cpu runs on the CPU")


@pytest.mark.parametrize(
    ("said", "fact", "fix"),
    [
        (
            OLD,
            "The NVIDIA driver on your system is too old (found version 11040)",
            "update the driver, or install a torch",
        ),
        (ABSENT, "Found no NVIDIA driver on your system", "nvidia-smi says whether there is a GPU and a driver"),
        ("No CUDA GPUs are available", "No CUDA GPUs are available", "CUDA_VISIBLE_DEVICES hides GPUs"),
        (NOT_READY, "Error 802: system not yet initialized", "nvidia-smi says whether there is a GPU and a driver"),
        (UNKNOWN, "CUDA unknown error", "nvidia-smi says whether there is a GPU and a driver"),
    ],
)
def test_a_driver_that_does_not_serve(said: str, fact: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(monkeypatch, said=said)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    code, lines = refused("cuda")
    assert (code, len(lines)) == (2, 2)
    assert lines[0] == f"there is no device 'cuda' here: {fact}"
    assert fix in lines[1]


@pytest.mark.parametrize(("count", "there"), [(1, "there is cuda:0"), (4, "there are cuda:0 to cuda:3")])
def test_a_number_that_is_not_there(count: int, there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(monkeypatch, count=count)
    assert refused("cuda:7") == (2, [f"there is no device 'cuda:7' here: {there}", "  help: --device cuda:0"])
    assert targets.resolve_device(f"cuda:{count - 1}") == f"cuda:{count - 1}"


@pytest.mark.parametrize("value", ["", "-1", "7", "nonsense"])
def test_what_hides_all_gpus_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(monkeypatch, said="No CUDA GPUs are available")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    code, lines = refused("cuda:1")
    assert code == 2
    assert lines[1].startswith(f"  help: CUDA_VISIBLE_DEVICES is {value!r}, which hides all other GPUs: unset it; ")


@pytest.mark.parametrize(
    ("said", "fact", "fix"),
    [
        ("CUDA error: out of memory\nSearch for it", "out of memory", "other work holds its memory, nvidia-smi says"),
        ("CUDA out of memory. Tried to allocate 2.00 MiB", "CUDA out of memory", "other work holds its memory"),
        (
            "CUDA error: CUDA-capable device(s) is/are busy or unavailable\nCompile with",
            "CUDA-capable device(s) is/are busy or unavailable",
            "another process uses it exclusively, nvidia-smi says which process",
        ),
        (
            "CUDA error: no kernel image is available for execution on the device",
            "no kernel image is available for execution on the device",
            "this torch is not built for this GPU: install one that is",
        ),
        ("CUDA error: unspecified launch failure", "unspecified launch failure", "nvidia-smi shows its state"),
    ],
)
@pytest.mark.parametrize("device", ["cuda:0", "auto"])
def test_a_gpu_that_is_there_and_refuses_all_work(
    device: str, said: str, fact: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cuda(monkeypatch, count=1)
    monkeypatch.setattr(cuda, "_touch", lambda _: raising(said)())
    place = "cuda" if device == "auto" else device
    wanted = f"{place} is here, but cannot be used: {fact}\n  help: {fix}"
    looks = [
        lambda: archscope.build(LENET, device=device),
        lambda: archscope.summarize(LENET, device=device),
        lambda: archscope.summarize(nn.GELU, input=(2, 3), device=device),
        lambda: archscope.time(LENET, device=device),
        lambda: archscope.device(device),
    ]
    for look in looks:
        with pytest.raises(UsageError) as ended:
            look()
        assert str(ended.value).startswith(wanted)


def test_a_live_model_on_the_processor_does_not_open_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(monkeypatch, count=1)
    monkeypatch.setattr(cuda, "_touch", lambda _: pytest.fail("the GPU was opened"))
    timing = archscope.time(nn.GELU(), args=(torch.ones(2),), seconds=0.01, roofline=False, rows=False)
    assert timing.measurement.machine.device == "cpu"


@pytest.mark.parametrize(("said", "device"), [("", "cuda"), ("CUDA error: out of memory", "cpu")])
def test_memory_on_meta_is_that_of_a_gpu_which_can_be_asked(
    said: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cuda(monkeypatch, count=1)
    monkeypatch.setattr(cuda, "_touch", lambda _: raising(said)() if said else None)
    assert (fused_kernels_device("meta"), fused_kernels_device("cuda:1"), fused_kernels_device("cpu")) == (
        device,
        "cuda:1",
        "cpu",
    )


def test_a_gpu_that_refuses_all_work_is_listed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(monkeypatch, count=2)
    monkeypatch.setattr(cuda, "_touch", lambda _: raising("CUDA error: out of memory")())
    rest = json.loads(listed("--format", "json"))["devices"][1:]
    assert [(one["device"], one["usable"]) for one in rest] == [("cuda:0", False), ("cuda:1", False)]
    assert rest[1]["why"] == "cuda:1 is here, but cannot be used: out of memory"


@pytest.mark.parametrize(("device", "known"), [("meta:1", "meta"), ("cpu:0", "cpu")])
def test_a_number_of_what_there_is_one_of_says_nothing(device: str, known: str) -> None:
    assert archscope.summarize(LENET, device=device).trace.device == known
    assert archscope.summarize(nn.GELU, input=(2, 3), device=device).trace.device == known
    timing = archscope.time(LENET, device=device, seconds=0.01, roofline=False, rows=False, fit=False)
    assert (timing.report.trace.device, timing.measurement.machine.device) == (known, known)


def test_shapes_have_no_ceilings_by_any_name() -> None:
    done = CliRunner().invoke(cli, ["device", "--device", "meta:0"])
    assert (done.exit_code, done.stderr.splitlines()[0]) == (2, "meta computes nothing, so it has no ceilings")


@pytest.mark.parametrize("device", ["mps", "xpu", "mkldnn", "cuda:", "cuda:0:1", "gpu", ""])
def test_other_names_are_refused_in_two_lines(device: str) -> None:
    code, lines = refused(device)
    assert (code, lines[1:]) == (2, ["  help: auto, cpu, cuda, cuda:0 … or meta"])


def test_torchs_own_warning_of_a_driver_is_not_said_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def warning() -> bool:
        warnings.warn(f"CUDA initialization: {OLD}", stacklevel=1)
        return False

    with_cuda(monkeypatch, said=OLD)
    monkeypatch.setattr(torch.cuda, "is_available", warning)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        archscope.summarize(LENET, device="auto")
        with pytest.raises(UsageError, match=r"too old \(found version 11040\)\n"):
            archscope.summarize(LENET, device="cuda")


class Served:
    """A library that says which CUDA its driver serves, or is none."""

    def __init__(self, answers: bool):
        if not answers:
            raise OSError("libcuda.so.1: cannot open shared object file")

    def cuDriverGetVersion(self, at: Any) -> int:
        at._obj.value = 12080
        return 0


@pytest.mark.parametrize(
    ("file", "answers", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02  Tue Jul 13\nGCC version: 9.3.0 \n",
            True,
            "470.57.02",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.51.03  Release Build\n", True, "575.51.03"),
        ("", True, "CUDA 12.8"),
        ("", False, ""),
    ],
)
def test_the_drivers_version_where_it_can_be_had(
    file: str, answers: bool, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "DRIVER_FILE", tmp_path / "version")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Served(answers))
    if file:
        (tmp_path / "version").write_text(file)
    assert cuda._driver_version() == version


def test_memory_that_others_hold_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Crowded(FakeGpu):
        free = 1000
        others = 3 * 2**30

    with (
        pretending(monkeypatch, "cpu", Crowded),
        pytest.raises(UsageError, match=r"1000 B free; other processes hold 3\.00 GiB of it\n  help: "),
    ):
        archscope.summarize(LENET, batch=64, device="cpu")


# ------------------------------------------------------------ not in silence
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("driver", [False, True])
def test_the_processor_is_not_taken_in_silence(
    driver: bool, hidden: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_cuda(monkeypatch, said=OLD)
    monkeypatch.setattr(cuda, "DRIVER_FILE", tmp_path / "version")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "" if hidden else "0")
    if driver:
        (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02")
    with caplog.at_level(logging.WARNING, logger="archscope"):
        timing = archscope.time(LENET, seconds=0.01, roofline=False, rows=False, fit=False)
        archscope.time(LENET, device="cpu", seconds=0.01, roofline=False, rows=False, fit=False)
    assert timing.measurement.machine.device == "cpu"
    messages = [record.getMessage() for record in caplog.records]
    expected = "the GPU of this machine is not used: The NVIDIA driver on your system is too old (found version 11040)"
    assert messages == ([expected] if driver and not hidden else [])


# ------------------------------------------------------------ which are here
def listed(*options: str) -> str:
    done = CliRunner().invoke(cli, ["device", "--list", *options])
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_the_devices_are_listed_and_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = "archscope.analysis.device_ceilings.measure_device"
    monkeypatch.setattr(measure, lambda *_given: pytest.fail("it was measured"))
    with_cuda(monkeypatch, said=OLD)
    text = " ".join(listed().split())
    assert "auto: cpu" in text
    assert "there is no device 'cuda' here: The NVIDIA driver on your system is too old" in text
    document = json.loads(listed("--format", "json"))
    assert (document["schema"], document["auto"]) == ("archscope.devices/1", "cpu")
    here, gone = document["devices"]
    assert (here["device"], here["usable"], here["memory_bytes"] > 2**28) == ("cpu", True, True)
    assert (gone["device"], gone["usable"]) == ("cuda", False)
    assert gone["help"].startswith("update the driver")
    assert listed("--format", "csv").splitlines()[0].startswith("device,usable,name,memory_bytes")


def test_gpus_are_listed_by_number_with_who_else_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Two(FakeGpu):
        others = 3 * 2**30

        @classmethod
        def device_names(cls) -> list[str]:
            return ["cuda:0", "cuda:1"]

    with pretending(monkeypatch, "cuda", Two):
        assert devices.default_device() == "cuda"
        document = json.loads(listed("--format", "json"))
        table = listed()
    assert document["auto"] == "cuda"
    assert [one["device"] for one in document["devices"]] == ["cpu", "cuda:0", "cuda:1"]
    assert {one["held_by_others_bytes"] for one in document["devices"]} == {None, 3 * 2**30}
    assert table.count("3.00 GiB") == 2
