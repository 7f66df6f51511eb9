"""Proposals for mistakes at another place: the sizes or channels of the input, or a label of another value."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise

from archscope.conflicts.fitting_sizes import FittingSizes, is_near_shape
from archscope.fixes.proposals.conflict_case import ConflictCase, Proposal, Spot, enclosing_block, enclosing_steps
from archscope.spec.editable_spec import ArgumentText, EditableSpec, iter_spec_nodes
from archscope.spec.spec_types import Expression, Input, Join, Label, Residual, Step, Steps

MULTI_VALUE_OPS = ("scaled_dot_product_attention", "matmul", "bmm", "cat", "add", "mul")
"""Functions of several values, each of which may be the wrong one."""


def propose_input_sizes(case: ConflictCase) -> Iterator[Proposal]:
    """Propose other sizes of an input at which everything fits, the nearest first."""
    found = case.diagnosis.fit
    if found is None or len({len(shape) for shape in case.diagnosis.shapes}) > 1:
        return  # with different ranks, another size would only broadcast by chance
    for page in case.pages.values():
        for entry in (entry for entry in page.spec.inputs if entry.name == found.input):
            spots = written_sizes(page, entry)
            if any(axis.axis >= len(spots) or not spots[axis.axis].text.isdigit() for axis in found.axes):
                continue
            for shape in nearest_shapes(found, case):
                new = {spots[axis.axis]: str(size) for axis, size in zip(found.axes, shape, strict=True)}
                yield from Spot(page, entry.span).proposal(f"an input of {size_text(shape)}", with_new_sizes(page, new))


def size_text(shape: Sequence[int]) -> str:
    """Return `720×1280`; for a sequence, `length 100`."""
    return "×".join(map(str, shape)) if len(shape) > 1 else f"length {shape[0]}"


def nearest_shapes(found: FittingSizes, case: ConflictCase) -> list[tuple[int, ...]]:
    """Return the sizes of the free axes at which everything fits, the nearest first; if no layer fixes a size, only
    those between half and twice the given ones."""
    given = tuple(axis.given for axis in found.axes)
    shapes = [shape for shape in found.shapes if shape != given]
    if case.mismatch.wrong_argument is None:
        shapes = [shape for shape in shapes if is_near_shape(shape, given)]
    square = len(set(given)) == 1
    if len(given) == 2 and not square and 4 * min(given) >= 3 * max(given):  # one side may be a typo of the other
        shapes += [pair for size in given if (pair := (size, size)) not in shapes]
    distance = {shape: sum(abs(new - own) / own for new, own in zip(shape, given, strict=True)) for shape in shapes}
    return sorted(shapes, key=lambda shape: (square and len(set(shape)) > 1, distance[shape]))


def propose_input_channels(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the channels that the layer states for the input image."""
    wrong = case.mismatch.wrong_argument
    if wrong is None or wrong.argument not in ("in_channels", "num_features", "num_channels"):
        return
    if not isinstance(wrong.given, int):
        return
    for page in case.pages.values():
        for entry in page.spec.inputs:
            spots = written_sizes(page, entry)
            if len(spots) == 4:
                text = with_new_sizes(page, {spots[1]: str(wrong.given)})
                yield from Spot(page, entry.span).proposal(f"an input of {wrong.given} channels", text)


def written_sizes(page: EditableSpec, entry: Input) -> list[ArgumentText]:
    """Return where the input's sizes are written as numbers: in its shape, or in the params that it names; [] if one is
    not."""
    params = {setting.name: setting.value for setting in page.spec.params}
    spots = [page.data(params.get(dim.text, dim)) for dim in entry.dims or ()]
    found = [spot for spot in spots if spot is not None]
    return found if len(found) == len(spots) else []


def with_new_sizes(page: EditableSpec, new: dict[ArgumentText, str]) -> str:
    text = page.text
    for spot, value in sorted(new.items(), key=lambda item: -item[0].start):
        text = text[: spot.start] + value + text[spot.end :]
    return text


# ------------------------------------------------------------ labels
def propose_other_labels(case: ConflictCase) -> Iterator[Proposal]:
    """Propose another label for the operand: in the step itself, and where its block is used."""
    rows = case.diagnosis.index.trace.rows
    row = rows[case.mismatch.row] if 0 <= case.mismatch.row < len(rows) else None
    walked = (
        change.row for side in case.diagnosis.sides for change in side if change.row.short_name in MULTI_VALUE_OPS
    )
    places = [case.mismatch.site.place, *(call.site.place for call in case.uses(row)), *(row.place for row in walked)]
    for spot in filter(None, (case.spot(place) for place in dict.fromkeys(places))):
        yield from propose_labels_at(spot, case)


def is_same_kind(case: ConflictCase, label: str) -> bool:
    """Return whether a label's value may be in a sum or a product: it has the rank of an operand, and size 1 on the
    same axes. Others would broadcast."""
    if case.mismatch.kind not in ("add", "multiply"):
        return True
    rows = case.diagnosis.index.trace.rows
    named = [row.outputs[0].shape for row in rows if row.outputs and f".{row.path}".endswith(f".{label}")]
    axes_of_one = {tuple(size == 1 for size in shape) for shape in case.diagnosis.shapes}
    return not named or any(tuple(size == 1 for size in shape) in axes_of_one for shape in named)


def propose_swapped_values(case: ConflictCase) -> Iterator[Proposal]:
    """Propose to exchange two neighbouring values in a call, `(memory, x)` → `(x, memory)`: in the step, and where its
    block is used."""
    places = [case.mismatch.site.place, *(call.site.place for call in case.uses(case.row))]
    for spot in filter(None, (case.spot(place) for place in dict.fromkeys(places))):
        known = labels_before(spot)
        for whole in expressions_at(spot):
            for call in (node for node in ast.walk(whole.tree) if isinstance(node, ast.Call)):
                for first, second in pairwise(call.args):
                    if not isinstance(first, ast.Name) or not isinstance(second, ast.Name):
                        continue
                    if first.id in known and second.id in known and first.id != second.id:
                        (start, _), (_, end) = spot.page.segment(whole, first), spot.page.segment(whole, second)
                        text = spot.page.cut(start, end, f"{second.id}, {first.id}")
                        yield from spot.proposal(f"{second.id}, {first.id} instead of {first.id}, {second.id}", text)


def propose_labels_at(spot: Spot, case: ConflictCase) -> Iterator[Proposal]:
    """Propose other labels known before the step for each name in it that is a value."""
    known = labels_before(spot)
    for whole in expressions_at(spot):
        for node in (node for node in ast.walk(whole.tree) if isinstance(node, ast.Name) and node.id in known):
            start, end = spot.page.segment(whole, node)
            names = {other.id for other in ast.walk(whole.tree) if isinstance(other, ast.Name)}
            for label in known:
                if label not in names and is_same_kind(case, label):  # a value joined with itself was not meant
                    yield from spot.proposal(f"{label} instead of {node.id}", spot.page.cut(start, end, label))


def branch_steps(form: object) -> Steps:
    """Return the steps of a form's branches that consist of an expression."""
    if isinstance(form, Residual):
        return tuple(step for step in (*form.main, *form.shortcut) if isinstance(step.body, Expression))
    branches = form.branches if isinstance(form, Join) else ()
    return tuple(step for branch in branches for step in branch.steps if isinstance(step.body, Expression))


def labels_before(spot: Spot) -> list[str]:
    """Return the labels above a place, the nearest first, then prev and the inputs."""
    holder = enclosing_block(spot)
    inputs = (holder.inputs or ()) if holder is not None else spot.page.spec.inputs
    labels = [
        part
        for part in iter_spec_nodes(enclosing_steps(spot))
        if isinstance(part, Label) and part.span.line < spot.span.line
    ]
    return list(dict.fromkeys([*(label.name for label in reversed(labels)), "prev", *(i.name for i in inputs), "x"]))


def expressions_at(spot: Spot) -> Iterator[Expression]:
    """Yield the step's expression, and the `from:` of the step that contains it."""
    whole = spot.page.expression(spot.span)
    if whole is not None:
        yield whole
    for form in (spot.page.node_at(kind, spot.span) for kind in (Join, Residual)):
        parts = (part for part in iter_spec_nodes(branch_steps(form)) if isinstance(part, Expression))
        yield from (part for part in parts if spot.page.is_verbatim(part))
    for step in (part for part in iter_spec_nodes(enclosing_steps(spot)) if isinstance(part, Step)):
        near = step.source is not None and abs(step.span.line - spot.span.line) <= 1
        if near and step.source is not None and spot.page.is_verbatim(step.source):
            yield step.source
