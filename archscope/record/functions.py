"""What a torch function is called: function object → Function (its public name, its short name, how it lowers).

getter, method, builtin, Python wrapper, torch.ops operator ─→ `torch.nn.functional.conv2d`, `conv2d`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional

from archscope.record.attributes import NAMED, SPREAD
from archscope.record.kernels import Lowering, is_free, lowering
from archscope.record.shortcuts import SHORTCUTS, Shortcut

FRESH = frozenset(
    [
        *("add", "sub", "mul", "div", "batch_norm", "layer_norm", "group_norm", "softmax", "cat", "stack", "embedding"),
        *("relu", "gelu", "silu", "sigmoid", "tanh", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"),
    ]
)
"""Common functions that never give a view; others are asked."""

OPERATORS = {
    "radd": "add",
    "rsub": "sub",
    "rmul": "mul",
    "rdiv": "div",
    "truediv": "div",
    "rtruediv": "div",
    "rpow": "pow",
    "ipow": "pow_",
    "floordiv": "floor_divide",
    "rfloordiv": "floor_divide",
    "mod": "remainder",
    "rmod": "remainder",
    "iand": "and_",
    "ior": "or_",
    "ixor": "xor_",
}
"""Python's operator methods, by the name of the function that they mean."""


@dataclass(frozen=True)
class Function:
    """One torch function. name: qualified; op: short; in_place: writes its first argument.

    free: has no kernels to price. lowering: how to price it; None where only a replay can tell. fresh: what it gives
    lies in new memory, unless it is told to write in place. named: its plain arguments are kept.
    shortcut: its answer on the meta device.
    """

    name: str
    op: str
    in_place: bool
    free: bool
    lowering: Lowering | None
    fresh: bool = False
    named: bool = False
    shortcut: Shortcut | None = None


def describe(func: Callable[..., Any]) -> Function:
    """The Function of `func`, an object that reached `__torch_function__`."""
    name = qualified(func)
    last = name.rsplit(".", 1)[1]
    op = short(last)
    in_place = op == "setitem" or op.endswith("_")
    lowered, named = lowering(name, op), op in NAMED or op in SPREAD
    fresh = lowered is not None or op in FRESH
    return Function(name, op, in_place, is_free(name, op), lowered, fresh, named, SHORTCUTS.get(op))


def short(last: str) -> str:
    """`__rsub__` → `sub`, `__getitem__` → `getitem`; other names as they are."""
    if not last.startswith("__"):
        return last
    bare = last.strip("_")
    return OPERATORS.get(bare, bare)


def qualified(func: Any) -> str:
    """The public name: `torch.nn.functional.conv2d` before `torch.conv2d`, `torch.Tensor.add`, `torch.ops.aten.mm`."""
    name = func.__name__
    if isinstance(func, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)):
        return f"torch.ops.{str(func).removesuffix('.default')}"
    if name == "__get__":
        return f"torch.Tensor.{getter(func.__self__)}"
    if getattr(func, "__objclass__", None) is not None or func.__qualname__.startswith(("Tensor.", "TensorBase.")):
        return f"torch.Tensor.{name}"
    return f"{house(func, name)}.{name.removeprefix(prefix(func))}"


def getter(attribute: Any) -> str:
    """The name of a property: a C descriptor has one, a Python property's getter has it."""
    own: Any = attribute.fget if isinstance(attribute, property) else attribute
    return str(own.__name__)


def prefix(func: Any) -> str:
    """`linalg_norm` lives in torch._C._linalg and is public as torch.linalg.norm."""
    module = func.__module__ or ""
    return module.removeprefix("torch._C._") + "_" if module.startswith("torch._C._") else "\0"


def house(func: Any, name: str) -> str:
    """The public module of a function."""
    module = func.__module__ or "torch"
    functional = getattr(torch.nn.functional, name, None)
    if functional is func or module in ("torch.nn.functional", "torch._C._nn"):
        return "torch.nn.functional"
    if module.startswith("torch._C._"):
        return "torch." + module.removeprefix("torch._C._")
    return "torch" if getattr(torch, name, None) is not None and module.startswith("torch") else module
