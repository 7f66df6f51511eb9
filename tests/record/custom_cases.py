"""Custom functions, tensor classes and modules, each with its multiply-adds worked out by hand."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import vmap
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_map
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from tests.record.model_cases import t
from tests.record.program_cases import A, B, ProgramCase, Runs, function_case, linear, module_case


class Product(torch.autograd.Function):
    @staticmethod
    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return x @ w

    @staticmethod
    def setup_context(context: Any, inputs: Any, output: Any) -> None:
        context.save_for_backward(*inputs)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> Any:
        x, w = context.saved_tensors
        return gradient @ w.t(), x.t() @ gradient

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: torch.Tensor, w: torch.Tensor) -> Any:
        return torch.matmul(x, w), 0


class Composed(torch.autograd.Function):
    """Two products, the first of them by another custom function."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return Product.apply(x, w) @ w.t()

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> Any:
        return gradient, None


class Mapped(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return x @ w

    @staticmethod
    def setup_context(context: Any, inputs: Any, output: Any) -> None:
        return None

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> Any:
        return gradient, gradient


class Doubled(torch.Tensor):
    """Every product is made twice."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.mm, F.linear):
            super().__torch_function__(func, types, args, kwargs or {})
        return super().__torch_function__(func, types, args, kwargs or {})


class Wrapped(torch.Tensor):
    """Holds a tensor, and does with it what is done with this one."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Any:
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=inner.device)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        bare = lambda thing: thing.inner if isinstance(thing, Wrapped) else thing  # noqa: E731 — used twice below
        out = func(*tree_map(bare, args), **tree_map(bare, kwargs or {}))
        return tree_map(lambda thing: cls(thing) if isinstance(thing, torch.Tensor) else thing, out)


class Quantity:
    """No tensor, but torch's functions take it."""

    def __init__(self, value: torch.Tensor):
        self.value = value

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return cls(func(*(thing.value if isinstance(thing, cls) else thing for thing in args), **(kwargs or {})))


class Scaled(nn.Linear):
    """A subclass with a forward of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight * 2, self.bias) @ x.new_ones(4, 4)


def cached(m: Any, x: torch.Tensor) -> torch.Tensor:
    with parametrize.cached():
        return m.fc(x) + m.fc(x)


def switched_off(m: Any, x: torch.Tensor) -> torch.Tensor:
    with torch._C.DisableTorchFunction():
        return m.fc(x)


def around() -> nn.Module:
    """A module that only a closure holds."""
    fc = linear()
    return Runs(lambda m, x: fc(x))


CUSTOM_CASES: dict[str, ProgramCase] = {
    "custom function": function_case(24, lambda m, a, b: Product.apply(a, b), A, B),
    "custom function, nested": function_case(48, lambda m, a, b: Composed.apply(a, b), A, B),
    "custom function under vmap": function_case(
        5 * 24, lambda m, a, b: vmap(Product.apply, in_dims=(0, None))(a, b), t(5, 2, 3), B
    ),
    "custom function, mapped by rule": function_case(
        5 * 24, lambda m, a, b: vmap(Mapped.apply, in_dims=(0, None))(a, b), t(5, 2, 3), B
    ),
    "checkpoint": function_case(24, lambda m, x: checkpoint(m.fc, x, use_reentrant=False), A, fc=linear),
    "checkpoint, reentrant": function_case(24, lambda m, x: checkpoint(m.fc, x, use_reentrant=True), A, fc=linear),
    "checkpoint of a sequence": function_case(
        24 + 32,
        lambda m, x: checkpoint_sequential(m.parts, 2, x, use_reentrant=False),
        A,
        parts=lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4)),
    ),
    "data parallel": module_case(24, lambda: nn.DataParallel(linear()), A),
    "data parallel submodule": module_case(24, lambda: nn.Sequential(nn.DataParallel(linear())), A),
    "cached parametrisation": function_case(
        48, cached, A, fc=lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    ),
    "subclass with a forward": module_case(24 + 32, lambda: nn.Sequential(Scaled(3, 4)), A),
    "bound method": function_case(24, lambda m, x: m.fc.forward(x), A, fc=linear),
    "functions only": function_case(24, lambda m, a, b: F.linear(a, b.t()), A, B),
    "tensors with functions of their own": function_case(
        2 * 24, lambda m, a, b: torch.mm(a.as_subclass(Doubled), b), A, B
    ),
    "tensors that wrap others": function_case(24, lambda m, x: m.fc(Wrapped(x)).inner, A, fc=linear, meta=False),
    "no tensors": function_case(24, lambda m, a, b: torch.mm(Quantity(a), b).value, A, B),
    "made in forward": function_case(24, lambda m, x: nn.Linear(3, 4)(x), A, meta=False),
    "held by a list": function_case(24, lambda m, x: m.parts[0](x), A, parts=lambda: [linear()], meta=False),
    "held by a closure": module_case(24, around, A, meta=False),
    "functions switched off": function_case(24, switched_off, A, fc=linear),
}
