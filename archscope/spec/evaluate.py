"""Expressions are walked by hand; nothing is `eval`ed.

    Expression → (names from a lookup) → plain value | Thing | UNKNOWN

A plain value is a number, word, list or tuple. A `Thing` is what the workshop knows and this floor does not (a
tensor, a layer,
a function): it answers for itself when it is called, added, indexed. After a fault has been reported the value is
UNKNOWN, and whatever is
made of UNKNOWN is UNKNOWN too: one mistake, one message.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from archscope.errors import Span, did_you_mean
from archscope.spec.model import Expression
from archscope.spec.numbers import Fault, capped, multiply, power


class Unknown:
    """The value of what could not be worked out; it has been reported already."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()
MISSING = object()


class Thing:
    """A value of the workshop. `what` names it in messages. Each operation it does not answer is a Fault."""

    what = "value"
    compares = False  # whether `<`, `==` … are operations of its own

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        raise Fault(f"{self.what} cannot be called", "layers, blocks, functions and declared modules are called")

    def subscript(self, index: object) -> object:
        raise Fault(f"{self.what} cannot be indexed", "tensors, lists and shapes are indexed")

    def attribute(self, name: str) -> object:
        raise Fault(f"{self.what} has no attribute {name!r}", "tensors have shape, size() and methods")

    def unary(self, symbol: str) -> object:
        raise Fault(f"{symbol} cannot be applied to {self.what}", "expressions are made of tensors and numbers")

    def binary(self, symbol: str, other: object, *, swapped: bool) -> object:
        raise Fault(f"{symbol} cannot be applied to {self.what}", "expressions are made of tensors and numbers")


BINARY: Mapping[type, tuple[str, Callable]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", multiply),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", power),
    ast.MatMult: ("@", operator.matmul),
}
COMPARE: Mapping[type, tuple[str, Callable]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.In: ("in", lambda a, b: a in b),
    ast.NotIn: ("not in", lambda a, b: a not in b),
    ast.Is: ("is", lambda a, b: a is b or (isinstance(a, (int, str)) and a == b)),
    ast.IsNot: ("is not", lambda a, b: not (a is b or (isinstance(a, (int, str)) and a == b))),
}
HABITS = ("torch", "nn", "F", "self", "np")
NO_LAYER = "torch.nn has no such layer; blocks of your own stand under `blocks:`"
UNDEFINED = "define it under `params:` or `let:`; a word is written in quotes"
CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "none": None, "null": None}


def shown(value: object) -> str:
    """A value as messages name it: `64`, `'same'`, `a tensor (1, 64, 56, 56)`, `layer Conv2d`."""
    return value.what if isinstance(value, Thing) else repr(value)


def plain_call(name: str, function: Callable, args: Sequence, kwargs: Mapping) -> object:
    """A function of numbers, with Python's complaint as a Fault."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Thing):
            raise Fault(f"{name} takes numbers, not {value.what}")
    try:
        return capped(function(*args, **kwargs))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise Fault(f"{name}: {error}") from None


@dataclass(frozen=True)
class Evaluator:
    """Walks expressions. `lookup` gives a name's value or MISSING, `names` lists of what could have been meant,
    nearest first.

    Faults go to `report(span, message, help)`; the walk goes on with UNKNOWN. `host` is handed to what is called: the
    block being built.
    """

    lookup: Callable[[str], object]
    names: Callable[[], Iterable[Iterable[str]]]
    report: Callable[[Span, str, str], None]
    host: object = None

    def value(self, expression: Expression) -> object:
        """The value of the whole expression."""
        return self._walk(expression.tree, expression)

    def _walk(self, node: ast.expr, source: Expression) -> object:
        try:
            return WALKERS[type(node)](self, node, source)
        except Fault as fault:
            self.report(source.at(culprit(node, fault)), fault.message, fault.help)
        except RecursionError:
            self.report(source.span, "an expression nested too deeply", "name its parts with `let`")
        return UNKNOWN

    def _all(self, nodes: Iterable[ast.expr], source: Expression) -> list:
        out: list = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                items = self._walk(node.value, source)
                out += items if isinstance(items, (list, tuple)) else [UNKNOWN if items is UNKNOWN else _no_star(items)]
            else:
                out.append(self._walk(node, source))
        return out

    def _name(self, node: ast.Name, source: Expression) -> object:
        value = self.lookup(node.id)
        if value is not MISSING:
            return value
        if node.id.lower() in CONSTANTS:
            return CONSTANTS[node.id.lower()]
        habit = "layers and functions are named alone: Linear(3), relu(x)" if node.id in HABITS else ""
        otherwise = NO_LAYER if node.id[:1].isupper() else UNDEFINED
        raise Fault(f"unknown name {node.id!r}", habit or self.nearest(node.id) or otherwise)

    def nearest(self, name: str) -> str:
        """What could have been meant; the spec's own names go before those of torch."""
        return next(filter(None, (did_you_mean(name, names) for names in self.names())), "")

    def _constant(self, node: ast.Constant, source: Expression) -> object:
        return capped(node.value)

    def _sequence(self, node: ast.List | ast.Tuple, source: Expression) -> object:
        items = self._all(node.elts, source)
        return tuple(items) if isinstance(node, ast.Tuple) else items

    def _binary(self, node: ast.BinOp, source: Expression) -> object:
        left, right = self._walk(node.left, source), self._walk(node.right, source)
        symbol, apply = BINARY[type(node.op)]
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        if isinstance(left, Thing):
            return left.binary(symbol, right, swapped=False)
        if isinstance(right, Thing):
            return right.binary(symbol, left, swapped=True)
        return self._arithmetic(symbol, apply, left, right)

    def _arithmetic(self, symbol: str, apply: Callable, left: object, right: object) -> object:
        try:
            return capped(apply(left, right))
        except ZeroDivisionError:
            cure = "what is on the right must not be 0 here"
            raise Fault(f"division by zero: {left} {symbol} {right}", cure) from None
        except (TypeError, ValueError, OverflowError):
            cure = f"{symbol} takes numbers (and + lists)"
            raise Fault(f"{shown(left)} {symbol} {shown(right)} cannot be worked out", cure) from None

    def _unary(self, node: ast.UnaryOp, source: Expression) -> object:
        value = self._walk(node.operand, source)
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(node.op, ast.Not):
            return not _truth(value)
        symbol = "-" if isinstance(node.op, ast.USub) else "+"
        if isinstance(value, Thing):
            return value.unary(symbol)
        if not isinstance(value, (int, float)):
            raise Fault(f"{symbol}{shown(value)} cannot be worked out", f"{symbol} takes a number")
        return -value if symbol == "-" else value

    def _boolean(self, node: ast.BoolOp, source: Expression) -> object:
        value: object = None
        for part in node.values:
            value = self._walk(part, source)
            if value is UNKNOWN or _truth(value) == isinstance(node.op, ast.Or):
                return value
        return value

    def _ternary(self, node: ast.IfExp, source: Expression) -> object:
        test = self._walk(node.test, source)
        if test is UNKNOWN:
            return UNKNOWN
        return self._walk(node.body if _truth(test) else node.orelse, source)

    def _compare(self, node: ast.Compare, source: Expression) -> object:
        left = self._walk(node.left, source)
        if len(node.ops) == 1:
            right = self._walk(node.comparators[0], source)
            return self._single(node.ops[0], left, right)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._walk(right_node, source)
            if left is UNKNOWN or right is UNKNOWN:
                return UNKNOWN
            if not self._holds(COMPARE[type(op)], left, right):
                return False
            left = right
        return True

    def _single(self, op: ast.cmpop, left: object, right: object) -> object:
        symbol = COMPARE[type(op)][0]
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        if isinstance(left, Thing) and left.compares:
            return left.binary(symbol, right, swapped=False)
        if isinstance(right, Thing) and right.compares:
            return right.binary(symbol, left, swapped=True)
        return self._holds(COMPARE[type(op)], left, right)

    def _holds(self, comparison: tuple[str, Callable], left: object, right: object) -> bool:
        symbol, apply = comparison
        try:
            return bool(apply(left, right))
        except TypeError:
            raise Fault(
                f"{shown(left)} {symbol} {shown(right)} cannot be compared", "compare numbers, or words"
            ) from None

    def _call(self, node: ast.Call, source: Expression) -> object:
        function = self._walk(node.func, source)
        args = self._all(node.args, source)
        kwargs = {k.arg: self._keyword(k, source) for k in node.keywords if k.arg}
        if function is UNKNOWN:
            return UNKNOWN
        if isinstance(function, Thing):
            return function.call(tuple(args), kwargs, self.host)
        if any(known_by_halves(v) for v in (*args, *kwargs.values())):
            return UNKNOWN
        if callable(function):
            return plain_call(ast.unparse(node.func), function, args, kwargs)
        cure = "layers, blocks, functions and declared modules are called"
        raise Fault(f"{ast.unparse(node.func)} is {shown(function)} and cannot be called", cure)

    def _keyword(self, keyword: ast.keyword, source: Expression) -> object:
        value = keyword.value
        if isinstance(value, ast.Name) and self.lookup(value.id) is MISSING and value.id.lower() not in CONSTANTS:
            near = self.nearest(value.id)
            cure = f"a word is written in quotes: {keyword.arg}='{value.id}'"
            self.report(source.at(value), f"unknown name {value.id!r}", f"{near} {cure}".strip())
            return UNKNOWN
        return self._walk(value, source)

    def _attribute(self, node: ast.Attribute, source: Expression) -> object:
        value = self._walk(node.value, source)
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(value, Thing):
            return value.attribute(node.attr)
        raise Fault(f"{shown(value)} has no attribute {node.attr!r}")

    def _subscript(self, node: ast.Subscript, source: Expression) -> object:
        value, index = self._walk(node.value, source), self._walk(node.slice, source)
        if value is UNKNOWN or known_by_halves(index):
            return UNKNOWN
        if isinstance(value, Thing):
            return value.subscript(index)
        try:
            return value[index]  # type: ignore[index]
        except IndexError:
            count = len(value)  # type: ignore[arg-type]
            cure = f"indices go from 0 to {count - 1}" if count else "the list is empty"
            raise Fault(f"there is no index {index} in a list of {count} items", cure) from None
        except (TypeError, KeyError):
            raise Fault(f"{shown(value)} cannot be indexed with {shown(index)}") from None

    def _slice(self, node: ast.Slice, source: Expression) -> object:
        parts = [None if p is None else self._walk(p, source) for p in (node.lower, node.upper, node.step)]
        return UNKNOWN if UNKNOWN in parts else slice(*parts)


def culprit(node: ast.expr, fault: Fault) -> ast.AST:
    """The part of a call that a fault speaks of: the keyword argument it names, else the call."""
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return next((k for k in keywords if fault.argument and k.arg == fault.argument), node)


def known_by_halves(value: object) -> bool:
    """Whether UNKNOWN stands anywhere in a value."""
    if isinstance(value, (list, tuple)):
        return any(known_by_halves(v) for v in value)
    return value is UNKNOWN


def _truth(value: object) -> bool:
    if isinstance(value, Thing):
        raise Fault(
            f"{value.what} is neither true nor false", "conditions are made of numbers and words known before the run"
        )
    return bool(value)


def _no_star(value: object) -> object:
    raise Fault(f"* takes a list, not {shown(value)}")


WALKERS: Mapping[type, Callable] = {
    ast.Name: Evaluator._name,
    ast.Constant: Evaluator._constant,
    ast.List: Evaluator._sequence,
    ast.Tuple: Evaluator._sequence,
    ast.BinOp: Evaluator._binary,
    ast.UnaryOp: Evaluator._unary,
    ast.BoolOp: Evaluator._boolean,
    ast.IfExp: Evaluator._ternary,
    ast.Compare: Evaluator._compare,
    ast.Call: Evaluator._call,
    ast.Attribute: Evaluator._attribute,
    ast.Subscript: Evaluator._subscript,
    ast.Slice: Evaluator._slice,
}
