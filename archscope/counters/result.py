"""Results of other MAC counters (such as fvcore), as plain data without torch.

CounterResult (one tool, one run)  ⊃  CountedOp (one operator or layer of one module)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CounterStatus = Literal["counted", "crashed", "unable", "missing"]


@dataclass(frozen=True)
class CountedOp:
    """The count of one operator or layer of one module.

    path: as in `named_modules`. name: the operator's, or the layer's class. macs: as the tool reports them. weights,
    biases: the number of elements of the parameters that the count is made of, 0 if it is not made of parameters.
    pruned: the number of elements that were left out. output: the shape that the parameters are multiplied by.
    """

    path: str
    name: str
    macs: int = 0
    weights: int = 0
    biases: int = 0
    pruned: int = 0
    output: tuple[int, ...] = ()


@dataclass(frozen=True)
class CounterResult:
    """The counts of one tool for one model and input; None for a figure that the tool does not report.

    package, version: the installed package; the version is empty if it is not installed. granularity: what it counts,
    `operators` or `layers`. unknown: operators that it has no formula for. status: `unable` if it does not support such
    a call, `missing` if it is not installed; `error` gives the details.
    """

    counter: str
    package: str
    version: str = ""
    granularity: Literal["operators", "layers"] = "operators"
    status: CounterStatus = "counted"
    params: int | None = None
    macs: int | None = None
    seconds: float | None = None
    counts: tuple[CountedOp, ...] = ()
    unknown: tuple[CountedOp, ...] = ()
    error: str = ""
    help: str = ""
