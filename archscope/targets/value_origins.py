"""The origins of values in an expression: a frame that stopped at it → `mid = branch // 4 = 90`.

Read from the source; no code is run. A name's assignment is shown only if its value is certainly still the present one:
it is bound once, before the expression, on every path to it, and so are the names in it.
"""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

from archscope.targets.construction_steps import INNER_CODE_NAMES, ConstructionStep, shown_arguments
from archscope.targets.quoted_values import quote_value
from archscope.targets.source_files import ARITHMETIC_OPERATORS, UNRESOLVED, SourceFile, all_arguments, first_code_line

MAX_ORIGINS = 6
MAX_SOURCE_CHARS = 80
COMPREHENSION_NODES = (ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
DESCRIPTOR_TYPES = (property, FunctionType, classmethod, staticmethod)


def find_origins(step: ConstructionStep, file: SourceFile, node: ast.AST) -> list[str]:
    """Return each name of an expression with its value, and the expression that it was computed from; without constants
    and functions.
    """
    return list(dict.fromkeys(_iter_origins(step, file, node)))[:MAX_ORIGINS]


def _iter_origins(step: ConstructionStep, file: SourceFile, node: ast.AST) -> Iterator[str]:
    function = running_function(step, file)
    bound = count_bindings(function)
    arguments = shown_arguments(step.frame)
    waiting, seen = [node], set[str]()
    while waiting:
        for name in iter_read_names(waiting.pop(0)):
            text, value = ast.unparse(name), static_value(name, step.names)
            if text in seen or value is UNRESOLVED:
                continue
            if callable(value) or isinstance(value, (ModuleType, nn.Module)):
                continue
            seen.add(text)
            assigned = find_assignment(function, text, node, bound) if isinstance(name, ast.Name) else None
            if (
                assigned is not None
                and len(shown := ast.unparse(assigned)) <= MAX_SOURCE_CHARS
                and shown != repr(value)
            ):
                yield f"{text} = {shown} = {quote_value(value)}"
                waiting.append(_without_attributes(assigned))
            elif not (text in arguments and bound[text] <= 1):
                yield f"{text} = {quote_value(value)}"


def loop_state(step: ConstructionStep, file: SourceFile, node: ast.AST) -> str:
    """Return the present iteration of the loops around an expression: `i = 0, width = 64`; "" without a loop."""
    function, line = running_function(step, file), getattr(node, "lineno", 0)
    loops = [n for n in ast.walk(function or ast.Pass()) if isinstance(n, ast.For) and n.lineno <= line]
    around = [loop for loop in loops if loop.body[0].lineno <= line <= (loop.body[-1].end_lineno or 0)]
    comprehensions = [part for part in ast.walk(file.tree) if isinstance(part, COMPREHENSION_NODES)]
    inner = [whole for whole in comprehensions if any(part is node for part in ast.walk(whole))]
    bound = [*(loop.target for loop in around), *(part.target for whole in inner for part in whole.generators)]
    targets = [n.id for target in bound for n in ast.walk(target) if isinstance(n, ast.Name)]
    known = {name: static_value(ast.Name(name, ast.Load()), step.names) for name in dict.fromkeys(targets)}
    shown = [f"{name} = {quote_value(value)}" for name, value in known.items() if value is not UNRESOLVED]
    return ", ".join(shown[:MAX_ORIGINS])


def _without_attributes(node: ast.expr) -> ast.AST:
    """Return an expression without attributes: they may have had other values before."""
    names = [name for name in iter_read_names(node) if isinstance(name, ast.Name)]
    return ast.Tuple([ast.Name(name.id, ast.Load()) for name in names], ast.Load())


def iter_read_names(node: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    """Yield the names and dotted names that an expression reads, in order, without those of called functions."""
    if isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and is_dotted(node)):
        yield node
        return
    called = node.func if isinstance(node, ast.Call) else None
    for child in ast.iter_child_nodes(node):
        if child is not called:
            yield from iter_read_names(child)


def is_dotted(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and is_dotted(node.value))


def static_value(node: ast.expr, names: Mapping[str, object]) -> Any:
    """Return the value of a name, a dotted name or an index of one; UNRESOLVED if only a run of the author's code could
    determine it.
    """
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names.get(name, UNRESOLVED)
        case ast.Attribute(value=holder, attr=name):
            return static_attribute(static_value(holder, names), name)
        case ast.BinOp(left=left, op=sign, right=right):
            one, other, operation = (
                static_value(left, names),
                static_value(right, names),
                ARITHMETIC_OPERATORS.get(type(sign)),
            )
            plain = type(one) is int and type(other) is int and operation is not None
            return operation(one, other) if plain and operation is not None and other else UNRESOLVED
        case ast.Subscript(value=holder, slice=index):
            container, key = static_value(holder, names), static_value(index, names)
            plain = type(container) in (list, tuple, dict) and isinstance(key, (int, str))
            try:
                return container[key] if plain else UNRESOLVED
            except (LookupError, TypeError):
                return UNRESOLVED
    return UNRESOLVED


def static_attribute(holder: object, name: str) -> Any:
    """Return an attribute that is stored, not computed."""
    if holder is UNRESOLVED:
        return UNRESOLVED
    if isinstance(holder, nn.Module) and name in holder.__dict__.get("_modules", {}):
        return holder._modules[name]
    try:
        found = inspect.getattr_static(holder, name, UNRESOLVED)
    except Exception:  # noqa: BLE001 - an author's object may be anything
        return UNRESOLVED
    own = isinstance(holder, (ModuleType, type))
    hidden = not own and (isinstance(found, DESCRIPTOR_TYPES) or hasattr(type(found), "__get__"))
    return UNRESOLVED if hidden else found


# ------------------------------------------------------------ assignments
def running_function(step: ConstructionStep, file: SourceFile) -> ast.FunctionDef | None:
    """Return the definition of the function that was running; for a comprehension, of the one around it."""
    codes: list[CodeType] = [one.f_code for one in step.frames if one.f_code.co_name not in INNER_CODE_NAMES]
    code = (codes or [step.frame.f_code])[-1]
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef) and (node.name, first_code_line(node)) == (
            code.co_name,
            code.co_firstlineno,
        ):
            return node
    return None


def count_bindings(function: ast.FunctionDef | None) -> Counter[str]:
    """Return how often each name is bound in a function, including as an argument."""
    if function is None:
        return Counter()
    found = Counter(argument.arg for argument in all_arguments(function.args))
    found.update(n.id for n in ast.walk(function) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load))
    return found


def find_assignment(function: ast.FunctionDef | None, name: str, node: ast.AST, bound: Counter[str]) -> ast.expr | None:
    """Return the expression that a name was bound to before an expression; None if that could have been
    another value.
    """
    if function is None or bound[name] != 1:
        return None
    for statement in statements_before(function, getattr(node, "lineno", 0)):
        match statement:
            case ast.Assign(targets=[ast.Name(id=own)], value=value):
                if own == name:
                    once = all(bound[n.id] <= 1 for n in ast.walk(value) if isinstance(n, ast.Name))
                    return value if once else None
    return None


def statements_before(statement: ast.AST, line: int) -> Iterator[ast.stmt]:
    """Yield the statements that run on every path to a line."""
    for _, block in ast.iter_fields(statement):
        inside = [one for one in block if isinstance(one, ast.stmt)] if isinstance(block, list) else []
        holds = [one for one in inside if one.lineno <= line <= (one.end_lineno or one.lineno)]
        if holds:
            yield from (one for one in inside if (one.end_lineno or one.lineno) < line and one is not holds[0])
            yield from statements_before(holds[0], line)
