"""Edits of a forward: dimensions, sizes in another order, a missing flatten, a value that nothing reads; none is tried
here.

    function ─ calls of tensors' functions, statements ─→ SourceEdits
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from itertools import pairwise

from archscope.spec.tensor_calls import (
    ALONG,
    JOINS,
    called,
    closed,
    dims,
    form_of,
    is_function,
    is_whole,
    moved,
    other_dims,
    sizes,
    suffix_of,
    without_numbers,
)
from archscope.targets.source_edits import SourceEdit, Writer, parameters
from archscope.targets.source_files import SourceFile

SIZED = ("view", "reshape", "unflatten")
"""Functions that are told sizes."""
ORDERED = (*SIZED, "permute", "scaled_dot_product_attention", "matmul", "bmm")
"""Functions whose arguments have an order that is easily mistaken."""


def other_orders(
    file: SourceFile, function: ast.FunctionDef, ranks: Mapping[str, int], kind: str
) -> Iterator[SourceEdit]:
    """Other dimensions, arguments in another order, in calls of tensors' functions.

    ranks: function → the rank of its first operand, where that is one thing. kind: of the conflict.
    """
    for call in tensor_calls(function):
        at = Writer(file, call, function)
        for node in dims(call):
            for new in other_dims(called(call), node, ranks.get(called(call), 0), kind):
                yield from at.replaced(node, str(new), "dim")
        for first, second in pairwise(ordered(call)):
            start, end = file.range(first)[0], file.range(second)[1]
            between = file.text[file.range(first)[1] : file.range(second)[0]]
            one, other = file.segment(first), file.segment(second)
            yield at.edit(start, end, f"{other}{between}{one}", f"{other}, {one} for {one}, {other}")


def joined_along(file: SourceFile, function: ast.FunctionDef, dim: int) -> Iterator[SourceEdit]:
    """Each concat along this dimension."""
    for call in (one for one in tensor_calls(function) if called(one) in JOINS):
        written = dims(call)
        for node in written:
            yield from Writer(file, call, function).replaced(node, str(dim), "dim", own=True)
        if not written:
            yield from Writer(file, call, function).added("dim", str(dim), own=True)


def tensor_calls(function: ast.FunctionDef) -> list[ast.Call]:
    """The calls of functions that work along a dimension or whose arguments have an order."""
    return [node for node in ast.walk(function) if isinstance(node, ast.Call) and called(node) in (*ALONG, *ORDERED)]


def other_sizes(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """Sums and products without their number, numbers beside the written one, in calls of tensors' functions."""
    for call in tensor_calls(function):
        at = Writer(file, call, function)
        for size in sizes(call):
            for part, rest in without_numbers(size):
                yield from at.replaced(part, rest, "", own=True)
            for part, rest in without_numbers(size, (ast.Mult,)):
                yield from at.replaced(part, rest, "")
        for node in sizes(call) if called(call) in SIZED else ():
            if isinstance(node, ast.Constant) and type(node.value) is int:
                for new in (node.value - 1, node.value + 1):
                    yield from at.replaced(node, str(new), "")
            elif is_whole(node):
                yield from at.replaced(node, "-1", "")


def moves_beside(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """`.transpose(1, 2)` behind an expression that others of its form have behind them."""
    nodes = [node for node in ast.walk(function) if isinstance(node, ast.expr)]
    forms: dict[str, set[str]] = {}
    for node in nodes:
        if (inner := moved(node)) is not None:
            forms.setdefault(form_of(inner), set()).add(suffix_of(node))
    followed = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in (node for node in nodes if isinstance(node, ast.Call) and id(node) not in followed):
        for suffix in sorted(forms.get(form_of(node), ())):
            yield from Writer(file, node, function).replaced(node, f"{file.segment(node)}{suffix}", "", own=True)


def unread_values(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """A local value that nothing reads before its name stands for another, in place of each value that is read until
    then."""
    statements = [node for node in ast.walk(function) if isinstance(node, (ast.Assign, ast.Return))]
    statements.sort(key=lambda node: node.lineno)
    values = {name for statement in statements for name in stored(statement)} | set(parameters(function))
    if any(isinstance(node, (ast.For, ast.While, ast.AugAssign)) for node in ast.walk(function)):
        return  # what is read later may stand earlier
    for number, before in enumerate(statements):
        for name in stored(before):
            behind = statements[number + 1 :]
            end = next((n for n, one in enumerate(behind) if name in stored(one)), len(behind))
            last = behind[end].end_lineno if end < len(behind) else function.end_lineno
            if not is_read(function, name, before.end_lineno or 0, last or 0):
                reads = [(one, node) for one in behind[: end + 1] for node in loads(one) if node.id in values]
                for one, node in reads:
                    yield from Writer(file, one, function).replaced(node, name, "", own=True)


def other_values(file: SourceFile, function: ast.FunctionDef, line: int, column: int) -> Iterator[SourceEdit]:
    """Another value of the function in place of each that the statement around a place reads (both from 1), the newest
    first; values that a loop may have made count as well."""
    statements = [node for node in ast.walk(function) if isinstance(node, (ast.Assign, ast.AugAssign, ast.Return))]
    around = [node for node in statements if node.lineno <= line <= (node.end_lineno or 0)]
    before = sorted((one for one in statements if (one.end_lineno or 0) < line), key=lambda node: -node.lineno)
    known = dict.fromkeys([*(name for one in before for name in stored(one)), *parameters(function)])
    for statement in around[-1:]:
        for node in (one for one in loads(statement) if one.id in known and is_at(statement, one, line, column)):
            for name in (one for one in known if one != node.id):
                yield from Writer(file, statement, function).replaced(node, name, "")


def is_at(statement: ast.stmt, name: ast.Name, line: int, column: int) -> bool:
    """Whether a name stands in the expression at a place."""
    nodes = (node for node in ast.walk(statement) if isinstance(node, ast.expr))
    here = [node for node in nodes if (node.lineno, node.col_offset + 1) == (line, column)]
    return any(part is name for node in here for part in ast.walk(node))


def is_read(function: ast.FunctionDef, name: str, first: int, last: int) -> bool:
    """Whether a function reads a name in the lines behind the first one, up to the last."""
    nodes = (node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    return any(node.id == name and first < node.lineno <= last for node in nodes)


def stored(statement: ast.stmt) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    nodes = (part for target in targets if target is not None for part in elements(target))
    return [node.id for node in nodes if isinstance(node, ast.Name)]


def elements(target: ast.expr) -> list[ast.expr]:
    """What is assigned to: each part of `a, b = …`."""
    return target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]


def loads(statement: ast.Assign | ast.AugAssign | ast.Return) -> list[ast.Name]:
    """The names that a statement reads."""
    nodes = ast.walk(statement.value) if statement.value is not None else ()
    return [node for node in nodes if isinstance(node, ast.Name)]


def ordered(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call that may stand in another order."""
    if called(call) not in ORDERED:
        return []
    return sizes(call) if called(call) in (*SIZED, "permute") else call.args


# ------------------------------------------------------------ a flatten that is missing
def flattened_images(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """`.flatten(2)` before `.transpose(1, 2)`: (N, C, H, W) → (N, C, H·W) → (N, H·W, C)."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and called(node) == "transpose":
            held = node.func.value if isinstance(node.func, ast.Attribute) and not is_function(node) else None
            for tensor in filter(None, (held, *(node.args[:1] if held is None else ()))):
                yield from Writer(file, node, function).replaced(tensor, f"{closed(tensor)}.flatten(2)", "", own=True)


def moved_operands(
    file: SourceFile, function: ast.FunctionDef, line: int, column: int, suffix: str
) -> Iterator[SourceEdit]:
    """`.transpose(1, 2)` behind the first argument of the call that stands at a place (both from 1)."""
    for node in ast.walk(function):
        here = isinstance(node, ast.Call) and (node.lineno, node.col_offset + 1) == (line, column)
        if isinstance(node, ast.Call) and here and node.args:
            new = f"{closed(node.args[0])}{suffix}"
            yield from Writer(file, node, function).replaced(node.args[0], new, "", own=True)
