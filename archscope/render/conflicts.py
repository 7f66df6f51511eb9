"""Conflicts in words: a Diagnosis → a Finding with one sentence, an aligned layout, the way back and a cure.

    Diagnosis → sentence · layout (a line for each operand, equal ones together) · walk · cure      Failure → `forward`

Shapes tell all of it; torch's own messages are quoted only for what no shape explains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from archscope import units
from archscope.checks.conflicts.axis_history import Change
from archscope.checks.conflicts.causes import rounds
from archscope.checks.conflicts.diagnosis import Diagnosis, diagnoses, own_axes
from archscope.checks.conflicts.input_sizes import legal_sizes, sizes_for
from archscope.checks.conflicts.proposals.projections import stride_between
from archscope.checks.conflicts.told_arguments import lies_elsewhere
from archscope.report import Finding, Link
from archscope.report.windows import window_of
from archscope.spec.tensor_calls import MOVES, VIEWS
from archscope.trace import Failure, Operand, Row, Shape, Trace
from archscope.trace_index import TraceIndex

AXES = ("N", "C", "H", "W")
WIDEST = 76
"""How wide a line of the layout may be, so that it fits a terminal with its indent."""
MOST_OPERANDS = 4
"""From how many operands on those of one shape share a line."""
MOST_ALIKE = 3
"""From how many steps of one line on they are told as one."""
GIVE_INPUT = "does the model take other inputs? --input gives their shapes"
RULES = {
    **dict.fromkeys(("product", "attention"), "product-shape"),
    "add": "add-shape",
    "multiply": "multiply-shape",
    "concat": "concat-shape",
    "layer": "layer-shape",
    "view": "view-shape",
}


def conflicts(index: TraceIndex) -> tuple[Finding, ...]:
    """Every mismatch in the order of the run, one for each place, then the failure that ended it."""
    found = tuple(finding(diagnosis) for diagnosis in diagnoses(index))
    trace, failure = index.trace, index.trace.failure
    told = failure is not None and any(m.row == len(trace.rows) and m.kind == "layer" for m in trace.mismatches)
    return (*found, from_failure(failure, trace)) if failure is not None and not told else found


# ------------------------------------------------------------ the finding
def finding(diagnosis: Diagnosis) -> Finding:
    mismatch = diagnosis.mismatch
    likely = " (this may follow from a conflict before it)" if diagnosis.likely else ""
    return Finding(
        rule="residual-shape" if diagnosis.residual else RULES[mismatch.kind],
        level="error",
        message=sentence(diagnosis) + likely,
        path=mismatch.site.path,
        place=mismatch.site.place,
        help=cure(diagnosis),
        details=(*layout(diagnosis), *features(diagnosis)),
        cause=diagnosis.cause,
        walk=tuple(walk(diagnosis)),
        likely=diagnosis.likely,
        also=diagnosis.also,
        diagnosis=diagnosis,
    )


def cured_by(finding: Finding, first: Finding) -> Finding:
    """A conflict that the first fix of another one cures as well."""
    if finding.likely:
        return finding
    where = f"{first.place.file}:{first.place.line}" if first.place is not None else first.path
    return replace(finding, likely=True, message=f"{finding.message} (the fix of {where} cures this too)")


def sentence(diagnosis: Diagnosis) -> str:
    """One sentence with the numbers in it."""
    mismatch = diagnosis.mismatch
    if mismatch.kind in ("layer", "view", "product", "attention"):
        return mismatch.fact
    what = {
        "add": f"{mismatch.operation} cannot combine these",
        "multiply": f"{mismatch.operation} cannot combine these",
        "concat": f"{mismatch.operation} cannot join these",
    }[mismatch.kind]
    what = "the two sides of this residual cannot be added" if diagnosis.residual else what
    return f"{what}: {', '.join(sides_in_words(diagnosis))}; {disagreement(diagnosis)}"


def groups(diagnosis: Diagnosis) -> list[tuple[Operand, str, int]]:
    """Each operand with its name; of many operands, the first of each shape, and how many others have that shape."""
    pairs = list(zip(diagnosis.operands, diagnosis.names, strict=True))
    if len(pairs) < MOST_OPERANDS:
        return [(operand, name, 0) for operand, name in pairs]
    found: dict[Shape, list[tuple[Operand, str]]] = {}
    for operand, name in pairs:
        found.setdefault(operand.value.shape, []).append((operand, name))
    return [(*same[0], len(same) - 1) for same in found.values()]


def sides_in_words(diagnosis: Diagnosis) -> Iterator[str]:
    """`main (1, 32, 8, 8) from main.2`, `value 2 (1, 16) from e.0 and 25 others (1, 16)`."""
    for operand, name, others in groups(diagnosis):
        more = f" and {others} other{'s' * (others > 1)} {operand.value.shape}" if others else ""
        yield side(operand, name) + more


def side(operand: Operand, name: str) -> str:
    shape = f"{name} {operand.value.shape}"
    return shape if operand.source == name else f"{shape} from {operand.source}"


def disagreement(diagnosis: Diagnosis) -> str:
    """`they differ in C (128, 64), H (28, 56) and W (28, 56)`."""
    shapes = tuple(operand.value.shape for operand, _, _ in groups(diagnosis))
    if len({len(shape) for shape in shapes}) > 1 and diagnosis.cause == "layout":
        return f"they have {', '.join(str(len(shape)) for shape in shapes)} dimensions"
    axes, rank = diagnosis.mismatch.axes, max(map(len, shapes))
    sizes_at = {axis: [str(shape[axis - rank]) for shape in shapes if len(shape) >= rank - axis] for axis in axes}
    parts = [f"{axis_name(axis, rank)} ({', '.join(found)})" for axis, found in sizes_at.items()]
    return "they differ in " + " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1] if parts else ""]))


def axis_name(axis: int, rank: int) -> str:
    return AXES[axis] if rank == len(AXES) else f"dim {axis}"


def cure(diagnosis: Diagnosis) -> str:
    """What to do, in words; a fix that was tried stands beside it."""
    mismatch, cause = diagnosis.mismatch, diagnosis.cause
    if mismatch.site.conflict is not None and mismatch.site.conflict.help:
        return mismatch.site.conflict.help
    if mismatch.kind == "layer" and mismatch.says is None and mismatch.axes:
        return "a smaller kernel, more padding, or less pooling before it"
    if lies_elsewhere(diagnosis):
        return "bring the channels to dimension 1: transpose or permute the input"
    if cause == "off-by-one" and mismatch.says is None:
        return cure_of_sizes(diagnosis)
    if diagnosis.residual and cause in ("channels", "stride"):
        return cure_of_residual(diagnosis)
    if mismatch.says is not None:
        return f"{mismatch.says.argument}={mismatch.says.has} fits this input" * (mismatch.kind == "layer")
    if mismatch.kind == "attention":
        return (
            ""
            if mismatch.axes
            else "give the mask the sizes of the scores (…, L, S), or 1 where it is the same for all"
        )
    if cause == "layout" and mismatch.kind == "concat":
        return "join them along the dimension in which they differ, or bring them to one rank"
    if cause == "layout" and mismatch.kind == "product":
        return "transpose the right operand: (…, n, k) @ (…, k, m)"
    if cause == "layout":
        return "bring the operands to one order of dimensions: permute, flatten or unsqueeze one of them"
    return "bring the operands to one shape; residual and add do not broadcast" * mismatch.site.strict


def cure_of_residual(diagnosis: Diagnosis) -> str:
    """A projection, unless no stride of one makes an image of the shortcut's size as large as that of main."""
    main, shortcut = diagnosis.shapes[:2]
    if len(main) == len(shortcut) == len(AXES) and not stride_between(main, shortcut):
        return "bring main and shortcut to one size: no stride of a projection makes the one of the other"
    return "project the shortcut so that it changes channels and size the way main does"


def cure_of_sizes(diagnosis: Diagnosis) -> str:
    """Which step rounds, or lacks its padding."""
    changes = [change for side in diagnosis.sides for change in side if change.changed and change.window]
    for change in changes:
        if rounds(change):
            before = next(before for axis, before, _ in change.axes if axis > 1)
            where = f"{change.row.path} rounds {before} down"
            return f"{where}: {legal(diagnosis)}pad or crop one side"
    for change in changes:
        window = window_of(change.row)
        if window is not None and set(window.stride) == {1} and not window.transposed and window.reach(0) % 2:
            wanted = window.reach(0) // 2
            if window.padding[0] != wanted:
                where = change.row.path or change.row.op
                return f"padding={wanted} in {where} keeps the size of its input (kernel {window.kernel[0]})"
    return "give the windows of both sides the same padding and rounding"


def legal(diagnosis: Diagnosis) -> str:
    """Input sizes that would do, where they are known."""
    heights, widths = (", ".join(map(str, legal_sizes(diagnosis.index, back=back))) for back in (2, 1))
    if not heights or not widths:
        return "give an input whose sizes divide, or "
    if heights == widths:
        return f"inputs of {widths} fit, or "
    return f"heights of {heights} and widths of {widths} fit, or "


def features(diagnosis: Diagnosis) -> Iterator[str]:
    """Of a Linear after a flattened image: what it gets and what it was told, as C×H×W; the input that would fit."""
    rows = [change.row for side in diagnosis.sides for change in side if change.row.short in VIEWS]
    says = diagnosis.mismatch.says
    if not rows or says is None or not isinstance(says.said, int) or len(rows[-1].inputs[0].value.shape) != 4:
        return
    image = rows[-1].inputs[0]
    _, depth, height, width = image.value.shape
    if says.has != depth * height * width:
        return
    yield f"it gets    {depth}×{height}×{width} = {says.has}"
    area, rest = divmod(says.said, depth)
    side = round(area**0.5)
    if rest or side * side != area:
        return
    yield f"it expects {depth}×{side}×{side} = {says.said}"
    fitting = sizes_for(diagnosis.index, image, side)
    if fitting:
        yield f"an input of {fitting[0]}×{fitting[0]} would give that"


# ------------------------------------------------------------ the layout
def layout(diagnosis: Diagnosis) -> Iterator[str]:
    """One line per operand: its name, who made it, its sizes in columns; then carets below those that differ."""
    told = groups(diagnosis)
    shapes, names = [operand.value.shape for operand, _, _ in told], [name for _, name, _ in told]
    cells = max(len(str(size)) for shape in shapes for size in (*shape, 0))
    rank = max(map(len, shapes))
    room = WIDEST - max(map(len, names)) - 4 - rank * (cells + 2)
    makers = [made_by(operand, diagnosis) + others_in_words(others) for operand, _, others in told]
    if max(map(len, makers)) > room:
        makers = [made_by(operand, diagnosis, short=True) + others_in_words(others) for operand, _, others in told]
    widths = [max(map(len, names)), max(map(len, makers))]
    for name, made, shape in zip(names, makers, shapes, strict=True):
        blank = "  ".join([" " * cells] * (rank - len(shape))) + "  " * (len(shape) < rank)
        yield f"{name:<{widths[0]}}  {made:<{widths[1]}}  {blank}{sizes(shape, cells)}"
    marked = {
        axis + rank - len(operand.value.shape)
        for operand in diagnosis.operands
        for axis in own_axes(operand, diagnosis.mismatch.axes, diagnosis.mismatch)
    }
    if (marked and diagnosis.cause != "layout") or (len({len(shape) for shape in shapes}) == 1 and marked):
        longest = [max(len(str(s[a - rank])) for s in shapes if len(s) >= rank - a) for a in range(rank)]
        marks = ["^" * longest[axis] if axis in marked else "" for axis in range(rank)]
        yield (" " * (sum(widths) + 4) + "  ".join(f"{mark:>{cells}}" for mark in marks)).rstrip()


def others_in_words(number: int) -> str:
    return f" and {number} other{'s' * (number > 1)}" if number else ""


def sizes(shape: Shape, width: int) -> str:
    return "  ".join(f"{size:>{width}}" for size in shape) or "scalar"


def made_by(operand: Operand, diagnosis: Diagnosis, *, short: bool = False) -> str:
    """What made the operand: path, layer, line: `layer2.0.main.3 Conv2d 128, 3×3 (line 14)`. short: no arguments."""
    row, conflict = diagnosis.index.maker(operand), diagnosis.mismatch.site.place
    if row is None:
        return operand.source
    layer = diagnosis.index.layer_text(row)
    made = f"{operand.source} {layer.split()[0] if short else layer}"
    if row.place is None:
        return made
    here = conflict is not None and conflict.file == row.place.file
    return f"{made} (line {row.place.line})" if here else f"{made} ({row.place.file}:{row.place.line})"


# ------------------------------------------------------------ the walk
def walk(diagnosis: Diagnosis) -> Iterator[Link]:
    """The steps since the fork that changed a disagreeing axis; of a side without one, those that could have. Then the
    uses of the blocks that these and the conflict itself stand in, innermost first."""
    rows: list[Row] = []
    for change, alike in steps_told(diagnosis):
        rows.append(change.row)
        text = f"{diagnosis.index.layer_text(change.row)}: {describe_change(change) or 'made here'}"
        yield Link(
            change.row.path or "forward", text + (f", and {alike} more like it" if alike else ""), change.row.place
        )
    all_rows, own = diagnosis.index.trace.rows, diagnosis.mismatch.row
    yield from uses([*all_rows[own : own + 1], *rows], diagnosis.index)


def steps_told(diagnosis: Diagnosis) -> Iterator[tuple[Change, int]]:
    """The steps to be told of; of many on one line (a loop's) the first, and how many others there are."""
    kept: list[Change] = []
    for changes in diagnosis.sides:
        kept += [change for change in changes if change.changed] or [change for change in changes if change.window]
    same: dict[object, list[Change]] = {}
    for number, change in enumerate(kept):
        same.setdefault((change.row.place, change.row.short) if change.row.place else number, []).append(change)
    for first, *others in same.values():
        if len(others) < MOST_ALIKE:
            yield from ((change, 0) for change in (first, *others))
        else:
            yield first, len(others)


def uses(rows: Sequence[Row], index: TraceIndex) -> Iterator[Link]:
    """Where the blocks that rows stand in are used, each once."""
    seen: set[int] = set()
    for row in rows:
        for call in index.blocks(row):
            if call.index not in seen and call.site.place is not None:
                seen.add(call.index)
                text = f"uses {call.site.name} {call.site.text}".rstrip()
                yield Link(call.site.path, text, call.site.place)


def describe_change(change: Change) -> str:
    """`64 → 128 channels, 56×56 → 28×28`."""
    rank = len(change.shape)
    if change.row.short in (*VIEWS, *MOVES):
        old, new = change.row.inputs[0].value.shape, change.shape
        batch = int(old[:1] == new[:1] and len(new) > 1)
        return f"{units.shape(old[batch:])} → {units.shape(new[batch:])}"
    channels = [(b, a) for axis, b, a in change.axes if axis == 1 and rank == len(AXES)]
    spatial = [(b, a) for axis, b, a in change.axes if axis > 1 and rank == len(AXES)]
    others = [(axis, b, a) for axis, b, a in change.axes if b not in (a, None) or axis]
    others = [other for other in others if other[0] == 0 or rank != len(AXES)]
    said = [f"{f'{b} → ' if b not in (a, None) else ''}{a} channel{'s' * (a != 1)}" for b, a in channels]
    if spatial:
        before, after = ("×".join(str(pair[i]) for pair in spatial) for i in (0, 1))
        said.append(f"{before} → {after}" if before != after and None not in dict(spatial) else f"keeps {after}")
    said += [f"dim {axis}: {b} → {a}" if b not in (a, None) else f"dim {axis} is {a}" for axis, b, a in others]
    return ", ".join(said)


# ------------------------------------------------------------ failures
def from_failure(failure: Failure, trace: Trace) -> Finding:
    """`forward`: which function failed where, on what, and the first line of torch's message."""
    operands = " and ".join(f"{op.value.shape} {op.value.dtype} from {op.source}" for op in failure.operands)
    what = failure.function or f"the {'backward' if failure.backward else 'forward'} pass"
    before = "the forward pass" if failure.backward else "what"
    ran = f"{before} ran before it: {len(trace.rows)} operation{'s' * (len(trace.rows) != 1)}"
    return Finding(
        rule="forward",
        level="error",
        message=f"{what} failed{' on ' if operands else ''}{operands}: {failure.message}",
        path=failure.site.path,
        place=failure.site.place,
        help=ran if trace.rows else GIVE_INPUT if failure.function else "no operation ran before it",
    )
