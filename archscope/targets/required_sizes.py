"""Sizes that a condition in the author's code requires: a failed assertion → SizeConditions, one for each size.

assert maps.size(2) == 1 n, c, h, w = x.shape; if h % 16 != 0: raise ValueError(…)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from archscope.record.user_frame import raising_frame
from archscope.targets.source_files import SourceCache
from archscope.targets.user_code_errors import condition_at, spans_line
from archscope.targets.value_origins import static_value
from archscope.trace import Operand, SizeCondition


def find_required_sizes(error: BaseException, local: Mapping[str, Operand]) -> tuple[SizeCondition, ...]:
    """Return the sizes of local values that the condition behind an exception does not accept; none if it requires
    anything else.
    """
    frame = raising_frame(error)
    file = SourceCache().file(frame.f_code.co_filename) if frame is not None else None
    line = error.__traceback__
    while line is not None and line.tb_next is not None:
        line = line.tb_next
    if frame is None or file is None or line is None:
        return ()
    condition = condition_at(file, line.tb_lineno)
    function = file.function_at(line.tb_lineno)
    if not isinstance(condition, ast.expr) or function is None:
        return ()
    asserts = any(isinstance(n, ast.Assert) and spans_line(n, line.tb_lineno) for n in ast.walk(function))
    every, names = condition_parts(condition, asserts=asserts), frame.f_locals
    found = [_required_size(part, function, names, local, asserts=asserts) for part in every]
    wrong = tuple(size for size in found if size is not None and not is_satisfied(size))
    return wrong if None not in found else ()


def condition_parts(condition: ast.expr, *, asserts: bool) -> Iterator[ast.expr]:
    """Yield the comparisons that must all hold: those joined by `and` in an assertion, by `or` in front of
    a `raise`.
    """
    joint = ast.And if asserts else ast.Or
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, joint):
        for value in condition.values:
            yield from condition_parts(value, asserts=asserts)
    else:
        yield condition


def is_satisfied(condition: SizeCondition) -> bool:
    size = condition.operand.value.shape[condition.axis]
    return size == condition.equals if not condition.divisor else size % condition.divisor == 0


def _required_size(
    part: ast.expr,
    function: ast.FunctionDef,
    names: Mapping[str, object],
    local: Mapping[str, Operand],
    *,
    asserts: bool,
) -> SizeCondition | None:
    """Return the size that one comparison requires; None if it does not compare a local value's size with a known
    number.
    """
    sign = ast.Eq if asserts else ast.NotEq
    if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mod) and not asserts:  # `if h % 16: raise`
        part = ast.Compare(part, [ast.NotEq()], [ast.Constant(0)])
    if not isinstance(part, ast.Compare) or len(part.ops) != 1 or not isinstance(part.ops[0], sign):
        return None
    for one, other in ((part.left, part.comparators[0]), (part.comparators[0], part.left)):
        number = static_value(other, names)
        divided = isinstance(one, ast.BinOp) and isinstance(one.op, ast.Mod)
        divisor = static_value(one.right, names) if isinstance(one, ast.BinOp) and divided else 0
        size = one.left if isinstance(one, ast.BinOp) and divided else one
        where = find_size_axis(size, function, names, local)
        if where is None or type(number) is not int or type(divisor) is not int:
            continue
        if divided and (number or divisor < 1):
            return None
        return SizeCondition(*where, ast.unparse(size), equals=number, divisor=divisor)
    return None


def find_size_axis(
    node: ast.expr, function: ast.FunctionDef, names: Mapping[str, object], local: Mapping[str, Operand]
) -> tuple[Operand, int] | None:
    """Return the value and the axis whose size an expression is: `x.size(2)`, `x.shape[2]`, a name unpacked from a
    shape.
    """
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="size"), args=[at], keywords=[]):
            axis = static_value(at, {})
        case ast.Subscript(value=ast.Attribute(value=ast.Name(id=name), attr="shape"), slice=at):
            axis = static_value(at, {}) if not isinstance(at, ast.UnaryOp) else _negated_constant(at)
        case ast.Name(id=own):
            found = single_assignment(own, function)
            if found is not None:
                return find_size_axis(found, function, names, local) if not isinstance(found, ast.Name) else None
            name, axis = unpacked_axis(own, function)
            if name in local and type(axis) is int and names.get(own) != _axis_size(local[name], axis):
                return None
        case _:
            return None
    if name not in local or type(axis) is not int or _axis_size(local[name], axis) is None:
        return None
    return local[name], axis % len(local[name].value.shape)


def _negated_constant(node: ast.UnaryOp) -> object:
    value = node.operand.value if isinstance(node.operand, ast.Constant) else None
    return -value if isinstance(node.op, ast.USub) and type(value) is int else None


def _axis_size(operand: Operand, axis: int) -> int | None:
    shape = operand.value.shape
    return shape[axis] if -len(shape) <= axis < len(shape) else None


def single_assignment(own: str, function: ast.FunctionDef) -> ast.expr | None:
    """Return the value of a name that is bound once and by itself: `h = x.shape[2]`."""
    bound = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == own and isinstance(n.ctx, ast.Store)]
    given = [n for n in ast.walk(function) if isinstance(n, ast.Assign) and n.targets == bound]
    return given[0].value if len(bound) == 1 and given else None


def unpacked_axis(own: str, function: ast.FunctionDef) -> tuple[str, int | None]:
    """Return the name of the value that a size was unpacked from, and its axis; the size's name must be bound once."""
    bound = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == own and isinstance(n.ctx, ast.Store)]
    for node in ast.walk(function) if len(bound) == 1 else ():
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=items)], value=value) if any(one is bound[0] for one in items):
                rank = len(items)
                starred = any(isinstance(one, ast.Starred) for one in items)
                axis = next(n for n, one in enumerate(items) if one is bound[0])
                return _shape_owner(value), None if starred or not rank else axis
    return "", None


def _shape_owner(node: ast.expr) -> str:
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr="shape"):
            return name
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="size"), args=[], keywords=[]):
            return name
    return ""
