"""The steps with branches: residual, concat, add, multiply, stack. Each branch gets the same `prev`.

branches → values → comparison of shapes → one operation with its own Location (`layer1.0.add`)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from archscope.compile.built_net import require_equal_shapes
from archscope.compile.graph_builder import StepCursor, last_node, nodes_after
from archscope.compile.graph_tensor import GraphTensor
from archscope.compile.loops import evaluate_turns
from archscope.compile.runtime_numbers import RuntimeNumber
from archscope.compile.scope import Scope
from archscope.errors import Problem, Span
from archscope.ops.shape_errors import compare_shapes, intended_sum_shape
from archscope.spec.bounded_math import EvaluationError
from archscope.spec.spec_types import Join, Residual
from archscope.spec.spec_values import UNKNOWN, SpecValue, Value, describe_value, has_unknown
from archscope.trace import Location, join_path

if TYPE_CHECKING:
    from archscope.compile.step_compiler import StepCompiler

JOIN_FUNCTIONS: Mapping[str, tuple[str, Callable]] = {
    "concat": ("cat", torch.cat),
    "stack": ("stack", torch.stack),
    "add": ("add", operator.add),
    "multiply": ("mul", operator.mul),
}
RESIDUAL_HELP = {
    True: "give the residual a shortcut: that changes channels and size the same way",
    False: "the shortcut must change channels and size the same way as main",
}


def build_residual(compiler: StepCompiler, form: Residual, prev: Value, scope: Scope, path: str) -> Value:
    """Return `main(prev) + shortcut(prev)`; the operands must have equal shapes."""
    added = True if form.when is None else compiler.evaluate(form.when, prev, scope)
    if form.when is not None and added is not UNKNOWN:
        evaluate_turns(compiler.use.session, form.when, scope)
    added = added.to_bool(compiler.use) if isinstance(added, SpecValue) else added
    main, _ = compiler.compile_branch(form.main, prev, scope, join_path(path, "main"))
    if added is UNKNOWN or not added:
        return UNKNOWN if added is UNKNOWN else main
    shortcut, _ = (
        compiler.compile_branch(form.shortcut, prev, scope, join_path(path, "shortcut"))
        if form.shortcut
        else (prev, scope)
    )
    if has_unknown(main) or has_unknown(shortcut):
        return UNKNOWN
    sides = {"main": main, "shortcut": shortcut}
    identity = shortcut is prev
    name = "main + prev" if identity else "main + shortcut"
    site = Location(join_path(path, "add"), name, "step", "", form.span, strict=True)
    value = _strict_sum(compiler, "residual", sides, operator.add, site, RESIDUAL_HELP[identity])
    return replace(value, inner_labels=sides) if isinstance(value, GraphTensor) else value


def build_join(compiler: StepCompiler, form: Join, prev: Value, scope: Scope, path: str) -> Value:
    """Return `concat`, `stack`, `add` or `multiply` of the branches' values."""
    values: dict[str, Value] = {}
    for index, branch in enumerate(form.branches):
        name = branch.name or str(index)
        values[name], _ = compiler.compile_branch(branch.steps, prev, scope, join_path(path, name))
    dim = (1 if form.kind == "concat" else 0) if form.dim is None else compiler.evaluate(form.dim, prev, scope)
    dim = dim.to_plain(compiler.use) if isinstance(dim, RuntimeNumber) else dim
    if has_unknown(list(values.values())) or dim is UNKNOWN:
        return UNKNOWN
    value = _join_values(compiler, form, values, dim, path)
    return replace(value, inner_labels=values) if isinstance(value, GraphTensor) else value


def _join_values(compiler: StepCompiler, form: Join, values: dict[str, Value], dim: Value, path: str) -> Value:
    operation, function = JOIN_FUNCTIONS[form.kind]
    site = Location(
        join_path(path, operation), _join_text(form, values), "step", "", form.span, strict=form.kind == "add"
    )
    if form.kind == "add":
        return _strict_sum(compiler, "add", values, function, site, "every branch must give the same shape")
    if form.kind == "multiply":
        return _add_step_nodes(
            compiler, site, lambda: _reduce_pairwise(compiler, operation, function, list(values.values()))
        )
    if compiler.use.session.strict:
        _check_join_shapes(form.kind, values, dim)
    return _add_step_nodes(
        compiler, site, lambda: compiler.use.apply_function(operation, function, (list(values.values()),), {"dim": dim})
    )


def _join_text(form: Join, values: dict[str, Value]) -> str:
    named = all(b.name for b in form.branches)
    sign = {"add": " + ", "multiply": " × "}.get(form.kind)
    if sign:
        return sign.join(values) if named else f"{form.kind} {len(values)}"
    return f"{form.kind} {', '.join(values) if named and len(values) <= 3 else f'{len(values)} branches'}"


def _strict_sum(
    compiler: StepCompiler, what: str, values: dict[str, Value], function: Callable, site: Location, help: str
) -> Value:
    """Return a sum of equal shapes. Unequal ones are a problem or left to the recorder, with the first value as
    result."""
    tensors = _require_tensors(what, values)
    if compare_shapes([tuple(t.meta.shape) for t in tensors.values()], "add", strict=True) is None:
        return _add_step_nodes(compiler, site, lambda: _equal_sum(compiler, what, function, list(tensors.values())))
    first = next(iter(tensors.values()))
    shapes = ", ".join(f"{name} {tuple(t.meta.shape)}" for name, t in tensors.items())
    place = site.place or Span("", 0, 0)
    compiler.use.report_mismatch(Problem(place, f"{what}: shapes do not match: {shapes}", help, compiler.use.frames))
    if compiler.use.session.strict:
        return first
    return _add_step_nodes(compiler, site, lambda: _mismatched_sum(compiler, function, list(tensors.values())))


def _equal_sum(compiler: StepCompiler, what: str, function: Callable, tensors: list[GraphTensor]) -> Value:
    compiler.use.graph.call_function(require_equal_shapes, (what, *map(compiler.use.lower, tensors)))
    return _reduce_pairwise(compiler, "add", function, tensors)


def _mismatched_sum(compiler: StepCompiler, function: Callable, tensors: list[GraphTensor]) -> Value:
    """Return the sum as nodes, with the intended shape: the recorder compares the operands and goes on with it."""
    total = tensors[0]
    for other in tensors[1:]:
        meant = intended_sum_shape([tuple(total.meta.shape), tuple(other.meta.shape)])
        node = compiler.use.graph.call_function(function, compiler.use.lower((total, other)))
        node.meta["shapes"] = (meant,)
        total = replace(total, owner=compiler.use, node=node, meta=total.meta.new_empty(meant))
    return total


def _reduce_pairwise(compiler: StepCompiler, name: str, function: Callable, values: list) -> Value:
    total = values[0]
    for other in values[1:]:
        total = compiler.use.apply_function(name, function, (total, other), {})
    return total


def _add_step_nodes(compiler: StepCompiler, site: Location, make: Callable[[], Value]) -> Value:
    """Run `make` and set `site` as the step of the nodes that it adds. Errors are reported at the step's place."""
    before = last_node(compiler.use.graph)
    compiler.use.cursor = StepCursor(site.path, site.place or Span("", 0, 0), text=site.name)
    value = make()
    for node in nodes_after(compiler.use.graph, before):
        node.meta["step"] = site
    return value


def _require_tensors(what: str, values: dict[str, Value]) -> dict[str, GraphTensor]:
    tensors: dict[str, GraphTensor] = {}
    for name, value in values.items():
        if not isinstance(value, GraphTensor):
            raise EvaluationError(
                f"{what}: {name} gives {describe_value(value)}, not one tensor", "take several values apart with labels"
            )
        tensors[name] = value
    return tensors


def _check_join_shapes(kind: str, values: dict[str, Value], dim: Value) -> None:
    shapes = {name: tuple(t.meta.shape) for name, t in _require_tensors(kind, values).items()}
    ranks = {len(s) for s in shapes.values()}
    if not isinstance(dim, int) or (kind == "concat" and not all(-r <= dim < r for r in ranks)):
        fact = f"{kind}: there is no dimension {describe_value(dim)} in {_format_named_shapes(shapes)}"
        raise EvaluationError(fact, "dimensions count from 0, or from -1 at the end")
    cut = {name: _drop_axis(shape, dim) if kind == "concat" else shape for name, shape in shapes.items()}
    if len(set(cut.values())) > 1:
        where = f" beside dimension {dim}" if kind == "concat" else ""
        raise EvaluationError(
            f"{kind}: shapes do not match{where}: {_format_named_shapes(shapes)}",
            "the branches must give the same sizes there",
        )


def _drop_axis(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return tuple(n for axis, n in enumerate(shape) if axis != dim % len(shape))


def _format_named_shapes(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
