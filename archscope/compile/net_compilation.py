"""Compilation of the whole net of a spec: its variant, its ties, and its memory needs.

Library → variant → params and inputs → BlockPlan of the top level → ties → Plan
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import fx

from archscope.compile.block_use import BlockUse, attribute_name
from archscope.compile.blocks import block_plan, build_block, net_block, open_dimensions, order_inputs
from archscope.compile.compile_session import BlockSource, CompileSession, FileContext
from archscope.compile.graph_tensor import GraphTensor
from archscope.compile.inputs import (
    InputOverride,
    add_batch,
    batch_size,
    bound_params,
    byte_size,
    input_specs,
    param_dimensions,
    param_sizes,
    require_agreement,
)
from archscope.compile.layer_cache import LayerCache, Recipe
from archscope.compile.plan import BlockPlan, InputSpec, ParameterSpec, Plan, block_calls
from archscope.errors import Problem, Span, SpecError, UsageError, did_you_mean
from archscope.gc_pause import gc_paused
from archscope.spec import bundled_networks
from archscope.spec.spec_types import Expectation, Library, Setting, Spec, Tie, Variant
from archscope.spec.spec_values import Value, describe_value
from archscope.trace import Location, join_path
from archscope.user_warnings import attributed_warnings


@gc_paused()
def compile_net(
    library: Library,
    variant: Variant,
    *,
    settings: Mapping[str, Setting | Value] | None = None,
    overrides: Sequence[InputOverride] = (),
    batch: int | None = None,
    strict: bool = True,
    train: bool = False,
    allow_python: bool = False,
    layer_cache: LayerCache | None = None,
) -> Plan:
    """Return the plan of one variant, compiled on meta tensors without memory.

    strict: mismatches of residuals are problems; otherwise they stay in the graph for the recorder to find.
    layer_cache: of another compilation in the same mode, whose layers are reused. Raises SpecError with all independent
    problems, UsageError for settings and overrides that do not fit the spec.
    """
    spec = library.root
    if spec.layers is None:
        raise UsageError(
            f"{spec.file} is a library of blocks: it has no layers", "name a file with `input` and `layers`"
        )
    session = CompileSession(library, block_plan, order_inputs, strict, allow_python, layer_cache or LayerCache(train))
    overrides, notes = add_batch(spec, overrides, batch)
    sizes = bound_params(spec, overrides)
    _check_given_once(session.configure(spec, variant, settings or {}), settings or {}, sizes)
    bound = {**(settings or {}), **sizes}
    context = session.configure(spec, variant, bound)
    _check_param_names(spec, settings or {})
    inputs = input_specs(session, context, spec, overrides, batch or 1)
    session.problems.raise_if_any(library.sources)
    with attributed_warnings(lambda: session.current_span or spec.span):
        block = _compile_top_block(session, context, spec, variant, inputs, bound)
    warn_unused_params(session, spec)
    if session.conditions is not None:
        session.conditions.warn_never_built(session)
    if session.problems:  # a net that cannot run is not recorded, so its mismatches are reported here
        for problem in session.mismatches:
            session.problems.add(problem)
    session.problems.raise_if_any(library.sources)
    assert block is not None
    ties = tuple(t for tie in spec.ties if (t := _resolve_tie(session, block, tie)))
    _check_tie_owners(session, spec)
    session.problems.raise_if_any(library.sources)
    plan = _make_plan(session, spec, variant, block, inputs, ties)
    sized = frozenset(param_dimensions(spec, inputs))
    fixed_params = {name: value for name, value in (settings or {}).items() if name not in sized}
    again = partial(
        _compile_for_shapes, library, variant, settings=fixed_params, train=train, allow_python=allow_python
    )
    options = {"batch": batch_size(spec, overrides, batch or 1), "train": train, "allow_python": allow_python}
    at_own_sizes = partial(_compile_for_shapes, library, variant, {}, settings=settings, **options)
    resized = bool(overrides) and bool(plan.expected) and _has_other_sizes(plan, at_own_sizes)
    changed = resized or bool(changed_params(spec, variant, settings or {}))
    inapplicable = inapplicable_figures(changed, options["batch"])
    unjudged = tuple(e for e in plan.expected if e.key in inapplicable or (resized and e.fixed))
    expected = tuple(e for e in plan.expected if e not in unjudged)
    return replace(plan, expected=expected, unjudged=unjudged, input_params=sized, compile_at=again, notes=notes)


def _compile_for_shapes(
    library: Library, variant: Variant, shapes: Mapping[str, tuple[int, ...]], **options: Any
) -> Plan:
    return compile_net(library, variant, overrides=[InputOverride(*entry) for entry in shapes.items()], **options)


def _has_other_sizes(plan: Plan, at_own_sizes: Callable[..., Plan]) -> bool:
    """Return whether a plan's inputs have other sizes than the file says."""
    try:
        return [i.shape for i in plan.inputs] != [i.shape for i in at_own_sizes(strict=False).inputs]
    except SpecError:  # the net cannot be compiled at the file's own sizes
        return True


def _check_given_once(context: FileContext, settings: Mapping[str, Setting | Value], sizes: Mapping[str, int]) -> None:
    """Raise UsageError if a param that is an input's dimension is given as two different numbers."""
    for name, size in sizes.items():
        if name in settings and (said := context.scope.find(name)) != size:
            suggestion = f"leave {name} out, it is the input's size, or give the input {said}"
            fact = f"the param {name} is given as {describe_value(said)}, and as {size} by the input"
            raise UsageError(fact, suggestion)


def _check_param_names(spec: Spec, settings: Mapping[str, Setting | Value]) -> None:
    known = [s.name for s in spec.params]
    for name in settings:
        if name not in known:
            near = did_you_mean(name, known) or (f"it has {', '.join(known)}" if known else "it has no params")
            raise UsageError(f"{spec.file} has no param {name!r}", near)


def inapplicable_figures(changed: bool, batch: int) -> frozenset[str]:
    """Return the expected figures that do not apply to this run: they hold for the file's own sizes and one input."""
    if changed:
        return frozenset(["params", "macs"])
    return frozenset(["macs"]) if batch != 1 else frozenset()


def changed_params(spec: Spec, variant: Variant, settings: Mapping[str, Setting | Value]) -> list[str]:
    """Return the params that are set to another value than in this variant."""
    own = {setting.name: setting.value for setting in (*spec.params, *variant.settings)}
    return [name for name, v in settings.items() if not (isinstance(v, Setting) and v.value == own.get(name))]


def warn_unused_params(session: CompileSession, spec: Spec) -> None:
    """Warn about params that nothing in the file reads."""
    read = spec.names_read
    for setting in spec.params:
        if setting.name not in read:
            fact = f"nothing reads the param {setting.name!r}"
            session.warn("unused-param", Problem(setting.span, fact, "use it in a step, or take it out"))


# The net


def _compile_top_block(
    session: CompileSession,
    context: FileContext,
    spec: Spec,
    variant: Variant,
    inputs: Sequence[InputSpec],
    settings: Mapping[str, Setting | Value],
) -> BlockPlan | None:
    use = BlockUse(session, BlockPlan(spec.name, variant.name, fx.Graph()))
    tensors = tuple(
        GraphTensor(use, None, torch.empty(i.shape, dtype=i.dtype, device="meta"))  # type: ignore[arg-type]
        for i in inputs
    )
    block = net_block(spec)
    merged = {c.key: c for c in (*spec.expect, *variant.expect)}
    block = replace(block, expect=tuple(merged.values()))
    context = session.configure(spec, variant, {**settings, **param_sizes(use, context, spec, inputs)})
    source = BlockSource(
        replace(block, inputs=tuple(replace(i, dims=open_dimensions(i)) for i in spec.inputs)), context
    )
    return build_block(use, source, (), tensors, begun=lambda scope: require_agreement(use, scope, spec, inputs))


def _resolve_tie(session: CompileSession, block: BlockPlan, tie: Tie) -> tuple[str, str] | None:
    tied, owning = (_find_parameter(session, block, path, tie.span) for path in (tie.path, tie.owner))
    if tied is None or owning is None:
        return None
    (name, shape), (owner, owned) = tied, owning
    if shape != owned and session.mismatches:  # a conflict before it has changed a size
        return None
    if shape != owned:
        session.report(
            tie.span, f"tie: {tie.path} {shape} and {tie.owner} {owned} differ in shape", "tie parameters of one shape"
        )
        return None
    return name, owner


def _check_tie_owners(session: CompileSession, spec: Spec) -> None:
    """Report a tied parameter that owns the values of another one, so that there is no cycle."""
    tied = {tie.path for tie in spec.ties}
    for tie in spec.ties:
        if tie.owner in tied:
            whose = "itself" if tie.owner == tie.path else f"{tie.owner}, which is tied too"
            session.report(
                tie.span, f"tie: {tie.path} is tied to {whose}", "tie every name to the one that owns the values"
            )


def _find_parameter(
    session: CompileSession, block: BlockPlan, path: str, span: Span
) -> tuple[str, tuple[int, ...]] | None:
    wanted = attribute_name(path)
    names = []
    for name, member in block.walk():
        for parameter, shape in parameter_shapes(session.layer_cache, member):
            full = f"{name}.{parameter}" if parameter else name
            if full == wanted:
                return full, shape
            names.append(full)
    suggestion = did_you_mean(path, names) or "paths are labels and positions joined by dots: head.weight"
    session.report(span, f"tie: there is no parameter {path!r}", suggestion)
    return None


def parameter_shapes(layer_cache: LayerCache, member: Recipe | ParameterSpec) -> list[tuple[str, tuple[int, ...]]]:
    """Return the parameters of one layer, by name and shape; the name of a Parameter is empty."""
    if isinstance(member, Recipe):
        return [(n, tuple(p.shape)) for n, p in layer_cache.meta_module(member).named_parameters()]
    return [("", member.shape)]


def _make_plan(
    session: CompileSession, spec: Spec, variant: Variant, block: BlockPlan, inputs: Sequence[InputSpec], ties: tuple
) -> Plan:
    tied, counts = {name for name, _ in ties}, {}
    for name, member in block.walk():
        for parameter, shape in parameter_shapes(session.layer_cache, member):
            full = f"{name}.{parameter}" if parameter else name
            counts[full] = 0 if full in tied else byte_size(shape, torch.uint8)
    top = Location("", spec.name, "block", variant.name, spec.span)
    file = bundled_networks.short_target(spec.file)
    target = f"{file}:{variant.name}" if variant.name else file
    return Plan(
        name=spec.name,
        target=target,
        block=block,
        inputs=tuple(inputs),
        ties=ties,
        warnings=tuple(session.warnings.values()),
        expected=tuple(all_expectations(block)),
        parameter_count=sum(counts.values()),
        largest_bytes=max([session.largest_bytes, *(byte_size(i.shape, i.dtype) for i in inputs)]),
        top=top,
        mismatches=tuple(session.mismatches),
        layer_cache=session.layer_cache,
    )


def all_expectations(block: BlockPlan, prefix: str = "") -> list[Expectation]:
    """Return all expectations, once for each use of their block, with full paths."""
    found = [replace(e, path=join_path(prefix, e.path)) for e in block.expected]
    for path, inner in block_calls(block):
        found += all_expectations(inner, join_path(prefix, path))
    return found
