"""Tensors and functions of tensors in the expressions of a spec, and the meta tensors that have their shapes.

A `GraphTensor` is a node of the graph of a block that is being built, with a meta tensor that has its shape.

`squeeze` drops a dimension at some sizes and keeps it at others. A meta tensor whose rank may differ when the net runs
is marked, and so are the results computed from it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from archscope.compile.functions import FunctionEntry, evaluate_number_call, language_methods
from archscope.compile.runtime_numbers import RuntimeList, RuntimeNumber, as_block_use, require_block_use, unwrap_fixed
from archscope.errors import did_you_mean
from archscope.spec.bounded_math import NUMBER_FUNCTIONS, EvaluationError
from archscope.spec.spec_values import UNKNOWN, Host, LazyList, SpecValue, Value, describe_value, has_unknown
from archscope.torch_layers.layer_text import format_argument_value, format_named_argument

if TYPE_CHECKING:
    from archscope.compile.graph_builder import GraphBuilder

TENSOR_OPERATORS: Mapping[str, tuple[str, Callable]] = {
    "+": ("add", operator.add),
    "-": ("sub", operator.sub),
    "*": ("mul", operator.mul),
    "/": ("truediv", operator.truediv),
    "//": ("floordiv", operator.floordiv),
    "%": ("remainder", operator.mod),
    "**": ("pow", operator.pow),
    "@": ("matmul", operator.matmul),
    "<": ("lt", operator.lt),
    "<=": ("le", operator.le),
    ">": ("gt", operator.gt),
    ">=": ("ge", operator.ge),
    "==": ("eq", operator.eq),
    "!=": ("ne", operator.ne),
}


def has_tensor(value: object) -> bool:
    """Return whether a value contains a tensor."""
    if isinstance(value, slice):
        return any(has_tensor(v) for v in (value.start, value.stop, value.step))
    if isinstance(value, RuntimeList):
        return has_tensor(value.meta_items)
    if isinstance(value, (list, tuple)):
        return any(has_tensor(v) for v in value)
    return isinstance(value, (GraphTensor, torch.Tensor))


@dataclass(frozen=True, eq=False)
class GraphTensor(SpecValue):
    """One tensor of a graph. inner_labels: the labels inside the labelled group that made it.

    owner: the use of a block, or the turn of a loop, that the node's graph belongs to.
    """

    owner: GraphBuilder = field(repr=False)
    node: fx.Node
    meta: torch.Tensor
    inner_labels: Mapping[str, Value] = field(default_factory=dict, repr=False)

    compares = True

    def __repr__(self) -> str:
        return self.what

    @property
    def what(self) -> str:
        return f"a tensor {tuple(self.meta.shape)}"

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        raise EvaluationError(f"{self.what} cannot be called", "does a label hide the layer or function that is meant?")

    def subscript(self, index: Value, host: Host | None) -> Value:
        return require_block_use(host, "an index").apply_function("getitem", operator.getitem, (self, index), {})

    def unary(self, symbol: str, host: Host | None) -> Value:
        if symbol == "not":
            self.to_bool(host)
        return require_block_use(host, "-").apply_function("neg", operator.neg, (self,), {}) if symbol == "-" else self

    def binary(self, symbol: str, other: Value, *, swapped: bool, host: Host | None) -> Value:
        if symbol not in TENSOR_OPERATORS or not isinstance(other, (GraphTensor, RuntimeNumber, int, float)):
            raise EvaluationError(
                f"{self.what} {symbol} {describe_value(other)} cannot be worked out", tensor_help(other)
            )
        name, function = TENSOR_OPERATORS[symbol]
        operands = (other, self) if swapped else (self, other)
        return require_block_use(host, symbol).apply_function(name, function, operands, {})

    def set_source_text(self, text: str) -> None:
        self.node.meta.setdefault("said", text)

    @property
    def rank(self) -> int | None:
        """The number of dimensions; None if it depends on sizes."""
        return None if has_open_rank(self.meta) and not self.owner.rank(self).fixed else self.meta.dim()

    def size(self, axis: int) -> Value:
        """Return the length of one dimension, counted from 0, or from -1 at the end."""
        return unwrap_fixed(self.owner.size(self, axis))

    def attribute(self, name: str, host: Host | None) -> Value:
        if name in self.inner_labels:
            return self.inner_labels[name]
        if name == "shape":
            return TensorSizes(self)
        if name in ("size", "dim") or name in language_methods():
            return TensorMethod(self, name)
        near = did_you_mean(name, [*self.inner_labels, *language_methods(), "shape", "size", "dim"])
        if name in ("weight", "bias"):
            near = "a declared module has parameters: modules: {fc: Linear(4)}, then fc.weight"
        raise EvaluationError(
            f"a tensor has no method {name!r} in this language", near or "docs/language.md lists the methods"
        )


@dataclass(frozen=True, eq=False)
class TensorMethod(SpecValue):
    """A method of a tensor before its call: `x.view`."""

    tensor: GraphTensor
    name: str

    @property
    def what(self) -> str:
        return f"the method {self.name}"

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        if has_unknown((*args, *kwargs.values())):
            return UNKNOWN
        if self.name == "dim":
            return unwrap_fixed(self.tensor.owner.rank(self.tensor))
        if self.name == "size":
            axes = (*args, *kwargs.values())
            return self.tensor.size(_check_axis(self.tensor, axes[0], host)) if axes else TensorSizes(self.tensor)
        return require_block_use(host, self.name).apply_function(self.name, self.name, (self.tensor, *args), kwargs)


NUMBER_ONLY_FUNCTIONS = frozenset(["sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan", "tanh", "ceil", "floor"])
"""Functions of numbers that take only one argument."""


class TensorSizes(LazyList):
    """The sizes of a tensor, each read when the net runs; an index from the end stays an index from the end."""

    tensor: GraphTensor

    def __new__(cls, tensor: GraphTensor) -> TensorSizes:
        sizes = super().__new__(cls, (tensor.size(axis) for axis in range(tensor.meta.dim())))
        sizes.tensor = tensor
        return sizes

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and -len(self) <= index < 0:
            return self.tensor.size(index)
        return super().__getitem__(index)

    def materialize(self, host: Host | None) -> TensorSizes:
        use = as_block_use(host) or self.tensor.owner
        owner = self.tensor.owner
        at = use.fixed_place()
        owner.fix_rank(self.tensor, at._replace(path=use.path_seen_from(owner, at.path)))
        return self


def _check_axis(tensor: GraphTensor, axis: Value, host: Host | None) -> int:
    axis = axis.to_plain(host) if isinstance(axis, RuntimeNumber) else axis
    if not isinstance(axis, int) or not -tensor.meta.dim() <= axis < tensor.meta.dim():
        raise EvaluationError(
            f"{tensor.what} has no dimension {describe_value(axis)}", f"dimensions go from 0 to {tensor.meta.dim() - 1}"
        )
    return int(axis)


def tensor_help(value: object) -> str:
    """Return how to make a tensor of a value that is used as a tensor."""
    if isinstance(value, (tuple, list, RuntimeList)):
        return "take the values apart with labels: - out, _: …"
    return value.help if isinstance(value, SpecValue) else ""


@dataclass(frozen=True, eq=False)
class TensorFunction(SpecValue):
    """A function of tensors by its name; `max`, `sum`, `exp` and others also take plain numbers."""

    name: str
    entry: FunctionEntry

    @property
    def what(self) -> str:
        return f"the function {self.name}"

    @property
    def help(self) -> str:
        return f"name the tensor: {self.name}(prev)"

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        given = (*args, *kwargs.values())
        if has_unknown(given):
            return UNKNOWN
        if self.entry.creates or any(has_tensor(v) for v in given):
            return require_block_use(host, self.name).apply_function(self.name, self.entry.target, args, kwargs)
        if self.name in NUMBER_FUNCTIONS and args:
            try:
                return evaluate_number_call(self.name, args, kwargs, host)
            except EvaluationError:
                if self.name in NUMBER_ONLY_FUNCTIONS:
                    raise
                return PartialCall(self, args, kwargs)
        return PartialCall(self, args, kwargs)


@dataclass(frozen=True, eq=False)
class PartialCall(SpecValue):
    """A function call without a tensor, `flatten(1)`: as a step it is applied to prev, inside an expression it is an
    error."""

    function: TensorFunction
    args: tuple
    kwargs: dict

    @property
    def what(self) -> str:
        return f"{self.function.name}(…) without a tensor"

    help = "inside an expression name the tensor: flatten(prev, 1)"

    def short_text(self) -> str:
        positional = [format_argument_value(value) for value in self.args]
        named = [format_named_argument(name, value) for name, value in self.kwargs.items()]
        return f"{self.function.name}({', '.join(positional + named)})"


# ------------------------------------------------------------ open ranks
RANK_FROM_SIZES = frozenset(["squeeze", "cartesian_prod"])
"""Functions whose result rank depends on sizes, or on the length of a list."""
RANK_FROM_NUMBERS = frozenset(["flatten", "tensordot"])
"""Functions whose result rank depends on a number, as on `keepdim` in others."""
RANK_FROM_ARGUMENTS = frozenset(["view", "reshape", "permute", "bmm", "mm"])
"""Functions whose result rank depends on their arguments alone."""
OPEN_RANK_MARK = "rank_is_open"


def flatten_tensors(values: object) -> list[torch.Tensor]:
    """Return the tensors in a nested value."""
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, Mapping):
        values = tuple(values.values())
    return [t for v in values for t in flatten_tensors(v)] if isinstance(values, (list, tuple)) else []


def has_open_rank(meta: torch.Tensor) -> bool:
    """Return whether a value may have another number of dimensions when the net runs."""
    return bool(getattr(meta, OPEN_RANK_MARK, False))


def has_any_open_rank(metas: object) -> bool:
    """Return whether one of the tensors in a nested value may have another rank when the net runs."""
    return any(map(has_open_rank, flatten_tensors(metas)))


def has_open_result(name: str, args: tuple, kwargs: Mapping[str, object], metas: object) -> bool:
    """Return whether a function's result may have another rank when the net runs.

    metas: its arguments as meta tensors and numbers.
    """
    given = (*args, *kwargs.values())
    lists = [value for value in given if isinstance(value, RuntimeList)]
    numbers = [value for value in given if isinstance(value, RuntimeNumber)]
    if name in RANK_FROM_SIZES or any(name == "meshgrid" or not flatten_tensors(value.meta_items) for value in lists):
        return True
    if any(name in RANK_FROM_NUMBERS or isinstance(value.value, bool) for value in numbers):
        return True
    return name not in RANK_FROM_ARGUMENTS and has_any_open_rank(metas)


def mark_open_rank(result: object) -> Any:
    """Return a nested result with marked tensors, which are new objects."""
    if isinstance(result, torch.Tensor):
        marked = result.detach()
        setattr(marked, OPEN_RANK_MARK, True)
        return marked
    if isinstance(result, Mapping):
        return {name: mark_open_rank(part) for name, part in result.items()}
    if not isinstance(result, (list, tuple)):
        return result
    return (list if isinstance(result, list) else tuple)(mark_open_rank(part) for part in result)


def have_same_ranks(first: object, second: object) -> bool:
    """Return whether the tensors in two nested values have equal ranks, fixed or dependent on sizes in both."""
    left, right = flatten_tensors(first), flatten_tensors(second)
    return [(t.dim(), has_open_rank(t)) for t in left] == [(t.dim(), has_open_rank(t)) for t in right]
