"""A compiled net at sizes that it was not compiled for, and two uses of one block."""

from __future__ import annotations

import pytest
import torch

from archscope.errors import SpecError
from tests.compile.written import example, net, plan, steps


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        ("prev[:, :, 0:prev.shape[2] // 2]", lambda x: x[:, :, : x.shape[2] // 2]),
        ("prev[:, :, -prev.shape[2] // 2:]", lambda x: x[:, :, -x.shape[2] // 2 :]),
        ("prev[:, :, 0:max(prev.shape[2] // 2, 1)]", lambda x: x[:, :, : max(x.shape[2] // 2, 1)]),
        ("prev.reshape(prev.shape[0], -1, 64 // prev.shape[3])", lambda x: x.reshape(len(x), -1, 64 // x.shape[3])),
        ("prev.reshape(N, 4, prev.shape[2] ** 2)", lambda x: x.reshape(len(x), 4, x.shape[2] ** 2)),
        ("prev + arange(prev.shape[3])", lambda x: x + torch.arange(x.shape[3])),
    ],
)
def test_sizes_are_read_when_the_net_runs(step, wanted) -> None:  # type: ignore[no-untyped-def]
    built = net(steps(step))
    for shape in ((1, 4, 8, 8), (3, 4, 16, 16)):
        x = example(shape)
        assert torch.equal(built(x), wanted(x))


def test_a_view_is_checked_on_the_strides_it_meets() -> None:
    text = steps("t: transpose(1, 2)", "GELU", "s: GELU()(x)", "s.view(N, 256)")
    assert net(text)(example((2, 4, 8, 8))).shape == (2, 256)
    with pytest.raises(SpecError, match="view"):
        plan(steps("a: GELU", "transpose(2, 3)", "GELU", "prev.view(N, 4, 64)"))


def test_constants_are_of_the_inputs_dtype_and_device() -> None:
    built = net(steps("prev + ones(8) * zeros(1)", "Linear(2)")).to(torch.float64)
    assert built(example((1, 4, 8, 8)).double()).dtype == torch.float64


def test_inputs_of_a_block_may_be_given_by_name() -> None:
    text = """
input: [N, 4, 8, 8]
blocks:
  Gate:
    inputs: [x, by]
    layers: [x * 2 - by]
layers:
  - a: relu
  - Gate()(by=a, x=x)
"""
    x = example((1, 4, 8, 8))
    assert torch.equal(net(text)(x), x * 2 - x.relu())


def test_equal_uses_of_a_block_have_graphs_of_their_own() -> None:
    built = net("input: [N, 4]\nblocks:\n  B: [Linear(4), ReLU]\nlayers:\n  - a: B\n  - b: B\n")
    assert built.a is not built.b
    assert built.a.code == built.b.code


def test_the_function_dropout_is_refused() -> None:
    with pytest.raises(SpecError, match="random, in eval mode too"):
        plan(steps("dropout(0.5)"))


@pytest.mark.parametrize("ties", ["{a.weight: a.weight}", "{a.weight: b.weight, b.weight: a.weight}"])
def test_a_cycle_of_ties_is_refused(ties: str) -> None:
    with pytest.raises(SpecError, match="is tied to"):
        plan(f"input: [N, 4]\nlayers:\n  - a: Linear(4)\n  - b: Linear(4)\ntie: {ties}\n")


def test_figures_are_compared_at_the_sizes_of_the_file() -> None:
    text = "input: [N, 4]\nparams: {out: 3}\nlayers: [Linear(out)]\nexpect: {params: 15, macs: 12, shape: [N, out]}\n"
    assert {e.key for e in plan(text).expected} == {"params", "macs", "shape"}
    assert {e.key for e in plan(text, batch=8).expected} == {"params", "shape"}
    assert {e.key for e in plan(text, settings={"out": 5}).expected} == {"shape"}


def test_an_expectation_of_a_lone_form_is_its_own() -> None:
    text = """
input: [N, 4, 8, 8]
layers:
  - residual: Conv2d(4, 1)
    expect: {params: 20}
  - Conv2d(4, 1)
"""
    (expected,) = plan(text).expected
    assert expected.path == "0"


@pytest.mark.parametrize("size", ["zeros(4000000000, 4000)", "x.repeat(100000, 100000, 1, 1)"])
def test_the_largest_tensor_counts_for_memory(size: str) -> None:
    assert plan(steps(f"a: {size}", "b: a.sum()", "x + b")).largest_bytes > 10**13
