"""`archscope.device` and `archscope device`: the user's cache in every state, what is shown, what is refused."""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

import archscope
from archscope.cli import cli
from archscope.devices.cuda import CUDA_TRAITS
from archscope.errors import UsageError
from archscope.machine import Machine, MachineLoad
from archscope.profiling.machine_state import describe_machine
from archscope.profiling.roofline import Ceilings

room = importlib.import_module("archscope.analysis.device_ceilings")


def ceilings(place: str = "cpu", *, peak: float = 362e9, load: MachineLoad = MachineLoad(cores=0.0)) -> Ceilings:  # noqa: B008 - frozen
    return Ceilings(
        machine=describe_machine(place),
        peaks=(("float32", peak), ("bfloat16", 2.28e12), ("float16", None), ("float64", 178e9)),
        bandwidths=((2**15, 281e9), (2**20, 222e9), (2**28, 38.7e9)),
        launch=0.751e-6,
        measured="2026-01-02T03:04:05+00:00",
        load=load,
    )


class Measuring:
    """Stands in for the measurement: gives `results` one after the other, and counts."""

    def __init__(self, *results: Ceilings) -> None:
        self.results, self.times, self.threads = list(results), 0, [0]

    def __call__(self, place: str, *, on_progress: Callable[[str], object]) -> Ceilings:
        self.times += 1
        self.threads.append(torch.get_num_threads())
        on_progress("everything")
        return self.results.pop(0) if self.results else ceilings(place)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's cache: empty, and no real one."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(room, "is_machine_quiet", lambda kept: False)
    return Path(room.cache_folder())


@pytest.fixture
def measuring(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Measuring:
    found = Measuring()
    monkeypatch.setattr(room, "measure_ceilings", found)
    return found


# ------------------------------------------------------------ the cache
def test_ceilings_are_measured_once(measuring: Measuring, cache: Path) -> None:
    first, second = archscope.device("cpu"), archscope.device("cpu")
    assert (first, measuring.times) == (second, 1)
    (path,) = cache.iterdir()
    assert path.suffix == ".json"
    assert json.loads(path.read_text()) == first.to_dict()


def test_again_measures_anew(measuring: Measuring) -> None:
    measuring.results = [ceilings(peak=1e9), ceilings(peak=2e9)]
    assert [archscope.device("cpu", again=True).peak("float32") for _ in range(2)] == [1e9, 2e9]
    assert archscope.device("cpu").peak("float32") == 2e9


def test_threads_have_ceilings_of_their_own(measuring: Measuring, cache: Path) -> None:
    before = torch.get_num_threads()
    for threads in (before, before + 1, before + 1, None):
        found = archscope.device("cpu", threads=threads)
        assert found.machine.setting("threads") == (threads or before)
        assert torch.get_num_threads() == before
    assert measuring.threads[1:] == [before, before + 1]
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"schema": "archscope.device/0"}', "\udcff", "[" * 100_000],
    ids=["empty", "broken", "list", "null", "older", "no text", "deep"],
)
def test_a_file_that_is_none_of_ours_is_measured_again(text: str, measuring: Measuring, cache: Path) -> None:
    archscope.device("cpu")
    (path,) = cache.iterdir()
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    archscope.device("cpu")
    archscope.device("cpu")
    assert measuring.times == 2


def test_a_file_of_another_machine_is_measured_again(measuring: Measuring, cache: Path) -> None:
    found = archscope.device("cpu")
    (path,) = cache.iterdir()
    path.write_text(json.dumps(replace(found, machine=replace(found.machine, name="another")).to_dict()))
    assert archscope.device("cpu").machine.name == found.machine.name
    assert measuring.times == 2


@pytest.mark.parametrize("part", ["name", "cores", "driver", "versions", "settings", "device"])
def test_ceilings_belong_to(part: str) -> None:
    here = describe_machine("cpu")
    other: Any = {"cores": here.cores + 1, "versions": (("torch", "2.0"),), "settings": (("threads", 99),)}
    assert room.cache_key(replace(here, **{part: other.get(part, "another")})) != room.cache_key(here)
    assert room.cache_key(replace(here)) == room.cache_key(here)


@pytest.mark.parametrize("what", ["file", "full"])
def test_a_cache_that_cannot_be_written_is_no_error(
    what: str, measuring: Measuring, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if what == "file":
        cache.parent.write_text("in the way")
    else:
        monkeypatch.setattr(room.os, "replace", full)
    told: list[str] = []
    assert archscope.device("cpu", progress=told.append).peak("float32") == 362e9
    assert told[0] == "cpu: measuring everything"
    assert told[1].startswith("not kept, since ")
    assert not cache.is_dir() or not list(cache.iterdir())


def test_what_was_disturbed_is_measured_anew_when_it_is_quiet(
    measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring.results = [ceilings(load=MachineLoad(cores=64.0)), ceilings(peak=400e9)]
    assert archscope.device("cpu").disturbed
    assert archscope.device("cpu").disturbed
    monkeypatch.setattr(room, "is_machine_quiet", lambda kept: True)
    assert [archscope.device("cpu").peak("float32") for _ in range(2)] == [400e9, 400e9]
    assert measuring.times == 2


def gpu(**changes: Any) -> Machine:
    return replace(describe_machine("cpu"), device="cuda:0", traits=CUDA_TRAITS, **changes)


def test_threads_of_the_processor_do_not_change_what_a_gpu_can_do() -> None:
    one, two = ((("threads", count), ("tf32", False)) for count in (1, 2))
    assert room.cache_key(gpu(settings=one)) == room.cache_key(gpu(settings=two))
    assert room.cache_key(gpu(driver="1")) != room.cache_key(gpu(driver="2"))
    here = describe_machine("cpu")
    assert room.cache_key(replace(here, settings=one)) != room.cache_key(replace(here, settings=two))


@pytest.mark.parametrize(("others", "disturbed"), [(None, False), (0, False), (3 * 2**30, True)])
def test_what_was_measured_beside_others_on_a_gpu_is_not_kept_for_good(others: int | None, disturbed: bool) -> None:
    assert replace(ceilings(), machine=gpu(), load=MachineLoad(None, others)).disturbed is disturbed


WRITER = """
import sys
from pathlib import Path
from archscope.analysis.device_ceilings import read_cache, write_cache
path = Path(sys.argv[1])
found = read_cache(path)
for _ in range(200):
    write_cache(path, found, print)
    assert read_cache(path) == found
"""


def test_two_processes_do_not_break_each_other(measuring: Measuring, cache: Path) -> None:
    archscope.device("cpu")
    (path,) = cache.iterdir()
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) for _ in range(2)]
    assert [(writer.communicate()[0], writer.returncode) for writer in writers] == [(b"", 0), (b"", 0)]
    assert list(cache.iterdir()) == [path]


@pytest.mark.parametrize(
    ("platform", "variable", "told", "below"),
    [
        ("linux", "XDG_CACHE_HOME", "{tmp}/xdg", "{tmp}/xdg"),
        ("linux", "XDG_CACHE_HOME", "relative", "{tmp}/.cache"),
        ("linux", "XDG_CACHE_HOME", "", "{tmp}/.cache"),
        ("darwin", "OTHER", "", "{tmp}/Library/Caches"),
    ],
)
def test_where_the_cache_lies(
    platform: str, variable: str, told: str, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(variable, told.format(tmp=tmp_path))
    assert room.cache_folder() == Path(below.format(tmp=tmp_path), "archscope", "ceilings")


# ------------------------------------------------------------ the command
def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["device", *arguments])


TABLE = [
    ["at", "most", "ridge"],
    ["products,", "float32", "362", "GFLOP/s", "9.4", "FLOPs/B"],
    ["products,", "bfloat16", "2.28", "TFLOP/s", "58.9", "FLOPs/B"],
    ["products,", "float16", "?"],
    ["products,", "float64", "178", "GFLOP/s", "4.6", "FLOPs/B"],
    ["bytes,", "32.0", "KiB", "at", "work", "281", "GB/s"],
    ["bytes,", "256", "MiB", "at", "work", "38.7", "GB/s"],
    ["launch", "0.75", "µs"],
]


def test_the_table(measuring: Measuring) -> None:
    shown = run("--device", "cpu")
    here = describe_machine("cpu")
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert [line.split() for line in lines[lines.index("") + 1 :]][: len(TABLE)] == TABLE
    for phrase in (here.name, f"torch {here.version('torch')}", "2 × MACs", "2026-01-02T03:04:05+00:00", "?: "):
        assert phrase in shown.stdout
    assert "meanwhile" not in shown.stdout
    assert str(archscope.device("cpu")) == shown.stdout.rstrip("\n")


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        (MachineLoad(cores=99.24), "others kept 99.2 cores busy meanwhile"),
        (MachineLoad(bytes=3 * 2**30), "others held 3.00 GiB of this device meanwhile"),
    ],
)
def test_other_load_is_told(load: MachineLoad, sentence: str, measuring: Measuring) -> None:
    measuring.results = [ceilings(load=load)]
    assert sentence in run("--device", "cpu").stdout


def test_documents(measuring: Measuring, tmp_path: Path) -> None:
    assert json.loads(run("--device", "cpu", "--format", "json").stdout) == ceilings().to_dict()
    rows = list(csv.reader(io.StringIO(run("--device", "cpu", "--format", "csv").stdout)))
    assert rows[0] == ["quantity", "of", "value"]
    assert ["flops_per_second", "float32", "362000000000.0"] in rows
    assert ["flops_per_second", "float16", ""] in rows
    assert ["bytes_per_second", "1048576", "222000000000.0"] in rows
    assert rows[-1] == ["launch_seconds", "", "7.51e-07"]
    assert re.search(
        r"^\| products, float32 +\| +362 GFLOP/s", run("--device", "cpu", "--format", "markdown").stdout, re.MULTILINE
    )
    assert run("--device", "cpu", "-o", str(tmp_path / "here.txt")).stdout == ""
    assert (tmp_path / "here.txt").read_text(encoding="utf-8") == run("--device", "cpu").stdout


def test_verbose_says_what_is_done(measuring: Measuring) -> None:
    assert run("--device", "cpu", "-v").stderr == "cpu: measuring everything\n"
    assert run("--device", "cpu", "-v").stderr == ""
    assert run("--device", "cpu", "-v", "--again").stderr == "cpu: measuring everything\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "meta"], "meta computes nothing, so it has no ceilings\n  help: --device cpu, or cuda\n"),
        (["--device", "tpu9"], "unknown device 'tpu9'\n  help: auto, cpu, cuda, cuda:0 … or meta\n"),
        (["--device", "cuda:77"], "there is no device 'cuda:77' here"),
        (["--threads", "0"], "Invalid value for '--threads'"),
        (["--format", "html"], "Invalid value for '--format'"),
    ],
)
def test_wrong_use_is_refused(arguments: list[str], message: str, measuring: Measuring) -> None:
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout, measuring.times) == (2, "", 0)
    assert message in refused.stderr


def test_meta_has_no_ceilings() -> None:
    with pytest.raises(UsageError, match="computes nothing"):
        archscope.device("meta")
