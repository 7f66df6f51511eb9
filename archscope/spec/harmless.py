"""Which parts of an expression may be worked out though nothing asks for them: numbers that no size makes an error.

A condition that is decided when the net runs has both its values worked out then, so neither may fail.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from archscope.spec.numbers import Fault

FUNCTIONS = frozenset(["min", "max", "abs", "round", "int", "float", "ceil", "floor"])
NODES = (ast.IfExp, ast.BoolOp, ast.UnaryOp, ast.Compare)
NEVER_FAIL = (ast.Add, ast.Sub, ast.Mult)
DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)


def harmless(node: ast.expr, lookup: Callable[[str], object]) -> bool:
    """Whether an expression is made of numbers and of operations that give a number whatever the sizes are."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float))
    if isinstance(node, ast.Name):
        return is_numeric(found(node.id, lookup))
    if isinstance(node, ast.BinOp):
        return _harmless_operation(node) and harmless(node.left, lookup) and harmless(node.right, lookup)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            sized = node.func.attr == "size" and len(node.args) == 1 and not node.keywords
            return sized and _is_there(node.func.value, node.args[0], lookup)
        named = isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
        return named and bool(node.args) and not node.keywords and all(harmless(part, lookup) for part in node.args)
    if isinstance(node, ast.Subscript):
        shape = isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
        return shape and _is_there(node.value.value, node.slice, lookup)  # type: ignore[attr-defined]
    children = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
    return isinstance(node, NODES) and all(harmless(part, lookup) for part in children)


def found(name: str, lookup: Callable[[str], object]) -> object:
    """What a name means, None for one that cannot be seen from here."""
    try:
        return lookup(name)
    except Fault:
        return None


def is_numeric(value: object) -> bool:
    return isinstance(value, (int, float)) or bool(getattr(value, "numeric", False))


def _is_there(tensor: ast.expr, axis: ast.expr, lookup: Callable[[str], object]) -> bool:
    """Whether a tensor that has a name has a dimension that is written as a number."""
    inner = axis.operand if isinstance(axis, ast.UnaryOp) else axis
    if not (isinstance(inner, ast.Constant) and isinstance(inner.value, int) and isinstance(tensor, ast.Name)):
        return False
    rank = getattr(found(tensor.id, lookup), "rank", None)
    number = -inner.value if isinstance(axis, ast.UnaryOp) else inner.value
    return isinstance(rank, int) and -rank <= number < rank


def _harmless_operation(node: ast.BinOp) -> bool:
    right = node.right.value if isinstance(node.right, ast.Constant) else None
    if isinstance(node.op, ast.Pow):
        return right in (1, 2, 3)
    return isinstance(node.op, NEVER_FAIL) or (isinstance(node.op, DIVISIONS) and bool(right))
