"""Checks of constructor arguments of torch.nn layers by their values: layer name, arguments → ArgumentProblem.

    "Conv2d", {"in_channels": 90, "out_channels": 360, "groups": 8} → groups=8 does not divide in_channels=90

Compiled specs and Python models that raised get the same messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from archscope.errors import did_you_mean
from archscope.ops.windows import effective_kernel

OMIT_ARGUMENT = object()
"""Stands for the value of an argument that should be left out."""
COUNT_ARGUMENTS = frozenset(
    [
        *("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups", "in_features", "out_features"),
        *("num_features", "num_channels", "num_groups", "hidden_size", "input_size", "num_layers", "num_heads"),
        *("embed_dim", "nhead", "d_model", "dim_feedforward", "num_embeddings", "embedding_dim", "normalized_shape"),
        *("num_encoder_layers", "num_decoder_layers", "in1_features", "in2_features", "upscale_factor"),
    ]
)
"""Arguments that are positive integers, or tuples of them."""
ONE_NUMBER = COUNT_ARGUMENTS - {"kernel_size", "stride", "dilation", "normalized_shape"}
"""Arguments that are a single positive integer."""
MOST_TRIED = 100_000
"""The largest number that is tried as a divisor."""
DIVIDED_ARGUMENTS = {
    "groups": ("in_channels", "out_channels"),
    "num_groups": ("num_channels",),
    "num_heads": ("embed_dim",),
    "nhead": ("d_model",),
}
"""Argument → the arguments that it must divide."""
PROBABILITY_ARGUMENTS = {"Dropout": ("p",), "AlphaDropout": ("p",), "FeatureAlphaDropout": ("p",)}
"""Layer → its probability arguments, if they are not called `dropout`."""
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
WORD_ARGUMENTS = {"nonlinearity": ("tanh", "relu"), "activation": ("relu", "gelu")}
"""Argument → the strings that it may be."""


@dataclass(frozen=True)
class ArgumentProblem:
    """A wrong argument of a layer: the fact, the help, and the value that the help proposes."""

    argument: str
    fact: str
    help: str
    value: object


def argument_problems(
    layer: str, arguments: Mapping[str, Any], *, show: Callable[[object], str] = repr
) -> Iterator[ArgumentProblem]:
    """Yield all problems of a layer's arguments that follow from their values. show: formats a value."""
    for name, value in arguments.items():
        yield from count_problems(layer, name, value, show=show)
        if name in COUNT_ARGUMENTS and value is None:
            yield ArgumentProblem(name, f"{layer}: {name} takes a whole number, not None", "give it a number", 1)
    yield from divisor_problems(layer, arguments)
    for rule in (_word_problems, _probability_problems, _padding_problems, _padding_idx_problems, _proj_size_problems):
        yield from rule(layer, arguments)


def count_problems(
    layer: str, name: str, value: object, *, show: Callable[[object], str] = repr
) -> Iterator[ArgumentProblem]:
    """Yield a problem for the first number that is not a positive integer, if `name` is a size or a count."""
    if name not in COUNT_ARGUMENTS or value is None:
        return
    if name in ONE_NUMBER and isinstance(value, (tuple, list)):
        whole = _nearest_count(value[0] if value else 1)
        yield ArgumentProblem(
            name, f"{layer}: {name} takes a whole number, not {show(value)}", "give it one number", whole
        )
        return
    for number in value if isinstance(value, (tuple, list)) else (value,):
        if number is None:
            continue
        if not isinstance(number, int) or isinstance(number, bool):
            suggestion = "// divides whole numbers, int(…) cuts" if isinstance(number, float) else "give it a number"
            yield ArgumentProblem(
                name, f"{layer}: {name} takes a whole number, not {show(number)}", suggestion, _nearest_count(value)
            )
            return
        if number < 1:
            fact = f"{layer}: {name} is {show(number)}; it must be 1 or more"
            yield ArgumentProblem(name, fact, "give it a number above 0", _nearest_count(value))
            return


def _nearest_count(value: object) -> object:
    """Return the nearest positive integer, or tuple of them."""
    if isinstance(value, (tuple, list)):
        return tuple(_nearest_count(item) for item in value)
    number = isinstance(value, (int, float)) and math.isfinite(value)
    return max(int(value), 1) if number else 1  # type: ignore[call-overload]  # it is a number


def divisor_problems(layer: str, arguments: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    """Yield a problem for each number of groups or heads that does not divide what it must divide."""
    for divisor, names in DIVIDED_ARGUMENTS.items():
        count = arguments.get(divisor)
        if not isinstance(count, int) or not is_count(count):
            continue
        sizes = {name: arguments[name] for name in names if is_count(arguments.get(name))}
        wrong = next((name for name, size in sizes.items() if size % count), None)
        if wrong is not None:
            fact = f"{layer}: {divisor}={count} does not divide {wrong}={sizes[wrong]}"
            listed = " and ".join(f"{name}={sizes[name]}" if name in sizes else name for name in names)
            whole = math.gcd(*sizes.values())
            suggestion = f"{divisor} must divide {listed}: {format_divisors(whole, count)}"
            yield ArgumentProblem(divisor, fact, suggestion, nearest_divisors(whole, count)[0])


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def nearest_divisors(size: int, count: int, *, most: int = 2) -> list[int]:
    """Return the divisors of `size` that are nearest to `count`, nearest first; of two equally near, the larger
    first. For sizes above the square of MOST_TRIED, only divisors up to MOST_TRIED and their quotients are found."""
    small = [n for n in range(1, min(math.isqrt(size), MOST_TRIED) + 1) if size % n == 0]
    every = {*small, *(size // n for n in small)}
    return sorted(every, key=lambda n: (abs(n - count), -n))[:most]


def format_divisors(size: int, count: int) -> str:
    """Return a sentence such as `9 and 10 are the nearest to 8 that do`."""
    near = nearest_divisors(size, count)
    if len(near) == 1:
        return f"only {near[0]} does"
    return f"{' and '.join(map(str, sorted(near)))} are the nearest to {count} that do"


def _word_problems(layer: str, arguments: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    known: dict[str, tuple[str, ...]] = dict(WORD_ARGUMENTS)
    if layer.startswith("Conv"):
        known["padding_mode"] = ("zeros",) if "Transpose" in layer else PADDING_MODES
        known["padding"] = ("valid", "same")
    for name, words in known.items():
        value = arguments.get(name)
        if isinstance(value, str) and value not in words:
            suggestion = did_you_mean(value, words) or f"{name} is {' or '.join(map(repr, words))}"
            yield ArgumentProblem(name, f"{layer}: {name}={value!r} is not a valid value", suggestion, words[0])


def _probability_problems(layer: str, arguments: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    names = PROBABILITY_ARGUMENTS.get(layer.rstrip("123d"), ("dropout",))
    for name in names:
        value = arguments.get(name)
        if isinstance(value, (int, float)) and not 0 <= value <= 1:
            percent = 1 < value <= 100 and value == int(value)
            suggestion = f"{value} % is {value / 100:g}" if percent else "give it 0 to 1"
            yield ArgumentProblem(name, f"{layer}: {name}={value} is not a probability from 0 to 1", suggestion, 0.5)


def _padding_problems(layer: str, arguments: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    """Yield a problem for `padding="same"` in a convolution with a stride."""
    stride = arguments.get("stride", 1)
    steps = stride if isinstance(stride, (tuple, list)) else (stride,)
    if arguments.get("padding") != "same" or all(step == 1 for step in steps):
        return
    fact = f"{layer}: padding='same' keeps the size of the image, which stride={stride} does not"
    kernel = arguments.get("kernel_size")
    sizes = kernel if isinstance(kernel, (tuple, list)) else (kernel,)
    dilation = arguments.get("dilation", 1)
    apart = dilation if isinstance(dilation, (tuple, list)) else (dilation,) * len(sizes)
    whole = all(map(is_count, (*sizes, *apart)))
    spans = [effective_kernel(k, d) for k, d in zip(sizes, apart, strict=False)] if whole else []
    if not whole or any(span % 2 == 0 for span in spans):
        yield ArgumentProblem("padding", fact, "give padding as numbers", 0)
        return
    found = tuple(span // 2 for span in spans)
    padding = found[0] if len(set(found)) == 1 else found
    yield ArgumentProblem("padding", fact, f"padding={padding} gives an image of size/stride, rounded up", padding)


def _padding_idx_problems(layer: str, arguments: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    index, count = arguments.get("padding_idx"), arguments.get("num_embeddings")
    if isinstance(index, int) and isinstance(count, int) and count > 0 and not -count <= index < count:
        fact = f"{layer}: padding_idx={index} is not an index of num_embeddings={count}"
        enough = f"; num_embeddings={index + 1} has {index}" if index >= count else ""
        yield ArgumentProblem("padding_idx", fact, f"indices go from 0 to {count - 1}{enough}", 0)


def _proj_size_problems(layer: str, arguments: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    size, hidden = arguments.get("proj_size", 0), arguments.get("hidden_size")
    if not isinstance(size, int) or size == 0:
        return
    if layer in ("GRU", "RNN"):
        yield ArgumentProblem(
            "proj_size", f"{layer}: proj_size={size}, which only an LSTM has", "leave proj_size out", OMIT_ARGUMENT
        )
    elif size < 0:
        yield ArgumentProblem("proj_size", f"{layer}: proj_size is {size}", "0 for no projection, else 1 or more", 0)
    elif is_count(hidden) and isinstance(hidden, int) and size >= hidden:
        fact = f"{layer}: proj_size={size} is not smaller than hidden_size={hidden}"
        below = f"1 to {hidden - 1}, or " * (hidden > 1)
        yield ArgumentProblem("proj_size", fact, f"proj_size is {below}0 for no projection", 0)
