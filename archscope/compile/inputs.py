"""The inputs of a net: their shapes and dtypes, the params that they determine, and the sizes that they must share.

the file's dimensions + overrides + batch → InputSpecs

A param that is a dimension by itself is the size of the actual input. If it is a dimension of several inputs, or part
of an expression (`[N, 2 * T, 4]`), the sizes must agree, in a compilation and when the net runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch

from archscope import units
from archscope.compile.block_use import BlockUse
from archscope.compile.call_limits import INT64_LIMIT, MAX_NUMEL, MAX_RANK
from archscope.compile.compile_session import CompileSession, FileContext
from archscope.compile.functions import language_dtypes
from archscope.compile.plan import FixedPlace, InputSpec
from archscope.compile.scope import Scope
from archscope.errors import UsageError, did_you_mean
from archscope.spec.name_usage import names_in
from archscope.spec.spec_types import Expression, Input, Spec
from archscope.spec.spec_values import UNKNOWN, LazyValue, Value, describe_value


@dataclass(frozen=True)
class InputOverride:
    """A value of `--input`, `x=int64:1x128`: the name may be empty for a single input; an empty dtype keeps the
    spec's."""

    name: str
    shape: tuple[int, ...]
    dtype: str = ""


def params_from_inputs(spec: Spec, overrides: Sequence[InputOverride]) -> dict[str, int]:
    """Return the params that the shapes of the inputs determine, with their sizes. Raises UsageError."""
    return {} if spec.layers is None else bound_params(spec, add_batch(spec, overrides)[0])


def add_batch(
    spec: Spec, overrides: Sequence[InputOverride], batch: int | None = None
) -> tuple[list[InputOverride], tuple[str, ...]]:
    """Return the overrides with a batch added to those that lack only `N`, and notes that say so.

    Raises UsageError if a batch is given and all of them have one.
    """
    found, notes = list(_overrides_by_input(spec, overrides).values()), []
    ranks = {entry.name: len(entry.dims or ()) for entry in spec.inputs if entry.dims and entry.dims[0].text == "N"}
    for place, override in enumerate(found):
        if len(override.shape) + 1 == ranks.get(override.name, 0):
            found[place] = replace(override, shape=(batch or 1, *override.shape))
            shapes = [units.format_shape(o.shape) for o in (override, found[place])]
            notes.append(
                f"{override.name}: {shapes[0]} was taken as one example, {shapes[1]}, as the spec's input has N"
            )
    if batch and overrides and not notes:
        raise UsageError("the batch size is given twice, by batch and by input", "write it in the input's shape")
    return found, tuple(notes)


def _overrides_by_input(spec: Spec, overrides: Sequence[InputOverride]) -> dict[str, InputOverride]:
    names, chosen = [i.name for i in spec.inputs], {}
    for override in overrides:
        name = override.name or (names[0] if len(names) == 1 else "")
        if name not in names:
            said = f"no input {name!r}" if name else "several inputs"
            raise UsageError(f"{spec.file} has {said}", did_you_mean(name, names) or f"its inputs: {', '.join(names)}")
        chosen[name] = replace(override, name=name)
    return chosen


def bound_params(spec: Spec, overrides: Sequence[InputOverride]) -> dict[str, int]:
    """Return the params that are dimensions by themselves, with the sizes that the overrides give them."""
    params, bound = {s.name for s in spec.params}, {}
    for entry in spec.inputs:
        override = _overrides_by_input(spec, overrides).get(entry.name)
        for dim, size in zip(entry.dims or (), override.shape if override else (), strict=False):
            if isinstance(dim.tree, ast.Name) and dim.text in params:
                bound[dim.text] = size
    return bound


def batch_size(spec: Spec, overrides: Sequence[InputOverride], batch: int) -> int:
    """Return the size that the first input's shape gives `N`, else the batch."""
    chosen = _overrides_by_input(spec, overrides)
    named = ((entry.dims or (), chosen[entry.name].shape) for entry in spec.inputs if entry.name in chosen)
    sizes = (size for dims, shape in named for dim, size in zip(dims, shape, strict=False) if dim.text == "N")
    return next(sizes, batch)


def input_specs(
    session: CompileSession, context: FileContext, spec: Spec, overrides: Sequence[InputOverride], batch: int
) -> list[InputSpec]:
    """Return the inputs that are sound; problems are reported."""
    chosen, scope = _overrides_by_input(spec, overrides), Scope(context.scope, {"N": batch})
    for entry in spec.inputs:
        for dim, size in zip(entry.dims or (), chosen[entry.name].shape if entry.name in chosen else (), strict=False):
            scope.table.update({"N": size} if dim.text == "N" else {})
    found = [i for entry in spec.inputs if (i := _input_spec(session, scope, entry, chosen.get(entry.name)))]
    if len(found) == len(spec.inputs):
        check_agreement(session, scope, spec, found)
    return found


def _input_spec(
    session: CompileSession, scope: Scope, entry: Input, override: InputOverride | None
) -> InputSpec | None:
    dtype = language_dtypes().get(override.dtype if override and override.dtype else entry.dtype)
    if dtype is None:
        near = did_you_mean(entry.dtype, language_dtypes()) or f"one of {', '.join(language_dtypes())}"
        session.report(entry.span, f"input {entry.name}: unknown dtype {entry.dtype!r}", near)
    low = 0 if entry.low is None else _whole_number(session, scope, entry.low)
    high = None if entry.high is None else _whole_number(session, scope, entry.high)
    written = [] if override else [_whole_number(session, scope, dim) for dim in entry.dims or ()]
    if dtype is None or low is None or None in written or (high is None and entry.high is not None):
        return None
    sizes = override.shape if override else tuple(size for size in written if size is not None)
    if fact := _input_limit_text(sizes, dtype, low, high):
        session.report(entry.span, f"input {entry.name} {fact}", "smaller sizes")
        return None
    return InputSpec(entry.name, sizes, dtype, low, low + 1 if high is None else high)


def _input_limit_text(sizes: Sequence[int], dtype: torch.dtype, low: int, high: int | None) -> str:
    """Return why a tensor of an input cannot be made; empty if it can."""
    if len(sizes) > MAX_RANK:
        return f"has {len(sizes)} dimensions; at most {MAX_RANK} are allowed"
    if max((low, high or 0)) >= INT64_LIMIT:
        return f"holds numbers up to {max(low, high or 0):,}; at most {INT64_LIMIT - 1:,} are allowed"
    if (needed := byte_size(sizes, dtype)) > MAX_NUMEL * dtype.itemsize or max(sizes, default=0) > MAX_NUMEL:
        return f"of {describe_value(tuple(sizes))} would take {needed:,} bytes"
    return ""


def _whole_number(session: CompileSession, scope: Scope, expression: Expression) -> int | None:
    """Return the value of an expression; None if it is no whole number, which is reported."""
    value = session.evaluator(scope).value(expression)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if value is not UNKNOWN:
        said = f"a size is a whole number, not {describe_value(value)}"
        session.report(expression.span, said, "for example 224, or 2 * size")
    return None


def byte_size(sizes: Sequence[int], dtype: torch.dtype) -> int:
    """Return the bytes of a tensor of these sizes."""
    total = dtype.itemsize
    for n in sizes:
        total *= n
    return total


# Dimensions


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
