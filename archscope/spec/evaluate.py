"""Evaluation of expressions by an interpreter of syntax trees; `eval` is never used.

    Expression → (names from a lookup) → plain value | SpecValue | UNKNOWN

After an error has been reported the value is UNKNOWN, and every value computed from UNKNOWN is UNKNOWN too: one
mistake, one message.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archscope.errors import ArchscopeError, Span, did_you_mean
from archscope.spec.bounded_math import (
    EXPRESSION_COST,
    EvaluationError,
    WorkBudget,
    check_size_limit,
    multiply,
    power,
    remainder,
)
from archscope.spec.error_text import describe_error, error_help
from archscope.spec.expression import CONSTANT_WORDS, quote_short
from archscope.spec.infallible_expressions import is_safe_expression
from archscope.spec.spec_types import Expression
from archscope.spec.spec_values import (
    MISSING,
    UNKNOWN,
    Host,
    LazyList,
    SpecValue,
    Value,
    apply_arithmetic,
    apply_comparison,
    call_number_function,
    describe_value,
    find_runtime_number,
    has_unknown,
    is_number,
    is_runtime_number,
)

BINARY_OPERATORS: Mapping[type, tuple[str, Callable]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", multiply),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", remainder),
    ast.Pow: ("**", power),
    ast.MatMult: ("@", operator.matmul),
}
COMPARISON_OPERATORS: Mapping[type, tuple[str, Callable]] = {
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


PYTHON_PREFIXES = ("torch", "nn", "F", "self", "np")
NAMED_BY_TEXT = (ast.Call, ast.BinOp, ast.Subscript, ast.Compare, ast.BoolOp, ast.IfExp, ast.List)
"""Expressions whose text is used as the name of a value that has no other name."""
NO_LAYER_HELP = "torch.nn has no such layer; define your own blocks under `blocks:`"
UNDEFINED_HELP = "define it under `params:` or `let:`; a word is written in quotes"


@dataclass(frozen=True)
class Evaluator:
    """An interpreter of expressions. `lookup` returns a name's value or MISSING; `names` returns lists of candidates
    for did-you-mean suggestions, nearest first.

    Errors go to `report(span, message, help)`, and evaluation continues with UNKNOWN. host: the block being built,
    passed to what is called. budget: counts the work that is done.
    """

    lookup: Callable[[str], Value]
    names: Callable[[], Iterable[Iterable[str]]]
    report: Callable[[Span, str, str], None]
    host: Host | None = None
    budget: WorkBudget = field(default_factory=WorkBudget)

    def value(self, expression: Expression) -> Value:
        """Return the value of the whole expression. Raise EvaluationError if the spec exceeds its work budget."""
        self.budget.value(EXPRESSION_COST)
        return self._evaluate(expression.tree, expression)

    def _evaluate(self, node: ast.expr, source: Expression) -> Value:
        value = self._evaluate_part(node, source)
        if isinstance(value, SpecValue) and isinstance(node, NAMED_BY_TEXT):
            value.set_source_text(source.piece(node))
        return value.materialize(self.host) if isinstance(value, LazyList) else value

    def _evaluate_part(self, node: ast.expr, source: Expression) -> Value:
        """Return the value of a node, without converting a LazyList: only a part of it may be needed."""
        try:
            value = NODE_EVALUATORS[type(node)](self, node, source)
            self.budget.items(value)
            return value
        except EvaluationError as fault:
            self.report(source.at(faulty_node(node, fault)), fault.message, fault.help)
        except RecursionError:
            self.report(source.span, "an expression nested too deeply", "name its parts with `let`")
        except ArchscopeError:
            raise
        except Exception as error:  # noqa: BLE001 - what is called raises what it likes
            fact = f"{quote_short(source.piece(node))} cannot be worked out: {describe_error(error)}"
            self.report(source.at(node), fact, error_help(error, "other arguments, or another function"))
        return UNKNOWN

    def _evaluate_all(self, nodes: Iterable[ast.expr], source: Expression) -> list:
        out: list = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                out += self._unpack(self._evaluate(node.value, source))
            else:
                out.append(self._evaluate(node, source))
        return out

    def _unpack(self, value: Value) -> Sequence:
        if value is UNKNOWN:
            return [UNKNOWN]
        if isinstance(value, SpecValue):
            return value.items(self.host)
        if not isinstance(value, (list, tuple)):
            raise EvaluationError(f"* takes a list, not {describe_value(value)}")
        return value

    def _name(self, node: ast.Name, source: Expression) -> Value:
        value = self.lookup(node.id)
        if value is not MISSING:
            return value
        if node.id.lower() in CONSTANT_WORDS:
            return CONSTANT_WORDS[node.id.lower()]
        habit = "layers and functions are named alone: Linear(3), relu(x)" if node.id in PYTHON_PREFIXES else ""
        otherwise = NO_LAYER_HELP if node.id[:1].isupper() else UNDEFINED_HELP
        raise EvaluationError(f"unknown name {node.id!r}", habit or self.suggest_name(node.id) or otherwise)

    def suggest_name(self, name: str) -> str:
        """Return a did-you-mean suggestion; the spec's own names come before those of torch."""
        return next(filter(None, (did_you_mean(name, names) for names in self.names())), "")

    def _constant(self, node: ast.Constant, source: Expression) -> Value:
        return check_size_limit(node.value)

    def _sequence(self, node: ast.List | ast.Tuple, source: Expression) -> Value:
        if isinstance(node, ast.Tuple):
            return tuple(self._evaluate_all(node.elts, source))
        total: Any = []
        for part in node.elts:
            more = (
                self._evaluate(part.value, source) if isinstance(part, ast.Starred) else [self._evaluate(part, source)]
            )
            if isinstance(more, SpecValue) and more.lists:
                total = more.binary("+", total, swapped=True, host=self.host)
            elif isinstance(total, SpecValue):
                total = total.binary("+", list(self._unpack(more)), swapped=False, host=self.host)
            else:
                total += self._unpack(more)
        return total

    def _binary(self, node: ast.BinOp, source: Expression) -> Value:
        left, right = self._evaluate(node.left, source), self._evaluate(node.right, source)
        symbol, apply = BINARY_OPERATORS[type(node.op)]
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        if isinstance(left, SpecValue):
            return left.binary(symbol, right, swapped=False, host=self.host)
        if isinstance(right, SpecValue):
            return right.binary(symbol, left, swapped=True, host=self.host)
        return apply_arithmetic(symbol, apply, left, right)

    def _unary(self, node: ast.UnaryOp, source: Expression) -> Value:
        value = self._evaluate(node.operand, source)
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(node.op, ast.Not):
            return value.unary("not", self.host) if isinstance(value, SpecValue) else not value
        symbol = "-" if isinstance(node.op, ast.USub) else "+"
        if isinstance(value, SpecValue):
            return value.unary(symbol, self.host)
        if not isinstance(value, (int, float)):
            raise EvaluationError(f"{symbol}{describe_value(value)} cannot be worked out", f"{symbol} takes a number")
        return -value if symbol == "-" else value

    def _boolean(self, node: ast.BoolOp, source: Expression) -> Value:
        return self._short_circuit(node.values, isinstance(node.op, ast.Or), source)

    def _short_circuit(self, parts: Sequence[ast.expr], either: bool, source: Expression) -> Value:
        """Return the value of `a and b and …`, evaluated from left to right; if a runtime number decides, the choice is
        made at run time where possible.
        """
        value = self._evaluate(parts[0], source)
        if len(parts) == 1 or value is UNKNOWN:
            return value
        rest = lambda: self._short_circuit(parts[1:], either, source)  # noqa: E731
        if is_runtime_number(value) and all(is_safe_expression(part, self.lookup) for part in parts[1:]):
            further = rest()
            first, second = (value, further) if either else (further, value)
            return value.select(first, second) if is_number(further) else further
        return value if self._truth(value) == either else rest()

    def _ternary(self, node: ast.IfExp, source: Expression) -> Value:
        test = self._evaluate(node.test, source)
        if test is UNKNOWN:
            return UNKNOWN
        if (
            is_runtime_number(test)
            and is_safe_expression(node.body, self.lookup)
            and is_safe_expression(node.orelse, self.lookup)
        ):
            chosen, otherwise = self._evaluate(node.body, source), self._evaluate(node.orelse, source)
            if is_number(chosen) and is_number(otherwise):
                return test.select(chosen, otherwise)
        return self._evaluate(node.body if self._truth(test) else node.orelse, source)

    def _truth(self, value: Value) -> bool:
        return value.to_bool(self.host) if isinstance(value, SpecValue) else bool(value)

    def _compare(self, node: ast.Compare, source: Expression) -> Value:
        combined: Value = True
        left = self._evaluate(node.left, source)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._evaluate(right_node, source)
            if left is UNKNOWN or right is UNKNOWN:
                return UNKNOWN
            holds = self._compare_pair(op, left, right)
            if len(node.ops) == 1 or holds is False:
                return holds
            if isinstance(holds, SpecValue):
                if not holds.numeric:
                    raise EvaluationError(
                        f"{holds.what} cannot be part of a chain of comparisons", "compare two at a time"
                    )
                combined = holds.binary("and", combined, swapped=True, host=self.host)
            left = right
        return combined

    def _compare_pair(self, op: ast.cmpop, left: Value, right: Value) -> Value:
        symbol, apply = COMPARISON_OPERATORS[type(op)]
        if isinstance(left, SpecValue) and left.compares:
            return left.binary(symbol, right, swapped=False, host=self.host)
        if isinstance(right, SpecValue) and right.compares:
            return right.binary(symbol, left, swapped=True, host=self.host)
        inside = find_runtime_number((left, right))
        return (
            inside.compare_lists(symbol, left, right, self.host)
            if inside
            else apply_comparison(symbol, apply, left, right)
        )

    def _call(self, node: ast.Call, source: Expression) -> Value:
        function = self._evaluate(node.func, source)
        args = self._evaluate_all(node.args, source)
        kwargs = {k.arg: self._keyword(k, source) for k in node.keywords if k.arg}
        if function is UNKNOWN:
            return UNKNOWN
        if isinstance(function, SpecValue):
            return function.call(tuple(args), kwargs, self.host)
        if any(has_unknown(v) for v in (*args, *kwargs.values())):
            return UNKNOWN
        if callable(function):
            return call_number_function(ast.unparse(node.func), function, args, kwargs)
        fix = "layers, blocks, functions and declared modules are called"
        raise EvaluationError(f"{ast.unparse(node.func)} is {describe_value(function)} and cannot be called", fix)

    def _keyword(self, keyword: ast.keyword, source: Expression) -> Value:
        value = keyword.value
        if isinstance(value, ast.Name) and self.lookup(value.id) is MISSING and value.id.lower() not in CONSTANT_WORDS:
            near = self.suggest_name(value.id)
            fix = f"a word is written in quotes: {keyword.arg}='{value.id}'"
            self.report(source.at(value), f"unknown name {value.id!r}", f"{near} {fix}".strip())
            return UNKNOWN
        return self._evaluate(value, source)

    def _attribute(self, node: ast.Attribute, source: Expression) -> Value:
        value = self._evaluate(node.value, source)
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(value, SpecValue):
            value.set_source_text(source.piece(node.value))
            return value.attribute(node.attr, self.host)
        raise EvaluationError(f"{describe_value(value)} has no attribute {node.attr!r}")

    def _subscript(self, node: ast.Subscript, source: Expression) -> Value:
        value, index = self._evaluate_part(node.value, source), self._evaluate(node.slice, source)
        if isinstance(value, LazyList) and not isinstance(index, int):
            value = value.materialize(self.host)
        if value is UNKNOWN or has_unknown(index):
            return UNKNOWN
        if isinstance(value, SpecValue):
            return value.subscript(index, self.host)
        try:
            if is_runtime_number(index) and isinstance(value, (list, tuple)):
                return index.select_item(value, self.host)
            index = to_plain_index(index, self.host)
            return value[index]  # type: ignore[index]
        except ValueError:
            raise EvaluationError("a slice in steps of 0", "steps of 1 or more, or of -1 or less") from None
        except IndexError:
            count = len(value)  # type: ignore[arg-type]
            fix = f"indices go from 0 to {count - 1}" if count else "the list is empty"
            raise EvaluationError(f"there is no index {index} in a list of {count} items", fix) from None
        except (TypeError, KeyError):
            raise EvaluationError(f"{describe_value(value)} cannot be indexed with {describe_value(index)}") from None

    def _slice(self, node: ast.Slice, source: Expression) -> Value:
        parts = [None if p is None else self._evaluate(p, source) for p in (node.lower, node.upper, node.step)]
        return UNKNOWN if UNKNOWN in parts else slice(*parts)


def faulty_node(node: ast.expr, fault: EvaluationError) -> ast.AST:
    """Return the part of a call that an error is about: the keyword argument that it names, else the call."""
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return next((k for k in keywords if fault.argument and k.arg == fault.argument), node)


def to_plain_index(index: Value, host: Host | None) -> Value:
    """Return an index of a plain list with plain numbers in it."""
    if isinstance(index, slice):
        return slice(*(to_plain_index(part, host) for part in (index.start, index.stop, index.step)))
    return index.to_plain(host) if isinstance(index, SpecValue) and index.numeric else index


NODE_EVALUATORS: Mapping[type, Callable] = {
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
