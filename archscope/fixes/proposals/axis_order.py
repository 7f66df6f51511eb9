"""Proposals for values with axes in another order, or with a missing axis: a permute, a transpose, an expand.

Diagnosis ─ the origin of each axis ─→ the inverse permutation, at the end of a residual's main path
          ─ a product whose left operand is transposed ─→ both ways
          ─ a concat of one head with many ─→ expand
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from archscope.conflicts.axis_origins import OutputAxis, axis_origins
from archscope.fixes.proposals.conflict_case import ConflictCase, Proposal, Spot, enclosing_expressions
from archscope.ops.axis_map import count_equal_leading
from archscope.spec import tensor_calls
from archscope.spec.spec_types import Expression, Join, Residual
from archscope.spec.tensor_calls import (
    CONCAT_FUNCTIONS,
    DIM_FUNCTIONS,
    PERMUTE_FUNCTIONS,
    RESHAPE_FUNCTIONS,
    call_name,
    dim_arguments,
    expression_form,
    method_suffix,
    permuted_operand,
)
from archscope.trace import Operand, Row, Shape

PRODUCT_CALLS = ("matmul", "bmm")


# ------------------------------------------------------------ residuals
def propose_permute(case: ConflictCase) -> Iterator[Proposal]:
    """Propose a permute after a residual's main path that gives the axis order of the shortcut."""
    spot = case.site
    residual = spot.page.node_at(Residual, spot.span) if spot is not None else None
    if spot is None or not isinstance(residual, Residual) or not case.diagnosis.is_residual or not residual.main:
        return
    main, shortcut = case.diagnosis.operands[:2]
    order = restoring_order(case, main, shortcut.value.shape)
    last = residual.main[-1].body
    if order and isinstance(last, Expression):
        step = f"permute({', '.join(map(str, order))})"
        text = spot.page.with_step_after(last.span, step)
        yield from Spot(spot.page, replace(last.span, file=spot.span.file)).proposal(f"{step} at the end of main", text)


def restoring_order(case: ConflictCase, operand: Operand, wanted: Shape) -> tuple[int, ...]:
    """Return the axis of an operand for each axis of a shape: by known origin, then by size; () if the sizes differ."""
    shape = operand.value.shape
    if sorted(shape) != sorted(wanted):
        return ()
    came_from = {axis: source_axis(case, operand, axis) for axis in range(len(shape))}
    order: dict[int, int] = {}
    for place, size in enumerate(wanted):
        known = [axis for axis, source in came_from.items() if source == place and shape[axis] == size]
        if known:
            order[place] = known[0]
    for place, size in enumerate(wanted):
        free = [axis for axis in range(len(shape)) if axis not in order.values() and shape[axis] == size]
        if place not in order and free:
            order[place] = free[0]
    found = tuple(order[place] for place in sorted(order))
    return found if len(found) == len(wanted) and found != tuple(range(len(wanted))) else ()


def source_axis(case: ConflictCase, operand: Operand, axis: int) -> int | None:
    """Return the axis of the value before the fork that an axis of an operand follows; None if a step has set it."""
    history, index = case.history, case.diagnosis.index
    fork = history.fork(case.diagnosis.operands)
    value = operand.value
    while (row := index.makers.get(value.id)) is not None and row.index != fork:
        sources = axis_origins(OutputAxis(row, index.activations(row), value.shape, axis))
        if len(sources) != 1:
            return None
        value, axis = sources[0][0].value, sources[0][1]
    return axis


def propose_swapped_sizes(case: ConflictCase) -> Iterator[Proposal]:
    """Propose to exchange two neighbouring sizes of a view, or axes of a permutation, on the path."""
    changes = (change.row for side in case.diagnosis.sides for change in side)
    rows = [row for row in changes if row.short_name in (*RESHAPE_FUNCTIONS, *PERMUTE_FUNCTIONS)]
    for row in sorted(rows, key=lambda row: -row.index):
        spot = case.spot(row.place)
        whole = spot.page.expression(spot.span) if spot is not None else None
        for node in ast.walk(whole.tree) if whole is not None else ():
            name = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            if spot is None or whole is None or not isinstance(node, ast.Call) or name != row.short_name:
                continue
            for number, (first, second) in enumerate(pairwise(node.args)):
                if row.short_name in RESHAPE_FUNCTIONS and mixes_axes(
                    row, number + len(row.outputs[0].shape) - len(node.args)
                ):
                    continue
                (start, middle), (again, end) = spot.page.segment(whole, first), spot.page.segment(whole, second)
                left, right = spot.page.text[start:middle], spot.page.text[again:end]
                text = spot.page.apply_edits([(start, middle, right), (again, end, left)])
                yield from spot.proposal(f"{right}, {left} instead of {left}, {right} in {row.path}", text)


def propose_other_dims(case: ConflictCase) -> Iterator[Proposal]:
    """Propose another dimension for a function on the path: `chunk(2, dim=2)` → `dim=-1`; for a concat, the intended
    one if it is known."""
    intended = case.diagnosis.intended_dim
    own = [case.row] if case.row is not None and intended is not None else []
    rows = {row.index: row for row in (*own, *rows_on_path(case)) if row.short_name in DIM_FUNCTIONS}.values()
    for row in sorted(rows, key=lambda row: -row.index):
        spot = case.spot(row.place)
        whole = spot.page.expression(spot.span) if spot is not None else None
        for node in ast.walk(whole.tree) if whole is not None else ():
            if spot is None or whole is None or not isinstance(node, ast.Call) or call_name(node) != row.short_name:
                continue
            rank = len(row.inputs[0].value.shape)
            for value in dim_arguments(node):
                start, end = spot.page.segment(whole, value)
                joins = intended is not None and row.short_name in CONCAT_FUNCTIONS
                found = tensor_calls.alternative_dims(row.short_name, value, rank, case.mismatch.kind)
                for new in [intended] if joins else found:
                    change = f"{new} instead of {spot.page.text[start:end]}"
                    words = f"{change} as dimension of {row.short_name} on line {spot.span.line}"
                    yield from spot.proposal(words, spot.page.cut(start, end, str(new)))


def rows_on_path(case: ConflictCase) -> list[Row]:
    """Return the rows that made the operands, and those before them that changed a size; for operands of different
    ranks, also views that changed nothing."""
    makers = filter(None, map(case.diagnosis.index.maker, case.diagnosis.operands))
    idle = case.diagnosis.no_op_views
    rows = [*makers, *(change.row for side in case.diagnosis.sides for change in side), *idle]
    return list({row.index: row for row in rows}.values())


def propose_image_flatten(case: ConflictCase) -> Iterator[Proposal]:
    """Propose `flatten(2)` before a transpose of images that are joined with or added to sequences."""
    if {3, 4} == set(map(len, case.diagnosis.shapes)):
        for row in rows_on_path(case):
            spot = (
                case.spot(row.place)
                if row.short_name in PERMUTE_FUNCTIONS and len(row.inputs[0].value.shape) == 4
                else None
            )
            if spot is not None:
                text = spot.page.with_step_before(spot.span, "flatten(2)")
                yield from spot.proposal(f"flatten(2) before {row.short_name} on line {spot.span.line}", text)


def mixes_axes(row: Row, first: int) -> bool:
    """Return whether exchanging two sizes of a view moves an axis of its input: tokens would become heads."""
    before, after = row.inputs[0].value.shape, row.outputs[0].shape
    exchanged = (*after[:first], *reversed(after[first : first + 2]), *after[first + 2 :])
    return count_equal_leading(before, exchanged) < count_equal_leading(before, after)


def propose_sibling_transpose(case: ConflictCase) -> Iterator[Proposal]:
    """Propose `.transpose(1, 2)` after an expression if similar expressions of the block have it."""
    for row in rows_on_path(case):
        spot = case.spot(row.place)
        whole = spot.page.expression(spot.span) if spot is not None else None
        for part in enclosing_expressions(spot) if spot is not None and whole is not None else ():
            inner = permuted_operand(part.tree)
            if (
                spot is not None
                and whole is not None
                and inner is not None
                and expression_form(inner) == expression_form(whole.tree)
            ):
                suffix = method_suffix(part.tree)
                end = spot.page.segment(whole, whole.tree)[1]
                words = f"{suffix} on line {spot.span.line}, as on line {part.span.line}"
                yield from (
                    replace(proposal, own=True) for proposal in spot.proposal(words, spot.page.cut(end, end, suffix))
                )


# ------------------------------------------------------------ products
def propose_product_transpose(case: ConflictCase) -> Iterator[Proposal]:
    """Propose to transpose the left operand of a product, and also its result if the right operand is square."""
    spot = case.site
    whole = spot.page.expression(spot.span) if spot is not None else None
    if spot is None or whole is None or case.mismatch.kind != "product" or len(case.diagnosis.shapes) != 2:
        return
    left, right = case.diagnosis.shapes
    if len(left) < 2 or len(right) < 2 or left[-2] != right[-2]:
        return
    turn = f".transpose({len(left) - 2}, {len(left) - 1})"
    for node, operand in matrix_products(whole.tree):
        start, end = spot.page.segment(whole, operand)
        written = spot.page.text[start:end]
        inner = written if isinstance(operand, (ast.Name, ast.Call, ast.Attribute, ast.Subscript)) else f"({written})"
        pieces = [(start, end, inner + turn)]
        back = spot.page.segment(whole, node)[1]
        if right[-1] == right[-2]:
            closed = isinstance(node, ast.Call)
            first = spot.page.segment(whole, node)[0]
            both = [*pieces, (back, back, turn if closed else f"){turn}"), *([] if closed else [(first, first, "(")])]
            words = f"transpose {written} for the product, and its result back"
            yield from spot.proposal(words, spot.page.apply_edits(both))
        yield from spot.proposal(f"transpose {written} for the product", spot.page.apply_edits(pieces))


def matrix_products(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield every matrix product of an expression with its left operand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield node, node.left
        if isinstance(node, ast.Call) and call_name(node) in PRODUCT_CALLS and len(node.args) == 2:
            yield node, node.args[0]


# ------------------------------------------------------------ concatenated values
def propose_expand(case: ConflictCase) -> Iterator[Proposal]:
    """Propose to expand an operand with one entry to the number of the others before it is joined."""
    spot, shapes = case.site, case.diagnosis.shapes
    if spot is None or case.mismatch.kind != "concat" or len(case.mismatch.axes) != 1:
        return
    axis = case.mismatch.axes[0]
    sizes = {shape[axis] for shape in shapes if axis < len(shape)}
    if len(sizes) != 2 or 1 not in sizes or not axis:
        return
    goal, whole = max(sizes), spot.page.expression(spot.span)
    if whole is None:
        return
    lists = [node for node in ast.walk(whole.tree) if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) > 1]
    for number, node in enumerate(lists[0].elts if len(lists) == 1 else ()):
        if number < len(shapes) and shapes[number][axis] == 1 and isinstance(node, ast.Name):
            _, end = spot.page.segment(whole, node)
            for count in case.names_for_size(goal) or [str(goal)]:
                dims = ", ".join(count if place == axis else "-1" for place in range(len(shapes[number])))
                words = f"expand {node.id} to {count} in dim {axis} before it is joined"
                yield from spot.proposal(words, spot.page.cut(end, end, f".expand({dims})"))


def propose_concat_with_prev(case: ConflictCase) -> Iterator[Proposal]:
    """Propose `prev` as first operand of a concat with a single operand."""
    for row in (row for row in rows_on_path(case) if row.short_name == "cat" and len(row.inputs) == 1):
        spot = case.spot(row.place)
        form = spot.page.node_at(Join, spot.span) if spot is not None else None
        if spot is not None and isinstance(form, Join) and len(form.branches) == 1:
            start = spot.page.offset(spot.span)
            opened = re.compile(r"concat:\s*\[").match(spot.page.text, start)
            if opened is not None:
                text = spot.page.cut(opened.end(), opened.end(), "prev, ")
                yield Proposal(f"join prev too in {row.path}", spot.span.file, text, own=True, evident=True)


# ------------------------------------------------------------ groups of a function
def propose_groups(case: ConflictCase) -> Iterator[Proposal]:
    """Propose `groups` for a conv function whose input has a multiple of its weight's channels."""
    wrong, spot = case.mismatch.wrong_argument, case.site
    whole = spot.page.expression(spot.span) if spot is not None else None
    if spot is None or whole is None or wrong is None or case.mismatch.site.kind == "layer":
        return
    if wrong.argument != "in_channels" or not isinstance(wrong.given, int) or not isinstance(wrong.needed, int):
        return
    times, rest = divmod(wrong.needed, wrong.given)
    for node in ast.walk(whole.tree) if not rest and times > 1 else ():
        name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and name.startswith("conv") and not any(k.arg == "groups" for k in node.keywords):
            end = spot.page.segment(whole, node)[1] - 1
            for count in case.names_for_size(times) or [str(times)]:
                yield from spot.proposal(f"groups={count}", spot.page.cut(end, end, f", groups={count}"))
