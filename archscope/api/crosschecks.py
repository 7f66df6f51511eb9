"""Witnesses: a target → one module and one call → ours, fvcore, torchinfo, FlopCounterMode in turn → CrossCheck."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archscope.api.runs import Given, _arguments, summarize
from archscope.api.specs import plan_of, split
from archscope.errors import UsageError

if TYPE_CHECKING:
    from archscope.compile import Plan
    from archscope.crosscheck import CrossCheck
    from archscope.report import Report
    from archscope.witnesses import Call

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Asked:
    """What is cross-checked: a module and its arguments, and what a report calls it."""

    call: Call
    target: str
    title: str
    notes: tuple[str, ...] = ()


def cross_check(
    target: Any,
    *,
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
    given = Given(input, args, kwargs, batch)
    if split(target) is None:
        asked = _of_module(target, set or {}, given, device, dtype, train, seed)
    elif given.by_call:
        raise UsageError("a spec's inputs are shapes, not args or kwargs", "input=(1, 3, 224, 224)")
    else:
        plan = plan_of(
            target, variant=variant, set=set, input=input, batch=batch, train=train, allow_python=allow_python
        )
        asked = _of_plan(plan, device, dtype, train, seed)
    return _checked(asked, progress or (lambda _: None))


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

    place, kind = targets.device_of(device), targets.dtype_of(dtype)
    width = kind.itemsize if kind else 4
    targets.refuse_too_big(plan.parameter_count * width + plan.largest_bytes, place, plan.target)
    with targets.seeded(seed):
        module = workshop.build(plan, device=place, dtype=kind, random=seed is not None).train(train)
    inputs = [
        targets.example(i.shape, kind if kind and i.dtype.is_floating_point else i.dtype, place, low=i.low, high=i.high)
        for i in plan.inputs
    ]
    title = f"{plan.name}:{plan.block.text}" if plan.block.text else plan.name
    return Asked(Call(module, tuple(inputs), train=train), plan.target, title)


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

    with targets.surroundings(target), targets.seeded(seed):
        subject = targets.subject(target, arguments, device=device, dtype=dtype)
        args, kwargs = _arguments(subject, given)
        subject = targets.initialised(subject, args, kwargs)
    call = Call(subject.module, args, kwargs, train)
    return Asked(call, subject.name, type(subject.module).__name__, subject.notes)
