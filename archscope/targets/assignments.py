"""Assignments of a method to the modules of `self`: its definition → Assignments, each with a path below `self` and a
value.

    self.a, self.b = nn.X(), nn.Y()      self.body.fc = nn.X()
    setattr(self, f"conv{i}", nn.X())    self.layers.append(nn.X())

Read from the source; no code is run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from archscope.targets.source_files import FunctionDefinition

REGISTER_METHODS = ("add_module", "register_module")
GROW_METHODS = ("extend", "insert", "append")


@dataclass(frozen=True)
class Assignment:
    """path: the names below `self`, as regular expressions. value: None if it is not known.

    repeated: it is in a loop. conditional: it may not be reached. appended: the value is a new last item of the
    container at the path.
    """

    path: tuple[str, ...]
    value: ast.expr | None
    repeated: bool = False
    conditional: bool = False
    appended: bool = False

    def matches(self, names: tuple[str, ...]) -> bool:
        """Return whether this assigns to the first of these names."""
        heads = names[: len(self.path)]
        return len(heads) == len(self.path) and all(map(re.fullmatch, self.path, heads))


@dataclass(frozen=True)
class StatementContext:
    """The loops and conditions around a statement."""

    repeated: bool = False
    conditional: bool = False


def find_assignments(definition: FunctionDefinition) -> Iterator[Assignment]:
    """Yield every assignment to something below `self`, in the order of the text."""
    for statement, around in iter_statements(definition.node.body, StatementContext()):
        for path, value, appended in statement_assignments(statement, definition.self_name):
            yield Assignment(path, value, around.repeated, around.conditional, appended)


def iter_statements(body: list[ast.stmt], around: StatementContext) -> Iterator[tuple[ast.stmt, StatementContext]]:
    """Yield the statements of a body and of all nested bodies, without those of functions and classes."""
    for statement in body:
        yield statement, around
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        loop = isinstance(statement, (ast.For, ast.While, ast.AsyncFor))
        within = StatementContext(around.repeated or loop, around.conditional or not isinstance(statement, ast.With))
        for name in ("body", "orelse", "finalbody"):
            yield from iter_statements(getattr(statement, name, []), within)
        for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield from iter_statements(part.body, within)


AssignedValue = tuple[tuple[str, ...], "ast.expr | None", bool]


def statement_assignments(statement: ast.stmt, own: str) -> Iterator[AssignedValue]:
    """Yield the assignments of one statement below `self`: path, value, whether it is appended."""
    match statement:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from target_assignments(target, value, own)
        case ast.AnnAssign(target=target, value=value) if value is not None:
            yield from target_assignments(target, value, own)
        case ast.AugAssign(target=target):
            yield from target_assignments(target, None, own)
        case ast.Expr(value=ast.Call() as call):
            yield from call_assignments(call, own)


def target_assignments(target: ast.expr, value: ast.expr | None, own: str) -> Iterator[AssignedValue]:
    """Yield the assignments to a target; tuples item by item."""
    if isinstance(target, (ast.Tuple, ast.List)):
        alike = isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts)
        values = value.elts if isinstance(value, (ast.Tuple, ast.List)) and alike else [None] * len(target.elts)
        starred = any(isinstance(item, ast.Starred) for item in (*target.elts, *values))
        for item, one in zip(target.elts, values, strict=True):
            yield from target_assignments(item, None if starred else one, own)
        return
    path = self_path(target, own)
    if path:
        yield path, value, False


def call_assignments(call: ast.Call, own: str) -> Iterator[AssignedValue]:
    """Yield the assignments of `self.add_module(name, value)`, `setattr(self, name, value)`,
    `self.layers.append(value)`.
    """
    match call:
        case ast.Call(func=ast.Name(id="setattr"), args=[holder, name, value]):
            base = self_path(holder, own)
            if base is not None:
                yield (*base, name_pattern(name)), value, False
        case ast.Call(func=ast.Attribute(value=holder, attr=method), args=args):
            base = self_path(holder, own)
            if base is None:
                return
            if method in REGISTER_METHODS and len(args) == 2:
                yield (*base, name_pattern(args[0])), args[1], False
            elif method in GROW_METHODS and base:
                yield base, args[0] if method == "append" and len(args) == 1 else None, True


def self_path(node: ast.expr, own: str) -> tuple[str, ...] | None:
    """Return ("body", "fc") for `self.body.fc`, () for `self`; None for anything else."""
    match node:
        case ast.Name(id=name) if name == own:
            return ()
        case ast.Attribute(value=value, attr=name):
            base = self_path(value, own)
            return None if base is None else (*base, re.escape(name))
        case ast.Subscript(value=value, slice=index):
            base = self_path(value, own)
            return None if base is None else (*base, name_pattern(index))
    return None


def name_pattern(name: ast.expr) -> str:
    """Return the possible values of a name as a regular expression: `f"conv{i}"` → `conv.*`."""
    match name:
        case ast.Constant(value=str() | int() as value):
            return re.escape(str(value)) if not isinstance(value, int) or value >= 0 else ".*"
        case ast.JoinedStr(values=parts):
            return "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".*" for p in parts)
        case ast.BinOp(left=ast.Constant(value=str() as head), op=ast.Add()):
            return re.escape(head) + ".*"
    return ".*"


def outside_assignments(tree: ast.AST, name: str) -> Iterator[ast.expr]:
    """Yield the values assigned to a name of anything but a method's own `self`: `net.fc = nn.Linear(512, 10)`, `net[0]
    = …`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(is_outside_target(target, name) for target in node.targets):
            yield node.value


def is_outside_target(target: ast.expr, name: str) -> bool:
    match target:
        case ast.Attribute(value=holder, attr=attr) if attr == name:
            return not (isinstance(holder, ast.Name) and holder.id in ("self", "cls"))
        case ast.Subscript(slice=index):
            return re.fullmatch(name_pattern(index), name) is not None
    return False
