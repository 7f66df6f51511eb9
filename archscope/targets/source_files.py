"""Python files as they were compiled: a function → its definition in the text of its file. No code is run.

SourceCache.definition(function) → FunctionDefinition: the SourceFile, the node, the values of its names
"""

from __future__ import annotations

import ast
import inspect
import os
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from archscope.errors import Span
from archscope.interrupts import INSTALL_FOLDERS
from archscope.targets.ignored_arguments import relative_path

UNRESOLVED = object()
"""The value of a name that only a run of its function could determine."""
ARITHMETIC_OPERATORS = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
}


@dataclass(frozen=True)
class SourceFile:
    """A file's text with `\n` line endings, and its syntax tree."""

    name: str
    text: str
    tree: ast.Module
    newline: str = "\n"

    def as_written(self, text: str) -> str:
        """Return a text of the file with the line endings of the file."""
        return text.replace("\n", self.newline)

    @property
    def display_name(self) -> str:
        """The name of the file in reports."""
        return relative_path(self.name)

    def function_at(self, line: int) -> ast.FunctionDef | None:
        """Return the innermost function that contains a line."""
        functions = [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)]
        around = [node for node in functions if node.lineno <= line <= (node.end_lineno or 0)]
        return max(around, key=lambda node: node.lineno, default=None)

    @cached_property
    def starts(self) -> list[int]:
        """The offset of every line."""
        found = [0]
        for line in self.text.split("\n"):
            found.append(found[-1] + len(line) + 1)
        return found

    @cached_property
    def codes(self) -> Mapping[tuple[str, int], CodeType]:
        """The compiled functions by name and first line."""
        return {(code.co_name, code.co_firstlineno): code for code in nested_codes(self.compiled)}

    @cached_property
    def compiled(self) -> CodeType:
        return compile(self.text, self.name, "exec", dont_inherit=True)

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a node's position (line from 1, column in UTF-8 bytes) in the text."""
        start = self.starts[line - 1]
        text = self.text[start : self.starts[line]]
        return start + len(text.encode()[:column].decode(errors="replace"))

    def range(self, node: ast.expr) -> tuple[int, int]:
        """Return the offsets of a node's start and end."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)

    def segment(self, node: ast.expr) -> str:
        start, end = self.range(node)
        return self.text[start:end]

    def place(self, node: ast.expr) -> Span:
        start, _ = self.range(node)
        return Span(self.display_name, node.lineno, start - self.starts[node.lineno - 1] + 1)


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield all code objects below one."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from nested_codes(constant)


@dataclass(frozen=True)
class FunctionDefinition:
    """A function's definition, and the namespaces to look up its names."""

    file: SourceFile
    node: ast.FunctionDef
    function: FunctionType

    @cached_property
    def binding_counts(self) -> Mapping[str, int]:
        """Return how often each local name is bound, including arguments and loops."""
        found: dict[str, int] = {argument.arg: 1 for argument in all_arguments(self.node.args)}
        for node in ast.walk(self.node):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found[node.id] = found.get(node.id, 0) + 1
            elif isinstance(node, ast.alias):
                found[node.asname or node.name.partition(".")[0]] = 2
        return found

    @property
    def self_name(self) -> str:
        """The name of the function's `self` parameter."""
        arguments = all_arguments(self.node.args)
        return arguments[0].arg if arguments else ""

    def resolve_name(self, node: ast.expr) -> Any:
        """Return the value of a dotted name where the function is defined; UNRESOLVED for locals and for computed
        values.
        """
        match node:
            case ast.Name(id=name):
                return self._global(name) if name not in self.binding_counts else UNRESOLVED
            case ast.Attribute(value=value, attr=name):
                holder = self.resolve_name(value)
                return vars(holder).get(name, UNRESOLVED) if isinstance(holder, ModuleType) else UNRESOLVED
        return UNRESOLVED

    def _global(self, name: str) -> Any:
        code, cells = self.function.__code__, self.function.__closure__ or ()
        closed = dict(zip(code.co_freevars, cells, strict=False))
        if name in closed:
            try:
                return closed[name].cell_contents
            except ValueError:  # the name has no value yet
                return UNRESOLVED
        return self.function.__globals__.get(name, UNRESOLVED)

    def value(self, node: ast.expr, attributes: Mapping[str, Any]) -> Any:
        """Return the value of a literal, of arithmetic with literals, of constants of the module and attributes of
        `self`; else UNRESOLVED.
        """
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Tuple(elts=items) | ast.List(elts=items):
                found = tuple(self.value(item, attributes) for item in items)
                return UNRESOLVED if UNRESOLVED in found else found
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self.value(operand, attributes)
                return -value if isinstance(value, (int, float)) else UNRESOLVED
            case ast.BinOp():
                return self._arithmetic_value(node, attributes)
            case ast.Attribute(value=ast.Name(id=own), attr=name) if own == self.self_name:
                return plain_or_unresolved(attributes.get(name, UNRESOLVED))
        return plain_or_unresolved(self.resolve_name(node))

    def _arithmetic_value(self, node: ast.BinOp, attributes: Mapping[str, Any]) -> Any:
        left, right = self.value(node.left, attributes), self.value(node.right, attributes)
        operation = ARITHMETIC_OPERATORS.get(type(node.op))
        if operation is None or not isinstance(left, int) or not isinstance(right, int):
            return UNRESOLVED
        try:
            return operation(left, right)
        except ZeroDivisionError:
            return UNRESOLVED


def plain_or_unresolved(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool, type(None))) else UNRESOLVED


def all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    extra = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra]


@dataclass
class SourceCache:
    """The definitions of functions; each file is read once. Files of installed packages are skipped: users do not edit
    them.
    """

    files: dict[str, SourceFile | None] = field(default_factory=dict)
    definitions: dict[FunctionType, FunctionDefinition | None] = field(default_factory=dict)

    def definition(self, function: Any) -> FunctionDefinition | None:
        """Return the definition of a function of the author's; None if its file is not what was compiled."""
        function = inspect.unwrap(function) if callable(function) else function
        if not isinstance(function, FunctionType):
            return None
        if function not in self.definitions:
            self.definitions[function] = self._found(function)
        return self.definitions[function]

    def _found(self, function: FunctionType) -> FunctionDefinition | None:
        code = function.__code__
        file = self.file(code.co_filename)
        known = file.codes.get((code.co_name, code.co_firstlineno)) if file is not None else None
        if file is None or known is None or (known.co_code, known.co_names) != (code.co_code, code.co_names):
            return None
        for node in ast.walk(file.tree):
            if (
                isinstance(node, ast.FunctionDef)
                and node.name == code.co_name
                and first_code_line(node) == code.co_firstlineno
            ):
                return FunctionDefinition(file, node, function)
        return None

    def file(self, name: str) -> SourceFile | None:
        if name not in self.files:
            self.files[name] = read_source(name)
        return self.files[name]


def read_source(name: str) -> SourceFile | None:
    """Return a file of the author's; None if it does not exist or cannot be read."""
    if not os.path.isfile(name) or INSTALL_FOLDERS.intersection(Path(name).parts):
        return None
    try:
        with tokenize.open(name) as lines:
            text = lines.read()
            newline = lines.newlines if isinstance(lines.newlines, str) else "\n"
        return SourceFile(name, text, ast.parse(text), newline)
    except (OSError, SyntaxError, ValueError):
        return None


def first_code_line(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
