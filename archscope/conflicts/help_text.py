"""The help of a conflict, and the origin of its sizes, in words.

    Diagnosis → help: one sentence      explanations: lines such as `pos has 65 = 8×8 + 1`, `an input of 32×32 fits`

All of it follows from the shapes by arithmetic. Fixes that passed a trial are shown separately.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from archscope.conflicts.axis_history import AxisChange
from archscope.conflicts.axis_names import AxisLabels
from archscope.conflicts.causes import examples_in_view, has_fixed_output_size, is_size_of_other_axis, is_uneven
from archscope.conflicts.declared_arguments import axis_of_declared_size, channels_first_step, has_channels_last
from archscope.conflicts.diagnosis import Diagnosis, own_axes
from archscope.conflicts.fitting_sizes import FittingAxis, FittingSizes
from archscope.conflicts.flattened_maps import flattened_map, wanted_map
from archscope.conflicts.layer_changes import sides_with_goals, window_changes
from archscope.conflicts.size_constraints import norm_refused_operand
from archscope.conflicts.size_origins import SizeOrigin, find_size_origins
from archscope.conflicts.sizes_json import conflict_view_factors
from archscope.conflicts.uneven_windows import UnevenWindow, first_uneven_window
from archscope.conflicts.view_factors import ViewFactors, nearest_multiples, product_text
from archscope.ops.constructor_checks import nearest_divisors
from archscope.ops.windows import stride_between, window_of
from archscope.trace import SizeCondition

DIRECTION_WORDS = {"H": "high", "W": "wide", "D": "deep", "L": "long", "T": "long"}
"""Name of an axis → words for the size of an input along it."""
INPUT_SIZE_CAUSES = ("off-by-one", "spatial-size", "stride", "input-size")
"""Causes that another size of the input may resolve."""
BATCHED_AXES = {"1d": "NCL", "2d": "NCHW", "3d": "NCDHW"}
"""Suffix of a layer's name → the axes of its input with a batch."""
MAX_ARGUMENT_CHANGES = 2
"""The most layer arguments in a help."""


def axis_label(names: AxisLabels, axis: int) -> str:
    """Return `H`; `dim 2` for an axis without a name."""
    return (names[axis] if axis < len(names) else "") or f"dim {axis}"


def help_for_conflict(diagnosis: Diagnosis) -> str:
    """Return the help of a conflict; "" if it follows from another one."""
    mismatch = diagnosis.mismatch
    if diagnosis.likely:
        return ""
    if emptied := find_emptying_step(diagnosis):
        lost = ", ".join(f"{before} → {after}" for _, before, after in emptied.axes if before and not after)
        return f"{emptied.row.path or emptied.row.op} leaves nothing of it: {lost}"
    if diagnosis.cause == "kernel-size":
        return kernel_help(diagnosis)
    if diagnosis.intended_dim is not None:
        says = mismatch.wrong_argument
        target_size = f" before it gives {says.argument}={says.given}" if says is not None else " fits"
        return f"cat along dim={diagnosis.intended_dim}{target_size}"
    if mismatch.kind == "layer" and is_size_of_other_axis(mismatch, diagnosis.shapes[0], diagnosis.known_names):
        return axis_help(diagnosis)
    if has_channels_last(diagnosis):
        return f"the channels stand last: {channels_first_step(diagnosis)} before it brings them to dimension 1"
    if mismatch.site.conflict is not None and mismatch.site.conflict.help:
        return "; or ".join([*layer_input_help(diagnosis), mismatch.site.conflict.help])
    if mismatch.kind == "layer":
        return layer_help(diagnosis)
    if mismatch.kind == "view":
        follows = " where the number of windows follows the size" if "divisibility" in diagnosis.cause else ""
        fits = [f"{format_input_size(diagnosis.fit)} fits{follows}"] if diagnosis.fit is not None else []
        if examples := examples_in_view(mismatch, diagnosis.shapes[0]):
            size = prod(diagnosis.shapes[0][1:])
            return f"{examples * size} = {examples}·{size}: {examples} examples in one row; flatten(1) keeps the batch"
        divided = [factors for factors in conflict_view_factors(diagnosis) if factors.divisor]
        return "; ".join(dict.fromkeys([*(view_help(diagnosis, factors) for factors in divided), *fits]))
    if diagnosis.relation == "table" and diagnosis.cause in ("input-size", "channels"):
        return table_help(diagnosis)
    if diagnosis.relation == "positions":
        return f"{format_input_size(diagnosis.fit)} fits" if diagnosis.fit is not None else ""
    if diagnosis.cause in INPUT_SIZE_CAUSES and (said := sizes_help(diagnosis)):
        return said
    others = [diagnosis.axis_names[axis] for axis in diagnosis.mismatch.axes if diagnosis.axis_names[axis:]]
    if diagnosis.is_residual and diagnosis.cause in ("channels", "stride") and "T" not in others:
        return residual_help(diagnosis)
    return order_help(diagnosis)


# ------------------------------------------------------------ layers, views
def layer_help(diagnosis: Diagnosis) -> str:
    """Return another order of axes, another input, or the size of the input."""
    says = diagnosis.mismatch.wrong_argument
    if says is None:
        return order_help(diagnosis)
    if diagnosis.cause == "layout" and isinstance(says.given, tuple):
        return f"{says.argument} has {len(says.given)} dimensions, its input {len(diagnosis.shapes[0])}"
    if axes := axes_with_batch(diagnosis):
        shape = diagnosis.shapes[0]
        return (
            f"{shape} is read as one example {join_sizes(axes[1:])}; "
            f"with a batch it has {len(axes)} axes: {join_sizes(axes)}"
        )
    argument = f"a state of {says.needed}" if says.argument == "hx" else f"{says.argument}={says.needed}"
    fits = f"{argument} fits this input"
    if (
        prod(wanted_map(diagnosis)[1:] or (2,)) == 1
    ):  # the declared size is the channels without the map's height and width
        return f"{fits}; or pool to {join_sizes(wanted_map(diagnosis)[1:])} before it is flattened"
    return "; or ".join([*layer_input_help(diagnosis), fits])


def axes_with_batch(diagnosis: Diagnosis) -> str:
    """Return the axes `NCHW` of a convolution whose input lacks the batch axis, so that PyTorch reads it as one
    example without a batch; "" for other conflicts.
    """
    says, shape, operation = diagnosis.mismatch.wrong_argument, diagnosis.shapes[0], diagnosis.mismatch.operation
    axes = BATCHED_AXES.get(operation[-2:].lower(), "")
    short = says is not None and says.argument == "in_channels" and len(shape) == len(axes) - 1 > 1
    return axes if short and says is not None and shape[1] == says.given else ""


def layer_input_help(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield the input, and the map, that a layer after a flattened map was made for."""
    says, wanted = diagnosis.mismatch.wrong_argument, wanted_map(diagnosis)
    if diagnosis.cause == "input-size" and says is not None:
        if diagnosis.fit is not None:
            yield f"{format_input_size(diagnosis.fit)} fits {says.argument}={says.given}"
        if wanted:
            yield f"pool to {join_sizes(wanted[1:])} before it is flattened"


def find_emptying_step(diagnosis: Diagnosis) -> AxisChange | None:
    """Return the step that made the input of a layer empty; None for other conflicts."""
    empty = diagnosis.mismatch.kind == "layer" and 0 in diagnosis.shapes[0]
    steps = (change for side in diagnosis.sides for change in side if empty)
    return next((step for step in steps if any(before and not after for _, before, after in step.axes)), None)


def axis_help(diagnosis: Diagnosis) -> str:
    """Return the help for a Linear or LayerNorm that declares the size of another axis: move it last, or flatten."""
    says, shape, axis = diagnosis.mismatch.wrong_argument, diagnosis.shapes[0], axis_of_declared_size(diagnosis)
    assert says is not None
    declared = says.given[-1] if isinstance(says.given, tuple) else says.given
    if axis is None:
        return f"flatten(1) before it: {join_sizes(shape[1:])} = {declared}"
    rank = len(shape)
    order = [*(other for other in range(rank) if other != axis), axis]
    move = f"transpose(1, {rank - 1})" if rank == 3 else f"permute({', '.join(map(str, order))})"
    name = "C, axis" if axis_label(diagnosis.axis_names, axis) == "C" else "axis"
    return f"{declared} stands in {name} {axis}: {move} before it brings it last"


def kernel_help(diagnosis: Diagnosis) -> str:
    """Return the help for a window larger than its input: the least input that fits, the largest kernel."""
    fit, row, rows = diagnosis.fit, diagnosis.mismatch.row, diagnosis.index.trace.rows
    window = window_of(rows[row]) if 0 <= row < len(rows) else None
    sizes = diagnosis.shapes[0][-window.axes :] if window is not None else ()
    image = [window.largest_kernel(size, axis) for axis, size in enumerate(sizes)] if window is not None else []
    needed = window.stride if window is not None and norm_refused_operand(diagnosis.index.trace) is not None else ()
    kernel_sizes = [size - step for size, step in zip(image, needed or (0,) * len(image), strict=True)]
    largest = (
        f"a kernel of at most {join_sizes(kernel_sizes)}"
        if kernel_sizes and min(kernel_sizes) > 0
        else "a smaller kernel"
    )
    larger = f"{format_input_size(fit, least='at least ')}, or " if fit is not None else ""
    return f"{larger}{largest}, more padding, or less pooling before it"


def view_help(diagnosis: Diagnosis, factors: ViewFactors) -> str:
    """Return the numbers that divide the size."""
    near = sorted(n for n in nearest_divisors(factors.size, factors.divisor) if 1 < n < factors.size)
    others = f"{' and '.join(map(str, near))} {'do' if len(near) > 1 else 'does'}" if near else ""
    if not factors.is_window:
        sentence = ": ".join(filter(None, [f"{factors.divisor} must divide {factors.size}", others]))
        return f"{sentence}; or {prod(factors.declared)} = {product_text(factors.declared)} must stand there"
    name = axis_label(diagnosis.axis_names, factors.axis)
    below, above = (number for number in nearest_multiples(factors.size, factors.divisor))
    sentence = f"{factors.divisor} must divide {name}={factors.size}: its multiples next to it are {below} and {above}"
    return f"{sentence}; {others}" if others else sentence


# ------------------------------------------------------------ sizes
def table_help(diagnosis: Diagnosis) -> str:
    """Return the input that a table was made for; if channels differ, the two numbers that must be equal."""
    fit, axes = diagnosis.fit, diagnosis.mismatch.axes
    if diagnosis.cause == "channels" and len(axes) == 1:
        found = sorted(operand_size_origins(diagnosis, axes[0]), key=lambda origin: origin.kind == "table")
        other, table = found[0], found[-1]
        return f"the table {table.name} has {table.size} channels for {other.size}: one of the two numbers is wrong"
    return f"{format_input_size(fit)} fits the table; or resize the table" if fit is not None else "resize the table"


def has_shared_windows(diagnosis: Diagnosis) -> bool:
    """Return whether all sides go through the same layers, so that their inputs differ."""
    paths = [
        {change.row.path for change in side if change.is_resizable and change.row.path} for side in diagnosis.sides
    ]
    return len(paths) > 1 and bool(paths[0]) and all(own == paths[0] for own in paths)


def sizes_help(diagnosis: Diagnosis) -> str:
    """Return which step rounds or has a fixed size, inputs that fit, and arguments that fit."""
    fit = diagnosis.fit
    steps = [step for side in diagnosis.sides if (step := first_uneven_window(side)) is not None]
    facts = list(fixed_size_facts(diagnosis)) or list(map(format_uneven, steps))
    other = " or ".join(find_other_windows(diagnosis)) if diagnosis.cause == "off-by-one" else ""
    if diagnosis.cause == "stride" and (fit is None or not facts):
        return ""
    if fit is None and has_shared_windows(diagnosis):
        return "both sides go through the same layers: give these inputs of one size, or resize what they give"
    if not facts and fit is None and diagnosis.relation == "inputs":
        names = sorted({origin.name for _, origins in diagnosis.inputs_apart for origin in origins})
        return f"the sizes of the inputs {' and '.join(names)} do not go together"
    if not facts and fit is None and not other:
        return "give the windows of both sides the same padding and rounding"
    near = []
    if fit is not None:
        fits = diagnosis.fits if diagnosis.relation == "inputs" else diagnosis.fits[:1]
        near.append(f"{' or '.join(map(format_input_size, fits))} fits")
    if other:
        near.append(f"{other} makes both of one size")
    return ": ".join(
        filter(None, [" and ".join(facts[:MAX_ARGUMENT_CHANGES]), "; or ".join(near) or "pad or crop one side"])
    )


def format_uneven(found: UnevenWindow) -> str:
    """Return `pool rounds 15/2 down to 7`, `conv makes 101 of 100 (kernel 2, padding 1)`, `getitem crops 36 to 33:
    …`.
    """
    before, after, stride, row = found.before, found.after, found.stride, found.change.row
    who = row.path or row.op
    if found.crop is not None and found.surplus > 0:
        crop = found.crop.row
        where = f" in line {crop.place.line}" if crop.place is not None else f" {crop.path}".rstrip()
        return f"the crop{where} takes {found.cut} of the {found.surplus} that {who} adds"
    if found.rounds:
        return f"{who} rounds {before}/{stride} {'up' if after * stride > before else 'down'} to {after}"
    window = window_of(row)
    assert window is not None
    numbers = (
        ("kernel", window.kernel),
        ("stride", window.stride),
        ("padding", window.padding),
        ("dilation", window.dilation),
    )
    arguments = [f"{name} {sizes[-1]}" for name, sizes in numbers if name in ("kernel", "padding") or sizes[-1] > 1]
    return f"{who} makes {after} of {before} ({', '.join(arguments)})"


def fixed_size_facts(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield `soft.up gives 14×14 whatever it gets` for each step whose output size is written in the source."""
    for change in (change for side in diagnosis.sides for change in side if has_fixed_output_size(change)):
        sizes = [after for _, _, after in change.axes]
        yield f"{change.row.path or change.row.op} gives {join_sizes(sizes)} whatever it gets"


def find_other_windows(diagnosis: Diagnosis) -> list[str]:
    """Return `ceil_mode=True in pool`: arguments of one layer with which the sides have equal sizes, the nearest
    layer first.
    """
    found: dict[str, str] = {}
    at_fault = {change.row.path for side in diagnosis.sides for change in side if is_uneven(change)}
    trace, cause = diagnosis.index.trace, diagnosis.cause
    changes = [
        change for side in sides_with_goals(diagnosis) for change in window_changes(side, trace, lambda _: {}, cause)
    ]
    for change in sorted(changes, key=lambda change: (change.path not in at_fault, not change.likely, change.distance)):
        rounds = {"ceil_mode", "output_padding"} & change.arguments.keys()
        if (change.likely or rounds) and change.distance >= 0 and "out_channels" not in change.arguments:
            found.setdefault(change.path, str(change))
    return [text for path, text in found.items() if path in at_fault or not at_fault & found.keys()][
        :MAX_ARGUMENT_CHANGES
    ]


def format_input_size(fit: FittingSizes, *, least: str = "") -> str:
    """Return `an input of 224×224`, `an input 28 or 32 high and wide (multiples of 4)`, `an input at least 64 high`."""
    which = f"an input {fit.input}" if fit.is_one_of_several else "an input"
    if fit.whole:
        return (
            f"{which} of {least}{join_sizes(fit.whole)}" if len(fit.axes) > 1 else f"{which} {least}{fit.whole[0]} long"
        )
    alike: dict[tuple[object, ...], list[FittingAxis]] = {}
    for axis in fit.changed:
        alike.setdefault((axis.sizes, axis.step), []).append(axis)
    return f"{which} {least}" + " and ".join(map(format_directions, alike.values())) + format_multiples(fit)


def format_multiples(fit: FittingSizes) -> str:
    """Return ` (multiples of 4)`, or ` (as any multiple of 32)` if other sizes fit as well."""
    steps = {axis.step for axis in fit.changed}
    if len(steps) != 1 or 0 in steps:
        return ""
    step = steps.pop()
    alone = all(size % step == 0 for axis in fit.changed for size in axis.sizes)
    return f" (multiples of {step})" if alone else f" (as any multiple of {step})"


def format_directions(axes: Sequence[FittingAxis]) -> str:
    """Return `28 or 32 high and wide`."""
    words = [DIRECTION_WORDS[axis.name] for axis in axes]
    joined = " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
    return f"{' or '.join(map(str, axes[0].sizes))} {joined}"


def join_sizes(sizes: Sequence[int] | str, sign: str = "×") -> str:
    return sign.join(map(str, sizes))


def format_condition(condition: SizeCondition) -> str:
    """Return the condition of a size in the model's code: `maps.size(2) is 3, not 1`."""
    size = condition.operand.value.shape[condition.axis]
    wanted = f"a multiple of {condition.divisor}" if condition.divisor else condition.equals
    where = f"axis {condition.axis} of {condition.operand.source} {condition.operand.value.shape}"
    return f"{condition.text} is {size}, not {wanted}: {where}"


# ------------------------------------------------------------ values that meet
def residual_help(diagnosis: Diagnosis) -> str:
    """Return the help to project the shortcut; another one if no stride of a projection gives the size of main."""
    main, shortcut = diagnosis.shapes[:2]
    if len(main) == len(shortcut) > 2 and not stride_between(main, shortcut):
        return "bring main and shortcut to one size: no stride of a projection makes the one of the other"
    return "project the shortcut so that it changes channels and size the way main does"


def order_help(diagnosis: Diagnosis) -> str:
    """Return the help to use one order of axes, or one shape."""
    mismatch, cause = diagnosis.mismatch, diagnosis.cause
    if mismatch.kind == "attention":
        mask = "give the mask the sizes of the scores (…, L, S), or 1 where it is the same for all"
        return "" if mismatch.axes else mask
    if cause == "layout" and mismatch.kind == "concat":
        return "join them along the dimension in which they differ, or bring them to one rank"
    if cause == "layout" and mismatch.kind == "product":
        left, right = diagnosis.shapes[-2:]
        fits = len(right) > 1 and left[-1] == right[-1]
        return "transpose the right operand: (…, n, k) @ (…, k, m)" if fits else ""
    if cause == "layout":
        return "bring the operands to one order of dimensions: permute, flatten or unsqueeze one of them"
    return "bring the operands to one shape; residual and add do not broadcast" * mismatch.site.strict


# ------------------------------------------------------------ where sizes come from
def explain_sizes(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield the given and the declared size of a Linear after a flattened map, and the sizes of tables and maps."""
    image, says = flattened_map(diagnosis), diagnosis.mismatch.wrong_argument
    if image is not None and says is not None:
        yield f"it gets    {join_sizes(image)} = {says.needed}"
        if wanted := wanted_map(diagnosis):
            yield f"it expects {join_sizes(wanted)} = {says.given}"
    if diagnosis.relation in ("table", "positions"):
        yield from dict.fromkeys(size_origin_lines(diagnosis))
    for axis, origins in diagnosis.inputs_apart:
        where = axis_label(diagnosis.axis_names, axis)
        for operand, origin in zip(diagnosis.operands, origins, strict=True):
            yield f"{operand.source} has {origin} in {where}, from the input {origin.name}"


def size_origin_lines(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield `pos: 196 = 14×14`, `matmul: 4 = 2×2` for every axis that differs."""
    for axis in diagnosis.mismatch.axes:
        where = f" in {axis_label(diagnosis.axis_names, axis)}" if diagnosis.relation == "table" else ""
        for operand, origin in zip(diagnosis.operands, operand_size_origins(diagnosis, axis), strict=False):
            who = f"the table {origin.name}".rstrip() if origin.kind == "table" else operand.source
            yield f"{who} has {origin}{where}"


def operand_size_origins(diagnosis: Diagnosis, axis: int) -> list[SizeOrigin]:
    """Return the origin of each operand's size on an axis."""
    own = [(op, at) for op in diagnosis.operands for at in own_axes(op, [axis], diagnosis.mismatch)]
    return find_size_origins(diagnosis.index, own)
