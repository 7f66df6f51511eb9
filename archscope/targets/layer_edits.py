"""Edits of constructor calls that give a layer another argument; not tried here.

calls that made a layer, argument, value ─→ places of that number: in the call, in the definition of its names,
                                            in the calls around it ─→ SourceEdits, the outermost place first
"""

from __future__ import annotations

import ast
import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from archscope.spec.tensor_calls import drop_numbers
from archscope.targets.source_edits import EditBuilder, SourceEdit, combine_edits, edit_builder, parameter_names
from archscope.targets.target_rebuilder import SourceCall

MAX_VALUE_DEPTH = 6
"""The largest number of names and calls through which a number is traced."""
MAX_FACTOR = 8
"""The largest factor that is put before a name."""


# ------------------------------------------------------------ arguments of the function around the call
def own_argument_edits(calls: Sequence[SourceCall], names: Sequence[str]) -> Iterator[SourceEdit]:
    """Yield edits of a layer's arguments that follow from the functions around its calls.

    Two cases: a parameter that the function never reads; a number that is added to an expression. names: the layer's
    arguments.
    """
    for place in calls[:1]:
        read = {node.id for node in ast.walk(place.function or place.node) if isinstance(node, ast.Name)}
        for argument in parameter_names(place.function) if place.function is not None else ():
            if argument in names and argument not in read:
                yield from set_argument_edits(place, names, argument, argument, own=True)
    for place in calls:
        for name, node in written_arguments(place.node):
            for part, rest in drop_numbers(node):
                yield from edit_builder(place).replace_node(part, rest, name if part is node else "", own=True)


def factor_edits(calls: Sequence[SourceCall]) -> Iterator[SourceEdit]:
    """Yield edits that remove the number of a product, `width` for `2 * width`; a factor is mostly intended."""
    for place in calls:
        for name, node in written_arguments(place.node):
            for part, rest in drop_numbers(node, (ast.Mult,)):
                yield from edit_builder(place).replace_node(part, rest, name if part is node else "")


def flattened_size_edits(
    calls: Sequence[SourceCall], names: Sequence[str], argument: str, wanted: Sequence[int], given: Sequence[int]
) -> Iterator[SourceEdit]:
    """Yield edits of the spatial sizes in a product: `width * 16 * 16` for `width * 14 * 14`, `16**2` for `14**2`.

    wanted: the spatial sizes that the product was written for. given: those of the actual feature map.
    """
    for place in calls[:1]:
        node = named_arguments(place.node, names).get(argument)
        if isinstance(node, ast.BinOp):
            text = ast.unparse(SizeReplacer(wanted, given).visit(copy.deepcopy(node)))
            if text != ast.unparse(node):
                yield from edit_builder(place).replace_node(node, text, argument)


class SizeReplacer(ast.NodeTransformer):
    """A transformer that replaces each number equal to a spatial size by the other map's size, each axis once."""

    def __init__(self, wanted: Sequence[int], given: Sequence[int]) -> None:
        self.axes = list(zip(wanted, given, strict=True))

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        axis = next((axis for axis in self.axes if type(node.value) is int and axis[0] == node.value), None)
        if axis is None:
            return node
        self.axes.remove(axis)
        return ast.Constant(axis[1])


def padding_edits(calls: Sequence[SourceCall], names: Sequence[str]) -> Iterator[SourceEdit]:
    """Yield edits that set the padding that keeps the size, if the kernel is a name: in every call of the class in the
    function, and in this one alone.
    """
    for place in calls[:1] if "kernel_size" in names and "padding" in names else ():
        kin = [dataclasses.replace(place, node=node) for node in (place.node, *sibling_calls(place))]
        yield from combine_edits([edit for one in kin for edit in same_padding_edits(one, names)])
        yield from same_padding_edits(place, names)


def same_padding_edits(place: SourceCall, names: Sequence[str]) -> Iterator[SourceEdit]:
    kernel = named_arguments(place.node, names).get("kernel_size")
    if isinstance(kernel, ast.Name):
        yield from set_argument_edits(place, names, "padding", f"{kernel.id} // 2", own=True)


def window_edits(calls: Sequence[SourceCall], names: Sequence[str]) -> Iterator[SourceEdit]:
    """Yield edits that set the stride to the kernel (patches) if that is a name, or to values of the other calls of the
    class in the function.
    """
    for place in calls[:1] if "kernel_size" in names else ():
        given = named_arguments(place.node, names)
        kernel = given.get("kernel_size")
        if isinstance(kernel, ast.Name):
            yield from set_argument_edits(place, names, "stride", kernel.id, own=False)
        for name in ("stride", "padding", "kernel_size", "dilation"):
            texts = (named_arguments(other, names).get(name) for other in sibling_calls(place))
            for text in dict.fromkeys(ast.unparse(text) for text in texts if text is not None):
                yield from set_argument_edits(place, names, name, text, own=True)
            if name in given and name != "kernel_size":
                yield from set_argument_edits(place, names, name, "0" if name == "padding" else "1", own=False)


def sibling_calls(place: SourceCall) -> list[ast.Call]:
    """Return the other calls of the same class in the function."""
    nodes = ast.walk(place.function) if place.function is not None else ()
    kind = ast.unparse(place.node.func)
    return [n for n in nodes if isinstance(n, ast.Call) and n is not place.node and ast.unparse(n.func) == kind]


def flatten_edits(calls: Sequence[SourceCall]) -> Iterator[SourceEdit]:
    """Yield edits that insert a Flatten layer before the one that these calls made, if that is in a list of layers."""
    for place in calls[:1]:
        maker = ast.unparse(place.node.func).rpartition(".")[0]
        lists = (node for node in ast.walk(place.function or place.file.tree))
        if maker and any(place.node in call_elements(node) for node in lists):
            start = place.file.range(place.node)[0]
            words = f"{maker}.Flatten() before it"
            yield edit_builder(place).edit(start, start, f"{maker}.Flatten(), ", words, own=True)


def call_elements(node: ast.AST) -> Sequence[ast.expr]:
    if isinstance(node, ast.Call):
        return node.args
    return node.elts if isinstance(node, (ast.Tuple, ast.List)) else ()


# ------------------------------------------------------------ new values of arguments
def set_argument_edits(
    place: SourceCall, names: Sequence[str], name: str, value: str, *, own: bool
) -> Iterator[SourceEdit]:
    node, at = named_arguments(place.node, names).get(name), edit_builder(place)
    edits = at.replace_node(node, value, name, own=own) if node is not None else at.add_argument(name, value, own=own)
    yield from (dataclasses.replace(edit, argument=name) for edit in edits)


def argument_edits(
    calls: Sequence[SourceCall], names: Sequence[str], argument: str, value: object, present: object
) -> Iterator[SourceEdit]:
    """Yield edits that give the layer which these calls made another value of an argument. names: the layer's
    arguments.
    """
    if not calls or any(isinstance(node, ast.Starred) for node in calls[0].node.args):
        return
    place = calls[0]
    node = named_arguments(place.node, names).get(argument)
    if node is not None:
        yield from value_edits(calls, node, value, present, argument, edit_builder(place), MAX_VALUE_DEPTH)
    elif any(keyword.arg is None for keyword in place.node.keywords):  # the function's `**options` may contain it
        yield from argument_edits(outer_calls(calls), ["", *names], argument, value, present)
    else:
        yield from edit_builder(place).add_argument(argument, repr(value))


def shared_argument(calls: Sequence[SourceCall], names: Sequence[str], changed: Mapping[str, object]) -> str:
    """Return the first of several arguments that use the same name, if they are to have one value; else ""."""
    given = named_arguments(calls[0].node, names) if calls else {}
    nodes = [given.get(name) for name in changed]
    words = {node.id for node in nodes if isinstance(node, ast.Name)}
    alike = len(words) == 1 and all(isinstance(node, ast.Name) for node in nodes) and len(set(changed.values())) == 1
    return next(iter(changed)) if alike else ""


def outer_calls(calls: Sequence[SourceCall]) -> Sequence[SourceCall]:
    """Return the calls around the function of the first one."""
    return [place for place in calls if place.function is not calls[0].function]


def value_edits(
    calls: Sequence[SourceCall], node: ast.expr, value: object, present: object, name: str, at: EditBuilder, deep: int
) -> Iterator[SourceEdit]:
    """Yield edits that give an expression in the function of the first call another value. present: its present value.

    A number replaces numbers alone; a name stays, with a factor if necessary.
    """
    if not deep:
        return
    named = any(isinstance(part, (ast.Name, ast.Attribute, ast.Call)) for part in ast.walk(node))
    if not named:
        yield from at.replace_node(node, repr(value), name)
    elif isinstance(node, ast.IfExp):
        for choice in (node.body, node.orelse):
            yield from value_edits(calls, choice, value, present, name, at, deep - 1)
    elif isinstance(node, ast.BinOp) and isinstance(value, int) and isinstance(present, int):
        for part, wanted, now in solve_operand(node, value, present):
            yield from value_edits(calls, part, wanted, now, "", at, deep - 1)
        for number, factor in factor_replacements(node, value, present):
            rest = node.right if number is node.left else node.left
            once = at.replace_node(node, ast.unparse(rest), name)
            yield from once if factor == 1 else at.replace_node(number, str(factor), "")
    else:
        if isinstance(node, ast.Name):
            yield from name_edits(calls, node.id, value, present, deep - 1)
        elif isinstance(node, ast.Attribute):
            yield from assignment_edits(calls, ast.unparse(node), value, present, deep - 1)
        for new in scaled_texts(ast.unparse(node), value, present) if name else ():
            yield from (dataclasses.replace(edit, guess=True) for edit in at.replace_node(node, new, name))


def factor_replacements(node: ast.BinOp, value: int, present: int) -> Iterator[tuple[ast.Constant, int]]:
    """Yield the number in a product, and the number that gives the product the value: `3 * width` → `4 * width`."""
    for number in (side for side in (node.left, node.right) if isinstance(side, ast.Constant)):
        factor = number.value if isinstance(node.op, ast.Mult) else 0
        if type(factor) is int and factor and present and present % factor == 0 and value % (present // factor) == 0:
            yield number, value // (present // factor)


def scaled_texts(text: str, value: object, present: object) -> Iterator[str]:
    """Yield the expression times a small number, or divided by one, if that gives the value."""
    if type(value) is int and type(present) is int and present > 0 and value > 0:
        if value % present == 0 and 1 < value // present <= MAX_FACTOR:
            yield f"{text} * {value // present}"
        elif present % value == 0 and 1 < present // value <= MAX_FACTOR:
            yield f"{text} // {present // value}"


def name_edits(
    calls: Sequence[SourceCall], name: str, value: object, present: object, deep: int
) -> Iterator[SourceEdit]:
    """Yield edits that give a name in the function of the first call another value."""
    function = calls[0].function
    if function is None or name not in parameter_names(function):
        yield from assignment_edits(calls, name, value, present, deep)
        return
    outer = outer_calls(calls)
    if outer:
        given = named_arguments(outer[0].node, parameter_names(function))
        if name in given:
            yield from value_edits(outer, given[name], value, present, name, edit_builder(outer[0]), deep)
        elif not any(isinstance(node, ast.Starred) for node in outer[0].node.args):
            yield from edit_builder(outer[0]).add_argument(name, repr(value))


def assignment_edits(
    calls: Sequence[SourceCall], name: str, value: object, present: object, deep: int
) -> Iterator[SourceEdit]:
    """Yield edits of a local name, or an attribute of the object, where the function assigns it or loops over it."""
    function = calls[0].function
    for statement in ast.walk(function) if function is not None else ():
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            for target, assigned in assignment_pairs(statement):
                if ast.unparse(target) == name:
                    at = EditBuilder(calls[0].file, statement, function)
                    yield from value_edits(calls, assigned, value, present, name, at, deep)
        elif isinstance(statement, (ast.For, ast.comprehension)):
            yield from loop_edits(calls[0], statement, name, value)


def loop_edits(place: SourceCall, loop: ast.For | ast.comprehension, name: str, value: object) -> Iterator[SourceEdit]:
    """Yield edits of the numbers in the list that a loop iterates over, if the loop binds the name."""
    if name in {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}:
        for node in ast.walk(loop.iter):
            if isinstance(node, ast.Constant) and type(node.value) is int:
                yield from EditBuilder(place.file, loop.iter, place.function).replace_node(node, repr(value), "")


def assignment_pairs(statement: ast.Assign | ast.AnnAssign) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield the targets of an assignment with their values."""
    if statement.value is None:
        return
    for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
        if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
            if len(target.elts) == len(statement.value.elts):
                yield from zip(target.elts, statement.value.elts, strict=True)
        else:
            yield target, statement.value


def solve_operand(node: ast.BinOp, value: int, present: int) -> Iterator[tuple[ast.expr, int, int]]:
    """Yield the operand of an operation that is not the number, with the value that it needs and its present value."""
    for part, other, first in ((node.left, node.right, True), (node.right, node.left, False)):
        number = other.value if isinstance(other, ast.Constant) else None
        if type(number) is not int or isinstance(part, ast.Constant):
            continue
        if isinstance(node.op, ast.Mult) and number and value % number == 0:
            yield part, value // number, present // number
        elif isinstance(node.op, ast.Add):
            yield part, value - number, present - number
        elif first and isinstance(node.op, ast.FloorDiv):
            yield part, value * number, present * number


def written_arguments(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """Yield the arguments as written, positional ones without a name."""
    yield from (("", node) for node in call.args)
    yield from ((keyword.arg or "", keyword.value) for keyword in call.keywords)


def named_arguments(call: ast.Call, names: Sequence[str]) -> Mapping[str, ast.expr]:
    """Return the arguments of a call by name, up to the first that is unpacked."""
    found: dict[str, ast.expr] = {}
    for name, node in zip(names, call.args, strict=False):
        if isinstance(node, ast.Starred):
            break
        found[name] = node
    return found | {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
