"""A step as tables show it: the expression's text, with values in place of names of numbers.

Linear(heads * d)(x).view(N, T, heads, d) → Linear(4096)(x).view(N, T, heads, d) Linear(2 * dim)(silu(c)), which is one
layer's call → Linear 16 (silu(c))
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import fx

from archscope.compile.compile_session import CompileSession
from archscope.compile.layer_classes import DeclaredLayer, Layer, LayerClass, ParameterFunction
from archscope.compile.runtime_numbers import compile_time_value
from archscope.compile.scope import Scope
from archscope.spec.bounded_math import EvaluationError
from archscope.spec.evaluate import Evaluator
from archscope.spec.name_usage import names_in
from archscope.spec.spec_types import Data, Expression, Items, Table, Word
from archscope.spec.spec_values import UNKNOWN, SpecValue, Value
from archscope.torch_layers.layer_text import format_argument_value
from archscope.trace import Location


def step_text(expression: Expression, scope: Scope, session: CompileSession, working: Sequence[fx.Node]) -> str:
    """Return the text of a step. working: the nodes that it made, in order."""
    values = InlinedValues(expression, scope, session.evaluator(scope, ignore_problem))
    tree: ast.AST = expression.tree
    called: Location | None = working[-1].meta.get("site") if working else None
    if called is None or not isinstance(tree, ast.Call):
        return values.full_text()
    layer = f"{called.name} {called.text}".rstrip()
    if values.is_layer(tree):
        return layer
    given = ", ".join([*map(values.node_text, tree.args), *map(values.node_text, tree.keywords)])
    return f"{layer} ({given})" if values.is_layer(tree.func) else values.full_text()


def ignore_problem(*_: object) -> None:
    """Ignore problems in expressions that are evaluated again for their text, such as untaken branches."""


@dataclass(frozen=True)
class InlinedValues:
    """Writes an expression with the values of the arguments of layers, blocks and parameters."""

    expression: Expression
    scope: Scope
    evaluator: Evaluator

    def full_text(self) -> str:
        return self.text_between(0, len(self.expression.text.encode()), self.expression.tree)

    def node_text(self, node: ast.expr | ast.keyword) -> str:
        return self.text_between(node.col_offset, node.end_col_offset, node)

    def text_between(self, start: int, end: int | None, node: ast.AST) -> str:
        """Return a part of the text, by byte offsets as in Python's parser, with values in it."""
        text, pieces = self.expression.text.encode(), list[bytes]()
        for argument, value in self.find_replacements(node):
            pieces += [text[start : argument.col_offset], value.encode()]
            start = argument.end_col_offset or argument.col_offset
        return " ".join(b"".join([*pieces, text[start:end]]).decode().split())

    def find_replacements(self, node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
        """Return the arguments that contain names, from left to right, and their values."""
        if not isinstance(node, ast.Call) or not self.is_layer(node, learned=True):
            for child in ast.iter_child_nodes(node):
                yield from self.find_replacements(child)
            return
        for argument in (*node.args, *(word.value for word in node.keywords)):
            value = self.replacement_text(argument)
            if value is None:
                yield from self.find_replacements(argument)
            else:
                yield argument, value

    def replacement_text(self, node: ast.expr) -> str | None:
        """Return an argument's value as text; None if it stays unchanged."""
        if isinstance(node, ast.Starred) or not names_in(node) or (isinstance(node, ast.Call) and self.is_layer(node)):
            return None
        value = compile_time_value(self.evaluator.value(Expression(self.expression.text, self.expression.span, node)))
        if value is UNKNOWN or (
            isinstance(value, SpecValue) and not isinstance(value, (LayerClass, Layer, DeclaredLayer))
        ):
            return None
        return repr(value) if isinstance(value, str) else format_argument_value(value)

    def is_layer(self, node: ast.expr, *, learned: bool = False) -> bool:
        """Return whether a name, or a call of it, is a layer, block or declared module. learned: or Parameter's
        call."""
        if isinstance(node, ast.Call):
            kinds: tuple[type, ...] = (LayerClass, ParameterFunction) if learned else (LayerClass,)
            return isinstance(node.func, ast.Name) and isinstance(self.find_name(node.func.id), kinds)
        return isinstance(node, ast.Name) and isinstance(self.find_name(node.id), (LayerClass, Layer, DeclaredLayer))

    def find_name(self, name: str) -> Value:
        try:
            return self.scope.find(name)
        except EvaluationError:
            return None


def data_text(data: Data) -> str:
    """Return YAML data as one line: `[start, zeros(N, 4)]`."""
    if isinstance(data, Items):
        return f"[{', '.join(map(data_text, data.items))}]"
    if isinstance(data, Table):
        return f"{{{', '.join(f'{name}: {data_text(part)}' for name, part in data.entries)}}}"
    if isinstance(data, (Expression, Word)):
        return " ".join(data.text.split())
    return format_argument_value(data.value)
