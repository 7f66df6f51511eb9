"""A torch that is newer than was tried: a word about it, once in a process, beside the output."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from archscope.tested_versions import NEWEST_TESTED, OLDEST_TESTED, untested_message, version_numbers

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("version", [OLDEST_TESTED, "2.13.0+cpu", NEWEST_TESTED, f"{NEWEST_TESTED}.7+cu132", "1.13.1"])
def test_nothing_is_said_of_what_was_tried(version: str) -> None:
    assert untested_message(version) is None


@pytest.mark.parametrize("version", ["2.100.0", "3.0.0a0+git1a2b", "10.1"])
def test_what_is_newer_is_named(version: str) -> None:
    text = untested_message(version)
    assert text is not None
    assert version in text
    assert NEWEST_TESTED in text


def test_versions_compare_as_numbers() -> None:
    assert version_numbers("2.9.1") < version_numbers("2.10.0a0") < version_numbers("2.15.0+cpu")


def test_the_requirement_is_the_oldest_that_was_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"torch>={OLDEST_TESTED}" in project["dependencies"]


@pytest.mark.parametrize(("version", "times"), [("2.100.0", 1), (NEWEST_TESTED, 0)])
def test_it_is_told_once_in_a_process(version: str, times: int) -> None:
    pytest.importorskip("torch")
    program = (
        f"import torch; torch.__version__ = {version!r}\n"
        "import archscope\n"
        "for _ in range(2):\n"
        "    print(archscope.summarize(torch.nn.Linear(2, 3), input=(1, 2)).total.macs)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.split() == ["6", "6"]
    assert run.stderr.count(f"this is {version}.") == times
