"""What cannot be known is unknown in every format, never zero: nets that were not run, and runs that broke off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import archscope
from archscope.errors import UsageError
from tests.commands import rows, run

MODELS = """\
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.embed = nn.Embedding(10, 2)

    def forward(self, x):
        return self.conv(x)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 2)
        self.head = nn.Linear(2, 3)

    def forward(self, x):
        return self.head(self.embed(x))
"""
LENET = "specs:tutorials/lenet"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def plain(text: str) -> str:
    return " ".join(text.split())


# ------------------------------------------------------------ nothing was run
def document(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--format", "json").stdout)


@pytest.mark.parametrize("command", ["summary", "flops"])
def test_json_of_a_model_without_an_input_holds_null_for_what_a_run_would_tell(command: str) -> None:
    found = document(command, "model.py:Net")
    assert (found["ok"], found["runs"]) == (True, None)
    unknown = ("macs", "flops", "bytes_read", "bytes_written", "unpriced")
    assert [found["totals"][key] for key in unknown] == [None] * 5
    assert (found["outputs"], found["unpriced"], found["unread"]) == (None, None, None)
    assert (found["totals"]["params"], found["rows"], found["findings"]) == (4 * 28 + 20, [], [])
    for part in found.get("parts", []):
        assert {part[key] for key in ("calls", "macs", "flops", "bytes_read", "bytes_written")} == {None}
        assert part["state"] == "not run"


@pytest.mark.parametrize("command", [["summary"], ["flops"], ["flops", "--by", "type"], ["flops", "--by", "depth"]])
def test_csv_of_a_model_without_an_input_is_empty_there(command: list[str]) -> None:
    found = rows(*command, "model.py:Net")
    assert sum(int(row["params"]) for row in found) == 4 * 28 + 20
    for row in found:
        known = {name for name, cell in row.items() if cell}
        assert known <= {"path", "layer", "params", "state"}
        assert row["state"] == "not run"


@pytest.mark.parametrize("format", ["table", "markdown", "html"])
def test_tables_show_bytes_of_what_was_not_run_as_unknown(format: str) -> None:
    shown = run("flops", "model.py:Net", "--columns", "path,macs,read,written,calls", "--format", format).stdout
    assert shown.count("?") >= 12  # four columns of two parts and the total's three, and the legend


def test_in_python_nothing_was_found_and_whether_it_runs_is_not_known() -> None:
    report = archscope.summarize("model.py:Net")
    assert (report.ok, report.runs, report.broken, report.finished) == (True, None, False, False)
    assert (report.total.bytes_read, report.total.bytes_written, report.total.unpriced) == (None, None, 0)
    assert "nothing was run" in repr(report)
    assert "MACs" not in repr(report)
    report.raise_for_errors()


def test_a_run_that_broke_off_does_not_know_what_it_moves() -> None:
    found = document("summary", "model.py:Tokens", "--input", "1x4")
    totals = found["totals"]
    assert (found["ok"], found["runs"], totals["bytes_read"], totals["unpriced"]) == (False, False, None, None)
    lines = {row["path"]: row for row in rows("summary", "model.py:Tokens", "--input", "1x4")}
    assert {row["bytes_read"] for row in lines.values()} == {""}
    assert lines["unread"]["macs"] == ""  # of the layers that it did not reach
    assert lines["unread"]["state"] == "not run"


def test_an_operation_without_a_price_has_no_share() -> None:
    Path("fft.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x):\n"
        "        return torch.fft.rfft(x)\n"
    )
    (line,) = rows("summary", "fft.py:Net", "--input", "1x8")
    assert (line["macs"], line["share"], line["params"]) == ("", "", "0")
    assert line["bytes_read"] != ""


# ------------------------------------------------------------ comparisons
@pytest.mark.parametrize("format", ["table", "markdown", "html"])
def test_a_comparison_says_that_nothing_was_run_and_how_it_would_be(format: str) -> None:
    result = run("flops", "--compare", LENET, "model.py:Net", "--format", format)
    shown = plain(result.stdout)
    assert result.exit_code == 0
    assert "≥" not in shown
    assert "no price" not in shown
    assert "model.py:Net not run" in shown.replace("&nbsp;", " ")
    assert "model.py:Net: no input was given" in shown.replace("\\_", "_")
    assert "--input 1x3x224x224 gives" in shown
    assert "input=" not in shown


def test_data_of_a_comparison_say_that_nothing_was_run() -> None:
    first, second = rows("flops", "--compare", LENET, "model.py:Net")
    assert (first["state"], second["state"]) == ("", "not run")
    assert (second["macs"], second["flops"], second["unpriced"], second["macs_ratio"]) == ("", "", "", "")
    chosen = run("flops", "--compare", LENET, "model.py:Net", "--format", "csv", "--columns", "label,macs,read")
    assert chosen.stdout.splitlines()[::2] == ["label,macs,bytes_read,state", "model.py:Net,,,not run"]
    last = document("flops", "--compare", LENET, "model.py:Net")["targets"][1]
    assert (last["runs"], last["totals"]["macs"], last["totals"]["bytes_read"]) == (None, None, None)


@pytest.mark.moves_rng
def test_a_comparison_of_live_modules_says_it_as_python_does() -> None:
    from torch import nn

    shown = plain(str(archscope.compare(nn.Conv2d(3, 4, 1), LENET)))
    assert "Conv2d not run" in shown
    assert "input=(1, 3, 224, 224) gives" in shown


def test_a_comparison_tells_a_run_that_broke_off_from_shapes_that_are_assumed() -> None:
    result = run("flops", "--compare", "model.py:Net", "model.py:Tokens", "--input", "1x3x8x8")
    shown = plain(result.stdout)
    assert result.exit_code == 1
    assert "fails: the forward pass broke off" in shown
    assert "no price" not in shown
    assert "if it fitted" not in shown
    assert "≥0" not in shown
    assert "input=" not in result.stdout + result.stderr
    Path("broken.yaml").write_text("input: [N, 8, 6, 6]\nlayers:\n  - residual:\n    - Conv2d(16, 3, padding=1)\n")
    shown = plain(run("flops", "--compare", LENET, "broken.yaml").stdout)
    assert "if it fitted" in shown
    assert "broke off" not in shown


# ------------------------------------------------------------ labels, tables and findings of comparisons
@pytest.mark.moves_rng
def test_targets_that_are_called_alike_are_numbered() -> None:
    from torch import nn

    two = archscope.compare(nn.Linear(2, 3), nn.Linear(2, 4), input=(1, 2))
    assert two.labels == ("Linear (1)", "Linear (2)")
    assert "ratio: ÷ Linear (1)" in str(two)
    assert archscope.compare(nn.Linear(2, 3), nn.Linear(2, 4), input=(1, 2), against="Linear (2)").against == 1
    labels = [row["label"] for row in rows("flops", "--compare", LENET, LENET)]
    assert labels == [f"{LENET} (1)", f"{LENET} (2)"]


@pytest.mark.moves_rng
def test_a_number_is_not_given_twice() -> None:
    from torch import nn

    named = [{"a": nn.Linear(2, 3)}, {"a": nn.Linear(2, 4)}, {"a (1)": nn.Linear(2, 5)}]
    assert archscope.compare(*named, input=(1, 2)).labels == ("a (2)", "a (3)", "a (1)")


def test_networks_of_the_package_are_called_as_they_are_typed() -> None:
    assert archscope.variants("specs:resnet")[0] == "specs:resnet:resnet18"
    assert archscope.compare("specs:resnet:resnet18", LENET, device="meta").labels == ("specs:resnet:resnet18", LENET)
    assert archscope.compare("specs:lenet", "specs:unet", device="meta").labels == (LENET, "specs:unet")


def test_a_comparison_has_a_table_with_chosen_columns() -> None:
    two = archscope.compare("specs:bottleneck_1x1", device="meta")
    table = two.table(columns=("target", "macs"), sort="macs").splitlines()
    assert [line.split() for line in table if line.startswith(("direct", "bottleneck"))] == [
        ["direct", "120,422,400"],
        ["bottleneck", "12,443,648"],
    ]
    with pytest.raises(UsageError, match="did you mean 'params'"):
        two.table(columns=["parms"])


def test_a_warning_of_several_variants_is_told_once_with_their_names() -> None:
    Path("net.yaml").write_text(
        "params: {width: 8}\nvariants:\n  small: {width: 8}\n  large: {width: 16}\nblocks:\n"
        "  Spare(spare=3):\n    - Conv2d(width, 1)\ninput: [N, 3, 4, 4]\nlayers:\n  - Spare\n"
    )
    for command in (["flops", "--compare", "net.yaml"], ["flops", "net.yaml:small", "net.yaml:large"]):
        told = run(*command).stderr
        assert told.count("Spare accepts 'spare'") == 1
        assert told.splitlines()[0] == "net.yaml:small"
        assert "also in large" in told
    assert "net.yaml:small\n" not in run("flops", "net.yaml:small").stderr


# ------------------------------------------------------------ the backward pass, compared
def test_a_comparison_in_training_has_the_backward_pass() -> None:
    first, second = rows("flops", "--compare", "specs:bottleneck_1x1", "--train")
    weights, inputs = 2_408_448 + 10_035_200, 10_035_200  # of both convolutions; of the second, which reads the first
    assert (first["backward_macs"], second["backward_macs"]) == ("120422400", str(weights + inputs))
    assert float(second["backward_ratio"]) == 22_478_848 / 120_422_400
    shown = plain(run("flops", "--compare", "specs:bottleneck_1x1", "--train").stdout)
    assert "backward: MACs of the backward pass; MACs: of the forward pass" in shown
    targets = document("flops", "--compare", "specs:bottleneck_1x1", "--train")["targets"]
    assert targets[1]["backward"]["totals"]["macs"] == 22_478_848
    assert targets[1]["ratios"]["backward_macs"] == 22_478_848 / 120_422_400


def test_a_comparison_without_training_has_no_backward_pass() -> None:
    assert "backward_macs" not in rows("flops", "--compare", "specs:bottleneck_1x1")[0]
    refused = run("flops", "--compare", "specs:bottleneck_1x1", "--columns", "label,backward")
    assert refused.exit_code == 2
    assert "--train records it" in refused.stderr
