"""`cross_check`: archscope, fvcore, torchinfo and torch's FlopCounterMode count one call of one module, one after
another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archscope.api.given_inputs import GivenInputs
from archscope.api.keyword_checks import merge_inputs, validate_keywords
from archscope.api.rerun import with_request
from archscope.api.spec_loading import compile_plan, split_target
from archscope.api.summaries import Progress, device_and_dtype, example_inputs, plan_title, prepare_target, summarize
from archscope.errors import UsageError

if TYPE_CHECKING:
    from archscope.compile import Plan
    from archscope.counters.differences import CrossCheck
    from archscope.counters.model_call import ModelCall
    from archscope.report import Report


@dataclass(frozen=True)
class CrossCheckTarget:
    """A module with the arguments of the call that is counted, and its title."""

    call: ModelCall
    target: str
    title: str
    notes: tuple[str, ...] = ()


@validate_keywords()
def cross_check(
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
    seed: int | None = None,
    allow_python: bool = False,
    progress: Progress | None = None,
) -> CrossCheck:
    """Return the counts of fvcore, torchinfo and torch's FlopCounterMode beside archscope's, each difference with its
    causes.

    Options are those of `summarize`. A spec is built as a module, which all counters run, archscope too. A counter
    that is not installed or crashes is reported as such. Raises SpecError, UsageError, ForwardError.
    """
    input = merge_inputs(inputs, input)
    given, progress = GivenInputs(input, args, kwargs, batch), progress or (lambda _: None)
    options = {"set": set, "input": input, "args": args, "kwargs": kwargs, "batch": batch, "device": device}
    options |= {"dtype": dtype, "train": train, "backward": False, "seed": seed, "allow_python": allow_python}
    if split_target(target) is None:
        from archscope import targets

        with targets.target_import_path(target):
            found = _run_cross_check(_target_of_module(target, set or {}, given, device, dtype, train, seed), progress)
        return replace(found, report=with_request(found.report, target, options))
    if given.has_call_arguments:
        raise UsageError("a spec's inputs are shapes, not args or kwargs", "input=(1, 3, 224, 224)")
    plan = compile_plan(
        target, variant=variant, set=set, input=input, batch=batch, train=train, allow_python=allow_python
    )
    found = _run_cross_check(_target_of_plan(plan, device, dtype, train, seed), progress)
    return replace(found, report=with_request(found.report, target, options))


def _run_cross_check(checked: CrossCheckTarget, progress: Progress) -> CrossCheck:
    from archscope.counters.explain import cross_check as join_counts
    from archscope.counters.run import identity_call, run_counters, warm_up_torch
    from archscope.render import notebook_views

    call = checked.call
    warm_up_torch(call)
    _summarize_call(identity_call())
    progress(f"{checked.target}: archscope")
    report, seconds = _summarize_call(call.copy())
    trace = replace(
        report.trace, target=checked.target, notes=tuple(dict.fromkeys((*checked.notes, *report.trace.notes)))
    )
    report = replace(report, trace=trace, title=checked.title)
    modules = [path for path, _ in call.model.named_modules()]
    results = run_counters(call, on_counter=lambda name: progress(f"{checked.target}: {name}"))
    return join_counts(report, seconds, results, modules, views=notebook_views.CROSS_CHECK_VIEWS)


def _summarize_call(call: ModelCall) -> tuple[Report, float]:
    """Return archscope's report and its seconds. Attributes that the forward pass sets on the model are restored."""
    from archscope.counters.isolation import isolated
    from archscope.counters.model_call import time_work

    with isolated(call.model, train=call.train):
        return time_work(
            lambda: summarize(call.model, args=call.args, kwargs=call.kwargs, train=call.train, backward=False)
        )


def _target_of_plan(plan: Plan, device: str, dtype: str | None, train: bool, seed: int | None) -> CrossCheckTarget:
    from archscope import compile as compiler
    from archscope import targets
    from archscope.counters.model_call import ModelCall

    place, kind = device_and_dtype(plan, device, dtype)
    with targets.seeded(seed):
        module = compiler.build(plan, device=place, dtype=kind, random=seed is not None).train(train)
    inputs = example_inputs(plan, place, kind)
    return CrossCheckTarget(ModelCall(module, tuple(inputs.values()), train=train), plan.target, plan_title(plan))


def _target_of_module(
    target: Any,
    arguments: Mapping[str, Any],
    given: GivenInputs,
    device: str,
    dtype: str | None,
    train: bool,
    seed: int | None,
) -> CrossCheckTarget:
    from archscope import targets
    from archscope.counters.model_call import ModelCall

    with targets.seeded(seed):
        target_module, args, kwargs = prepare_target(target, arguments, given, device, dtype)
    call = ModelCall(target_module.module, args, kwargs, train)
    return CrossCheckTarget(call, target_module.name, target_module.title, target_module.notes)
