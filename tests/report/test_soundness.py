"""Tests of nets that do not run: every format shows the failing row, those that depend on it, and the findings."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import archscope
from archscope.errors import ArchscopeError, FindingsError, ForwardError
from tests.commands import run

BROKEN = """\
input: [N, 8, 16, 16]
layers:
  - Conv2d(8, 3, padding=1)
  - residual:
      - Conv2d(16, 3, stride=2, padding=1)
  - ReLU
  - Flatten
  - Linear(10)
"""
FORMATS = ("table", "csv", "markdown", "html", "json")
FAILING = "from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.ReLU(), nn.Conv2d(3, 8, 3), nn.ReLU())\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "sound.yaml").write_text("input: [N, 8]\nlayers:\n  - Linear(8)\n")
    (tmp_path / "missed.yaml").write_text("input: [N, 8]\nexpect: {params: 7}\nlayers:\n  - Linear(8)\n")
    (tmp_path / "failing.py").write_text(FAILING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("command", [["summary"], ["flops"], ["flops", "--by", "type"], ["flops", "--compare"]])
def test_every_format_shows_the_finding_and_the_exit_code_is_1(command: list[str], format: str) -> None:
    result = run(*command, "broken.yaml", "--format", format)
    assert result.exit_code == 1
    assert "the two sides of this residual cannot be added" in " ".join(result.stdout.split())
    assert "fails" in result.stdout or '"runs": false' in result.stdout
    assert "every operation counted" not in result.stdout


@pytest.mark.parametrize("format", ["table", "markdown", "html"])
def test_totals_say_that_the_net_does_not_run_and_fixes_are_named(format: str) -> None:
    shown = " ".join(run("summary", "broken.yaml", "--format", format).stdout.split())
    assert "of a net that does not run: " in shown
    assert "archscope check broken.yaml` looks for fixes; `archscope check --fix broken.yaml` applies" in shown
    assert "does not run" not in run("summary", "sound.yaml", "--format", format).stdout


def test_failing_rows_and_rows_that_depend_on_them_are_marked() -> None:
    marks = {row["path"]: row["state"] for row in lines(run("summary", "broken.yaml", "--format", "csv").stdout)}
    assert marks == {"0": "", "main": "", "add": "fails", "2": "assumed", "3": "assumed", "4": "assumed"}
    table = run("summary", "broken.yaml").stdout.splitlines()
    marked = [line.split()[:2] for line in table if line.split()[1:2] in (["fails"], ["assumed"])]
    assert marked == [["add", "fails"], ["2", "assumed"], ["3", "assumed"], ["4", "assumed"]]
    document = json.loads(run("summary", "broken.yaml", "--format", "json").stdout)
    states = {row["path"]: row["state"] for row in document["rows"]}
    assert (states["0"], states["add"], states["4"]) == (None, "fails", "assumed")
    assert (document["ok"], document["runs"], document["totals"]["of"]) == (False, False, "a net that does not run")


def test_selected_csv_columns_do_not_hide_the_failure() -> None:
    head, *_ = run("summary", "broken.yaml", "--format", "csv", "--columns", "path,macs").stdout.splitlines()
    assert head == "path,macs,state,findings"
    assert run("summary", "sound.yaml", "--format", "csv", "--columns", "path,macs").stdout.startswith("path,macs\n")


def test_a_step_that_ended_the_run_has_a_line_without_costs() -> None:
    result = run("summary", "failing.py:net", "--input", "1x3x8")
    assert result.exit_code == 1
    marked = [line for line in result.stdout.splitlines() if "fails" in line.split()[1:2]]
    assert [line.split()[0] for line in marked] == ["1"]
    assert "archscope check failing.py:net --input 1x3x8` looks for fixes" in " ".join(result.stdout.split())


def test_a_comparison_marks_the_target_that_fails_and_keeps_the_others() -> None:
    rows = lines(run("flops", "--compare", "sound.yaml", "broken.yaml", "--format", "csv").stdout)
    assert [row["state"] for row in rows] == ["", "fails"]
    (ended,) = archscope.compare("failing.py:net", input=(1, 3, 8)).reports
    assert (ended.runs, ended.total.macs) == (False, None)


def test_in_python_a_report_says_whether_it_is_ok_and_raises_its_errors() -> None:
    broken, missed, sound = (archscope.summarize(f"{name}.yaml") for name in ("broken", "missed", "sound"))
    assert (broken.ok, broken.runs, missed.ok, missed.runs, sound.ok) == (False, False, False, True, True)
    sound.raise_for_errors()
    with pytest.raises(ForwardError, match=r"this\s+residual\s+cannot\s+be\s+added") as raised:
        broken.raise_for_errors()
    assert raised.value.report is broken
    with pytest.raises(FindingsError, match="expect-params"):
        missed.raise_for_errors()
    assert issubclass(FindingsError, ArchscopeError)


def test_an_expectation_that_is_not_met_does_not_stop_a_net() -> None:
    shown = run("summary", "missed.yaml")
    assert shown.exit_code == 1
    assert "does not run" not in shown.stdout
    assert "expect-params" in shown.stdout
    rows = lines(run("summary", "missed.yaml", "--format", "csv").stdout)
    assert [row["findings"].startswith("error expect-params") for row in rows] == [False, True]
