"""Expressions are walked by hand; nothing is `eval`ed.

    Expression → (names from a lookup) → plain value | Thing | UNKNOWN

After a fault has been reported the value is UNKNOWN, and whatever is made of UNKNOWN is UNKNOWN too: one mistake, one
message.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archscope.errors import ArchscopeError, Span, did_you_mean
from archscope.spec.budget import EXPRESSION, Budget
from archscope.spec.complaints import cure_of, in_words
from archscope.spec.expression import short
from archscope.spec.harmless import harmless
from archscope.spec.model import Expression
from archscope.spec.numbers import Fault, capped, multiply, power, remainder
from archscope.spec.things import (
    MISSING,
    UNKNOWN,
    Parts,
    Thing,
    arithmetic,
    compared,
    is_number,
    known_by_halves,
    number_within,
    numeric,
    plain_call,
    shown,
)

BINARY: Mapping[type, tuple[str, Callable]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", multiply),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", remainder),
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
SAID = (ast.Call, ast.BinOp, ast.Subscript, ast.Compare, ast.BoolOp, ast.IfExp, ast.List)
"""Expressions whose text names a value that has no other name."""
NO_LAYER = "torch.nn has no such layer; blocks of your own stand under `blocks:`"
UNDEFINED = "define it under `params:` or `let:`; a word is written in quotes"
CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "none": None, "null": None}


@dataclass(frozen=True)
class Evaluator:
    """Walks expressions. `lookup` gives a name's value or MISSING, `names` lists of what could have been meant,
    nearest first.

    Faults go to `report(span, message, help)`; the walk goes on with UNKNOWN. `host` is handed to what is called: the
    block being built. budget: what is counted there.
    """

    lookup: Callable[[str], object]
    names: Callable[[], Iterable[Iterable[str]]]
    report: Callable[[Span, str, str], None]
    host: object = None
    budget: Budget = field(default_factory=Budget)

    def value(self, expression: Expression) -> object:
        """The value of the whole expression. Raises Fault where the spec has worked out too much."""
        self.budget.value(EXPRESSION)
        return self._walk(expression.tree, expression)

    def _walk(self, node: ast.expr, source: Expression) -> object:
        value = self._part(node, source)
        if isinstance(value, Thing) and isinstance(node, SAID):
            value.refer(source.piece(node))
        return value.whole(self.host) if isinstance(value, Parts) else value

    def _part(self, node: ast.expr, source: Expression) -> object:
        """A value of which a part is taken."""
        try:
            value = WALKERS[type(node)](self, node, source)
            self.budget.items(value)
            return value
        except Fault as fault:
            self.report(source.at(culprit(node, fault)), fault.message, fault.help)
        except RecursionError:
            self.report(source.span, "an expression nested too deeply", "name its parts with `let`")
        except ArchscopeError:
            raise
        except Exception as error:  # noqa: BLE001 - what is called raises what it likes
            fact = f"{short(source.piece(node))} cannot be worked out: {in_words(error)}"
            self.report(source.at(node), fact, cure_of(error, "other arguments, or another function"))
        return UNKNOWN

    def _all(self, nodes: Iterable[ast.expr], source: Expression) -> list:
        out: list = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                out += self._unpacked(self._walk(node.value, source))
            else:
                out.append(self._walk(node, source))
        return out

    def _unpacked(self, value: object) -> Sequence:
        if value is UNKNOWN:
            return [UNKNOWN]
        if isinstance(value, Thing):
            return value.items(self.host)
        if not isinstance(value, (list, tuple)):
            raise Fault(f"* takes a list, not {shown(value)}")
        return value

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
        if isinstance(node, ast.Tuple):
            return tuple(self._all(node.elts, source))
        total: Any = []
        for part in node.elts:
            more = self._walk(part.value, source) if isinstance(part, ast.Starred) else [self._walk(part, source)]
            if isinstance(more, Thing) and more.lists:
                total = more.binary("+", total, swapped=True, host=self.host)
            elif isinstance(total, Thing):
                total = total.binary("+", list(self._unpacked(more)), swapped=False, host=self.host)
            else:
                total += self._unpacked(more)
        return total

    def _binary(self, node: ast.BinOp, source: Expression) -> object:
        left, right = self._walk(node.left, source), self._walk(node.right, source)
        symbol, apply = BINARY[type(node.op)]
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        if isinstance(left, Thing):
            return left.binary(symbol, right, swapped=False, host=self.host)
        if isinstance(right, Thing):
            return right.binary(symbol, left, swapped=True, host=self.host)
        return arithmetic(symbol, apply, left, right)

    def _unary(self, node: ast.UnaryOp, source: Expression) -> object:
        value = self._walk(node.operand, source)
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(node.op, ast.Not):
            return value.unary("not", self.host) if isinstance(value, Thing) else not value
        symbol = "-" if isinstance(node.op, ast.USub) else "+"
        if isinstance(value, Thing):
            return value.unary(symbol, self.host)
        if not isinstance(value, (int, float)):
            raise Fault(f"{symbol}{shown(value)} cannot be worked out", f"{symbol} takes a number")
        return -value if symbol == "-" else value

    def _boolean(self, node: ast.BoolOp, source: Expression) -> object:
        return self._junction(node.values, isinstance(node.op, ast.Or), source)

    def _junction(self, parts: Sequence[ast.expr], either: bool, source: Expression) -> object:
        """`a and b and …` from left to right; where a number of the run decides, so does the run, if it can."""
        value = self._walk(parts[0], source)
        if len(parts) == 1 or value is UNKNOWN:
            return value
        rest = lambda: self._junction(parts[1:], either, source)  # noqa: E731
        if numeric(value) and all(harmless(part, self.lookup) for part in parts[1:]):
            further = rest()
            first, second = (value, further) if either else (further, value)
            return value.choice(first, second) if is_number(further) else further  # type: ignore[attr-defined]
        return value if self._truth(value) == either else rest()

    def _ternary(self, node: ast.IfExp, source: Expression) -> object:
        test = self._walk(node.test, source)
        if test is UNKNOWN:
            return UNKNOWN
        if numeric(test) and harmless(node.body, self.lookup) and harmless(node.orelse, self.lookup):
            here, otherwise = self._walk(node.body, source), self._walk(node.orelse, source)
            if is_number(here) and is_number(otherwise):
                return test.choice(here, otherwise)  # type: ignore[attr-defined]
        return self._walk(node.body if self._truth(test) else node.orelse, source)

    def _truth(self, value: object) -> bool:
        return value.truth(self.host) if isinstance(value, Thing) else bool(value)

    def _compare(self, node: ast.Compare, source: Expression) -> object:
        held: object = True
        left = self._walk(node.left, source)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._walk(right_node, source)
            if left is UNKNOWN or right is UNKNOWN:
                return UNKNOWN
            holds = self._single(op, left, right)
            if len(node.ops) == 1 or holds is False:
                return holds
            if isinstance(holds, Thing):
                if not holds.numeric:
                    raise Fault(f"{holds.what} cannot stand in a chain of comparisons", "compare two at a time")
                held = holds.binary("and", held, swapped=True, host=self.host)
            left = right
        return held

    def _single(self, op: ast.cmpop, left: object, right: object) -> object:
        symbol, apply = COMPARE[type(op)]
        if isinstance(left, Thing) and left.compares:
            return left.binary(symbol, right, swapped=False, host=self.host)
        if isinstance(right, Thing) and right.compares:
            return right.binary(symbol, left, swapped=True, host=self.host)
        inside = number_within((left, right))
        return inside.joint(symbol, left, right, self.host) if inside else compared(symbol, apply, left, right)

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
            value.refer(source.piece(node.value))
            return value.attribute(node.attr, self.host)
        raise Fault(f"{shown(value)} has no attribute {node.attr!r}")

    def _subscript(self, node: ast.Subscript, source: Expression) -> object:
        value, index = self._part(node.value, source), self._walk(node.slice, source)
        if isinstance(value, Parts) and not isinstance(index, int):
            value = value.whole(self.host)
        if value is UNKNOWN or known_by_halves(index):
            return UNKNOWN
        if isinstance(value, Thing):
            return value.subscript(index, self.host)
        try:
            if numeric(index) and isinstance(value, (list, tuple)):
                return index.pick(value, self.host)  # type: ignore[attr-defined]
            index = settled_index(index, self.host)
            return value[index]  # type: ignore[index]
        except ValueError:
            raise Fault("a slice in steps of 0", "steps of 1 or more, or of -1 or less") from None
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


def settled_index(index: object, host: object) -> object:
    """An index of a plain list, with plain numbers in it."""
    if isinstance(index, slice):
        return slice(*(settled_index(part, host) for part in (index.start, index.stop, index.step)))
    return index.settled(host) if isinstance(index, Thing) and index.numeric else index


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
