"""The scopes of the plain interpreter: a list's labels, a block's names, a file's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archscope.spec.spec_types import DeclaredModule, Definition, Library, Spec


@dataclass(frozen=True)
class Entry:
    """The value of a label, and the labels inside it."""

    value: Any
    members: Mapping[str, Entry] = field(default_factory=dict)


class File:
    """One file with the values of its params."""

    def __init__(self, library: Library, spec: Spec, params: Mapping[str, Any]) -> None:
        self.library, self.spec, self.params = library, spec, dict(params)
        self.net: Frame | None = None

    def imported(self, name: str) -> tuple[File, str] | None:
        """Return the file that a name is imported from, and its name there."""
        for entry in self.spec.imports:
            for there, here in entry.names:
                if here == name:
                    other = self.library.files[entry.file]
                    return File(self.library, other, {p.name: p.value for p in other.params}), there.name
        return None


@dataclass
class Frame:
    """One use of a block or net: its inputs, dimensions and arguments, and its path."""

    file: File
    path: str
    names: dict[str, Any] = field(default_factory=dict)
    lets: tuple[Definition, ...] = ()
    modules: tuple[DeclaredModule, ...] = ()


@dataclass
class Scope:
    """A list of steps: its labels, its loop's names, and the list around it."""

    frame: Frame
    outer: Scope | None = None
    labels: dict[str, Entry] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)

    def inner(self, prev: Entry) -> Scope:
        return Scope(self.frame, self, {"prev": prev})

    def lookup_label(self, name: str) -> Entry:
        """Return the label in this list or an enclosing one. Raises KeyError."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.labels:
                return scope.labels[name]
            if name in scope.names:
                return Entry(scope.names[name])
            scope = scope.outer
        raise KeyError(name)
