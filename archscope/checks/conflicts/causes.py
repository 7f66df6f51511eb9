"""Why shapes do not fit: a conflict and the steps on its sides → its class, and the cure in words.

layout      ranks differ, axes stand in another order, a view counts other elements
batch       the batch dimension was changed
channels    a layer makes or expects another number of channels or features
stride      one side goes in larger steps than the other
off-by-one  a window without its padding, or one that rounds
source      another value was meant
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from archscope.checks.conflicts.axis_history import Change
from archscope.report.windows import window_of
from archscope.trace import Mismatch, Row, Shape

ENLARGES = ("interpolate", "pixel_shuffle", "pixel_unshuffle")
CLASSES = ("layout", "batch", "channels", "stride", "off-by-one", "source")


def cause_of(mismatch: Mismatch, shapes: Sequence[Shape], sides: Sequence[Sequence[Change]]) -> str:
    """The class of a conflict. `sides`: for each operand the steps since the fork."""
    if mismatch.kind == "view":
        return "layout"
    if mismatch.kind == "layer":
        return cause_of_layer(mismatch, shapes[0], sides)
    if is_rearranged(mismatch, shapes[:3] if mismatch.kind == "attention" else shapes):
        return "layout"
    if mismatch.kind in ("product", "attention"):
        return "channels"
    if mismatch.axes == (0,) and len(shapes[0]) > 1:
        return "batch"
    spatial = [axis for axis in mismatch.axes if axis > 1]
    windows = any(slides(change) for side in sides for change in side)
    if not spatial or (len(shapes[0]) != 4 and not windows):
        return "channels"
    if mismatch.kind == "concat" and not windows:
        return "layout"
    return "stride" if len({strides(side) for side in sides}) > 1 else "off-by-one"


def cause_of_layer(mismatch: Mismatch, shape: Shape, sides: Sequence[Sequence[Change]]) -> str:
    """A layer was told a size: a Flatten is missing, or it was flattened from another size of image, or it is wrong."""
    says = mismatch.says
    if says is None:  # it cannot take its input at all: another rank, or an image smaller than the window
        return "off-by-one" if mismatch.axes else "layout"
    if says.argument == "padding":
        return "off-by-one"
    if len(shape) > 2 and says.argument == "in_features" and (prod(shape[1:]) == says.said or says.said in shape[1:-1]):
        return "layout"
    flattened = [change for side in sides for change in side if change.row.short in ("flatten", "view", "reshape")]
    resized = [change for side in sides for change in side if change.window and change.changed]
    if flattened and resized and fits_another_image(says.said, flattened[-1]):
        return "off-by-one"
    return "channels"


def fits_another_image(said: object, flattened: Change) -> bool:
    """Whether a number of features is the channels that were flattened times a square: a map of another size."""
    source = flattened.row.inputs[0].value.shape
    if not isinstance(said, int) or len(source) < 4 or said % source[1]:
        return False
    area = said // source[1]
    return round(area**0.5) ** 2 == area


def is_rearranged(mismatch: Mismatch, shapes: Sequence[Shape]) -> bool:
    """Ranks that must be equal and are not, axes in another order, a concat along a wrong axis, a missing transpose."""
    ranks = {len(shape) for shape in shapes}
    if len(ranks) > 1:
        batched = min(ranks) > 1 and len({shape[0] for shape in shapes}) == 1  # (N, C) beside (N, C, H, W)
        return batched or mismatch.site.strict or mismatch.kind not in ("add", "multiply") or not mismatch.axes
    if mismatch.kind == "concat" and mismatch.axes == (1,) and len(shapes[0]) == 4:
        return True
    if mismatch.kind == "product" and len(shapes[0]) > 1 and shapes[0][-1] == shapes[1][-1]:
        return True
    return is_reordered(shapes)


def is_reordered(shapes: Sequence[Shape]) -> bool:
    """The same sizes in another order."""
    return len(set(shapes)) > 1 and len({tuple(sorted(shape)) for shape in shapes}) == 1


def slides(change: Change) -> bool:
    """Whether a step resizes an image: a convolution, a pool, an interpolation."""
    return "conv" in change.row.short or "pool" in change.row.short or change.row.short in ENLARGES


def strides(side: Sequence[Change]) -> float:
    """How much smaller the steps of one side make an image: the product of their strides."""
    factors = [stride(change.row) for change in side if change.window]
    return prod([*factors, *(enlarged(change) for change in side if change.row.short in ENLARGES)])


def enlarged(change: Change) -> float:
    """How much smaller an interpolation or a pixel shuffle makes an image: a fraction where it enlarges it."""
    sizes = [(before, after) for axis, before, after in change.axes if axis > 1 and before]
    return sizes[-1][0] / sizes[-1][1] if sizes and sizes[-1][0] and sizes[-1][1] else 1.0


def stride(row: Row) -> float:
    """The stride of a window along its last axis; a transposed convolution's is a fraction."""
    given = row.get("stride") or row.get("kernel_size") or 1
    step = given[-1] if isinstance(given, tuple) else given
    number = float(step) if isinstance(step, (int, float)) else 1.0
    return 1 / number if "transpose" in row.short else number


def rounds(change: Change) -> int:
    """How many rows of its padded input a window leaves over at the end; 0 where it divides, or is no window."""
    window = window_of(change.row)
    size = next((before for axis, before, _ in change.axes if before is not None and axis > 1), None)
    if window is None or window.transposed or size is None:
        return 0
    return (size + 2 * window.padding[-1] - window.reach(window.axes - 1)) % window.stride[-1]
