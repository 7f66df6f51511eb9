"""Proposals for typos: small changes of a step's numbers, and of the values of its names where its block is used.

    step → its numbers ± 1, parts of its sums → its names: the block's arguments at the use, the use's names, params

They come last, if arithmetic finds nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from archscope.fixes.proposals.conflict_case import MAX_USE_DEPTH, ConflictCase, Proposal, Spot, argument_node
from archscope.fixes.proposals.inputs_and_labels import labels_before
from archscope.spec.name_usage import names_in
from archscope.spec.spec_types import Argument, Definition, Expression
from archscope.trace import Call, Row


def propose_typos(case: ConflictCase) -> Iterator[Proposal]:
    """Propose changes in the conflict's own step, in the values of its and the walk's names, and in steps on the
    walk."""
    rows = case.diagnosis.index.trace.rows
    own = rows[case.mismatch.row : case.mismatch.row + 1] if case.mismatch.row >= 0 else ()
    walked = (change.row for side in case.diagnosis.sides for change in side)
    expressions = [(row, *found) for row in (*own, *walked) for found in row_expressions(case, row)]
    for _, spot, whole in expressions[:1]:
        yield from propose_node_typos(case, spot, whole, whole.tree)
    for row, _, whole in expressions:
        names = list(dict.fromkeys(names_in(whole.tree)))
        yield from propose_argument_typos(case, names, case.uses(row)[:MAX_USE_DEPTH])
    for _, spot, whole in expressions[1:]:
        yield from propose_node_typos(case, spot, whole, whole.tree)
    yield from propose_param_typos(case, None)


def propose_sibling_sizes(case: ConflictCase) -> Iterator[Proposal]:
    """Propose another side's size for a size in conflict that the step states."""
    for spot, whole in row_expressions(case, case.row) if case.row is not None else ():
        for node in (part for part in ast.walk(whole.tree) if isinstance(part, ast.expr)):
            for new in sizes_of_other_sides(case, node):
                start, end = spot.page.segment(whole, node)
                words = f"{new} instead of {spot.page.text[start:end]} on line {spot.span.line}"
                yield from spot.proposal(words, spot.page.cut(start, end, new))


def row_expressions(case: ConflictCase, row: Row) -> Iterator[tuple[Spot, Expression]]:
    """Yield the expression of a row's step."""
    spot = case.spot(row.place)
    whole = spot.page.expression(spot.span) if spot is not None else None
    if spot is not None and whole is not None:
        yield spot, whole


def propose_node_typos(case: ConflictCase, spot: Spot, whole: Expression, tree: ast.AST) -> Iterator[Proposal]:
    """Propose one of its parts for each sum, and neighbours for each number."""
    values = {*labels_before(spot), "prev"}
    dims = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "dim"
        for part in ast.walk(node)
    }
    for node in (node for node in ast.walk(tree) if node not in dims):
        if case.is_divisor_conflict and not isinstance(node, ast.BinOp):
            continue  # propose_divisors has the numbers that divide
        for new in likely_originals(node) if is_numeric(node, values) else ():
            start, end = spot.page.segment(whole, node)
            old, cause = spot.page.text[start:end], case.cause_at(spot, start)
            description = f"{new} instead of {old} on line {spot.span.line}"
            for proposal in spot.proposal(description, spot.page.cut(start, end, new)):
                yield replace(proposal, cause=cause)


def is_numeric(node: ast.AST, values: Collection[str]) -> bool:
    """Return whether an expression consists of numbers: without layers, calls of them, and values of the network."""
    found = list(ast.walk(node))
    has_layer = any(isinstance(part, ast.Call) and getattr(part.func, "id", "")[:1].isupper() for part in found)
    return not has_layer and not any(isinstance(part, ast.Name) and part.id in values for part in found)


def sizes_of_other_sides(case: ConflictCase, node: ast.AST) -> Iterator[str]:
    """Yield the other sides' sizes for a written size in conflict."""
    if isinstance(node, ast.Constant) and type(node.value) is int and len(case.diagnosis.shapes) > 1:
        ranks = [len(shape) for shape in case.diagnosis.shapes]
        for axis in case.mismatch.axes:
            sizes = [s[axis - max(ranks)] for s in case.diagnosis.shapes if len(s) >= max(ranks) - axis]
            yield from (str(size) for size in sizes if node.value in sizes and size != node.value)


def likely_originals(node: ast.AST) -> list[str]:
    """Return what an expression may have been before a typo."""
    if isinstance(node, ast.BinOp):
        return [ast.unparse(part) for part in (node.left, node.right) if not isinstance(part, ast.Constant)]
    if isinstance(node, ast.Constant) and type(node.value) is int:
        n = node.value
        return [str(other) for other in dict.fromkeys((n + 1, n - 1, n * 2, n // 2)) if other > 1]
    return []


def propose_argument_typos(case: ConflictCase, names: Sequence[str], uses: Sequence[Call]) -> Iterator[Proposal]:
    """Propose typos in the definitions of these names: params, `let`, and the arguments where the block is used."""
    yield from propose_param_typos(case, names)
    yield from propose_definition_typos(case, names)
    spot = case.spot(uses[0].site.place) if uses else None
    whole = spot.page.expression(spot.span) if spot is not None else None
    if spot is None or whole is None:
        return
    further: list[str] = []
    for call in case.calls(spot):
        for name, given in call.arguments.items():
            if call.name == uses[0].site.name and name in names:
                tree = argument_node(spot, whole, given)
                yield from propose_node_typos(case, spot, whole, tree)
                further += names_in(tree)
    if further:
        yield from propose_argument_typos(case, further, uses[1:])


def propose_definition_typos(case: ConflictCase, names: Sequence[str]) -> Iterator[Proposal]:
    """Propose typos in the entries of these names under a `let:`, and in defaults of blocks' arguments."""
    for page in case.pages.values():
        for part in page.all_nodes:
            value = part.value if isinstance(part, Definition) else part.default if isinstance(part, Argument) else None
            named = isinstance(part, (Definition, Argument)) and part.name in names
            if named and isinstance(value, Expression) and page.is_verbatim(value):
                yield from propose_node_typos(case, Spot(page, value.span), value, value.tree)


def propose_param_typos(case: ConflictCase, names: Sequence[str] | None) -> Iterator[Proposal]:
    """Propose typos in the params of these names (None: in all), by default and in variants."""
    for page in case.pages.values():
        settings = (*page.spec.params, *(setting for variant in page.spec.variants for setting in variant.settings))
        for setting in (part for part in settings if names is None or part.name in names):
            found = page.data(setting.value)
            tree = ast.parse(found.text, mode="eval").body if found is not None and found.text.isdigit() else None
            for new in likely_originals(tree) if tree is not None and not case.is_divisor_conflict else ():
                if found is not None:
                    text = page.cut(found.start, found.end, new)
                    yield from Spot(page, setting.span).proposal(f"{setting.name}: {new}", text)
