"""`RunOptions`: the options of a run, as the public functions take them by keyword and pass them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archscope.analysis.given_inputs import GivenInputs
from archscope.errors import UsageError

Progress = Callable[[str], object]


@dataclass(frozen=True)
class RunOptions:
    """The options of a run, parsed; those of `archscope.summarize`.

    variant: of a spec, if the target does not name it. set: the params of a spec, or the arguments of a Python
    target. input: shapes of inputs to make, or tensors. args, kwargs: the arguments of a module's call. batch: the
    batch size. device: `auto` is the first device that is there. dtype: of weights and floating-point inputs; None
    leaves them. train: run in training mode. backward: record the backward pass too; None does so in training mode.
    seed: of torch's random numbers; without it the weights of a spec are filled with one value. allow_python: run
    the Python code that a spec names. texts: contents of a spec's files by name, in place of those on the disk.
    progress: called with messages.
    """

    variant: str | None = None
    set: Mapping[str, Any] | None = None
    input: Any = None
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    batch: int | None = None
    device: str = "auto"
    dtype: str | None = None
    train: bool = False
    backward: bool | None = None
    seed: int | None = None
    allow_python: bool = False
    texts: Mapping[str, str] | None = None
    progress: Progress | None = None

    @property
    def given(self) -> GivenInputs:
        """The inputs of the run."""
        return GivenInputs(self.input, self.args, self.kwargs, self.batch)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The params of a spec, or the arguments of a Python target; empty if none is given."""
        return self.set or {}

    @property
    def records_backward(self) -> bool:
        """True if the backward pass is recorded."""
        return self.train if self.backward is None else self.backward

    def refuse_call_arguments(self) -> None:
        """Raise UsageError if a spec is given the arguments of a call."""
        if self.given.has_call_arguments:
            raise UsageError("a spec's inputs are shapes, not args or kwargs", "input=(1, 3, 224, 224)")

    def report_progress(self, message: str) -> None:
        if self.progress is not None:
            self.progress(message)
