"""`TimingOptions`: the options of a measurement of time and memory."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from archscope.analysis.run_options import RunOptions
from archscope.errors import UsageError, did_you_mean
from archscope.profiling.predicted_memory import OPTIMIZERS

ShareProgress = Callable[[float], object]


@dataclass(frozen=True)
class TimingOptions:
    """The options of a measurement.

    run: those of the recorded run. seconds: the budget of all runs. rows: time each row. fit: search the largest batch
    that fits. optimizer: of a training step, AdamW by default.
    """

    run: RunOptions = field(default_factory=RunOptions)
    optimizer: str | None = None
    seconds: float = 5.0
    compile: bool = False
    channels_last: bool = False
    threads: int | None = None
    tf32: bool | None = None
    rows: bool = True
    roofline: bool = True
    fit: bool = True
    ask: ShareProgress = lambda _: None

    @property
    def optimizer_name(self) -> str:
        """The optimizer's name; empty in inference."""
        return (self.optimizer or "adamw") if self.run.train else ""

    def refuse_invalid(self) -> None:
        """Raise UsageError for an invalid value."""
        if not isinstance(self.seconds, int | float) or not 0 < self.seconds < math.inf:
            raise UsageError(f"a budget of {self.seconds!r} seconds measures nothing", "seconds=5")
        most = 16 * (os.cpu_count() or 1)
        if self.threads is not None and not (isinstance(self.threads, int) and 1 <= self.threads <= most):
            raise UsageError(f"{self.threads!r} threads on {os.cpu_count()} cores", f"from 1 to {most}")
        if self.optimizer is not None and self.optimizer not in OPTIMIZERS:
            suggestion = did_you_mean(str(self.optimizer), OPTIMIZERS) or ", ".join(OPTIMIZERS)
            raise UsageError(f"unknown optimizer {self.optimizer!r}", suggestion)
        if self.optimizer is not None and not self.run.train:
            raise UsageError("an optimizer steps in training only", "train=True")
