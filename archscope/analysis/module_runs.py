"""A Python target or a live module → one recorded run → Report with costs and findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from archscope import targets
from archscope.analysis.report_requests import with_request
from archscope.analysis.run_options import GivenInputs, RunOptions
from archscope.analysis.run_reports import is_broken, priced_report, report_of_run
from archscope.errors import ForwardError
from archscope.gc_pause import gc_paused
from archscope.record import Recording, record_module
from archscope.report import Finding, Report, finding_from_problem
from archscope.targets import TargetModule
from archscope.torch_layers import describe_layer
from archscope.trace import Trace


@dataclass(frozen=True)
class PreparedCall:
    """A module that is ready to be called, and the arguments of its call. given: what they were made from."""

    target_module: TargetModule
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    given: GivenInputs

    @property
    def module(self) -> Any:
        """The nn.Module."""
        return self.target_module.module

    @property
    def is_made_of_shapes(self) -> bool:
        """True if every tensor among the inputs is made from a shape."""
        return not targets.has_given_value([self.given.input, self.given.args, self.given.kwargs])


def summarize_module(target: Any, options: RunOptions) -> Report:
    """Return the report of one recorded pass of a Python target or a live module. Raises UsageError, ForwardError."""
    try:
        report = summarize_resolved(target, options)
    except ForwardError as error:
        error.report = with_request(error.report, target, options)
        raise
    return with_request(report, target, options)


@gc_paused()
def summarize_resolved(target: Any, options: RunOptions) -> Report:
    """Return the report of `summarize_module`, without the options that it was made with."""
    with targets.target_import_path(target), targets.seeded(options.seed):
        found = resolve_module(target, options)
        if is_missing_inputs(found, options.given):
            return parameters_report(found, train=options.train)
        return summarize_call(
            prepare_call(found, options.given), train=options.train, backward=options.records_backward
        )


def summarize_call(call: PreparedCall, *, train: bool, backward: bool = False, **how: Any) -> Report:
    """Return the report of one recorded pass of a prepared module; `how`: see `record_module`. Raises ForwardError."""
    target_module = call.target_module
    recording = record_call(target_module, call.args, call.kwargs, train=train, backward=backward, **how)
    warnings = () if target_module.live else ignored_argument_findings(call.module)
    noted = replace(recording.trace, notes=(*recording.trace.notes, *target_module.notes))
    if noted.failure is not None and noted.failure.local_operands and recording.error is not None:
        conditions = targets.find_required_sizes(recording.error, dict(noted.failure.local_operands))
        noted = replace(noted, failure=replace(noted.failure, size_conditions=conditions))
    forward_help = (
        targets.forward_error_help(call.module, recording.error, inputs=not call.given.is_empty)
        if recording.error
        else ""
    )
    if noted.failure is not None and not forward_help:
        from archscope.analysis.input_help import input_dtype_help  # most runs load no diagnosis

        forward_help = input_dtype_help(noted, made=call.is_made_of_shapes, live=target_module.live)
    first_help = batch_help(call, noted, train=train) if is_broken(noted) and call.given.is_one_shape else ""
    return report_of_run(
        replace(recording, trace=noted), target_module.title, warnings, forward_help=forward_help, first_help=first_help
    )


def record_call(
    target_module: TargetModule, args: Any, kwargs: Any, *, train: bool, backward: bool = False, **how: Any
) -> Recording:
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


def batch_help(call: PreparedCall, trace: Trace, *, train: bool) -> str:
    """Return the option that gives the one input with a batch axis, if it has none and the module runs only with it;
    else "".
    """
    (given,) = trace.inputs or (None,)
    if given is None or len(given.value.shape) != 1 or not given.value.dtype.startswith("int"):
        return ""
    whole = targets.add_batch_axis((call.args, call.kwargs))
    after = record_call(call.target_module, *whole, train=train).trace
    if is_broken(after):
        return ""
    size = given.value.shape[0]
    return f'input=("{given.value.dtype}", (1, {size})) runs: the batch stands before the {size} numbers'


# ------------------------------------------------------------ before the run
def resolve_module(target: Any, options: RunOptions) -> TargetModule:
    """Return the module of a target on its device. Raises UsageError."""
    return targets.resolve_target(target, options.settings, device=options.device, dtype=options.dtype)


def prepare_target(target: Any, options: RunOptions) -> PreparedCall:
    """Return a module that is ready to be called, and the arguments of the call. Raises UsageError."""
    return prepare_call(resolve_module(target, options), options.given)


def prepare_call(target_module: TargetModule, given: GivenInputs) -> PreparedCall:
    """Return a module with its lazy layers initialised, and the arguments of the call. Raises UsageError."""
    alone = call_arguments(target_module, replace(given, batch=None) if given.is_one_shape else given)
    layer = targets.find_missing_batch(target_module, *alone) if given.is_one_shape else ""
    if layer:
        args, kwargs = call_arguments(target_module, given.with_batch_axis())
        note = targets.batch_note(layer, alone, (args, kwargs))
        target_module = replace(target_module, notes=(*target_module.notes, note), batch_guessed=given.batch is None)
    else:
        args, kwargs = alone if given.batch is None else call_arguments(target_module, given)
    target_module = targets.with_input_devices(target_module, args, kwargs)
    return PreparedCall(targets.initialize_lazy(target_module, args, kwargs), args, kwargs, given)


def is_missing_inputs(target_module: TargetModule, given: GivenInputs) -> bool:
    """Return whether a module is given no input, and cannot be called without one."""
    return given.is_empty and given.batch is None and targets.needs_inputs(target_module.module)


def parameters_report(target_module: TargetModule, *, train: bool) -> Report:
    """Return the report of a module without an input: its parameters. It is not run."""
    trace = record_call(target_module, (), {}, train=train).trace
    notes = (targets.no_input_note(target_module.module), *trace.notes, *target_module.notes)
    known = replace(trace, failure=None, rows=(), outputs=(), notes=notes, ran=False)
    return priced_report(known, target_module.title)


def call_arguments(target_module: TargetModule, given: GivenInputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of the call. Raises UsageError if the module's forward takes others."""
    args, kwargs = () if given.args is None else given.args, {} if given.kwargs is None else given.kwargs
    positional, named = targets.move_inputs(
        target_module, targets.make_inputs(target_module.placement, given.input, args, kwargs, given.batch)
    )
    if not (given.is_empty and target_module.live):  # a report of its parameters needs no run
        targets.check_call_arguments(target_module.module, target_module.name, positional, named)
    return targets.detach_computed((positional, named))


def ignored_argument_findings(module: Any) -> tuple[Finding, ...]:
    """Return warnings of constructor arguments that a module's class accepts and never reads."""
    found = targets.find_ignored_arguments(module)
    return tuple(finding_from_problem(problem, rule="ignored-argument", level="warning") for problem in found)
