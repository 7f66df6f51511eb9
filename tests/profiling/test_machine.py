"""The description of a machine, settings that are restored, and the load of other processes."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from archscope.devices import precision
from archscope.profiling.machine_state import LoadProbe, describe_machine, start_probe, with_settings

machine_module = importlib.import_module("archscope.profiling.machine_state")
processor = importlib.import_module("archscope.devices.cpu")


def test_the_description_of_a_processor() -> None:
    here = describe_machine("cpu")
    assert (here.device, here.kind, here.driver) == ("cpu", "cpu", "")
    assert here.name
    assert 1 <= here.cores <= (os.cpu_count() or 1)
    assert here.memory > 2**28
    assert here.cache is None or 2**15 < here.cache < here.memory
    assert (here.version("torch"), here.setting("threads")) == (torch.__version__, torch.get_num_threads())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Intel(R)   Xeon(R) \nflags: x\n", "Intel(R) Xeon(R)"),
        ("processor\t: 0\n\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n", "Raspberry Pi 4"),
    ],
)
def test_the_name_of_a_processor(text: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "CPUINFO_FILE", tmp_path / "cpuinfo")
    assert describe_machine("cpu").name == name


def test_a_processor_without_a_name_has_one_nevertheless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "CPUINFO_FILE", tmp_path / "none")
    assert describe_machine("cpu").name


@pytest.mark.parametrize(
    ("levels", "cache"),
    [
        ({"index0": ("1", "48K"), "index3": ("3", "30720K"), "index2": ("2", "2048K")}, 30 * 2**20),
        ({"index0": ("1", "1M")}, 2**20),
        ({"index0": ("1", "no size")}, None),
        ({}, None),
    ],
)
def test_the_last_cache(
    levels: dict[str, tuple[str, str]], cache: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, (level, size) in levels.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "level").write_text(f"{level}\n")
        (tmp_path / name / "size").write_text(f"{size}\n")
    monkeypatch.setattr(processor, "CACHE_FOLDER", tmp_path)
    monkeypatch.setattr(processor, "_sysctl", lambda name: "")
    assert describe_machine("cpu").cache == cache


# ------------------------------------------------------------ settings
def everything() -> list[Any]:
    return [torch.get_num_threads(), precision.current_precision()]


@pytest.mark.parametrize("on", [True, False])
def test_settings_are_restored(on: bool) -> None:
    before, threads = everything(), torch.get_num_threads() + 1
    with with_settings("cuda", threads=threads, tf32=on):
        assert torch.get_num_threads() == threads
        assert precision.tf32_allowed() == (on, on)
    assert everything() == before
    with suppress(KeyboardInterrupt), with_settings("cuda", threads=threads, tf32=on):
        raise KeyboardInterrupt
    assert everything() == before


def test_what_is_not_given_is_left_alone() -> None:
    before = everything()
    with with_settings("cpu", tf32=True):
        assert everything() == before
    with with_settings("cuda"):
        assert everything() == before


# ------------------------------------------------------------ other load
def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.parametrize(
    ("passed", "busy", "own", "cores"),
    [(1.0, 0.0, 0.0, 0.0), (1.0, 1.0, 0.0, 1.0), (2.0, 3.0, 2.0, 0.5), (1.0, 1.0, 1.01, 0.0), (0.05, 1.0, 0.0, None)],
)
def test_load_is_the_work_of_other_processes(passed: float, busy: float, own: float, cores: float | None) -> None:
    assert LoadProbe("cpu", 7.0, 40.0, 3.0)._cores(LoadProbe("cpu", 7.0 + passed, 40.0 + busy, 3.0 + own)) == cores


STAT = """cpu  900 900 900 900 900 900 900 900 0 0
cpu0 100 20 30 999 999 4 5 6 77 88
cpu1 200 0 0 999 999 0 0 0 0 0
cpu10 400 0 0 999 999 0 0 0 0 0
intr 1 2
"""


@pytest.mark.parametrize(("cores", "ticks"), [({0}, 165), ({0, 1}, 365), ({10}, 400), ({5}, 0)], ids=str)
def test_busy_is_all_but_idle_on_the_cores_of_this_process(
    cores: set[int], ticks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stat").write_text(STAT)
    monkeypatch.setattr(machine_module, "STAT_FILE", tmp_path / "stat")
    monkeypatch.setattr(machine_module, "usable_cores", lambda: frozenset(cores))
    assert machine_module._busy_seconds() == ticks / os.sysconf("SC_CLK_TCK")


def test_load_that_cannot_be_known_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start_probe("cpu").load_since().cores is None, "no time has passed"
    monkeypatch.setattr(machine_module, "STAT_FILE", tmp_path / "none")
    probe = start_probe("cpu")
    time.sleep(2 * machine_module.MIN_LOAD_SECONDS)
    assert (probe.load_since().cores, probe.load_since().bytes) == (None, None)


@pytest.mark.skipif(not machine_module.STAT_FILE.exists(), reason="this system does not report CPU load")
def test_the_load_of_another_process_is_measured() -> None:
    neighbour = multiprocessing.get_context("spawn").Process(target=spin, args=(20,))
    neighbour.start()
    try:
        time.sleep(1)
        probe = start_probe("cpu")
        time.sleep(0.5)
        found = probe.load_since().cores
    finally:
        neighbour.kill()
        neighbour.join()
    assert found is not None
    assert found > 0.2


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_description_of_a_gpu() -> None:
    here = describe_machine("cuda")
    assert (here.device, here.kind, here.name) == ("cuda:0", "cuda", torch.cuda.get_device_name(0))
    assert here.driver
    assert here.version("cuda") == torch.version.cuda
    assert here.cache is None or here.cache > 0
    assert here.memory > 2**30
    with with_settings("cuda", tf32=True):
        assert describe_machine("cuda").setting("tf32") is True
    assert describe_machine("cuda") == here
    assert start_probe("cuda").load_since().bytes is not None
