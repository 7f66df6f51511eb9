"""Limits of what a spec may request: the arguments and results of a call are counted before it is made.

    function or layer + arguments → counted → nothing, or an EvaluationError with the figure and the limit

torch on meta accepts most of these calls, and then creates millions of tensors or fails with an internal error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import torch

from archscope.compile.graph_tensor import flatten_tensors
from archscope.ops.windows import effective_kernel
from archscope.spec.bounded_math import EvaluationError
from archscope.spec.spec_values import describe_value

MAX_NUMEL = 2**60
"""The maximum number of elements of a tensor."""
INT64_LIMIT = 2**63
"""The integers of torch are below this limit."""
MAX_RANK = 64
"""The maximum number of dimensions of a tensor."""
MAX_PIECES = 10_000
"""The maximum number of tensors or numbers that a call may take, and of tensors that it may return."""
MAX_POSITIONS = 1_000_000
"""The maximum number of positions along an axis for windows, resizing and padding."""
MAX_IMAGE_POSITIONS = 1_000_000_000
"""The maximum number of positions of an image that arguments may request."""
MAX_STACKED_LAYERS, MAX_TRANSFORMER_LAYERS = 256, 128
"""The maximum number of layers that one layer stacks; that of a Transformer, which runs each of them."""
FEW = {"block_diag": 200, "chain_matmul": 100, "einsum": 52, "cartesian_prod": MAX_RANK, "meshgrid": MAX_RANK}
"""The maximum number of tensors for functions whose time grows faster than it, or whose rank grows with it."""
FEATURES = 2_000
"""The maximum number of output features of a bilinear layer."""

WINDOWED_FUNCTIONS = re.compile(r"(conv|conv_transpose|max_pool|avg_pool|lp_pool|max_unpool)[123]d(_with_indices)?")
IMAGE_LAYERS = re.compile(
    r"(Conv|ConvTranspose|MaxPool|AvgPool|LPPool|MaxUnpool|Adaptive(Avg|Max)Pool|FractionalMaxPool)[123]d|Fold|Unfold"
    r"|Upsample|Upsampling(Nearest|Bilinear)2d|(Zero|Constant|Reflection|Replication|Circular)Pad[123]d"
    r"|LocalResponseNorm|CrossMapLRN2d|PixelShuffle|PixelUnshuffle"
)
IMAGE_FUNCTIONS = re.compile(
    r"(adaptive_)?(max|avg|lp)_pool[123]d(_with_indices)?|max_unpool[123]d|conv(_transpose)?[123]d|conv_tbc|fold|unfold"
    r"|interpolate|upsample(_nearest|_bilinear)?|pad|local_response_norm|pixel_(un)?shuffle"
)
"""Functions whose arguments are positions of an image."""
POSITION_ARGUMENTS = frozenset(
    [
        *("kernel_size", "stride", "padding", "dilation", "output_size", "output_padding", "size", "upscale_factor"),
        *("downscale_factor", "pad"),
    ]
)
"""Arguments of image layers that are positions along an axis."""
IMAGE_SIZE_ARGUMENTS = frozenset(["output_size", "size"])
LAYER_COUNT_ARGUMENTS = ("num_layers", "num_encoder_layers", "num_decoder_layers")
WINDOW_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "conv": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv_transpose": ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    "max_pool": ("input", "kernel_size", "stride", "padding", "dilation"),
    "avg_pool": ("input", "kernel_size", "stride", "padding"),
    "lp_pool": ("input", "norm_type", "kernel_size", "stride"),
    "max_unpool": ("input", "indices", "kernel_size", "stride", "padding"),
    "unfold": ("input", "kernel_size", "dilation", "padding", "stride"),
    "pixel_shuffle": ("input", "upscale_factor"),
    "pixel_unshuffle": ("input", "downscale_factor"),
    "fold": ("input", "output_size", "kernel_size", "dilation", "padding", "stride"),
}
"""Image function → its arguments in order."""
DIM_REDUCTIONS = frozenset(
    [
        *("mean", "nanmean", "sum", "nansum", "amax", "amin", "aminmax", "std", "var", "std_mean", "var_mean"),
        *("logsumexp", "count_nonzero", "all", "any"),
    ]
)
"""Functions with dimensions to reduce; an empty list means all of them in PyTorch, none in NumPy."""
METHOD_UNFOLD = ("input", "dimension", "size", "step")
POSITIVE_ARGUMENTS = ("kernel_size", "stride", "dilation", "groups", "step", "upscale_factor", "downscale_factor")
SMALLER_HELP = "smaller numbers"


def check_call_limits(name: str, args: tuple, kwargs: Mapping[str, Any], *, method: bool = False) -> None:
    """Raise EvaluationError if a function takes or would return more than a spec may request.

    name: of the function or method; a method's first argument is its tensor.
    """
    values = (*args, *kwargs.values())
    _check_given_values(name, values)
    if name in FEW:
        count = sum(isinstance(value, torch.Tensor) for value in flatten_values(values))
        if count > FEW[name]:
            fact = f"{name} is given {count:,} tensors; at most {FEW[name]:,} are allowed"
            raise EvaluationError(fact, "fewer tensors")
    if (pieces := count_results(name, args, kwargs)) > MAX_PIECES:
        raise EvaluationError(
            f"{name} would give {pieces:,} tensors; at most {MAX_PIECES:,} are allowed", "fewer and larger pieces"
        )
    if name in DIM_REDUCTIONS and kwargs.get("dim", args[1] if len(args) > 1 else None) in ([], ()):
        fact = f"{name}: an empty list names no dimension"
        raise EvaluationError(fact, "leave it out to reduce over all dimensions, the batch too", "dim")
    if IMAGE_FUNCTIONS.fullmatch(name):
        _check_image(name, args, kwargs, method=method)
    if name == "bilinear" and len(args) > 2 and isinstance(args[2], torch.Tensor):
        _check_features(name, args[2].shape[0] if args[2].dim() else 1)


def check_layer_limits(name: str, arguments: Mapping[str, object]) -> None:
    """Raise EvaluationError if a layer's arguments request more than a spec may."""
    _check_given_values(name, arguments.values())
    most = MAX_TRANSFORMER_LAYERS if name.startswith("Transformer") else MAX_STACKED_LAYERS
    for argument in LAYER_COUNT_ARGUMENTS:
        count = arguments.get(argument)
        if isinstance(count, int) and count > most:
            fact = f"{name}: {argument} is {count:,}; at most {most:,} are allowed"
            raise EvaluationError(fact, "a smaller number", argument)
    shape = arguments.get("normalized_shape")
    if isinstance(shape, (list, tuple)) and len(shape) > MAX_RANK:
        fact = f"{name}: normalized_shape has {len(shape):,} dimensions; at most {MAX_RANK} are allowed"
        raise EvaluationError(fact, "fewer", "normalized_shape")
    if name == "Bilinear":
        _check_features(name, arguments.get("out_features"))
    if IMAGE_LAYERS.fullmatch(name):
        for argument, value in arguments.items():
            if argument in POSITION_ARGUMENTS:
                _check_positions(name, argument, value)
        _check_window_span(name, arguments)


def check_result_limits(name: str, result: object) -> None:
    """Raise EvaluationError if a call returned tensors that are too large."""
    for tensor in flatten_tensors(result):
        if tensor.dim() > MAX_RANK:
            raise EvaluationError(
                f"{name} gives a tensor of {tensor.dim()} dimensions; at most {MAX_RANK} are allowed", "fewer"
            )
        if tensor.numel() > MAX_NUMEL:
            fact = f"{name} gives a tensor of {tensor.numel():,} numbers; at most {MAX_NUMEL:,} are allowed"
            raise EvaluationError(fact, "smaller sizes")


# What every call is given


def _check_given_values(name: str, values: Any) -> None:
    """Raise EvaluationError for too many values, and for integers that torch cannot take."""
    for count, value in enumerate(flatten_values(values)):
        if count >= MAX_PIECES:
            fact = f"{name} is given more than {MAX_PIECES:,} numbers and tensors, which is the most that is allowed"
            raise EvaluationError(fact, "fewer and larger ones")
        if isinstance(value, int) and not -INT64_LIMIT <= value < INT64_LIMIT:
            raise EvaluationError(
                f"{name} is given {describe_value(value)}, a number of more than 64 bits", "a smaller number"
            )


def _check_features(name: str, features: object) -> None:
    """Raise EvaluationError if a bilinear function has too many output features, computed one by one."""
    if _is_int(features) and features > FEATURES:
        fact = f"{name}: out_features is {features:,}; at most {FEATURES:,} are allowed"
        raise EvaluationError(fact, SMALLER_HELP, "out_features")


def flatten_values(values: Any) -> Iterator[object]:
    """Yield every value in nested lists, tuples and slices."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from flatten_values(value)
        elif isinstance(value, slice):
            yield from (value.start, value.stop, value.step)
        else:
            yield value


# How many tensors a call gives


def count_results(name: str, args: tuple, kwargs: Mapping[str, Any]) -> int:
    """Return the number of tensors that a call would return; 1 if that is not known before."""
    tensor = args[0] if args else kwargs.get("input", kwargs.get("self"))
    if not isinstance(tensor, torch.Tensor):
        return 1
    given = (
        _name_arguments(args[1:], kwargs, "dim")
        if name == "unbind"
        else _name_arguments(args[1:], kwargs, "how", "dim")
    )
    how = given.get("how", kwargs.get("chunks", kwargs.get("split_size_or_sections", kwargs.get("split_size"))))
    how = kwargs.get("indices_or_sections", kwargs.get("sections", how))
    if name in ("hsplit", "vsplit", "dsplit", "tensor_split"):
        return how if _is_int(how) else 1
    size = _axis_size(tensor, given.get("dim", 0))
    if name == "unbind":
        return size
    if name == "chunk":
        return min(how, size) if _is_int(how) else 1
    if name == "split" and _is_int(how) and how > 0:
        return -(-size // how)
    return 1


def _name_arguments(args: Sequence[Any], kwargs: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the arguments by their names."""
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _axis_size(tensor: torch.Tensor, dim: object) -> int:
    """Return the length of a dimension; 1 if there is none."""
    return tensor.shape[dim] if isinstance(dim, int) and -tensor.dim() <= dim < tensor.dim() else 1


# Images and the windows that slide over them


def _check_image(name: str, args: tuple, kwargs: Mapping[str, Any], *, method: bool) -> None:
    match = WINDOWED_FUNCTIONS.fullmatch(name)
    names = METHOD_UNFOLD if method and name == "unfold" else WINDOW_PARAMETERS.get(match[1] if match else name, ())
    given = _name_arguments(args, kwargs, *names)
    for place, value in enumerate(args):
        _check_positions(name, names[place] if place < len(names) else "size", value)
    for argument, value in kwargs.items():
        _check_positions(name, argument, value)
    for argument in POSITIVE_ARGUMENTS:
        _check_above_zero(name, argument, given.get(argument))
    weight = given.get("weight")
    if isinstance(weight, torch.Tensor) and 0 in weight.shape:
        raise EvaluationError(
            f"{name}: the weight {tuple(weight.shape)} has no numbers", "a kernel of 1 or more along each axis"
        )
    kernel = tuple(weight.shape[2:]) if isinstance(weight, torch.Tensor) else given.get("kernel_size")
    _check_window_span(name, {**given, "kernel_size": kernel})


def _check_above_zero(name: str, argument: str, value: object) -> None:
    """Raise EvaluationError if a window's argument is not a positive integer."""
    numbers = value if isinstance(value, (list, tuple)) else (value,)
    if not numbers and argument != "stride":
        raise EvaluationError(f"{name}: {argument} is an empty list", "a number, or one for each axis", argument)
    for number in numbers:
        if _is_int(number) and number < 1:
            fact = f"{name}: {argument} is {describe_value(number)}; it must be 1 or more"
            raise EvaluationError(fact, "give it a number above 0", argument)


def _check_positions(name: str, argument: str, value: object) -> None:
    """Raise EvaluationError for too many positions along an axis, or of a whole image."""
    whole = _int_list(value)
    for number in whole:
        if abs(number) > MAX_POSITIONS:
            fact = f"{name}: {argument} is {number:,}; at most {MAX_POSITIONS:,} are allowed"
            raise EvaluationError(fact, SMALLER_HELP, argument)
    if argument in IMAGE_SIZE_ARGUMENTS and math.prod(whole) > MAX_IMAGE_POSITIONS:
        fact = (
            f"{name}: {argument} is {tuple(whole)}, {math.prod(whole):,} positions; "
            f"at most {MAX_IMAGE_POSITIONS:,} are allowed"
        )
        raise EvaluationError(fact, SMALLER_HELP, argument)


def _check_window_span(name: str, arguments: Mapping[str, Any]) -> None:
    """Raise EvaluationError if one window covers too many positions of an axis."""
    kernel, dilation = (_int_list(arguments.get(argument)) for argument in ("kernel_size", "dilation"))
    for place, size in enumerate(kernel):
        apart = dilation[min(place, len(dilation) - 1)] if dilation else 1
        if (reach := effective_kernel(size, apart)) > MAX_POSITIONS:
            fact = f"{name}: a window over {reach:,} positions; at most {MAX_POSITIONS:,} are allowed"
            raise EvaluationError(fact, "a smaller kernel or dilation")


def _int_list(value: object) -> list[int]:
    """Return the integers of a number or a list."""
    numbers = value if isinstance(value, (list, tuple)) else (value,)
    return [number for number in numbers if _is_int(number)]
