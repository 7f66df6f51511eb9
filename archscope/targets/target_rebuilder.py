"""Python targets made again: with edited code in their functions, and with a record of the calls that make each module.

TargetRebuilder(target) ─ changed(file, text) ─→ inside, functions run the edited text; the model that they make
                 ─ record_calls ─→ path of a module → the calls in the author's files that made it, the innermost first

No file is written. The target's file is run once more, when the target is looked up; afterwards each function gets the
code of its edited text, and its own code back.
"""

from __future__ import annotations

import ast
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any
from warnings import catch_warnings

from torch import nn

from archscope.errors import UsageError
from archscope.record import walk_modules
from archscope.targets.python_targets import load_named, make_module
from archscope.targets.source_files import SourceCache, SourceFile, nested_codes
from archscope.targets.target_module import TargetModule, target_from_factory
from archscope.targets.user_code_limits import deadline

PACKAGE_FOLDER = f"{Path(__file__).resolve().parent.parent}{os.sep}"
MAX_FRAMES = 64
"""The number of stack frames that are searched for the calls that make a module."""


@dataclass(frozen=True)
class SourceCall:
    """A call in the author's source. function: the innermost one that contains it; None at the top of the file."""

    file: SourceFile
    node: ast.Call
    function: ast.FunctionDef | None


@dataclass
class TargetRebuilder:
    """A target made by a class or a factory. Raises UsageError if it cannot be made at all."""

    target: str
    arguments: Mapping[str, Any]
    device: str
    dtype: str | None
    sources: SourceCache = field(default_factory=SourceCache)

    @cached_property
    def found(self) -> Any:
        return load_named(self.target)

    @property
    def is_callable_target(self) -> bool:
        """True if there is a function to call again."""
        return callable(self.found) and not isinstance(self.found, nn.Module)

    def rebuild(self) -> TargetModule:
        """Return the target made once more; its output is suppressed, as it was printed before."""

        def make() -> nn.Module:
            return make_module(self.found, self.arguments, self.target, device=self.device)

        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), catch_warnings(action="ignore"):
            return target_from_factory(make, self.target, self.device, self.dtype)

    def with_arguments(self, **arguments: Any) -> TargetRebuilder:
        """Return the same target with other arguments; its file is not run again."""
        other = replace(self, arguments={**self.arguments, **arguments})
        vars(other)["found"] = self.found
        return other

    @contextmanager
    def changed(self, file: str, text: str, seconds: float = 60.0) -> Iterator[TargetModule]:
        """Yield the target made while a file's functions run another text. Raise UsageError, SyntaxError, ValueError.

        Raises DeadlineExceeded if making it and the body of the `with` statement take longer than `seconds`.
        """
        with replaced_codes(self.changed_codes(file, text)), deadline(seconds):
            yield self.rebuild()

    def changed_codes(self, file: str, text: str) -> dict[FunctionType, CodeType]:
        """Return the functions of a file that differ in a text of the same functions. Raise SyntaxError, ValueError."""
        known = self.sources.file(file)
        if known is None or self.found is None:
            raise UsageError(f"{file} cannot be read")
        old, new = (
            list(nested_codes(code)) for code in (known.compiled, compile(text, file, "exec", dont_inherit=True))
        )
        alike = Counter(map(code_key, old))
        pairs = {code_key(one): code for one, code in zip(old, new, strict=True) if one != code}
        if any(alike[key] > 1 for key in pairs):  # two lambdas on one line cannot be distinguished
            raise ValueError("functions of one name on one line")
        return {f: pairs[code_key(f.__code__)] for f in functions_in_file(file) if code_key(f.__code__) in pairs}

    def record_calls(self) -> tuple[nn.Module, dict[str, Sequence[SourceCall]]]:
        """Return the target made once more, and for each path the calls that made the module there."""
        with recorded_calls() as noted:
            module = self.rebuild().module
        places = CallLocator(self.sources)
        known = {path: noted.get(id(part)) for path, part in walk_modules(module).modules}
        return module, {path: places.of(frames[1]) for path, frames in known.items() if frames is not None}


def code_key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


@contextmanager
def replaced_codes(codes: Mapping[FunctionType, CodeType]) -> Iterator[None]:
    """Run the functions with other code inside. Raise ValueError if code needs other variables of outer functions."""
    before = {function: function.__code__ for function in codes}
    try:
        for function, code in codes.items():
            function.__code__ = code
        yield
    finally:
        for function, code in before.items():
            function.__code__ = code


def functions_in_file(file: str) -> Iterator[FunctionType]:
    """Yield the functions and methods that a loaded file defines."""
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and getattr(module, "__file__", None) == file:
            yield from iter_functions(vars(module), file, set())


def iter_functions(names: Mapping[str, Any], file: str, seen: set[int]) -> Iterator[FunctionType]:
    """Yield the functions among named values, in classes among them, and those wrapped by decorators."""
    waiting = list(names.values())
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, (staticmethod, classmethod)):
            waiting.append(value.__func__)
        elif isinstance(value, property):
            waiting += [value.fget, value.fset]
        elif isinstance(value, type) and value.__module__ != "builtins":
            waiting += list(vars(value).values())
        elif isinstance(value, FunctionType):
            if value.__code__.co_filename == file:
                yield value
            waiting += [vars(value).get("__wrapped__"), *closure_functions(value)]


def closure_functions(function: FunctionType) -> Iterator[FunctionType]:
    """Yield the functions in the closure of a function."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # the name has no value yet
            if isinstance(cell.cell_contents, FunctionType):
                yield cell.cell_contents


# ------------------------------------------------------------ the calls that make modules
ModuleCalls = dict[int, "tuple[nn.Module, list[tuple[CodeType, int]]]"]
"""id → the module, and the code and instruction of each call in the author's code, the innermost first."""


@contextmanager
def recorded_calls() -> Iterator[ModuleCalls]:
    """Record, for each module made inside, the calls that make it."""
    original, noted = nn.Module.__init__, ModuleCalls()

    def init(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        noted.setdefault(id(self), (self, stack_frames(sys._getframe(1))))
        original(self, *args, **kwargs)

    nn.Module.__init__ = init  # type: ignore[method-assign]
    try:
        yield noted
    finally:
        if nn.Module.__init__ is init:  # torch's compiler replaces it too, once
            nn.Module.__init__ = original  # type: ignore[method-assign]


def stack_frames(frame: FrameType | None) -> list[tuple[CodeType, int]]:
    """Return the frames up to archscope's own; those of the author's code are selected later."""
    found: list[tuple[CodeType, int]] = []
    while frame is not None and len(found) < MAX_FRAMES and not frame.f_code.co_filename.startswith(PACKAGE_FOLDER):
        found.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return found


@dataclass
class CallLocator:
    """A finder for the calls of frames in the text of their files."""

    sources: SourceCache
    nodes: dict[str, dict[tuple[int, int, int, int], tuple[ast.Call, ast.FunctionDef | None]]] = field(
        default_factory=dict
    )

    def of(self, frames: Sequence[tuple[CodeType, int]]) -> Sequence[SourceCall]:
        return [place for code, at in frames if (place := self.place(code, at)) is not None]

    def place(self, code: CodeType, instruction: int) -> SourceCall | None:
        file = self.sources.file(code.co_filename)
        if file is None:
            return None
        if file.name not in self.nodes:
            self.nodes[file.name] = dict(calls_by_position(file.tree, None))
        line, end_line, column, end_column = list(code.co_positions())[instruction // 2]
        found = self.nodes[file.name].get((line or 0, end_line or 0, column or 0, end_column or 0))
        return SourceCall(file, *found) if found is not None else None


def calls_by_position(
    tree: ast.AST, function: ast.FunctionDef | None
) -> Iterator[tuple[tuple[int, int, int, int], tuple[ast.Call, ast.FunctionDef | None]]]:
    """Yield every call by its position, with the function that contains it."""
    for node in ast.iter_child_nodes(tree):
        inner = node if isinstance(node, ast.FunctionDef) else function
        if isinstance(node, ast.Call):
            yield (node.lineno, node.end_lineno or 0, node.col_offset, node.end_col_offset or 0), (node, function)
        yield from calls_by_position(node, inner)
