"""Changes of the layer in conflict itself: Mismatch → LayerChanges of that layer.

a stated size that is not the input's ─→ the input's size, with groups and heads that divide it
a kernel that is too large ─→ smaller ones
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import gcd

from archscope.conflicts.causes import (
    are_channels_last,
    axes_of_declared_size,
    is_size_of_other_axis,
    last_declared_size,
)
from archscope.conflicts.diagnosis import Diagnosis
from archscope.ops.constructor_checks import nearest_divisors
from archscope.ops.windows import window_of
from archscope.trace import Row, Trace, WrongArgument

LayerArguments = Mapping[str, object]
ArgumentLookup = Callable[[str], LayerArguments]
"""A path → the present arguments of the layer there; empty if there is no torch layer."""


@dataclass(frozen=True)
class LayerChange:
    """Other arguments of the layer at a path.

    distance: the number of steps between it and the conflict. likely: its present arguments look like the mistake: it
    has the stride where strides differ, it rounds, or its width is the less round one. source: the layer that makes its
    input, if the new argument is that layer's width.
    """

    path: str
    arguments: LayerArguments
    distance: int = 0
    likely: bool = True
    source: str = ""

    def __str__(self) -> str:
        """Return `output_padding=1 in decoder.4`."""
        return f"{', '.join(f'{name}={value}' for name, value in self.arguments.items())} in {self.path}"


def declared_size_changes(diagnosis: Diagnosis, arguments_at: ArgumentLookup) -> Iterator[LayerChange]:
    """Yield changes to the size that the layer's input has, with arguments that must divide it."""
    mismatch = diagnosis.mismatch
    wrong, path = mismatch.wrong_argument, mismatch.site.path
    if wrong is None or not isinstance(wrong.needed, (int, tuple)) or not wrong.needed or has_channels_last(diagnosis):
        return
    if is_size_of_other_axis(mismatch, diagnosis.shapes[0], diagnosis.known_names):
        return
    present, maker = arguments_at(path), next(iter(reversed(diagnosis.sides[0])), None)
    source = layer_path(maker.row, diagnosis.index.trace) if maker is not None else ""
    for more in dependent_arguments(wrong.argument, wrong.needed, present):
        arguments = {wrong.argument: wrong.needed, **more}
        slip = not more and present.get("groups", 1) == 1 and is_rounder_size(wrong)
        likely = 1 not in more.values() and not slip
        yield LayerChange(path, arguments, likely=likely, source="" if more else source)


def has_channels_last(diagnosis: Diagnosis) -> bool:
    """Return whether the last axis has the channels that a convolution states, so that axes are in another order."""
    return are_channels_last(diagnosis.mismatch, diagnosis.shapes[0], diagnosis.sides)


def axis_of_declared_size(diagnosis: Diagnosis) -> int | None:
    """Return the axis with the size that a layer states for the last one; None if no axis has it."""
    wrong = diagnosis.mismatch.wrong_argument
    declared = last_declared_size(wrong.given) if wrong is not None else None
    return next(iter(axes_of_declared_size(declared, diagnosis.shapes[0], diagnosis.known_names)), None)


def channels_first_step(diagnosis: Diagnosis) -> str:
    """Return the step that moves the channels of a convolution's input to dimension 1."""
    rank = len(diagnosis.shapes[0])
    return "transpose(1, 2)" if rank == 3 else f"permute(0, {rank - 1}, {', '.join(map(str, range(1, rank - 1)))})"


def is_rounder_size(wrong: WrongArgument) -> bool:
    """Return whether a layer states a rounder number of channels than it gets: `32` where 31 arrive."""
    declared, actual = wrong.given, wrong.needed
    if wrong.argument not in ("in_channels", "num_features", "num_channels"):
        return False
    return isinstance(declared, int) and isinstance(actual, int) and roundness(declared) > roundness(actual)


def dependent_arguments(argument: str, size: object, present: LayerArguments) -> Iterator[LayerArguments]:
    """Yield the arguments that must change with a size because they divide it: groups and heads; {} if they already
    do."""
    word = {"in_channels": "groups", "embed_dim": "num_heads", "num_channels": "num_groups"}.get(argument, "")
    parts, out = present.get(word), present.get("out_channels", size)
    if not isinstance(parts, int) or not isinstance(size, int) or not isinstance(out, int):
        yield {}
    elif parts > 1 and parts == present.get("in_channels"):  # depthwise: one filter for each channel
        yield {"out_channels": out // parts * size, "groups": size}
    elif size % parts == 0:
        yield {}
    else:
        yield from ({word: number} for number in dict.fromkeys((nearest_divisor(gcd(size, out), parts), 1)))


def nearest_divisor(size: int, count: int) -> int:
    """Return the divisor above 1 that is nearest to a number (the larger of two); 1 if there is none."""
    return next((number for number in nearest_divisors(size, count) if number > 1), 1)


def smaller_kernel_changes(diagnosis: Diagnosis) -> Iterator[LayerChange]:
    """Yield changes for a window larger than its input: a smaller kernel, padding, or smaller kernels before it."""
    mismatch, trace = diagnosis.mismatch, diagnosis.index.trace
    if mismatch.wrong_argument is not None or not mismatch.axes or not 0 <= mismatch.row < len(trace.rows):
        return
    shrinks = (change.row for change in reversed(diagnosis.sides[0]) if lacks_padding(change.row))
    rows = [trace.rows[mismatch.row], *shrinks]
    sliding = [row for row in rows if window_of(row) is not None]
    kernels = [window.kernel for row in sliding if (window := window_of(row)) is not None]
    for distance, row in enumerate(sliding):
        path, window = layer_path(row, trace), window_of(row)
        alike = window is not None and kernels.count(window.kernel) > 1  # then the input is too small
        least = 1 if "pool" in row.short_name else 0  # a pool of 1 does nothing
        smaller = window is not None and path and not (alike and diagnosis.fit is not None)
        for size in range(window.kernel[0] - 1, least, -1) if window is not None and smaller else ():
            yield LayerChange(path, {"kernel_size": size}, distance)
        if not distance and path and not least:
            yield from (LayerChange(path, {"padding": size}, distance) for size in (1, 2))


def lacks_padding(row: Row) -> bool:
    """Return whether a window shrinks its input more than its stride does."""
    window = window_of(row)
    if window is None or window.transposed:
        return False
    return any(
        window.effective_kernel(axis) > window.stride[axis] + 2 * window.padding[axis] for axis in range(window.axes)
    )


def layer_path(row: Row, trace: Trace) -> str:
    """Return the path of the layer that ran a row; empty if the author's code called the function."""
    site = trace.calls[row.call].site if row.call >= 0 else None
    return site.path if site is not None and site.kind == "layer" else ""


def roundness(size: int) -> int:
    """Return the largest power of two that divides a size, at most 64."""
    return gcd(size, 64)
