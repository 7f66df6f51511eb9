"""What a run found out: Mismatch or Failure → Finding (one sentence with the numbers in it, place, help)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope.report import Finding
from archscope.trace import Call, Failure, Mismatch, Operand, Row, Shape, Site, Trace

AXES = ("N", "C", "H", "W")
SIDES = ("main", "shortcut")
GIVE_INPUT = "does the model take other inputs? --input gives their shapes"


def conflicts(trace: Trace) -> tuple[Finding, ...]:
    """Every mismatch in the order of the run, then the failure that ended it."""
    found = [from_mismatch(mismatch, trace) for mismatch in trace.mismatches]
    return (*found, from_failure(trace.failure, trace)) if trace.failure else tuple(found)


def from_mismatch(mismatch: Mismatch, trace: Trace) -> Finding:
    """`residual-shape` where two sides should have been added, `add-shape` for any other combination."""
    two_sides = is_residual(mismatch)
    what = (
        "the two sides of this residual cannot be added" if two_sides else f"{mismatch.operation} cannot combine these"
    )
    if mismatch.likely:
        what += " (this may follow from the mismatch before it)"
    beside = mismatch.site.path.rpartition(".")[0] + "."
    names = list(SIDES) if two_sides else [operand.source.removeprefix(beside) for operand in mismatch.operands]
    sides = ", ".join(f"{name} {side(operand, name)}" for name, operand in zip(names, mismatch.operands, strict=True))
    cure = "project the shortcut so that it changes channels and size the way main does" if two_sides else ""
    return Finding(
        rule="residual-shape" if two_sides else "add-shape",
        level="error",
        message=f"{what}: {sides}; {disagreement(mismatch)}",
        path=mismatch.site.path,
        place=mismatch.site.place,
        help=cure or "bring the operands to one shape; residual and add do not broadcast" * mismatch.site.strict,
        details=tuple(layout(mismatch, names, trace)),
    )


def is_residual(mismatch: Mismatch) -> bool:
    """A residual's addition says so in its site: `main + x`, `main + shortcut`, or Python's `out += identity`."""
    text = f"{mismatch.site.name} {mismatch.site.text}"
    return len(mismatch.operands) == 2 and any(word in text for word in ("residual", "main", "shortcut"))


def side(operand: Operand, name: str) -> str:
    shape = str(operand.value.shape)
    return shape if operand.source == name else f"{shape} from {operand.source}"


def disagreement(mismatch: Mismatch) -> str:
    """`they differ in C (128, 64), H (28, 56) and W (28, 56)`."""
    shapes = [operand.value.shape for operand in mismatch.operands]
    ranks = {len(shape) for shape in shapes}
    if len(ranks) > 1:
        return f"they have {', '.join(str(len(shape)) for shape in shapes)} dimensions"
    parts = [f"{axis_name(axis, len(shapes[0]))} ({', '.join(str(s[axis]) for s in shapes)})" for axis in mismatch.axes]
    return "they differ in " + " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1] if parts else ""]))


def axis_name(axis: int, rank: int) -> str:
    return AXES[axis] if rank == len(AXES) else f"dim {axis}"


def layout(mismatch: Mismatch, names: Sequence[str], trace: Trace) -> Iterator[str]:
    """One line per operand: its name, who made it, its sizes in columns; then carets below those that differ."""
    shapes = [operand.value.shape for operand in mismatch.operands]
    makers = [maker(operand, trace) for operand in mismatch.operands]
    widths = [max(map(len, names)), max(map(len, makers))]
    cells = max(len(str(size)) for shape in shapes for size in (*shape, 0))
    for name, made, shape in zip(names, makers, shapes, strict=True):
        yield f"{name:<{widths[0]}}  {made:<{widths[1]}}  " + sizes(shape, cells)
    if len({len(shape) for shape in shapes}) == 1:
        marks = ["^" * max(len(str(s[a])) for s in shapes) if a in mismatch.axes else "" for a in range(len(shapes[0]))]
        yield (" " * (sum(widths) + 4) + "  ".join(f"{mark:>{cells}}" for mark in marks)).rstrip()


def sizes(shape: Shape, width: int) -> str:
    return "  ".join(f"{size:>{width}}" for size in shape) or "scalar"


def maker(operand: Operand, trace: Trace) -> str:
    """The path of what made the operand, and its name and arguments: `layer2.0.main.3 Conv2d 128, 3×3`."""
    row = next((row for row in trace.rows if any(v.id == operand.value.id for v in row.outputs)), None)
    call = trace.calls[row.call] if row and 0 <= row.call < len(trace.calls) else None
    return " ".join(filter(None, [operand.source, *described(row, call)]))


def described(row: Row | None, call: Call | None) -> list[str]:
    if row is None:
        return []
    site: Site | None = call.site if call and call.site.kind == "layer" else None
    return [site.name, site.text] if site else [row.op]


def from_failure(failure: Failure, trace: Trace) -> Finding:
    """`forward`: which function failed where, on what, and the first line of torch's message."""
    operands = " and ".join(f"{op.value.shape} {op.value.dtype} from {op.source}" for op in failure.operands)
    what = failure.function or "the forward pass"
    ran = f"what ran before it: {len(trace.rows)} operation{'s' * (len(trace.rows) != 1)}"
    return Finding(
        rule="forward",
        level="error",
        message=f"{what} failed{' on ' if operands else ''}{operands}: {failure.message}",
        path=failure.site.path,
        place=failure.site.place,
        help=ran if trace.rows else GIVE_INPUT,
    )
