"""A spec → one recorded run → Report with costs and findings."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

from archscope import compile as compiler
from archscope import targets
from archscope.analysis.report_requests import with_request
from archscope.analysis.run_options import RunOptions
from archscope.analysis.run_reports import report_of_run
from archscope.analysis.spec_plans import compile_library
from archscope.compile import Plan
from archscope.errors import ForwardError
from archscope.gc_pause import gc_paused
from archscope.record import record
from archscope.report import Report, finding_from_problem
from archscope.spec import Library
from archscope.spec.spec_types import Expectation


def summarize_spec(library: Library, target: str | os.PathLike[str], options: RunOptions) -> Report:
    """Return the report of one recorded pass of a loaded spec. Raises SpecError, UsageError, ForwardError."""
    try:
        report = summarize_plan(compile_library(library, target, options, strict=False), options)
    except ForwardError as error:
        error.report = with_request(error.report, target, options)
        raise
    return with_request(report, target, options)


@gc_paused()
def summarize_plan(plan: Plan, options: RunOptions, **how: Any) -> Report:
    """Return the report of one recorded pass of a compiled spec; `how` as for `record`. Raises UsageError,
    ForwardError.
    """
    place, kind = device_and_dtype(plan, options.device, options.dtype)
    options.report_progress(f"{plan.target}: {plan.parameter_count:,} parameters on {place}")
    random = options.seed is not None
    with targets.seeded(options.seed):
        ready = compiler.place_plan(plan, device=place, dtype=kind, train=options.train, random=random)
    inputs = example_inputs(plan, place, kind)
    recording = record(
        lambda recorder: recorder.run_backward(ready.run(tuple(inputs.values()), recorder)),
        target=plan.target,
        device=place,
        dtype=options.dtype or "float32",
        mode="train" if options.train else "eval",
        inputs=inputs,
        parameters=ready.parameters(),
        buffers=ready.buffers(),
        backward=options.records_backward,
        **how,
    )
    warnings = tuple(finding_from_problem(problem, rule=rule, level="warning") for rule, problem in plan.warnings)
    report = report_of_run(recording, plan_title(plan), warnings, expected=plan.expected)
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
    place, kind = targets.opened(device), targets.resolve_dtype(dtype)
    width = kind.itemsize if kind else 4
    inputs = sum(math.prod(i.shape) * (kind or i.dtype).itemsize for i in plan.inputs)
    needed = plan.parameter_count * width + max(inputs, plan.largest_bytes)
    targets.check_free_memory(needed, place, plan.target)
    return place, kind


def example_inputs(plan: Plan, place: str, kind: Any) -> dict[str, Any]:
    """Return example inputs of a spec; floating-point ones have the dtype `kind`, if given."""
    dtypes = [kind if kind and i.dtype.is_floating_point else i.dtype for i in plan.inputs]
    return {
        i.name: targets.example_tensor(i.shape, dtype, place, low=i.low, high=i.high)
        for i, dtype in zip(plan.inputs, dtypes, strict=True)
    }


def plan_title(plan: Plan) -> str:
    return f"{plan.name}:{plan.block.text}" if plan.block.text else plan.name


def build_spec(library: Library, target: str | os.PathLike[str], options: RunOptions) -> Any:
    """Return the net of a loaded spec as an nn.Module. Raises SpecError, UsageError."""
    plan = compile_library(library, target, options)
    place = targets.opened(options.device)
    targets.check_free_memory(plan.parameter_count * 4, place, plan.target)  # weights are made as float32
    with targets.seeded(options.seed):
        dtype = targets.resolve_dtype(options.dtype)
        return compiler.build(plan, device=place, dtype=dtype, settings=options.set)
