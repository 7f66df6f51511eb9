"""Values as Python code has them: numpy's arrays and numbers, torch's dtypes, tensors for a spec; and those that no
option can mean, which are refused with what to write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

import archscope
from archscope.errors import ForwardError, KeywordError, SpecError, UsageError
from archscope.testing import assert_preserves_shape, assert_shape, assert_within

pytestmark = pytest.mark.moves_rng
SPEC = """\
params: {width: 4}
input: [N, 3, 8, 8]
layers:
  - Conv2d(width, 3)
"""
TOKENS = "input: {shape: [N, 4], dtype: int64, high: 10}\nlayers:\n  - Embedding(10, 2)\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.yaml").write_text(SPEC)
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))


# ------------------------------------------------------------ arrays and tensors
def test_an_array_of_several_numbers_is_an_input_of_every_call() -> None:
    model, array = net(), numpy.zeros((2, 3, 8, 8), "f4")
    assert archscope.summarize(model, array).batch == 2
    assert archscope.summarize(model, input=array).to_dict()["asked"]["unsaid"] == ["target", "input"]
    assert [report.batch for report in archscope.compare(model, net(), input=array).reports] == [2, 2]
    assert archscope.cross_check(model, input=array).report.batch == 2
    assert not archscope.check(model, input=array)[0].report.failed
    assert archscope.time(model, array, device="cpu", seconds=0.01, roofline=False, rows=False).report.batch == 2


@pytest.mark.parametrize("given", [torch.zeros(2, 3, 9, 9), numpy.zeros((2, 3, 9, 9)), (numpy.int64(2), 3, 9, 9)])
def test_a_spec_takes_the_shape_of_a_tensor(given: Any) -> None:
    report = archscope.summarize("net.yaml", given)
    assert [(one.value.shape, one.value.dtype) for one in report.trace.inputs] == [((2, 3, 9, 9), "float32")]
    document = json.loads(json.dumps(report.to_dict()))
    assert document["asked"]["unsaid"] == []
    assert archscope.again(document).total == report.total
    assert archscope.summarize("net.yaml", input={"x": given}).total == report.total


def test_a_spec_takes_the_dtype_of_a_tensor_too() -> None:
    for given in (torch.zeros(3, 4, dtype=torch.int32), (torch.int32, (3, 4))):
        assert archscope.summarize("tokens.yaml", given).trace.inputs[0].value.dtype == "int32"
    with pytest.raises((SpecError, ForwardError), match="float32"):  # torch 2.8 compiles it on shapes
        archscope.summarize("tokens.yaml", torch.zeros(3, 4))


# ------------------------------------------------------------ options
@pytest.mark.parametrize("dtype", [torch.float16, "float16"])
def test_a_dtype_may_be_torchs(dtype: Any) -> None:
    report = archscope.summarize("net.yaml", dtype=dtype)
    assert (report.trace.dtype, report.to_dict()["asked"]["dtype"]) == ("float16", "float16")
    assert archscope.summarize(net, input=(1, 3, 8, 8), dtype=dtype).trace.dtype == "float16"
    assert next(archscope.build("net.yaml", dtype=dtype).parameters()).dtype == torch.float16
    grid = archscope.time_grid("net.yaml", dtype=[dtype], device="cpu", seconds=0.01, roofline=False)
    assert grid.timings[0].report.trace.dtype == "float16"


def test_a_device_may_be_torchs_and_numbers_may_be_numpys() -> None:
    report = archscope.summarize("net.yaml", device=torch.device("meta"), batch=numpy.int64(2), seed=numpy.int32(3))
    told = report.to_dict()["asked"]
    assert (told["device"], told["batch"], told["seed"]) == ("meta", 2, 3)
    assert archscope.again(json.loads(json.dumps(report.to_dict()))).batch == 2


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"dtype": 16}, r'a dtype is a name, not 16\n  help: dtype="float16", or dtype=torch.float16'),
    ({"dtype": torch.int64}, "unknown dtype 'int64' for weights"),
    ({"device": 0}, "a device is a name, not 0"),
    ({"set": "width=3"}, r"set is a mapping of names to values, not 'width=3'\n  help: set=\{"),
    ({"set": ["width"]}, "set is a mapping"),
    ({"train": "yes"}, r"train is True or False, not 'yes'\n  help: train=True"),
    ({"train": 1}, "train is True or False, not 1"),
    ({"backward": "no"}, "backward is True or False"),
    ({"seed": -1}, "a seed is a whole number from 0 to 9,223,372,036,854,775,807, not -1"),
    ({"seed": 2**63}, "a seed is a whole number"),
    ({"seed": True}, "a seed is a whole number"),
    ({"seed": "a"}, "a seed is a whole number"),
    ({"batch": 0}, "a batch is a whole number from 1, not 0"),
    ({"batch": "8"}, "a batch is a whole number from 1, not '8'"),
    ({"texts": "input: [N]"}, "texts is a mapping of files' names"),
    ({"variant": 3}, "variant is a name, not 3"),
    ({"progress": True}, r"progress is a function, not True\n  help: progress=print"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED)
def test_what_no_option_can_mean_is_refused_with_what_to_write(options: dict[str, Any], said: str) -> None:
    for call in (archscope.summarize, archscope.compare, archscope.check):
        with pytest.raises(UsageError, match=said):
            call("net.yaml", **options)


def test_build_and_time_read_the_same_options() -> None:
    with pytest.raises(UsageError, match="set is a mapping"):
        archscope.build("net.yaml", set="width=3")
    with pytest.raises(UsageError, match="a seed is a whole number"):
        archscope.build("net.yaml", seed=-1)
    for options in ({"set": "width=3"}, {"seed": -1}, {"train": "yes"}, {"dtype": 16}, {"rows": "no"}):
        with pytest.raises(UsageError, match=f"{next(iter(options))} is"):
            archscope.time("net.yaml", **options)


# ------------------------------------------------------------ how it was asked for
def test_again_takes_a_report() -> None:
    report = archscope.summarize("net.yaml", set={"width": 6}, batch=2)
    assert archscope.again(report).total == report.total
    model = net()
    with pytest.raises(UsageError, match="target=…"):
        archscope.again(archscope.summarize(model, (1, 3, 8, 8)))
    assert archscope.again(archscope.summarize(model, (1, 3, 8, 8)), target=model).batch == 1
    with pytest.raises(UsageError, match="a document is a report, its JSON or the file that holds it, not 3"):
        archscope.again(3)  # type: ignore[arg-type]


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Any, scale: Any = 1.0, window: Any = None) -> Any:
        assert not isinstance(window, list)
        return self.layer(x) * scale


@pytest.mark.parametrize(
    ("options", "unsaid"),
    [
        ({"args": ((3, 4),)}, ["target"]),
        ({"args": (("float32", (3, 4)), 2.0)}, ["target"]),
        ({"args": ((torch.float32, (3, 4)),)}, ["target"]),
        ({"kwargs": {"x": (3, 4)}}, ["target"]),
        ({"input": (torch.float32, (3, 4))}, ["target"]),
        ({"args": ((3, 4),), "kwargs": {"window": ("same", 2)}}, ["target", "kwargs"]),
        ({"args": (torch.zeros(3, 4),)}, ["target", "args"]),
        ({"input": (3, 4), "kwargs": {"window": (2, 2)}}, ["target", "kwargs"]),
    ],
)
def test_shapes_among_arguments_are_held_and_tuples_are_not(options: dict[str, Any], unsaid: list[str]) -> None:
    model = Pair()
    report = archscope.summarize(model, **options)
    document = json.loads(json.dumps(report.to_dict()))
    assert document["asked"]["unsaid"] == unsaid
    missing = {name: options[name] for name in unsaid[1:]}
    assert archscope.again(document, target=model, **missing).total == report.total


def test_numbers_of_numpys_are_held() -> None:
    told = archscope.summarize("net.yaml", set={"width": numpy.int64(6)}).to_dict()["asked"]
    assert (told["set"], told["unsaid"]) == ({"width": 6}, [])
    assert json.loads(json.dumps(told)) == told


# ------------------------------------------------------------ wishes of a table
def test_a_wish_of_a_table_that_there_is_none_of_is_told() -> None:
    report = archscope.summarize("net.yaml")
    said = [
        ({"max_depth": 1}, r"table has no argument 'max_depth'\n  help: depth=2"),
        ({"width": 50}, "COLUMNS"),
        ({"format": "markdown"}, "archscope summary --format markdown"),
        ({"colums": ("path",)}, "did you mean 'columns'"),
        ({"whatever": 1}, "arguments: columns, depth, expand, sort"),
    ]
    for wish, told in said:
        with pytest.raises(KeywordError, match=told):
            report.table(**wish)
    assert "total" in report.table(depth=1)


# ------------------------------------------------------------ asserts
def test_an_assert_knows_its_own_arguments() -> None:
    for options, told in [
        ({"max_params": "50k"}, r"assert_within has no argument 'max_params'\n  help: did you mean params=\"25M\"\?"),
        ({"params": "50k", "max_macs": "1M"}, r"no argument 'max_macs'\n  help: did you mean macs=\"4.1G\"\?"),
        ({"param": "50k"}, r"no argument 'param'\n  help: did you mean 'params'\?"),
    ]:
        with pytest.raises(KeywordError, match=told):
            assert_within(net(), input=(1, 3, 8, 8), **options)
    with pytest.raises(KeywordError, match="assert_shape has no argument 'batch_sizes'"):
        assert_shape(net(), (3, 8, 8), (2,), batch_sizes=(1,))


def test_a_whole_shape_in_the_place_of_an_example_is_told() -> None:
    said = r"it runs on \(1, 3, 8, 8\) itself: sizes are those of one example, without the batch; a whole shape goes"
    with pytest.raises(AssertionError, match=said):
        assert_shape(net(), (1, 3, 8, 8), (1, 2))
    with pytest.raises(AssertionError, match=said):
        assert_preserves_shape(net(), (1, 3, 8, 8))
    with pytest.raises(AssertionError) as found:
        assert_shape(net(), (4, 8, 8), (2,))
    assert "itself" not in str(found.value)
    assert_shape(net(), (1, 2), input=(1, 3, 8, 8))


def test_a_budget_of_parameters_is_of_a_net_that_runs_where_an_input_is_known() -> None:
    Path("broken.yaml").write_text("input: [N, 3, 8, 8]\nlayers:\n  - residual:\n      - Conv2d(4, 3)\n")
    with pytest.raises(AssertionError, match="residual-shape"):
        assert_within("broken.yaml", params="1M")
    with pytest.raises(AssertionError, match="in_channels"):
        assert_within(net(), params="1M", input=(1, 4, 8, 8))
    assert_within(net(), params="1M")


# ------------------------------------------------------------ batch and shape
@pytest.mark.parametrize(
    "given", [(3, 8, 8), ("float32", (3, 8, 8)), {"shape": (3, 8, 8)}, {"input": (3, 8, 8)}, (numpy.int64(3), 8, 8)]
)
def test_a_batch_beside_a_shape_without_one_is_another_size(given: Any) -> None:
    model = net()
    note = "3×8×8 was taken as one example, 5×3×8×8, as the first layer (Conv2d) shows; a tensor goes in as it is"
    report = archscope.summarize(model, input=given, batch=5)
    assert (report.trace.inputs[0].value.shape, report.ok) == ((5, 3, 8, 8), True)
    assert note in report.trace.notes
    assert archscope.summarize(model, input=given).trace.inputs[0].value.shape == (1, 3, 8, 8)
    whole = archscope.summarize(model, input=(1, 3, 8, 8), batch=5)
    assert (whole.trace.inputs[0].value.shape, whole.trace.notes) == ((5, 3, 8, 8), ())


def test_a_batch_beside_the_shape_of_a_spec_is_its_n() -> None:
    report = archscope.summarize("net.yaml", (3, 9, 9), batch=5)
    assert report.trace.inputs[0].value.shape == (5, 3, 9, 9)
    assert "x: 3×9×9 was taken as one example, 5×3×9×9, as the spec's input has N" in report.trace.notes
    assert archscope.check("net.yaml", input=(3, 9, 9), batch=5)[0].report.batch == 5
    with pytest.raises(UsageError, match="the batch size is given twice"):
        archscope.summarize("net.yaml", (1, 3, 9, 9), batch=5)
