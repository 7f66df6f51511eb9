"""Rows are what the author wrote: names, edges, views, parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archscope.trace import Trace
from tests.record.runs import Holds, total, traced

pytestmark = pytest.mark.moves_rng


def edges(trace: Trace) -> list[tuple[str, str, list[str]]]:
    """(path, op, sources) of every row."""
    return [(row.path, row.op, [operand.source for operand in row.inputs]) for row in trace.rows]


def image(channels: int = 3) -> torch.Tensor:
    return torch.zeros(2, channels, 8, 8)


def test_a_residual_add_has_a_row_of_its_own() -> None:
    net = Holds(lambda m, x: F.relu(m.norm(m.conv(x)) + x), conv=nn.Conv2d(3, 3, 3, padding=1), norm=nn.BatchNorm2d(3))
    trace = traced(net, image())
    assert edges(trace) == [
        ("conv", "Conv2d", ["x", "conv.weight", "conv.bias"]),
        ("norm", "BatchNorm2d", ["conv", "norm.running_mean", "norm.running_var", "norm.weight", "norm.bias"]),
        ("", "add", ["norm", "x"]),
        ("", "relu", ["add"]),
    ]
    assert [row.function for row in trace.rows] == [
        "torch.nn.functional.conv2d",
        "torch.nn.functional.batch_norm",
        "torch.Tensor.add",
        "torch.nn.functional.relu",
    ]
    assert [row.params for row in trace.rows] == [("conv.weight", "conv.bias"), ("norm.weight", "norm.bias"), (), ()]
    assert trace.rows[2].inputs[0].value == trace.rows[1].outputs[0]
    assert trace.outputs[0].value == trace.rows[3].outputs[0]
    assert total(trace).macs == 2 * 3 * 8 * 8 * 3 * 9


def test_calls_form_the_tree_of_modules() -> None:
    net = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Flatten())
    calls = traced(net, image()).calls
    assert [(call.parent, call.site.path, call.site.name, call.site.kind) for call in calls] == [
        (-1, "", "Sequential", "block"),
        (0, "0", "Sequential", "block"),
        (1, "0.0", "ReLU", "layer"),
        (0, "1", "Flatten", "layer"),
    ]


NAMES = [
    (lambda m, x: x + x, "add", "torch.Tensor.add"),
    (lambda m, x: 1 - x, "sub", "torch.Tensor.__rsub__"),
    (lambda m, x: 1 / x, "div", "torch.Tensor.__rdiv__"),
    (lambda m, x: x**2, "pow", "torch.Tensor.pow"),
    (lambda m, x: x[0], "getitem", "torch.Tensor.__getitem__"),
    (lambda m, x: x.mT, "mT", "torch.Tensor.mT"),
    (lambda m, x: x.split(1), "split", "torch.Tensor.split"),
    (lambda m, x: torch.cat([x, x]), "cat", "torch.cat"),
    (lambda m, x: F.max_pool2d(x, 2), "max_pool2d", "torch.nn.functional.max_pool2d"),
    (lambda m, x: F.gelu(x), "gelu", "torch.nn.functional.gelu"),
    (lambda m, x: torch.relu(x), "relu", "torch.relu"),
    (lambda m, x: torch.einsum("ij->ji", x[0, 0]), "einsum", "torch.einsum"),
    (lambda m, x: torch.linalg.norm(x), "norm", "torch.linalg.norm"),
    (lambda m, x: torch.special.expit(x), "expit", "torch.special.expit"),
    (lambda m, x: torch.ops.aten.relu(x), "relu", "torch.ops.aten.relu"),
    (lambda m, x: torch.arange(3), "arange", "torch.arange"),
]


@pytest.mark.parametrize(("forward", "op", "function"), NAMES, ids=[name for *_, name in NAMES])
def test_names(forward: Callable[[Any, Any], Any], op: str, function: str) -> None:
    row = traced(Holds(forward), image()).rows[-1]
    assert (row.op, row.function) == (op, function)


def test_what_makes_no_tensor_is_no_row() -> None:
    def look(m: Any, x: torch.Tensor) -> torch.Tensor:
        assert x.dim() == len(x.shape) == 4
        assert x.size(1) == 3
        assert x.is_floating_point()
        assert x.dtype == torch.float32
        return x

    assert traced(Holds(look), image()).rows == ()


def test_views_move_nothing_and_keep_their_source() -> None:
    trace = traced(Holds(lambda m, x: x.permute(0, 2, 3, 1).reshape(2, -1).view(2, 3, 64)[:, 0] * 2), image())
    assert [(row.op, row.view) for row in trace.rows] == [
        ("permute", True),
        ("reshape", False),
        ("view", True),
        ("getitem", True),
        ("mul", False),
    ]
    assert all(a.outputs[0] == b.inputs[0].value for a, b in zip(trace.rows, trace.rows[1:], strict=False))
    size = 2 * 3 * 64 * 4
    assert total(trace).written == size + 2 * 64 * 4


def test_an_in_place_operation_makes_a_new_value() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        y.relu_()
        y[0] = 0
        return F.relu(y, inplace=True) * 2

    rows = traced(Holds(forward), image()).rows
    assert [(row.op, row.view) for row in rows] == [(op, False) for op in ("add", "relu_", "setitem", "relu", "mul")]
    ids = [row.outputs[0].id for row in rows]
    assert len(set(ids)) == len(ids)
    assert [row.inputs[0].value.id for row in rows[1:]] == ids[:-1]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_memory_that_is_used_again_brings_no_value_back(device: str) -> None:
    """Of a hundred activations that write in place, each reads the convolution before it."""
    layers = [layer for _ in range(100) for layer in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True))]
    rows = traced(nn.Sequential(*layers).to(device), torch.zeros(1, 3, 8, 8, device=device)).rows
    assert [row.inputs[0].value.id for row in rows[1:]] == [row.outputs[0].id for row in rows[:-1]]


def test_dropout_in_eval_passes_its_input_through() -> None:
    (row,) = traced(nn.Dropout(), image()).rows
    assert (row.op, row.view) == ("Dropout", True)
    (row,) = traced(nn.Dropout(), image(), train=True).rows
    assert (row.op, row.view) == ("Dropout", False)


def test_a_shared_module_is_called_twice_and_read_first_once() -> None:
    trace = traced(Holds(lambda m, x: m.fc(m.fc(x)), fc=nn.Linear(4, 4)), torch.zeros(1, 4))
    assert [row.path for row in trace.rows] == ["fc", "fc"]
    assert [row.call for row in trace.rows] == [1, 2]
    assert [row.params for row in trace.rows] == [("fc.weight", "fc.bias"), ()]
    assert total(trace).macs == 2 * 16


def test_tied_weights_name_their_owner() -> None:
    net = Holds(lambda m, x: m.out(m.embed(x)), embed=nn.Embedding(7, 4), out=nn.Linear(4, 7, bias=False))
    net.out.weight = net.embed.weight
    net.twin = nn.Parameter(net.embed.weight.data)
    trace = traced(net, torch.zeros(2, 3, dtype=torch.int64))
    assert [(p.name, p.tied_to) for p in trace.params] == [
        ("twin", ""),
        ("embed.weight", "twin"),
        ("out.weight", "twin"),
    ]
    assert [row.params for row in trace.rows] == [("embed.weight",), ()]


def test_a_parameter_and_a_constant_are_named_as_sources() -> None:
    table = torch.ones(4)
    trace = traced(Holds(lambda m, x: x * m.scale + table, scale=nn.Parameter(torch.ones(4))), torch.zeros(2, 4))
    assert edges(trace) == [("", "mul", ["x", "scale"]), ("", "add", ["mul", "constant"])]
    assert trace.rows[0].params == ("scale",)


def test_a_layer_of_several_functions_shows_them_all() -> None:
    trace = traced(nn.LSTM(4, 5), torch.zeros(6, 2, 4))
    assert [(row.op, row.function) for row in trace.rows] == [
        ("zeros", "torch.zeros"),
        ("zeros", "torch.zeros"),
        ("lstm", "torch.lstm"),
    ]


def test_batch_norm_counting_its_batches_is_no_row() -> None:
    assert [row.op for row in traced(nn.BatchNorm2d(3), image(), train=True).rows] == ["BatchNorm2d"]


def test_nested_inputs_and_outputs_have_names() -> None:
    net = Holds(lambda m, x: {"sum": x[0] + x[1]["b"], "pair": (x[0], x[0] * 2)})
    trace = traced(net, [torch.zeros(1), {"b": torch.zeros(1)}])
    assert [operand.source for operand in trace.inputs] == ["x.0", "x.1.b"]
    assert [operand.source for operand in trace.outputs] == ["sum", "pair.0", "pair.1"]


def attention() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


SAME = {
    "convolutions": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True), nn.Flatten()),
        (2, 3, 8, 8),
    ),
    "attention": (attention, (2, 5, 8)),
    "recurrent": (lambda: nn.GRU(8, 4, 2, bidirectional=True), (5, 2, 8)),
}


@pytest.mark.parametrize("name", SAME)
def test_rows_are_the_same_on_cpu_and_meta_with_and_without_grad(name: str) -> None:
    make, shape = SAME[name]
    model = make()
    on_meta = make().to("meta")
    runs = [traced(model, torch.zeros(shape), backward=grad) for grad in (False, True)]
    runs += [traced(on_meta, torch.zeros(shape, device="meta"), backward=grad) for grad in (False, True)]
    with torch.inference_mode():
        runs.append(traced(model, torch.zeros(shape)))
    assert runs[0].rows
    assert all(run.rows == runs[0].rows for run in runs)


def test_fused_paths_do_not_hide_products() -> None:
    tokens, width, hidden = 2 * 5, 8, 16
    products = tokens * (4 * width * width + 2 * width * hidden) + 2 * 2 * 5 * 5 * width
    assert total(traced(attention().eval(), torch.zeros(2, 5, 8))).macs == products


def test_the_recorder_keeps_no_activation_alive() -> None:
    import weakref

    seen: list[weakref.ref[torch.Tensor]] = []

    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        seen.append(weakref.ref(y))
        z = y + 1
        del y
        assert seen[0]() is None
        return z

    traced(Holds(forward), image())
