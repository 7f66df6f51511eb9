"""The class of a conflict's cause, from the mismatch and the steps on its sides.

layout        ranks differ, axes are in another order, or a view has another number of elements
batch         the batch dimension was changed
channels      a layer makes or expects another number of channels or features
stride        the sides have different total strides
off-by-one    one window without padding, or one that rounds
spatial-size  several windows that round or lack padding
kernel-size   a window larger than its input
input-size    made for an input of another size: a Linear after a map, a table of positions, a size in the code
divisibility  a number that does not divide what it should: heads, groups, windows
source        another value was meant

docs/rules/causes has a page for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from archscope.conflicts.axis_history import AxisChange
from archscope.conflicts.axis_names import MERGED_SEPARATOR, SPATIAL_LETTERS, position_axes
from archscope.conflicts.size_model import RESAMPLING_OPS
from archscope.conflicts.view_factors import find_view_factors
from archscope.ops.shape_errors import drop_ones, is_reordered
from archscope.ops.windows import window_of
from archscope.trace import Mismatch, Row, Shape

CAUSE_CLASSES = (
    *("layout", "batch", "channels", "stride", "off-by-one", "spatial-size", "kernel-size", "input-size"),
    *("divisibility", "source"),
)
LAST_AXIS_ARGUMENTS = ("in_features", "normalized_shape", "embed_dim")
"""Arguments that state the size of the last axis."""
DIVISOR_ARGUMENTS = ("groups", "num_heads", "num_groups", "nhead")
"""Arguments that must divide a size."""

CAUSE_OF_ARGUMENT: Mapping[str, str] = {
    **dict.fromkeys(("in_channels", "out_channels", "num_features", "in_features", "out_features"), "channels"),
    **dict.fromkeys(DIVISOR_ARGUMENTS, "divisibility"),
    **dict.fromkeys(("padding", "kernel_size", "dilation", "output_padding"), "off-by-one"),
    "stride": "stride",
}
"""Argument of a layer → the class of the cause when it is wrong."""
FINER_CAUSES: Mapping[str, Sequence[str]] = {
    "off-by-one": ("spatial-size", "kernel-size", "input-size"),
    "channels": ("divisibility", "input-size"),
    "layout": ("divisibility",),
    "stride": ("kernel-size",),
}
"""The class that a fix suggests → more precise classes of a conflict that take precedence."""


def more_precise_cause(shown: str, cause: str) -> str:
    """Return the class that a fix suggests, or the conflict's own if that is more precise or the fix suggests none."""
    return cause if not shown or cause in FINER_CAUSES.get(shown, ()) else shown


@dataclass(frozen=True)
class ConflictFacts:
    """The facts that determine a cause: operand shapes, the steps on each side since the fork, the axis names of the
    widest shape, the relation of the operands, and the dimension along which values should have been concatenated."""

    mismatch: Mismatch
    shapes: Sequence[Shape]
    sides: Sequence[Sequence[AxisChange]]
    names: Sequence[str] = ()
    relation: str = ""
    intended_dim: int | None = None

    @property
    def spatial(self) -> list[int]:
        """The disagreeing axes that are positions: an image's height or width, a sequence's length."""
        images = len(self.shapes[0]) == 4 or any(resizes_image(change) for side in self.sides for change in side)
        return [axis for axis in self.mismatch.axes if is_spatial(self.name(axis), axis, images=images)]

    @property
    def is_of_sizes(self) -> bool:
        """True if no disagreeing axis is the batch or the channels."""
        return all(axis > 0 and self.name(axis) not in ("N", "C") for axis in self.mismatch.axes)

    def name(self, axis: int) -> str:
        return self.names[axis] if axis < len(self.names) else ""


def is_spatial(name: str, axis: int, *, images: bool) -> bool:
    """Return whether an axis is one of positions; without a name, in images, those after the channels."""
    return bool(SPATIAL_LETTERS & set(name.split(MERGED_SEPARATOR))) if name else images and axis > 1


def classify_cause(found: ConflictFacts) -> str:
    """Return the class of a conflict's cause."""
    mismatch, shapes = found.mismatch, found.shapes
    if mismatch.kind == "view":
        rest = "divisibility" if has_bad_divisor(found) else "layout"
        return "batch" if examples_in_view(mismatch, shapes[0]) else rest
    if found.intended_dim is not None:
        return "layout"
    if mismatch.kind == "layer":
        return classify_layer_cause(mismatch, shapes[0], found.sides, found.names if any(found.sides) else ())
    if found.relation == "table" and not is_reordered([drop_ones(shape) for shape in shapes]):
        channels_differ = mismatch.axes and all(found.name(axis) == "C" for axis in mismatch.axes)
        return "channels" if channels_differ else "input-size"
    if found.relation == "positions" or (found.relation == "inputs" and found.is_of_sizes):
        return "input-size"
    if is_layout_conflict(mismatch, shapes[:3] if mismatch.kind == "attention" else shapes):
        return "layout"
    if mismatch.kind in ("product", "attention"):
        return "channels"
    if mismatch.axes == (0,) and len(shapes[0]) > 1:
        return "batch"
    windows = any(resizes_image(change) for side in found.sides for change in side)
    if not found.spatial:
        return "channels"
    if mismatch.kind == "concat" and not windows:
        return "layout"
    if any(has_fixed_output_size(change) for side in found.sides for change in side):
        return "input-size"
    if not windows:
        return "channels"
    if len({total_stride(side) for side in found.sides}) > 1:
        return "stride"
    return "off-by-one" if all(sum(map(is_uneven, side)) < 2 for side in found.sides) else "spatial-size"


def examples_in_view(mismatch: Mismatch, shape: Shape) -> int:
    """Return the number of examples that a view was written for, if it merges all their features in one axis; else
    0."""
    sizes = mismatch.wrong_argument.given if mismatch.wrong_argument is not None else ()
    example = prod(shape[1:])
    if not isinstance(sizes, tuple) or len(sizes) != 2 or sizes[0] not in (-1, 1) or example < 2 or sizes[1] % example:
        return 0
    return int(sizes[1] // example)


def has_bad_divisor(found: ConflictFacts) -> bool:
    """Return whether a view splits an axis into numbers of which one should divide it."""
    wrong = found.mismatch.wrong_argument
    sizes = wrong.given if wrong is not None and isinstance(wrong.given, tuple) else ()
    return any(factors.divisor for factors in find_view_factors(sizes, found.shapes[0], position_axes(found.names)))


def has_fixed_output_size(change: AxisChange) -> bool:
    """Return whether a layer resizes to a constant size; in a call, the size may have been computed."""
    row = change.row
    return row.short_name == "interpolate" and row.op != row.short_name and row.get("size") is not None


def is_uneven(change: AxisChange) -> bool:
    """Return whether a window rounds or lacks padding along one of the axes in question."""
    window = window_of(change.row)
    if window is None:
        return False
    for axis, before, after in change.axes:
        spatial = axis - len(change.shape) + window.axes
        step = window.stride[spatial] if spatial >= 0 else 0
        even = before is None or not step or (after == before * step if window.transposed else after * step == before)
        if not even:
            return True
    return False


def classify_layer_cause(
    mismatch: Mismatch, shape: Shape, sides: Sequence[Sequence[AxisChange]], names: Sequence[str]
) -> str:
    """Return the class for a layer with a wrong size argument: a missing Flatten, a flattened image of another size, or
    a wrong number."""
    wrong = mismatch.wrong_argument
    if wrong is None:  # it rejects its input: another rank, or an image smaller than the window
        return "kernel-size" if mismatch.axes else "layout"
    if wrong.argument == "padding":
        return "off-by-one"
    if wrong.argument == "batch_first":
        return "layout"
    if wrong.argument == "hx":
        return "batch" if mismatch.axes == (1,) else "channels"
    if isinstance(wrong.given, tuple) and isinstance(wrong.needed, tuple) and len(wrong.given) != len(wrong.needed):
        return "layout"
    if wrong.argument in DIVISOR_ARGUMENTS:
        return "divisibility"
    if is_size_of_other_axis(mismatch, shape, names) or are_channels_last(mismatch, shape, sides):
        return "layout"
    flattened = [change for side in sides for change in side if change.row.short_name in ("flatten", "view", "reshape")]
    resized = [change for side in sides for change in side if change.is_resizable and change.changed]
    if flattened and resized and fits_another_image(wrong.given, flattened[-1]):
        return "input-size"
    return "channels"


def are_channels_last(mismatch: Mismatch, shape: Shape, sides: Sequence[Sequence[AxisChange]]) -> bool:
    """Return whether only the last axis of a convolution's input has the stated number of channels, and no convolution
    made dimension 1.

    sides: the steps that made the input.
    """
    wrong = mismatch.wrong_argument
    declared = wrong.given if wrong is not None and wrong.argument == "in_channels" else None
    rank = {"1": 3, "2": 4, "3": 5}.get(mismatch.operation[-2:-1])
    from_conv = any(
        change.row.short_name.startswith("conv") and axis == 1
        for side in sides
        for change in side
        for axis, _, _ in change.axes
    )
    return len(shape) == rank and shape[-1] == declared and declared not in shape[1:-1] and not from_conv


def is_size_of_other_axis(mismatch: Mismatch, shape: Shape, names: Sequence[str] = ()) -> bool:
    """Return whether the size that a layer states for the last axis is that of another axis, or the product of all
    axes."""
    wrong = mismatch.wrong_argument
    if wrong is None or len(shape) < 3 or wrong.argument not in (*LAST_AXIS_ARGUMENTS, "input_size") or 0 in shape:
        return False
    declared = last_declared_size(wrong.given)
    return bool(axes_of_declared_size(declared, shape, names)) or (
        wrong.argument == "in_features" and prod(shape[1:]) == declared
    )


def last_declared_size(given: object) -> object:
    """Return the size that a layer states for the last axis."""
    return given[-1] if isinstance(given, tuple) and len(given) == 1 else given


def axes_of_declared_size(declared: object, shape: Shape, names: Sequence[str]) -> list[int]:
    """Return the axes (except batch and last) of the size that a layer states, channels first. If the channels are
    last, axes of positions are left out: an equal length is a coincidence."""
    found = [axis for axis in range(1, len(shape) - 1) if shape[axis] == declared]
    named = {axis: names[axis] for axis in range(len(shape)) if axis < len(names)}
    if named.get(len(shape) - 1) == "C":
        found = [axis for axis in found if not SPATIAL_LETTERS & set(named.get(axis, "").split(MERGED_SEPARATOR))]
    return sorted(found, key=lambda axis: named.get(axis) != "C")


def fits_another_image(features: object, flattened: AxisChange) -> bool:
    """Return whether a number of features is the number of flattened channels times the area of another map: a sequence
    of any length, a square or cube, or a map of the same ratio."""
    source = flattened.row.inputs[0].value.shape
    return isinstance(features, int) and len(source) > 2 and bool(map_with_features(features, source[1:]))


def map_with_features(features: int, given: Shape) -> Shape:
    """Return channels and sides of the map with this number of features and the channels of `given`; () if there is
    none."""
    channels, *sides = given
    if channels < 1 or features % channels:
        return ()
    found = map_with_area(features // channels, tuple(sides))
    return (channels, *found) if found is not None else ()


def map_with_area(area: int, given: Shape) -> Shape | None:
    """Return the sides of the map of this area: a square, a cube, a sequence, or a map with the ratio of `given`; None
    if there is none."""
    side = round(area ** (1 / len(given)))
    if side > 0 and side ** len(given) == area:
        return (side,) * len(given)
    first = round((area * given[0] ** len(given) / prod(given)) ** (1 / len(given))) if prod(given) else 0
    scaled = tuple(round(size * first / given[0]) for size in given) if first else ()
    return scaled if scaled and prod(scaled) == area else None


def is_layout_conflict(mismatch: Mismatch, shapes: Sequence[Shape]) -> bool:
    """Return whether ranks that must be equal differ, axes are in another order, a concat has the wrong dimension, or a
    transpose is missing."""
    ranks = {len(shape) for shape in shapes}
    if len(ranks) > 1:
        batched = min(ranks) > 1 and len({shape[0] for shape in shapes}) == 1  # (N, C) beside (N, C, H, W)
        return batched or mismatch.site.strict or mismatch.kind not in ("add", "multiply") or not mismatch.axes
    if mismatch.kind == "concat" and (not mismatch.axes or (mismatch.axes == (1,) and len(shapes[0]) == 4)):
        return True
    if mismatch.kind == "product" and len(shapes[0]) > 1 and shapes[0][-1] == shapes[1][-1]:
        return True
    return is_reordered(shapes)


def resizes_image(change: AxisChange) -> bool:
    """Return whether a step resizes an image: a convolution, a pool, an interpolation."""
    return "conv" in change.row.short_name or "pool" in change.row.short_name or change.row.short_name in RESAMPLING_OPS


def total_stride(side: Sequence[AxisChange]) -> float:
    """Return the factor by which the steps of one side shrink an image: the product of their strides."""
    factors = [window_stride(change.row) for change in side if change.is_resizable]
    return prod([*factors, *(shrink_factor(change) for change in side if change.row.short_name in RESAMPLING_OPS)])


def shrink_factor(change: AxisChange) -> float:
    """Return the factor by which an interpolation or pixel shuffle shrinks an image; less than 1 if it enlarges it."""
    sizes = [(before, after) for axis, before, after in change.axes if axis > 1 and before]
    return sizes[-1][0] / sizes[-1][1] if sizes and sizes[-1][0] and sizes[-1][1] else 1.0


def window_stride(row: Row) -> float:
    """Return the stride of a window along its last axis; the reciprocal for a transposed convolution."""
    given = row.get("stride") or row.get("kernel_size") or 1
    step = given[-1] if isinstance(given, tuple) else given
    number = float(step) if isinstance(step, (int, float)) else 1.0
    return 1 / number if "transpose" in row.short_name else number


def leftover_rows(change: AxisChange) -> int:
    """Return the number of rows of the padded input that a window leaves over at the end; 0 if it divides, or for other
    steps."""
    window = window_of(change.row)
    size = next((before for axis, before, _ in change.axes if before is not None and axis > 1), None)
    return window.leftover(size, window.axes - 1) if window is not None and size is not None else 0
