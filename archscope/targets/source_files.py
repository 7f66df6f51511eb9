"""Python files as they were compiled: a function → its definition in the text of its file. Nothing is run.

Sources.definition(function) → Definition: the SourceFile, the node, what its names mean
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
from archscope.targets.ignored import INSTALLED, relative

UNKNOWN = object()
"""What a name means that only a run of its function could tell."""
OPERATIONS = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
}


@dataclass(frozen=True)
class SourceFile:
    """A file's text with plain line ends, and its syntax tree."""

    name: str
    text: str
    tree: ast.Module
    newline: str = "\n"

    def as_written(self, text: str) -> str:
        """A text of the file with the line ends that the file has."""
        return text.replace("\n", self.newline)

    @property
    def shown(self) -> str:
        """The name as reports say it."""
        return relative(self.name)

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
        return {(code.co_name, code.co_firstlineno): code for code in codes_in(self.compiled)}

    @cached_property
    def compiled(self) -> CodeType:
        return compile(self.text, self.name, "exec", dont_inherit=True)

    def offset(self, line: int, column: int) -> int:
        """Where a node's position (line from 1, column in UTF-8 bytes) lies in the text."""
        start = self.starts[line - 1]
        text = self.text[start : self.starts[line]]
        return start + len(text.encode()[:column].decode(errors="replace"))

    def range(self, node: ast.expr) -> tuple[int, int]:
        """The offsets of a node's first character and of the one behind its last."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)

    def segment(self, node: ast.expr) -> str:
        start, end = self.range(node)
        return self.text[start:end]

    def place(self, node: ast.expr) -> Span:
        start, _ = self.range(node)
        return Span(self.shown, node.lineno, start - self.starts[node.lineno - 1] + 1)


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """All code objects below one."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from codes_in(constant)


@dataclass(frozen=True)
class Definition:
    """A function's definition, and what it needs to look names up."""

    file: SourceFile
    node: ast.FunctionDef
    function: FunctionType

    @cached_property
    def stored(self) -> Mapping[str, int]:
        """How often each local name is bound, arguments and loops included."""
        found: dict[str, int] = {argument.arg: 1 for argument in arguments_in(self.node.args)}
        for node in ast.walk(self.node):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found[node.id] = found.get(node.id, 0) + 1
            elif isinstance(node, ast.alias):
                found[node.asname or node.name.partition(".")[0]] = 2
        return found

    @property
    def own(self) -> str:
        """What the function calls the object that it is a method of."""
        arguments = arguments_in(self.node.args)
        return arguments[0].arg if arguments else ""

    def meaning(self, node: ast.expr) -> Any:
        """What a dotted name means where the function is defined; UNKNOWN for locals and for what is computed."""
        match node:
            case ast.Name(id=name):
                return self._global(name) if name not in self.stored else UNKNOWN
            case ast.Attribute(value=value, attr=name):
                holder = self.meaning(value)
                return vars(holder).get(name, UNKNOWN) if isinstance(holder, ModuleType) else UNKNOWN
        return UNKNOWN

    def _global(self, name: str) -> Any:
        code, cells = self.function.__code__, self.function.__closure__ or ()
        closed = dict(zip(code.co_freevars, cells, strict=False))
        if name in closed:
            try:
                return closed[name].cell_contents
            except ValueError:  # the name has no value yet
                return UNKNOWN
        return self.function.__globals__.get(name, UNKNOWN)

    def value(self, node: ast.expr, attributes: Mapping[str, Any]) -> Any:
        """The value of a literal, of arithmetic with literals, constants of the module and attributes of `self`; else
        UNKNOWN."""
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Tuple(elts=items) | ast.List(elts=items):
                found = tuple(self.value(item, attributes) for item in items)
                return UNKNOWN if UNKNOWN in found else found
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self.value(operand, attributes)
                return -value if isinstance(value, (int, float)) else UNKNOWN
            case ast.BinOp():
                return self._computed(node, attributes)
            case ast.Attribute(value=ast.Name(id=own), attr=name) if own == self.own:
                return plain(attributes.get(name, UNKNOWN))
        return plain(self.meaning(node))

    def _computed(self, node: ast.BinOp, attributes: Mapping[str, Any]) -> Any:
        left, right = self.value(node.left, attributes), self.value(node.right, attributes)
        operation = OPERATIONS.get(type(node.op))
        if operation is None or not isinstance(left, int) or not isinstance(right, int):
            return UNKNOWN
        try:
            return operation(left, right)
        except ZeroDivisionError:
            return UNKNOWN


def plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool, type(None))) else UNKNOWN


def arguments_in(arguments: ast.arguments) -> list[ast.arg]:
    extra = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra]


@dataclass
class Sources:
    """Definitions of functions; each file is read once. Files of installed packages are nobody's to change."""

    files: dict[str, SourceFile | None] = field(default_factory=dict)
    definitions: dict[FunctionType, Definition | None] = field(default_factory=dict)

    def definition(self, function: Any) -> Definition | None:
        """The definition of a function of the author's; None where its file is not what was compiled."""
        function = inspect.unwrap(function) if callable(function) else function
        if not isinstance(function, FunctionType):
            return None
        if function not in self.definitions:
            self.definitions[function] = self._found(function)
        return self.definitions[function]

    def _found(self, function: FunctionType) -> Definition | None:
        code = function.__code__
        file = self.file(code.co_filename)
        known = file.codes.get((code.co_name, code.co_firstlineno)) if file is not None else None
        if file is None or known is None or (known.co_code, known.co_names) != (code.co_code, code.co_names):
            return None
        for node in ast.walk(file.tree):
            if (
                isinstance(node, ast.FunctionDef)
                and node.name == code.co_name
                and first_line(node) == code.co_firstlineno
            ):
                return Definition(file, node, function)
        return None

    def file(self, name: str) -> SourceFile | None:
        if name not in self.files:
            self.files[name] = read(name)
        return self.files[name]


def read(name: str) -> SourceFile | None:
    """A file of the author's; None where there is none, or it cannot be read."""
    if not os.path.isfile(name) or INSTALLED.intersection(Path(name).parts):
        return None
    try:
        with tokenize.open(name) as lines:
            text = lines.read()
            newline = lines.newlines if isinstance(lines.newlines, str) else "\n"
        return SourceFile(name, text, ast.parse(text), newline)
    except (OSError, SyntaxError, ValueError):
        return None


def first_line(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
