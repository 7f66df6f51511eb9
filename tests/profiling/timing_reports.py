"""Reports, machines and measurements constructed by hand.

net = Net(x=(1, 4)); y = net.op("relu", [net["x"]], (1, 4)); timing([3.0], net.report([y]))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from archscope.machine import Machine, MachineLoad
from archscope.profiling.measurement import Measurement, RowTimes, Samples
from archscope.profiling.roofline import TF32_DTYPE, Ceilings
from archscope.profiling.timing import Timing
from archscope.report import Report
from archscope.trace import Kernel, Operand, Shape
from tests.sketches import Sketch

MACHINE = Machine("cpu", "a processor", 4, 2**34, 2**20, "", (("torch", "2.13"),), (("threads", 4), ("tf32", False)))
CEILINGS = Ceilings(
    MACHINE,
    peaks=(("float32", 1000.0), (TF32_DTYPE, 8000.0), ("float16", None)),
    bandwidths=((1024, 100.0),),
    launch=0.25,
    measured="2026-01-01T00:00:00+00:00",
    load=MachineLoad(),
)
"""A thousand FLOP/s, a hundred bytes per second, four kernels per second."""

TF32_CEILINGS = replace(CEILINGS, machine=replace(MACHINE, settings=(("tf32", True),)))


class Net(Sketch):
    """A sketch whose rows have short names, kernels, and may be views."""

    def __init__(self, **inputs: Shape):
        super().__init__("net.yaml", **inputs)

    def op(
        self,
        short: str,
        reads: Sequence[Operand],
        *shapes: Shape,
        kernels: int = 1,
        view: bool = False,
        dtype: str = "float32",
        **more: Any,
    ) -> Operand:
        made = self.row(f"{len(self.rows)}", short, reads, *shapes, **more)
        row = self.rows[-1]
        ran = tuple(Kernel(f"aten.{short}", (), ()) for _ in range(kernels))
        outputs = tuple(value._replace(dtype=dtype) for value in row.outputs)
        self.rows[-1] = row._replace(short_name=short, kernels=ran, view=view, outputs=outputs)
        if view:
            self.costs[-1] = replace(self.costs[-1], read=0, written=0)
        return Operand(made.source, outputs[0])


def measured(
    rows: Sequence[float | None] | None,
    *,
    whole: Sequence[float] | None = (10.0,) * 4,
    backward: Sequence[float | None] = (),
    ownerless: float = 0.0,
    **more: Any,
) -> Measurement:
    """Rows and runs that took so many seconds."""
    times = None if rows is None else RowTimes(tuple(rows), tuple(backward), ownerless, 3, "by hand")
    return Measurement(MACHINE, None if whole is None else Samples(tuple(whole)), rows=times, **more)


def timing(rows: Sequence[float | None] | None, report: Report, **more: Any) -> Timing:
    """A timing of a report; what is no part of a Timing is of its measurement."""
    own = {name: more.pop(name) for name in ("ceilings", "memory", "options") if name in more}
    return Timing(report, measured(rows, **more), **own)
