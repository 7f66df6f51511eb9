"""The preparation of a timing: a target, its recorded run with a CallRowMap, and the module that is timed →
PreparedTiming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archscope.api.batch_capacity import PredictMemory, refuse_large_spec
from archscope.api.given_inputs import GivenInputs
from archscope.api.spec_loading import compile_plan, split_target
from archscope.api.summaries import (
    Progress,
    device_and_dtype,
    example_inputs,
    prepare_target,
    summarize_plan,
    summarize_target,
)
from archscope.errors import ForwardError, Problem, Span, UsageError
from archscope.profiling.predicted_memory import PredictedMemory, predict_memory

if TYPE_CHECKING:
    from archscope.profiling.rows_cpu import CallRowMap
    from archscope.report import Report
    from archscope.targets import TargetModule

ShareProgress = Callable[[float], object]


@dataclass(frozen=True)
class TimingOptions:
    """The options of a measurement.

    seconds: the budget of all runs. rows: time each row. fit: search the largest batch that fits. optimizer: of a
    training step, AdamW by default.
    """

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
    ask: ShareProgress = lambda _: None

    @property
    def optimizer_name(self) -> str:
        """The optimizer's name; empty in inference."""
        return (self.optimizer or "adamw") if self.train else ""


@dataclass(frozen=True)
class PreparedTiming:
    """A module and a call of it, with the report of a recorded run. predict: returns its memory at another batch
    size; None if that cannot be predicted.
    """

    module: Any
    call: tuple[tuple[Any, ...], Mapping[str, Any]]
    report: Report
    device: str
    live: bool = False
    row_map: CallRowMap | None = None
    predict: PredictMemory | None = None


@contextmanager
def prepared_timing(
    target: Any,
    variant: str | None,
    arguments: Mapping[str, Any],
    given: GivenInputs,
    device: str,
    dtype: str | None,
    how: TimingOptions,
) -> Iterator[PreparedTiming]:
    """Yield the target, ready to be measured, with the settings applied. Raises SpecError, UsageError, ForwardError."""
    from archscope import targets
    from archscope.devices import traits_of
    from archscope.profiling.machine_state import with_settings

    place = targets.resolve_device(device)
    if how.tf32 is not None and not traits_of(place).tf32:
        raise UsageError("TF32 is for GPUs", 'device="cuda", where there is one')
    with with_settings(place, threads=how.threads, tf32=how.tf32), targets.seeded(how.seed or 0):
        if split_target(target) is None:
            with targets.target_import_path(target):
                yield _prepare_module(target, arguments, given, device, dtype, how)
        else:
            if given.has_call_arguments:
                raise UsageError("a spec's inputs are shapes, not args or kwargs", "input=(1, 3, 224, 224)")
            yield _prepare_spec(target, variant, arguments, given, place, dtype, how)


def _prepare_spec(
    target: Any,
    variant: str | None,
    arguments: Mapping[str, Any],
    given: GivenInputs,
    device: str,
    dtype: str | None,
    how: TimingOptions,
) -> PreparedTiming:
    from archscope import compile as compiler

    def planned(batch: int | None) -> Any:
        return compile_plan(
            target,
            variant=variant,
            set=arguments,
            input=given.input,
            batch=batch,
            train=how.train,
            allow_python=how.allow_python,
        )

    def recorded(plan: Any, place: str, **beside: Any) -> Report:
        own = {
            "train": how.train,
            "backward": how.train,
            "track_memory": True,
            "fused_like": fused_kernels_device(device),
            **beside,
        }
        return summarize_plan(plan, device=place, dtype=dtype, **own)

    def on_meta(plan: Any) -> PredictedMemory | None:
        return predict_memory(recorded(plan, "meta").trace, optimizer=how.optimizer_name)

    plan = planned(given.batch)
    place, kind = device_and_dtype(plan, device, dtype)
    if place != "meta":
        width = kind.itemsize if kind else 4
        refuse_large_spec(plan, place, width, train=how.train, predict=lambda: on_meta(plan))
    watch = RowMapHolder()
    report = recorded(plan, device, extra_context=watch.attach, progress=how.progress)
    module = compiler.build(plan, device=place, dtype=kind).train(how.train)
    call = tuple(example_inputs(plan, place, kind).values()), dict[str, Any]()
    predict = None if given.input is not None else lambda batch: on_meta(planned(batch))
    return PreparedTiming(module, call, report, place, row_map=watch.row_map, predict=predict)


def _prepare_module(
    target: Any, arguments: Mapping[str, Any], given: GivenInputs, device: str, dtype: str | None, how: TimingOptions
) -> PreparedTiming:
    target_module, args, kwargs = prepare_target(target, arguments, given, device, dtype)
    place = target_module.main_device
    if target_module.live and how.channels_last:
        raise UsageError("a live module is measured as it is", "model.to(memory_format=torch.channels_last) first")
    watch = RowMapHolder()

    def recorded(target_module: TargetModule, args: Any, kwargs: Any, **more: Any) -> Report:
        own = {
            "train": how.train,
            "backward": how.train,
            "track_memory": True,
            "fused_like": fused_kernels_device(place),
            **more,
        }
        return summarize_target(target_module, args, kwargs, given, **own)

    def on_meta(batch: int) -> PredictedMemory | None:
        there = prepare_target(target, arguments, replace(given, batch=batch), "meta", dtype)
        return predict_memory(recorded(*there).trace, optimizer=how.optimizer_name)

    report = recorded(target_module, args, kwargs, extra_context=watch.attach)
    if report.trace.mismatches:  # such a model does not run
        finding = next(finding for finding in report.findings if finding.level == "error")
        where = finding.place or Span(report.target, 0, 0)
        raise ForwardError(Problem(where, finding.message, "archscope check shows where the shapes differ"), report)
    predict = None if target_module.live or given.input is None or given.has_call_arguments else on_meta
    return PreparedTiming(
        target_module.module, (args, kwargs), report, place, target_module.live, watch.row_map, predict
    )


def fused_kernels_device(device: str) -> str:
    """Return the device for whose fused kernels memory is predicted: that of the measurement, or, on meta, the
    default device if it can be used.
    """
    from archscope.devices import backend_of, default_device

    if device != "meta":
        return device
    found = default_device()
    return found if backend_of(found).unopened() is None else "cpu"


class RowMapHolder:
    """Holds the CallRowMap of the last recorded run."""

    def __init__(self) -> None:
        self.row_map: CallRowMap | None = None

    def attach(self, recorder: Any) -> CallRowMap:
        from archscope.profiling.rows_cpu import CallRowMap

        self.row_map = CallRowMap(recorder)
        return self.row_map
