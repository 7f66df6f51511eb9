"""Proposals for the sizes that layers, views and joins state, and for a missing or superfluous Flatten."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

from archscope.conflicts.causes import DIVISOR_ARGUMENTS, is_size_of_other_axis
from archscope.conflicts.declared_arguments import channels_first_step, has_channels_last
from archscope.fixes.proposals.conflict_case import ConflictCase, Proposal, Spot, enclosing_block
from archscope.fixes.proposals.layer_arguments import (
    expression_parts,
    propose_new_argument,
    propose_use_argument,
    sibling_texts_at,
)
from archscope.fixes.proposals.literals import nearest_size_divisors, propose_divisors, propose_multiples
from archscope.spec.editable_spec import ArgumentText
from archscope.spec.spec_types import Expression, Join
from archscope.spec.tensor_calls import PERMUTE_FUNCTIONS, call_name
from archscope.trace import Shape


def propose_declared_size(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the actual size for the size that the layer states, or to leave it out."""
    wrong, spot = case.mismatch.wrong_argument, case.site
    if wrong is None or spot is None or case.mismatch.kind != "layer":
        return
    path = case.mismatch.site.path
    if is_size_of_other_axis(case.mismatch, case.diagnosis.shapes[0], case.diagnosis.known_names):
        return
    if has_channels_last(case.diagnosis):
        step = channels_first_step(case.diagnosis)
        yield from spot.proposal(f"{step} before {path}", spot.page.with_step_before(spot.span, step))
        return
    if wrong.argument in DIVISOR_ARGUMENTS:
        yield from propose_depthwise(case, spot)
        yield from propose_group_divisors(case, spot)
        yield from propose_divisors(case)
        yield from propose_multiples(case)
    for call in case.calls(spot):
        if wrong.argument in call.arguments:
            if call.arguments[wrong.argument].text.isidentifier() and case.row is not None:
                yield from propose_use_argument(case, case.row, call.arguments[wrong.argument].text, str(wrong.needed))
            inferred = f"{wrong.argument}?" in case.signatures.get(call.name, ())
            left_out = f"let {path} infer {wrong.argument}" if inferred else f"leave {wrong.argument} out in {path}"
            if wrong.argument == "groups" or wrong.argument not in DIVISOR_ARGUMENTS:
                yield from spot.proposal(left_out, spot.page.without_argument(call, wrong.argument))
            if wrong.argument in DIVISOR_ARGUMENTS:
                continue
            text = spot.page.with_argument(call, wrong.argument, str(wrong.needed))
            yield from spot.proposal(f"{wrong.argument}={wrong.needed} in {path}", text)
            for other in (
                *expression_parts(call.arguments[wrong.argument].text),
                *sibling_texts_at(case, spot, wrong.argument),
            ):
                text = spot.page.with_argument(call, wrong.argument, other)
                yield from spot.proposal(f"{wrong.argument}={other} in {path}", text)


def propose_depthwise(case: ConflictCase, spot: Spot) -> Iterator[Proposal]:
    """Propose as many groups as input channels if the groups are a name, for a depthwise convolution."""
    for call in case.calls(spot):
        given = call.arguments.get("groups")
        if given is not None and given.text.isidentifier() and enclosing_block(spot) is not None:
            text = spot.page.with_argument(call, "groups", "in_channels")
            for proposal in spot.proposal(f"groups=in_channels in {case.mismatch.site.path}", text):
                yield replace(proposal, own=True)


def propose_group_divisors(case: ConflictCase, spot: Spot) -> Iterator[Proposal]:
    """Propose the nearest numbers that divide the size for groups or heads written as a number."""
    wrong = case.mismatch.wrong_argument
    for call in case.calls(spot):
        given = call.arguments.get(wrong.argument) if wrong is not None else None
        if wrong is not None and given is not None and given.text.isdecimal():
            best = [wrong.needed] if isinstance(wrong.needed, int) else []
            for new in dict.fromkeys([*best, *nearest_size_divisors(case, int(given.text))]):
                if case.row is not None:
                    yield from propose_new_argument(case, case.row, spot, call, wrong.argument, str(new))
                words = f"{wrong.argument}={new} in {case.mismatch.site.path}"
                yield from spot.proposal(words, spot.page.with_argument(call, wrong.argument, str(new)))


def propose_flatten(case: ConflictCase) -> Iterator[Proposal]:
    """Propose a Flatten before the layer, or of surplus axes if its input has a higher rank than it takes."""
    spot, rank = case.site, len(case.diagnosis.shapes[0])
    if spot is None or case.mismatch.kind != "layer":
        return
    surplus = [f"flatten(1, {last})" for last in range(2, rank - 1)] if case.mismatch.wrong_argument is None else []
    for step in ("Flatten", *surplus):
        text = spot.page.with_step_before(spot.span, step)
        yield from spot.proposal(f"{step.lower()} before {case.mismatch.site.path}", text)


def propose_transpose(case: ConflictCase) -> Iterator[Proposal]:
    """Propose a transpose before a layer that states the size of another axis, or of the right operand of a product."""
    spot, wrong, shape = case.site, case.mismatch.wrong_argument, case.diagnosis.shapes[0]
    if spot is None:
        return
    for axis in (axis for axis in range(1, len(shape) - 1) if wrong is not None and shape[axis] == wrong.given):
        order = [*(other for other in range(len(shape)) if other != axis), axis]
        step = f"transpose({axis}, 2)" if len(shape) == 3 else f"permute({', '.join(map(str, order))})"
        text = spot.page.with_step_before(spot.span, step)
        yield from spot.proposal(f"{step} before {case.mismatch.site.path}", text)
    whole = spot.page.expression(spot.span)
    for node in right_operands(whole.tree) if whole is not None and case.mismatch.kind == "product" else ():
        if whole is not None:
            _, end = spot.page.segment(whole, node)
            text = spot.page.cut(end, end, ".transpose(-2, -1)")
            yield from spot.proposal("transpose the right operand", text)


def right_operands(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the names that are right operands of a matrix product."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult) and isinstance(node.right, ast.Name):
            yield node.right
        if isinstance(node, ast.Call) and call_name(node) in ("matmul", "bmm") and node.args:
            yield from (arg for arg in node.args[-1:] if isinstance(arg, ast.Name))


def propose_step_removal(case: ConflictCase) -> Iterator[Proposal]:
    """Propose to remove a step that flattened or permuted the image axes."""
    changes = (change.row for side in case.diagnosis.sides for change in side)
    for row in (row for row in changes if row.short_name in ("flatten", *PERMUTE_FUNCTIONS)):
        spot = case.spot(row.place)
        whole = spot.page.expression(spot.span) if spot is not None else None
        if spot is None or whole is None:
            continue
        called = whole.tree.func if isinstance(whole.tree, ast.Call) else whole.tree
        if isinstance(called, ast.Name):  # the step is a single layer or function
            yield from spot.proposal(f"take {row.path} {row.op} out", spot.page.without_line(spot.span))


def propose_view_sizes(case: ConflictCase) -> Iterator[Proposal]:
    """Propose one number of a view as the others determine it, or -1."""
    wrong, spot = case.mismatch.wrong_argument, case.site
    whole = spot.page.expression(spot.span) if spot is not None else None
    if spot is None or whole is None or case.mismatch.kind != "view" or wrong is None:
        return
    declared = wrong.given if isinstance(wrong.given, tuple) else ()
    for call in (node for node in ast.walk(whole.tree) if isinstance(node, ast.Call)):
        if call_name(call) == case.mismatch.operation:
            tuples = [arg for arg in call.args if isinstance(arg, (ast.Tuple, ast.List))]
            nodes = tuples[0].elts if tuples else call.args
            yield from propose_sizes_at_nodes(spot, whole, nodes, declared, case.diagnosis.shapes[0])


def propose_sizes_at_nodes(
    spot: Spot, whole: Expression, nodes: Sequence[ast.expr], declared: Sequence[int], shape: Shape
) -> Iterator[Proposal]:
    """Propose one size as the others determine it, first sizes that the input does not have; then -1. The batch is
    never changed."""
    nodes = nodes[-len(declared) :] if declared else ()
    places = (
        [n for n, node in enumerate(nodes) if getattr(node, "id", "") != "N"] if len(nodes) == len(declared) else []
    )
    ends = [(place, *spot.page.segment(whole, nodes[place])) for place in places]
    for place, start, end in sorted(ends, key=lambda end: declared[end[0]] in shape):
        rest = prod(n for i, n in enumerate(declared) if i != place)
        if rest > 0 and prod(shape) % rest == 0:
            old, new = spot.page.text[start:end], size_expression(nodes[place], declared[place], prod(shape) // rest)
            yield from spot.proposal(f"{new} instead of {old}", spot.page.cut(start, end, new))
    for _, start, end in ends if -1 not in declared else ():
        yield from spot.proposal(f"-1 instead of {spot.page.text[start:end]}", spot.page.cut(start, end, "-1"))


def size_expression(node: ast.expr, old: int, new: int) -> str:
    """Return a size in the form of the one that was written: `ngf * 8` for `ngf * 4`, `w` for `w * 2`; else the
    number."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        for name, factor in ((node.left, node.right), (node.right, node.left)):
            times = factor.value if isinstance(factor, ast.Constant) else 0
            if isinstance(times, int) and times > 0 and old % times == 0 and new % (old // times) == 0:
                count = new // (old // times)
                return ast.unparse(name) if count == 1 else f"{ast.unparse(name)} * {count}"
    return str(new)


def propose_join_dims(case: ConflictCase) -> Iterator[Proposal]:
    """Propose another dimension to join along."""
    spot = case.site
    if spot is None or case.mismatch.kind != "concat":
        return
    for argument in filter(None, written_dims(spot)):
        for dim in range(len(case.diagnosis.shapes[0])):
            text = spot.page.cut(argument.start, argument.end, str(dim))
            yield from spot.proposal(f"join along dim {dim}", text)


def written_dims(spot: Spot) -> Iterator[ArgumentText | None]:
    """Yield where the dimension is written: the form's `dim:`, or the argument of a call of cat."""
    form = spot.page.node_at(Join, spot.span)
    if isinstance(form, Join) and form.dim is not None:
        yield spot.page.data(form.dim)
    whole = spot.page.expression(spot.span)
    for call in (node for node in ast.walk(whole.tree) if isinstance(node, ast.Call)) if whole is not None else ():
        for value in [*(word.value for word in call.keywords if word.arg == "dim"), *call.args[1:2]]:
            if whole is not None and call_name(call) in ("cat", "concat", "stack"):
                yield spot.page.argument(whole, value)
