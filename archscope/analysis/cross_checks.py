"""`cross_check`: archscope, fvcore, torchinfo and FlopCounterMode count one call of one module, one after another."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from archscope import compile as compiler
from archscope import targets
from archscope.analysis.module_runs import prepare_target, summarize_module
from archscope.analysis.report_requests import with_request
from archscope.analysis.run_options import Progress, RunOptions
from archscope.analysis.spec_plans import compile_library
from archscope.analysis.spec_runs import device_and_dtype, example_inputs, plan_title
from archscope.counters.counter_runs import identity_call, run_counters, warm_up_torch
from archscope.counters.differences import CrossCheck
from archscope.counters.explain import cross_check as join_counts
from archscope.counters.isolation import isolated
from archscope.counters.model_call import ModelCall, time_work
from archscope.render import crosschecks
from archscope.report import Report
from archscope.spec import Library


@dataclass(frozen=True)
class CrossCheckTarget:
    """A module with the arguments of the call that is counted, and its title."""

    call: ModelCall
    target: str
    title: str
    notes: tuple[str, ...] = ()


def run_cross_check(checked: CrossCheckTarget, progress: Progress) -> CrossCheck:
    """Return the counts of one call of a module."""
    call = checked.call
    warm_up_torch(call)
    time_summary(identity_call())
    progress(f"{checked.target}: archscope")
    report, seconds = time_summary(call.copy())
    trace = replace(
        report.trace, target=checked.target, notes=tuple(dict.fromkeys((*checked.notes, *report.trace.notes)))
    )
    report = replace(report, trace=trace, title=checked.title)
    modules = [path for path, _ in call.model.named_modules()]
    results = run_counters(call, on_counter=lambda name: progress(f"{checked.target}: {name}"))
    return join_counts(report, seconds, results, modules, views=crosschecks.CROSS_CHECK_VIEWS)


def time_summary(call: ModelCall) -> tuple[Report, float]:
    """Return archscope's report and its seconds. Attributes that the forward pass sets on the model are restored."""
    options = RunOptions(args=call.args, kwargs=call.kwargs, train=call.train, backward=False)
    with isolated(call.model, train=call.train):
        return time_work(lambda: summarize_module(call.model, options))


def cross_check_module(target: Any, options: RunOptions) -> CrossCheck:
    """Return the counts of a Python target or a live module. Raises UsageError, ForwardError."""
    with targets.target_import_path(target):
        with targets.seeded(options.seed):
            prepared = prepare_target(target, options)
        module = prepared.target_module
        call = ModelCall(prepared.module, prepared.args, prepared.kwargs, options.train)
        checked = CrossCheckTarget(call, module.name, module.title, module.notes)
        found = run_cross_check(checked, options.report_progress)
    return replace(found, report=with_request(found.report, target, options))


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
