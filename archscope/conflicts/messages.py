"""Conflicts in words: a Diagnosis → a Finding with a sentence, an aligned layout, the steps to it, and a help.

    Diagnosis → sentence, layout (a line for each operand, equal ones together), steps, help      Failure → `forward`

Conflicts are explained from shapes; torch's own messages are quoted only if no shape explains a failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from archscope import units
from archscope.conflicts.axis_history import AxisChange, split_branches
from archscope.conflicts.axis_names import SPATIAL_LETTERS, AxisLabels
from archscope.conflicts.concat_dims import find_concat
from archscope.conflicts.diagnosis import Diagnosis, diagnose_conflicts, own_axes
from archscope.conflicts.help_text import axis_label, explain_sizes, help_for_conflict
from archscope.conflicts.refused_calls import explain_refusal
from archscope.conflicts.sequence_help import find_misread, misread_help
from archscope.conflicts.sizes_json import conflict_view_factors, sizes_json
from archscope.errors import Span
from archscope.report import Finding, WalkStep
from archscope.spec.tensor_calls import PERMUTE_FUNCTIONS, RESHAPE_FUNCTIONS
from archscope.trace import Failure, Operand, Row, Shape, Trace
from archscope.trace_index import TraceIndex

MAX_LAYOUT_WIDTH = 76
"""The widest line of the layout, so that it fits a terminal with its indent."""
MIN_GROUPED_OPERANDS = 4
"""With at least so many operands, those of one shape share a line."""
MAX_SAME_LINE_STEPS = 3
"""At least so many steps on one source line are shown as one."""
FOLLOWS_NOTE = " (this may follow from a conflict before it)"
GIVE_INPUT_HELP = "does the model take other inputs? input=… gives their shapes"
RELATION_SENTENCES = {
    "residual": "the two sides of this residual cannot be added",
    "pyramid": "the two levels of this pyramid cannot be added",
}
"""Relation of the operands → the beginning of the sentence."""
CONFLICT_RULES = {
    **dict.fromkeys(("product", "attention"), "product-shape"),
    "add": "add-shape",
    "multiply": "multiply-shape",
    "concat": "concat-shape",
    "layer": "layer-shape",
    "view": "view-shape",
}


def find_conflicts(index: TraceIndex) -> tuple[Finding, ...]:
    """Return every mismatch in the order of the run, one for each location, then the failure that ended the run."""
    found = tuple(format_conflict(diagnosis) for diagnosis in diagnose_conflicts(index))
    trace, failure = index.trace, index.trace.failure
    is_explained = failure is not None and any(m.row == len(trace.rows) and m.kind == "layer" for m in trace.mismatches)
    if failure is None or is_explained:
        return found
    behind = {row for operand in failure.operands for row in index.ancestors(operand).values()}
    ended, follows = failure_finding(failure, trace), any(mismatch.row in behind for mismatch in trace.mismatches)
    return (*found, replace(ended, likely=True, message=ended.message + FOLLOWS_NOTE) if follows else ended)


# ------------------------------------------------------------ the finding
def format_conflict(diagnosis: Diagnosis) -> Finding:
    mismatch = diagnosis.mismatch
    return Finding(
        rule="residual-shape" if diagnosis.is_residual else CONFLICT_RULES[mismatch.kind],
        level="error",
        message=conflict_sentence(diagnosis) + FOLLOWS_NOTE * diagnosis.likely,
        path=mismatch.site.path,
        place=mismatch.site.place,
        help=help_for_conflict(diagnosis),
        details=(*layout_lines(diagnosis), *explain_sizes(diagnosis)),
        cause=diagnosis.cause,
        sizes=sizes_json(diagnosis),
        walk=tuple(walk_links(diagnosis)),
        likely=diagnosis.likely,
        also=diagnosis.also,
        diagnosis=diagnosis,
    )


def mark_fixed_by(finding: Finding, first: Finding) -> Finding:
    """Return a conflict with a note that the first fix of another one resolves it too."""
    if finding.likely:
        return finding
    where = f"{first.place.file}:{first.place.line}" if first.place is not None else first.path
    return replace(finding, likely=True, message=f"{finding.message} (the fix of {where} resolves this too)")


def conflict_sentence(diagnosis: Diagnosis) -> str:
    """Return one sentence with the sizes of the conflict."""
    mismatch = diagnosis.mismatch
    if mismatch.kind in ("layer", "view", "product", "attention"):
        return mismatch.fact + "".join(
            f": {text}" for text in dict.fromkeys(map(str, conflict_view_factors(diagnosis)))
        )
    if mismatch.kind == "concat" and not mismatch.axes and len(set(map(len, diagnosis.shapes))) == 1:
        return f"{mismatch.operation} cannot join these: {mismatch.fact}"
    what = {
        "add": f"{mismatch.operation} cannot combine these",
        "multiply": f"{mismatch.operation} cannot combine these",
        "concat": f"{mismatch.operation} cannot join these",
    }[mismatch.kind]
    what = RELATION_SENTENCES.get(diagnosis.relation, what)
    return f"{what}: {', '.join(format_sides(diagnosis))}; {format_disagreement(diagnosis)}"


def group_operands(diagnosis: Diagnosis) -> list[tuple[Operand, str, int]]:
    """Return each operand with its name; of many operands, the first of each shape with the number of others of that
    shape.
    """
    pairs = list(zip(diagnosis.operands, diagnosis.names, strict=True))
    if len(pairs) < MIN_GROUPED_OPERANDS:
        return [(operand, name, 0) for operand, name in pairs]
    found: dict[Shape, list[tuple[Operand, str]]] = {}
    for operand, name in pairs:
        found.setdefault(operand.value.shape, []).append((operand, name))
    return [(*same[0], len(same) - 1) for same in found.values()]


def format_sides(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield `main (1, 32, 8, 8) from main.2`, `value 2 (1, 16) from e.0 and 25 others (1, 16)`."""
    for operand, name, others in group_operands(diagnosis):
        shape = operand.value.shape
        source = "" if operand.source == name else f" from {operand.source}"
        more = f" and {others} other{'s' * (others > 1)} {shape}" if others else ""
        yield f"{name} {shape}{source}{distinguishing_text(operand, diagnosis)}{more}"


def distinguishing_text(operand: Operand, diagnosis: Diagnosis) -> str:
    """Return ` (line 7)`, ` after b` or ` (call 2)`, which distinguishes an operand from another of the same name;
    else "".
    """
    index = diagnosis.index
    alike = [other for other in diagnosis.operands if other.source == operand.source]
    makers = [row for other in alike if (row := index.maker(other)) is not None]
    own = index.maker(operand)
    if own is None or len({row.index for row in makers}) < 2:
        return ""
    if own.place is not None and len({row.place.line for row in makers if row.place is not None}) == len(makers):
        return f" (line {own.place.line})"
    before = [layer_before(row, index) for row in makers]
    if len(set(before)) == len(before) and all(before):
        return f" after {layer_before(own, index)}"
    if own.place is not None and len({row.place for row in makers}) == len(makers):
        return f" (line {own.place.line}, column {own.place.column})"
    calls = [row.index for row in index.trace.rows if (row.path, row.short_name) == (own.path, own.short_name)]
    return f" (call {calls.index(own.index) + 1})"


def layer_before(row: Row, index: TraceIndex) -> str:
    """Return the path of the nearest row with a path before a row without one; "" if there is none."""
    current: Row | None = row
    while current is not None and not (current is not row and current.path and current.path != row.path):
        current = index.maker(current.inputs[0]) if current.inputs else None
    return current.path if current is not None and not row.path.startswith(f"{current.path}.") else ""


def format_disagreement(diagnosis: Diagnosis) -> str:
    """Return `they differ in C (128, 64), H (28, 56) and W (28, 56)`."""
    shapes = tuple(operand.value.shape for operand, _, _ in group_operands(diagnosis))
    if len({len(shape) for shape in shapes}) > 1 and diagnosis.cause == "layout":
        return f"they have {', '.join(str(len(shape)) for shape in shapes)} dimensions"
    axes, rank = diagnosis.mismatch.axes, max(map(len, shapes))
    sizes_at = {axis: [str(shape[axis - rank]) for shape in shapes if len(shape) >= rank - axis] for axis in axes}
    parts = [f"{axis_label(diagnosis.axis_names, axis)} ({', '.join(found)})" for axis, found in sizes_at.items()]
    return "they differ in " + " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1] if parts else ""]))


# ------------------------------------------------------------ the layout
def layout_lines(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield one line per operand: its name, the step that made it, its sizes in columns; then carets below those that
    differ.
    """
    groups = group_operands(diagnosis)
    shapes, names = [operand.value.shape for operand, _, _ in groups], [name for _, name, _ in groups]
    cells = max(len(str(size)) for shape in shapes for size in (*shape, 0))
    rank = max(map(len, shapes))
    width = MAX_LAYOUT_WIDTH - max(map(len, names)) - 4 - rank * (cells + 2)
    makers = [format_maker(operand, diagnosis) + format_others(others) for operand, _, others in groups]
    if max(map(len, makers)) > width:
        makers = [format_maker(operand, diagnosis, short=True) + format_others(others) for operand, _, others in groups]
    widths = [max(map(len, names)), max(map(len, makers))]
    for name, made, shape in zip(names, makers, shapes, strict=True):
        blank = "  ".join([" " * cells] * (rank - len(shape))) + "  " * (len(shape) < rank)
        sizes = "  ".join(f"{size:>{cells}}" for size in shape) or "scalar"
        yield f"{name:<{widths[0]}}  {made:<{widths[1]}}  {blank}{sizes}"
    marked = {
        axis + rank - len(operand.value.shape)
        for operand in diagnosis.operands
        for axis in own_axes(operand, diagnosis.mismatch.axes, diagnosis.mismatch)
    }
    if (marked and diagnosis.cause != "layout") or (len({len(shape) for shape in shapes}) == 1 and marked):
        longest = [max(len(str(s[a - rank])) for s in shapes if len(s) >= rank - a) for a in range(rank)]
        marks = ["^" * longest[axis] if axis in marked else "" for axis in range(rank)]
        yield (" " * (sum(widths) + 4) + "  ".join(f"{mark:>{cells}}" for mark in marks)).rstrip()


def format_others(number: int) -> str:
    return f" and {number} other{'s' * (number > 1)}" if number else ""


def format_maker(operand: Operand, diagnosis: Diagnosis, *, short: bool = False) -> str:
    """Return the step that made the operand: path, layer, line: `layer2.0.main.3 Conv2d 128, 3×3 (line 14)`. short:
    without arguments.
    """
    row, conflict = diagnosis.index.maker(operand), diagnosis.mismatch.site.place
    if row is None:
        return operand.source
    layer = diagnosis.index.layer_text(row)
    maker = f"{operand.source} {layer.split()[0] if short else layer}"
    if row.place is None:
        return maker + distinguishing_text(operand, diagnosis)
    in_same_file = conflict is not None and conflict.file == row.place.file
    return f"{maker} (line {row.place.line})" if in_same_file else f"{maker} ({row.place.file}:{row.place.line})"


# ------------------------------------------------------------ the walk
def walk_links(diagnosis: Diagnosis) -> Iterator[WalkStep]:
    """Yield the steps since the sides separated that changed a disagreeing axis; of a side without one, those that
    could have.

    Then the uses of the blocks that contain these steps and the conflict, innermost first.
    """
    rows: list[Row] = []
    for change, alike in select_steps(diagnosis):
        rows.append(change.row)
        names = diagnosis.all_axis_names.of(change.output)
        text = f"{diagnosis.index.layer_text(change.row)}: {describe_change(change, names) or 'made here'}"
        yield WalkStep(
            change.row.path or "forward", text + (f", and {alike} more like it" if alike else ""), change.row.place
        )
    yield from joining_links(diagnosis, rows)
    for row in diagnosis.no_op_views:
        kept = units.format_shape(row.outputs[0].shape[1:])
        yield WalkStep(row.path or "forward", f"{row.op}: leaves {kept} as it is", row.place)
    all_rows, own = diagnosis.index.trace.rows, diagnosis.mismatch.row
    yield from block_use_links([*all_rows[own : own + 1], *rows], diagnosis.index)


def joining_links(diagnosis: Diagnosis, shown: Sequence[Row]) -> Iterator[WalkStep]:
    """Yield the concat that made a layer's input, if it is not shown yet: it may lack a value, or join along another
    axis.
    """
    row = find_concat(diagnosis.operands[0], diagnosis.index) if diagnosis.mismatch.kind == "layer" else None
    if row is not None and row not in shown:
        shapes = " and ".join(str(operand.value.shape) for operand in row.inputs)
        yield WalkStep(
            row.path or "forward", f"{row.short_name}: joins {shapes} along dim {row.get('dim', 0)}", row.place
        )


def select_steps(diagnosis: Diagnosis) -> Iterator[tuple[AxisChange, int]]:
    """Yield the steps to show; of many on one source line (such as a loop's) the first, with the number of others."""
    selected: list[AxisChange] = [diagnosis.rounded] if diagnosis.rounded is not None else []
    for side in diagnosis.sides:
        changes = [change for change in side if change.changed] or [change for change in side if change.is_resizable]
        selected += (
            change for branch in split_branches(side, diagnosis.index) for change in branch if change in changes
        )
    lines: list[tuple[Span | None, str]] = [
        (change.row.place, change.row.short_name) for change in selected if change.row.place
    ]
    alike = Counter(lines)
    seen: set[object] = set()
    for change in selected:
        line = change.row.place, change.row.short_name
        if alike[line] <= MAX_SAME_LINE_STEPS:
            yield change, 0
        elif line not in seen:
            yield change, alike[line] - 1
        seen.add(line)


def block_use_links(rows: Sequence[Row], index: TraceIndex) -> Iterator[WalkStep]:
    """Yield the uses of the blocks that contain rows, each once."""
    seen: set[int] = set()
    for row in rows:
        for call in index.blocks(row):
            if call.index not in seen and call.site.place is not None:
                seen.add(call.index)
                text = f"uses {call.site.name} {call.site.text}".rstrip()
                yield WalkStep(call.site.path, text, call.site.place)


def describe_change(change: AxisChange, names: AxisLabels) -> str:
    """Return `64 → 128 channels, 56×56 → 28×28`. names: of the axes of the step's output."""
    if change.row.short_name in (*RESHAPE_FUNCTIONS, *PERMUTE_FUNCTIONS):
        old, new = change.row.inputs[0].value.shape, change.shape
        batch = int(old[:1] == new[:1] and len(new) > 1)
        return f"{units.format_shape(old[batch:])} → {units.format_shape(new[batch:])}"
    spatial = [(b, a) for axis, b, a in change.axes if names[axis] in SPATIAL_LETTERS]
    word = "channel" if SPATIAL_LETTERS & set(names) else "feature"
    parts = [f"{format_resize(b, a)} {word}{'s' * (a != 1)}" for axis, b, a in change.axes if names[axis] == "C"]
    if spatial:
        before, after = ("×".join(str(pair[i]) for pair in spatial) for i in (0, 1))
        parts.append(f"{before} → {after}" if before != after and None not in dict(spatial) else f"keeps {after}")
    others = [(axis, b, a) for axis, b, a in change.axes if names[axis] not in ("C", *SPATIAL_LETTERS)]
    parts += [
        f"{axis_label(names, axis)}: {b} → {a}" if b not in (a, None) else f"{axis_label(names, axis)} is {a}"
        for axis, b, a in others
        if b not in (a, None) or axis
    ]
    return ", ".join(parts)


def format_resize(before: int | None, after: int) -> str:
    return f"{before} → {after}" if before not in (after, None) else str(after)


# ------------------------------------------------------------ failures
def failure_finding(failure: Failure, trace: Trace) -> Finding:
    """Return the finding `forward`: the function that failed, its location and inputs, and the first line of torch's
    message.
    """
    operands = " and ".join(f"{op.value.shape} {op.value.dtype} from {op.source}" for op in failure.operands)
    what = failure.function or f"the {'backward' if failure.backward else 'forward'} pass"
    before = "the forward pass" if failure.backward else "what"
    ran = f"{before} ran before it: {len(trace.rows)} operation{'s' * (len(trace.rows) != 1)}"
    misread, refusal = find_misread(failure), explain_refusal(trace)
    if misread is None and refusal is not None:
        return Finding(
            rule="forward",
            level="error",
            message=refusal.fact,
            path=failure.site.path,
            place=failure.site.place,
            help=refusal.help,
            cause=refusal.cause,
        )
    otherwise = ran if trace.rows else GIVE_INPUT_HELP if failure.function else "no operation ran before it"
    return Finding(
        rule="product-shape" if misread is not None and misread.mask else "forward",
        level="error",
        message=misread.fact if misread else f"{what} failed{' on ' if operands else ''}{operands}: {failure.message}",
        path=failure.site.path,
        place=failure.site.place,
        help=misread_help(misread, failure, trace) if misread else otherwise,
        cause="layout" if misread and (misread.batch_first is not None or misread.mask) else "",
    )
