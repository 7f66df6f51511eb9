"""Names and their values: a chain of tables, innermost first.

labels and loop names of this list → of the enclosing lists → the block's inputs, arguments, let, modules → the file's
params and let → the file's blocks → torch.nn → functions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from archscope.compile.graph_tensor import GraphTensor
from archscope.compile.runtime_numbers import unwrap_fixed
from archscope.errors import Span
from archscope.spec.bounded_math import EvaluationError
from archscope.spec.spec_types import For, Repeat
from archscope.spec.spec_values import MISSING, LazyValue, Value


@dataclass
class Scope:
    """One table of names; `parent` is searched next.

    skipped_labels: the labels of steps that `when:` left out. later_labels: the labels of later steps, with their
    lines. loop: the loop that binds these names.
    """

    parent: Scope | None = None
    table: dict[str, Value] = field(default_factory=dict)
    skipped_labels: dict[str, tuple[Span, str]] = field(default_factory=dict)
    later_labels: Mapping[str, int] = field(default_factory=dict)
    fallback: Callable[[str], Value] = lambda name: MISSING
    fallback_names: Callable[[], Mapping[str, object]] = dict
    loop: Repeat | For | None = None

    def chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def find(self, name: str) -> Value:
        """Return the value of `name`, or MISSING. Raises EvaluationError for a label that is not visible here."""
        for scope in self.chain():
            value = scope.table.get(name, MISSING)
            if value is MISSING:
                value = scope.fallback(name)
            if value is not MISSING:
                return unwrap_fixed(value.get() if isinstance(value, LazyValue) else value)
        for scope in self.chain():
            scope._refuse_unreachable(name)
        for scope in self.chain():  # the label of a group is a better name than prev for the same value
            scope._refuse_group_label(name, "prev")
        return MISSING

    def _refuse_unreachable(self, name: str) -> None:
        if name in self.skipped_labels:
            span, condition = self.skipped_labels[name]
            raise EvaluationError(
                f"step {name!r} was left out", f"line {span.line}: its `when: {condition}` is false here"
            )
        if name in self.later_labels:
            raise EvaluationError(
                f"step {name!r} comes later, at line {self.later_labels[name]}", "a step sees what stands above it"
            )
        for label in self.table:
            if label != "prev":
                self._refuse_group_label(name, label)

    def _refuse_group_label(self, name: str, label: str) -> None:
        value = self.table.get(label)
        if isinstance(value, GraphTensor) and name in value.inner_labels:
            raise EvaluationError(f"step {name!r} is inside the group {label!r}", f"say {label}.{name}")

    def names(self) -> tuple[list[str], list[str]]:
        """Return every name that could be meant here, those of the spec and of torch."""
        own = [name for scope in self.chain() for name in scope.table]
        return [*own, "prev"], [name for scope in self.chain() for name in scope.fallback_names()]
