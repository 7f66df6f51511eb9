"""What a module is called with, as its user says it: Given → whether that is one shape, and the same in a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archscope import units
from archscope.report.request import is_made_of


@dataclass(frozen=True)
class Given:
    """What a module is called with, as its user says it: inputs to make, the arguments themselves, or both."""

    input: Any = None
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    batch: int | None = None

    @property
    def by_call(self) -> bool:
        return self.args is not None or self.kwargs is not None

    @property
    def is_one_shape(self) -> bool:
        """Whether there is one input, and it is made of a shape."""
        return not self.by_call and is_made_of(self._one)

    @property
    def _one(self) -> Any:
        """What the one input is made of, without its name."""
        if not isinstance(self.input, Mapping) or is_made_of(self.input):
            return self.input
        return next(iter(self.input.values())) if len(self.input) == 1 else None

    def in_a_batch(self) -> Given:
        """The same with the batch, else 1, as another size before those of the one shape."""
        one, batch = self._one, self.batch or 1
        if isinstance(one, Mapping):
            whole: Any = {**one, "shape": (batch, *one["shape"])}
        else:
            named = isinstance(units.torch_name(one[0]), str)
            whole = (one[0], (batch, *one[1]), *one[2:]) if named else (batch, *one)
        given = whole if one is self.input else dict.fromkeys(self.input, whole)
        return replace(self, input=given, batch=None)

    @property
    def is_made(self) -> bool:
        """Whether every tensor among the inputs is made of a shape."""
        from archscope.targets import is_given

        return not is_given([self.input, self.args, self.kwargs])

    @property
    def nothing(self) -> bool:
        return self.input is None and not self.by_call
