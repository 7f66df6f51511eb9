"""Code that asks whether a function is overridden gets the same answer as without our modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import (
    TorchFunctionMode,
    handle_torch_function,
    has_torch_function,
    has_torch_function_unary,
    has_torch_function_variadic,
    wrap_torch_function,
)

import archscope
from archscope.errors import ForwardError
from archscope.profiling.rows_cpu import time_run
from tests.record.operations import FunctionModule
from tests.record.runs import total, traced

pytestmark = pytest.mark.moves_rng

BUILTIN = has_torch_function
ONCE = 2 * 4 * 4


def twice(x: Tensor) -> Tensor:
    weight = torch.ones(4, 4)
    return (x @ weight) @ weight


def handed_over(x: Tensor) -> Any:
    if has_torch_function((x,)):
        return handle_torch_function(handed_over, (x,), x)
    return twice(x)


@wrap_torch_function(lambda x: (x,))
def wrapped(x: Tensor) -> Tensor:
    return twice(x)


def imported_meanwhile(x: Tensor) -> Tensor:
    from torch.overrides import has_torch_function as ask

    return x if ask((x,)) else twice(x)


class Plain(Tensor):
    """A class of tensors that overrides functions, as every class of tensors does."""


class Looks(TorchFunctionMode):
    """A mode of the caller."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def asks(question: Callable[[Tensor], bool]) -> Callable[[Tensor], Tensor]:
    return lambda x: x if question(x) else twice(x)


WAYS: dict[str, Callable[[Tensor], Any]] = {
    "by its name": asks(lambda x: has_torch_function((x,))),
    "of one": asks(lambda x: has_torch_function_unary(x)),
    "of several": asks(lambda x: has_torch_function_variadic(x, x)),
    "of torch.overrides": asks(lambda x: torch.overrides.has_torch_function((x,))),
    "of torch.nn.functional": asks(lambda x: F.has_torch_function_variadic(x, x)),
    "of torch._C": asks(lambda x: torch._C._has_torch_function((x,))),  # type: ignore[attr-defined]  # no stub
    "imported meanwhile": imported_meanwhile,
    "a copy of torch's": handed_over,
    "wrapped": wrapped,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_recorded_model_calls_the_same_functions(way: str) -> None:
    report = archscope.summarize(FunctionModule(WAYS[way]), input=(2, 4))
    assert report.total.macs == 2 * ONCE
    assert [row.short_name for row in report.trace.rows] == ["ones", "matmul", "matmul"]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_under_the_clock_goes_as_the_recorded_one(way: str) -> None:
    lap = time_run(lambda: WAYS[way](torch.ones(2, 4)), None)
    assert [func.__name__ for func in lap.functions].count("matmul") == 2


def test_code_that_lies_in_no_module_is_answered() -> None:
    names: dict[str, Any] = {"ask": has_torch_function, "twice": twice, "nn": nn, "__name__": "nowhere"}
    exec("class Net(nn.Module):\n    def forward(self, x):\n        return x if ask((x,)) else twice(x)", names)
    assert total(traced(names["Net"](), torch.ones(2, 4))).macs == 2 * ONCE
    assert names["ask"] is BUILTIN


def test_a_class_that_overrides_gets_the_true_answer() -> None:
    found: list[bool] = []

    def forward(x: Tensor) -> Tensor:
        found.append(has_torch_function((x.as_subclass(Plain),)))
        return x

    archscope.summarize(FunctionModule(forward), input=(2, 4))
    assert set(found) == {True}


def test_the_models_own_mode_counts() -> None:
    found: list[tuple[bool, bool]] = []

    def forward(x: Tensor) -> Tensor:
        with Looks():
            inside = has_torch_function((x,))
        found.append((inside, has_torch_function((x,))))
        return x

    archscope.summarize(FunctionModule(forward), input=(2, 4))
    assert set(found) == {(True, False)}


def test_functions_that_ask_are_scripted_as_before() -> None:
    report = archscope.summarize(FunctionModule(lambda x: torch.jit.script(scripted)(x)), input=(2, 4))
    assert report.total.macs == ONCE


def scripted(x: Tensor) -> Tensor:
    if has_torch_function_unary(x):
        return x
    return x @ torch.ones(4, 4)


def test_torchs_own_functions_stay_rows() -> None:
    report = archscope.summarize(nn.MultiheadAttention(8, 2).eval(), args=(torch.ones(5, 2, 8),) * 3)
    assert [row.short_name for row in report.trace.rows] == ["multi_head_attention_forward"]


def test_fused_layers_are_taken_apart() -> None:
    found: list[bool] = []
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()

    def forward(x: Tensor) -> Any:
        found.append(torch.backends.mha.get_fastpath_enabled())
        return layer(x)

    report = archscope.summarize(FunctionModule(forward), input=(2, 5, 8))
    assert "multi_head_attention_forward" in [row.short_name for row in report.trace.rows]
    assert set(found) == {False}
    assert torch.backends.mha.get_fastpath_enabled()


def test_everything_is_as_before_afterwards() -> None:
    with pytest.raises(ForwardError):
        archscope.summarize(FunctionModule(lambda x: x.is_empty), input=(2, 4))
    assert has_torch_function is torch.overrides.has_torch_function is F.has_torch_function is BUILTIN
    assert torch._C._has_torch_function is BUILTIN  # type: ignore[attr-defined]  # no stub
    assert type(F) is type(torch)
