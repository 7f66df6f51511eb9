"""Witnesses: a target → one module and one call → ours, fvcore, torchinfo, FlopCounterMode in turn → CrossCheck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archscope.api.given_inputs import Given
from archscope.api.keywords import one_input, told
from archscope.api.requests import with_request
from archscope.api.runs import Progress, examples, room_for, subject_of, summarize, title_of
from archscope.api.specs import plan_of, split
from archscope.errors import UsageError

if TYPE_CHECKING:
    from archscope.compile import Plan
    from archscope.crosscheck import CrossCheck
    from archscope.report import Report
    from archscope.witnesses import Call


@dataclass(frozen=True)
class Asked:
    """What is cross-checked: a module and its arguments, and what a report calls it."""

    call: Call
    target: str
    title: str
    notes: tuple[str, ...] = ()


@told()
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
    input = one_input(inputs, input)
    given, tell = Given(input, args, kwargs, batch), progress or (lambda _: None)
    asked = {"set": set, "input": input, "args": args, "kwargs": kwargs, "batch": batch, "device": device}
    asked |= {"dtype": dtype, "train": train, "backward": False, "seed": seed, "allow_python": allow_python}
    if split(target) is None:
        from archscope import targets

        with targets.surroundings(target):
            found = _checked(_of_module(target, set or {}, given, device, dtype, train, seed), tell)
        return replace(found, report=with_request(found.report, target, asked))
    if given.by_call:
        raise UsageError("a spec's inputs are shapes, not args or kwargs", "input=(1, 3, 224, 224)")
    plan = plan_of(target, variant=variant, set=set, input=input, batch=batch, train=train, allow_python=allow_python)
    found = _checked(_of_plan(plan, device, dtype, train, seed), tell)
    return replace(found, report=with_request(found.report, target, asked))


def _checked(asked: Asked, tell: Progress) -> CrossCheck:
    from archscope import witnesses
    from archscope.crosscheck import cross_check as weighed
    from archscope.render import views

    call = asked.call
    witnesses.ready(call)
    _summarized(witnesses.nothing())
    tell(f"{asked.target}: archscope")
    report, seconds = _summarized(call.copied())
    trace = replace(report.trace, target=asked.target, notes=tuple(dict.fromkeys((*asked.notes, *report.trace.notes))))
    report = replace(report, trace=trace, title=asked.title)
    modules = [path for path, _ in call.model.named_modules()]
    heard = witnesses.hear_all(call, tell=lambda name: tell(f"{asked.target}: {name}"))
    return weighed(report, seconds, heard, modules, views=views.CROSS_CHECK)


def _summarized(call: Call) -> tuple[Report, float]:
    """Our report, and how long it took. What the author's forward sets on the model does not stay."""
    from archscope import witnesses

    with witnesses.isolated(call.model, train=call.train):
        return witnesses.timed(
            lambda: summarize(call.model, args=call.args, kwargs=call.kwargs, train=call.train, backward=False)
        )


def _of_plan(plan: Plan, device: str, dtype: str | None, train: bool, seed: int | None) -> Asked:
    from archscope import compile as workshop
    from archscope import targets
    from archscope.witnesses import Call

    place, kind = room_for(plan, device, dtype)
    with targets.seeded(seed):
        module = workshop.build(plan, device=place, dtype=kind, random=seed is not None).train(train)
    inputs = examples(plan, place, kind)
    return Asked(Call(module, tuple(inputs.values()), train=train), plan.target, title_of(plan))


def _of_module(
    target: Any,
    arguments: Mapping[str, Any],
    given: Given,
    device: str,
    dtype: str | None,
    train: bool,
    seed: int | None,
) -> Asked:
    from archscope import targets
    from archscope.witnesses import Call

    with targets.seeded(seed):
        subject, args, kwargs = subject_of(target, arguments, given, device, dtype)
    call = Call(subject.module, args, kwargs, train)
    return Asked(call, subject.name, subject.title, subject.notes)
