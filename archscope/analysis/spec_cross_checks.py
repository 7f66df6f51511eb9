"""A spec, built as a module → CrossCheck."""

from __future__ import annotations

import os
from dataclasses import replace

from archscope import compile as compiler
from archscope import targets
from archscope.analysis.cross_checks import CrossCheckTarget, run_cross_check
from archscope.analysis.report_requests import with_request
from archscope.analysis.run_options import RunOptions
from archscope.analysis.spec_plans import compile_library
from archscope.analysis.spec_runs import device_and_dtype, example_inputs, plan_title
from archscope.counters.differences import CrossCheck
from archscope.counters.model_call import ModelCall
from archscope.spec import Library


def cross_check_spec(library: Library, target: str | os.PathLike[str], options: RunOptions) -> CrossCheck:
    """Return the counts of a loaded spec. Raises SpecError, UsageError, ForwardError."""
    plan = compile_library(library, target, options)
    place, kind = device_and_dtype(plan, options.device, options.dtype)
    with targets.seeded(options.seed):
        module = compiler.build(plan, device=place, dtype=kind, random=options.seed is not None).train(options.train)
    inputs = tuple(example_inputs(plan, place, kind).values())
    checked = CrossCheckTarget(ModelCall(module, inputs, train=options.train), plan.target, plan_title(plan))
    found = run_cross_check(checked, options.report_progress)
    return replace(found, report=with_request(found.report, target, options))
