"""`make gpu`: all of it runs dry; what fails or has no time left costs itself only; the table counts goals."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tests/benchmarks/gpu.py"


@pytest.fixture
def gpu() -> ModuleType:
    found = importlib.util.spec_from_file_location("gpu_day", SCRIPT)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_it_runs_dry(tmp_path: Path) -> None:
    only = "foundations,ceilings,nets64,train,suspicions"
    command = [sys.executable, str(SCRIPT), "--dry", "--out", str(tmp_path), "--only", only, "--budget", "560"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert list(sections) == only.split(",")
    assert sections["foundations"][0]["machine"]["device"] == "cpu"
    assert sections["foundations"][0]["allocator"]["peak"] == sections["foundations"][0]["allocator"]["expected"]
    assert sections["ceilings"][0]["ours"]["peaks"][0]["flops_per_second"] > 0
    for name in ("nets64", "train"):
        (line,) = sections[name]
        assert line["ours"] > 0
        assert line["whole_of_timer"] > 0
        assert line["memory"] > 0
    (looks,) = sections["suspicions"]
    assert looks["reentrant"]["same"] is True
    assert looks["devices"]["bare"] == "cpu"
    assert (looks["memory"]["passes"], looks["memory"]["left"]) == (1, 0)
    assert "lenet 2 float32 train" in done.stdout
    assert "rows within 3 % of the profiler's: 0 of 0" in done.stdout


def line(model: str, **figures: Any) -> dict[str, Any]:
    return {"model": model, "batch": 64, "dtype": "float32", "train": False, "ours": 0.01, **figures}


def day(gpu: ModuleType, tmp_path: Path, *arguments: str) -> Any:
    return gpu.Day(gpu.asked(["--out", str(tmp_path), *arguments]))


def test_the_table_counts_goals(gpu: ModuleType, tmp_path: Path) -> None:
    found = day(gpu, tmp_path)
    found.found["sections"] = {
        "nets64": [
            line("lstm", rows_of_profiler=1.02, accounted=1.04, busy=0.95, memory=0.96, whole_of_timer=1.0),
            line("unet", rows_of_profiler=0.96, accounted=0.5, busy=0.4, memory=0.9, whole_of_timer=None),
            line("gpt2", rows_of_profiler=None, accounted=0.94, busy=0.99),
            {**line("vit_b_16"), "failed": "ended after 9 s"},
        ]
    }
    text = "\n".join(found.table())
    for words in (
        "rows within 3 % of the profiler's: 1 of 2, 2 without a figure",
        "rows within 5 % of the whole, where the GPU is busy: 1 of 2, 1 without a figure",
        "memory within 5 %: 1 of 2, 2 without a figure",
        "the whole within 5 % of torch.utils.benchmark: 1 of 1, 3 without a figure",
        "nets64: vit_b_16 64 float32: ended after 9 s",
    ):
        assert words in text


SECTIONS = """
import json, sys, time
name = json.loads(sys.argv[2])["name"]
if name == "hangs":
    time.sleep(60)
if name == "fails":
    sys.exit("it broke")
if name == "babbles":
    sys.exit(print("no document"))
print("a word")
print('{"x": 1}')
"""


def test_what_hangs_or_fails_costs_itself_only(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "sections.py"
    script.write_text(SECTIONS)
    jobs = [("suspicion", {"name": name}) for name in ("works", "fails", "babbles", "hangs", "late")]
    monkeypatch.setattr(gpu, "SECTIONS", script)
    monkeypatch.setattr(gpu, "PLAN", {"suspicions": (8.0, jobs), "never": (5.0, jobs[:1])})
    assert day(gpu, tmp_path, "--only", "suspicions").run() == 1
    works, fails, babbles, hangs, late = json.loads((tmp_path / "gpu.json").read_text())["sections"]["suspicions"]
    assert works["x"] == 1
    assert "it broke" in fails["failed"]
    assert babbles["failed"] == "its last line is no document: no document"
    assert hangs["failed"].startswith("ended after ")
    assert late["left out"] == "no time"
    assert "suspicions: fails: " in capsys.readouterr().out


def test_a_section_that_there_is_not_is_refused(gpu: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.asked(["--only", "nets65"])
    assert ended.value.code == 2
    assert "no section nets65; there are foundations, tests, ceilings" in capsys.readouterr().err


def test_make_says_how_it_is_called(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLY", "train,nets1")
    monkeypatch.setenv("BUDGET", "200")
    wish = gpu.asked([])
    assert (wish.only, wish.budget, wish.dry) == (["train", "nets1"], 200.0, False)
    monkeypatch.setenv("ONLY", "")
    monkeypatch.setenv("BUDGET", "")
    assert (gpu.asked([]).only, gpu.asked([]).budget) == ([], 400.0)
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # set by the make of `make test`
        monkeypatch.delenv(name, raising=False)
    told = subprocess.run(
        ["make", "-n", "gpu", "ONLY=train", "BUDGET=200", "PYTHON=some-python"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert told.stdout.strip() == 'ONLY="train" BUDGET="200" some-python tests/benchmarks/gpu.py'
