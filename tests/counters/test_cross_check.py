"""`flops --cross-check` and `archscope.cross_check` on specs, Python targets and live modules."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import click.testing
import pytest
import torch
from torch import nn

import archscope
from archscope.cli import cli
from archscope.errors import UsageError

pytest.importorskip("fvcore.nn")
pytest.importorskip("torchinfo")
pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore")]

SPEC = """\
name: Small
input: [N, 8, 6, 6]
layers:
  - Conv2d(4, 3)
  - BatchNorm2d
  - Flatten
  - Linear(5)
"""
NET = """\
from torch import nn


def small(width=4):
    print("made")
    return nn.Sequential(nn.Linear(8, width), nn.LayerNorm(width))
"""
CONV, LINEAR = 4 * 16 * 72, 64 * 5
MACS = CONV + LINEAR


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.yaml").write_text(SPEC)
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> click.testing.Result:
    runner = click.testing.CliRunner(env={"COLUMNS": "80"})
    return runner.invoke(cli, ["flops", "--cross-check", *arguments, "--device", "cpu"], prog_name="archscope")


def test_a_scripted_module_is_called_as_its_author_called_it() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(8, 4)))
    assert archscope.cross_check(scripted, input=(1, 8)).report.title == "Sequential"


def test_a_target_finds_what_lies_beside_it_also_when_it_is_called(folder: Path) -> None:
    forward = "    def forward(self, x):\n        import beside\n        return beside.halved(self.fc(x))\n"
    made = "    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(8, 4)\n\n"
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/net.py").write_text(f"from torch import nn\n\n\nclass Net(nn.Module):\n{made}{forward}")
    (folder / "elsewhere/beside.py").write_text("def halved(x):\n    return x / 2\n")
    check = archscope.cross_check("elsewhere/net.py:Net", input=(1, 8))
    assert [account.result.status for account in check.accounts] == ["counted"] * 3


def test_the_table(folder: Path) -> None:
    result = run("net.yaml")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "Small · x 8×6×6 float32 · batch 1 · cpu, eval"
    assert lines[2].split() == ["counter", "params", "MACs", "difference", "time", "÷", "ours"]
    assert [line.split()[0] for line in lines[3:7]] == ["archscope", "fvcore", "torchinfo", "FlopCounterMode"]
    assert [line.split()[2] for line in lines[3:6]] == [f"{MACS:,}", f"{MACS + 128:,}", f"{MACS + 64 + 5 + 8:,}"]
    assert "  +128  1 × BatchNorm2d counted, though it holds no products" in lines
    assert max(map(len, lines)) <= 80


def test_json(folder: Path) -> None:
    document = json.loads(run("net.yaml", "--format", "json").stdout)
    assert (document["schema"], document["target"]) == ("archscope.crosscheck/1", "net.yaml")
    assert document["totals"]["macs"] == MACS
    fvcore, torchinfo, counter = document["witnesses"]
    assert (fvcore["macs"], fvcore["macs_off"], fvcore["unexplained"]) == (MACS + 128, 128, 0)
    assert fvcore["times_ours"] == pytest.approx(fvcore["seconds"] / document["seconds"])
    assert sum(difference["amount"] for difference in torchinfo["differences"]) == torchinfo["macs_off"]
    assert (counter["macs"], counter["flops"], counter["params"]) == (MACS, 2 * MACS, None)


def test_csv_sums(folder: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(run("net.yaml", "--format", "csv").stdout)))
    for witness in ("fvcore", "torchinfo", "FlopCounterMode"):
        own = [line for line in lines if line["witness"] == witness]
        total = sum(int(line["macs"]) * (1 if line["item"] == "total" else -1) for line in own)
        assert total == MACS == int(lines[0]["macs"])


def test_markdown_and_html_and_several_targets(folder: Path) -> None:
    assert "| counter " in run("net.yaml", "--format", "markdown").stdout
    assert '<table class="archscope">' in run("net.yaml", "--format", "html").stdout
    both = json.loads(run("net.yaml", "net.yaml", "--format", "json").stdout)
    assert [document["schema"] for document in both] == ["archscope.crosscheck/1"] * 2


def test_a_python_target(folder: Path) -> None:
    result = run("net.py:small", "--arg", "width=3", "--input", "2x8", "--format", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["target"], document["totals"]["macs"]) == ("net.py:small", 2 * 8 * 3)
    assert [witness["unexplained"] for witness in document["witnesses"]] == [0, 0, 0]


def test_a_live_module_by_shapes() -> None:
    check = archscope.cross_check(nn.Linear(8, 4), input=(2, 8))
    assert check.report.total.macs == 64
    assert repr(check) == "<CrossCheck of Linear>"
    assert check._repr_html_().startswith("<p>")


def test_half_precision_training_and_settings(folder: Path) -> None:
    document = json.loads(run("net.yaml", "--dtype", "bfloat16", "--train", "--batch", "2", "--format", "json").stdout)
    assert (document["dtype"], document["mode"], document["totals"]["macs"]) == ("bfloat16", "train", 2 * MACS)
    assert [witness["unexplained"] for witness in document["witnesses"]] == [0, 0, 0]


def test_what_is_asked_wrongly(folder: Path) -> None:
    assert run("net.yaml", "--compare").exit_code == 2
    assert run("net.py:small").exit_code == 2
    assert "Traceback" not in run("net.py:small").output
    with pytest.raises(UsageError, match="a spec's inputs are shapes"):
        archscope.cross_check("net.yaml", args=(1,))


def test_a_forward_pass_that_fails_is_found(folder: Path) -> None:
    result = run("net.py:small", "--input", "2x9")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
