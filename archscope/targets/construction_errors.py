"""A class that cannot be made: the exception of its constructor → UsageError with the way to it, the values, a cure.

exception → Makings ─┬─ of torch's: the arguments that were refused, and which would do
                     └─ of the author's: the expression, and where its values came from
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from archscope.errors import UsageError
from archscope.layer_rules import Unsuited
from archscope.targets.authors_errors import condition_at, cure_of_authors
from archscope.targets.construction_frames import Making, changed_from_default, makings, steps_of
from archscope.targets.expressions import CONTAINERS
from archscope.targets.refused_arguments import arguments_given, refused, torch_class
from archscope.targets.shown_values import arguments_in_short, quoted
from archscope.targets.source_files import UNKNOWN, SourceFile, Sources
from archscope.targets.value_origins import assignment, function_of, origins, stored, turn, value_of

OURS = str(Path(__file__).parent.parent) + os.sep
FIRST, LAST = 3, 5
"""How many makings of a long way are told, at its two ends."""
NO_ARGUMENTS = "give its arguments with set=…"


def cannot_be_made(target: str, error: BaseException) -> UsageError:
    """What to say of an exception that ended the making of a target."""
    way, root = whole_way(error)
    own = [one for one in way if not one.is_torch]
    if not own:
        return UsageError(f"{target} cannot be made: {in_words(error)}", _of_the_target(error))
    return told_of(f"{target} cannot be made", way, error, root)


def comes_from_a_constructor(error: BaseException) -> bool:
    """Whether an exception came through the constructor of a module."""
    return any(making.module is not None for making in whole_way(error)[0])


def cannot_be_imported(source: str, error: BaseException) -> UsageError:
    """What to say of an exception that came through a constructor while a file was run."""
    way, root = whole_way(error)
    return told_of(f"{source} cannot be imported", way, error, root)


def whole_way(error: BaseException) -> tuple[list[Making], BaseException]:
    """What an exception came through, with the way of those that it was raised from; and the first of these."""
    way, root, seen = makings(error, OURS), error, {id(error)}
    while root.__cause__ is not None and id(root.__cause__) not in seen:
        seen.add(id(root.__cause__))
        more = makings(root.__cause__, OURS)
        place = next((n for n, one in enumerate(way) if more and one.frame is more[0].frame), None)
        if place is None:
            break
        way, root = [*way[:place], *more], root.__cause__
    return way, root


def told_of(what: str, way: Sequence[Making], error: BaseException, root: BaseException) -> UsageError:
    """The fact, the way, the values and a cure."""
    own = [one for one in way if not one.is_torch]
    last, sources, inner = own[-1], Sources(), way[way.index(own[-1]) + 1 :]
    file, node = _at(last, sources)
    wrong = next(filter(None, map(refused, inner)), [])
    cures = [one.help for one in wrong]
    if file is not None and node is not None:
        cures = [_of_a_float(one, inner, last, file, node) or one.help for one in wrong]
        cures = cures or [cure_of_authors(root, last, file, node)] * (not inner)
    raised = in_words(error) if error is root else f"{in_words(error)}, from {in_words(root)}"
    facts = "; ".join(one.fact for one in wrong) or raised
    lines = [f"{what}: {facts} ({last.place})", *_way_in_words(own, sources)]
    if inner and torch_class(inner[0]) not in CONTAINERS:
        lines.append(f"  that is {_made(inner[0], node, last.names)}")
    if file is not None and node is not None:
        known = turn(last, file, node).split(", ")
        lines += [f"  {text}" for text in origins(last, file, node) if text not in known]
    lines += [f"  PyTorch says {raised}"] * bool(wrong)
    return UsageError("\n".join(lines), "; ".join(dict.fromkeys(filter(None, cures))))


def in_words(error: BaseException) -> str:
    """An exception in one line."""
    try:
        said = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an exception of the author's may not know its own words
        said = ""
    return f"{type(error).__name__}{f': {said}' * bool(said)}"


def _of_the_target(error: BaseException) -> str:
    """Arguments are asked for where the call of the target itself did not go through."""
    return NO_ARGUMENTS * (isinstance(error, TypeError) and len(list(steps_of(error))) == 1)


def _at(making: Making, sources: Sources) -> tuple[SourceFile | None, ast.AST | None]:
    """The expression at which it stopped; of an assertion and a `raise`, the condition."""
    found = making.expression(sources)
    file = found[0] if found else making.file(sources)
    condition = condition_at(file, making.line) if file is not None else None
    if condition is not None and (found is None or not isinstance(found[1], ast.Call) or _is_raised(file, making.line)):
        return file, condition
    return (file, found[1]) if found else (file, None)


def _is_raised(file: SourceFile | None, line: int) -> bool:
    return file is not None and any(isinstance(node, ast.Raise) and node.lineno == line for node in ast.walk(file.tree))


def _way_in_words(own: Sequence[Making], sources: Sources) -> Iterator[str]:
    left_out = len(own) - FIRST - LAST
    for number, making in enumerate(own):
        if left_out <= 0 or not FIRST <= number < FIRST + left_out:
            found = making.expression(sources)
            loop = turn(making, *found) if found is not None else ""
            yield f"  in {making.text}, {making.place}: {making.written(sources)}" + f" where {loop}" * bool(loop)
        elif number == FIRST:
            yield f"  … {left_out} more"


def _made(making: Making, node: ast.AST | None, known: Mapping[str, object]) -> str:
    """`Conv2d(90, 360, 1, groups=8)`: a call of torch's with the values that it had."""
    cls = torch_class(making)
    given = arguments_given(making, cls) if cls is not None else changed_from_default(making.frame)
    if isinstance(node, ast.Call) and cls is not None and is_call_of(node, cls):
        names = list(given)
        by_name = [keyword.arg for keyword in node.keywords]
        plain = not any(isinstance(one, ast.Starred) for one in node.args) and len(node.args) <= len(names)
        if plain and all(name in given for name in by_name):
            texts = [*node.args, *(keyword.value for keyword in node.keywords)]
            called = [*names[: len(node.args)], *map(str, by_name)]
            values = [value_of(text, known) for text in texts]
            values = [given[n] if value is UNKNOWN else value for n, value in zip(called, values, strict=True)]
            shown = [quoted(value) for value in values]
            shown[len(node.args) :] = [f"{n}={shown[called.index(n)]}" for n in called[len(node.args) :]]
            return f"{making.name}({', '.join(shown)})"
    return f"{making.name}({arguments_in_short(_without_defaults(given, making))})"


def _without_defaults(given: Mapping[str, object], making: Making) -> Mapping[str, object]:
    told = changed_from_default(making.frame)
    return {name: value for name, value in given.items() if name in told} or given


def is_call_of(node: ast.Call, cls: type) -> bool:
    return ast.unparse(node.func).rpartition(".")[2] in (cls.__name__, "__init__")


# ------------------------------------------------------------ a float where a whole number belongs
def _of_a_float(one: Unsuited, inner: Sequence[Making], last: Making, file: SourceFile, node: ast.AST) -> str:
    """`dim // 2` for `dim / 2`, where that gives the whole number."""
    cls = torch_class(inner[0])
    if cls is None or not isinstance(node, ast.Call) or not is_call_of(node, cls):
        return ""
    given = arguments_given(inner[0], cls)
    value = given.get(one.argument)
    written = dict(zip(given, node.args, strict=False))
    written |= {str(keyword.arg): keyword.value for keyword in node.keywords}
    text = written.get(one.argument)
    if not isinstance(value, float) or text is None:
        return ""
    function = function_of(last, file)
    if isinstance(text, ast.Name):
        text = assignment(function, text.id, node, stored(function)) or text
    if not isinstance(text, ast.BinOp) or not isinstance(text.op, ast.Div):
        return ""
    left, right = value_of(text.left, last.names), value_of(text.right, last.names)
    if type(left) is not int or type(right) is not int or right == 0 or left / right != value:
        return ""
    whole = ast.unparse(ast.BinOp(text.left, ast.FloorDiv(), text.right))
    return f"{ast.unparse(text)} is the float {value}: {whole} is {left // right}"
