"""The functions and tensor methods of the language: names of torch and torch.nn.functional, without in-place and random
ones.

name → FunctionEntry (the callable, and whether it creates a tensor)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

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
    names = "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 bool complex64 complex128"
    return {name: getattr(torch, name) for name in names.split()}
