"""Report → the tree a reader sees: Calls and Rows → Nodes → Lines (named, wired, summed) → folded repeats → N levels.

A block and a group (a path prefix outside blocks, such as `stem`) hold lines; a layer or a written step is one line,
whatever number of rows it ran; a row that a block ran itself is a line of its own. Leaves sum to the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from archscope import units
from archscope.report.lines import NOTHING, Line, leaves, prune, rebuilt
from archscope.report.model import Report, Total, params_total
from archscope.report.repeats import folded
from archscope.report.tree import Tree, groups
from archscope.report.wiring import Wiring
from archscope.trace import Param


def outline(report: Report, *, expand: bool = False, depth: int | None = None) -> tuple[Line, ...]:
    """The lines of the report. Equal repeated siblings are folded; `expand` shows each, and the rows of layers and
    steps that ran several. `depth`: only so many levels."""
    lines = unfolded(report, rows=True) if expand else folded(unfolded(report))
    return prune(lines, depth) if depth else lines


def unfolded(report: Report, *, rows: bool = False) -> tuple[Line, ...]:
    """Every line, repeated ones too; with `rows` also those of layers and steps that ran several."""
    nodes = tuple(groups(Tree(report.index, rows).top(), ""))
    lines = without_ended(Wiring(report).lines(nodes), report)
    return (*lines, *broken_off(report), *ownerless(report), *unread(report))


def without_ended(lines: Iterable[Line], report: Report) -> tuple[Line, ...]:
    """The lines without the empty one of the layer that ended the forward pass, and without blocks that held it alone:
    it has a line of its own."""
    found, failure = tuple(lines), report.trace.failure
    path = failure.site.path if failure is not None and not failure.backward else ""
    ended = [line for _, line in leaves(found) if path and line.path == path and line.kind == "layer" and not line.rows]
    if not ended:
        return found
    dropped: set[int] = set()

    def make(_: int, line: Line, below: tuple[Line, ...]) -> Line:
        made = replace(line, children=tuple(child for child in below if id(child) not in dropped))
        if line is ended[-1] or (below and not made.children and not made.rows):
            dropped.add(id(made))
        return made

    return tuple(line for line in rebuilt(found, make) if id(line) not in dropped)


def broken_off(report: Report) -> Iterator[Line]:
    """The step that ended the forward pass: it has no row, and a price that nobody knows."""
    failure = report.trace.failure
    if failure is None or failure.backward:
        return
    site, reads = failure.site, tuple(op for op in failure.operands if op.value.id in report.index.flowing)
    path = site.path or failure.function or "forward"
    name = site.name if site.path else ""
    sources, unknown = tuple(operand.source for operand in reads), Total(unrun=1)
    yield Line(path, path, "failed", name, site.text, sources, total=unknown, place=site.place, reads=reads)


def ownerless(report: Report) -> Iterator[Line]:
    """What of the backward pass derives no row: a custom Function's own work, a checkpoint's second forward pass."""
    for row in report.ownerless:
        yield Line(row.op, row.op, "backward", text="backward, of no layer", backward=row.total)


def unread(report: Report) -> Iterator[Line]:
    if not report.trace.ran:
        yield from held(report)
        return
    text = "parameters that nothing reads" if report.finished else "parameters not reached"
    if report.unread:
        own = replace(params_total(report.unread), unrun=int(not report.finished))
        yield Line("unread", "unread", "unread", text=text, total=own)


def held(report: Report) -> Iterator[Line]:
    """A line for each module that holds parameters, with their names and shapes; of a tied one, whose it is."""
    holders: dict[str, list[Param]] = {}
    for param in report.trace.params:
        holders.setdefault(param.name.rpartition(".")[0], []).append(param)
    for path, params in holders.items():
        text = ", ".join(f"{p.name.rpartition('.')[2]} {p.tied_to or units.shape(p.shape)}" for p in params)
        own = params_total(param for param in params if not param.tied_to)
        yield Line(path, path or "the model itself", "unread", text=text, total=replace(own, unrun=1))


def breakdown(report: Report, by: str, *, depth: int | None = None, expand: bool = False) -> tuple[Line, ...]:
    """The report's costs by `module` (top-level parts, or `depth` levels of them; `expand` folds none), `type` (layer
    or function) or `depth` (how deep the lines stand). `times` counts what was summed."""
    if by == "module":
        return outline(report, depth=depth or 1, expand=expand)
    if by == "depth":
        deep = sorted(leaves(unfolded(report)), key=lambda pair: pair[0])
        return tuple(gathered((f"level {level}", line) for level, line in deep))
    kinds = gathered(pair for _, line in leaves(unfolded(report)) for pair in kinds_of(line, report))
    return tuple(sorted(kinds, key=lambda line: (-line.total.known, -line.total.params)))


def kinds_of(line: Line, report: Report) -> Iterator[tuple[str, Line]]:
    """A layer is of its class's kind; of a step every row is of its own."""
    if line.kind in ("layer", "failed", "unread", "backward"):
        yield line.name or line.label, line
        return
    for index in line.rows:
        row = report.rows[index]
        backward = report.derived.get(index, NOTHING)
        yield row.op, Line(row.path, row.op, "row", total=row.total, rows=(index,), backward=backward)


def gathered(pairs: Iterable[tuple[str, Line]]) -> Iterator[Line]:
    """The lines under each key as one, in the order of the first."""
    found: dict[str, list[Line]] = {}
    for key, line in pairs:
        found.setdefault(key, []).append(line)
    for key, same in found.items():
        rows = tuple(index for line in same for index in line.rows)
        total, backward = Total.of(line.total for line in same), Total.of(line.backward for line in same)
        kind = "failed" if any(line.kind == "failed" for line in same) else "sum"
        yield Line(key, key, kind, total=total, rows=rows, times=len(same), backward=backward)
