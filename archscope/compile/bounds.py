"""How much a spec may ask for: what a call is given and gives is counted before it is made.

    function or layer + arguments → counted → nothing, or a Fault with the figure and the limit

torch on meta accepts most of what is refused here, and then makes millions of pieces, or ends in an error of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import torch

from archscope.compile.metas import flat
from archscope.spec.numbers import Fault
from archscope.spec.things import shown

LARGEST = 2**60
"""How many numbers a tensor may have: more are refused before torch is asked for them."""
INTEGER = 2**63
"""Whole numbers below it are those that torch takes."""
RANK = 64
"""How many dimensions a tensor may have."""
PIECES = 10_000
"""How many tensors or numbers a call may be given, and how many tensors it may give."""
ALONG = 1_000_000
"""Up to how many positions along an axis a window reaches, an image is resized or padded."""
IMAGE = 1_000_000_000
"""How many positions an image may be told to have."""
DEEP = 100
"""How many layers one layer may stack."""
FEW = {"block_diag": 200, "chain_matmul": 100, "einsum": 52, "cartesian_prod": RANK, "meshgrid": RANK}
"""Functions of which torch's work grows faster than the tensors, or whose result has an axis for each: how many."""
FEATURES = 2_000
"""How many features a bilinear map may give."""

WINDOWED = re.compile(r"(conv|conv_transpose|max_pool|avg_pool|lp_pool|max_unpool)[123]d(_with_indices)?")
LAYERS_OF_IMAGES = re.compile(
    r"(Conv|ConvTranspose|MaxPool|AvgPool|LPPool|MaxUnpool|Adaptive(Avg|Max)Pool|FractionalMaxPool)[123]d|Fold|Unfold"
    r"|Upsample|Upsampling(Nearest|Bilinear)2d|(Zero|Constant|Reflection|Replication|Circular)Pad[123]d"
    r"|LocalResponseNorm|CrossMapLRN2d|PixelShuffle|PixelUnshuffle"
)
IMAGES = re.compile(
    r"(adaptive_)?(max|avg|lp)_pool[123]d(_with_indices)?|max_unpool[123]d|conv(_transpose)?[123]d|conv_tbc|fold|unfold"
    r"|interpolate|upsample(_nearest|_bilinear)?|pad|local_response_norm|pixel_(un)?shuffle"
)
"""Functions whose numbers are positions of an image."""
POSITIONS = frozenset(
    [
        *("kernel_size", "stride", "padding", "dilation", "output_size", "output_padding", "size", "upscale_factor"),
        *("downscale_factor", "pad"),
    ]
)
"""Arguments of layers of images that are positions along an axis."""
IMAGE_SIZES = frozenset(["output_size", "size"])
STACKED = ("num_layers", "num_encoder_layers", "num_decoder_layers")
PARAMETERS: Mapping[str, tuple[str, ...]] = {
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
"""Function of images → its arguments in their order."""
REDUCTIONS = frozenset(
    [
        *("mean", "nanmean", "sum", "nansum", "amax", "amin", "aminmax", "std", "var", "std_mean", "var_mean"),
        *("logsumexp", "count_nonzero", "all", "any"),
    ]
)
"""Functions that take the dimensions to reduce; PyTorch takes an empty list as all of them, NumPy as none."""
METHOD_UNFOLD = ("input", "dimension", "size", "step")
ABOVE_ZERO = ("kernel_size", "stride", "dilation", "groups", "step", "upscale_factor", "downscale_factor")
SMALLER = "smaller numbers"


def check_call(name: str, args: tuple, kwargs: Mapping[str, Any], *, method: bool = False) -> None:
    """Raises Fault where a function is given, or would give, more than a spec may ask for.

    name: the function's or the method's; then the first argument is its tensor.
    """
    _check_plain(name, (*args, *kwargs.values()))
    _check_few(name, (*args, *kwargs.values()))
    if (pieces := pieces_of(name, args, kwargs)) > PIECES:
        raise Fault(f"{name} would give {pieces:,} tensors; at most {PIECES:,} are allowed", "fewer and larger pieces")
    if name in REDUCTIONS and kwargs.get("dim", args[1] if len(args) > 1 else None) in ([], ()):
        fact = f"{name}: an empty list names no dimension"
        raise Fault(fact, "leave it out to reduce over all dimensions, the batch too", "dim")
    if IMAGES.fullmatch(name):
        _check_image(name, args, kwargs, method=method)
    if name == "bilinear" and len(args) > 2 and isinstance(args[2], torch.Tensor):
        _check_features(name, args[2].shape[0] if args[2].dim() else 1)


def check_layer(name: str, arguments: Mapping[str, object]) -> None:
    """Raises Fault where a layer's arguments ask for more than a spec may."""
    _check_plain(name, arguments.values())
    for argument in STACKED:
        count = arguments.get(argument)
        if isinstance(count, int) and count > DEEP:
            fact = f"{name}: {argument} is {count:,}; at most {DEEP:,} are allowed"
            raise Fault(fact, "a smaller number", argument)
    shape = arguments.get("normalized_shape")
    if isinstance(shape, (list, tuple)) and len(shape) > RANK:
        fact = f"{name}: normalized_shape has {len(shape):,} dimensions; at most {RANK} are allowed"
        raise Fault(fact, "fewer", "normalized_shape")
    if name == "Bilinear":
        _check_features(name, arguments.get("out_features"))
    if LAYERS_OF_IMAGES.fullmatch(name):
        for argument, value in arguments.items():
            if argument in POSITIONS:
                _check_along(name, argument, value)
        _check_reach(name, arguments)


def check_result(name: str, result: object) -> None:
    """Raises Fault where a call gave tensors that a spec may not have."""
    for tensor in flat(result):
        if tensor.dim() > RANK:
            raise Fault(f"{name} gives a tensor of {tensor.dim()} dimensions; at most {RANK} are allowed", "fewer")
        if tensor.numel() > LARGEST:
            fact = f"{name} gives a tensor of {tensor.numel():,} numbers; at most {LARGEST:,} are allowed"
            raise Fault(fact, "smaller sizes")


# What every call is given


def _check_plain(name: str, values: Any) -> None:
    """Raises Fault for too many values, and for numbers that torch cannot take."""
    for count, value in enumerate(within(values)):
        if count >= PIECES:
            fact = f"{name} is given more than {PIECES:,} numbers and tensors, which is the most that is allowed"
            raise Fault(fact, "fewer and larger ones")
        if isinstance(value, int) and not -INTEGER <= value < INTEGER:
            raise Fault(f"{name} is given {shown(value)}, a number of more than 64 bits", "a smaller number")


def _check_few(name: str, values: Any) -> None:
    """Raises Fault where a function is given more tensors than it can take in a short time."""
    if name in FEW and (count := sum(isinstance(value, torch.Tensor) for value in within(values))) > FEW[name]:
        raise Fault(f"{name} is given {count:,} tensors; at most {FEW[name]:,} are allowed", "fewer tensors")


def _check_features(name: str, features: object) -> None:
    """Raises Fault where a bilinear map gives more features than torch can work out, one after the other."""
    if _is_whole(features) and features > FEATURES:
        fact = f"{name}: out_features is {features:,}; at most {FEATURES:,} are allowed"
        raise Fault(fact, SMALLER, "out_features")


def within(values: Any) -> Iterator[object]:
    """Every value in nested lists, tuples and slices that is none itself."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from within(value)
        elif isinstance(value, slice):
            yield from (value.start, value.stop, value.step)
        else:
            yield value


# How many tensors a call gives


def pieces_of(name: str, args: tuple, kwargs: Mapping[str, Any]) -> int:
    """How many tensors a call would give; 1 where that is not known before."""
    tensor = args[0] if args else kwargs.get("input", kwargs.get("self"))
    if not isinstance(tensor, torch.Tensor):
        return 1
    given = _named(args[1:], kwargs, "dim") if name == "unbind" else _named(args[1:], kwargs, "how", "dim")
    how = given.get("how", kwargs.get("chunks", kwargs.get("split_size_or_sections", kwargs.get("split_size"))))
    how = kwargs.get("indices_or_sections", kwargs.get("sections", how))
    if name in ("hsplit", "vsplit", "dsplit", "tensor_split"):
        return how if _is_whole(how) else 1
    size = _size(tensor, given.get("dim", 0))
    if name == "unbind":
        return size
    if name == "chunk":
        return min(how, size) if _is_whole(how) else 1
    if name == "split" and _is_whole(how) and how > 0:
        return -(-size // how)
    return 1


def _named(args: Sequence[Any], kwargs: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Arguments by the names of their positions."""
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _size(tensor: torch.Tensor, dim: object) -> int:
    """The length of a dimension; 1 where there is no such one."""
    return tensor.shape[dim] if isinstance(dim, int) and -tensor.dim() <= dim < tensor.dim() else 1


# Images and the windows that slide over them


def _check_image(name: str, args: tuple, kwargs: Mapping[str, Any], *, method: bool) -> None:
    match = WINDOWED.fullmatch(name)
    names = METHOD_UNFOLD if method and name == "unfold" else PARAMETERS.get(match[1] if match else name, ())
    given = _named(args, kwargs, *names)
    for place, value in enumerate(args):
        _check_along(name, names[place] if place < len(names) else "size", value)
    for argument, value in kwargs.items():
        _check_along(name, argument, value)
    for argument in ABOVE_ZERO:
        _check_above_zero(name, argument, given.get(argument))
    weight = given.get("weight")
    if isinstance(weight, torch.Tensor) and 0 in weight.shape:
        raise Fault(f"{name}: the weight {tuple(weight.shape)} has no numbers", "a kernel of 1 or more along each axis")
    kernel = tuple(weight.shape[2:]) if isinstance(weight, torch.Tensor) else given.get("kernel_size")
    _check_reach(name, {**given, "kernel_size": kernel})


def _check_above_zero(name: str, argument: str, value: object) -> None:
    """Raises Fault for a window's argument that is no whole number above zero, or no number at all."""
    numbers = value if isinstance(value, (list, tuple)) else (value,)
    if not numbers and argument != "stride":
        raise Fault(f"{name}: {argument} is an empty list", "a number, or one for each axis", argument)
    for number in numbers:
        if _is_whole(number) and number < 1:
            fact = f"{name}: {argument} is {shown(number)}; it must be 1 or more"
            raise Fault(fact, "give it a number above 0", argument)


def _check_along(name: str, argument: str, value: object) -> None:
    """Raises Fault for positions along an axis, or of a whole image, that are too many."""
    numbers = value if isinstance(value, (list, tuple)) else (value,)
    whole = [number for number in numbers if _is_whole(number)]
    for number in whole:
        if abs(number) > ALONG:
            fact = f"{name}: {argument} is {number:,}; at most {ALONG:,} are allowed"
            raise Fault(fact, SMALLER, argument)
    if argument in IMAGE_SIZES and math.prod(whole) > IMAGE:
        fact = f"{name}: {argument} is {tuple(whole)}, {math.prod(whole):,} positions; at most {IMAGE:,} are allowed"
        raise Fault(fact, SMALLER, argument)


def _check_reach(name: str, arguments: Mapping[str, Any]) -> None:
    """Raises Fault where one position of a window covers too much of an axis."""
    kernel, dilation = (_all(arguments.get(argument)) for argument in ("kernel_size", "dilation"))
    for place, size in enumerate(kernel):
        apart = dilation[min(place, len(dilation) - 1)] if dilation else 1
        if (reach := apart * (size - 1) + 1) > ALONG:
            fact = f"{name}: a window over {reach:,} positions; at most {ALONG:,} are allowed"
            raise Fault(fact, "a smaller kernel or dilation")


def _all(value: object) -> list[int]:
    numbers = value if isinstance(value, (list, tuple)) else (value,)
    return [number for number in numbers if _is_whole(number)]
