"""Edits where a layer is made that give it another argument; none is tried here.

calls that made a layer, argument, value ─→ where that number stands: in the call, in what its names stand for,
                                            in the calls around it ─→ SourceEdits, the outermost place first
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from archscope.targets.remaking import CallPlace
from archscope.targets.source_edits import SourceEdit, Writer, parameters, without_numbers, writer

DEEPEST = 6
"""Through how many names and calls a number is followed."""


# ------------------------------------------------------------ what a function says of its own arguments
def own_edits(calls: Sequence[CallPlace], names: Sequence[str]) -> Iterator[SourceEdit]:
    """What the calls that made a layer say of the arguments of their functions. names: that the layer takes.

    An argument that the function reads nowhere; a number that is added to one.
    """
    for place in calls[:1]:
        read = {node.id for node in ast.walk(place.function or place.node) if isinstance(node, ast.Name)}
        for argument in parameters(place.function) if place.function is not None else ():
            if argument in names and argument not in read:
                yield from set_argument(place, names, argument, argument, own=True)
    for place in calls:
        for name, node in written(place.node):
            for part, rest in without_numbers(node):
                yield from writer(place).replaced(part, rest, name if part is node else "", own=True)


def window_edits(calls: Sequence[CallPlace], names: Sequence[str]) -> Iterator[SourceEdit]:
    """The padding and the stride that a kernel by name asks for; what other calls of the class beside it say."""
    for place in calls[:1] if "kernel_size" in names else ():
        given = arguments(place.node, names)
        kernel = given.get("kernel_size")
        if isinstance(kernel, ast.Name):
            yield from set_argument(place, names, "padding", f"{kernel.id} // 2", own=True)
            yield from set_argument(place, names, "stride", kernel.id, own=False)
        for name in ("stride", "padding", "kernel_size", "dilation"):
            texts = (arguments(other, names).get(name) for other in siblings(place))
            for text in dict.fromkeys(ast.unparse(text) for text in texts if text is not None):
                yield from set_argument(place, names, name, text, own=False)
            if name in given and name != "kernel_size":
                yield from set_argument(place, names, name, "0" if name == "padding" else "1", own=False)


def siblings(place: CallPlace) -> list[ast.Call]:
    """The other calls of the same class in the function."""
    nodes = ast.walk(place.function) if place.function is not None else ()
    kind = ast.unparse(place.node.func)
    return [n for n in nodes if isinstance(n, ast.Call) and n is not place.node and ast.unparse(n.func) == kind]


def flatten_edits(calls: Sequence[CallPlace]) -> Iterator[SourceEdit]:
    """A layer that flattens before the one that these calls made, where it stands in a list of layers."""
    for place in calls[:1]:
        maker = ast.unparse(place.node.func).rpartition(".")[0]
        lists = (node for node in ast.walk(place.function or place.file.tree))
        if maker and any(place.node in elements(node) for node in lists):
            start = place.file.range(place.node)[0]
            words = f"{maker}.Flatten() before it"
            yield writer(place).edit(start, start, f"{maker}.Flatten(), ", words, own=True)


def elements(node: ast.AST) -> Sequence[ast.expr]:
    if isinstance(node, ast.Call):
        return node.args
    return node.elts if isinstance(node, (ast.Tuple, ast.List)) else ()


# ------------------------------------------------------------ another value of an argument
def set_argument(place: CallPlace, names: Sequence[str], name: str, value: str, *, own: bool) -> Iterator[SourceEdit]:
    node = arguments(place.node, names).get(name)
    if node is not None:
        yield from writer(place).replaced(node, value, name, own=own)
    else:
        yield from writer(place).added(name, value, own=own)


def argument_edits(
    calls: Sequence[CallPlace], names: Sequence[str], argument: str, value: object
) -> Iterator[SourceEdit]:
    """Edits that give the layer which these calls made another value of an argument. names: that the layer takes."""
    if not calls or any(isinstance(node, ast.Starred) for node in calls[0].node.args):
        return
    node = arguments(calls[0].node, names).get(argument)
    if node is None:
        yield from writer(calls[0]).added(argument, repr(value))
    else:
        yield from value_edits(calls, node, value, argument, writer(calls[0]), DEEPEST)


def value_edits(
    calls: Sequence[CallPlace], node: ast.expr, value: object, name: str, at: Writer, deep: int
) -> Iterator[SourceEdit]:
    """Edits with which an expression in the function of the first call is worth a value."""
    if not deep:
        return
    if isinstance(node, ast.Name):
        yield from name_edits(calls, node.id, value, deep - 1)
    elif isinstance(node, ast.IfExp):
        for choice in (node.body, node.orelse):
            yield from value_edits(calls, choice, value, name, at, deep - 1)
        return
    elif isinstance(node, ast.BinOp) and isinstance(value, int):
        for part, wanted in solved(node, value):
            yield from value_edits(calls, part, wanted, "", at, deep - 1)
    yield from at.replaced(node, repr(value), name)


def name_edits(calls: Sequence[CallPlace], name: str, value: object, deep: int) -> Iterator[SourceEdit]:
    """Edits with which a name in the function of the first call stands for a value."""
    function = calls[0].function
    if function is None:
        return
    if name in parameters(function):
        outer = [place for place in calls if place.function is not function]
        if outer:
            given = arguments(outer[0].node, parameters(function))
            if name in given:
                yield from value_edits(outer, given[name], value, name, writer(outer[0]), deep)
            elif not any(isinstance(node, ast.Starred) for node in outer[0].node.args):
                yield from writer(outer[0]).added(name, repr(value))
        return
    for statement in ast.walk(function):
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            for target, assigned in pairs(statement):
                if isinstance(target, ast.Name) and target.id == name:
                    at = Writer(calls[0].file, statement, function)
                    yield from value_edits(calls, assigned, value, name, at, deep)
        elif isinstance(statement, (ast.For, ast.comprehension)):
            yield from loop_edits(calls[0], statement, name, value)


def loop_edits(place: CallPlace, loop: ast.For | ast.comprehension, name: str, value: object) -> Iterator[SourceEdit]:
    """A number in the list that a loop goes through, where the loop binds the name: each in its turn."""
    if name in {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}:
        for node in ast.walk(loop.iter):
            if isinstance(node, ast.Constant) and type(node.value) is int:
                yield from Writer(place.file, loop.iter, place.function).replaced(node, repr(value), "")


def pairs(statement: ast.Assign | ast.AnnAssign) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The targets of an assignment with what each is given."""
    if statement.value is None:
        return
    for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
        if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
            if len(target.elts) == len(statement.value.elts):
                yield from zip(target.elts, statement.value.elts, strict=True)
        else:
            yield target, statement.value


def solved(node: ast.BinOp, value: int) -> Iterator[tuple[ast.expr, int]]:
    """The part of an operation with a number that is none, and what it must be worth for the whole to be a value."""
    for part, other, first in ((node.left, node.right, True), (node.right, node.left, False)):
        number = other.value if isinstance(other, ast.Constant) else None
        if type(number) is not int or isinstance(part, ast.Constant):
            continue
        if isinstance(node.op, ast.Mult) and number and value % number == 0:
            yield part, value // number
        elif isinstance(node.op, ast.Add):
            yield part, value - number
        elif first and isinstance(node.op, ast.FloorDiv):
            yield part, value * number


def written(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """The arguments as they are written, those by position without a name."""
    yield from (("", node) for node in call.args)
    yield from ((keyword.arg or "", keyword.value) for keyword in call.keywords)


def arguments(call: ast.Call, names: Sequence[str]) -> Mapping[str, ast.expr]:
    """The arguments of a call by name, as far as none is unpacked before them."""
    found: dict[str, ast.expr] = {}
    for name, node in zip(names, call.args, strict=False):
        if isinstance(node, ast.Starred):
            break
        found[name] = node
    return found | {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
