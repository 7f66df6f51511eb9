"""Edits of a forward: dimensions, sizes in another order, a missing flatten, a value that nothing reads; none is tried
here.

    function ─ calls of tensors' functions, statements ─→ SourceEdits
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from archscope.targets.source_edits import SourceEdit, Writer, closed, parameters, without_numbers
from archscope.targets.source_files import SourceFile

AXES_FIRST = ("flatten", "unflatten", "mean", "sum", "amax", "amin", "unbind", "unsqueeze", "squeeze")
"""Functions whose numbers are all dimensions."""
PARTS_FIRST = ("chunk", "split", "tensor_split")
"""Functions that are told how many parts, or how large ones, before the dimension."""
ALONG = (*AXES_FIRST, *PARTS_FIRST, "stack", "cat", "concat", "select", "narrow", "softmax", "log_softmax", "cumsum")
"""Functions that work along a dimension."""
SIZED = ("view", "reshape", "unflatten")
"""Functions that are told sizes."""
ORDERED = (*SIZED, "permute", "scaled_dot_product_attention", "matmul", "bmm")
"""Functions whose arguments have an order that is easily mistaken."""
MOVES = ("transpose", "permute", "swapaxes", "movedim")
JOINS = ("cat", "concat", "stack")
KEPT = ("view", "reshape", "chunk", "split", "flatten", "unflatten", *MOVES)
"""Names that the form of an expression has."""
TENSOR_FIRST = ("torch", "F")
"""What stands before a function whose first argument is the tensor."""


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


def other_dims(name: str, node: ast.expr, rank: int, kind: str) -> list[int]:
    """Other dimensions than the one that is written: the last, then from the second on, the batch at last. Images are
    joined along their channels."""
    present = ast.literal_eval(node)
    if name in JOINS and rank > 3 and kind in ("concat", "layer"):
        return [1] if kind == "concat" and present != 1 else []
    if not rank:
        return [dim for dim in (-1, 1, 2, 3, 0) if dim != present]
    return [dim for dim in (-1, *range(1, rank - 1), 0) if dim % rank != present % rank]


def moves_beside(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """`.transpose(1, 2)` behind an expression that others of its form have behind them."""
    nodes = [node for node in ast.walk(function) if isinstance(node, ast.expr)]
    forms: dict[str, dict[str, ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MOVES:
            suffix = f".{node.func.attr}({', '.join(map(ast.unparse, (*node.args, *node.keywords)))})"
            forms.setdefault(form_of(node.func.value), {})[suffix] = node.func.value
    moved = {id(node) for one in forms.values() for node in one.values()}
    moved |= {
        id(node.func.value) for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    for node in nodes:
        for suffix in forms.get(form_of(node), ()) if isinstance(node, ast.Call) and id(node) not in moved else ():
            new = f"{file.segment(node)}{suffix}"
            yield from Writer(file, node, function).replaced(node, new, "", own=True)


def form_of(node: ast.expr) -> str:
    """An expression without its names."""
    return re.sub(r"(id|attr)='(\w+)'", lambda one: one[0] if one[2] in KEPT else "", ast.dump(node))


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


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_function(call: ast.Call) -> bool:
    """Whether the tensor is the first argument: `torch.flatten(x, 1)`."""
    holder = call.func.value if isinstance(call.func, ast.Attribute) else None
    return holder is None or (isinstance(holder, ast.Name) and holder.id in TENSOR_FIRST)


def ordered(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call that may stand in another order."""
    if called(call) not in ORDERED:
        return []
    return sizes(call) if called(call) in (*SIZED, "permute") else call.args


def sizes(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call behind its tensor; those in its one tuple or list."""
    behind = call.args[1:] if is_function(call) else call.args
    one = behind[0] if len(behind) == 1 else None
    return one.elts if isinstance(one, (ast.Tuple, ast.List)) else behind


def dims(call: ast.Call) -> list[ast.expr]:
    """The whole numbers of a call that say a dimension."""
    name = called(call)
    if name not in ALONG:
        return []
    words = [keyword.value for keyword in call.keywords if keyword.arg in ("dim", "start_dim", "end_dim")]
    behind = sizes(call)
    found = behind if name in AXES_FIRST else behind[1:2] if name in PARTS_FIRST else behind[:1]
    return [node for node in (*words, *found) if is_whole(node)]


def is_whole(node: ast.expr) -> bool:
    inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    return isinstance(inner, ast.Constant) and type(inner.value) is int


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
