"""One spec that is read once, for compilations of its variants with changed texts or sizes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from archscope.analysis.run_options import RunOptions
from archscope.analysis.spec_plans import compile_library
from archscope.compile import Plan
from archscope.spec import Library
from archscope.spec.target_names import load_target, split_target, variant_targets


@dataclass
class SpecSession:
    """A loaded spec and the options of its runs. target: the file, or one variant of it."""

    target: str
    options: RunOptions
    library: Library
    _layer_cache: Any = None
    _edited: dict[tuple[str, str], Library] = field(default_factory=dict)

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
        options = self.options
        library = self.library if edit is None else self.edited_library(*edit)
        if batch is not None or input is not None:
            options = replace(options, batch=batch, input=input)
        plan = compile_library(library, target, options, strict=False, layer_cache=self._layer_cache)
        self._layer_cache = plan.layer_cache
        return plan

    def edited_library(self, file: str, text: str) -> Library:
        """Return the library with another text of one file, which alone is parsed. Raises SpecError."""
        if (file, text) not in self._edited:
            texts = {**self.library.sources, file: text}
            self._edited[file, text] = load_target(self.library.root.file, texts=texts, known=self.library)
        return self._edited[file, text]
