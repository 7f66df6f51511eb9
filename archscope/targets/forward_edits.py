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


def forward_edits(
    file: SourceFile, function: ast.FunctionDef, ranks: Mapping[str, int], kind: str
) -> Iterator[SourceEdit]:
    """Other dimensions, sizes in another order, sums without a number, in calls of tensors' functions.

    ranks: function → the rank of its first operand, where that is one thing. kind: of the conflict.
    """
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and called(node) in (*ALONG, *ORDERED)]
    for call in calls:
        at = Writer(file, call, function)
        for node in dims(call):
            for new in other_dims(called(call), node, ranks.get(called(call), 0), kind):
                yield from at.replaced(node, str(new), "dim")
        for first, second in pairwise(ordered(call)):
            start, end = file.range(first)[0], file.range(second)[1]
            between = file.text[file.range(first)[1] : file.range(second)[0]]
            one, other = file.segment(first), file.segment(second)
            yield at.edit(start, end, f"{other}{between}{one}", f"{other}, {one} for {one}, {other}")
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


def is_read(function: ast.FunctionDef, name: str, first: int, last: int) -> bool:
    """Whether a function reads a name in the lines behind the first one, up to the last."""
    nodes = (node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    return any(node.id == name and first < node.lineno <= last for node in nodes)


def stored(statement: ast.Assign | ast.Return) -> list[str]:
    return [target.id for target in getattr(statement, "targets", ()) if isinstance(target, ast.Name)]


def loads(statement: ast.Assign | ast.Return) -> list[ast.Name]:
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
