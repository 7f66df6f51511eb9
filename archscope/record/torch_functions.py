"""The description of a torch function: function object → TorchFunction (public name, short name, lowering).

Also which functions a function mode sees.

getter, method, builtin, Python wrapper, torch.ops operator ─→ `torch.nn.functional.conv2d`, `conv2d`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket

from archscope.record.lowerings import Lowering, find_lowering, is_free
from archscope.record.meta_shortcuts import META_SHORTCUTS, MetaShortcut
from archscope.record.op_call import ARGUMENT_NAMES, VARIADIC_ARGUMENTS, tensors_in

ALLOCATING = frozenset(
    [
        *("add", "sub", "mul", "div", "batch_norm", "layer_norm", "group_norm", "softmax", "cat", "stack", "embedding"),
        *("relu", "gelu", "silu", "sigmoid", "tanh", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"),
    ]
)
"""Common functions that never return a view; for others the memory of the result is compared."""

LOWERED_BY_SHAPES = frozenset(
    [
        *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)),
        *("linear", "matmul", "rmatmul", "mm", "bmm", "addmm", "baddbmm", "scaled_dot_product_attention"),
    ]
)
"""Common functions whose kernels follow from the shapes of plain tensors."""

UNCHECKED = frozenset(["scaled_dot_product_attention"])
"""Functions that do not check their operands on every device: the CPU kernel reads past the end of the values."""

LEAVING_TORCH = frozenset(f"torch.Tensor.{name}" for name in ("numpy", "__array__", "__dlpack__"))
"""Methods that hand a tensor to code outside of torch, which is not seen."""

EXPOSING_MEMORY = frozenset(
    f"torch.Tensor.{name}"
    for name in ("data_ptr", "storage", "untyped_storage", "_typed_storage", "__cuda_array_interface__")
)
"""Methods that expose a tensor's memory, which may then be written without a torch function."""

UNMARKED_WRITERS = frozenset(
    [
        *("fused_moving_avg_obs_fake_quant", "_fused_moving_avg_obs_fq_helper", "rrelu_with_noise"),
        *("_native_batch_norm_legit", "_cummax_helper", "_cummin_helper"),
    ]
)
"""Functions that write some of their arguments though their names do not say so; their operators' schemas do."""

FIRST_ARGUMENT_NAMES = ("input", "self", "tensor", "tensors")
"""Names of the argument that an in-place function writes, if it is passed by keyword."""

PASS_THROUGH = frozenset(["torch.Tensor.grad"])
"""Functions that return a tensor that already exists."""

BACKWARD_FUNCTIONS = frozenset(["torch.autograd.grad", "torch.autograd.backward", "torch.Tensor.backward"])
"""Functions that run a backward pass inside a forward pass."""

CONDITIONAL_WRITERS: Mapping[str, tuple[int, str]] = {
    **dict.fromkeys(
        ("batch_norm", "native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_impl_index"),
        (5, "training"),
    ),
    "instance_norm": (5, "use_input_stats"),
    "embedding": (3, "max_norm"),
    "embedding_bag": (3, "max_norm"),
}
"""Functions that write some arguments (running statistics, a table) if a flag is set: its position and name."""

WITH_INPLACE_FLAG = frozenset(
    [
        *("relu", "relu6", "hardtanh", "elu", "selu", "celu", "leaky_relu", "rrelu", "silu", "mish", "_threshold"),
        *("hardswish", "hardsigmoid", "dropout", "alpha_dropout", "feature_alpha_dropout"),
        *(f"dropout{n}d" for n in (1, 2, 3)),
    ]
)
"""Functions with an `inplace` argument."""

OPERATOR_METHODS = {
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
"""Python's operator methods, and the names of the functions that they call."""


FindWritten = Callable[[tuple[Any, ...], Mapping[str, Any]], Sequence[torch.Tensor]]


@dataclass(frozen=True)
class TorchFunction:
    """One torch function. name: qualified; op: short; in_place: writes its first argument.

    free: has no kernels to price. lowering: returns its kernels; None if only a replay can. allocates: its result has
    new memory, unless it works in place. find_written: returns the arguments that a call writes. leaves_torch: passes
    data out of torch. exposes_memory: its memory may be written unseen afterwards. passes_through: returns an existing
    tensor. runs_backward: runs autograd's engine, of which only kernels are seen. keeps_attributes: its plain arguments
    are recorded. returns_nothing: its result is what it writes. unchecked: its kernels do not compare their operands on
    every device. shortcut: computes its result on the meta device. lowers_by_shapes: its kernels follow from shapes
    alone.
    """

    name: str
    op: str
    in_place: bool
    free: bool
    lowering: Lowering | None
    allocates: bool = False
    find_written: FindWritten | None = None
    leaves_torch: bool = False
    exposes_memory: bool = False
    passes_through: bool = False
    runs_backward: bool = False
    keeps_attributes: bool = False
    returns_nothing: bool = False
    unchecked: bool = False
    shortcut: MetaShortcut | None = None
    lowers_by_shapes: bool = False

    @cached_property
    def always_writes(self) -> bool:
        """True if every call writes its arguments, whatever its flags."""
        return self.find_written is not None and self.op not in WITH_INPLACE_FLAG | CONDITIONAL_WRITERS.keys()

    @cached_property
    def is_special(self) -> bool:
        """True if a call needs more than running it, on any device."""
        return self.unchecked or self.runs_backward


def describe_function(func: Callable[..., Any]) -> TorchFunction:
    """Return the TorchFunction of `func`, an object that reached `__torch_function__`."""
    name = qualified_name(func)
    op = short_name(name.split(".")[3] if name.startswith("torch.ops.") else name.rsplit(".", 1)[1])
    in_place = op == "setitem" or (op.endswith("_") and not op.endswith("__"))
    lowered, schema = find_lowering(name, op), schema_of(func)
    return TorchFunction(
        name,
        op,
        in_place,
        is_free(name, op),
        lowered,
        allocates=lowered is not None or op in ALLOCATING,
        find_written=find_writer(func, op, in_place=in_place),
        leaves_torch=name in LEAVING_TORCH,
        exposes_memory=name in LEAVING_TORCH or name in EXPOSING_MEMORY,
        passes_through=name in PASS_THROUGH,
        runs_backward=name in BACKWARD_FUNCTIONS,
        keeps_attributes=op in ARGUMENT_NAMES or op in VARIADIC_ARGUMENTS,
        returns_nothing=op == "setitem" or (schema is not None and schema.is_mutable and not schema.returns),
        unchecked=op in UNCHECKED,
        shortcut=META_SHORTCUTS.get(op),
        lowers_by_shapes=lowered is not None and op in LOWERED_BY_SHAPES,
    )


# ------------------------------------------------------------ what a call writes
def find_writer(func: Any, op: str, *, in_place: bool) -> FindWritten | None:
    """Return a function that finds the arguments that a call of `func` writes; None if it writes none."""
    if op in CONDITIONAL_WRITERS:
        return partial(all_if_flag, *CONDITIONAL_WRITERS[op])
    if op in WITH_INPLACE_FLAG:
        return first_if_inplace
    schema = schema_of(func, op)
    if schema is not None and schema.is_mutable:
        return partial(written_by_schema, schema)
    if in_place:
        return first_argument
    return all_tensors if op == "set" else None


def first_argument(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    named = [kwargs[name] for name in FIRST_ARGUMENT_NAMES if name in kwargs] or list(kwargs.values())
    return tensors_in(args[:1] or named)


def first_if_inplace(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Sequence[torch.Tensor]:
    return first_argument(args, kwargs) if kwargs.get("inplace") or any(arg is True for arg in args[1:]) else ()


def all_if_flag(position: int, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Sequence[torch.Tensor]:
    flag = args[position] if position < len(args) else kwargs.get(name)
    return tensors_in((args, kwargs)) if flag else ()


def schema_of(func: Any, op: str = "") -> torch.FunctionSchema | None:
    """Return an operator's schema, of its default overload; op: short name, if `func` is no operator."""
    if op in UNMARKED_WRITERS and not isinstance(func, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)):
        func = getattr(torch.ops.aten, op)
    operator = getattr(func, "default", None) if isinstance(func, torch._ops.OpOverloadPacket) else func
    return operator._schema if isinstance(operator, torch._ops.OpOverload) else None


def written_by_schema(
    schema: torch.FunctionSchema, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[torch.Tensor]:
    written = [(index, argument.name) for index, argument in enumerate(schema.arguments) if argument.is_write]
    return tensors_in([args[index] if index < len(args) else kwargs.get(name) for index, name in written])


def all_tensors(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    return tensors_in((args, kwargs))


# ------------------------------------------------------------ what a function is called
def short_name(last: str) -> str:
    """Return `sub` for `__rsub__`, `getitem` for `__getitem__`, and other names as they are."""
    if not last.startswith("__"):
        return last
    bare = last.strip("_")
    return OPERATOR_METHODS.get(bare, bare)


def qualified_name(func: Any) -> str:
    """Return the public name: `torch.nn.functional.conv2d` (not `torch.conv2d`), `torch.Tensor.add`,
    `torch.ops.aten.mm`."""
    if isinstance(func, torch._ops.HigherOrderOperator):
        return f"torch.ops.higher_order.{func.name()}"
    name = func.__name__
    if isinstance(func, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)):
        return f"torch.ops.{str(func).removesuffix('.default')}"
    if name == "__get__":  # of a C descriptor, which has a name, or of a Python property, whose getter has
        attribute: Any = func.__self__
        getter: Any = attribute.fget if isinstance(attribute, property) else attribute
        return f"torch.Tensor.{getter.__name__}"
    if getattr(func, "__objclass__", None) is not None or func.__qualname__.startswith(("Tensor.", "TensorBase.")):
        return f"torch.Tensor.{name}"
    module, last = func.__module__ or "", name
    if module.startswith("torch._C._"):  # `linalg_norm` in torch._C._linalg is public as torch.linalg.norm
        last = name.removeprefix(module.removeprefix("torch._C._") + "_")
    return f"{public_module(func, name)}.{last}"


def public_module(func: Any, name: str) -> str:
    """Return the public module of a function."""
    module = func.__module__ or "torch"
    functional = getattr(torch.nn.functional, name, None)
    if functional is func or module in ("torch.nn.functional", "torch._C._nn"):
        return "torch.nn.functional"
    if module.startswith("torch._C._"):
        return "torch." + module.removeprefix("torch._C._")
    return "torch" if getattr(torch, name, None) is not None and module.startswith("torch") else module


OPERATOR_TYPES = (OpOverload, OpOverloadPacket, HigherOrderOperator)


def is_visible(function: Any) -> bool:
    """Return whether torch calls a function mode for a function."""
    return isinstance(function, OPERATOR_TYPES) or function in torch.overrides.get_testing_overrides()


def is_torch_name(name: str) -> bool:
    """Return whether torch has a visible function (`torch.add`) or operator (`aten.add`) of this name."""
    found: Any = torch if name.startswith("torch.") else torch.ops
    for part in name.removeprefix("torch.").split("."):
        found = getattr(found, part, None)
    return found is not None and is_visible(found)
