"""`PreparedTiming`: a module that is ready to be timed, with the report of a recorded run and its CallRowMap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from archscope import targets
from archscope.analysis.batch_capacity import PredictMemory
from archscope.analysis.timing_options import TimingOptions
from archscope.devices import backend_of, default_device, traits_of
from archscope.errors import UsageError
from archscope.profiling.machine_state import with_settings
from archscope.profiling.rows_cpu import CallRowMap
from archscope.report import Report


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
def timing_settings(how: TimingOptions) -> Iterator[str]:
    """Yield the device of a measurement; inside, its settings and its seed apply. Raises UsageError."""
    place = targets.resolve_device(how.run.device)
    if how.tf32 is not None and not traits_of(place).tf32:
        raise UsageError("TF32 is for GPUs", 'device="cuda", where there is one')
    with with_settings(place, threads=how.threads, tf32=how.tf32), targets.seeded(how.run.seed or 0):
        yield place


def fused_kernels_device(device: str) -> str:
    """Return the device for whose fused kernels memory is predicted: that of the measurement, or, on meta, the
    default device if it can be used.
    """
    if device != "meta":
        return device
    found = default_device()
    return found if backend_of(found).unopened() is None else "cpu"


class RowMapHolder:
    """Holds the CallRowMap of the last recorded run."""

    def __init__(self) -> None:
        self.row_map: CallRowMap | None = None

    def attach(self, recorder: Any) -> CallRowMap:
        self.row_map = CallRowMap(recorder)
        return self.row_map
