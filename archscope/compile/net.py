"""The whole net of a spec: which variant, at which sizes, and what it will need.

Library → variant → params and inputs → BlockPlan of the top level → ties → Plan
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import fx

from archscope import units
from archscope.compile.blocks import block_plan, build_block, net_block, only_rank, ordered
from archscope.compile.bounds import INTEGER, LARGEST, RANK
from archscope.compile.collector import collector_at_rest
from archscope.compile.dimensions import alone, check_agreement, require_agreement, sizes_of_params
from archscope.compile.functions import dtypes
from archscope.compile.layers import Foundry, Recipe
from archscope.compile.plan import BlockPlan, InputSpec, Plan, calls
from archscope.compile.scope import Scope
from archscope.compile.use import Use, attribute_name
from archscope.compile.values import Tensor
from archscope.compile.workshop import BlockSource, Context, Workshop
from archscope.errors import Problem, Span, SpecError, UsageError, did_you_mean
from archscope.spec import packaged
from archscope.spec.model import Expected, Expression, Input, Library, Setting, Spec, Tie, Variant
from archscope.spec.things import UNKNOWN, shown
from archscope.trace import Site, join_path
from archscope.warned import attributed


@dataclass(frozen=True)
class Override:
    """`--input x=int64:1x128`: the name may be empty where there is one input; dtype empty keeps the spec's."""

    name: str
    shape: tuple[int, ...]
    dtype: str = ""


@collector_at_rest()
def compile_net(
    library: Library,
    variant: Variant,
    *,
    settings: Mapping[str, Setting | object] | None = None,
    overrides: Sequence[Override] = (),
    batch: int | None = None,
    strict: bool = True,
    train: bool = False,
    allow_python: bool = False,
    foundry: Foundry | None = None,
) -> Plan:
    """Compiles one variant on meta tensors, without memory.

    strict: residual mismatches are problems; otherwise they are kept in the graph for the recorder to find.
    foundry: of another compilation in the same mode, whose layers are not made again.
    Raises SpecError with every independent problem, UsageError for settings and overrides that do not fit the spec.
    """
    spec = library.root
    if spec.layers is None:
        raise UsageError(
            f"{spec.file} is a library of blocks: it has no layers", "name a file with `input` and `layers`"
        )
    workshop = Workshop(library, block_plan, ordered, strict, allow_python, foundry or Foundry(train))
    overrides, notes = _with_batch(spec, overrides, batch)
    sizes = _bound_by(spec, overrides)
    _check_given_once(workshop.configured(spec, variant, settings or {}), settings or {}, sizes)
    bound = {**(settings or {}), **sizes}
    context = workshop.configured(spec, variant, bound)
    _check_names(spec, settings or {})
    inputs = _inputs(workshop, context, spec, overrides, batch or 1)
    workshop.problems.raise_if_any(library.sources)
    with attributed(lambda: workshop.at or spec.span):
        block = _block(workshop, context, spec, variant, inputs, bound)
    warn_of_unread(workshop, spec)
    workshop.conditions.warn(workshop)
    if workshop.problems:  # a net that cannot run shows its mismatches here, since no recording will
        for problem in workshop.mismatches:
            workshop.problems.add(problem)
    workshop.problems.raise_if_any(library.sources)
    assert block is not None
    ties = tuple(t for tie in spec.ties if (t := _tie(workshop, block, tie)))
    _check_owners(workshop, spec)
    workshop.problems.raise_if_any(library.sources)
    plan = _plan(workshop, spec, variant, block, inputs, ties)
    sized = frozenset(alone(spec, inputs))
    told = {name: value for name, value in (settings or {}).items() if name not in sized}
    again = partial(_compiled_at, library, variant, settings=told, train=train, allow_python=allow_python)
    options = {"batch": _batch_given(spec, overrides, batch or 1), "train": train, "allow_python": allow_python}
    at_home = partial(_compiled_at, library, variant, {}, settings=settings, **options)
    elsewhere = bool(overrides) and bool(plan.expected) and _differs(plan, at_home)
    foreign = figures_elsewhere(elsewhere or bool(set_otherwise(spec, variant, settings or {})), options["batch"])
    unjudged = tuple(e for e in plan.expected if e.key in foreign or (elsewhere and e.fixed))
    expected = tuple(e for e in plan.expected if e not in unjudged)
    return replace(plan, expected=expected, unjudged=unjudged, sized=sized, again=again, notes=notes)


def _compiled_at(library: Library, variant: Variant, shapes: Mapping[str, tuple[int, ...]], **options: Any) -> Plan:
    return compile_net(library, variant, overrides=[Override(*entry) for entry in shapes.items()], **options)


def _batch_given(spec: Spec, overrides: Sequence[Override], batch: int) -> int:
    """The size that the first input's shape gives `N`, else the batch."""
    chosen = _chosen(spec, overrides)
    named = ((entry.dims or (), chosen[entry.name].shape) for entry in spec.inputs if entry.name in chosen)
    sizes = (size for dims, shape in named for dim, size in zip(dims, shape, strict=False) if dim.text == "N")
    return next(sizes, batch)


def _differs(plan: Plan, at_home: Callable[..., Plan]) -> bool:
    """Whether a plan's inputs have other sizes than the file says."""
    try:
        return [i.shape for i in plan.inputs] != [i.shape for i in at_home(strict=False).inputs]
    except SpecError:  # at the file's own sizes there is no net
        return True


def _check_given_once(context: Context, settings: Mapping[str, object], sizes: Mapping[str, int]) -> None:
    """A param that is an input's dimension may be given by its input or by itself, but not as two numbers."""
    for name, size in sizes.items():
        if name in settings and (said := context.scope.find(name)) != size:
            cure = f"leave {name} out, it is the input's size, or give the input {said}"
            raise UsageError(f"the param {name} is given as {shown(said)}, and as {size} by the input", cure)


def _check_names(spec: Spec, settings: Mapping[str, object]) -> None:
    known = [s.name for s in spec.params]
    for name in settings:
        if name not in known:
            near = did_you_mean(name, known) or (f"it has {', '.join(known)}" if known else "it has no params")
            raise UsageError(f"{spec.file} has no param {name!r}", near)


def figures_elsewhere(otherwise: bool, batch: int) -> frozenset[str]:
    """The expected figures that say nothing of this run: a file's figures are meant for its own sizes, one input."""
    if otherwise:
        return frozenset(["params", "macs"])
    return frozenset(["macs"]) if batch != 1 else frozenset()


def set_otherwise(spec: Spec, variant: Variant, settings: Mapping[str, Setting | object]) -> list[str]:
    """The params that are set to another value than they have in this variant."""
    own = {one.name: one.value for one in (*spec.params, *variant.settings)}
    return [name for name, one in settings.items() if not (isinstance(one, Setting) and one.value == own.get(name))]


def warn_of_unread(workshop: Workshop, spec: Spec) -> None:
    """Params that nothing in the file reads."""
    read = spec.names_read
    for setting in spec.params:
        if setting.name not in read:
            fact = f"nothing reads the param {setting.name!r}"
            workshop.warn("unused-param", Problem(setting.span, fact, "use it in a step, or take it out"))


# Inputs


def _with_batch(
    spec: Spec, overrides: Sequence[Override], batch: int | None = None
) -> tuple[list[Override], tuple[str, ...]]:
    """Overrides that lack the batch `N` alone with that batch, else 1, and notes that say so.

    Raises UsageError where a batch is given and all of them have one.
    """
    found, notes = list(_chosen(spec, overrides).values()), []
    ranks = {entry.name: len(entry.dims or ()) for entry in spec.inputs if entry.dims and entry.dims[0].text == "N"}
    for place, override in enumerate(found):
        if len(override.shape) + 1 == ranks.get(override.name, 0):
            found[place] = replace(override, shape=(batch or 1, *override.shape))
            shapes = [units.shape(one.shape) for one in (override, found[place])]
            notes.append(
                f"{override.name}: {shapes[0]} was taken as one example, {shapes[1]}, as the spec's input has N"
            )
    if batch and overrides and not notes:
        raise UsageError("the batch size is given twice, by batch and by input", "write it in the input's shape")
    return found, tuple(notes)


def _chosen(spec: Spec, overrides: Sequence[Override]) -> dict[str, Override]:
    names, chosen = [i.name for i in spec.inputs], {}
    for override in overrides:
        name = override.name or (names[0] if len(names) == 1 else "")
        if name not in names:
            said = f"no input {name!r}" if name else "several inputs"
            raise UsageError(f"{spec.file} has {said}", did_you_mean(name, names) or f"its inputs: {', '.join(names)}")
        chosen[name] = replace(override, name=name)
    return chosen


def sizes_given(spec: Spec, overrides: Sequence[Override]) -> dict[str, int]:
    """The params whose sizes the shapes of the inputs give, with these sizes. Raises UsageError."""
    return {} if spec.layers is None else _bound_by(spec, _with_batch(spec, overrides)[0])


def _bound_by(spec: Spec, overrides: Sequence[Override]) -> dict[str, int]:
    """Params that stand alone as a dimension take the size that an override gives them."""
    params, bound = {s.name for s in spec.params}, {}
    for entry in spec.inputs:
        override = _chosen(spec, overrides).get(entry.name)
        for dim, size in zip(entry.dims or (), override.shape if override else (), strict=False):
            if isinstance(dim.tree, ast.Name) and dim.text in params:
                bound[dim.text] = size
    return bound


def _inputs(
    workshop: Workshop, context: Context, spec: Spec, overrides: Sequence[Override], batch: int
) -> list[InputSpec]:
    chosen, scope = _chosen(spec, overrides), Scope(context.scope, {"N": batch})
    for entry in spec.inputs:
        for dim, size in zip(entry.dims or (), chosen[entry.name].shape if entry.name in chosen else (), strict=False):
            scope.table.update({"N": size} if dim.text == "N" else {})
    found = [i for entry in spec.inputs if (i := _input(workshop, scope, entry, chosen.get(entry.name)))]
    if len(found) == len(spec.inputs):
        check_agreement(workshop, scope, spec, found)
    return found


def _input(workshop: Workshop, scope: Scope, entry: Input, override: Override | None) -> InputSpec | None:
    dtype = dtypes().get(override.dtype if override and override.dtype else entry.dtype)
    if dtype is None:
        near = did_you_mean(entry.dtype, dtypes()) or f"one of {', '.join(dtypes())}"
        workshop.report(entry.span, f"input {entry.name}: unknown dtype {entry.dtype!r}", near)
    low, high = (_whole(workshop, scope, e, d) for e, d in ((entry.low, 0), (entry.high, None)))
    sizes = override.shape if override else tuple(_whole(workshop, scope, d, 1) for d in entry.dims or ())
    if dtype is None or UNKNOWN in sizes or UNKNOWN in (low, high):
        return None
    if fact := _too_large(sizes, dtype, low, high):  # type: ignore[arg-type]
        workshop.report(entry.span, f"input {entry.name} {fact}", "smaller sizes")
        return None
    return InputSpec(entry.name, sizes, dtype, low, low + 1 if high is None else high)  # type: ignore[arg-type,operator]


def _too_large(sizes: Sequence[int], dtype: torch.dtype, low: int, high: int | None) -> str:
    """What no tensor can be; empty for an input that can be made."""
    if len(sizes) > RANK:
        return f"has {len(sizes)} dimensions; at most {RANK} are allowed"
    if max((low, high or 0)) >= INTEGER:
        return f"holds numbers up to {max(low, high or 0):,}; at most {INTEGER - 1:,} are allowed"
    if (needed := _bytes(sizes, dtype)) > LARGEST * dtype.itemsize or max(sizes, default=0) > LARGEST:
        return f"of {shown(tuple(sizes))} would take {needed:,} bytes"
    return ""


def _whole(workshop: Workshop, scope: Scope, expression: Expression | None, default: int | None) -> object:
    if expression is None:
        return default
    value = workshop.evaluator(scope).value(expression)
    if value is UNKNOWN or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    workshop.report(expression.span, f"a size is a whole number, not {shown(value)}", "for example 224, or 2 * size")
    return UNKNOWN


def _bytes(sizes: Sequence[int], dtype: torch.dtype) -> int:
    total = dtype.itemsize
    for n in sizes:
        total *= n
    return total


# The net


def _block(
    workshop: Workshop,
    context: Context,
    spec: Spec,
    variant: Variant,
    inputs: Sequence[InputSpec],
    settings: Mapping[str, Setting | object],
) -> BlockPlan | None:
    use = Use(workshop, BlockPlan(spec.name, variant.name, fx.Graph()))
    tensors = tuple(
        Tensor(use, None, torch.empty(i.shape, dtype=i.dtype, device="meta"))  # type: ignore[arg-type]
        for i in inputs
    )
    block = net_block(spec)
    merged = {c.key: c for c in (*spec.expect, *variant.expect)}
    block = replace(block, expect=tuple(merged.values()))
    context = workshop.configured(spec, variant, {**settings, **sizes_of_params(use, context, spec, inputs)})
    source = BlockSource(replace(block, inputs=tuple(replace(i, dims=only_rank(i)) for i in spec.inputs)), context)
    return build_block(use, source, (), tensors, begun=lambda scope: require_agreement(use, scope, spec, inputs))


def _tie(workshop: Workshop, block: BlockPlan, tie: Tie) -> tuple[str, str] | None:
    found = [_parameter(workshop, block, path, tie.span) for path in (tie.path, tie.owner)]
    if None in found:
        return None
    (name, shape), (owner, owned) = found  # type: ignore[misc]
    if shape != owned and workshop.mismatches:  # a conflict before it has changed a size
        return None
    if shape != owned:
        workshop.report(
            tie.span, f"tie: {tie.path} {shape} and {tie.owner} {owned} differ in shape", "tie parameters of one shape"
        )
        return None
    return name, owner


def _check_owners(workshop: Workshop, spec: Spec) -> None:
    """A parameter that owns another's values is not tied itself, so that there is no circle."""
    tied = {tie.path for tie in spec.ties}
    for tie in spec.ties:
        if tie.owner in tied:
            whose = "itself" if tie.owner == tie.path else f"{tie.owner}, which is tied too"
            workshop.report(
                tie.span, f"tie: {tie.path} is tied to {whose}", "tie every name to the one that owns the values"
            )


def _parameter(workshop: Workshop, block: BlockPlan, path: str, span: Span) -> tuple[str, tuple[int, ...]] | None:
    wanted = attribute_name(path)
    names = []
    for name, member in block.walk():
        for parameter, shape in parameters_of(workshop.foundry, member):
            full = f"{name}.{parameter}" if parameter else name
            if full == wanted:
                return full, shape
            names.append(full)
    cure = did_you_mean(path, names) or "paths are labels and positions joined by dots: head.weight"
    workshop.report(span, f"tie: there is no parameter {path!r}", cure)
    return None


def parameters_of(foundry: Foundry, member: object) -> list[tuple[str, tuple[int, ...]]]:
    """The parameters of one layer, by name and shape; a Parameter's own name is empty."""
    if isinstance(member, Recipe):
        return [(n, tuple(p.shape)) for n, p in foundry.skeleton(member).named_parameters()]
    return [("", member.shape)]  # type: ignore[attr-defined]


def _plan(
    workshop: Workshop, spec: Spec, variant: Variant, block: BlockPlan, inputs: Sequence[InputSpec], ties: tuple
) -> Plan:
    tied, counts = {name for name, _ in ties}, {}
    for name, member in block.walk():
        for parameter, shape in parameters_of(workshop.foundry, member):
            full = f"{name}.{parameter}" if parameter else name
            counts[full] = 0 if full in tied else _bytes(shape, torch.uint8)
    top = Site("", spec.name, "block", variant.name, spec.span)
    file = packaged.short(spec.file)
    target = f"{file}:{variant.name}" if variant.name else file
    return Plan(
        name=spec.name,
        target=target,
        block=block,
        inputs=tuple(inputs),
        ties=ties,
        warnings=tuple(workshop.warnings.values()),
        expected=tuple(all_expected(block)),
        parameter_count=sum(counts.values()),
        largest_bytes=max([workshop.largest, *(_bytes(i.shape, i.dtype) for i in inputs)]),
        top=top,
        mismatches=tuple(workshop.mismatches),
        foundry=workshop.foundry,
    )


def all_expected(block: BlockPlan, prefix: str = "") -> list[Expected]:
    """Every expectation, once for each use of its block, with full paths."""
    found = [replace(e, path=join_path(prefix, e.path)) for e in block.expected]
    for path, inner in calls(block):
        found += all_expected(inner, join_path(prefix, path))
    return found
