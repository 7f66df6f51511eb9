"""The forms that branch: residual, concat, add, multiply, stack. Each branch gets the same `prev`.

branches → values → shapes compared → one operation with a Site of its own (`layer1.0.add`)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from archscope.compile.built import require_equal
from archscope.compile.graphs import Here
from archscope.compile.numbers import RuntimeNumber
from archscope.compile.scope import Scope
from archscope.compile.use import last_node, nodes_after
from archscope.compile.values import Tensor
from archscope.errors import Problem, Span
from archscope.fit import meant_sum
from archscope.spec.model import Join, Residual, Step
from archscope.spec.numbers import Fault
from archscope.spec.things import UNKNOWN, Thing, known_by_halves, shown
from archscope.trace import Site, join_path

if TYPE_CHECKING:
    from archscope.compile.steps import Walk

JOINS: Mapping[str, tuple[str, Callable]] = {
    "concat": ("cat", torch.cat),
    "stack": ("stack", torch.stack),
    "add": ("add", operator.add),
    "multiply": ("mul", operator.mul),
}
CURES = {
    True: "give the residual a shortcut: that changes channels and size the same way",
    False: "the shortcut must change channels and size the same way as main",
}


def branch_names(step: Step) -> tuple[str, ...]:
    """The path segments that a step's form names by itself; none for other steps, and for unnamed branches."""
    if step.loop is not None or step.target is not None:
        return ()
    body = step.body
    if isinstance(body, Step):
        return branch_names(body)
    if isinstance(body, Residual):
        return ("main", "shortcut", "add")
    if isinstance(body, Join) and all(b.name for b in body.branches):
        return (*(b.name or "" for b in body.branches), JOINS[body.kind][0])
    return ()


def residual(walk: Walk, form: Residual, prev: object, scope: Scope, path: str) -> object:
    """`main(prev) + shortcut(prev)`; the operands must have equal shapes."""
    added = True if form.when is None else walk.value(form.when, prev, scope)
    if form.when is not None and added is not UNKNOWN:
        walk.use.workshop.conditions.note(walk.use.workshop, form.when, scope)
    added = added.truth(walk.use) if isinstance(added, Thing) else added
    main, _ = walk.branch(form.main, prev, scope, join_path(path, "main"))
    if added is UNKNOWN or not added:
        return UNKNOWN if added is UNKNOWN else main
    shortcut, _ = (
        walk.branch(form.shortcut, prev, scope, join_path(path, "shortcut")) if form.shortcut else (prev, scope)
    )
    if known_by_halves(main) or known_by_halves(shortcut):
        return UNKNOWN
    sides = {"main": main, "shortcut": shortcut}
    identity = shortcut is prev
    name = "main + prev" if identity else "main + shortcut"
    site = Site(join_path(path, "add"), name, "step", "", form.span, strict=True)
    value = _strictly(walk, "residual", sides, operator.add, site, CURES[identity])
    return replace(value, inner=sides) if isinstance(value, Tensor) else value


def join_branches(walk: Walk, form: Join, prev: object, scope: Scope, path: str) -> object:
    """`concat`, `stack`, `add`, `multiply` of the branches' values."""
    values: dict[str, object] = {}
    for index, branch in enumerate(form.branches):
        name = branch.name or str(index)
        values[name], _ = walk.branch(branch.steps, prev, scope, join_path(path, name))
    dim = (1 if form.kind == "concat" else 0) if form.dim is None else walk.value(form.dim, prev, scope)
    dim = dim.settled(walk.use) if isinstance(dim, RuntimeNumber) else dim
    if known_by_halves(list(values.values())) or dim is UNKNOWN:
        return UNKNOWN
    value = _joined(walk, form, values, dim, path)
    return replace(value, inner=values) if isinstance(value, Tensor) else value


def _joined(walk: Walk, form: Join, values: dict[str, object], dim: object, path: str) -> object:
    operation, function = JOINS[form.kind]
    site = Site(join_path(path, operation), _described(form, values), "step", "", form.span, strict=form.kind == "add")
    if form.kind == "add":
        return _strictly(walk, "add", values, function, site, "every branch must give the same shape")
    if form.kind == "multiply":
        return _emit(walk, site, lambda: _chain(walk, operation, function, list(values.values())))
    if walk.use.workshop.strict:
        _check_aligned(form.kind, values, dim)
    return _emit(walk, site, lambda: walk.use.function(operation, function, (list(values.values()),), {"dim": dim}))


def _described(form: Join, values: dict[str, object]) -> str:
    named = all(b.name for b in form.branches)
    sign = {"add": " + ", "multiply": " × "}.get(form.kind)
    if sign:
        return sign.join(values) if named else f"{form.kind} {len(values)}"
    return f"{form.kind} {', '.join(values) if named and len(values) <= 3 else f'{len(values)} branches'}"


def _strictly(walk: Walk, what: str, values: dict[str, object], function: Callable, site: Site, cure: str) -> object:
    """A sum of equal shapes. Unequal ones are a problem, or left to the recorder, and the first value goes on."""
    tensors = _tensors(what, values)
    if len({tuple(t.meta.shape) for t in tensors.values()}) == 1:
        return _emit(walk, site, lambda: _equal_sum(walk, what, function, list(tensors.values())))
    first = next(iter(tensors.values()))
    shapes = ", ".join(f"{name} {tuple(t.meta.shape)}" for name, t in tensors.items())
    place = site.place or Span("", 0, 0)
    walk.use.mismatch(Problem(place, f"{what}: shapes do not match: {shapes}", cure, walk.use.frames))
    if walk.use.workshop.strict:
        return first
    return _emit(walk, site, lambda: _unequal(walk, function, list(tensors.values())))


def _equal_sum(walk: Walk, what: str, function: Callable, tensors: list[Tensor]) -> object:
    walk.use.graph.call_function(require_equal, (what, *map(walk.use.lowered, tensors)))
    return _chain(walk, "add", function, tensors)


def _unequal(walk: Walk, function: Callable, tensors: list[Tensor]) -> object:
    """The sum as nodes, with the shape that was meant: the recorder compares the operands and goes on with it."""
    total = tensors[0]
    for other in tensors[1:]:
        meant = meant_sum([tuple(total.meta.shape), tuple(other.meta.shape)])
        node = walk.use.graph.call_function(function, walk.use.lowered((total, other)))
        node.meta["shapes"] = (meant,)
        total = replace(total, owner=walk.use, node=node, meta=total.meta.new_empty(meant))
    return total


def _chain(walk: Walk, name: str, function: Callable, values: list) -> object:
    total = values[0]
    for other in values[1:]:
        total = walk.use.function(name, function, (total, other), {})
    return total


def _emit(walk: Walk, site: Site, make: Callable[[], object]) -> object:
    """Runs `make` and names `site` as the step of the nodes it adds. Faults stand at the form's place."""
    before = last_node(walk.use.graph)
    walk.use.here = Here(site.path, site.place or Span("", 0, 0), text=site.name)
    value = make()
    for node in nodes_after(walk.use.graph, before):
        node.meta["step"] = site
    return value


def _tensors(what: str, values: dict[str, object]) -> dict[str, Tensor]:
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise Fault(f"{what}: {name} gives {shown(value)}, not one tensor", "take several values apart with labels")
    return values  # type: ignore[return-value]


def _check_aligned(kind: str, values: dict[str, object], dim: object) -> None:
    shapes = {name: tuple(t.meta.shape) for name, t in _tensors(kind, values).items()}
    ranks = {len(s) for s in shapes.values()}
    if not isinstance(dim, int) or (kind == "concat" and not all(-r <= dim < r for r in ranks)):
        fact = f"{kind}: there is no dimension {shown(dim)} in {_listed(shapes)}"
        raise Fault(fact, "dimensions count from 0, or from -1 at the end")
    cut = {name: _without(shape, dim) if kind == "concat" else shape for name, shape in shapes.items()}
    if len(set(cut.values())) > 1:
        where = f" beside dimension {dim}" if kind == "concat" else ""
        raise Fault(
            f"{kind}: shapes do not match{where}: {_listed(shapes)}", "the branches must give the same sizes there"
        )


def _without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return tuple(n for axis, n in enumerate(shape) if axis != dim % len(shape))


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
