"""Expressions that can be evaluated speculatively: parts made of numbers and operations that no size makes fail.

If a condition is decided at run time, both its values are computed, so neither may fail. An operation that fails only
at some sizes (a division by a value that may be 0) is judged by the least value that its operand can have.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from archscope.spec.bounded_math import EvaluationError

Lookup = Callable[[str], object]

TOTAL_FUNCTIONS = frozenset(["min", "max", "abs", "round", "int", "float", "ceil", "floor"])
"""Functions that return a number for every number."""
MIN_ARGUMENTS = {"sqrt": 0.0, "log": 0.0, "log2": 0.0, "log10": 0.0}
"""The least argument that a function accepts; the logarithms need more than that."""
SAFE_NODES = (ast.IfExp, ast.BoolOp, ast.UnaryOp, ast.Compare)
DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)


def is_safe_expression(node: ast.expr, lookup: Lookup) -> bool:
    """Return whether an expression is made of numbers and of operations that succeed for all sizes."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float))
    if isinstance(node, ast.Name):
        return is_numeric(lookup_name(node.id, lookup))
    if isinstance(node, ast.BinOp):
        return (
            is_safe_expression(node.left, lookup)
            and is_safe_expression(node.right, lookup)
            and _is_safe_operation(node, lookup)
        )
    if isinstance(node, ast.Call):
        return _is_safe_call(node, lookup)
    if isinstance(node, ast.Subscript):
        return _is_shape_attribute(node.value) and _has_axis(node.value.value, node.slice, lookup)  # type: ignore[attr-defined]
    children = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
    return isinstance(node, SAFE_NODES) and all(is_safe_expression(part, lookup) for part in children)


def lookup_name(name: str, lookup: Lookup) -> object:
    """Return the value of a name, None if it is not known here."""
    try:
        return lookup(name)
    except EvaluationError:
        return None


def is_numeric(value: object) -> bool:
    """Return whether a value is a number, plain or computed at run time."""
    return isinstance(value, (int, float)) or bool(getattr(value, "numeric", False))


def _is_safe_call(node: ast.Call, lookup: Lookup) -> bool:
    if node.keywords:
        return False
    if isinstance(node.func, ast.Attribute):
        return node.func.attr == "size" and len(node.args) == 1 and _has_axis(node.func.value, node.args[0], lookup)
    if not isinstance(node.func, ast.Name) or not node.args:
        return False
    name, sound = node.func.id, all(is_safe_expression(part, lookup) for part in node.args)
    body = _function_body(node, lookup)
    if body is not None:
        return sound and is_safe_expression(*body)
    if name in MIN_ARGUMENTS:
        lowest = lower_bound(node.args[0], lookup)
        return sound and len(node.args) == 1 and lowest is not None and lowest >= (0 if name == "sqrt" else 1e-300)
    return sound and (name in TOTAL_FUNCTIONS or (name == "make_divisible" and _divisor(node) > 0))


def _is_safe_operation(node: ast.BinOp, lookup: Lookup) -> bool:
    lowest = lower_bound(node.right if isinstance(node.op, DIVISIONS) else node.left, lookup)
    if isinstance(node.op, DIVISIONS):
        constant = node.right.value if isinstance(node.right, ast.Constant) else None
        return bool(constant) or (lowest is not None and lowest > 0)
    if isinstance(node.op, ast.Pow):
        exponent = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
        small = isinstance(exponent, ast.Constant) and isinstance(exponent.value, (int, float)) and exponent.value <= 3
        whole = node.right is exponent and small and isinstance(exponent.value, int)  # type: ignore[attr-defined]
        return whole or (small and lowest is not None and lowest > 0)
    return isinstance(node.op, (ast.Add, ast.Sub, ast.Mult))


def lower_bound(node: ast.expr, lookup: Lookup) -> float | None:
    """Return a lower bound of the expression over all sizes; None if none is known."""
    if isinstance(node, ast.Constant):
        return float(node.value) if isinstance(node.value, (int, float)) else None
    if isinstance(node, ast.Name):
        value = lookup_name(node.id, lookup)
        return float(value) if isinstance(value, (int, float)) else getattr(value, "least", None)
    if isinstance(node, ast.Call):
        return _call_lower_bound(node, lookup)
    if isinstance(node, ast.Subscript):
        return 0.0 if _is_shape_attribute(node.value) else None
    if isinstance(node, ast.IfExp):
        return _min_lower_bound([node.body, node.orelse], lookup)
    return _operation_lower_bound(node, lookup) if isinstance(node, ast.BinOp) else None


def _call_lower_bound(node: ast.Call, lookup: Lookup) -> float | None:
    if isinstance(node.func, ast.Attribute):
        return 0.0 if node.func.attr == "size" else None
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    body = _function_body(node, lookup)
    if body is not None:
        return lower_bound(*body)
    if name == "make_divisible":
        return float(_divisor(node))
    if name == "max":
        known = [value for value in (lower_bound(part, lookup) for part in node.args) if value is not None]
        return max(known, default=None)
    if name in ("min", "float", "ceil"):
        return _min_lower_bound(node.args, lookup)
    if name in ("int", "floor", "round"):
        lowest = _min_lower_bound(node.args[:1], lookup)
        return float(int(lowest)) if lowest is not None and lowest >= 0 else None
    return 0.0 if name in ("abs", "len", "sqrt") else None


def _divisor(node: ast.Call) -> int:
    """Return the divisor of a make_divisible call, which is the least value that it returns; 0 if it is not
    a number.
    """
    if len(node.args) < 2:
        return 8
    divisor = node.args[1].value if len(node.args) == 2 and isinstance(node.args[1], ast.Constant) else 0
    return divisor if isinstance(divisor, int) else 0


@dataclass(frozen=True)
class BoundedArgument:
    """An argument of a function in `let`: a number, and its lower bound."""

    least: float | None
    numeric: bool = True


def _function_body(node: ast.Call, lookup: Lookup) -> tuple[ast.expr, Lookup] | None:
    """Return the expression of a `let` function called with all its arguments by position, and the lookup
    of its names.
    """
    function: Any = lookup_name(node.func.id, lookup) if isinstance(node.func, ast.Name) else None
    takes = getattr(function, "takes", None)
    if takes is None or len(takes) != len(node.args):
        return None
    arguments = {name: BoundedArgument(lower_bound(part, lookup)) for name, part in zip(takes, node.args, strict=True)}
    return function.tree, lambda name: arguments[name] if name in arguments else function.scope.find(name)


def _min_lower_bound(nodes: list[ast.expr], lookup: Lookup) -> float | None:
    """Return the least lower bound of several expressions; None if one is not known."""
    values = [lower_bound(part, lookup) for part in nodes]
    return min(value for value in values if value is not None) if values and None not in values else None


def _operation_lower_bound(node: ast.BinOp, lookup: Lookup) -> float | None:
    left, right = lower_bound(node.left, lookup), lower_bound(node.right, lookup)
    if isinstance(node.op, ast.Mod):
        return 0.0 if right is not None and right > 0 else None
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Add):
        return left + right
    if isinstance(node.op, ast.Mult):
        return left * right if left >= 0 and right >= 0 else None
    return 0.0 if isinstance(node.op, (ast.Div, ast.FloorDiv)) and left >= 0 and right > 0 else None


def _is_shape_attribute(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "shape"


def _has_axis(tensor: ast.expr, axis: ast.expr, lookup: Lookup) -> bool:
    """Return whether a named tensor has the axis that is written as a number."""
    inner = axis.operand if isinstance(axis, ast.UnaryOp) else axis
    if not (isinstance(inner, ast.Constant) and isinstance(inner.value, int) and isinstance(tensor, ast.Name)):
        return False
    rank = getattr(lookup_name(tensor.id, lookup), "rank", None)
    number = -inner.value if isinstance(axis, ast.UnaryOp) else inner.value
    return isinstance(rank, int) and -rank <= number < rank
