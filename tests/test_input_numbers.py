"""Inputs whose numbers a layer cannot read, told in our words with what to give instead; and what needs no input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import archscope
from archscope.cli import cli
from archscope.cli.wording import reword
from archscope.errors import ForwardError, SpecError, UsageError

pytestmark = pytest.mark.moves_rng
TOKENS = """\
from torch import nn


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(1000, 16), nn.Linear(16, 4)

    def forward(self, ids):
        return self.head(self.embed(ids).mean(1))


class Image(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x)
"""
VARIANTS = (
    "params: {width: 4}\ninput: [N, 3]\nvariants:\n  small: {width: 2}\n  large: {width: 8}\nlayers: [Linear(width)]\n"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.py").write_text(TOKENS)
    (tmp_path / "net.yaml").write_text(VARIANTS)
    (tmp_path / "bad.yaml").write_text("layers: [")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments))
    return result.exit_code, result.output


# ------------------------------------------------------------ numbers that a layer cannot read
FLOATS = "Embedding wants the numbers of its rows, int64 or int32; it is given ids, 1×12 float32"
BEYOND = "Embedding has a table of 1,000 rows, for 0 to 999, and ids holds a number beyond them"
UNLIKE = "Conv2d has float32 weights; it is given x, 1×3×8×8 "
SAID = [
    ("Words", "1x12", FLOATS, "--input int64:1x12 holds whole numbers"),
    ("Words", "int64:1x12:0..5000", BEYOND, "--input int64:1x12:0..1000 holds numbers from 0 to 999"),
    (
        "Image",
        "float16:1x3x8x8",
        UNLIKE + "float16",
        "--input 1x3x8x8 is made in float32, or --dtype float16 converts the weights",
    ),
    ("Image", "int64:1x3x8x8", UNLIKE + "int64", "--input 1x3x8x8 is made in float32"),
]


@pytest.mark.parametrize(("name", "given", "fact", "help"), SAID)
def test_the_command_line_says_which_input_would_do(name: str, given: str, fact: str, help: str) -> None:
    code, text = run("check", f"net.py:{name}", "--input", given)
    assert code == 1
    assert f"{fact}\n  help: {help}\n" in text
    for words in help.split(", or "):
        option, value = words.split()[:2]
        chosen = ["--input", given, option, value] if option == "--dtype" else [option, value]
        assert run("summary", f"net.py:{name}", *chosen)[0] == 0


def told(model: Any, given: Any) -> tuple[str, str]:
    with pytest.raises(ForwardError) as found:
        archscope.summarize(model, given)
    assert found.value.__cause__ is not None
    assert found.value.report.findings[0].message == found.value.problem.message
    return found.value.problem.message, found.value.problem.help


def test_python_says_it_in_pythons_words() -> None:
    table, conv = nn.Embedding(10, 4), nn.Conv2d(3, 4, 3)
    assert told(table, (1, 12))[1] == 'input=("int64", (1, 12)) holds whole numbers'
    assert told(table, torch.zeros(1, 12))[1] == "input.to(torch.int64)"
    assert told(table, ("int64", (1, 12), (0, 500)))[1] == 'input=("int64", (1, 12), (0, 10)) holds numbers from 0 to 9'
    assert told(table, torch.full((1, 12), 10)) == (
        "Embedding has a table of 10 rows, for 0 to 9, and input holds a number beyond them",
        "",
    )
    assert told(conv, torch.zeros(1, 3, 8, 8).double())[1] == "input.to(torch.float32)"
    assert told(conv, ("float64", (1, 3, 8, 8)))[1] == (
        "input=(1, 3, 8, 8) is made in float32, or model.to(torch.float64) converts the weights"
    )


@pytest.mark.parametrize(
    ("layer", "given"),
    [
        (nn.Linear(8, 2), ("float16", (1, 8))),
        (nn.ConvTranspose1d(4, 2, 3), ("float64", (1, 4, 8))),
        (nn.LayerNorm(8), ("float64", (1, 4, 8))),
        (nn.BatchNorm1d(4), ("float64", (2, 4, 8))),
        (nn.GroupNorm(2, 4), ("float64", (2, 4, 8))),
    ],
)
def test_other_layers_of_another_dtype_say_the_same(layer: nn.Module, given: Any) -> None:
    fact, help = told(layer, given)
    assert fact.startswith(f"{type(layer).__name__} has float32 weights; it is given input, ")
    assert help.startswith(f"input={given[1]} is made in float32")


def test_a_bag_of_rows_says_how_many_it_has() -> None:
    assert told(nn.EmbeddingBag(8, 2), ("int64", (1, 4), (0, 30))) == (
        "EmbeddingBag has a table of 8 rows, for 0 to 7, and input holds a number beyond them",
        'input=("int64", (1, 4), (0, 8)) holds numbers from 0 to 7',
    )


class Two(nn.Module):
    def __init__(self, cast: bool = False) -> None:
        super().__init__()
        self.table, self.cast = nn.Embedding(10, 4), cast

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids * 1.0 if self.cast else ids) + x


def test_of_several_inputs_the_one_is_named_and_what_is_no_input_gets_no_help_of_its_own() -> None:
    given = {"x": (1, 3, 4), "ids": (1, 3)}
    with pytest.raises(ForwardError) as found:
        archscope.summarize(Two(), input=given)
    assert found.value.problem.help == 'ids as ("int64", (1, 3)) holds whole numbers'
    assert reword(found.value.problem.help) == "ids as int64:1x3 holds whole numbers"
    with pytest.raises(ForwardError) as found:
        archscope.summarize(Two(cast=True), input={**given, "ids": ("int64", (1, 3))})
    assert "it is given mul, 1×3 float32" in found.value.problem.message
    assert "int64:" not in found.value.report.findings[0].help


def test_the_layer_that_ended_the_run_has_one_line() -> None:
    _, text = run("summary", "net.py:Words", "--input", "1x12")
    assert [line.split()[:2] for line in text.splitlines() if line.startswith("embed")] == [["embed", "fails"]]
    model = nn.Sequential(nn.Sequential(nn.Identity(), nn.Sequential(nn.Linear(4, 4))), nn.Linear(4, 2))
    with pytest.raises(ForwardError) as found:
        archscope.summarize(model, ("float64", (1, 4)))
    shown = [
        line.split()[0] for line in found.value.report.table().splitlines() if line[:1].isdigit() or line[:1] == " "
    ]
    assert shown.count("0.1.0") == 1
    assert "1" not in shown


# ------------------------------------------------------------ a row of numbers without its batch
def test_a_row_of_numbers_that_runs_in_a_batch_is_told_so() -> None:
    help = "--input int64:1x12 runs: the batch stands before the 12 numbers"
    code, text = run("check", "net.py:Words", "--input", "int64:12")
    assert (code, f"help: {help}" in text) == (1, True)
    assert f"help: {help}" in run("summary", "net.py:Words", "--input", "int64:12")[1]
    assert run("summary", "net.py:Words", "--input", "int64:1x12")[0] == 0
    assert archscope.summarize(nn.Embedding(10, 4), ("int64", (12,))).ok  # such a row is an input of its own
    broken = nn.Sequential(nn.Embedding(10, 4), nn.Linear(5, 2))
    assert "stands before" not in archscope.summarize(broken, ("int64", (12,))).findings[0].help


# ------------------------------------------------------------ a budget of parameters
def test_a_budget_of_parameters_needs_no_input() -> None:
    code, text = run("check", "net.py:Image", "--max-params", "100")
    assert code == 1
    assert "error budget-params: 112 parameters, 12 more than the budget of 100" in text
    note = "no input was given, so the operations are not known; --input 1x3x224x224 gives their shapes"
    assert f"net.py:Image: {note}" in text
    code, text = run("check", "net.py:Image", "--max-params", "112")
    assert (code, "no input was given" in text) == (0, True)
    assert "no input was given" not in run("check", "net.py:Image", "--max-params", "112", "--input", "1x3x8x8")[1]
    (checked,) = archscope.check(nn.Linear(4, 2), max_params=5)
    assert [finding.rule for finding in checked.findings] == ["budget-params"]


def test_other_demands_need_an_input_still(tmp_path: Path) -> None:
    for options in ([], ["--max-macs", "1k"], ["--max-params", "1k", "--max-macs", "1k"]):
        code, text = run("check", "net.py:Image", *options)
        assert (code, "missing a required argument" in text) == (2, True)
    code, text = run("check", "net.py:Image", "--max-params", "1k", "--save-baseline", "base.json")
    assert (code, "there is no baseline to save" in text) == (2, True)
    assert not Path("base.json").exists()


# ------------------------------------------------------------ the text of a spec
@pytest.mark.parametrize(
    "text", ["input: [N, 3]\nlayers: [ReLU]\n", "{input: [N, 3], layers: [ReLU]}", "# net\nlayers:\n"]
)
def test_the_text_of_a_spec_is_no_target(text: str) -> None:
    said = "a target is the name of a file, and this is its text: "
    for call in (archscope.summarize, archscope.build, archscope.check, archscope.variants, archscope.networks):
        with pytest.raises(UsageError, match=said) as found:
            call(text)
        assert 'texts={"net.yaml": text}' in found.value.help
    code, told = run("summary", text)
    assert (code, said in told, "texts=" in told) == (2, True, False)
    assert archscope.summarize("new.yaml", texts={"new.yaml": "input: [N, 3]\nlayers: [ReLU]\n"}).ok


# ------------------------------------------------------------ the list
def test_the_list_of_a_variant_and_of_what_there_is_not() -> None:
    code, text = run("list", "net.yaml:large")
    assert (code, "net.yaml:large" in text, "net.yaml:small" in text) == (0, True, False)
    assert [one.target for one in archscope.networks("net.yaml:small")[0].variants] == ["net.yaml:small"]
    assert run("list", "net.yaml:nope") == (2, "net.yaml has no variant 'nope'\n  help: it has small, large\n")
    assert run("list", "specs:resnet:resnet5")[0] == 2
    assert "help: specs:resnet comes with archscope" in run("list", "resnet")[1]


def test_the_list_of_a_file_that_cannot_be_read_is_json_too() -> None:
    result = CliRunner().invoke(cli, ["list", "bad.yaml", "--format", "json"])
    assert json.loads(result.stdout)["networks"] == [{"target": "bad.yaml", "about": None, "variants": []}]
    assert (result.exit_code, result.stderr.startswith("bad.yaml:")) == (2, True)
    assert archscope.networks("bad.yaml", keep_going=True)[0].about is None
    with pytest.raises(SpecError):
        archscope.networks("bad.yaml")
