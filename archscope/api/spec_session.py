"""One spec that is read once, for compilations of its variants with changed texts or sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from archscope.api.spec_loading import compile_library, load, split_target, variant_targets
from archscope.spec import Library

if TYPE_CHECKING:
    from archscope.compile import Plan

COMPILE_OPTIONS = ("variant", "set", "input", "batch", "train", "allow_python")
"""The options of a run that its compilation depends on."""


@dataclass
class SpecSession:
    """A spec and the options of its runs. target: the file, or one variant of it.

    Raises SpecError if the spec cannot be read.
    """

    target: str
    options: Mapping[str, Any]
    library: Library = field(init=False)
    _layer_cache: Any = None
    _edited: dict[tuple[str, str], Library] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = split_target(self.target)
        assert parts is not None
        self.library = load(parts[0], texts=self.options.get("texts"))

    @cached_property
    def all_targets(self) -> list[str]:
        """The targets of all variants of the file."""
        return variant_targets(self.library)

    @cached_property
    def targets(self) -> list[str]:
        """The variant that the target names, or all variants of the file; empty for a library of blocks."""
        parts = split_target(self.target)
        return [self.target] if parts is not None and parts[1] else self.all_targets

    def plan(
        self, target: str, *, edit: tuple[str, str] | None = None, batch: int | None = None, input: Any = None
    ) -> Plan:
        """Return one variant, compiled for an analysis. Raises SpecError, UsageError.

        edit: a file and the text that replaces its content. batch, input: sizes in place of those of the options, as
        for `summarize`.
        """
        options = {name: value for name, value in self.options.items() if name in COMPILE_OPTIONS}
        library = self.library if edit is None else self.edited_library(*edit)
        if batch is not None or input is not None:
            options |= {"batch": batch, "input": input}
        plan = compile_library(library, target, strict=False, layer_cache=self._layer_cache, **options)
        self._layer_cache = plan.layer_cache
        return plan

    def edited_library(self, file: str, text: str) -> Library:
        """Return the library with another text of one file, which alone is parsed. Raises SpecError."""
        if (file, text) not in self._edited:
            texts = {**self.library.sources, file: text}
            self._edited[file, text] = load(self.library.root.file, texts=texts, known=self.library)
        return self._edited[file, text]
