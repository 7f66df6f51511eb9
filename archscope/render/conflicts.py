"""Conflicts in words: a Diagnosis → a Finding with one sentence, an aligned layout, the way back and a cure.

    Diagnosis → sentence · layout (a line for each operand, equal ones together) · walk · cure      Failure → `forward`

Shapes tell all of it; torch's own messages are quoted only for what no shape explains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from archscope import units
from archscope.checks.conflicts.axis_history import AxisChange, split_branches
from archscope.checks.conflicts.axis_names import SPATIAL_LETTERS, AxisLabels
from archscope.checks.conflicts.concat_dims import find_concat
from archscope.checks.conflicts.diagnosis import Diagnosis, diagnose_conflicts, own_axes
from archscope.checks.conflicts.refused_calls import explain_refusal
from archscope.checks.conflicts.sizes_json import conflict_view_factors, sizes_json
from archscope.errors import Span
from archscope.render.conflict_help import axis_label, explain_sizes, help_for_conflict
from archscope.render.sequence_help import find_misread, misread_help
from archscope.report import Finding, WalkStep
from archscope.spec.tensor_calls import PERMUTE_FUNCTIONS, RESHAPE_FUNCTIONS
from archscope.trace import Failure, Operand, Row, Shape, Trace
from archscope.trace_index import TraceIndex

MAX_LAYOUT_WIDTH = 76
"""How wide a line of the layout may be, so that it fits a terminal with its indent."""
MIN_GROUPED_OPERANDS = 4
"""From how many operands on those of one shape share a line."""
MAX_SAME_LINE_STEPS = 3
"""From how many steps of one line on they are told as one."""
FOLLOWS_NOTE = " (this may follow from a conflict before it)"
GIVE_INPUT_HELP = "does the model take other inputs? input=… gives their shapes"
RELATION_SENTENCES = {
    "residual": "the two sides of this residual cannot be added",
    "pyramid": "the two levels of this pyramid cannot be added",
}
"""Relation → how the sentence begins."""
CONFLICT_RULES = {
    **dict.fromkeys(("product", "attention"), "product-shape"),
    "add": "add-shape",
    "multiply": "multiply-shape",
    "concat": "concat-shape",
    "layer": "layer-shape",
    "view": "view-shape",
}


def find_conflicts(index: TraceIndex) -> tuple[Finding, ...]:
    """Every mismatch in the order of the run, one for each place, then the failure that ended it."""
    found = tuple(format_conflict(diagnosis) for diagnosis in diagnose_conflicts(index))
    trace, failure = index.trace, index.trace.failure
    told = failure is not None and any(m.row == len(trace.rows) and m.kind == "layer" for m in trace.mismatches)
    if failure is None or told:
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
    """A conflict that the first fix of another one cures as well."""
    if finding.likely:
        return finding
    where = f"{first.place.file}:{first.place.line}" if first.place is not None else first.path
    return replace(finding, likely=True, message=f"{finding.message} (the fix of {where} cures this too)")


def conflict_sentence(diagnosis: Diagnosis) -> str:
    """One sentence with the numbers in it."""
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
    """Each operand with its name; of many operands, the first of each shape, and how many others have that shape."""
    pairs = list(zip(diagnosis.operands, diagnosis.names, strict=True))
    if len(pairs) < MIN_GROUPED_OPERANDS:
        return [(operand, name, 0) for operand, name in pairs]
    found: dict[Shape, list[tuple[Operand, str]]] = {}
    for operand, name in pairs:
        found.setdefault(operand.value.shape, []).append((operand, name))
    return [(*same[0], len(same) - 1) for same in found.values()]


def format_sides(diagnosis: Diagnosis) -> Iterator[str]:
    """`main (1, 32, 8, 8) from main.2`, `value 2 (1, 16) from e.0 and 25 others (1, 16)`."""
    for operand, name, others in group_operands(diagnosis):
        more = f" and {others} other{'s' * (others > 1)} {operand.value.shape}" if others else ""
        yield format_side(operand, name) + distinguishing_text(operand, diagnosis) + more


def format_side(operand: Operand, name: str) -> str:
    shape = f"{name} {operand.value.shape}"
    return shape if operand.source == name else f"{shape} from {operand.source}"


def distinguishing_text(operand: Operand, diagnosis: Diagnosis) -> str:
    """What tells an operand from another one of its name: ` (line 7)`, ` after b`, ` (call 2)`; nothing where no other
    has its name."""
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
    """The path of the nearest row before a row without one that has a path of its own; empty where there is none."""
    here: Row | None = row
    while here is not None and not (here is not row and here.path and here.path != row.path):
        here = index.maker(here.inputs[0]) if here.inputs else None
    return here.path if here is not None and not row.path.startswith(f"{here.path}.") else ""


def format_disagreement(diagnosis: Diagnosis) -> str:
    """`they differ in C (128, 64), H (28, 56) and W (28, 56)`."""
    shapes = tuple(operand.value.shape for operand, _, _ in group_operands(diagnosis))
    if len({len(shape) for shape in shapes}) > 1 and diagnosis.cause == "layout":
        return f"they have {', '.join(str(len(shape)) for shape in shapes)} dimensions"
    axes, rank = diagnosis.mismatch.axes, max(map(len, shapes))
    sizes_at = {axis: [str(shape[axis - rank]) for shape in shapes if len(shape) >= rank - axis] for axis in axes}
    parts = [f"{axis_label(diagnosis.axis_names, axis)} ({', '.join(found)})" for axis, found in sizes_at.items()]
    return "they differ in " + " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1] if parts else ""]))


# ------------------------------------------------------------ the layout
def layout_lines(diagnosis: Diagnosis) -> Iterator[str]:
    """One line per operand: its name, who made it, its sizes in columns; then carets below those that differ."""
    told = group_operands(diagnosis)
    shapes, names = [operand.value.shape for operand, _, _ in told], [name for _, name, _ in told]
    cells = max(len(str(size)) for shape in shapes for size in (*shape, 0))
    rank = max(map(len, shapes))
    room = MAX_LAYOUT_WIDTH - max(map(len, names)) - 4 - rank * (cells + 2)
    makers = [format_maker(operand, diagnosis) + format_others(others) for operand, _, others in told]
    if max(map(len, makers)) > room:
        makers = [format_maker(operand, diagnosis, short=True) + format_others(others) for operand, _, others in told]
    widths = [max(map(len, names)), max(map(len, makers))]
    for name, made, shape in zip(names, makers, shapes, strict=True):
        blank = "  ".join([" " * cells] * (rank - len(shape))) + "  " * (len(shape) < rank)
        yield f"{name:<{widths[0]}}  {made:<{widths[1]}}  {blank}{format_sizes(shape, cells)}"
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


def format_sizes(shape: Shape, width: int) -> str:
    return "  ".join(f"{size:>{width}}" for size in shape) or "scalar"


def format_maker(operand: Operand, diagnosis: Diagnosis, *, short: bool = False) -> str:
    """What made the operand: path, layer, line: `layer2.0.main.3 Conv2d 128, 3×3 (line 14)`. short: no arguments."""
    row, conflict = diagnosis.index.maker(operand), diagnosis.mismatch.site.place
    if row is None:
        return operand.source
    layer = diagnosis.index.layer_text(row)
    made = f"{operand.source} {layer.split()[0] if short else layer}"
    if row.place is None:
        return made + distinguishing_text(operand, diagnosis)
    here = conflict is not None and conflict.file == row.place.file
    return f"{made} (line {row.place.line})" if here else f"{made} ({row.place.file}:{row.place.line})"


# ------------------------------------------------------------ the walk
def walk_links(diagnosis: Diagnosis) -> Iterator[WalkStep]:
    """The steps since the fork that changed a disagreeing axis; of a side without one, those that could have. Then the
    uses of the blocks that these and the conflict itself stand in, innermost first."""
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


def joining_links(diagnosis: Diagnosis, told: Sequence[Row]) -> Iterator[WalkStep]:
    """The concat that made a layer's input, if it is not told of: it may lack a value, or join along another axis."""
    row = find_concat(diagnosis.operands[0], diagnosis.index) if diagnosis.mismatch.kind == "layer" else None
    if row is not None and row not in told:
        shapes = " and ".join(str(one.value.shape) for one in row.inputs)
        yield WalkStep(
            row.path or "forward", f"{row.short_name}: joins {shapes} along dim {row.get('dim', 0)}", row.place
        )


def select_steps(diagnosis: Diagnosis) -> Iterator[tuple[AxisChange, int]]:
    """The steps to be told of; of many on one line (a loop's) the first, and how many others there are."""
    kept: list[AxisChange] = [diagnosis.rounded] if diagnosis.rounded is not None else []
    for side in diagnosis.sides:
        told = [change for change in side if change.changed] or [change for change in side if change.is_resizable]
        kept += (change for branch in split_branches(side, diagnosis.index) for change in branch if change in told)
    lines: list[tuple[Span | None, str]] = [(one.row.place, one.row.short_name) for one in kept if one.row.place]
    alike = Counter(lines)
    seen: set[object] = set()
    for change in kept:
        line = change.row.place, change.row.short_name
        if alike[line] <= MAX_SAME_LINE_STEPS:
            yield change, 0
        elif line not in seen:
            yield change, alike[line] - 1
        seen.add(line)


def block_use_links(rows: Sequence[Row], index: TraceIndex) -> Iterator[WalkStep]:
    """Where the blocks that rows stand in are used, each once."""
    seen: set[int] = set()
    for row in rows:
        for call in index.blocks(row):
            if call.index not in seen and call.site.place is not None:
                seen.add(call.index)
                text = f"uses {call.site.name} {call.site.text}".rstrip()
                yield WalkStep(call.site.path, text, call.site.place)


def describe_change(change: AxisChange, names: AxisLabels) -> str:
    """`64 → 128 channels, 56×56 → 28×28`. names: of the axes of what the step gives."""
    if change.row.short_name in (*RESHAPE_FUNCTIONS, *PERMUTE_FUNCTIONS):
        old, new = change.row.inputs[0].value.shape, change.shape
        batch = int(old[:1] == new[:1] and len(new) > 1)
        return f"{units.format_shape(old[batch:])} → {units.format_shape(new[batch:])}"
    spatial = [(b, a) for axis, b, a in change.axes if names[axis] in SPATIAL_LETTERS]
    word = "channel" if SPATIAL_LETTERS & set(names) else "feature"
    said = [f"{format_resize(b, a)} {word}{'s' * (a != 1)}" for axis, b, a in change.axes if names[axis] == "C"]
    if spatial:
        before, after = ("×".join(str(pair[i]) for pair in spatial) for i in (0, 1))
        said.append(f"{before} → {after}" if before != after and None not in dict(spatial) else f"keeps {after}")
    others = [(axis, b, a) for axis, b, a in change.axes if names[axis] not in ("C", *SPATIAL_LETTERS)]
    said += [
        f"{axis_label(names, axis)}: {b} → {a}" if b not in (a, None) else f"{axis_label(names, axis)} is {a}"
        for axis, b, a in others
        if b not in (a, None) or axis
    ]
    return ", ".join(said)


def format_resize(before: int | None, after: int) -> str:
    return f"{before} → {after}" if before not in (after, None) else str(after)


# ------------------------------------------------------------ failures
def failure_finding(failure: Failure, trace: Trace) -> Finding:
    """`forward`: which function failed where, on what, and the first line of torch's message."""
    operands = " and ".join(f"{op.value.shape} {op.value.dtype} from {op.source}" for op in failure.operands)
    what = failure.function or f"the {'backward' if failure.backward else 'forward'} pass"
    before = "the forward pass" if failure.backward else "what"
    ran = f"{before} ran before it: {len(trace.rows)} operation{'s' * (len(trace.rows) != 1)}"
    told, refusal = find_misread(failure), explain_refusal(trace)
    if told is None and refusal is not None:
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
        rule="product-shape" if told is not None and told.mask else "forward",
        level="error",
        message=told.fact if told else f"{what} failed{' on ' if operands else ''}{operands}: {failure.message}",
        path=failure.site.path,
        place=failure.site.place,
        help=misread_help(told, failure, trace) if told else otherwise,
        cause="layout" if told and (told.batch_first is not None or told.mask) else "",
    )
