"""Calls of tensor functions as written, in a spec or in Python: their names, dimensions and operands.

`x.chunk(2, dim=1)`, `torch.cat([x, y], 1)` ─→ call_name · size_arguments · dim_arguments ─→ alternative_dims
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

PERMUTE_FUNCTIONS = ("permute", "transpose", "swapaxes", "swapdims", "movedim")
"""Functions that reorder the dimensions of a tensor."""
RESHAPE_FUNCTIONS = ("flatten", "view", "reshape", "unflatten")
"""Functions that return the same elements in another shape."""
DIM_ONLY_FUNCTIONS = ("flatten", "unflatten", "mean", "sum", "amax", "amin", "unbind", "unsqueeze", "squeeze")
"""Functions whose integer arguments are all dimensions."""
SPLIT_FUNCTIONS = ("chunk", "split", "tensor_split")
"""Functions that take the number or the size of the parts before the dimension."""
CONCAT_FUNCTIONS = ("cat", "concat", "stack")
"""Functions that join tensors along a dimension."""
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
"""Functions that operate along a dimension."""
NAMESPACES = ("torch", "F")
"""Names before a function whose first argument is the tensor."""
FORM_NAMES = ("chunk", "split", *RESHAPE_FUNCTIONS, *PERMUTE_FUNCTIONS)
"""Names that `expression_form` keeps."""
SUM_OPERATORS = (ast.Add, ast.Sub)
"""Operations whose number is likely a mistake; a factor, `// 2` and `** 2` are mostly intended."""


def call_name(call: ast.Call) -> str:
    """Return the name of the function or method."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_function_call(call: ast.Call) -> bool:
    """Return whether the tensor is the first argument: `torch.flatten(x, 1)`, `cat([x, y], 1)`; not in a step
    `flatten(1)`.
    """
    if isinstance(call.func, ast.Attribute):
        return isinstance(call.func.value, ast.Name) and call.func.value.id in NAMESPACES
    return bool(call.args) and not is_integer_literal(call.args[0])


def size_arguments(call: ast.Call) -> list[ast.expr]:
    """Return the arguments of a call after its tensor, or the items of the one tuple or list there."""
    behind = call.args[1:] if is_function_call(call) else call.args
    one = behind[0] if len(behind) == 1 else None
    return one.elts if isinstance(one, (ast.Tuple, ast.List)) else behind


def dim_arguments(call: ast.Call) -> list[ast.expr]:
    """Return the integer arguments of a call that are dimensions."""
    name = call_name(call)
    if name not in DIM_FUNCTIONS:
        return []
    words = [keyword.value for keyword in call.keywords if keyword.arg in ("dim", "start_dim", "end_dim")]
    behind = size_arguments(call)
    found = behind if name in DIM_ONLY_FUNCTIONS else behind[1:2] if name in SPLIT_FUNCTIONS else behind[:1]
    return [node for node in (*words, *found) if is_integer_literal(node)]


def alternative_dims(name: str, node: ast.expr, rank: int, kind: str) -> list[int]:
    """Return dimensions other than the written one, the likeliest first: the last, then those from the second on, and
    for joined tensors the batch.

    rank: of the function's first operand, 0 if not known. kind: of the conflict. Images are joined along their
    channels, and along no other dimension because a later layer has another number of channels.
    """
    present = ast.literal_eval(node)
    if name in CONCAT_FUNCTIONS and rank > 3 and kind in ("concat", "layer"):
        return [1] if kind == "concat" and present != 1 else []
    batch = (0,) if name in CONCAT_FUNCTIONS else ()  # a function that removes the batch fits a batch of 1 alone
    if not rank:
        return [dim for dim in (-1, 1, 2, 3, *batch) if dim != present]
    return [dim for dim in (-1, *range(1, rank - 1), *batch) if dim % rank != present % rank]


def is_integer_literal(node: ast.expr) -> bool:
    """Return whether an expression is a literal integer, negative or not."""
    inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    return isinstance(inner, ast.Constant) and type(inner.value) is int


def permuted_operand(tree: ast.AST) -> ast.expr | None:
    """Return the operand of a transposition or permutation; None for anything else."""
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute) and tree.func.attr in PERMUTE_FUNCTIONS:
        return tree.func.value
    return None


def method_suffix(call: ast.AST) -> str:
    """Return `.transpose(1, 2)` of a method call."""
    assert isinstance(call, ast.Call)
    return f".{call_name(call)}({', '.join(map(ast.unparse, (*call.args, *call.keywords)))})"


def expression_form(tree: ast.AST) -> str:
    """Return the syntax of an expression without its names, except those of reshapes and permutations."""
    return re.sub(r"(id|attr)='(\w+)'", lambda one: one[0] if one[2] in FORM_NAMES else "", ast.dump(tree))


def drop_numbers(node: ast.expr, operations: tuple[type, ...] = SUM_OPERATORS) -> Iterator[tuple[ast.expr, str]]:
    """Yield each sum with a number in an expression, and its other part: `width` for `width + 1`."""
    for part in ast.walk(node):
        if isinstance(part, ast.BinOp) and isinstance(part.op, operations):
            rest = [side for side in (part.left, part.right) if not isinstance(side, ast.Constant)]
            if len(rest) == 1:
                yield part, parenthesized(rest[0]) if part is not node else ast.unparse(rest[0])


def parenthesized(node: ast.expr) -> str:
    """Return an expression as text that can be part of any other expression."""
    atom = isinstance(node, (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant))
    return ast.unparse(node) if atom else f"({ast.unparse(node)})"
