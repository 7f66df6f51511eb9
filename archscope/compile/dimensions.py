"""The dimensions of a net's inputs: what they say of params, and what the inputs must agree on.

A param that stands alone as a dimension is the size of the tensor that comes in. Where it is the dimension of several
inputs, or stands in an expression (`[N, 2 * T, 4]`), the sizes must fit it, in a compilation and when the net runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from archscope.compile.plan import Fixed, InputSpec
from archscope.compile.scope import Lazy, Scope
from archscope.compile.use import Use
from archscope.compile.workshop import Context, Workshop
from archscope.errors import Span
from archscope.spec.model import Expression, Input, Spec
from archscope.spec.names import names_in
from archscope.spec.things import UNKNOWN


class Dimension(NamedTuple):
    """One dimension of an input: the input, its place and how it is written, and its size in this compilation."""

    entry: Input
    axis: int
    written: Expression
    size: int

    @property
    def place(self) -> str:
        """The input with its line."""
        return f"{self.entry.name} ({self.written.span.file}:{self.written.span.line})"


def dimensions(spec: Spec, inputs: Sequence[InputSpec]) -> Iterator[Dimension]:
    """Every dimension of the inputs."""
    for entry, made in zip(spec.inputs, inputs, strict=True):
        for axis, (dim, size) in enumerate(zip(entry.dims or (), made.shape, strict=False)):
            yield Dimension(entry, axis, dim, size)


def alone(spec: Spec, inputs: Sequence[InputSpec]) -> dict[str, list[Dimension]]:
    """The params that stand alone as a dimension, each with all of its dimensions."""
    params = {setting.name for setting in spec.params}
    found: dict[str, list[Dimension]] = {}
    for dim in dimensions(spec, inputs):
        if isinstance(dim.written.tree, ast.Name) and dim.written.text in params:
            found.setdefault(dim.written.text, []).append(dim)
    return found


def made_of_names(spec: Spec, inputs: Sequence[InputSpec]) -> Iterator[Dimension]:
    """The dimensions that are expressions over params: `2 * T`. A batch size that no dimension gives says nothing."""
    names = {dim.written.text for dim in dimensions(spec, inputs) if isinstance(dim.written.tree, ast.Name)}
    free = {"N", "_", *alone(spec, inputs)}
    for dim in dimensions(spec, inputs):
        read = set(names_in(dim.written.tree))
        if read and dim.written.text not in free and not ("N" in read and "N" not in names):
            yield dim


def check_agreement(workshop: Workshop, scope: Scope, spec: Spec, inputs: Sequence[InputSpec]) -> None:
    """Reports inputs that do not agree on a param, or do not fit an expression over params."""
    for name, dims in alone(spec, inputs).items():
        if len({dim.size for dim in dims}) > 1:
            told = ", ".join(f"{dim.size} in dimension {dim.axis} of {dim.entry.name}" for dim in dims)
            workshop.report(_last(dims), f"the param {name} is {told}", "the inputs must agree on it")
    for dim in made_of_names(spec, inputs):
        wanted = workshop.evaluator(scope).value(dim.written)
        if wanted is not UNKNOWN and wanted != dim.size:
            said = (
                f"the input {dim.entry.name} has {dim.size} in dimension {dim.axis}, but {dim.written.text} is {wanted}"
            )
            workshop.report(dim.written.span, said, "give the inputs, and the params, sizes that fit together")


def _last(dims: Sequence[Dimension]) -> Span:
    return dims[-1].written.span


def sizes_of_params(use: Use, context: Context, spec: Spec, inputs: Sequence[InputSpec]) -> Mapping[str, object]:
    """Params that stand alone as a dimension of an input: what they are is read from the input."""
    return {
        name: Lazy(partial(_size, use, dims[0]), name)
        for name, dims in alone(spec, inputs).items()
        if context.scope.find(name) == dims[0].size
    }


def _size(use: Use, dim: Dimension) -> object:
    return use.size(use.inputs[dim.entry.name], dim.axis, dim.written.text)


def require_agreement(use: Use, scope: Scope, spec: Spec, inputs: Sequence[InputSpec]) -> None:
    """The inputs must agree when the net runs, as they do in this compilation."""
    for dims in alone(spec, inputs).values():
        first = use.size(use.inputs[dims[0].entry.name], dims[0].axis, dims[0].written.text)
        for dim in dims[1:]:
            same = dim.entry is dims[0].entry
            place = f"the input {dim.place}" if same else f"the inputs {dims[0].place} and {dim.place}"
            use.meet(use.size(use.inputs[dim.entry.name], dim.axis), first, Fixed("", place))
    for dim in made_of_names(spec, inputs):
        wanted = use.workshop.evaluator(scope, use.report, use).value(dim.written)
        size = use.size(use.inputs[dim.entry.name], dim.axis)
        if wanted is not UNKNOWN:
            use.meet(size, wanted, Fixed("", f"the input {dim.place}"), meant=dim.written.text)
