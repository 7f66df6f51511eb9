"""Checks of layer arguments and inputs, with messages that are clearer than torch's.

bound arguments → positive integers where required        recipe + inputs → dtypes, windows, groups, heads, axes
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from archscope.compile.call_limits import MAX_NUMEL
from archscope.ops import constructor_checks
from archscope.ops.constructor_checks import count_problems
from archscope.ops.windows import effective_kernel, is_kernel_too_large, largest_pool_padding, per_axis
from archscope.spec.bounded_math import EvaluationError
from archscope.spec.spec_values import describe_value
from archscope.trace import LayerConflict, WrongArgument

WINDOW_LAYERS = tuple(f"{kind}{d}d" for kind in ("Conv", "MaxPool", "AvgPool") for d in (1, 2, 3))
FLOAT_LAYERS = (
    "Conv",
    "Linear",
    "BatchNorm",
    "LayerNorm",
    "GroupNorm",
    "InstanceNorm",
    "RMSNorm",
    "LSTM",
    "GRU",
    "RNN",
)


def check_count(layer: str, name: str, value: object) -> None:
    """Raise EvaluationError if a size or a count is not a positive integer."""
    for found in count_problems(layer, name, value, show=describe_value):
        raise EvaluationError(found.fact, found.help, found.argument)


def check_layer_inputs(layer: str, arguments: Mapping[str, Any], inputs: tuple[torch.Tensor, ...]) -> None:
    """Raise EvaluationError if a layer of torch.nn cannot run on these inputs."""
    if not inputs:
        return
    tensor = inputs[0]
    if layer.startswith(FLOAT_LAYERS) and not (tensor.is_floating_point() or tensor.is_complex()):
        dtype, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
        fact = f"{layer} wants floating-point numbers but its input is {dtype} {shape}"
        raise EvaluationError(fact, "an Embedding turns tokens into vectors; x.float() makes floats of numbers")
    check_window_fits(layer, arguments, tensor)


def check_window_fits(layer: str, arguments: Mapping[str, Any], tensor: torch.Tensor) -> None:
    """Raise EvaluationError if a kernel is larger than its padded input."""
    if layer not in WINDOW_LAYERS:
        return
    sizes = tuple(tensor.shape[2:])
    kernel, padding, dilation = _window_arguments(arguments, len(sizes))
    if not (kernel and padding and dilation):
        return
    for size, k, p, d in zip(sizes, kernel, padding, dilation, strict=True):
        if is_kernel_too_large(size, k, p, d):
            shape, window = "×".join(map(str, sizes)), "×".join(map(str, kernel))
            fact = f"{layer}: a kernel of {window} does not fit its input of {shape} (padding {p}, dilation {d})"
            raise EvaluationError(fact, "a smaller kernel, more padding, or less pooling before it")


def nearest_valid_shape(
    layer: str, arguments: Mapping[str, Any], shape: tuple[int, ...], ranks: tuple[tuple[str, ...], ...] | None
) -> tuple[int, ...]:
    """Return the shape nearest to `shape` that the layer could take; empty if none is known."""
    if ranks and len(shape) not in {len(axes) for axes in ranks}:
        rank = len(ranks[-1])
        shape = (shape + (1,) * rank)[:rank]
    if layer not in WINDOW_LAYERS:
        return shape
    kernel, padding, dilation = _window_arguments(arguments, len(shape) - 2)
    if not (kernel and padding and dilation):
        return ()
    ends = zip(shape[2:], kernel, padding, dilation, strict=True)
    meant = (*shape[:2], *(max(size, effective_kernel(k, d) - 2 * p) for size, k, p, d in ends))
    return meant if math.prod(meant) <= MAX_NUMEL else ()


def divisor_conflicts(layer: str, arguments: Mapping[str, Any]) -> Iterator[LayerConflict]:
    """Yield a conflict for each number of groups or heads that does not divide what it must divide."""
    for found in constructor_checks.divisor_problems(layer, arguments):
        fits = WrongArgument(found.argument, arguments[found.argument], found.value)
        yield LayerConflict(found.fact, found.help, fits, (1 if "groups" in found.argument else -1,))


def padding_conflicts(layer: str, arguments: Mapping[str, Any]) -> Iterator[LayerConflict]:
    """Yield a conflict for a pool whose padding is more than half of its kernel, which torch refuses."""
    kernel, padding = (
        per_axis(arguments.get(name, default), 1) for name, default in (("kernel_size", 1), ("padding", 0))
    )
    if "Pool" in layer and kernel and padding and padding[0] > (most := largest_pool_padding(kernel[0])):
        fact = f"{layer}: a padding of {padding[0]} is more than half of the kernel, {kernel[0]}"
        says = WrongArgument("padding", padding[0], most)
        yield LayerConflict(fact, f"a padding of at most {most}", says)


def _window_arguments(arguments: Mapping[str, Any], count: int) -> list[tuple[int, ...]]:
    """Return kernel, padding and dilation for each spatial axis; () for other values (`same`)."""
    defaults = (("kernel_size", 1), ("padding", 0), ("dilation", 1))
    return [per_axis(arguments.get(name, default), count) for name, default in defaults]


def check_layer_dim(layer: type[nn.Module], arguments: Mapping[str, Any], inputs: tuple[torch.Tensor, ...]) -> None:
    """Raise EvaluationError if a layer's input lacks its `dim`; torch on meta does not always raise."""
    dim = arguments.get("dim")
    if layer in (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU) and isinstance(dim, int) and inputs:
        check_dim(layer.__name__, dim, inputs[0])


def check_dim(name: str, dim: int, tensor: torch.Tensor) -> None:
    """Raise EvaluationError if a tensor does not have a dimension."""
    rank = max(tensor.dim(), 1)
    if not -rank <= dim < rank:
        fact = f"{name}: there is no dimension {dim} in {tuple(tensor.shape)}"
        raise EvaluationError(fact, f"dimensions go from 0 to {rank - 1}")


def flatten_help(wanted: tuple, shape: tuple[int, ...]) -> str:
    """Return help for a Linear that is probably meant for the flattened input; else an empty text."""
    total = 1
    for size in shape[1:]:
        total *= size
    if len(shape) < 3 or len(wanted) != 1 or wanted[0] != total:
        return ""
    return f"is a Flatten missing before it? {' × '.join(map(str, shape[1:]))} = {total}"


def rank_help(wanted: int, shape: tuple[int, ...]) -> str:
    """Return what is probably missing if a layer's input has the wrong rank."""
    if wanted >= 4 and len(shape) == wanted - 1:
        return "is the batch missing? an input is written [N, C, H, W]"
    if wanted >= 4 and len(shape) <= 2:
        return "this input has lost its image axes: is there a Flatten too early?"
    return "bring the input to that rank: flatten, unsqueeze, permute or reshape"
