"""Arguments that are accepted and ignored: a module → its authors' classes → their source → Problems."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from archscope.errors import Problem, Span
from archscope.interrupts import INSTALL_FOLDERS

CHECKED_METHODS = ("__init__", "forward")
NAMESPACE_FUNCTIONS = frozenset(["locals", "vars"])


def find_ignored_arguments(module: object) -> list[Problem]:
    """Return the arguments of `__init__` or `forward` that the author's own classes accept and never read.

    Installed packages are skipped, and arguments that a base class takes too.
    """
    parts = module.modules() if isinstance(module, nn.Module) else ()
    classes = dict.fromkeys(type(part) for part in parts)
    return [problem for cls in classes for problem in _ignored_in_class(cls)]


def _ignored_in_class(cls: type) -> Iterator[Problem]:
    file = _user_file(cls)
    try:
        lines, start = inspect.getsourcelines(cls) if file else ([], 0)
        tree = ast.parse(textwrap.dedent("".join(lines))).body[:1]
    except (OSError, TypeError, SyntaxError):  # a class without source code
        return
    if not tree or not isinstance(tree[0], ast.ClassDef):
        return
    indent = len(lines[0]) - len(lines[0].lstrip())
    for method in tree[0].body:
        if isinstance(method, ast.FunctionDef) and method.name in CHECKED_METHODS:
            owner = cls.__name__ if method.name == "__init__" else f"{cls.__name__}.{method.name}"
            for argument in _unread_arguments(method, _inherited_arguments(cls, method.name)):
                place = Span(relative_path(file), start + argument.lineno - 1, argument.col_offset + indent + 1)
                fact = f"{owner} accepts {argument.arg!r} and ignores it: nothing in it reads it"
                yield Problem(place, fact, "use it, or take it out")


def _user_file(cls: type) -> str:
    """Return the file of a class if it is not part of an installed package, without reading it; "" for
    other classes.
    """
    if cls.__module__.partition(".")[0] == "torch":
        return ""
    try:
        file = inspect.getsourcefile(cls) or ""
    except (OSError, TypeError):
        return ""
    return "" if INSTALL_FOLDERS.intersection(Path(file).parts) else file


def _unread_arguments(method: ast.FunctionDef, inherited: frozenset[str]) -> list[ast.arg]:
    """Return the arguments that a method never reads; none for a stub, or if it reads all names at once
    (`locals()`).
    """
    read = {n.id for statement in method.body for n in ast.walk(statement) if isinstance(n, ast.Name)}
    statements = [statement for statement in method.body if not _is_stub_statement(statement)]
    taken = [*method.args.posonlyargs, *method.args.args][1:] + method.args.kwonlyargs
    if NAMESPACE_FUNCTIONS & read or not statements:
        return []
    return [a for a in taken if a.arg not in read | inherited and not a.arg.startswith(("_", "unused"))]


def _is_stub_statement(statement: ast.stmt) -> bool:
    """Return whether a statement is `pass`, a `raise`, a docstring or `...`."""
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, (ast.Pass, ast.Raise))


def _inherited_arguments(cls: type, method: str) -> frozenset[str]:
    """Return the arguments that a base class below nn.Module takes too: the signature is given by that class."""
    bases = cls.__mro__[1 : cls.__mro__.index(nn.Module)]
    bound = [vars(base)[method] for base in bases if method in vars(base)]
    return frozenset(name for function in bound for name in inspect.signature(function).parameters)


def relative_path(file: str) -> str:
    """Return a path relative to the current directory, if the file is below it."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative
