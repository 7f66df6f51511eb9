"""Other batch and image sizes that a net should fit as well, and findings of runs at these sizes.

Report → doubled_batches(…), other_image_sizes(…) → shapes of all inputs
Report, Report at other sizes → findings: conflicts there, and views that lose the batch or transpose an image
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

from archscope.ops.norms import CHANNEL_NORMS
from archscope.report import Finding, Report
from archscope.spec.tensor_calls import RESHAPE_FUNCTIONS
from archscope.trace import Row, Shape, Trace

ONE_BATCH, SQUARE_ONLY = "one-batch", "square-only"
WINDOW_OPS = re.compile(r"(?:conv|conv_transpose|(?:max|avg|lp|adaptive_avg|adaptive_max|fractional_max)_pool)([123])d")
RECURRENT_OPS = frozenset(["lstm", "gru", "rnn_tanh", "rnn_relu"])
TRANSPOSE_OPS = frozenset(["transpose", "swapaxes", "swapdims"])
MAX_BATCH_GUESSES = 8
"""The number of ways tried in which several inputs may contain the batch."""


@dataclass
class InputAxes:
    """The meaning of an input's axes. batch: None if unknown. is_single: True if it is one example without a batch."""

    shape: Shape
    batch: int | None = None
    spatial: tuple[int, ...] = ()
    is_single: bool = False

    @property
    def equal_axes(self) -> tuple[int, ...]:
        """The spatial axes of equal size."""
        sizes = [self.shape[axis] for axis in self.spatial]
        return tuple(axis for axis in self.spatial if self.shape[axis] > 1 and sizes.count(self.shape[axis]) > 1)


# ------------------------------------------------------------ axes of inputs
def input_axes(trace: Trace) -> list[InputAxes]:
    """Return the axes of each input, according to the first layers that read it."""
    found = [InputAxes(operand.value.shape) for operand in trace.inputs]
    known: dict[int, tuple[InputAxes, tuple[int, ...]]] = {
        operand.value.id: (axes, tuple(range(len(axes.shape))))
        for operand, axes in zip(trace.inputs, found, strict=True)
    }
    for row in trace.rows:
        read = known.get(row.inputs[0].value.id) if row.inputs else None
        if read is not None:
            axes, order = read
            note_axes(axes, order, row)
            if (after := axis_order_after(order, row)) is not None:
                known[row.outputs[0].id] = axes, after
    return found


def note_axes(axes: InputAxes, order: tuple[int, ...], row: Row) -> None:
    """Add to `axes` what a row that reads the input says about it. order: for each axis of the value, the axis of the
    input."""
    name, rank = row.short_name.removesuffix("_"), len(order)
    window = WINDOW_OPS.fullmatch(name)
    if window is not None:
        axes.is_single |= rank == int(window[1]) + 1
        if rank == int(window[1]) + 2:
            axes.batch, axes.spatial = order[0], axes.spatial or order[2:]
    elif name in CHANNEL_NORMS or (name == "linear" and rank == 2):
        axes.batch = order[0]
    elif name in RECURRENT_OPS:
        axes.is_single |= rank == 2
        shape, state = row.inputs[0].value.shape, row.inputs[1].value.shape
        is_padded = rank == 3 and len(state) > 1  # a packed sequence has none of these axes
        sides = [axis for axis in (0, 1) if is_padded and shape[axis] == state[-2]]
        axes.batch = order[sides[0]] if len(sides) == 1 else axes.batch


def axis_order_after(order: tuple[int, ...], row: Row) -> tuple[int, ...] | None:
    """Return for each axis of a row's output the axis of the input that it is; None if unknown."""
    name, rank = row.short_name.removesuffix("_"), len(order)
    if name == "permute":
        dims = row.get("dims")
        return tuple(order[int(dim)] for dim in dims) if isinstance(dims, tuple) else None
    if name in TRANSPOSE_OPS:
        dim0, dim1 = row.get("dim0"), row.get("dim1")
        if not isinstance(dim0, int) or not isinstance(dim1, int):
            return None
        turned = list(order)
        turned[dim0 % rank], turned[dim1 % rank] = order[dim1 % rank], order[dim0 % rank]
        return tuple(turned)
    same = len(row.outputs) == 1 and row.outputs[0].shape == row.inputs[0].value.shape
    return order if same and name not in RESHAPE_FUNCTIONS else None


# ------------------------------------------------------------ other sizes
def doubled_batches(trace: Trace, given: int | None) -> tuple[int, list[tuple[Shape, ...]]]:
    """Return twice the batch, and the shapes of all inputs with it, the likeliest first; (0, []) if no input shows a
    batch.

    given: the batch size that the user set; then the first shape begins with it.
    """
    axes = input_axes(trace)
    main = next((candidate for candidate in axes if is_batched(candidate, given)), None)
    if main is None or any(candidate.is_single for candidate in axes):
        return 0, []
    batch = main.shape[main.batch or 0]
    choices: dict[tuple[Shape, int | None], list[int | None]] = {}
    for candidate in (main, *axes):  # inputs of one shape have the same batch axis
        choices.setdefault((candidate.shape, candidate.batch), possible_batch_axes(candidate, main, batch))
    found = []
    for guess in islice(product(*choices.values()), MAX_BATCH_GUESSES):
        axis_of = dict(zip(choices, guess, strict=True))
        shapes = []
        for candidate in axes:
            along = axis_of[candidate.shape, candidate.batch]
            shapes.append(double_axes(candidate.shape, () if along is None else (along,)))
        found.append(tuple(shapes))
    return 2 * batch, found


def is_batched(axes: InputAxes, given: int | None) -> bool:
    """Return whether an input has a batch: according to a layer or the user, or by convention if the first axis has
    size 1."""
    known = axes.batch is not None or (given is not None and axes.shape[:1] == (given,))
    return known or (len(axes.shape) > 1 and axes.shape[0] == 1)


def possible_batch_axes(axes: InputAxes, main: InputAxes, batch: int) -> list[int | None]:
    """Return the axes of an input that may be the batch, the likeliest first; None stands for no batch."""
    if axes is main:
        return [axes.batch or 0]
    certain = axes.batch is not None and axes.shape[axes.batch] == batch
    likely = [axis for axis in (0, 1) if len(axes.shape) > axis and axes.shape[axis] == batch]
    first = [axes.batch] if certain else likely[:1] if likely[:1] == [0] else []
    return list(dict.fromkeys([*first, None, *likely]))


def double_axes(shape: Shape, axes: Sequence[int]) -> Shape:
    return tuple(2 * size if axis in axes else size for axis, size in enumerate(shape))


@dataclass(frozen=True)
class OtherImageSizes:
    """Shapes of all inputs at another square size, and at sizes with one axis larger, each with a text."""

    square: tuple[Shape, ...]
    others: tuple[tuple[str, tuple[Shape, ...]], ...]


def other_image_sizes(trace: Trace) -> OtherImageSizes | None:
    """Return the other sizes of images and volumes; None if no input has equal spatial axes."""
    axes = input_axes(trace)
    image = next((candidate for candidate in axes if candidate.equal_axes), None)
    if image is None or any(candidate.is_single for candidate in axes):
        return None
    others = []
    for back in range(1, len(image.equal_axes)):
        shapes = tuple(double_axes(candidate.shape, candidate.equal_axes[-back:][:1]) for candidate in axes)
        sizes = next(shape for candidate, shape in zip(axes, shapes, strict=True) if candidate is image)
        others.append(("×".join(str(sizes[axis]) for axis in image.spatial), shapes))
    return OtherImageSizes(
        tuple(double_axes(candidate.shape, candidate.equal_axes) for candidate in axes), tuple(others)
    )


# ------------------------------------------------------------ findings
RULE_HELPS: Mapping[str, str] = {
    ONE_BATCH: "take the batch from the input's shape, and keep its examples apart",
    SQUARE_ONLY: "take height and width from the input's shape, separately",
}


def as_size_warnings(findings: Sequence[Finding], rule: str, where: str) -> Iterator[Finding]:
    """Yield the errors of a run at other sizes as warnings of the net, except likely consequences of others."""
    for finding in findings:
        # for a table, an axis of its length was mistaken for the batch
        table = getattr(finding.diagnosis, "relation", "") == "table"
        if finding.level == "error" and not (finding.likely or table) and not finding.rule.startswith("expect-"):
            message = f"at {where}: {finding.message}"
            help = finding.help if finding.rule == "spec" and finding.help else RULE_HELPS[rule]
            fixes = tuple(replace(fix, macs=None) for fix in finding.fixes)  # the MACs are those of another batch
            yield replace(
                finding, rule=rule, level="warning", message=message, help=help, cause=finding.rule, fixes=fixes
            )


def lost_batch(before: Report, after: Report, batch: int, other: int) -> Iterator[Finding]:
    """Yield the view that loses the batch, in a net that runs at both sizes but whose outputs do not scale with it."""
    outputs = [[operand.value.shape for operand in report.trace.outputs] for report in (before, after)]
    if shapes_follow_batch(outputs[0], outputs[1], batch, other):
        return
    for row, new in reversed(list(paired_rows(before, after))):
        was, now = (side.inputs[0].value.shape for side in (row, new))
        out, changed = row.outputs[0].shape, new.outputs[0].shape
        if (was[:1], now[:1]) != ((batch,), (other,)):
            continue
        merges = row.short_name in RESHAPE_FUNCTIONS and out[:1] == changed[:1] == (batch,)
        drops = row.short_name == "squeeze" and batch == 1 and len(out) < len(changed)
        if merges:
            fact = (
                f"at a batch of {other}: {row.short_name} of {now} "
                f"gives {changed}, whose first size is no longer the batch"
            )
            yield size_warning(row, ONE_BATCH, fact)
        if drops:
            fact = f"at a batch of {batch}: {row.short_name} of {was} gives {out}, and at a batch of {other} {changed}"
            yield replace(size_warning(row, ONE_BATCH, fact), help="name the axes to remove: squeeze(dim)")
        return  # the last row with a batch loses it; a row that is not a view may do so on purpose


def shapes_follow_batch(before: Sequence[Shape], after: Sequence[Shape], batch: int, other: int) -> bool:
    """Return whether an output's first size is the batch in both runs, or no output can show it."""
    both = list(zip(before, after, strict=False))
    if len(before) != len(after) or any(old[:1] == (batch,) and new[:1] == (other,) for old, new in both):
        return True
    return all(len(old) == len(new) and (len(old) < 2 or old[:1] != (batch,)) for old, new in both)


def transposed_image(before: Report, after: Report, where: str) -> Iterator[Finding]:
    """Yield the view that swaps height and width of an image: the first step with a transposed output, if the net's
    output is transposed too."""
    ends = zip(before.trace.outputs, after.trace.outputs, strict=False)
    if not any(is_transposed(old.value.shape, new.value.shape) for old, new in ends):
        return
    for row, new in paired_rows(before, after):
        out, changed, now = row.outputs[0].shape, new.outputs[0].shape, new.inputs[0].value.shape
        if not is_transposed(out, changed):
            continue
        if row.short_name in RESHAPE_FUNCTIONS and len(changed) == 4 and now == (*changed[:2], changed[2] * changed[3]):
            message = f"at {where}: {row.short_name} of {now} gives {changed}, which takes the width for the height"
            yield size_warning(row, SQUARE_ONLY, message)
        return


def is_transposed(out: Shape, changed: Shape) -> bool:
    """Return whether the last two axes, equal in a square run, are twice as high as wide where images are wider."""
    square = len(out) > 2 and out[-1] == out[-2] > 1
    return square and changed[-2:] == (2 * out[-2], out[-1])


def paired_rows(before: Report, after: Report) -> Iterator[tuple[Row, Row]]:
    """Yield the rows of two runs that depend on the inputs, in pairs; nothing if the runs called different
    functions."""
    old, new = before.trace.rows, after.trace.rows
    if [row.function for row in old] != [row.function for row in new]:
        return
    for row, new_row in zip(old, new, strict=True):
        flows = bool(row.inputs) and row.inputs[0].value.id in before.index.input_dependent
        if flows and row.outputs and new_row.outputs:
            yield row, new_row


def size_warning(row: Row, rule: str, message: str) -> Finding:
    return Finding(
        rule, "warning", message, row.path, row.place, help=RULE_HELPS[rule], cause="view-shape", row=row.index
    )
