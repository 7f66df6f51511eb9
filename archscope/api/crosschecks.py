"""Witnesses: a target → one module and one call → ours, fvcore, torchinfo, FlopCounterMode in turn → CrossCheck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archscope.api.given_inputs import GivenInputs
from archscope.api.keyword_checks import merge_inputs, validate_keywords
from archscope.api.requests import with_request
from archscope.api.specs import compile_plan, split_target
from archscope.api.summaries import Progress, device_and_dtype, example_inputs, plan_title, prepare_target, summarize
from archscope.errors import UsageError

if TYPE_CHECKING:
    from archscope.compile import Plan
    from archscope.counters import ModelCall
    from archscope.crosscheck import CrossCheck
    from archscope.report import Report


@dataclass(frozen=True)
class CrossCheckTarget:
    """What is cross-checked: a module and its arguments, and what a report calls it."""

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
    """fvcore, torchinfo and torch's FlopCounterMode beside us on one module and input, each difference with its causes.

    Options are those of `summarize`. A spec is built as a module, which all of them run, we too. A witness that is
    not installed or crashes says so in its place. Raises SpecError, UsageError, ForwardError.
    """
    input = merge_inputs(inputs, input)
    given, tell = GivenInputs(input, args, kwargs, batch), progress or (lambda _: None)
    asked = {"set": set, "input": input, "args": args, "kwargs": kwargs, "batch": batch, "device": device}
    asked |= {"dtype": dtype, "train": train, "backward": False, "seed": seed, "allow_python": allow_python}
    if split_target(target) is None:
        from archscope import targets

        with targets.target_import_path(target):
            found = _run_cross_check(_target_of_module(target, set or {}, given, device, dtype, train, seed), tell)
        return replace(found, report=with_request(found.report, target, asked))
    if given.has_call_arguments:
        raise UsageError("a spec's inputs are shapes, not args or kwargs", "input=(1, 3, 224, 224)")
    plan = compile_plan(
        target, variant=variant, set=set, input=input, batch=batch, train=train, allow_python=allow_python
    )
    found = _run_cross_check(_target_of_plan(plan, device, dtype, train, seed), tell)
    return replace(found, report=with_request(found.report, target, asked))


def _run_cross_check(asked: CrossCheckTarget, tell: Progress) -> CrossCheck:
    from archscope import counters
    from archscope.crosscheck import cross_check as weighed
    from archscope.render import views

    call = asked.call
    counters.warm_up_torch(call)
    _summarize_call(counters.identity_call())
    tell(f"{asked.target}: archscope")
    report, seconds = _summarize_call(call.copy())
    trace = replace(report.trace, target=asked.target, notes=tuple(dict.fromkeys((*asked.notes, *report.trace.notes))))
    report = replace(report, trace=trace, title=asked.title)
    modules = [path for path, _ in call.model.named_modules()]
    heard = counters.run_counters(call, on_counter=lambda name: tell(f"{asked.target}: {name}"))
    return weighed(report, seconds, heard, modules, views=views.CROSS_CHECK_VIEWS)


def _summarize_call(call: ModelCall) -> tuple[Report, float]:
    """Our report, and how long it took. What the author's forward sets on the model does not stay."""
    from archscope import counters

    with counters.isolated(call.model, train=call.train):
        return counters.time_work(
            lambda: summarize(call.model, args=call.args, kwargs=call.kwargs, train=call.train, backward=False)
        )


def _target_of_plan(plan: Plan, device: str, dtype: str | None, train: bool, seed: int | None) -> CrossCheckTarget:
    from archscope import compile as workshop
    from archscope import targets
    from archscope.counters import ModelCall

    place, kind = device_and_dtype(plan, device, dtype)
    with targets.seeded(seed):
        module = workshop.build(plan, device=place, dtype=kind, random=seed is not None).train(train)
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
    from archscope.counters import ModelCall

    with targets.seeded(seed):
        subject, args, kwargs = prepare_target(target, arguments, given, device, dtype)
    call = ModelCall(subject.module, args, kwargs, train)
    return CrossCheckTarget(call, subject.name, subject.title, subject.notes)
