"""Runs: a spec's plan, a Python target or a live module → record → Trace → priced Report with its findings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from archscope.api.batch_capacity import refuse_out_of_memory
from archscope.api.cost_registry import COST_REGISTRY
from archscope.api.given_inputs import GivenInputs
from archscope.api.input_help import input_dtype_help
from archscope.api.keyword_checks import merge_inputs, validate_keywords
from archscope.api.requests import with_request
from archscope.api.specs import compile_plan, split_target
from archscope.errors import ForwardError, Problem, Span, UsageError
from archscope.report import Finding, Report, build_report, finding_from_problem

if TYPE_CHECKING:
    from archscope.compile import Plan
    from archscope.record import Recording
    from archscope.spec.model import Expectation
    from archscope.targets import TargetModule
    from archscope.trace import Trace

Progress = Callable[[str], object]
P = ParamSpec("P")
R = TypeVar("R")


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
    """One recorded forward pass of a spec, a Python target or a live nn.Module, with its costs.

    train: in training mode. backward: the backward pass as well; with `train`, unless this says no.
    input: a shape, `("int64", shape)`, a list of them, or a mapping by name; what stands after the target without a
    name is the same. Without any, a Python model is not run: its parameters are listed. target: also a class or a
    function that makes a module, of the arguments in `set`. A live module may be given `args` and
    `kwargs` instead; it stays on its device, and nothing of it is changed. set: params of a spec, arguments of a
    factory. texts: what files of a spec are taken to hold, by name, instead of what stands on the disk.
    Shapes that do not fit are findings, all of them; raises SpecError for other mistakes in a spec, UsageError for
    wrong use, ForwardError (with the report so far) where the forward pass fails.
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
    target: Any, variant: str | None, options: Mapping[str, Any], tell: Progress | None
) -> Report:
    """What `summarize` gives, without how it was asked for."""
    given = GivenInputs(*(options[name] for name in ("input", "args", "kwargs", "batch")))
    how = {name: options[name] for name in ("device", "dtype", "train", "seed")}
    derives = how["train"] if options["backward"] is None else options["backward"]
    if split_target(target) is None:
        return summarize_module(target, options["set"] or {}, given, **how, backward=derives)
    refuse_call_arguments(given)
    own = {name: options[name] for name in ("set", "input", "batch", "train", "allow_python", "texts")}
    plan = compile_plan(target, variant=variant, **own, strict=False)
    return summarize_plan(plan, **how, backward=derives, tell=tell)


def refuse_call_arguments(given: GivenInputs) -> None:
    """Raises UsageError where a spec is given the arguments of a call."""
    if given.has_call_arguments:
        raise UsageError("a spec's inputs are shapes, not args or kwargs", "input=(1, 3, 224, 224)")


def with_gc_paused(analysis: Callable[P, R]) -> Callable[P, R]:
    """The analysis without Python's cycle collector, which would go through all of torch again and again."""

    @wraps(analysis)
    def quietly(*args: P.args, **kwargs: P.kwargs) -> R:
        from archscope.record import gc_paused

        with gc_paused():
            return analysis(*args, **kwargs)

    return quietly


@with_gc_paused
def summarize_plan(
    plan: Plan,
    *,
    device: str = "auto",
    dtype: str | None = None,
    train: bool = False,
    backward: bool = False,
    seed: int | None = None,
    tell: Progress | None = None,
    **how: Any,
) -> Report:
    """One recorded pass of a compiled spec; `how` as `record` takes it. Raises UsageError, ForwardError."""
    from archscope import compile as workshop
    from archscope import targets
    from archscope.record import record

    place, kind = device_and_dtype(plan, device, dtype)
    if tell is not None:
        tell(f"{plan.target}: {plan.parameter_count:,} parameters on {place}")
    with targets.seeded(seed):
        ready = workshop.place_plan(plan, device=place, dtype=kind, train=train, random=seed is not None)
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
    """`shape (1, _, 7, 7) of layer4`."""
    return f"{expected.key} {expected.wanted}{f' of {expected.path}' if expected.path else ''}"


def device_and_dtype(plan: Plan, device: str, dtype: str | None) -> tuple[str, Any]:
    """The device and the dtype (None: the spec's own) of a run. Raises UsageError for one that is none, and
    where memory does not suffice."""
    from archscope import targets

    place, kind = targets.opened(device), targets.resolve_dtype(dtype)
    width = kind.itemsize if kind else 4
    inputs = sum(math.prod(i.shape) * (kind or i.dtype).itemsize for i in plan.inputs)
    needed = plan.parameter_count * width + max(inputs, plan.largest_bytes)
    targets.check_free_memory(needed, place, plan.target)
    return place, kind


def example_inputs(plan: Plan, place: str, kind: Any) -> dict[str, Any]:
    """The inputs of a spec, floating-point ones in the dtype that was asked for."""
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
    cure: str = "",
    first: str = "",
) -> Report:
    """The priced report: its conflicts, the expectations that it does not meet, the warnings. Raises ForwardError.

    cure: of a forward pass that failed for no reason that shows in shapes. first: what cures the first conflict.
    """
    from archscope.checks import unmet_expectations
    from archscope.checks.conflicts.refused_calls import explain_refusal
    from archscope.render import views
    from archscope.render.conflicts import find_conflicts
    from archscope.render.expected_shapes import with_expectation_steps

    report = build_report(recording.trace, pricing=COST_REGISTRY.price_rows, title=title, views=views.REPORT_VIEWS)
    found = tuple(replace(f, help=cure or f.help) if f.rule == "forward" else f for f in find_conflicts(report.index))
    if found and first:
        found = (replace(found[0], help=first), *found[1:])
    if recording.trace.failure is not None:
        refuse_out_of_memory(recording.error, recording.trace.device, recording.trace.target)
        failure = recording.trace.failure
        where = failure.site.place
        what = "the backward pass" if failure.backward else failure.function
        refused = explain_refusal(recording.trace)
        fact = f"{what}: {failure.message}" if what else failure.message
        fact = refused.fact if refused is not None and refused.wanted else fact
        problem = Problem(where or Span(recording.trace.target, 0, 0), fact, first or cure)
        raise ForwardError(problem, replace(report, findings=(*found, *warnings))) from recording.error
    missed = (
        with_expectation_steps(finding, report.index, expected) for finding in unmet_expectations(expected, report)
    )
    return replace(report, findings=(*found, *missed, *warnings))


def _record_target(
    subject: TargetModule, args: Any, kwargs: Any, *, train: bool, backward: bool, **how: Any
) -> Recording:
    from archscope import compile as workshop
    from archscope import targets
    from archscope.record import record_module

    return record_module(
        subject.module,
        args,
        kwargs,
        train=train,
        backward=backward,
        text=workshop.describe_layer,
        target=subject.name,
        device=subject.device,
        dtype=subject.dtype,
        inputs=targets.named_inputs(subject.module, args, kwargs),
        contents=subject.holding,
        **how,
    )


@with_gc_paused
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
    """One recorded pass of a Python target or a live module. Raises UsageError, ForwardError."""
    from archscope import targets

    with targets.target_import_path(target), targets.seeded(seed):
        found = targets.resolve_target(target, arguments, device=device, dtype=dtype)
        if is_missing_inputs(found, given):
            return parameters_report(found, train=train)
        subject, args, kwargs = prepare_call(found, given)
        return summarize_target(subject, args, kwargs, given, train=train, backward=backward)


def summarize_target(
    subject: TargetModule, args: Any, kwargs: Any, given: GivenInputs, *, train: bool, backward: bool, **how: Any
) -> Report:
    """One recorded pass of a module that is ready to be called; `how` as `record_module`'s. Raises ForwardError."""
    from archscope import targets

    recording = _record_target(subject, args, kwargs, train=train, backward=backward, **how)
    warnings = () if subject.live else ignored_argument_findings(subject.module)
    noted = replace(recording.trace, notes=(*recording.trace.notes, *subject.notes))
    if noted.failure is not None and noted.failure.local_operands and recording.error is not None:
        asked = targets.find_required_sizes(recording.error, dict(noted.failure.local_operands))
        noted = replace(noted, failure=replace(noted.failure, size_conditions=asked))
    cure = (
        targets.forward_error_help(subject.module, recording.error, inputs=not given.is_empty)
        if recording.error
        else ""
    )
    cure = cure or input_dtype_help(noted, made=given.is_made_of_shapes, live=subject.live)
    first = _batch_help(subject, args, kwargs, noted, train=train) if given.is_one_shape else ""
    return _build_report(replace(recording, trace=noted), subject.title, warnings, cure=cure, first=first)


def _batch_help(subject: TargetModule, args: Any, kwargs: Any, trace: Trace, *, train: bool) -> str:
    """The one input with its batch, where it is a single row of whole numbers that the module does not run on and a
    batch with this row alone is what it runs on; else nothing."""
    from archscope import targets

    (given,) = trace.inputs or (None,)
    broken = trace.failure is not None or trace.mismatches
    if not broken or given is None or len(given.value.shape) != 1 or not given.value.dtype.startswith("int"):
        return ""
    whole = targets.add_batch_axis((args, kwargs))
    after = _record_target(subject, *whole, train=train, backward=False).trace
    if after.failure is not None or after.mismatches:
        return ""
    size = given.value.shape[0]
    return f'input=("{given.value.dtype}", (1, {size})) runs: the batch stands before the {size} numbers'


def prepare_target(
    target: Any, arguments: Mapping[str, Any], given: GivenInputs, device: str, dtype: str | None
) -> tuple[TargetModule, tuple[Any, ...], dict[str, Any]]:
    """A module that is ready to be called, and the arguments of the call. Raises UsageError."""
    from archscope import targets

    return prepare_call(targets.resolve_target(target, arguments, device=device, dtype=dtype), given)


def prepare_call(subject: TargetModule, given: GivenInputs) -> tuple[TargetModule, tuple[Any, ...], dict[str, Any]]:
    """A module with its lazy layers made, and the arguments of the call. Raises UsageError."""
    from archscope import targets

    alone = _call_arguments(subject, replace(given, batch=None) if given.is_one_shape else given)
    layer = targets.find_missing_batch(subject, *alone) if given.is_one_shape else ""
    if layer:
        args, kwargs = _call_arguments(subject, given.with_batch_axis())
        note = targets.batch_note(layer, alone, (args, kwargs))
        subject = replace(subject, notes=(*subject.notes, note), batch_guessed=given.batch is None)
    else:
        args, kwargs = alone if given.batch is None else _call_arguments(subject, given)
    subject = targets.with_input_devices(subject, args, kwargs)
    return targets.initialize_lazy(subject, args, kwargs), args, kwargs


def is_missing_inputs(subject: TargetModule, given: GivenInputs) -> bool:
    """Whether a module is given no input, and cannot be called without one."""
    from archscope import targets

    return given.is_empty and given.batch is None and targets.needs_inputs(subject.module)


def parameters_report(subject: TargetModule, *, train: bool) -> Report:
    """What is known of a module without an input: its parameters. Nothing of it is run, for its forward needs one."""
    from archscope import targets
    from archscope.render import views

    trace = _record_target(subject, (), {}, train=train, backward=False).trace
    notes = (targets.no_input_note(subject.module), *trace.notes, *subject.notes)
    known = replace(trace, failure=None, rows=(), outputs=(), notes=notes, ran=False)
    return build_report(known, pricing=COST_REGISTRY.price_rows, title=subject.title, views=views.REPORT_VIEWS)


def _call_arguments(subject: TargetModule, given: GivenInputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the call. Raises UsageError where the module's forward takes others."""
    from archscope import targets

    args, kwargs = () if given.args is None else given.args, {} if given.kwargs is None else given.kwargs
    made, named = targets.move_inputs(
        subject, targets.make_inputs(subject.placement, given.input, args, kwargs, given.batch)
    )
    if not (given.is_empty and subject.live):  # a report of its parameters needs no run
        targets.check_call_arguments(subject.module, subject.name, made, named)
    return targets.detach_computed((made, named))


def ignored_argument_findings(module: Any) -> tuple[Finding, ...]:
    """Warnings of arguments that the authors of a module's classes accept and never read."""
    from archscope import targets

    found = targets.find_ignored_arguments(module)
    return tuple(finding_from_problem(problem, rule="ignored-argument", level="warning") for problem in found)
