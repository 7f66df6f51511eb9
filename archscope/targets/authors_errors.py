"""What an error of the author's own code is about, where its expression tells for certain: a cure, or nothing.

self.WIDTHS[groups], KeyError(4) → "WIDTHS has 3 and 8"        assert dim % heads == 0 → heads that divide dim
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from archscope.errors import did_you_mean
from archscope.layer_rules import divisors_in_words, is_count
from archscope.targets.calls import taken
from archscope.targets.construction_frames import Making
from archscope.targets.shown_values import quoted
from archscope.targets.source_files import UNKNOWN, SourceFile
from archscope.targets.value_origins import value_of

MOST_KEYS = 8
NOT_BEGUN = "before Module.__init__() call"


def cure_of_authors(error: BaseException, making: Making, file: SourceFile, node: ast.AST) -> str:
    """What would do, where that is certain; else nothing."""
    names = making.names
    if isinstance(error, AttributeError) and NOT_BEGUN in str(error) and making.module is not None:
        return f"super().__init__() comes first in {type(making.module).__name__}.__init__"
    if isinstance(error, (KeyError, IndexError)) and isinstance(node, ast.Subscript):
        return _indexed(error, node, names)
    if isinstance(error, AttributeError) and isinstance(node, ast.Attribute):
        return _attribute(making, file, node)
    if isinstance(error, TypeError) and isinstance(node, ast.Call):
        return _called(node, names)
    if isinstance(node, (ast.BinOp, ast.Compare)):
        return _divided(node, names)
    return ""


def _indexed(error: BaseException, node: ast.Subscript, names: Mapping[str, object]) -> str:
    held, key, text = value_of(node.value, names), value_of(node.slice, names), ast.unparse(node.value)
    if isinstance(error, KeyError) and type(held) is dict and error.args and error.args[0] not in held:
        near = did_you_mean(key, [k for k in held if isinstance(k, str)]) if isinstance(key, str) else ""
        keys = [quoted(one) for one in list(held)[:MOST_KEYS]] + ["…"] * (len(held) > MOST_KEYS)
        return near or (f"{text} has {', '.join(keys)}" if keys else f"{text} is empty")
    if isinstance(error, IndexError) and isinstance(held, (list, tuple)) and isinstance(key, int):
        count = len(held)
        return f"{text} has {count} item{'s' * (count != 1)}" + f", from 0 to {count - 1}" * (count > 0)
    return ""


def _attribute(making: Making, file: SourceFile, node: ast.Attribute) -> str:
    """An attribute that is set further down, or is called nearly so."""
    holder = value_of(node.value, making.names)
    if holder is UNKNOWN:
        return ""
    if holder is making.module and isinstance(node.value, ast.Name):
        later = _set_later(file, node, making)
        if later:
            return f"{ast.unparse(node)} is set in line {later}, after it is read"
    modules = list(holder._modules) if isinstance(holder, nn.Module) and "_modules" in vars(holder) else []
    return did_you_mean(node.attr, [*dir(type(holder)), *getattr(holder, "__dict__", {}), *modules])


def _set_later(file: SourceFile, node: ast.Attribute, making: Making) -> int:
    """The first line of the same constructor below an expression that sets its attribute; 0 where there is none."""
    first = making.innermost.f_code.co_firstlineno
    for function in ast.walk(file.tree):
        if isinstance(function, ast.FunctionDef) and function.lineno <= node.lineno <= (function.end_lineno or 0):
            lines = (
                n.lineno
                for n in ast.walk(function)
                if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and ast.unparse(n) == ast.unparse(node)
            )
            if function.lineno >= first:
                return min((line for line in lines if line > node.lineno), default=0)
    return 0


def _called(node: ast.Call, names: Mapping[str, object]) -> str:
    """What a class or function takes that was called with other arguments."""
    called = value_of(node.func, names)
    starred = any(isinstance(one, ast.Starred) for one in node.args) or any(k.arg is None for k in node.keywords)
    if called is UNKNOWN or not callable(called) or starred:
        return ""
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        return ""
    given = {keyword.arg: None for keyword in node.keywords if keyword.arg is not None}
    return "" if _binds(signature, len(node.args), given) else _signature(called, signature, given)


def _binds(signature: inspect.Signature, count: int, given: Mapping[str, Any]) -> bool:
    try:
        signature.bind(*[None] * count, **given)
    except TypeError:
        return False
    return True


def _signature(called: Any, signature: inspect.Signature, given: Mapping[str, Any]) -> str:
    unknown = next((name for name in given if name not in signature.parameters), "")
    near = did_you_mean(unknown, signature.parameters) if unknown else ""
    its = f"it is {taken(signature, getattr(called, '__name__', 'the call'))}"
    return f"{near} {its}".strip()


def _divided(node: ast.BinOp | ast.Compare, names: Mapping[str, object]) -> str:
    """Divisors for `size % count`, `size % count == 0`, where count does not divide size."""
    remainder = node.left if isinstance(node, ast.Compare) else node
    if not isinstance(remainder, ast.BinOp) or not isinstance(remainder.op, ast.Mod):
        return ""
    size, count = value_of(remainder.left, names), value_of(remainder.right, names)
    if not is_count(size) or not is_count(count) or size % count == 0:
        return ""
    many, whole = ast.unparse(remainder.right), ast.unparse(remainder.left)
    many, whole = (text if text.isdigit() else f"{text}={n}" for text, n in ((many, count), (whole, size)))
    return f"{many} does not divide {whole}: {divisors_in_words(size, count)}"


def condition_at(file: SourceFile, line: int) -> ast.AST | None:
    """The condition of an assertion, or of the innermost `if` around a `raise`, at a line."""
    found: ast.AST | None = None
    for node in ast.walk(file.tree):
        if not isinstance(node, (ast.Assert, ast.If)):
            continue
        ends = [node] if isinstance(node, ast.Assert) else [one for one in node.body if isinstance(one, ast.Raise)]
        if any(holds_line(one, line) for one in ends):
            found = node.test
    return found


def holds_line(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)
