"""The causes of errors in the author's own code, if the failing expression shows them for certain: a help, or "".

self.WIDTHS[groups], KeyError(4) → "WIDTHS has 3 and 8" assert dim % heads == 0 → heads that divide dim
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping

from torch import nn

from archscope.errors import did_you_mean
from archscope.ops.constructor_checks import format_divisors, is_count
from archscope.targets.construction_steps import ConstructionStep
from archscope.targets.forward_calls import call_signature_text
from archscope.targets.quoted_values import quote_value
from archscope.targets.source_files import UNRESOLVED, SourceFile
from archscope.targets.value_origins import static_value

MAX_KEYS = 8
NO_SUPER_INIT = "before Module.__init__() call"


def user_code_help(error: BaseException, step: ConstructionStep, file: SourceFile, node: ast.AST) -> str:
    """Return what would work, if that is certain; else ""."""
    names = step.names
    if isinstance(error, AttributeError) and NO_SUPER_INIT in str(error) and step.module is not None:
        return f"super().__init__() comes first in {type(step.module).__name__}.__init__"
    if isinstance(error, (KeyError, IndexError)) and isinstance(node, ast.Subscript):
        return _index_help(error, node, names)
    if isinstance(error, AttributeError) and isinstance(node, ast.Attribute):
        return _attribute_help(step, file, node)
    if isinstance(error, TypeError) and isinstance(node, ast.Call):
        return _call_help(node, names)
    if isinstance(node, (ast.BinOp, ast.Compare)):
        return _divisor_help(node, names)
    return ""


def _index_help(error: BaseException, node: ast.Subscript, names: Mapping[str, object]) -> str:
    container, key, text = static_value(node.value, names), static_value(node.slice, names), ast.unparse(node.value)
    if isinstance(error, KeyError) and type(container) is dict and error.args and error.args[0] not in container:
        near = did_you_mean(key, [k for k in container if isinstance(k, str)]) if isinstance(key, str) else ""
        keys = [quote_value(one) for one in list(container)[:MAX_KEYS]] + ["…"] * (len(container) > MAX_KEYS)
        return near or (f"{text} has {', '.join(keys)}" if keys else f"{text} is empty")
    if isinstance(error, IndexError) and isinstance(container, (list, tuple)) and isinstance(key, int):
        count = len(container)
        return f"{text} has {count} item{'s' * (count != 1)}" + f", from 0 to {count - 1}" * (count > 0)
    return ""


def _attribute_help(step: ConstructionStep, file: SourceFile, node: ast.Attribute) -> str:
    """Return a help for an attribute that is set further down, or has a similar name."""
    holder = static_value(node.value, step.names)
    if holder is UNRESOLVED:
        return ""
    if holder is step.module and isinstance(node.value, ast.Name):
        later = _later_assignment_line(file, node, step)
        if later:
            return f"{ast.unparse(node)} is set in line {later}, after it is read"
    modules = list(holder._modules) if isinstance(holder, nn.Module) and "_modules" in vars(holder) else []
    return did_you_mean(node.attr, [*dir(type(holder)), *getattr(holder, "__dict__", {}), *modules])


def _later_assignment_line(file: SourceFile, node: ast.Attribute, step: ConstructionStep) -> int:
    """Return the first line after an expression, in the same constructor, that sets its attribute; 0 if
    there is none.
    """
    first = step.innermost.f_code.co_firstlineno
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


def _call_help(node: ast.Call, names: Mapping[str, object]) -> str:
    """Return the signature of a class or function that was called with wrong arguments."""
    called = static_value(node.func, names)
    starred = any(isinstance(one, ast.Starred) for one in node.args) or any(k.arg is None for k in node.keywords)
    if called is UNRESOLVED or not callable(called) or starred:
        return ""
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        return ""
    given = {keyword.arg: None for keyword in node.keywords if keyword.arg is not None}
    try:
        signature.bind(*[None] * len(node.args), **given)
    except TypeError:
        unknown = next((name for name in given if name not in signature.parameters), "")
        near = did_you_mean(unknown, signature.parameters) if unknown else ""
        call = call_signature_text(signature, getattr(called, "__name__", "the call"))
        return f"{near} it is {call}".strip()
    return ""


def _divisor_help(node: ast.BinOp | ast.Compare, names: Mapping[str, object]) -> str:
    """Return divisors for `size % count`, `size % count == 0`, if count does not divide size."""
    remainder = node.left if isinstance(node, ast.Compare) else node
    if not isinstance(remainder, ast.BinOp) or not isinstance(remainder.op, ast.Mod):
        return ""
    size, count = static_value(remainder.left, names), static_value(remainder.right, names)
    if not is_count(size) or not is_count(count) or size % count == 0:
        return ""
    many, whole = ast.unparse(remainder.right), ast.unparse(remainder.left)
    many, whole = (text if text.isdigit() else f"{text}={n}" for text, n in ((many, count), (whole, size)))
    return f"{many} does not divide {whole}: {format_divisors(size, count)}"


def condition_at(file: SourceFile, line: int) -> ast.AST | None:
    """Return the condition of an assertion, or of the innermost `if` around a `raise`, at a line."""
    found: ast.AST | None = None
    for node in ast.walk(file.tree):
        if not isinstance(node, (ast.Assert, ast.If)):
            continue
        ends = [node] if isinstance(node, ast.Assert) else [one for one in node.body if isinstance(one, ast.Raise)]
        if any(spans_line(one, line) for one in ends):
            found = node.test
    return found


def spans_line(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)
