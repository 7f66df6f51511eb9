"""Where the values of an expression came from: a frame that stands at it → `mid = branch // 4 = 90`.

By reading: no code is run. A name's assignment is shown only where the value that it had then is the one that it has:
it is bound once, before the expression, on every way to it, and so are the names in it.
"""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

from archscope.targets.construction_frames import INNER, Making, told_arguments
from archscope.targets.shown_values import quoted
from archscope.targets.source_files import OPERATIONS, UNKNOWN, SourceFile, arguments_in, first_line

MOST = 6
LONGEST = 80
COMPREHENSIONS = (ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
COMPUTED = (property, FunctionType, classmethod, staticmethod)


def origins(making: Making, file: SourceFile, node: ast.AST) -> list[str]:
    """Each name of an expression with its value, and what it was made of; constants and functions left out."""
    return list(dict.fromkeys(_origins(making, file, node)))[:MOST]


def _origins(making: Making, file: SourceFile, node: ast.AST) -> Iterator[str]:
    function = function_of(making, file)
    bound = stored(function)
    told = told_arguments(making.frame)
    waiting, seen = [node], set[str]()
    while waiting:
        for name in names_in(waiting.pop(0)):
            text, value = ast.unparse(name), value_of(name, making.names)
            if text in seen or value is UNKNOWN or not is_worth_telling(value):
                continue
            seen.add(text)
            made = assignment(function, text, node, bound) if isinstance(name, ast.Name) else None
            if made is not None and len(shown := ast.unparse(made)) <= LONGEST and shown != repr(value):
                yield f"{text} = {shown} = {quoted(value)}"
                waiting.append(_without_attributes(made))
            elif not (text in told and bound[text] <= 1):
                yield f"{text} = {quoted(value)}"


def turn(making: Making, file: SourceFile, node: ast.AST) -> str:
    """In which turn of the loops around an expression it stood: `i = 0, width = 64`; empty without a loop."""
    function, line = function_of(making, file), getattr(node, "lineno", 0)
    loops = [n for n in ast.walk(function or ast.Pass()) if isinstance(n, ast.For) and n.lineno <= line]
    around = [loop for loop in loops if loop.body[0].lineno <= line <= (loop.body[-1].end_lineno or 0)]
    inner = [one for one in ast.walk(file.tree) if isinstance(one, COMPREHENSIONS) and _holds(one, node)]
    bound = [*(loop.target for loop in around), *(part.target for one in inner for part in one.generators)]
    targets = [n.id for target in bound for n in ast.walk(target) if isinstance(n, ast.Name)]
    known = {name: value_of(ast.Name(name, ast.Load()), making.names) for name in dict.fromkeys(targets)}
    shown = [f"{name} = {quoted(value)}" for name, value in known.items() if value is not UNKNOWN]
    return ", ".join(shown[:MOST])


def _holds(whole: ast.expr, node: ast.AST) -> bool:
    return any(one is node for one in ast.walk(whole))


def is_worth_telling(value: object) -> bool:
    return not callable(value) and not isinstance(value, (ModuleType, nn.Module))


def _without_attributes(node: ast.expr) -> ast.AST:
    """The names of an expression that are no attributes: those may have been other ones then."""
    names = [name for name in names_in(node) if isinstance(name, ast.Name)]
    return ast.Tuple([ast.Name(name.id, ast.Load()) for name in names], ast.Load())


def names_in(node: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    """The names and dotted names that an expression reads, in their order; what is called is none."""
    if isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and is_dotted(node)):
        yield node
        return
    called = node.func if isinstance(node, ast.Call) else None
    for child in ast.iter_child_nodes(node):
        if child is not called:
            yield from names_in(child)


def is_dotted(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and is_dotted(node.value))


def value_of(node: ast.expr, names: Mapping[str, object]) -> Any:
    """What a name, a dotted name or an index of one is; UNKNOWN for what only a run of the author's code could tell."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names.get(name, UNKNOWN)
        case ast.Attribute(value=holder, attr=name):
            return attribute(value_of(holder, names), name)
        case ast.BinOp(left=left, op=sign, right=right):
            one, other, operation = value_of(left, names), value_of(right, names), OPERATIONS.get(type(sign))
            plain = type(one) is int and type(other) is int and operation is not None
            return operation(one, other) if plain and operation is not None and other else UNKNOWN
        case ast.Subscript(value=holder, slice=index):
            held, key = value_of(holder, names), value_of(index, names)
            plain = type(held) in (list, tuple, dict) and isinstance(key, (int, str))
            try:
                return held[key] if plain else UNKNOWN
            except (LookupError, TypeError):
                return UNKNOWN
    return UNKNOWN


def attribute(holder: object, name: str) -> Any:
    """An attribute that is there, and is not worked out."""
    if holder is UNKNOWN:
        return UNKNOWN
    if isinstance(holder, nn.Module) and name in holder.__dict__.get("_modules", {}):
        return holder._modules[name]
    try:
        found = inspect.getattr_static(holder, name, UNKNOWN)
    except Exception:  # noqa: BLE001 - an author's object may be anything
        return UNKNOWN
    own = isinstance(holder, (ModuleType, type))
    hidden = not own and (isinstance(found, COMPUTED) or hasattr(type(found), "__get__"))
    return UNKNOWN if hidden else found


# ------------------------------------------------------------ assignments
def function_of(making: Making, file: SourceFile) -> ast.FunctionDef | None:
    """The definition of the function that was running, the one around a comprehension."""
    codes: list[CodeType] = [one.f_code for one in making.reached if one.f_code.co_name not in INNER]
    code = (codes or [making.frame.f_code])[-1]
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef) and (node.name, first_line(node)) == (code.co_name, code.co_firstlineno):
            return node
    return None


def stored(function: ast.FunctionDef | None) -> Counter[str]:
    """How often each name is bound in a function, as an argument too."""
    if function is None:
        return Counter()
    found = Counter(argument.arg for argument in arguments_in(function.args))
    found.update(n.id for n in ast.walk(function) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load))
    return found


def assignment(function: ast.FunctionDef | None, name: str, node: ast.AST, bound: Counter[str]) -> ast.expr | None:
    """What a name was bound to before an expression; None where that could have been another value."""
    if function is None or bound[name] != 1:
        return None
    for statement in before(function, getattr(node, "lineno", 0)):
        match statement:
            case ast.Assign(targets=[ast.Name(id=own)], value=value):
                if own == name:
                    once = all(bound[n.id] <= 1 for n in ast.walk(value) if isinstance(n, ast.Name))
                    return value if once else None
    return None


def before(statement: ast.AST, line: int) -> Iterator[ast.stmt]:
    """The statements that have run on the way to a line, whichever way was taken."""
    for _, block in ast.iter_fields(statement):
        inside = [one for one in block if isinstance(one, ast.stmt)] if isinstance(block, list) else []
        holds = [one for one in inside if one.lineno <= line <= (one.end_lineno or one.lineno)]
        if holds:
            yield from (one for one in inside if (one.end_lineno or one.lineno) < line and one is not holds[0])
            yield from before(holds[0], line)
