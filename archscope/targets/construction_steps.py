"""The path of an exception through constructors: its traceback → ConstructionSteps, the outermost first.

    ShuffleNet.__init__ → Unit.__init__ → Conv2d.__init__ → _ConvNd.__init__ → ShuffleNet, Unit, Conv2d

Frames of one module form one step: its constructor, those of its base classes, its methods, comprehensions.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import os
import re
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FrameType, TracebackType

import torch
from torch import nn

from archscope.interrupts import INSTALL_FOLDERS
from archscope.targets.ignored_arguments import relative_path
from archscope.targets.quoted_values import arguments_text
from archscope.targets.source_files import SourceCache, SourceFile

TORCH_FOLDER = str(Path(torch.__file__).parent) + os.sep
STDLIB_FOLDER = sysconfig.get_paths()["stdlib"] + os.sep
STORED_OR_LOADED = re.compile(r"(STORE|LOAD)_(?:FAST|DEREF)")
MAX_ARGUMENT_CHARS = 60
"""The largest length of the text of all arguments of a call."""
INNER_CODE_NAMES = ("<listcomp>", "<genexpr>", "<setcomp>", "<dictcomp>", "<lambda>")


@dataclass(frozen=True)
class ConstructionStep:
    """One constructor or function that an exception passed: its first frame and its last.

    module: the module under construction, if the function is a module's constructor. frames: the frames of the step;
    the innermost one is at the instruction of the call that failed.
    """

    frame: FrameType
    frames: tuple[FrameType, ...]
    line: int
    instruction: int
    module: nn.Module | None

    @property
    def innermost(self) -> FrameType:
        return self.frames[-1]

    @property
    def is_torch(self) -> bool:
        return self.frame.f_code.co_filename.startswith(TORCH_FOLDER)

    @property
    def name(self) -> str:
        """The name of the class under construction (for torch's own, the class whose constructor it is), else of the
        function.
        """
        if self.module is None:
            return self.frame.f_code.co_qualname.rpartition("<locals>.")[2]
        return (torch_base_class(self.module) if self.is_torch else type(self.module)).__name__

    @property
    def text(self) -> str:
        """The call as text, `Unit(cin=24, cout=384, groups=8)`, with the method that failed if that is not the
        constructor.
        """
        if self.frame.f_code.co_name == "<module>":
            return "the file"
        given = arguments_text(shown_arguments(self.frame))
        inner = [frame.f_code.co_name for frame in self.frames if frame.f_code.co_name not in INNER_CODE_NAMES]
        method = inner[-1] if inner and self.module is not None and inner[-1] != "__init__" else ""
        return f"{self.name}({given})" + f".{method}" * bool(method)

    @property
    def place(self) -> str:
        return f"{relative_path(self.innermost.f_code.co_filename)}:{self.line}"

    @cached_property
    def names(self) -> Mapping[str, object]:
        """The values of the names where it failed, including those of the functions around a comprehension."""
        found: dict[str, object] = dict(self.innermost.f_globals)
        depth = next(
            (n for n, one in enumerate(reversed(self.frames)) if one.f_code.co_name not in INNER_CODE_NAMES), 0
        )
        for frame in self.frames[len(self.frames) - 1 - depth :]:
            found.update(frame.f_locals)
        return found

    def file(self, sources: SourceCache) -> SourceFile | None:
        """Return the file, if it can be read and is what was compiled."""
        code = self.innermost.f_code
        file = sources.file(code.co_filename)
        compiled = file.codes.get((code.co_name, code.co_firstlineno)) if file is not None else None
        return file if compiled is not None and compiled.co_code == code.co_code else None

    def expression(self, sources: SourceCache) -> tuple[SourceFile, ast.expr] | None:
        """Return the expression that was being evaluated, if its file can be read."""
        file = self.file(sources)
        nodes = _nodes_at(file, self.innermost.f_code, self.instruction) if file is not None else iter(())
        return next(((file, node) for node in nodes if file is not None), None)

    def source_text(self, sources: SourceCache) -> str:
        """Return the expression as written, on one line; the line, if the expression is not known."""
        found = self.expression(sources)
        text = found[0].segment(found[1]) if found else linecache.getline(self.innermost.f_code.co_filename, self.line)
        text = " ".join(text.split())
        return text if len(text) <= 100 else f"{text[:97]}…"


def _nodes_at(file: SourceFile, code: CodeType, instruction: int) -> Iterator[ast.expr]:
    """Yield the expressions of an instruction. A method call over several lines starts where its name does."""
    line, end_line, column, end_column = list(code.co_positions())[instruction // 2]
    if line is None or column is None:
        return
    ending = [
        node
        for node in ast.walk(file.tree)
        if isinstance(node, ast.expr) and (node.end_lineno, node.end_col_offset) == (end_line, end_column)
    ]
    yield from (node for node in ending if (node.lineno, node.col_offset) == (line, column))
    yield from (node for node in ending if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute))


# ------------------------------------------------------------ frames
def construction_steps(error: BaseException, ours: str) -> list[ConstructionStep]:
    """Return the steps that an exception passed after it left the files below `ours`, the outermost first; without
    those in the standard library and in code without a file.
    """
    found: list[ConstructionStep] = []
    for step in traceback_entries(error):
        frame, code = step.tb_frame, step.tb_frame.f_code
        file = code.co_filename
        is_stdlib = file.startswith(STDLIB_FOLDER) and not INSTALL_FOLDERS.intersection(Path(file).parts)
        if is_stdlib or file.startswith((ours, "<")):
            continue
        module = frame_module(frame)
        if file.startswith(TORCH_FOLDER):
            if module is not None and code.co_name == "__init__":
                _add_step(found, step, module)
            continue
        while found and found[-1].is_torch:  # a container that called the author's code for its items
            found.pop()
        _add_step(found, step, module)
    return found


def traceback_entries(error: BaseException) -> Iterator[TracebackType]:
    step = error.__traceback__
    while step is not None:
        yield step
        step = step.tb_next


def _add_step(found: list[ConstructionStep], step: TracebackType, module: nn.Module | None) -> None:
    """Add a step, or extend the last one."""
    frame = step.tb_frame
    last = found[-1] if found else None
    inner = frame.f_code.co_name in INNER_CODE_NAMES and frame.f_code.co_filename == (
        last.innermost.f_code.co_filename if last else ""
    )
    torchs = frame.f_code.co_filename.startswith(TORCH_FOLDER)
    if last is not None and (inner or (module is not None and last.module is module)) and last.is_torch == torchs:
        found[-1] = ConstructionStep(last.frame, (*last.frames, frame), step.tb_lineno, step.tb_lasti, last.module)
    else:
        found.append(ConstructionStep(frame, (frame,), step.tb_lineno, step.tb_lasti, module))


def frame_module(frame: FrameType) -> nn.Module | None:
    """Return the module that a frame belongs to, by its first argument."""
    code = frame.f_code
    first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
    return first if isinstance(first, nn.Module) else None


# ------------------------------------------------------------ the arguments of a frame
def unchanged_arguments(frame: FrameType) -> dict[str, object]:
    """Return the arguments that a function was called with, without those that it may have rebound since."""
    ran = list(dis.get_instructions(frame.f_code))
    if not any(one.opname.startswith("JUMP_BACKWARD") for one in ran):  # without a loop, the later ones have not run
        ran = [one for one in ran if one.offset < frame.f_lasti]
    bound = {name for one in ran for name in stored_names(one.opname, one.argval)}
    return {name: value for name, value in current_arguments(frame).items() if name not in bound}


def current_arguments(frame: FrameType) -> dict[str, object]:
    """Return the present values of a function's arguments, without `self`."""
    names = frame.f_code.co_varnames[: _argument_count(frame.f_code)]
    own = names[:1] if frame_module(frame) is not None else ()
    return {name: frame.f_locals[name] for name in names if name in frame.f_locals and name not in own}


def stored_names(operation: str, argument: object) -> list[str]:
    """Return the names that an instruction binds; from Python 3.13 on, one instruction may bind two."""
    names = argument if isinstance(argument, tuple) else (argument,)
    pairs = zip(STORED_OR_LOADED.findall(operation), names, strict=False)
    return [name for verb, name in pairs if verb == "STORE" and isinstance(name, str)]


def shown_arguments(frame: FrameType) -> dict[str, object]:
    """Return the arguments to show: all if they are few, else those that differ from the defaults."""
    every = expand_kwargs(frame, unchanged_arguments(frame))
    return (
        every
        if len(arguments_text(every, longest=MAX_ARGUMENT_CHARS + 1)) <= MAX_ARGUMENT_CHARS
        else non_default_arguments(frame)
    )


def non_default_arguments(frame: FrameType) -> dict[str, object]:
    """Return the arguments of a function that differ from its defaults, with those in `**options` by name."""
    defaults = default_arguments(frame)
    given = unchanged_arguments(frame).items()
    other = {name: one for name, one in given if not (name in defaults and is_plainly_equal(one, defaults[name]))}
    return expand_kwargs(frame, other)


def expand_kwargs(frame: FrameType, given: dict[str, object]) -> dict[str, object]:
    """Return the arguments with those in `**options` in its place, and without an empty `*args`."""
    code, found = frame.f_code, dict[str, object]()
    names = code.co_varnames[: _argument_count(code)]
    options = names[-1:] if code.co_flags & inspect.CO_VARKEYWORDS else ()
    for name, value in given.items():
        if name in options and isinstance(value, dict):
            found.update({str(key): one for key, one in value.items()})
        elif not (name in names[code.co_argcount + code.co_kwonlyargcount :] and value == ()):
            found[name] = value
    return found


def _argument_count(code: CodeType) -> int:
    rest = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_argcount + code.co_kwonlyargcount + rest


def default_arguments(frame: FrameType) -> dict[str, object]:
    """Return the defaults of the constructor that a frame runs."""
    module, code = frame_module(frame), frame.f_code
    owner = constructor_owner(module, code) if module is not None else None
    function = vars(owner)["__init__"] if owner is not None else frame.f_globals.get(code.co_name)
    if getattr(function, "__code__", None) is not code:
        return {}
    names = code.co_varnames[: code.co_argcount]
    positional = getattr(function, "__defaults__", None) or ()
    by_name = getattr(function, "__kwdefaults__", None) or {}
    return dict(zip(names[len(names) - len(positional) :], positional, strict=False)) | by_name


def torch_base_class(module: nn.Module) -> type:
    """Return the class of torch that a module is an instance of."""
    return next(cls for cls in type(module).__mro__ if cls.__module__.startswith("torch."))


def constructor_owner(module: nn.Module, code: CodeType) -> type | None:
    """Return the class of a module, or the base class, whose constructor has this code."""
    owners = (cls for cls in type(module).__mro__ if getattr(vars(cls).get("__init__"), "__code__", None) is code)
    return next(owners, None)


def is_plainly_equal(value: object, default: object) -> bool:
    if value is default:
        return True
    plain = (int, float, str, bool, type(None))
    return type(value) is type(default) and isinstance(value, plain) and value == default
