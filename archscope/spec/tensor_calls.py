"""Calls of tensors' functions as they are written, in a spec or in Python: their names, their dimensions, their forms.

`x.chunk(2, dim=1)`, `torch.cat([x, y], 1)` ─→ called · sizes · dims ─→ the dimensions that may have been meant
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

PERMUTE_FUNCTIONS = ("permute", "transpose", "swapaxes", "swapdims", "movedim")
"""Functions that put sizes in another order."""
RESHAPE_FUNCTIONS = ("flatten", "view", "reshape", "unflatten")
"""Functions that look at the same numbers in other sizes."""
DIM_ONLY_FUNCTIONS = ("flatten", "unflatten", "mean", "sum", "amax", "amin", "unbind", "unsqueeze", "squeeze")
"""Functions whose numbers are all dimensions."""
SPLIT_FUNCTIONS = ("chunk", "split", "tensor_split")
"""Functions that are told how many parts, or how large ones, before the dimension."""
CONCAT_FUNCTIONS = ("cat", "concat", "stack")
"""Functions that join values along a dimension."""
DIM_FUNCTIONS = (
    *DIM_ONLY_FUNCTIONS,
    *SPLIT_FUNCTIONS,
    *CONCAT_FUNCTIONS,
    "select",
    "narrow",
    "softmax",
    "log_softmax",
    "cumsum",
)
"""Functions that work along a dimension."""
NAMESPACES = ("torch", "F")
"""What stands before a function whose first argument is the tensor."""
FORM_NAMES = ("chunk", "split", *RESHAPE_FUNCTIONS, *PERMUTE_FUNCTIONS)
"""Names that the form of an expression has."""
SUM_OPERATORS = (ast.Add, ast.Sub)
"""Operations with a number that is likely one too many; a factor, `// 2` and `** 2` are mostly meant."""


def call_name(call: ast.Call) -> str:
    """The name of the function or method."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_function_call(call: ast.Call) -> bool:
    """Whether the tensor is the first argument: `torch.flatten(x, 1)`, `cat([x, y], 1)`; not of a step `flatten(1)`."""
    if isinstance(call.func, ast.Attribute):
        return isinstance(call.func.value, ast.Name) and call.func.value.id in NAMESPACES
    return bool(call.args) and not is_integer_literal(call.args[0])


def size_arguments(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call behind its tensor; those in its one tuple or list."""
    behind = call.args[1:] if is_function_call(call) else call.args
    one = behind[0] if len(behind) == 1 else None
    return one.elts if isinstance(one, (ast.Tuple, ast.List)) else behind


def dim_arguments(call: ast.Call) -> list[ast.expr]:
    """The whole numbers of a call that say a dimension."""
    name = call_name(call)
    if name not in DIM_FUNCTIONS:
        return []
    words = [keyword.value for keyword in call.keywords if keyword.arg in ("dim", "start_dim", "end_dim")]
    behind = size_arguments(call)
    found = behind if name in DIM_ONLY_FUNCTIONS else behind[1:2] if name in SPLIT_FUNCTIONS else behind[:1]
    return [node for node in (*words, *found) if is_integer_literal(node)]


def alternative_dims(name: str, node: ast.expr, rank: int, kind: str) -> list[int]:
    """Other dimensions than the written one, the likeliest first: the last, those from the second on, for values that
    are joined the batch.

    rank: of the function's first operand; 0: not known. kind: of the conflict. Images are joined along their channels,
    and nowhere else because a layer behind them was told other channels.
    """
    present = ast.literal_eval(node)
    if name in CONCAT_FUNCTIONS and rank > 3 and kind in ("concat", "layer"):
        return [1] if kind == "concat" and present != 1 else []
    batch = (0,) if name in CONCAT_FUNCTIONS else ()  # what takes the batch away fits a batch of 1 alone
    if not rank:
        return [dim for dim in (-1, 1, 2, 3, *batch) if dim != present]
    return [dim for dim in (-1, *range(1, rank - 1), *batch) if dim % rank != present % rank]


def is_integer_literal(node: ast.expr) -> bool:
    """Whether an expression is a whole number as it stands, negative or not."""
    inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    return isinstance(inner, ast.Constant) and type(inner.value) is int


def permuted_operand(tree: ast.AST) -> ast.expr | None:
    """What a call of a transposition or permutation moves; None of anything else."""
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute) and tree.func.attr in PERMUTE_FUNCTIONS:
        return tree.func.value
    return None


def method_suffix(call: ast.AST) -> str:
    """`.transpose(1, 2)` of a method's call."""
    assert isinstance(call, ast.Call)
    return f".{call_name(call)}({', '.join(map(ast.unparse, (*call.args, *call.keywords)))})"


def expression_form(tree: ast.AST) -> str:
    """An expression without its names, other than those of views and moves."""
    return re.sub(r"(id|attr)='(\w+)'", lambda one: one[0] if one[2] in FORM_NAMES else "", ast.dump(tree))


def drop_numbers(node: ast.expr, operations: tuple[type, ...] = SUM_OPERATORS) -> Iterator[tuple[ast.expr, str]]:
    """Each sum with a number in an expression, and its other part: `width` for `width + 1`."""
    for part in ast.walk(node):
        if isinstance(part, ast.BinOp) and isinstance(part.op, operations):
            rest = [side for side in (part.left, part.right) if not isinstance(side, ast.Constant)]
            if len(rest) == 1:
                yield part, parenthesized(rest[0]) if part is not node else ast.unparse(rest[0])


def parenthesized(node: ast.expr) -> str:
    """An expression as text that may stand anywhere in another one."""
    atom = isinstance(node, (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant))
    return ast.unparse(node) if atom else f"({ast.unparse(node)})"
