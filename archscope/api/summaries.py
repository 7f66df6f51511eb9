"""`summarize`: a spec, a Python target or a live module, run once and recorded → Report with costs and findings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archscope.api.batch_capacity import refuse_out_of_memory
from archscope.api.cost_registry import COST_REGISTRY
from archscope.api.given_inputs import GivenInputs
from archscope.api.input_help import input_dtype_help
from archscope.api.keyword_checks import merge_inputs, validate_keywords
from archscope.api.rerun import with_request
from archscope.api.spec_loading import compile_plan, split_target
from archscope.errors import ForwardError, Problem, Span, UsageError
from archscope.gc_pause import gc_paused
from archscope.report import Finding, Report, build_report, finding_from_problem

if TYPE_CHECKING:
    from archscope.compile import Plan
    from archscope.record import Recording
    from archscope.spec.spec_types import Expectation
    from archscope.targets import TargetModule
    from archscope.trace import Trace

Progress = Callable[[str], object]


@validate_keywords()
def summarize(
    target: Any,
    *inputs: Any,
    variant: str | None = None,
    set: Mapping[str, Any] | None = None,
    input: Any = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    batch: int | None = None,
    device: str = "auto",
    dtype: str | None = None,
    train: bool = False,
    backward: bool | None = None,
    seed: int | None = None,
    allow_python: bool = False,
    texts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Return the report of one recorded forward pass of a spec, a Python target or a live nn.Module, with its costs.

    target: also a class or a function that returns a module; `set` has its arguments, or the params of a spec. input:
    a shape, `("int64", shape)`, a list of these, or a mapping by name; also given by positional arguments after the
    target. Without an input, a Python model is not run, and the report has its parameters only. args, kwargs: the
    arguments of a live module's call, in place of `input`; a live module stays on its device and is not changed.
    train: run in training mode. backward: record the backward pass too; by default with `train`. texts: contents of a
    spec's files by name, in place of those on the disk.

    Shapes that do not fit are findings. Raises SpecError for other mistakes in a spec, UsageError for wrong use,
    ForwardError (with the report so far) if the forward pass fails.
    """
    input = merge_inputs(inputs, input)
    how = {"device": device, "dtype": dtype, "train": train, "seed": seed}
    given = {"input": input, "batch": batch, "args": args, "kwargs": kwargs}
    compiled = {"set": set, "allow_python": allow_python, "texts": texts}
    options: dict[str, Any] = {**how, **given, **compiled, "backward": backward}
    try:
        return with_request(_summarize_without_request(target, variant, options, progress), target, options)
    except ForwardError as error:
        if isinstance(error.report, Report):
            error.report = with_request(error.report, target, options)
        raise


def _summarize_without_request(
    target: Any, variant: str | None, options: Mapping[str, Any], progress: Progress | None
) -> Report:
    """Return the report of `summarize`, without the options that it was made with."""
    given = GivenInputs(*(options[name] for name in ("input", "args", "kwargs", "batch")))
    how = {name: options[name] for name in ("device", "dtype", "train", "seed")}
    derives = how["train"] if options["backward"] is None else options["backward"]
    if split_target(target) is None:
        return summarize_module(target, options["set"] or {}, given, **how, backward=derives)
    refuse_call_arguments(given)
    own = {name: options[name] for name in ("set", "input", "batch", "train", "allow_python", "texts")}
    plan = compile_plan(target, variant=variant, **own, strict=False)
    return summarize_plan(plan, **how, backward=derives, progress=progress)


def refuse_call_arguments(given: GivenInputs) -> None:
    """Raise UsageError if a spec is given the arguments of a call."""
    if given.has_call_arguments:
        raise UsageError("a spec's inputs are shapes, not args or kwargs", "input=(1, 3, 224, 224)")


@gc_paused()
def summarize_plan(
    plan: Plan,
    *,
    device: str = "auto",
    dtype: str | None = None,
    train: bool = False,
    backward: bool = False,
    seed: int | None = None,
    progress: Progress | None = None,
    **how: Any,
) -> Report:
    """Return the report of one recorded pass of a compiled spec; `how` as for `record`. Raises UsageError,
    ForwardError.
    """
    from archscope import compile as compiler
    from archscope import targets
    from archscope.record import record

    place, kind = device_and_dtype(plan, device, dtype)
    if progress is not None:
        progress(f"{plan.target}: {plan.parameter_count:,} parameters on {place}")
    with targets.seeded(seed):
        ready = compiler.place_plan(plan, device=place, dtype=kind, train=train, random=seed is not None)
    inputs = example_inputs(plan, place, kind)
    recording = record(
        lambda recorder: recorder.run_backward(ready.run(tuple(inputs.values()), recorder)),
        target=plan.target,
        device=place,
        dtype=dtype or "float32",
        mode="train" if train else "eval",
        inputs=inputs,
        parameters=ready.parameters(),
        buffers=ready.buffers(),
        backward=backward,
        **how,
    )
    warnings = tuple(finding_from_problem(problem, rule=rule, level="warning") for rule, problem in plan.warnings)
    report = _build_report(recording, plan_title(plan), warnings, expected=plan.expected)
    whole = [i for i in plan.inputs if not i.dtype.is_floating_point]
    ranges = tuple((i.name, i.low, i.high) for i in whole)
    noted = replace(report.trace, notes=(*report.trace.notes, *plan.notes))
    return replace(report, trace=noted, ranges=ranges, unjudged=tuple(map(format_expectation, plan.unjudged)))


def format_expectation(expected: Expectation) -> str:
    """Return an expectation as text, such as `shape (1, _, 7, 7) of layer4`."""
    return f"{expected.key} {expected.wanted}{f' of {expected.path}' if expected.path else ''}"


def device_and_dtype(plan: Plan, device: str, dtype: str | None) -> tuple[str, Any]:
    """Return the device and the dtype (None: that of the spec) of a run. Raises UsageError for an unknown one, and if
    memory does not suffice.
    """
    from archscope import targets

    place, kind = targets.opened(device), targets.resolve_dtype(dtype)
    width = kind.itemsize if kind else 4
    inputs = sum(math.prod(i.shape) * (kind or i.dtype).itemsize for i in plan.inputs)
    needed = plan.parameter_count * width + max(inputs, plan.largest_bytes)
    targets.check_free_memory(needed, place, plan.target)
    return place, kind


def example_inputs(plan: Plan, place: str, kind: Any) -> dict[str, Any]:
    """Return example inputs of a spec; floating-point ones have the dtype `kind`, if given."""
    from archscope import targets

    dtypes = [kind if kind and i.dtype.is_floating_point else i.dtype for i in plan.inputs]
    return {
        i.name: targets.example_tensor(i.shape, dtype, place, low=i.low, high=i.high)
        for i, dtype in zip(plan.inputs, dtypes, strict=True)
    }


def plan_title(plan: Plan) -> str:
    return f"{plan.name}:{plan.block.text}" if plan.block.text else plan.name


def _build_report(
    recording: Recording,
    title: str,
    warnings: Sequence[Finding],
    *,
    expected: Sequence[Expectation] = (),
    forward_help: str = "",
    first_help: str = "",
) -> Report:
    """Return the priced report with conflicts, unmet expectations and warnings. Raises ForwardError.

    forward_help: the help of a forward pass that failed for a reason that shapes do not show. first_help: that of the
    first conflict.
    """
    from archscope.checks import unmet_expectations
    from archscope.conflicts.expected_shapes import with_expectation_steps
    from archscope.conflicts.messages import find_conflicts
    from archscope.conflicts.refused_calls import explain_refusal
    from archscope.render import notebook_views

    report = build_report(
        recording.trace, pricing=COST_REGISTRY.price_rows, title=title, views=notebook_views.REPORT_VIEWS
    )
    found = tuple(
        replace(f, help=forward_help or f.help) if f.rule == "forward" else f for f in find_conflicts(report.index)
    )
    if found and first_help:
        found = (replace(found[0], help=first_help), *found[1:])
    if recording.trace.failure is not None:
        refuse_out_of_memory(recording.error, recording.trace.device, recording.trace.target)
        failure = recording.trace.failure
        where = failure.site.place
        what = "the backward pass" if failure.backward else failure.function
        refused = explain_refusal(recording.trace)
        fact = f"{what}: {failure.message}" if what else failure.message
        fact = refused.fact if refused is not None and refused.wanted else fact
        problem = Problem(where or Span(recording.trace.target, 0, 0), fact, first_help or forward_help)
        raise ForwardError(problem, replace(report, findings=(*found, *warnings))) from recording.error
    missed = (
        with_expectation_steps(finding, report.index, expected) for finding in unmet_expectations(expected, report)
    )
    return replace(report, findings=(*found, *missed, *warnings))


def _record_target(
    target_module: TargetModule, args: Any, kwargs: Any, *, train: bool, backward: bool, **how: Any
) -> Recording:
    from archscope import targets
    from archscope.record import record_module
    from archscope.torch_layers import describe_layer

    return record_module(
        target_module.module,
        args,
        kwargs,
        train=train,
        backward=backward,
        text=describe_layer,
        target=target_module.name,
        device=target_module.device,
        dtype=target_module.dtype,
        inputs=targets.named_inputs(target_module.module, args, kwargs),
        contents=target_module.holding,
        **how,
    )


@gc_paused()
def summarize_module(
    target: Any,
    arguments: Mapping[str, Any],
    given: GivenInputs,
    device: str,
    dtype: str | None,
    train: bool,
    backward: bool,
    seed: int | None,
) -> Report:
    """Return the report of one recorded pass of a Python target or a live module. Raises UsageError, ForwardError."""
    from archscope import targets

    with targets.target_import_path(target), targets.seeded(seed):
        found = targets.resolve_target(target, arguments, device=device, dtype=dtype)
        if is_missing_inputs(found, given):
            return parameters_report(found, train=train)
        target_module, args, kwargs = prepare_call(found, given)
        return summarize_target(target_module, args, kwargs, given, train=train, backward=backward)


def summarize_target(
    target_module: TargetModule, args: Any, kwargs: Any, given: GivenInputs, *, train: bool, backward: bool, **how: Any
) -> Report:
    """Return the report of one recorded pass of a prepared module; `how`: see `record_module`. Raises ForwardError."""
    from archscope import targets

    recording = _record_target(target_module, args, kwargs, train=train, backward=backward, **how)
    warnings = () if target_module.live else ignored_argument_findings(target_module.module)
    noted = replace(recording.trace, notes=(*recording.trace.notes, *target_module.notes))
    if noted.failure is not None and noted.failure.local_operands and recording.error is not None:
        conditions = targets.find_required_sizes(recording.error, dict(noted.failure.local_operands))
        noted = replace(noted, failure=replace(noted.failure, size_conditions=conditions))
    forward_help = (
        targets.forward_error_help(target_module.module, recording.error, inputs=not given.is_empty)
        if recording.error
        else ""
    )
    forward_help = forward_help or input_dtype_help(noted, made=given.is_made_of_shapes, live=target_module.live)
    first_help = _batch_help(target_module, args, kwargs, noted, train=train) if given.is_one_shape else ""
    return _build_report(
        replace(recording, trace=noted), target_module.title, warnings, forward_help=forward_help, first_help=first_help
    )


def _batch_help(target_module: TargetModule, args: Any, kwargs: Any, trace: Trace, *, train: bool) -> str:
    """Return the option that gives the one input with a batch axis, if it has none and the module runs only with it;
    else "".
    """
    from archscope import targets

    (given,) = trace.inputs or (None,)
    broken = trace.failure is not None or trace.mismatches
    if not broken or given is None or len(given.value.shape) != 1 or not given.value.dtype.startswith("int"):
        return ""
    whole = targets.add_batch_axis((args, kwargs))
    after = _record_target(target_module, *whole, train=train, backward=False).trace
    if after.failure is not None or after.mismatches:
        return ""
    size = given.value.shape[0]
    return f'input=("{given.value.dtype}", (1, {size})) runs: the batch stands before the {size} numbers'


def prepare_target(
    target: Any, arguments: Mapping[str, Any], given: GivenInputs, device: str, dtype: str | None
) -> tuple[TargetModule, tuple[Any, ...], dict[str, Any]]:
    """Return a module that is ready to be called, and the arguments of the call. Raises UsageError."""
    from archscope import targets

    return prepare_call(targets.resolve_target(target, arguments, device=device, dtype=dtype), given)


def prepare_call(
    target_module: TargetModule, given: GivenInputs
) -> tuple[TargetModule, tuple[Any, ...], dict[str, Any]]:
    """Return a module with its lazy layers initialised, and the arguments of the call. Raises UsageError."""
    from archscope import targets

    alone = _call_arguments(target_module, replace(given, batch=None) if given.is_one_shape else given)
    layer = targets.find_missing_batch(target_module, *alone) if given.is_one_shape else ""
    if layer:
        args, kwargs = _call_arguments(target_module, given.with_batch_axis())
        note = targets.batch_note(layer, alone, (args, kwargs))
        target_module = replace(target_module, notes=(*target_module.notes, note), batch_guessed=given.batch is None)
    else:
        args, kwargs = alone if given.batch is None else _call_arguments(target_module, given)
    target_module = targets.with_input_devices(target_module, args, kwargs)
    return targets.initialize_lazy(target_module, args, kwargs), args, kwargs


def is_missing_inputs(target_module: TargetModule, given: GivenInputs) -> bool:
    """Return whether a module is given no input, and cannot be called without one."""
    from archscope import targets

    return given.is_empty and given.batch is None and targets.needs_inputs(target_module.module)


def parameters_report(target_module: TargetModule, *, train: bool) -> Report:
    """Return the report of a module without an input: its parameters. It is not run."""
    from archscope import targets
    from archscope.render import notebook_views

    trace = _record_target(target_module, (), {}, train=train, backward=False).trace
    notes = (targets.no_input_note(target_module.module), *trace.notes, *target_module.notes)
    known = replace(trace, failure=None, rows=(), outputs=(), notes=notes, ran=False)
    return build_report(
        known, pricing=COST_REGISTRY.price_rows, title=target_module.title, views=notebook_views.REPORT_VIEWS
    )


def _call_arguments(target_module: TargetModule, given: GivenInputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of the call. Raises UsageError if the module's forward takes others."""
    from archscope import targets

    args, kwargs = () if given.args is None else given.args, {} if given.kwargs is None else given.kwargs
    positional, named = targets.move_inputs(
        target_module, targets.make_inputs(target_module.placement, given.input, args, kwargs, given.batch)
    )
    if not (given.is_empty and target_module.live):  # a report of its parameters needs no run
        targets.check_call_arguments(target_module.module, target_module.name, positional, named)
    return targets.detach_computed((positional, named))


def ignored_argument_findings(module: Any) -> tuple[Finding, ...]:
    """Return warnings of constructor arguments that a module's class accepts and never reads."""
    from archscope import targets

    found = targets.find_ignored_arguments(module)
    return tuple(finding_from_problem(problem, rule="ignored-argument", level="warning") for problem in found)
