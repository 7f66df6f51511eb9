"""Errors while a module is constructed: the exception → UsageError with the path to it, the values and a help.

exception → ConstructionSteps ─┬─ in a module of torch: the arguments that were refused, and which would be accepted
                               └─ in the author's code: the expression, and where its values came from
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from archscope.errors import UsageError
from archscope.ops.constructor_checks import ArgumentProblem
from archscope.targets.construction_steps import (
    ConstructionStep,
    construction_steps,
    non_default_arguments,
    traceback_entries,
)
from archscope.targets.constructor_expressions import CONTAINERS
from archscope.targets.quoted_values import arguments_text, quote_value
from archscope.targets.refused_arguments import constructor_arguments, find_refused_arguments, torch_class
from archscope.targets.source_files import UNRESOLVED, SourceCache, SourceFile
from archscope.targets.user_code_errors import condition_at, user_code_help
from archscope.targets.value_origins import (
    count_bindings,
    find_assignment,
    find_origins,
    loop_state,
    running_function,
    static_value,
)

PACKAGE_FOLDER = str(Path(__file__).parent.parent) + os.sep
FIRST, LAST = 3, 5
"""The number of steps of a long path that are shown at its start and at its end."""
NO_ARGUMENTS_HELP = "give its arguments with set=…"


def construction_error(target: str, error: BaseException) -> UsageError:
    """Return the UsageError for an exception that ended the construction of a target."""
    path, root = construction_path(error)
    own = [one for one in path if not one.is_torch]
    if not own:
        is_own_call = isinstance(error, TypeError) and len(list(traceback_entries(error))) == 1
        fix = NO_ARGUMENTS_HELP if is_own_call else ""
        return UsageError(f"{target} cannot be made: {exception_text(error)}", fix)
    return compose_error(f"{target} cannot be made", path, error, root)


def is_construction_error(error: BaseException) -> bool:
    """Return whether an exception was raised in the constructor of a module."""
    return any(step.module is not None for step in construction_path(error)[0])


def import_error(source: str, error: BaseException) -> UsageError:
    """Return the UsageError for an exception in a constructor that ran when a file was imported."""
    path, root = construction_path(error)
    return compose_error(f"{source} cannot be imported", path, error, root)


def construction_path(error: BaseException) -> tuple[list[ConstructionStep], BaseException]:
    """Return the steps that an exception passed, with those of the exceptions that it was raised from, and the first of
    these exceptions.
    """
    path, root, seen = construction_steps(error, PACKAGE_FOLDER), error, {id(error)}
    while root.__cause__ is not None and id(root.__cause__) not in seen:
        seen.add(id(root.__cause__))
        more = construction_steps(root.__cause__, PACKAGE_FOLDER)
        place = next((n for n, one in enumerate(path) if more and one.frame is more[0].frame), None)
        if place is None:
            break
        path, root = [*path[:place], *more], root.__cause__
    return path, root


def compose_error(what: str, path: Sequence[ConstructionStep], error: BaseException, root: BaseException) -> UsageError:
    """Return the UsageError with the fact, the path, the values and a help."""
    own = [one for one in path if not one.is_torch]
    last, sources, inner = own[-1], SourceCache(), path[path.index(own[-1]) + 1 :]
    file, node = _failing_expression(last, sources)
    wrong = next(filter(None, map(find_refused_arguments, inner)), [])
    fixes = [one.help for one in wrong]
    if file is not None and node is not None:
        fixes = [_float_division_help(one, inner, last, file, node) or one.help for one in wrong]
        fixes = fixes or [user_code_help(root, last, file, node)] * (not inner)
    raised = exception_text(error) if error is root else f"{exception_text(error)}, from {exception_text(root)}"
    facts = "; ".join(one.fact for one in wrong) or raised
    lines = [f"{what}: {facts} ({last.place})", *_path_lines(own, sources)]
    if inner and torch_class(inner[0]) not in CONTAINERS:
        lines.append(f"  that is {_call_text(inner[0], node, last.names)}")
    if file is not None and node is not None:
        known = loop_state(last, file, node).split(", ")
        lines += [f"  {text}" for text in find_origins(last, file, node) if text not in known]
    lines += [f"  PyTorch says {raised}"] * bool(wrong)
    return UsageError("\n".join(lines), "; ".join(dict.fromkeys(filter(None, fixes))))


def exception_text(error: BaseException) -> str:
    """Return an exception on one line."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an exception of the author's may not know its own words
        message = ""
    return f"{type(error).__name__}{f': {message}' * bool(message)}"


def _failing_expression(step: ConstructionStep, sources: SourceCache) -> tuple[SourceFile | None, ast.AST | None]:
    """Return the expression that failed; for an assertion or a `raise`, the condition."""
    found = step.expression(sources)
    file = found[0] if found else step.file(sources)
    condition = condition_at(file, step.line) if file is not None else None
    if condition is not None and (found is None or not isinstance(found[1], ast.Call) or _is_raised(file, step.line)):
        return file, condition
    return (file, found[1]) if found else (file, None)


def _is_raised(file: SourceFile | None, line: int) -> bool:
    return file is not None and any(isinstance(node, ast.Raise) and node.lineno == line for node in ast.walk(file.tree))


def _path_lines(own: Sequence[ConstructionStep], sources: SourceCache) -> Iterator[str]:
    left_out = len(own) - FIRST - LAST
    for number, step in enumerate(own):
        if left_out <= 0 or not FIRST <= number < FIRST + left_out:
            found = step.expression(sources)
            loop = loop_state(step, *found) if found is not None else ""
            yield f"  in {step.text}, {step.place}: {step.source_text(sources)}" + f" where {loop}" * bool(loop)
        elif number == FIRST:
            yield f"  … {left_out} more"


def _call_text(step: ConstructionStep, node: ast.AST | None, known: Mapping[str, object]) -> str:
    """Return `Conv2d(90, 360, 1, groups=8)`: a call of a torch layer with the values that it had."""
    cls = torch_class(step)
    given = constructor_arguments(step, cls) if cls is not None else non_default_arguments(step.frame)
    if isinstance(node, ast.Call) and cls is not None and calls_class(node, cls):
        names = list(given)
        by_name = [keyword.arg for keyword in node.keywords]
        plain = not any(isinstance(one, ast.Starred) for one in node.args) and len(node.args) <= len(names)
        if plain and all(name in given for name in by_name):
            texts = [*node.args, *(keyword.value for keyword in node.keywords)]
            called = [*names[: len(node.args)], *map(str, by_name)]
            values = [static_value(text, known) for text in texts]
            values = [given[n] if value is UNRESOLVED else value for n, value in zip(called, values, strict=True)]
            shown = [quote_value(value) for value in values]
            shown[len(node.args) :] = [f"{n}={shown[called.index(n)]}" for n in called[len(node.args) :]]
            return f"{step.name}({', '.join(shown)})"
    non_default = non_default_arguments(step.frame)
    arguments = {name: value for name, value in given.items() if name in non_default} or given
    return f"{step.name}({arguments_text(arguments)})"


def calls_class(node: ast.Call, cls: type) -> bool:
    return ast.unparse(node.func).rpartition(".")[2] in (cls.__name__, "__init__")


# ------------------------------------------------------------ a float instead of an int
def _float_division_help(
    problem: ArgumentProblem, inner: Sequence[ConstructionStep], last: ConstructionStep, file: SourceFile, node: ast.AST
) -> str:
    """Return `dim // 2` for `dim / 2` if that gives the whole number."""
    cls = torch_class(inner[0])
    if cls is None or not isinstance(node, ast.Call) or not calls_class(node, cls):
        return ""
    given = constructor_arguments(inner[0], cls)
    value = given.get(problem.argument)
    written = dict(zip(given, node.args, strict=False))
    written |= {str(keyword.arg): keyword.value for keyword in node.keywords}
    text = written.get(problem.argument)
    if not isinstance(value, float) or text is None:
        return ""
    function = running_function(last, file)
    if isinstance(text, ast.Name):
        text = find_assignment(function, text.id, node, count_bindings(function)) or text
    if not isinstance(text, ast.BinOp) or not isinstance(text.op, ast.Div):
        return ""
    left, right = static_value(text.left, last.names), static_value(text.right, last.names)
    if type(left) is not int or type(right) is not int or right == 0 or left / right != value:
        return ""
    whole = ast.unparse(ast.BinOp(text.left, ast.FloorDiv(), text.right))
    return f"{ast.unparse(text)} is the float {value}: {whole} is {left // right}"
