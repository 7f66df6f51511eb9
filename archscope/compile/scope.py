"""Names and what they mean: a chain of tables, innermost first.

labels and loop names of this list → of the enclosing lists → the block's inputs, arguments, let, modules
→ the file's params and let → the file's blocks → torch.nn → functions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from archscope.compile.numbers import known
from archscope.compile.values import Tensor
from archscope.errors import Span
from archscope.spec.model import For, Repeat
from archscope.spec.numbers import Fault
from archscope.spec.things import MISSING, UNKNOWN


@dataclass
class Lazy:
    """A name's value, worked out when it is first asked for; a name that needs itself is a Fault."""

    work: Callable[[], object]
    name: str
    value: object = MISSING
    busy: bool = False

    def get(self) -> object:
        if self.value is MISSING:
            if self.busy:
                raise Fault(f"{self.name!r} is defined by itself", "give one of the values in the circle as a number")
            self.busy = True
            try:
                value = self.work()
            finally:
                self.busy = False
            if value is UNKNOWN:  # it has been reported, and is again where it is asked for again
                return value
            self.value = value
        return self.value


@dataclass
class Scope:
    """One table of names; `parent` is asked next.

    skipped: the labels of steps that `when:` left out. later: the labels of steps still to come, with their lines.
    loop: the loop whose names these are.
    """

    parent: Scope | None = None
    table: dict[str, object] = field(default_factory=dict)
    skipped: dict[str, tuple[Span, str]] = field(default_factory=dict)
    later: Mapping[str, int] = field(default_factory=dict)
    fallback: Callable[[str], object] = lambda name: MISSING
    known: Callable[[], Mapping[str, object]] = dict
    loop: Repeat | For | None = None

    def chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def find(self, name: str) -> object:
        """The value of `name`, or MISSING. Raises Fault for a label that exists and cannot be seen from here."""
        for scope in self.chain():
            value = scope.table.get(name, MISSING)
            if value is MISSING:
                value = scope.fallback(name)
            if value is not MISSING:
                return known(value.get() if isinstance(value, Lazy) else value)
        for scope in self.chain():
            scope._refuse_hidden(name)
        for scope in self.chain():  # a group's label is the better name for what prev happens to be
            scope._refuse_inner(name, "prev")
        return MISSING

    def _refuse_hidden(self, name: str) -> None:
        if name in self.skipped:
            span, condition = self.skipped[name]
            raise Fault(f"step {name!r} was left out", f"line {span.line}: its `when: {condition}` is false here")
        if name in self.later:
            raise Fault(f"step {name!r} comes later, at line {self.later[name]}", "a step sees what stands above it")
        for label in self.table:
            if label != "prev":
                self._refuse_inner(name, label)

    def _refuse_inner(self, name: str, label: str) -> None:
        value = self.table.get(label)
        if isinstance(value, Tensor) and name in value.inner:
            raise Fault(f"step {name!r} is inside the group {label!r}", f"say {label}.{name}")

    def names(self) -> tuple[list[str], list[str]]:
        """Every name that could be meant here: those of the spec, and those of torch."""
        own = [name for scope in self.chain() for name in scope.table]
        return [*own, "prev"], [name for scope in self.chain() for name in scope.known()]
