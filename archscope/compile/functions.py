"""The functions of the language: those of tensors, by their names in torch, and those of numbers and lists.

name → FunctionEntry (the callable, and whether it creates a tensor): names of torch and torch.nn.functional, and tensor
methods, without in-place and random ones
name → NumberFunction, on plain values or on run-time values
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from archscope.compile.built_net import enumerate_list, reverse_list, to_float, to_int, zip_list
from archscope.compile.runtime_numbers import (
    RuntimeList,
    RuntimeNumber,
    as_block_use,
    can_pass_at_runtime,
    compile_time_value,
    compute_number,
    find_read_numbers,
    fix_value,
    meta_values,
    runtime_text,
    unwrap_fixed,
)
from archscope.ops.dtypes import DTYPE_NAMES
from archscope.spec.bounded_math import NUMBER_FUNCTIONS
from archscope.spec.spec_values import UNKNOWN, Host, SpecValue, Value, call_number_function, has_unknown

ELEMENTWISE_NAMES = """
abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_not bitwise_or bitwise_xor ceil clamp clip cos cosh
deg2rad div
eq erf erfc erfinv exp exp2 expm1 fix floor floor_divide fmod frac ge gt heaviside hypot isfinite isinf isnan ldexp le
lerp lgamma
log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor logit lt maximum minimum mul nan_to_num
ne neg pow
rad2deg real reciprocal relu remainder round rsqrt sigmoid sign sgn sin sinc sinh softmax sqrt square sub tan tanh
trunc where
xlogy addcmul addcdiv imag angle conj polar view_as_real view_as_complex complex
"""
RESHAPING_NAMES = """
broadcast_to cat chunk clone column_stack concat concatenate contiguous diag diag_embed diagonal dstack expand
expand_as flatten flip
fliplr flipud gather hsplit hstack index_select masked_fill meshgrid moveaxis movedim narrow permute
ravel repeat
repeat_interleave reshape reshape_as roll rot90 select scatter scatter_add split squeeze stack swapaxes swapdims t take
take_along_dim tensor_split tile transpose tril triu unbind unflatten unfold unsqueeze view view_as vsplit vstack
index_add
block_diag cartesian_prod
"""
REDUCTION_NAMES = """
all amax amin any argmax argmin argsort count_nonzero cummax cummin cumprod cumsum logcumsumexp logsumexp max mean
median min norm
prod quantile sort std std_mean sum topk var var_mean nansum nanmean aminmax
"""
LINEAR_ALGEBRA_NAMES = """
addbmm addmm addmv baddbmm bmm cdist chain_matmul cosine_similarity cross dist dot einsum inner kron matmul mm mv
outer tensordot
trace vdot
"""
VARIADIC_NAMES = "flip permute reshape tile"  # their methods take sizes one by one: permute(0, 2, 1)
CAST_NAMES = "bool double float half int long bfloat16 to type_as detach"
CREATION_NAMES = "arange linspace zeros ones full eye tril_indices triu_indices"
LIKE_NAMES = "zeros_like ones_like full_like"
FFT_NAMES = "stft istft"
RANDOM_FUNCTIONS = frozenset(
    [
        *("gumbel_softmax", "rrelu", "dropout", "dropout1d", "dropout2d", "dropout3d"),
        *("alpha_dropout", "feature_alpha_dropout", "fractional_max_pool1d"),
        *(f"fractional_max_pool{d}d{more}" for d in (2, 3) for more in ("", "_with_indices")),
    ]
)
"""Functions that are random in eval mode too, unlike their layers."""
NOT_FUNCTIONS = frozenset(
    [
        "assert_int_or_pair",
        "boolean_dispatch",
        "has_torch_function",
        "has_torch_function_unary",
        "has_torch_function_variadic",
        "handle_torch_function",
        "multi_head_attention_forward",
        "grad",
        "np",
        "math",
        "warnings",
        "importlib",
        "Optional",
    ]
)


@dataclass(frozen=True)
class FunctionEntry:
    """A function of the language. `target` is a callable, or a method's name if torch has no such function.

    `creates`: it creates a tensor, so it needs a device and has no input.
    """

    target: Callable | str
    creates: bool = False


def _split_names(*lists: str) -> list[str]:
    return [word for text in lists for word in text.split()]


@functools.cache
def language_functions() -> Mapping[str, FunctionEntry]:
    """Return every function by its name."""
    table: dict[str, FunctionEntry] = {}
    for name in _split_names(
        ELEMENTWISE_NAMES, RESHAPING_NAMES, REDUCTION_NAMES, LINEAR_ALGEBRA_NAMES, CAST_NAMES, LIKE_NAMES, FFT_NAMES
    ):
        target = getattr(torch, name, None) if name not in _split_names(CAST_NAMES, VARIADIC_NAMES) else None
        if target is not None or hasattr(torch.Tensor, name):
            table[name] = FunctionEntry(target if callable(target) else name)
    excluded = RANDOM_FUNCTIONS | NOT_FUNCTIONS
    for name, target in vars(torch.nn.functional).items():
        public = name.islower() and not name.startswith("_") and not name.endswith("_")
        if public and name not in excluded and callable(target) and not isinstance(target, type):
            table[name] = FunctionEntry(target)
    for name in CREATION_NAMES.split():
        table[name] = FunctionEntry(getattr(torch, name), creates=True)
    return table


@functools.cache
def language_methods() -> Mapping[str, FunctionEntry]:
    """Return every tensor method by its name."""
    names = _split_names(ELEMENTWISE_NAMES, RESHAPING_NAMES, REDUCTION_NAMES, LINEAR_ALGEBRA_NAMES, CAST_NAMES)
    return {name: FunctionEntry(name) for name in names if hasattr(torch.Tensor, name)}


@functools.cache
def language_dtypes() -> Mapping[str, torch.dtype]:
    """Return the dtypes that a spec may name."""
    return {name: getattr(torch, name) for name in DTYPE_NAMES}


LIST_FUNCTIONS: Mapping[str, Callable] = {
    "range": range,
    "zip": zip_list,
    "enumerate": enumerate_list,
    "reversed": reverse_list,
}
"""Functions that return lists, with their run-time functions."""
RUNTIME_FUNCTIONS: Mapping[str, Callable] = {"int": to_int, "float": to_float, "sum": sum, "round": round}
"""The run-time functions for functions of numbers, where they differ."""


@dataclass(frozen=True, eq=False)
class NumberFunction(SpecValue):
    """A function of plain numbers and of lists, by its name."""

    name: str

    @property
    def what(self) -> str:
        return f"the function {self.name}"

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        return (
            UNKNOWN if has_unknown((*args, *kwargs.values())) else evaluate_number_call(self.name, args, kwargs, host)
        )


def evaluate_number_call(name: str, args: tuple, kwargs: dict, host: Host | None) -> Value:
    """Return the result of a function of numbers and lists, on plain or run-time values. Raises EvaluationError."""
    args, kwargs = bind_positional(NUMBER_FUNCTIONS[name], args, kwargs)
    given = (*args, *kwargs.values())
    if name == "len" and len(args) == 1 and isinstance(args[0], RuntimeList):
        return unwrap_fixed(args[0].count)
    if not is_runtime_value(given):
        return call_number_function(name, NUMBER_FUNCTIONS[name], args, kwargs)
    text = f"{name}({', '.join(map(runtime_text, given))})"
    if name in LIST_FUNCTIONS and can_pass_at_runtime(args) and not kwargs:
        metas: Any = call_number_function(name, NUMBER_FUNCTIONS[name], meta_values(args), {})
        use = as_block_use(host) or next(reading.owner for reading in find_read_numbers(args))
        result = use.list_call(LIST_FUNCTIONS[name], args, metas, text)
        result.sample_item = 0 if name == "range" else None
        return result
    value = call_number_function(
        name,
        NUMBER_FUNCTIONS[name],
        compile_time_value(args),
        {key: compile_time_value(value) for key, value in kwargs.items()},
    )
    if name in LIST_FUNCTIONS or kwargs or not can_pass_at_runtime(args) or not isinstance(value, (int, float)):
        return call_number_function(
            name, NUMBER_FUNCTIONS[name], fix_value(args, host), {k: fix_value(v, host) for k, v in kwargs.items()}
        )
    return compute_number(RUNTIME_FUNCTIONS.get(name, NUMBER_FUNCTIONS[name]), args, value, text)


def bind_positional(function: Callable, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Return a call's arguments by position, if the function has an order for them."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs) if kwargs else None
    except (TypeError, ValueError):
        bound = None
    return (bound.args, bound.kwargs) if bound is not None else (args, kwargs)


def is_runtime_value(value: object) -> bool:
    """Return whether a value contains a run-time number or list."""
    if isinstance(value, (list, tuple)):
        return any(map(is_runtime_value, value))
    return isinstance(value, (RuntimeNumber, RuntimeList))
