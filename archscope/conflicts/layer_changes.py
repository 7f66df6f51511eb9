"""Changes of one layer's arguments with which shapes would fit: a Diagnosis → LayerChanges, the likeliest first.

    sizes of the other sides ─→ arguments of a layer on the walk with which its side ends at them, by arithmetic alone

The net is not run with them here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from math import gcd, prod

from archscope.conflicts.axis_history import AxisChange
from archscope.conflicts.axis_origins import OutputAxis, axis_origins
from archscope.conflicts.causes import leftover_rows
from archscope.conflicts.declared_arguments import (
    ArgumentLookup,
    LayerArguments,
    LayerChange,
    declared_size_changes,
    layer_path,
    nearest_divisor,
    roundness,
    smaller_kernel_changes,
)
from archscope.conflicts.diagnosis import Diagnosis, own_axes
from archscope.conflicts.operand_relations import centred_arguments
from archscope.conflicts.size_model import RESAMPLING_OPS
from archscope.ops.windows import Window, largest_pool_padding, window_of
from archscope.spec.tensor_calls import PERMUTE_FUNCTIONS, RESHAPE_FUNCTIONS
from archscope.trace import Failure, Mismatch, Row, Shape, Trace

WIDTH_ARGUMENT_OF = {"linear": "out_features", "embedding": "embedding_dim"}
WINDOW_OPTIONS: Mapping[str, tuple[int, ...]] = {
    "ceil_mode": (1, 0),
    "output_padding": (1, 0),
    "padding": (1, 0, 2, 3),
    "stride": (1, 2, 4),
    "kernel_size": (3, 1, 2, 5, 7),
}
"""Argument of a window → the values that it may be given."""
OPTION_ORDER = {"stride": ("stride", "padding", "kernel_size", "ceil_mode", "output_padding")}
"""Class of a cause → the order of the arguments, if it differs from that of WINDOW_OPTIONS."""
ATTENTION_LAYER = "MultiheadAttention"
SEQUENCE_LAYERS = (ATTENTION_LAYER, "LSTM", "GRU", "RNN")
"""Layers with an argument `batch_first`."""


@dataclass(frozen=True)
class OperandSide:
    """One operand: its steps, its shape, and the sizes that its axes should have."""

    changes: tuple[AxisChange, ...]
    shape: Shape
    goals: Mapping[int, int]


def layer_changes(diagnosis: Diagnosis, arguments_at: ArgumentLookup) -> Iterator[LayerChange]:
    """Yield every change of one layer with which the sizes would fit, each once."""
    seen: list[tuple[str, LayerArguments]] = []
    for change in sorted(
        candidate_changes(diagnosis, arguments_at), key=lambda change: (not change.likely, change.distance)
    ):
        present, key = arguments_at(change.path), (change.path, change.arguments)
        known = change.arguments.keys() <= present.keys()
        if known and key not in seen and any(present[name] != value for name, value in change.arguments.items()):
            seen.append(key)
            yield change


def candidate_changes(diagnosis: Diagnosis, arguments_at: ArgumentLookup) -> Iterator[LayerChange]:
    mismatch, trace = diagnosis.mismatch, diagnosis.index.trace
    if not is_layer_fixable(diagnosis):
        return
    if is_order_conflict(mismatch):
        yield from swapped_batch_first(mismatch.site.path, arguments_at)
    if is_rearrangement(diagnosis):
        return
    if mismatch.kind == "layer":
        yield from declared_size_changes(diagnosis, arguments_at)
        yield from changes_before_flatten(diagnosis, arguments_at)
        yield from smaller_kernel_changes(diagnosis)
    if diagnosis.rounded is not None:
        path = layer_path(diagnosis.rounded.row, trace)
        for name, value in centred_arguments(diagnosis.rounded.row) if path else ():
            yield LayerChange(path, {name: value})
    behind = int(mismatch.kind == "layer")  # the layer itself comes first
    for side in sides_with_goals(diagnosis):
        for change in chain(
            width_changes(side, trace, arguments_at), window_changes(side, trace, arguments_at, diagnosis.cause)
        ):
            yield replace(change, distance=change.distance + behind)


def is_layer_fixable(diagnosis: Diagnosis) -> bool:
    """Return whether another layer could fix a conflict: not if values are in another order, nor if it follows from
    another conflict."""
    return (is_order_conflict(diagnosis.mismatch) or not is_rearrangement(diagnosis)) and not diagnosis.likely


def is_order_conflict(mismatch: Mismatch) -> bool:
    """Return whether another order of batch and length in one layer may fix a conflict."""
    return mismatch.site.name == ATTENTION_LAYER or (
        mismatch.wrong_argument is not None and mismatch.wrong_argument.argument == "batch_first"
    )


def is_rearrangement(diagnosis: Diagnosis) -> bool:
    return diagnosis.cause == "layout" or diagnosis.mismatch.kind == "view"


def changes_after_failure(failure: Failure, arguments_at: ArgumentLookup) -> Iterator[LayerChange]:
    """Yield changes for a layer that raised on sequences in another order than its `batch_first` says."""
    if failure.site.name in SEQUENCE_LAYERS:
        yield from swapped_batch_first(failure.site.path, arguments_at)


def swapped_batch_first(path: str, arguments_at: ArgumentLookup) -> Iterator[LayerChange]:
    """Yield the change of `batch_first`."""
    first = arguments_at(path).get("batch_first")
    if isinstance(first, bool):
        yield LayerChange(path, {"batch_first": not first})


# ------------------------------------------------------------ sides
def sides_with_goals(diagnosis: Diagnosis) -> Iterator[OperandSide]:
    """Yield the sides that could get the sizes that all the others have."""
    mismatch, shapes = diagnosis.mismatch, diagnosis.shapes
    for number, (operand, changes) in enumerate(zip(diagnosis.operands, diagnosis.sides, strict=True)):
        goals: dict[int, int] = {}
        for axis in own_axes(operand, mismatch.axes, mismatch):
            wanted = wanted_sizes(diagnosis, number, axis - len(shapes[number]))
            if len(wanted) != 1:
                break
            if wanted != {shapes[number][axis]}:
                goals[axis] = wanted.pop()
        else:
            if goals:
                yield OperandSide(changes, shapes[number], goals)
                if mismatch.kind == "multiply":  # it may be meant to broadcast
                    yield OperandSide(changes, shapes[number], dict.fromkeys(goals, 1))


def wanted_sizes(diagnosis: Diagnosis, number: int, axis: int) -> set[int]:
    """Return the sizes of the other operands on an axis, counted from the right; for a layer, the size that it
    states."""
    mismatch, shapes = diagnosis.mismatch, diagnosis.shapes
    if mismatch.kind == "layer":
        declared = mismatch.wrong_argument.given if mismatch.wrong_argument is not None else None
        return {declared} if isinstance(declared, int) else set()
    if mismatch.kind == "product":
        other = shapes[1 - number] if len(shapes) == 2 else ()
        inner = other[-1 if number else max(-len(other), -2) :][:1]
        return set(inner) if axis == (-2 if number else -1) else set()
    others = shapes[:2] if mismatch.kind == "attention" else shapes
    found = {shape[axis] for place, shape in enumerate(others) if place != number and -axis <= len(shape)}
    return found - {1} if mismatch.kind in ("add", "multiply") else found


def channel_axis(row: Row) -> int:
    """Return the axis, from the right, whose size a layer sets; 0 if it sets none."""
    window = window_of(row)
    if window is not None:
        return -window.axes - 1 if row.short_name.startswith("conv") else 0
    return -1 if row.short_name in WIDTH_ARGUMENT_OF else 0


def are_axes_moved(changes: Sequence[AxisChange]) -> bool:
    """Return whether axes end in another order, or are joined; a permutation followed by its inverse moves none."""
    order: tuple[int, ...] = ()
    for change in changes:
        if change.row.short_name in RESHAPE_FUNCTIONS or (order and len(order) != len(change.shape)):
            return True
        if change.row.short_name in PERMUTE_FUNCTIONS:
            found = permutation(change)
            before = order or tuple(range(len(change.shape)))
            order = tuple(before[axis] for axis in found)
            if not found:
                return True
    return order != tuple(range(len(order)))


def permutation(change: AxisChange) -> tuple[int, ...]:
    """Return for each axis of a step's output the axis of its input; () if unknown."""
    found = [
        axis_origins(OutputAxis(change.row, change.row.inputs[:1], change.shape, axis))
        for axis in range(len(change.shape))
    ]
    return tuple(origins[0][1] for origins in found) if all(len(origins) == 1 for origins in found) else ()


# ------------------------------------------------------------ widths
def width_changes(side: OperandSide, trace: Trace, arguments_at: ArgumentLookup) -> Iterator[LayerChange]:
    """Yield another width for a layer of the side, if only one axis differs."""
    if len(side.goals) != 1:
        return
    ((axis, goal),) = side.goals.items()
    size = side.shape[axis]
    for distance, change in enumerate(reversed(side.changes)):
        path, own = layer_path(change.row, trace), channel_axis(change.row)
        behind = side.changes[len(side.changes) - distance :]
        straight = are_axes_moved(behind) or own == axis - len(side.shape)
        sets = own and any(where == len(change.shape) + own for where, _, _ in change.axes)
        if path and sets and straight:
            width = change.shape[own] + goal - size
            if width > 0:
                yield width_change(
                    path, change.row, width, distance, arguments_at, likely=roundness(goal) >= roundness(size)
                )


def width_change(
    path: str, row: Row, width: int, distance: int, arguments_at: ArgumentLookup, *, likely: bool = True
) -> LayerChange:
    present = arguments_at(path)
    name, groups = WIDTH_ARGUMENT_OF.get(row.short_name, "out_channels"), present.get("groups", 1)
    more: LayerArguments = {}
    if isinstance(groups, int) and width % groups and isinstance(present.get("in_channels"), int):
        more = {"groups": nearest_divisor(gcd(width, int(str(present["in_channels"]))), groups)}
    return LayerChange(path, {name: width, **more}, distance, likely)


# ------------------------------------------------------------ windows
def window_changes(side: OperandSide, trace: Trace, arguments_at: ArgumentLookup, cause: str) -> Iterator[LayerChange]:
    """Yield other arguments for a window of the side, with another width if channels differ too."""
    rank = len(side.shape)
    for distance, change in enumerate(reversed(side.changes)):
        path, window = layer_path(change.row, trace), window_of(change.row)
        behind = side.changes[len(side.changes) - distance :]
        if not path or window is None or len(change.shape) != rank or are_axes_moved(behind):
            continue
        spatial = {axis: goal for axis, goal in side.goals.items() if axis >= rank - window.axes}
        rest = side.goals.keys() - spatial.keys()
        if not spatial or rest - {rank + channel_axis(change.row)}:
            continue
        more: LayerArguments = {}
        for axis in rest:
            width = change.shape[axis] + side.goals[axis] - side.shape[axis]
            more = width_change(path, change.row, width, distance, arguments_at).arguments if width > 0 else more
        goals = {axis: spatial.get(axis, side.shape[axis]) for axis in range(rank - window.axes, rank)}
        odd = any(size >= window.effective_kernel(axis) for axis, size in enumerate(window.padding))
        names = OPTION_ORDER.get(cause, tuple(WINDOW_OPTIONS))
        ahead = side.changes[: len(side.changes) - distance - 1]
        if any(step.row.short_name in RESAMPLING_OPS for step in ahead):  # a stride would undo that
            names = tuple(name for name in names if name != "stride")
        for arguments in fitting_arguments(change, window, behind, goals, names):
            stride_alone = "stride" in arguments and "kernel_size" not in arguments
            usual = stride_alone == (cause == "stride")
            likely = usual and (leftover_rows(change) > 0 or not any(map(leftover_rows, side.changes)))
            suspect = odd and "padding" in arguments  # the outermost outputs would see only padding
            yield LayerChange(path, {**arguments, **more}, -1 if suspect else distance, likely or suspect)


def fitting_arguments(
    change: AxisChange, window: Window, behind: Sequence[AxisChange], goals: Mapping[int, int], names: Sequence[str]
) -> Iterator[LayerArguments]:
    """Yield arguments of a window with which all axes end at these sizes; one number if that suffices, else one for
    each axis."""
    for name in names:
        half = (window.effective_kernel(0) // 2,) if name == "padding" else ()
        for option in dict.fromkeys((*half, *WINDOW_OPTIONS[name])):
            trial = window_with_argument(change.row, window, name, (option,) * window.axes)
            if trial is not None and trial != window and final_sizes(change, trial, behind) == tuple(goals.values()):
                yield layer_argument(change.row, window, name, option)
        if window.axes > 1 and name not in ("ceil_mode", "kernel_size"):
            now = {"padding": window.padding, "stride": window.stride, "output_padding": window.extra}[name]
            for values in product(WINDOW_OPTIONS[name], repeat=window.axes):
                changed = sum(old != new for old, new in zip(now, values, strict=True))
                if len(set(values)) == 1 or not 0 < changed < len(values):
                    continue  # only values that differ between axes, and change some of them
                trial = window_with_argument(change.row, window, name, values)
                if trial is not None and final_sizes(change, trial, behind) == tuple(goals.values()):
                    yield {name: values}


def layer_argument(row: Row, window: Window, name: str, option: int) -> LayerArguments:
    """Return the arguments as a layer takes them; a pool whose kernel changes keeps its stride."""
    if name == "ceil_mode":
        return {name: bool(option)}
    if name == "kernel_size" and "pool" in row.short_name:
        return {name: option, "stride": window.stride[0] if len(set(window.stride)) == 1 else window.stride}
    return {name: option}


def window_with_argument(row: Row, window: Window, name: str, values: tuple[int, ...]) -> Window | None:
    """Return the window with one argument changed; None if a layer has no such argument, or would reject it."""
    pool = "pool" in row.short_name
    if name == "padding" and any(size >= window.effective_kernel(axis) for axis, size in enumerate(values) if size):
        return None  # the outermost outputs would see only padding
    if name == "ceil_mode":
        return replace(window, ceil=bool(values[0])) if pool else None
    if name == "output_padding":
        more = replace(window, extra=values)
        return more if window.transposed and more.is_accepted else None
    if row.get("padding") == "same":
        return None
    if window.transposed and name == "kernel_size" and any(k < s for k, s in zip(values, window.stride, strict=True)):
        return None  # it would leave holes
    changed = {"kernel_size": "kernel"}.get(name, name)
    if pool and name == "kernel_size" and any(k < s for k, s in zip(values, window.stride, strict=True)):
        return None  # it would skip pixels
    trial: Window = replace(window, **{changed: values})  # type: ignore[arg-type]  # these fields are tuples
    wide = any(p > largest_pool_padding(k) for p, k in zip(trial.padding, trial.kernel, strict=True))
    return trial if trial.is_accepted and not (pool and wide) else None


def final_sizes(change: AxisChange, trial: Window, behind: Sequence[AxisChange]) -> Shape | None:
    """Return the sizes at the end of a side with this window instead of a row's own; None if unknown."""
    before = change.row.inputs[0].value.shape[-trial.axes :]
    sizes = tuple(trial.size(size, axis) for axis, size in enumerate(before))
    for step in behind:
        window = window_of(step.row)
        if min(sizes) < 1:
            return None
        if window is not None and window.axes == trial.axes:
            sizes = tuple(window.size(size, axis) for axis, size in enumerate(sizes))
        elif any(where >= len(step.shape) - trial.axes and old != new for where, old, new in step.axes):
            factor = step.row.get("scale_factor")
            if step.row.short_name != "interpolate" or not isinstance(factor, (int, float)):
                return None
            sizes = tuple(int(size * factor) for size in sizes)
    return sizes if min(sizes) > 0 else None


# ------------------------------------------------------------ flattened images
def changes_before_flatten(diagnosis: Diagnosis, arguments_at: ArgumentLookup) -> Iterator[LayerChange]:
    """Yield changes for a Linear after a flattened image: another window or width before it that gives the size it
    states."""
    wrong, trace = diagnosis.mismatch.wrong_argument, diagnosis.index.trace
    changes = diagnosis.sides[0]
    flat = [place for place, change in enumerate(changes) if change.row.short_name in RESHAPE_FUNCTIONS]
    if wrong is None or not isinstance(wrong.given, int) or len(flat) != 1:
        return
    image = changes[flat[0]].row.inputs[0].value.shape
    if len(image) < 3 or prod(image[1:]) != wrong.needed:
        return
    before, area = changes[: flat[0]], prod(image[2:])
    channels = diagnosis.cause == "channels"
    for distance, change in enumerate(reversed(before), start=1):
        path, window = layer_path(change.row, trace), window_of(change.row)
        if not path or window is None or len(change.shape) != len(image):
            continue
        behind = before[len(before) - distance + 1 :]
        widens = "conv" in change.row.short_name and any(where == 1 for where, _, _ in change.axes)
        if channels and widens and wrong.given % area == 0:
            yield width_change(
                path, change.row, change.shape[1] + wrong.given // area - image[1], distance, arguments_at
            )
        for name, options in () if channels else WINDOW_OPTIONS.items():
            for option in options:
                trial = window_with_argument(change.row, window, name, (option,) * window.axes)
                sizes = final_sizes(change, trial, behind) if trial is not None and trial != window else None
                if sizes is not None and prod(sizes) * image[1] == wrong.given:
                    yield LayerChange(path, layer_argument(change.row, window, name, option), distance, likely=False)
