"""archscope, fvcore, torchinfo and torch's FlopCounterMode count one call of one module, one after another."""

from __future__ import annotations

from dataclasses import dataclass, replace

from archscope.analysis.module_runs import summarize_module
from archscope.analysis.run_options import Progress, RunOptions
from archscope.counters.differences import CrossCheck
from archscope.counters.explain import cross_check as join_counts
from archscope.counters.isolation import isolated
from archscope.counters.model_call import ModelCall, time_work
from archscope.counters.run import identity_call, run_counters, warm_up_torch
from archscope.render import notebook_views
from archscope.report import Report


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
    return join_counts(report, seconds, results, modules, views=notebook_views.CROSS_CHECK_VIEWS)


def time_summary(call: ModelCall) -> tuple[Report, float]:
    """Return archscope's report and its seconds. Attributes that the forward pass sets on the model are restored."""
    options = RunOptions(args=call.args, kwargs=call.kwargs, train=call.train, backward=False)
    with isolated(call.model, train=call.train):
        return time_work(lambda: summarize_module(call.model, options))
