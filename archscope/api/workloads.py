"""What is to be timed: a target → its recorded run, with a Tally beside it → Prepared (a module, a call, a report).

spec: plan → report (driven) → built module          Python: subject → report → the same module
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archscope.api.capacity import Predict, refuse_by_prediction
from archscope.api.given_inputs import Given
from archscope.api.runs import Progress, examples, room_for, subject_of, summarize_plan, summarize_subject
from archscope.api.specs import plan_of, split
from archscope.errors import ForwardError, Problem, Span, UsageError
from archscope.liveness import Memory, memory_of

if TYPE_CHECKING:
    from archscope.measure import Tally
    from archscope.report import Report
    from archscope.targets import Subject

Ask = Callable[[float], object]


@dataclass(frozen=True)
class Wanted:
    """How a target is to be measured. seconds: the budget of the rounds of runs. rows: each row's time as well. fit:
    the largest batch that fits. optimizer: of a step, AdamW where none is named."""

    train: bool = False
    optimizer: str | None = None
    seconds: float = 5.0
    compile: bool = False
    channels_last: bool = False
    threads: int | None = None
    tf32: bool | None = None
    rows: bool = True
    roofline: bool = True
    fit: bool = True
    seed: int | None = None
    allow_python: bool = False
    progress: Progress | None = None
    ask: Ask = lambda _: None

    @property
    def stepping(self) -> str:
        """The optimizer's name; empty in inference."""
        return (self.optimizer or "adamw") if self.train else ""


@dataclass(frozen=True)
class Prepared:
    """A module and a call of it, with the report of a recorded run. predict: its memory at another batch size, where
    that can be told."""

    module: Any
    call: tuple[tuple[Any, ...], Mapping[str, Any]]
    report: Report
    device: str
    live: bool = False
    tally: Tally | None = None
    predict: Predict | None = None


@contextmanager
def prepared(
    target: Any,
    variant: str | None,
    arguments: Mapping[str, Any],
    given: Given,
    device: str,
    dtype: str | None,
    how: Wanted,
) -> Iterator[Prepared]:
    """The target, ready to be measured, under the settings wanted. Raises SpecError, UsageError, ForwardError."""
    from archscope import targets
    from archscope.backends import traits_of
    from archscope.measure import with_settings

    place = targets.device_of(device)
    if how.tf32 is not None and not traits_of(place).tf32:
        raise UsageError("TF32 is for GPUs", 'device="cuda", where there is one')
    with with_settings(place, threads=how.threads, tf32=how.tf32), targets.seeded(how.seed or 0):
        if split(target) is None:
            with targets.surroundings(target):
                yield _of_module(target, arguments, given, device, dtype, how)
        else:
            if given.by_call:
                raise UsageError("a spec's inputs are shapes, not args or kwargs", "input=(1, 3, 224, 224)")
            yield _of_spec(target, variant, arguments, given, place, dtype, how)


def _of_spec(
    target: Any,
    variant: str | None,
    arguments: Mapping[str, Any],
    given: Given,
    device: str,
    dtype: str | None,
    how: Wanted,
) -> Prepared:
    from archscope import compile as workshop

    def planned(batch: int | None) -> Any:
        return plan_of(
            target,
            variant=variant,
            set=arguments,
            input=given.input,
            batch=batch,
            train=how.train,
            allow_python=how.allow_python,
        )

    def recorded(plan: Any, place: str, **beside: Any) -> Report:
        own = {"train": how.train, "backward": how.train, "lives": True, "like": fusing(device), **beside}
        return summarize_plan(plan, device=place, dtype=dtype, **own)

    def on_meta(plan: Any) -> Memory | None:
        return memory_of(recorded(plan, "meta").trace, optimizer=how.stepping)

    plan = planned(given.batch)
    place, kind = room_for(plan, device, dtype)
    if place != "meta":
        width = kind.itemsize if kind else 4
        refuse_by_prediction(plan, place, width, train=how.train, predict=lambda: on_meta(plan))
    watch = Watch()
    report = recorded(plan, device, beside=watch.over, tell=how.progress)
    module = workshop.build(plan, device=place, dtype=kind).train(how.train)
    call = tuple(examples(plan, place, kind).values()), dict[str, Any]()
    predict = None if given.input is not None else lambda batch: on_meta(planned(batch))
    return Prepared(module, call, report, place, tally=watch.tally, predict=predict)


def _of_module(
    target: Any, arguments: Mapping[str, Any], given: Given, device: str, dtype: str | None, how: Wanted
) -> Prepared:
    subject, args, kwargs = subject_of(target, arguments, given, device, dtype)
    place = subject.working_on
    if subject.live and how.channels_last:
        raise UsageError("a live module is measured as it is", "model.to(memory_format=torch.channels_last) first")
    watch = Watch()

    def recorded(subject: Subject, args: Any, kwargs: Any, **beside: Any) -> Report:
        own = {"train": how.train, "backward": how.train, "lives": True, "like": fusing(place), **beside}
        return summarize_subject(subject, args, kwargs, given, **own)

    def on_meta(batch: int) -> Memory | None:
        there = subject_of(target, arguments, replace(given, batch=batch), "meta", dtype)
        return memory_of(recorded(*there).trace, optimizer=how.stepping)

    report = recorded(subject, args, kwargs, beside=watch.over)
    _refuse_misfits(report)
    predict = None if subject.live or given.input is None or given.by_call else on_meta
    return Prepared(subject.module, (args, kwargs), report, place, subject.live, watch.tally, predict)


def fusing(device: str) -> str:
    """The device whose fused kernels memory on meta is predicted for: that which is measured, else the one at hand, if
    it can be asked."""
    from archscope.backends import automatic, backend_of

    if device != "meta":
        return device
    found = automatic()
    return found if backend_of(found).unopened() is None else "cpu"


class Watch:
    """Keeps the Tally of the last recorded run."""

    def __init__(self) -> None:
        self.tally: Tally | None = None

    def over(self, recorder: Any) -> Tally:
        from archscope.measure import Tally

        self.tally = Tally(recorder)
        return self.tally


def _refuse_misfits(report: Report) -> None:
    """Raises ForwardError where operands do not fit: such a model does not run."""
    if report.trace.mismatches:
        finding = next(finding for finding in report.findings if finding.level == "error")
        where = finding.place or Span(report.target, 0, 0)
        raise ForwardError(Problem(where, finding.message, "archscope check shows where the shapes part"), report)
