"""The dimensions of a net's inputs: the sizes of params that they determine, and the sizes that inputs must share.

A param that is a dimension by itself is the size of the actual input. If it is a dimension of several inputs, or part
of an expression (`[N, 2 * T, 4]`), the sizes must agree, in a compilation and when the net runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from archscope.compile.block_use import BlockUse
from archscope.compile.compilation import CompileSession, FileContext
from archscope.compile.plan import FixedPlace, InputSpec
from archscope.compile.scope import Scope
from archscope.spec.name_usage import names_in
from archscope.spec.spec_types import Expression, Input, Spec
from archscope.spec.spec_values import UNKNOWN, LazyValue, Value


class Dimension(NamedTuple):
    """One dimension of an input: the input, the axis, its expression, and its size in this compilation."""

    entry: Input
    axis: int
    expression: Expression
    size: int

    @property
    def place(self) -> str:
        """The input with its file and line."""
        return f"{self.entry.name} ({self.expression.span.file}:{self.expression.span.line})"


def input_dimensions(spec: Spec, inputs: Sequence[InputSpec]) -> Iterator[Dimension]:
    """Return all dimensions of the inputs."""
    for entry, tensor in zip(spec.inputs, inputs, strict=True):
        for axis, (dim, size) in enumerate(zip(entry.dims or (), tensor.shape, strict=False)):
            yield Dimension(entry, axis, dim, size)


def param_dimensions(spec: Spec, inputs: Sequence[InputSpec]) -> dict[str, list[Dimension]]:
    """Return the params that are dimensions by themselves, each with all of its dimensions."""
    params = {setting.name for setting in spec.params}
    found: dict[str, list[Dimension]] = {}
    for dim in input_dimensions(spec, inputs):
        if isinstance(dim.expression.tree, ast.Name) and dim.expression.text in params:
            found.setdefault(dim.expression.text, []).append(dim)
    return found


def expression_dimensions(spec: Spec, inputs: Sequence[InputSpec]) -> Iterator[Dimension]:
    """Return the dimensions that are expressions of params, `2 * T`; without N if no dimension determines it."""
    names = {dim.expression.text for dim in input_dimensions(spec, inputs) if isinstance(dim.expression.tree, ast.Name)}
    free = {"N", "_", *param_dimensions(spec, inputs)}
    for dim in input_dimensions(spec, inputs):
        read = set(names_in(dim.expression.tree))
        if read and dim.expression.text not in free and not ("N" in read and "N" not in names):
            yield dim


def check_agreement(session: CompileSession, scope: Scope, spec: Spec, inputs: Sequence[InputSpec]) -> None:
    """Report inputs that disagree on a param, or do not fit an expression of params."""
    for name, dims in param_dimensions(spec, inputs).items():
        if len({dim.size for dim in dims}) > 1:
            sizes = ", ".join(f"{dim.size} in dimension {dim.axis} of {dim.entry.name}" for dim in dims)
            session.report(dims[-1].expression.span, f"the param {name} is {sizes}", "the inputs must agree on it")
    for dim in expression_dimensions(spec, inputs):
        wanted = session.evaluator(scope).value(dim.expression)
        if wanted is not UNKNOWN and wanted != dim.size:
            said = (
                f"the input {dim.entry.name} has {dim.size} in dimension {dim.axis}, "
                f"but {dim.expression.text} is {wanted}"
            )
            session.report(dim.expression.span, said, "give the inputs, and the params, sizes that fit together")


def param_sizes(use: BlockUse, context: FileContext, spec: Spec, inputs: Sequence[InputSpec]) -> Mapping[str, Value]:
    """Return the params that are dimensions of inputs, as sizes read from the inputs."""
    return {
        name: LazyValue(partial(_param_size, use, dims[0]), name)
        for name, dims in param_dimensions(spec, inputs).items()
        if context.scope.find(name) == dims[0].size
    }


def _param_size(use: BlockUse, dim: Dimension) -> Value:
    """Return the size of a dimension, under the param's name."""
    return use.size(use.inputs[dim.entry.name], dim.axis, dim.expression.text)


def require_agreement(use: BlockUse, scope: Scope, spec: Spec, inputs: Sequence[InputSpec]) -> None:
    """Add checks to the graph that the inputs agree when the net runs."""
    for dims in param_dimensions(spec, inputs).values():
        first = _param_size(use, dims[0])
        for dim in dims[1:]:
            same = dim.entry is dims[0].entry
            place = f"the input {dim.place}" if same else f"the inputs {dims[0].place} and {dim.place}"
            use.require_declared_size(use.size(use.inputs[dim.entry.name], dim.axis), first, FixedPlace("", place))
    for dim in expression_dimensions(spec, inputs):
        wanted = use.session.evaluator(scope, use.report, use).value(dim.expression)
        size = use.size(use.inputs[dim.entry.name], dim.axis)
        if wanted is not UNKNOWN:
            use.require_declared_size(size, wanted, FixedPlace("", f"the input {dim.place}"), meant=dim.expression.text)
