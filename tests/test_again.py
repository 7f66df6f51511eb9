"""What was set is told in every document, and a report is made again from its JSON with the same figures."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import archscope
from archscope.cli import cli
from archscope.errors import UsageError

SPEC = """\
params: {width: 4, Act: ReLU}
input: [N, 3, 16, 16]
variants:
  small: {width: 8}
  large: {width: 16}
layers:
  - Conv2d(width, 3)
  - Act
  - Flatten
  - Linear(10)
"""
NET = """\
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.table, self.head = nn.Embedding(50, width), nn.Linear(width, 2)

    def forward(self, ids, pair, scale=1.0):
        return self.head(self.table(ids)) * scale + pair[0] + pair[1]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.yaml").write_text(SPEC)
    matrix = "matrix:\n  Act: [ReLU, GELU]\n  width: [8, 16]\nlayers:"
    plain = SPEC.replace("variants:\n  small: {width: 8}\n  large: {width: 16}\n", "")
    (tmp_path / "matrix.yaml").write_text(plain.replace("layers:", matrix))
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments))
    return result.exit_code, result.output


def figures(report: Any) -> tuple[Any, ...]:
    document = report if isinstance(report, dict) else report.to_dict()
    return tuple(document[key] for key in ("target", "device", "dtype", "mode", "inputs", "totals", "rows"))


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("net.yaml", {}),
    ("net.yaml:large", {"set": {"width": 6, "Act": "GELU"}, "batch": 3, "device": "meta", "dtype": "bfloat16"}),
    ("net.yaml:small", {"input": (2, 3, 20, 20), "train": True, "seed": 3}),
    ("net.yaml:small", {"input": {"x": (2, 3, 20, 20)}}),
    (
        "net.py:Net",
        {
            "set": {"width": 8},
            "input": {"ids": ("int64", (2, 2), (0, 50)), "pair": [(2, 2, 2), (2, 2, 2)]},
            "kwargs": {"scale": 2.0},
            "device": "cpu",
        },
    ),
]


@pytest.mark.parametrize(("target", "options"), CALLS)
def test_a_report_is_made_again_from_its_json(target: str, options: dict[str, Any], tmp_path: Path) -> None:
    report = archscope.summarize(target, **options)
    text = json.dumps(report.to_dict())
    (tmp_path / "report.json").write_text(text)
    assert figures(archscope.again(json.loads(text))) == figures(report)
    assert figures(archscope.again(tmp_path / "report.json")) == figures(report)


@pytest.mark.parametrize(("target", "options"), CALLS)
def test_its_command_gives_the_same_figures(target: str, options: dict[str, Any]) -> None:
    report = archscope.summarize(target, **options)
    _, *words = shlex.split(report.to_dict()["asked"]["command"])
    code, text = run(*words, "--format", "json")
    assert code == 0, text
    assert figures(json.loads(text)) == figures(json.loads(json.dumps(report.to_dict())))


def test_what_no_document_holds_is_asked_for() -> None:
    with torch.random.fork_rng():
        model = torch.nn.Linear(4, 2)
    document = archscope.summarize(model, input=(1, 4)).to_dict()
    assert (document["asked"]["unsaid"], document["asked"]["command"]) == (["target"], None)
    with pytest.raises(UsageError, match=r"does not hold target[\s\S]*again\(…, target=…\)"):
        archscope.again(document)
    assert figures(archscope.again(document, target=model)) == figures(document)
    with pytest.raises(UsageError, match="does not say how"):
        archscope.again({"schema": "archscope.report/1"})


def test_the_title_csv_and_json_tell_what_was_set() -> None:
    arguments = ("net.yaml:large", "--set", "width=6")
    assert run("summary", *arguments)[1].startswith("net:large with width=6 · ")
    assert run("summary", *arguments, "--format", "markdown")[1].startswith("**net:large with width=6**")
    head, first, *_ = run("summary", *arguments, "--format", "csv")[1].splitlines()
    assert (head.split(",")[-1], first.split(",")[-1]) == ("set", "width=6")
    assert json.loads(run("summary", *arguments, "--format", "json")[1])["asked"]["set"] == {"width": 6}
    assert run("flops", "--compare", "net.yaml", "--set", "width=6")[1].startswith("each with width=6 · ")
    shown = run("summary", "net.py:Net", "--arg", "width=6", "--input", "ids=int64:1x2", "--input", "pair=2x1x2")[1]
    assert shown.startswith("Net with width=6 · ")


def test_a_net_of_a_matrix_is_not_given_a_value_that_its_name_denies() -> None:
    code, text = run("summary", "matrix.yaml:Act=ReLU,width=8", "--set", "Act=GELU")
    assert code == 2
    assert "is the net with Act=ReLU, and Act=GELU is given" in text
    assert "help: name matrix.yaml:Act=GELU,width=8" in text
    assert run("summary", "matrix.yaml", "--set", "width=16")[1].startswith("matrix:Act=ReLU,width=16 with width=16")
    assert run("summary", "matrix.yaml:Act=ReLU,width=8", "--set", "Act=ReLU")[0] == 0
    code, text = run("summary", "matrix.yaml", "--set", "width=32")
    assert (code, "add it to the matrix" in text) == (2, True)


def test_a_net_of_a_matrix_is_not_given_an_input_that_its_name_denies() -> None:
    spec = "input: [N, 3, size, size]\nparams: {size: 8}\nmatrix: {size: [8, 16]}\nlayers:\n  - Conv2d(2, 3)\n"
    Path("sized.yaml").write_text(spec, encoding="utf-8")
    code, text = run("summary", "sized.yaml:size=8", "--input", "1x3x16x16")
    assert code == 2
    assert "sized.yaml:size=8 is the net with size=8, and size=16 is given" in text
    assert "help: name sized.yaml:size=16" in text
    assert run("summary", "sized.yaml", "--input", "3x16x16")[1].startswith("sized:size=16 · ")
    assert run("summary", "sized.yaml", "--input", "1x3x12x12")[0] == 2
    assert run("flops", "--compare", "sized.yaml", "--input", "1x3x16x16")[0] == 2
    assert run("summary", "sized.yaml:size=8", "--input", "2x3x8x8")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "judged"),
    [
        ([], True),
        (["--set", "depth=2"], True),
        (["--set", "width=8"], True),
        (["--input", "1x3x8x8"], True),
        (["--input", "2x3x8x8"], True),
        (["--batch", "2"], True),
        (["--set", "width=9"], False),
        (["--input", "1x3x9x9"], False),
    ],
    ids=str,
)
def test_what_is_given_as_the_file_has_it_changes_no_expectation(arguments: list[str], judged: bool) -> None:
    text = (
        "input: [N, 3, 8, 8]\nparams: {width: 4, depth: 2}\nvariants: {small: {width: 8}}\n"
        "layers:\n  - Conv2d(width, depth + 1)\n  - Flatten\n  - Linear(10)\nexpect: {params: 1}\n"
    )
    Path("sizes.yaml").write_text(text, encoding="utf-8")
    code, said = run("summary", "sizes.yaml:small", *arguments)
    assert (code, "not judged at these" in said) == ((1, False) if judged else (0, True))
