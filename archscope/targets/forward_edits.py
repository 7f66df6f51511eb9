"""Edits of a forward: other dimensions, reordered sizes, a missing flatten, an unread value; not tried here.

function ─ calls of tensor functions, statements ─→ SourceEdits
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from itertools import pairwise

from archscope.spec.tensor_calls import (
    CONCAT_FUNCTIONS,
    DIM_FUNCTIONS,
    alternative_dims,
    call_name,
    dim_arguments,
    drop_numbers,
    expression_form,
    is_function_call,
    is_integer_literal,
    method_suffix,
    parenthesized,
    permuted_operand,
    size_arguments,
)
from archscope.targets.source_edits import EditBuilder, SourceEdit, parameter_names
from archscope.targets.source_files import SourceFile

SIZE_FUNCTIONS = ("view", "reshape", "unflatten")
"""Functions that take sizes."""
ORDER_FUNCTIONS = (*SIZE_FUNCTIONS, "permute", "scaled_dot_product_attention", "matmul", "bmm")
"""Functions whose arguments are easily given in the wrong order."""


def reorder_edits(
    file: SourceFile, function: ast.FunctionDef, ranks: Mapping[str, int], kind: str
) -> Iterator[SourceEdit]:
    """Yield edits of tensor function calls: other dimensions, arguments in another order.

    ranks: function → the rank of its first operand, if it is unique. kind: of the conflict.
    """
    for call in find_tensor_calls(function):
        at = EditBuilder(file, call, function)
        for node in dim_arguments(call):
            for new in alternative_dims(call_name(call), node, ranks.get(call_name(call), 0), kind):
                yield from at.replace_node(node, str(new), "dim")
        for first, second in pairwise(ordered_arguments(call)):
            start, end = file.range(first)[0], file.range(second)[1]
            between = file.text[file.range(first)[1] : file.range(second)[0]]
            one, other = file.segment(first), file.segment(second)
            yield at.edit(start, end, f"{other}{between}{one}", f"{other}, {one} for {one}, {other}")


def concat_dim_edits(file: SourceFile, function: ast.FunctionDef, dim: int) -> Iterator[SourceEdit]:
    """Yield edits that make each concat use this dimension."""
    for call in (one for one in find_tensor_calls(function) if call_name(one) in CONCAT_FUNCTIONS):
        written = dim_arguments(call)
        for node in written:
            yield from EditBuilder(file, call, function).replace_node(node, str(dim), "dim", own=True)
        if not written:
            yield from EditBuilder(file, call, function).add_argument("dim", str(dim), own=True)


def find_tensor_calls(function: ast.FunctionDef) -> list[ast.Call]:
    """Return the calls of functions that operate along a dimension or whose arguments have an order."""
    return [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and call_name(node) in (*DIM_FUNCTIONS, *ORDER_FUNCTIONS)
    ]


def size_expression_edits(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """Yield edits of sizes in tensor function calls: sums and products without their number, neighbours of a number."""
    for call in find_tensor_calls(function):
        at = EditBuilder(file, call, function)
        for size in size_arguments(call):
            for part, rest in drop_numbers(size):
                yield from at.replace_node(part, rest, "", own=True)
            for part, rest in drop_numbers(size, (ast.Mult,)):
                yield from at.replace_node(part, rest, "")
        for node in size_arguments(call) if call_name(call) in SIZE_FUNCTIONS else ():
            if isinstance(node, ast.Constant) and type(node.value) is int:
                for new in (node.value - 1, node.value + 1):
                    yield from at.replace_node(node, str(new), "")
            elif is_integer_literal(node):
                yield from at.replace_node(node, "-1", "")


def missing_permute_edits(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """Yield edits that add `.transpose(1, 2)` to an expression where others of its form have it."""
    nodes = [node for node in ast.walk(function) if isinstance(node, ast.expr)]
    forms: dict[str, set[str]] = {}
    for node in nodes:
        if (inner := permuted_operand(node)) is not None:
            forms.setdefault(expression_form(inner), set()).add(method_suffix(node))
    followed = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in (node for node in nodes if isinstance(node, ast.Call) and id(node) not in followed):
        for suffix in sorted(forms.get(expression_form(node), ())):
            yield from EditBuilder(file, node, function).replace_node(
                node, f"{file.segment(node)}{suffix}", "", own=True
            )


def unread_value_edits(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """Yield edits that use a local value that is never read before its name is rebound, in place of each value that is
    read until then.
    """
    statements = [node for node in ast.walk(function) if isinstance(node, (ast.Assign, ast.Return))]
    statements.sort(key=lambda node: node.lineno)
    values = {name for statement in statements for name in assigned_names(statement)} | set(parameter_names(function))
    if any(isinstance(node, (ast.For, ast.While, ast.AugAssign)) for node in ast.walk(function)):
        return  # a value that is read later may be earlier in the text
    for number, before in enumerate(statements):
        for name in assigned_names(before):
            behind = statements[number + 1 :]
            end = next((n for n, one in enumerate(behind) if name in assigned_names(one)), len(behind))
            last = behind[end].end_lineno if end < len(behind) else function.end_lineno
            if not is_read(function, name, before.end_lineno or 0, last or 0):
                reads = [(one, node) for one in behind[: end + 1] for node in loaded_names(one) if node.id in values]
                for one, node in reads:
                    yield from EditBuilder(file, one, function).replace_node(node, name, "", own=True)


def value_swap_edits(file: SourceFile, function: ast.FunctionDef, line: int, column: int) -> Iterator[SourceEdit]:
    """Yield edits that put another value of the function in place of each that the statement at a place reads, the
    newest first.

    line, column: both from 1. Values that a loop may have made count as well.
    """
    statements = [node for node in ast.walk(function) if isinstance(node, (ast.Assign, ast.AugAssign, ast.Return))]
    around = [node for node in statements if node.lineno <= line <= (node.end_lineno or 0)]
    before = sorted((one for one in statements if (one.end_lineno or 0) < line), key=lambda node: -node.lineno)
    known = dict.fromkeys([*(name for one in before for name in assigned_names(one)), *parameter_names(function)])
    for statement in around[-1:]:
        for node in (
            one
            for one in loaded_names(statement)
            if one.id in known and is_in_expression_at(statement, one, line, column)
        ):
            for name in (one for one in known if one != node.id):
                yield from EditBuilder(file, statement, function).replace_node(node, name, "")


def is_in_expression_at(statement: ast.stmt, name: ast.Name, line: int, column: int) -> bool:
    """Return whether a name occurs in the expression at a place."""
    nodes = (node for node in ast.walk(statement) if isinstance(node, ast.expr))
    starting = [node for node in nodes if (node.lineno, node.col_offset + 1) == (line, column)]
    return any(part is name for node in starting for part in ast.walk(node))


def is_read(function: ast.FunctionDef, name: str, first: int, last: int) -> bool:
    """Return whether a function reads a name in the lines after `first`, up to `last`."""
    nodes = (node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    return any(node.id == name and first < node.lineno <= last for node in nodes)


def assigned_names(statement: ast.stmt) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    nodes = (part for target in targets if target is not None for part in assignment_targets(target))
    return [node.id for node in nodes if isinstance(node, ast.Name)]


def assignment_targets(target: ast.expr) -> list[ast.expr]:
    """Return the targets of an assignment: each part of `a, b = …`."""
    return target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]


def loaded_names(statement: ast.Assign | ast.AugAssign | ast.Return) -> list[ast.Name]:
    """Return the names that a statement reads."""
    nodes = ast.walk(statement.value) if statement.value is not None else ()
    return [node for node in nodes if isinstance(node, ast.Name)]


def ordered_arguments(call: ast.Call) -> list[ast.expr]:
    """Return the arguments of a call that could be given in another order."""
    if call_name(call) not in ORDER_FUNCTIONS:
        return []
    return size_arguments(call) if call_name(call) in (*SIZE_FUNCTIONS, "permute") else call.args


# ------------------------------------------------------------ missing flatten
def flatten_image_edits(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """Yield edits that add `.flatten(2)` before `.transpose(1, 2)`: (N, C, H, W) → (N, C, H·W) → (N, H·W, C)."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and call_name(node) == "transpose":
            operand = node.func.value if isinstance(node.func, ast.Attribute) and not is_function_call(node) else None
            for tensor in filter(None, (operand, *(node.args[:1] if operand is None else ()))):
                yield from EditBuilder(file, node, function).replace_node(
                    tensor, f"{parenthesized(tensor)}.flatten(2)", "", own=True
                )


def permute_operand_edits(
    file: SourceFile, function: ast.FunctionDef, line: int, column: int, suffix: str
) -> Iterator[SourceEdit]:
    """Yield edits that add `.transpose(1, 2)` to the first argument of the call at a place (both from 1)."""
    for node in ast.walk(function):
        is_at_place = isinstance(node, ast.Call) and (node.lineno, node.col_offset + 1) == (line, column)
        if isinstance(node, ast.Call) and is_at_place and node.args:
            new = f"{parenthesized(node.args[0])}{suffix}"
            yield from EditBuilder(file, node, function).replace_node(node.args[0], new, "", own=True)
