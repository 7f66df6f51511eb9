"""`RunOptions`: the options of a run, as the public functions take them by keyword and pass them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Number
from typing import Any

from archscope import units
from archscope.errors import UsageError
from archscope.report.request import is_input_shape


@dataclass(frozen=True)
class GivenInputs:
    """The inputs of a module as its user gave them: inputs to make, the arguments of the call, or both."""

    input: Any = None
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    batch: int | None = None

    @property
    def has_call_arguments(self) -> bool:
        return self.args is not None or self.kwargs is not None

    @property
    def is_one_shape(self) -> bool:
        """True if there is exactly one input, and it is given by a shape."""
        return not self.has_call_arguments and is_input_shape(self._single_input)

    @property
    def _single_input(self) -> Any:
        """The one input without its name; None if there are several."""
        if not isinstance(self.input, Mapping) or is_input_shape(self.input):
            return self.input
        return next(iter(self.input.values())) if len(self.input) == 1 else None

    def with_batch_axis(self) -> GivenInputs:
        """Return the inputs with the batch size, or 1, as another axis before those of the one shape."""
        single, batch = self._single_input, self.batch or 1
        if isinstance(single, Mapping):
            whole: Any = {**single, "shape": (batch, *single["shape"])}
        else:
            named = isinstance(units.torch_name(single[0]), str)
            whole = (single[0], (batch, *single[1]), *single[2:]) if named else (batch, *single)
        given = whole if single is self.input else dict.fromkeys(self.input, whole)
        return replace(self, input=given, batch=None)

    @property
    def is_empty(self) -> bool:
        return self.input is None and not self.has_call_arguments


def as_shapes(given: Any) -> Any:
    """Return inputs of a spec with tensors and arrays replaced by (dtype, shape), since a spec reads no values.

    Floating-point arrays get the dtype of the spec's input, as they get that of a module's weights.
    """
    if isinstance(given, Mapping):
        return {name: as_shapes(value) for name, value in given.items()}
    if type(given) in (list, tuple):
        return type(given)(as_shapes(value) for value in given)
    if not all(hasattr(type(given), name) for name in ("shape", "dtype")) or isinstance(given, Number):
        return units.torch_name(given)
    kind, shape = units.torch_name(given.dtype), tuple(int(size) for size in given.shape)
    of_array = not isinstance(kind, str)
    kind = str(kind) if of_array else kind
    return shape if of_array and kind.startswith("float") else (kind, shape)


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
