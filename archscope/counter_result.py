"""What a witness says of a model: another tool's figures, place by place, as plain data. No torch.

CounterResult (one tool, one run)  ⊃  CountedOp (one operator or layer at one module)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CounterStatus = Literal["counted", "crashed", "unable", "missing"]


@dataclass(frozen=True)
class CountedOp:
    """What was counted at one module: `path` as `named_modules` has it, `name` of the operator or the layer's class.

    macs: as the witness gives them. weights, biases: elements of the parameters that the figure was made of, 0 where
    it was not made of parameters; pruned: of those that were left out; output: the shape they were multiplied by.
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
    """One tool's word on one model and input; a figure that it does not give is None.

    package, version: what is installed of it, the version empty where nothing is.
    granularity: what it counts, `operators` or `layers`. unknown: the operators that it met and has no formula for.
    status: `unable` where it cannot take such a call at all, `missing` where it is not installed; `error` says more.
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
