"""Proposals for the arguments of steps on the path: their stride, padding, kernel, channels.

step on the path → values with which its side gets the other's size, also as its neighbours write them → edits
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

from archscope.conflicts.axis_history import AxisChange
from archscope.conflicts.causes import DIVISOR_ARGUMENTS
from archscope.conflicts.operand_relations import centred_arguments
from archscope.conflicts.size_model import RESAMPLING_OPS, resize_rule
from archscope.fixes.proposals.conflict_case import ConflictCase, Proposal, Spot, enclosing_block, enclosing_expressions
from archscope.ops.windows import Window, window_of
from archscope.spec.editable_spec import CallSite, EditableSpec, TextEdit
from archscope.trace import Row

OUTPUT_SIZE_ARGUMENTS = (
    "out_channels",
    "out_features",
    "embedding_dim",
    "hidden_size",
    "num_features",
    "normalized_shape",
)
FLATTENING_OPS = ("flatten", "view", "reshape", "cat")
NEW_ARGUMENT_NAMES = {"kernel_size": "kernel", "num_heads": "heads", "out_channels": "out", "out_features": "out"}
"""The name of a block's new argument, if it differs from the layer's."""
ARGUMENT_DEFAULTS = {"stride": "1", "padding": "0"}
"""The defaults of layers' arguments."""


def propose_paddings(case: ConflictCase) -> Iterator[Proposal]:
    yield from propose_argument_values(case, ("padding",))


def propose_all_paddings(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the padding that keeps the size for every window of stride 1 on the path without it, in one change."""
    changes = (change for side in case.diagnosis.sides for change in side if lacks_same_padding(change))
    lacking = {change.row.place: change.row for change in changes}
    spots = [spot for row in lacking.values() if (spot := case.spot(row.place)) is not None]
    if len(lacking) < 2 or len(spots) < len(lacking) or len({spot.span.file for spot in spots}) > 1:
        return
    pieces = [padding_edit(case, spot, row) for spot, row in zip(spots, lacking.values(), strict=True)]
    if None not in pieces:
        text = spots[0].page.apply_edits([piece for piece in pieces if piece is not None])
        yield from spots[0].proposal(f"padding in {' and '.join(row.path for row in lacking.values())}", text)


def propose_before_fork(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the padding or kernel of a window before both sides that gives a size that can be halved."""
    rounded = case.diagnosis.rounded
    if rounded is not None:
        for name, value in centred_arguments(rounded.row):
            yield from propose_settings(case, rounded.row, name, str(value))


def padding_edit(case: ConflictCase, spot: Spot, row: Row) -> TextEdit | None:
    """Return the edit that gives the first call at a place the padding that keeps the size."""
    window, calls = window_of(row), case.calls(spot)
    return (
        spot.page.piece(calls[0], "padding", str(window.effective_kernel(0) // 2))
        if window is not None and calls
        else None
    )


def lacks_same_padding(change: AxisChange) -> bool:
    """Return whether a window of stride 1 has less padding than half of its kernel."""
    window = window_of(change.row)
    if window is None or window.transposed or set(window.stride) != {1} or not window.effective_kernel(0) % 2:
        return False
    return window.padding[0] < window.effective_kernel(0) // 2


def propose_roundings(case: ConflictCase) -> Iterator[Proposal]:
    """Propose another rounding: `ceil_mode` left out or set, another output padding."""
    for _, change in walk_changes(case):
        spot = case.spot(change.row.place)
        for call in case.calls(spot) if spot is not None else ():
            if spot is not None and "ceil_mode" in call.arguments:
                words = f"leave ceil_mode out in {change.row.path}"
                yield from spot.proposal(words, spot.page.without_argument(call, "ceil_mode"))
    yield from propose_argument_values(case, ("output_padding", "ceil_mode"))


def propose_strides(case: ConflictCase) -> Iterator[Proposal]:
    yield from propose_argument_values(case, ("stride",))


def propose_at_uses(case: ConflictCase) -> Iterator[Proposal]:
    """Propose another argument at the use of a block whose other uses fit: a mistake there is likelier than inside."""
    row = case.row
    uses = case.uses(row)[:1]
    others = [
        call.site.path for call in case.diagnosis.index.trace.calls if uses and call.site.name == uses[0].site.name
    ]
    paths = (case.mismatch.site.path, *case.diagnosis.also)
    if row is None or all(any(path.startswith(f"{use}.") for path in paths) for use in others):
        return
    for side, change in walk_changes(case):
        for name in (*OUTPUT_SIZE_ARGUMENTS, "stride", "padding"):
            for value in argument_values(case, side, change, name):
                yield from propose_setting_at_use(case, change.row, name, value)


def propose_setting_at_use(case: ConflictCase, row: Row, name: str, value: str) -> Iterator[Proposal]:
    """Propose another value for an argument of a row's layer that is a name, at the use of the block."""
    spot = case.spot(row.place)
    for call in case.calls(spot) if spot is not None else ():
        given = call.arguments.get(name)
        if given is not None and given.text.isidentifier() and value.isdigit():
            yield from propose_use_argument(case, row, given.text, value)


def propose_kernels(case: ConflictCase) -> Iterator[Proposal]:
    yield from propose_argument_values(case, ("kernel_size",))
    yield from propose_smaller_kernels(case)


def propose_output_sizes(case: ConflictCase) -> Iterator[Proposal]:
    yield from propose_argument_values(case, OUTPUT_SIZE_ARGUMENTS)


def propose_argument_values(case: ConflictCase, names: Sequence[str]) -> Iterator[Proposal]:
    """Propose other values of these arguments in the steps on the path."""
    for side, change in walk_changes(case):
        for name in names:
            for value in argument_values(case, side, change, name):
                yield from propose_settings(case, change.row, name, value)


def walk_changes(case: ConflictCase) -> list[tuple[int, AxisChange]]:
    """Return the steps of all sides: those that changed something first; for a residual, those of the projection
    first."""
    both = [(number, change) for number, side in enumerate(case.diagnosis.sides) for change in side]
    main = 0 if case.diagnosis.is_residual else -1
    return sorted(both, key=lambda pair: (pair[0] == main, not pair[1].changed, not pair[1].is_resizable))


# ------------------------------------------------------------ values
def argument_values(case: ConflictCase, side: int, change: AxisChange, name: str) -> Iterator[str]:
    """Yield other values of an argument: by arithmetic, or as its neighbours write them. A stride after an upsampling
    would undo that."""
    window = window_of(change.row)
    before = (step.row for step in case.diagnosis.sides[side] if step.row.index < change.row.index)
    if name == "stride" and any(row.short_name in RESAMPLING_OPS for row in before):
        return
    spot = case.spot(change.row.place)
    for text in sibling_texts_at(case, spot, name) if spot is not None else ():  # names before numbers
        slides = window is not None and name not in OUTPUT_SIZE_ARGUMENTS and text.isdecimal()
        trial = window_with_argument(window, name, int(text)) if window is not None and slides else None
        if not slides or (trial is not None and ends_at_wanted_size(case, side, change, trial)):
            yield text
    if name in OUTPUT_SIZE_ARGUMENTS:
        yield from (str(size) for size in wanted_channels(case, side, change))
    elif window is not None:
        for text, size in values_in_own_terms(case, change.row, window, name):
            trial = window_with_argument(window, name, size)
            if trial is not None and trial != window and ends_at_wanted_size(case, side, change, trial):
                yield text
        yield from fitting_values(case, side, change, window, name)


def values_in_own_terms(case: ConflictCase, row: Row, window: Window, name: str) -> Iterator[tuple[str, int]]:
    """Yield an argument in terms of another of the same call, and its size: `padding=kernel // 2`, a stride as long as
    the kernel."""
    spot = case.spot(row.place)
    for call in case.calls(spot) if spot is not None else ():
        given = {word: argument.text for word, argument in call.arguments.items() if not argument.text.isdigit()}
        if name == "padding" and "dilation" in given:
            yield given["dilation"], window.dilation[0]
        if name == "padding" and "kernel_size" in given:
            yield f"{given['kernel_size']} // 2", window.kernel[0] // 2
        if name == "stride" and "kernel_size" in given:
            yield given["kernel_size"], window.kernel[0]
        if name == "kernel_size" and "stride" in given and "pool" in row.short_name:
            yield given["stride"], window.stride[0]


def wanted_channels(case: ConflictCase, side: int, change: AxisChange) -> Iterator[int]:
    """Yield channels with which the side has the missing size: as the others have, or as the layer states."""
    wrong, shapes = case.mismatch.wrong_argument, case.diagnosis.shapes
    window = window_of(change.row)
    own = len(change.shape) - (window.axes if window is not None else 0) - 1  # the axis that the layer sets
    for axis, _, now in change.axes:
        if axis != own:
            continue
        back = axis - len(shapes[side])  # sizes are compared from the right
        goals = [shape[back] for other, shape in enumerate(shapes) if other != side and -back <= len(shape)]
        size_now = shapes[side][axis] if axis < len(shapes[side]) else now
        yield from (size for size in dict.fromkeys([*goals, *(now + goal - size_now for goal in goals)]) if size > 0)
    sized = wrong is not None and wrong.argument not in DIVISOR_ARGUMENTS
    if wrong is not None and sized and isinstance(wrong.given, int) and isinstance(wrong.needed, int):
        missing, area = wrong.given - wrong.needed, flattened_area(case)
        now = change.axes[0][2]
        yield from (size for size in (wrong.given, now + missing // area) if size > 0)


def flattened_area(case: ConflictCase) -> int:
    """Return the number of features per channel where the image was flattened; 1 if it was not."""
    rows = [
        change.row for side in case.diagnosis.sides for change in side if change.row.short_name in FLATTENING_OPS[:3]
    ]
    return prod(rows[-1].inputs[0].value.shape[2:]) or 1 if rows else 1


def fitting_values(case: ConflictCase, side: int, change: AxisChange, window: Window, name: str) -> Iterator[str]:
    """Yield values of one argument of a window with which its side ends at a size of the other side."""
    kernel, stride = window.kernel[0], window.stride[0]
    kernels = [2 * window.padding[0] + 1, kernel + 1, kernel - 1, kernel + 2, kernel - 2]
    centred = kernel % 2 and not window.padding[0] and not window.transposed  # an even one would shift the map
    half, least = (
        window.effective_kernel(0) // 2,
        max(stride, 2 if "pool" in change.row.short_name else 1),
    )  # a pool of 1 does nothing
    options = {
        "padding": [half, *range(half)],
        "stride": [1, 2, 4],
        "kernel_size": [size for size in kernels if size >= least and (size % 2 or not centred)],
        "output_padding": [1, 0],
        "ceil_mode": [1],
    }
    for option in dict.fromkeys(options[name]):
        trial = window_with_argument(window, name, option)
        if trial is not None and trial != window and ends_at_wanted_size(case, side, change, trial):
            yield "true" if name == "ceil_mode" else str(option)


def window_with_argument(window: Window, name: str, value: int) -> Window | None:
    """Return the window with one argument changed; None if it has no such argument, or torch rejects it."""
    if name == "ceil_mode":
        return None if window.transposed else replace(window, ceil=True)
    if name == "output_padding" and not window.transposed:
        return None
    every = (value,) * window.axes
    changed = {"kernel_size": {"kernel": every}, "output_padding": {"extra": every}}.get(name, {name: every})
    trial = replace(window, **changed)  # type: ignore[arg-type]  # the fields of these names are tuples
    return trial if trial.is_accepted else None


def ends_at_wanted_size(case: ConflictCase, side: int, change: AxisChange, trial: Window) -> bool:
    """Return whether the side ends at the wanted size with this window; True if that cannot be computed."""
    goals = wanted_sizes(case, side)
    if goals and len(case.diagnosis.shapes[side]) != 4 and case.mismatch.wrong_argument is None:
        return True
    size = case.diagnosis.index.activations(change.row)[0].value.shape[-1]
    for step in (step for step in case.diagnosis.sides[side] if step.row.index >= change.row.index):
        window = trial if step is change else window_of(step.row)
        if window is not None:
            size = window.size(size, window.axes - 1)
        elif step.row.short_name in RESAMPLING_OPS:
            resize = resize_rule(step.row, step.row.inputs[0].value.shape[-1], step.shape[-1], 1)
            size = resize(size) if resize is not None else size
        elif step.row.short_name not in FLATTENING_OPS:
            return True
    return not goals or size in goals


def wanted_sizes(case: ConflictCase, side: int) -> set[int]:
    """Return the widths of the other sides, or that give a layer the features it states; empty if unknown."""
    wrong = case.mismatch.wrong_argument
    others = {shape[-1] for other, shape in enumerate(case.diagnosis.shapes) if other != side}
    if others and case.mismatch.kind in ("multiply", "add") and not case.mismatch.site.strict:
        others.add(1)  # it may be meant to broadcast
    if others or wrong is None or not isinstance(wrong.given, int) or not isinstance(wrong.needed, int):
        return others
    per_area, rest = divmod(wrong.needed, flattened_area(case))
    width = round((wrong.given / per_area) ** 0.5) if per_area and not rest else 0
    return {width} if width and width * width * per_area == wrong.given else set()


def sibling_texts_at(case: ConflictCase, spot: Spot, name: str) -> Iterator[str]:
    """Yield the same argument in other steps of the block if it is no plain number, and parts of its own expression."""
    given = [call.arguments[name].text for call in case.calls(spot) if name in call.arguments]
    own = given[0] if given else ""
    for part in enclosing_expressions(spot):
        for call in case.calls(Spot(spot.page, replace(part.span, file=spot.span.file))):
            other = call.arguments.get(name)
            if other is not None and other.text != own and not other.text.isdigit():
                yield other.text
    yield from expression_parts(own) if name in OUTPUT_SIZE_ARGUMENTS else ()


def expression_parts(text: str) -> Iterator[str]:
    """Yield the parts of an expression: `channels` of `channels * 2`."""
    tree = ast.parse(text, mode="eval").body if text else None
    if isinstance(tree, ast.BinOp):
        yield from (ast.unparse(part) for part in (tree.left, tree.right))


# ------------------------------------------------------------ a window that is too large
def propose_smaller_kernels(case: ConflictCase) -> Iterator[Proposal]:
    """Propose a kernel that fits, or padding, if the layer rejects its input."""
    spot = case.site
    if (
        spot is None
        or case.mismatch.kind != "layer"
        or case.mismatch.wrong_argument is not None
        or not case.mismatch.axes
    ):
        return
    smallest = min(case.diagnosis.shapes[0][2:], default=0)
    for call in case.calls(spot):
        for name, options in (("kernel_size", (3, 2, 1, smallest)), ("padding", (1, 2, 3))):
            for value in options if case.has_argument(call.name, name) else ():
                text = spot.page.with_argument(call, name, str(value))
                yield from spot.proposal(f"{name}={value} in {case.mismatch.site.path}", text)


# ------------------------------------------------------------ edits
def propose_settings(case: ConflictCase, row: Row, name: str, value: str) -> Iterator[Proposal]:
    """Propose another value for one argument of a row's layer: in its step; if it is a name, also at the block's
    use."""
    spot = case.spot(row.place)
    for call in case.calls(spot) if spot is not None else ():
        if spot is None or not case.has_argument(call.name, name):
            continue
        given = call.arguments.get(name)
        if given is not None and given.text.isidentifier() and value.isdigit():
            at_use = list(propose_use_argument(case, row, given.text, value))
            yield from at_use
            block = enclosing_block(spot)
            if at_use and block is not None and count_calls(spot.page, block.name) > 1:
                continue  # a number instead of a name would apply to every use
        elif value.isdigit():
            yield from propose_new_argument(case, row, spot, call, name, value)
        yield from spot.proposal(f"{name}={value} in {row.path}", spot.page.with_argument(call, name, value))


def propose_new_argument(
    case: ConflictCase, row: Row, spot: Spot, call: CallSite, name: str, value: str
) -> Iterator[Proposal]:
    """Propose a new argument for a block that several places use, with its present value as default and another one
    here."""
    uses, block = case.uses(row), enclosing_block(spot)
    use_spot = case.spot(uses[0].site.place) if uses else None
    if block is None or use_spot is None or use_spot.page is not spot.page or block.name != uses[0].site.name:
        return
    given, argument = call.arguments.get(name), NEW_ARGUMENT_NAMES.get(name, name)
    if argument in (a.name for a in block.arguments) or count_calls(spot.page, block.name) < 2:
        return
    header = spot.page.new_argument_edit(
        block, f"{argument}={given.text if given is not None else ARGUMENT_DEFAULTS.get(name)}"
    )
    inside = spot.page.piece(call, name, argument)
    used = [
        spot.page.piece(use_call, argument, value) for use_call in case.calls(use_spot) if use_call.name == block.name
    ]
    known = given is not None or name in ARGUMENT_DEFAULTS
    if known and header is not None and inside is not None and used and used[0] is not None:
        words = f"a new argument {argument} of {block.name}, {argument}={value} in {uses[0].site.path}"
        found = spot.proposal(words, spot.page.apply_edits([header, inside, used[0]]))
        yield from (replace(proposal, several=True) for proposal in found)


def count_calls(page: EditableSpec, name: str) -> int:
    """Return the number of calls of a block in a file."""
    return len(re.findall(rf"(?<![\w.]){name}\b", page.text)) - 1


def propose_use_argument(case: ConflictCase, row: Row, argument: str, value: str) -> Iterator[Proposal]:
    """Propose another value for the block's argument where the block is used, and for the param of that name."""
    for use in case.uses(row)[:1]:
        spot = case.spot(use.site.place)
        for call in case.calls(spot) if spot is not None else ():
            if spot is not None and call.name == use.site.name and case.has_argument(call.name, argument):
                text = spot.page.with_argument(call, argument, value)
                yield from spot.proposal(f"{argument}={value} in {use.site.path}", text)
    for file, page in case.pages.items():
        for setting in (part for part in page.spec.params if part.name == argument):
            found = page.data(setting.value)
            if found is not None:
                text = page.cut(found.start, found.end, value)
                yield from Spot(page, replace(setting.span, file=file)).proposal(f"{argument}: {value}", text)
