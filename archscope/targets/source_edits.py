"""Edits of the author's source that give a layer another argument, or a function other numbers; none is tried here.

calls that made a layer, argument, value ─→ where that number stands: in the call, in what its names stand for,
                                            in the calls around it ─→ SourceEdits, the outermost place first
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from archscope.errors import Span
from archscope.targets.remaking import CallPlace
from archscope.targets.source_files import SourceFile

DEEPEST = 6
"""Through how many names and calls a number is followed."""
AXES_FIRST = ("flatten", "unflatten", "mean", "sum", "amax", "amin", "unbind", "unsqueeze", "squeeze")
"""Functions whose numbers are all dimensions."""
ALONG = (*AXES_FIRST, "chunk", "split", "stack", "cat", "concat", "select", "softmax", "cumsum")
"""Functions that work along a dimension."""
SIZED = ("view", "reshape", "unflatten")
"""Functions that are told sizes."""
ORDERED = (*SIZED, "permute", "transpose", "swapaxes", "scaled_dot_product_attention", "matmul", "bmm")
"""Functions whose arguments have an order that is easily mistaken."""
TENSOR_FIRST = ("torch", "F")
"""What stands before a function whose first argument is the tensor."""


@dataclass(frozen=True)
class SourceEdit:
    """One piece of a file replaced. call: the call or statement that is changed. words: what it says afterwards.

    function: that it stands in. own: it takes away a number that an expression adds, or says an argument of the
    function as the function is told it, which is right wherever the function is called.
    """

    file: SourceFile
    start: int
    end: int
    new: str
    call: ast.expr | ast.stmt
    function: str
    words: str
    own: bool = False

    @property
    def text(self) -> str:
        return self.file.text[: self.start] + self.new + self.file.text[self.end :]

    @property
    def place(self) -> Span:
        return Span(self.file.name, self.call.lineno, self.call.col_offset + 1)

    @property
    def said(self) -> str:
        """The call as it stands, on one line."""
        return " ".join((ast.get_source_segment(self.file.text, self.call) or "").split())


@dataclass(frozen=True)
class Writer:
    """Writes edits of one call or statement."""

    file: SourceFile
    call: ast.expr | ast.stmt
    function: ast.FunctionDef | None

    def replaced(self, node: ast.expr, new: str, name: str, *, own: bool = False) -> Iterator[SourceEdit]:
        start, end = self.file.range(node)
        if self.file.text[start:end] != new:
            yield self.edit(start, end, new, f"{name}={new}" if name else new, own=own)

    def added(self, name: str, value: str, *, own: bool = False) -> Iterator[SourceEdit]:
        """Another argument at the end of the call."""
        assert isinstance(self.call, ast.Call)
        end = self.file.range(self.call)[1] - 1
        before = self.file.text[:end].rstrip()
        lead = "" if before.endswith("(") else " " if before.endswith(",") else ", "
        if not any(keyword.arg is None for keyword in self.call.keywords):
            yield self.edit(end, end, f"{lead}{name}={value}", f"{name}={value}", own=own)

    def edit(self, start: int, end: int, new: str, words: str, *, own: bool = False) -> SourceEdit:
        function = self.function.name if self.function is not None else ""
        return SourceEdit(self.file, start, end, new, self.call, function, words, own)


def writer(place: CallPlace) -> Writer:
    return Writer(place.file, place.node, place.function)


# ------------------------------------------------------------ arguments of layers
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
            for rest in without_number(node):
                yield from writer(place).replaced(node, ast.unparse(rest), name, own=True)


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
            yield writer(place).edit(start, start, f"{maker}.Flatten(), ", f"{maker}.Flatten() before it")


def flattened_images(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """`.flatten(2)` before `.transpose(1, 2)`: (N, C, H, W) → (N, C, H·W) → (N, H·W, C)."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "transpose":
            end = file.range(node.func.value)[1]
            words = f"{ast.unparse(node.func.value)}.flatten(2)"
            yield Writer(file, node, function).edit(end, end, ".flatten(2)", words)


def elements(node: ast.AST) -> Sequence[ast.expr]:
    if isinstance(node, ast.Call):
        return node.args
    return node.elts if isinstance(node, (ast.Tuple, ast.List)) else ()


def flattened_operands(file: SourceFile, function: ast.FunctionDef, line: int, column: int) -> Iterator[SourceEdit]:
    """`.flatten(1)` behind the first argument of the call that stands at a place (both from 1)."""
    for node in ast.walk(function):
        here = isinstance(node, ast.Call) and (node.lineno, node.col_offset + 1) == (line, column)
        if isinstance(node, ast.Call) and here and node.args:
            end = file.range(node.args[0])[1]
            yield Writer(file, node, function).edit(end, end, ".flatten(1)", f"{ast.unparse(node.args[0])}.flatten(1)")


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
        if isinstance(statement, ast.Assign):
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


def pairs(statement: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The targets of an assignment with what each is given."""
    for target in statement.targets:
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


def without_number(node: ast.expr) -> Iterator[ast.expr]:
    """`width` of `width + 1` and of `2 * width`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
        rest = [side for side in (node.left, node.right) if not isinstance(side, ast.Constant)]
        if len(rest) == 1:
            yield rest[0]


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


def parameters(function: ast.FunctionDef) -> list[str]:
    """What a function takes by position or by name, without the object of a method."""
    given = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    own = given[:1] if given[:1] in (["self"], ["cls"]) else []
    return given[len(own) :] + [argument.arg for argument in function.args.kwonlyargs]


# ------------------------------------------------------------ what a forward says
def forward_edits(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """Other dimensions, sizes in another order, sums without a number, in calls of tensors' functions; a value that
    nothing reads in place of another one."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and called(node) in (*ALONG, *ORDERED)]
    for call in calls:
        at = Writer(file, call, function)
        for node in dims(call):
            for new in (-1, 1, 2, 3, 0):
                yield from at.replaced(node, str(new), "dim")
        for first, second in pairwise(ordered(call)):
            start, end = file.range(first)[0], file.range(second)[1]
            between = file.text[file.range(first)[1] : file.range(second)[0]]
            one, other = file.segment(first), file.segment(second)
            yield at.edit(start, end, f"{other}{between}{one}", f"{other}, {one} for {one}, {other}")
        for part in (part for size in sizes(call) for part in ast.walk(size) if isinstance(part, ast.expr)):
            for rest in without_number(part):
                yield from at.replaced(part, ast.unparse(rest), "", own=True)
        for node in sizes(call) if called(call) in SIZED else ():
            if isinstance(node, ast.Constant) and type(node.value) is int:
                for new in (node.value - 1, node.value + 1):
                    yield from at.replaced(node, str(new), "")
            elif is_whole(node):
                yield from at.replaced(node, "-1", "")
    yield from unread_values(file, function)


def unread_values(file: SourceFile, function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """A local value that nothing reads before its name stands for another, in place of each value that is read until
    then."""
    statements = [node for node in ast.walk(function) if isinstance(node, (ast.Assign, ast.Return))]
    statements.sort(key=lambda node: node.lineno)
    for number, before in enumerate(statements):
        for name in stored(before):
            behind = statements[number + 1 :]
            if (end := next((n for n, one in enumerate(behind) if name in stored(one)), None)) is None:
                continue
            until = behind[: end + 1]
            if not any(node.id == name for one in until for node in loads(one)):
                for one in until:
                    for node in loads(one):
                        yield from Writer(file, one, function).replaced(node, name, "")


def stored(statement: ast.Assign | ast.Return) -> list[str]:
    return [target.id for target in getattr(statement, "targets", ()) if isinstance(target, ast.Name)]


def loads(statement: ast.Assign | ast.Return) -> list[ast.Name]:
    """The names that a statement reads, other than those of functions that it calls."""
    nodes = list(ast.walk(statement.value)) if statement.value is not None else []
    functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    holders = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    return [n for n in nodes if isinstance(n, ast.Name) and id(n) not in functions | holders]


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_function(call: ast.Call) -> bool:
    """Whether the tensor is the first argument: `torch.flatten(x, 1)`."""
    holder = call.func.value if isinstance(call.func, ast.Attribute) else None
    return holder is None or (isinstance(holder, ast.Name) and holder.id in TENSOR_FIRST)


def ordered(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call that may stand in another order."""
    if called(call) not in ORDERED:
        return []
    return sizes(call) if called(call) in (*SIZED, "permute", "transpose", "swapaxes") else call.args


def sizes(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call behind its tensor."""
    return call.args[1:] if is_function(call) else call.args


def dims(call: ast.Call) -> list[ast.expr]:
    """The whole numbers of a call that say a dimension."""
    if called(call) not in ALONG:
        return []
    words = [keyword.value for keyword in call.keywords if keyword.arg in ("dim", "start_dim", "end_dim")]
    behind = sizes(call) if called(call) in AXES_FIRST else sizes(call)[int(not is_function(call)) :]
    return [node for node in (*words, *behind) if is_whole(node)]


def is_whole(node: ast.expr) -> bool:
    inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    return isinstance(inner, ast.Constant) and type(inner.value) is int
