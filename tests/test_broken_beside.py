"""Nets that do not run, beside what has to run them: cross-checks, times, baselines, folders, a project's settings;
and what CSV says of who reads whom."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

import archscope
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
SOUND = "input: [N, 8]\nlayers:\n  - Linear(8)\n"
MODEL = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "sound.yaml").write_text(SOUND)
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def plain(text: str) -> str:
    return " ".join(text.split())


# ------------------------------------------------------------ cross-checks and times
WRONG_INPUT = ("model.py:Net", "--input", "1x1x8x8")


@pytest.mark.parametrize("format", ["table", "markdown", "html"])
def test_a_cross_check_of_a_net_that_does_not_run_says_so(format: str) -> None:
    result = run("flops", "--cross-check", *WRONG_INPUT, "--format", format)
    shown = plain(result.stdout.replace("&nbsp;", " "))
    assert result.exit_code == 1
    assert "archscope fails" in shown
    assert "fails: a net that does not run" in shown
    assert "Conv2d says in_channels=3 but its input is (1, 1, 8, 8)" in shown
    assert "`archscope check model.py:Net --input 1x1x8x8` looks for fixes" in shown


def test_data_of_such_a_cross_check_hold_it() -> None:
    ours, *theirs = rows(run("flops", "--cross-check", *WRONG_INPUT, "--format", "csv").stdout)
    assert (ours["witness"], ours["status"], ours["macs"]) == ("archscope", "fails", "")
    assert ours["reason"].startswith("error layer-shape: Conv2d says in_channels=3")
    assert {row["status"] for row in theirs} == {"crashed"}
    document = json.loads(run("flops", "--cross-check", *WRONG_INPUT, "--format", "json").stdout)
    assert (document["ok"], document["runs"], document["totals"]["of"]) == (False, False, "a net that does not run")
    assert [finding["rule"] for finding in document["findings"]] == ["layer-shape"]


@pytest.mark.moves_rng
def test_such_a_cross_check_in_python_has_the_finding() -> None:
    from torch import nn

    shown = plain(str(archscope.cross_check(nn.Sequential(nn.Conv2d(3, 4, 3)), (1, 1, 8, 8))))
    assert "archscope fails" in shown
    assert "Conv2d says in_channels=3 but its input is (1, 1, 8, 8)" in shown


@pytest.mark.parametrize("command", [["flops", "--cross-check"], ["time", "--no-roofline"]])
def test_json_of_a_net_that_does_not_run_is_its_report(command: list[str]) -> None:
    result = run(*command, "broken.yaml", "--format", "json", "--device", "cpu")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["schema"], document["runs"]) == (1, "archscope.report/1", False)
    assert "cannot be added" in json.dumps(document["findings"])
    assert "cannot be added" in plain(result.stderr)


@pytest.mark.parametrize("command", [["flops", "--cross-check"], ["time"]])
@pytest.mark.parametrize("target", [("broken.yaml",), WRONG_INPUT], ids=["spec", "python"])
def test_what_has_to_run_it_tells_the_whole_finding_and_the_command_that_looks_for_fixes(
    command: list[str], target: tuple[str, ...]
) -> None:
    result = run(*command, *target)
    told = plain(result.stderr)
    assert result.exit_code == 1
    assert f"`archscope check {' '.join(target)}` looks for fixes" in told + plain(result.stdout)
    fact = "cannot be added: main (1, 16, 8, 8)" if target == ("broken.yaml",) else "Conv2d says in_channels=3"
    assert fact in told


@pytest.mark.parametrize("command", [["flops", "--cross-check"], ["time"]])
def test_a_mistake_of_another_kind_stays_what_it_is(command: list[str]) -> None:
    Path("bad.yaml").write_text("input: [N, 8]\nlayers:\n  - Linnear(8)\n")
    result = run(*command, "bad.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'Linear'" in result.stderr
    assert "looks for fixes" not in result.stderr


def test_a_cross_check_in_training_says_that_all_count_the_forward_pass() -> None:
    shown = plain(run("flops", "--cross-check", "sound.yaml", "--train").stdout)
    assert "all count the forward pass, the backward pass is counted by none of them" in shown
    assert "backward" not in run("flops", "--cross-check", "sound.yaml").stdout


# ------------------------------------------------------------ folders
@pytest.mark.parametrize("flag", ["--compare", "--cross-check"])
def test_one_that_cannot_be_read_does_not_stop_the_others(folder: Path, flag: str) -> None:
    (folder / "bad.yaml").write_text("layers: [\n")
    (folder / "library.yaml").write_text("blocks:\n  A:\n    - Linear(3)\n")
    for targets in (["."], ["bad.yaml", "sound.yaml"]):
        result = run("flops", flag, *targets)
        assert result.exit_code == 2
        assert "bad.yaml:2:1: a value is missing here" in result.stderr
        assert "library" not in result.stderr
        assert "72" in result.stdout  # the parameters of sound.yaml
    assert "meta" in run("flops", "--compare", ".").stdout


@pytest.mark.parametrize("flag", ["--compare", "--cross-check"])
def test_of_one_alone_it_is_raised(folder: Path, flag: str) -> None:
    (folder / "bad.yaml").write_text("layers: [\n")
    result = run("flops", flag, "bad.yaml")
    assert (result.exit_code, result.stdout) == (2, "")


def test_blocks_alone_are_nothing_to_compare(folder: Path) -> None:
    (folder / "library.yaml").write_text("blocks:\n  A:\n    - Linear(3)\n")
    result = run("flops", "--compare", "library.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no net to compare" in result.stderr


# ------------------------------------------------------------ baselines
def test_a_net_that_does_not_run_is_not_in_a_baseline() -> None:
    alone = run("check", "broken.yaml", "--save-baseline", "base.json")
    assert alone.exit_code == 2
    assert "no target runs, so there is no baseline to save" in alone.stderr
    assert not Path("base.json").exists()
    both = run("check", "broken.yaml", "sound.yaml", "--save-baseline", "base.json")
    assert both.exit_code == 1
    assert "not in the baseline, since it does not run: broken.yaml" in both.stderr
    assert [report["target"] for report in json.loads(Path("base.json").read_text())] == ["sound.yaml"]


# ------------------------------------------------------------ what a project asks for
def findings(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    result = run("check", "--format", "json", *arguments)
    assert result.stderr == ""
    (target,) = json.loads(result.stdout)["targets"]
    assert target["target"] == target["findings"][0]["place"]["file"]
    return result.exit_code, target["findings"]


@pytest.mark.parametrize(
    ("settings", "line", "fact"),
    [
        ('specs = ["none"]', 2, "specs: there is no none"),
        ('specz = ["none"]', 2, "unknown key 'specz'"),
        ("specs = [", 0, "not valid TOML"),
        ('specs = ["model.py:Net"]', 0, "it names nothing but Python code"),
        ('specs = ["sound.yaml"]\nselect = ["nonsense"]', 0, "there is no rule 'nonsense'"),
    ],
)
def test_a_mistake_in_the_settings_is_a_finding_for_machines(settings: str, line: int, fact: str) -> None:
    Path("pyproject.toml").write_text(f"[tool.archscope]\n{settings}\n")
    code, (found,) = findings()
    assert (code, found["rule"], found["level"], found["place"]["line"]) == (2, "spec", "error", line)
    assert found["message"].startswith(fact)
    lines = run("check", "--format", "lines")
    assert (lines.exit_code, lines.stdout) == (2, f"pyproject.toml:{line or 1}:1: error spec {found['message']}\n")
    assert run("check", "--format", "github").stdout.startswith("::error file=pyproject.toml")
    assert json.loads(run("check", "--format", "sarif").stdout)["runs"][0]["results"]
    table = run("check")
    assert (table.exit_code, table.stdout) == (2, "")
    assert found["message"] in table.stderr


def test_a_baseline_of_the_settings_that_is_not_there_is_one_too() -> None:
    Path("pyproject.toml").write_text('[tool.archscope]\nspecs = ["sound.yaml"]\nbaseline = "none.json"\n')
    code, (found,) = findings()
    assert (code, found["place"]["file"]) == (2, "none.json")
    assert found["message"].startswith("the baseline cannot be read")


@pytest.mark.parametrize("name", ["pyproject.toml", "sound.yaml"])
def test_what_is_read_is_no_place_for_that_document(name: str) -> None:
    Path("pyproject.toml").write_text("[tool.archscope]\nspecz = 3\n")
    before = Path(name).read_text()
    result = run("check", "sound.yaml", "--format", "json", "-o", name)
    assert result.exit_code == 2
    assert Path(name).read_text() == before


@pytest.mark.parametrize("format", ["table", "json"])
def test_a_target_of_the_settings_that_needs_an_input_is_told_what_to_do(format: str) -> None:
    Path("pyproject.toml").write_text('[tool.archscope]\nspecs = ["model.py:Net"]\n')
    result = run("check", "--allow-python", "--format", format)
    assert result.exit_code == 2
    assert "pyproject.toml has no key for inputs: take it out of specs there" in result.stdout + result.stderr
    named = run("check", "model.py:Net", "--format", format)
    assert "no key for inputs" not in named.stdout + named.stderr


# ------------------------------------------------------------ who reads whom, without nesting
def sources(*arguments: str) -> dict[str, str]:
    found = rows(run("summary", *arguments, "--format", "csv").stdout)
    return {row["path"]: row["from"] for row in found}


def test_csv_names_what_a_line_reads_by_the_paths_of_its_lines() -> None:
    found = sources("broken.yaml")
    assert found == {"0": "x", "main.0": "0", "main.1": "main.0", "add": "main.1 0", "2": "add", "3": "2"}
    assert sources("broken.yaml", "--depth", "1") == {"0": "x", "main": "0", "add": "main 0", "2": "add", "3": "2"}


@pytest.mark.parametrize(
    "network", ["specs:resnet:resnet18", "specs:unet", "specs:vit:vit_b_16", "specs:lstm_classifier"]
)
@pytest.mark.parametrize("depth", [1, 2, 9])
def test_every_source_in_csv_is_a_line_above_or_an_input(network: str, depth: int) -> None:
    inputs = {operand.source for operand in archscope.summarize(network, device="meta").trace.inputs}
    known = set(inputs)
    for path, names in sources(network, "--device", "meta", "--depth", str(depth)).items():
        assert set(names.split()) <= known, path
        assert names, path
        known.add(path)


def test_a_sorted_table_names_them_alike() -> None:
    shown = run("summary", "broken.yaml", "--columns", "path,from", "--sort", "path").stdout.splitlines()
    lines = {line.split()[0]: line.split("  ")[-1].strip() for line in shown if line.split()[:1] in (["main.1"], ["3"])}
    assert lines == {"main.1": "main.0", "3": "2"}


def test_a_step_that_ended_the_run_reads_what_flows() -> None:
    Path("tok.py").write_text(
        "from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.ReLU(), nn.Embedding(3, 2), nn.ReLU())\n"
    )
    found = rows(run("summary", "tok.py:net", "--input", "1x4", "--format", "csv").stdout)
    (failed,) = [row for row in found if row["state"] == "fails"]
    assert (failed["path"], failed["from"], failed["macs"]) == ("1", "0", "")
