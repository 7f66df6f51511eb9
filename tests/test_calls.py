"""Calls as people type them: inputs by position, keywords of other tools, no input at all, classes, a missing batch,
sizes that a spec does not expect, and in whose words help is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import archscope
from archscope.cli import cli
from archscope.cli.wording import reword
from archscope.errors import ArchscopeError, KeywordError, UsageError

pytestmark = pytest.mark.moves_rng
NET = """\
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width * 26 * 26, 10)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


class Sized(Net):
    def __init__(self, width):
        super().__init__(width)
"""
SPEC = """\
input: [N, 3, 8, 8]
layers:
  - Conv2d(4, 3, padding=1)
  - act: ReLU
    expect: {shape: [N, _, 8, 8]}
expect: {macs: 6_912, params: 112}
"""


class Net(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width * 26 * 26, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).flatten(1))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "net.yaml").write_text(SPEC)
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, list(arguments))


# ------------------------------------------------------------ inputs by position
def test_an_input_may_stand_after_the_target() -> None:
    assert archscope.summarize(Net(), (1, 3, 28, 28)).total.macs == 4 * 27 * 26 * 26 + 4 * 26 * 26 * 10
    assert archscope.summarize(Net(), torch.ones(2, 3, 28, 28)).batch == 2
    assert [one.source for one in archscope.summarize(nn.Bilinear(2, 3, 4), (1, 2), (1, 3)).trace.inputs] == [
        "input1",
        "input2",
    ]
    assert archscope.cross_check(Net(), (1, 3, 28, 28)).report.batch == 1
    with pytest.raises(UsageError, match="inputs are given twice"):
        archscope.summarize(Net(), (1, 3, 28, 28), input=(1, 3, 28, 28))


# ------------------------------------------------------------ keywords of others
@pytest.mark.parametrize(
    ("keyword", "help"),
    [
        ("input_size", r"input=\(1, 3, 224, 224\)"),
        ("input_data", "input=tensor"),
        ("dtypes", r'input=\("int64", \(1, 128\)\)'),
        ("mode", "train=True"),
        ("depth", r"report\.table\(depth=2\)"),
        ("col_names", r"report\.table\(columns="),
        ("verbose", r"print\(report\)"),
        ("bacth", "did you mean 'batch'"),
        ("zzz", "arguments: .*batch"),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        archscope.summarize,
        archscope.check,
        archscope.compare,
        archscope.cross_check,
        archscope.time,
        archscope.repair,
        archscope.build,
    ],
)
def test_a_keyword_of_another_tool_names_ours(call: Any, keyword: str, help: str) -> None:
    with pytest.raises(KeywordError, match=rf"{call.__name__} has no argument '{keyword}'\n  help: .*{help}") as raised:
        call(Net(), **{keyword: 1})
    assert isinstance(raised.value, TypeError | ArchscopeError)


@pytest.mark.parametrize("name", ["summary", "profile"])
def test_a_name_of_another_tool_names_ours(name: str) -> None:
    with pytest.raises(AttributeError, match=r"archscope\.summarize\(model, input=\(1, 3, 224, 224\)\)"):
        getattr(archscope, name)
    assert not hasattr(archscope, name)


# ------------------------------------------------------------ no input
def test_without_an_input_the_parameters_are_told(folder: Path) -> None:
    report = archscope.summarize(Net())
    assert (report.total.params, report.total.macs, report.rows, report.failed) == (27_162, None, (), False)
    text = str(report)
    for told in ("conv   weight 4×3×3×3, bias 4", "fc     weight 10×2704, bias 10", "nothing was run", "forward(x)"):
        assert told in text
    assert "every operation counted" not in text
    assert "MACs ·" not in text
    done = run("summary", "net.py:Net")
    assert (done.exit_code, "weight 4×3×3×3, bias 4" in done.stdout) == (0, True)


def test_a_tied_parameter_is_counted_once_and_says_whose_it_is() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(7, 3), nn.Linear(3, 7, bias=False)
            self.head.weight = self.table.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(x))

    report = archscope.summarize(Tied())
    assert report.total.params == 21
    assert "head   weight table.weight" in str(report)


def test_what_needs_no_input_is_run() -> None:
    class Table(nn.Linear):
        def forward(self, x: torch.Tensor | None = None) -> torch.Tensor:
            return super().forward(torch.ones(1, 3) if x is None else x)

    assert archscope.summarize(Table(3, 2)).total.macs == 6


# ------------------------------------------------------------ classes and factories
def test_a_class_or_a_factory_is_a_target() -> None:
    assert archscope.summarize(Net, (1, 3, 28, 28), set={"width": 2}).total.params == 2 * 28 + 10 * (2 * 676 + 1)
    assert archscope.summarize(lambda: Net(3), input=(1, 3, 28, 28), dtype="float16").trace.dtype == "float16"
    (item,) = archscope.check(Net, input=(1, 3, 30, 30))
    assert [finding.rule for finding in item.findings] == ["layer-shape"]
    assert archscope.check(Net, input=(1, 3, 28, 28), max_params="1M", ignore="lint")[0].findings == ()


# ------------------------------------------------------------ the table of a report
def test_a_table_has_the_depth_that_is_wanted() -> None:
    report = archscope.summarize(nn.Sequential(Net(), nn.ReLU()), (1, 3, 28, 28))
    assert "conv" in report.table()
    assert "conv" not in report.table(depth=1)
    assert report.table(columns=("path", "macs")).splitlines()[2].split() == ["path", "MACs"]
    assert report.table(columns="params", sort="params").splitlines()[3].strip() == "27,050"
    assert str(report) == report.table()


@pytest.mark.parametrize("wish", [{"depth": 0}, {"columns": ["mac"]}, {"sort": "mac"}])
def test_a_table_that_cannot_be_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(
        UsageError, match=r"no column 'mac'\n  help: did you mean 'macs'|a depth is a whole number from 1"
    ):
        archscope.summarize(nn.ReLU(), (1, 3)).table(**wish)


def test_a_narrow_table_speaks_of_its_own_columns(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert "report.table(columns=…) chooses" in str(archscope.summarize("net.yaml")).replace("\n", " ")
    assert "--columns chooses" in run("summary", "net.yaml").stdout.replace("\n", " ")


# ------------------------------------------------------------ a missing batch
@pytest.mark.parametrize(
    ("model", "given", "taken"),
    [
        (Net(), (3, 28, 28), (1, 3, 28, 28)),
        (nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU()), (3, 9), (1, 3, 9)),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), (3, 9, 9), (1, 3, 9, 9)),
        (nn.Sequential(nn.Linear(12, 4), nn.ReLU()), (12,), (1, 12)),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), (3, 2, 2), (1, 3, 2, 2)),
    ],
    ids=str,
)
def test_a_missing_batch_is_seen_and_said(model: nn.Module, given: Any, taken: Any) -> None:
    report = archscope.summarize(model, given)
    assert [one.value.shape for one in report.trace.inputs] == [taken]
    (note,) = report.trace.notes
    assert "was taken as one example" in note
    assert not report.failed


class Own(nn.Module):
    """Gives its image a batch itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x.unsqueeze(0))


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (Own(), (3, 9, 9)),
        (nn.Conv2d(3, 4, 3), torch.ones(3, 9, 9)),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), (1, 12)),
        (nn.Sequential(nn.Linear(12, 4)), (5, 12)),
    ],
    ids=str,
)
def test_what_has_its_batch_is_taken_as_it_is(model: nn.Module, given: Any) -> None:
    report = archscope.summarize(model, given)
    shape = given if isinstance(given, tuple) else tuple(given.shape)
    assert ([one.value.shape for one in report.trace.inputs], report.trace.notes) == ([shape], ())


def test_a_spec_takes_its_input_without_the_batch(folder: Path) -> None:
    report = archscope.summarize("net.yaml", (3, 16, 16))
    assert report.trace.inputs[0].value.shape == (1, 3, 16, 16)
    assert any("3×16×16 was taken as one example" in note for note in report.trace.notes)


# ------------------------------------------------------------ expectations at other sizes
def test_fixed_sizes_are_not_judged_at_other_inputs(folder: Path) -> None:
    done = run("check", "net.yaml", "--input", "1x3x16x16")
    assert (done.exit_code, "3 expectations not judged" in done.stdout) == (0, True)
    shown = run("summary", "net.yaml", "--input", "1x3x16x16").stdout
    assert "not judged at these: shape (1, _, 8, 8) of act, macs 6,912, params 112" in shown.replace("\n", " ")


def test_they_are_judged_at_their_own_inputs(folder: Path) -> None:
    (folder / "net.yaml").write_text(SPEC.replace("_, 8, 8", "_, 9, 9"))
    for options in ([], ["--input", "1x3x8x8"]):
        done = run("check", "net.yaml", *options)
        assert (done.exit_code, "expect-shape" in done.stdout) == (1, True)


def test_what_follows_from_the_input_is_judged_at_others(folder: Path) -> None:
    (folder / "net.yaml").write_text("input: [N, 3, 8, 8]\nlayers: [MaxPool2d(2)]\nexpect: {preserves: size}\n")
    assert run("check", "net.yaml", "--input", "1x3x16x16").exit_code == 1


# ------------------------------------------------------------ in whose words
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("input=(1, 3, 224, 224) gives", "--input 1x3x224x224 gives"),
        ("input=(4,)", "--input 4"),
        ('device="meta" needs none', "--device meta needs none"),
        ('set={"width": …, "depth": …} (it is', "--arg width=… --arg depth=… (it is"),
        ("give its arguments with set=…", "give its arguments with --arg name=value"),
        ("train=True", "--train"),
        ("batch=8", "--batch 8"),
        ("kernel_size=3 in layer1", "kernel_size=3 in layer1"),
    ],
)
def test_keywords_become_options(text: str, said: str) -> None:
    assert reword(text) == said


@pytest.mark.parametrize(
    ("arguments", "call", "option", "keyword"),
    [
        (
            ["check", "net.py:Net"],
            lambda: archscope.check("net.py:Net"),
            "--input 1x3x224x224",
            "input=(1, 3, 224, 224)",
        ),
        (
            ["summary", "net.py:Sized", "--input", "1x3x8x8"],
            lambda: archscope.summarize("net.py:Sized", (1, 3, 8, 8)),
            "--arg width=…",
            'set={"width": …}',
        ),
        (
            ["summary", "net.py:Net", "--batch", "2"],
            lambda: archscope.summarize("net.py:Net", batch=2),
            "--input 1x3x224x224",
            "input=(1, 3, 224, 224)",
        ),
    ],
)
def test_each_door_speaks_its_own_words(
    folder: Path, arguments: list[str], call: Any, option: str, keyword: str
) -> None:
    with pytest.raises(UsageError) as raised:
        call()
    assert keyword in str(raised.value)
    assert "--" not in str(raised.value)
    said = run(*arguments).stderr
    assert option in said
    assert keyword not in said


def test_notes_of_a_report_speak_as_their_door_does(folder: Path) -> None:
    assert "input=(1, 3, 224, 224) gives" in str(archscope.summarize("net.py:Net"))
    assert "--input 1x3x224x224 gives" in run("summary", "net.py:Net").stdout


# ------------------------------------------------------------ the batch
@pytest.mark.parametrize(
    ("layer", "shapes", "batch"),
    [
        (nn.TransformerEncoderLayer(8, 2, 16), [(6, 2, 8)], None),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), [(6, 2, 8)], 6),
        (nn.TransformerEncoderLayer(8, 2, 16, norm_first=True), [(6, 2, 8)], None),
        (nn.LSTM(8, 4), [(6, 2, 8)], None),
        (nn.LSTM(8, 4, batch_first=True), [(6, 2, 8)], 6),
        (nn.GRU(8, 4), [(6, 8)], None),
        (nn.MultiheadAttention(8, 2), [(6, 2, 8)] * 3, None),
        (nn.MultiheadAttention(8, 2, batch_first=True), [(6, 2, 8)] * 3, 6),
        (nn.Linear(8, 2), [(6, 2, 8)], 6),
    ],
)
def test_a_length_that_comes_first_is_no_batch(
    layer: nn.Module, shapes: list[tuple[int, ...]], batch: int | None
) -> None:
    assert archscope.summarize(layer, *shapes).batch == batch
