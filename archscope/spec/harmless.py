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
            return node.func.attr in ("size", "dim") and not node.keywords and all(map(is_whole, node.args))
        named = isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
        return named and bool(node.args) and not node.keywords and all(harmless(part, lookup) for part in node.args)
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Attribute) and node.value.attr == "shape" and is_whole(node.slice)
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


def is_whole(node: ast.expr) -> bool:
    """Whether an index is written as a number."""
    inner = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(inner, ast.Constant) and isinstance(inner.value, int)


def _harmless_operation(node: ast.BinOp) -> bool:
    right = node.right.value if isinstance(node.right, ast.Constant) else None
    if isinstance(node.op, ast.Pow):
        return right in (1, 2, 3)
    return isinstance(node.op, NEVER_FAIL) or (isinstance(node.op, DIVISIONS) and bool(right))
