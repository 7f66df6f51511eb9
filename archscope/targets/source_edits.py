"""Edits of the author's source: pieces of a file replaced, with a description.

EditBuilder(file, call, function) ─ replace_node, add_argument ─→ SourceEdit: the piece, the edited text, a description
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from archscope.targets.source_files import SourceFile
from archscope.targets.target_rebuilder import SourceCall

TextEdit = tuple[int, int, str]
"""A replaced piece of a text: start offset, end offset, new text."""


@dataclass(frozen=True)
class SourceEdit:
    """Replaced pieces of a file. call: the call or statement that is changed. words: a description of the new code.

    enclosing: the function that contains it. own: it removes a number that an expression adds, or passes a parameter of
    the function on, which is right wherever the function is called. guess: it is supported only by its effect.
    argument: the layer's argument that the edit changes. cause: what was wrong, by its class, if the edit helps; "" if
    it shows nothing.
    """

    file: SourceFile
    pieces: tuple[TextEdit, ...]
    call: ast.expr | ast.stmt
    enclosing: ast.FunctionDef | None
    words: str
    own: bool = False
    guess: bool = False
    argument: str = ""
    cause: str = ""

    @property
    def text(self) -> str:
        changed = self.file.text
        for start, end, new in sorted(self.pieces, reverse=True):
            changed = changed[:start] + new + changed[end:]
        return changed

    @property
    def is_other_value(self) -> bool:
        """True if the edit only replaces one value by another, supported only by its effect."""
        return self.guess and self.cause == "source"

    @property
    def function(self) -> str:
        return self.enclosing.name if self.enclosing is not None else ""

    @property
    def call_text(self) -> str:
        """The call as written, on one line."""
        text = ast.get_source_segment(self.file.text, self.call) or ""
        return ast.unparse(self.call) if "#" in text else " ".join(text.split())

    @property
    def is_sound(self) -> bool:
        """True if its text can be parsed, and the function reads every parameter that it read before."""
        try:
            before, after = (unread_parameters(text, self.function) for text in (self.file.text, self.text))
        except (SyntaxError, ValueError):
            return False
        return not after - before


def combine_edits(edits: Sequence[SourceEdit]) -> Iterator[SourceEdit]:
    """Yield several edits of one function as one edit, with the properties of the first."""
    if len(edits) > 1:
        pieces = tuple(dict.fromkeys(piece for edit in edits for piece in edit.pieces))
        words = f"{edits[0].words}, and in {len(edits) - 1} more call{'s' * (len(edits) > 2)}"
        yield replace(edits[0], pieces=pieces, words=words)


@dataclass(frozen=True)
class EditBuilder:
    """A builder of edits of one call or statement."""

    file: SourceFile
    call: ast.expr | ast.stmt
    function: ast.FunctionDef | None

    def replace_node(self, node: ast.expr, new: str, name: str, *, own: bool = False) -> Iterator[SourceEdit]:
        start, end = self.file.range(node)
        if self.file.text[start:end] != new:
            words = f"{name}={new}" if name else f"{new} for {' '.join(self.file.text[start:end].split())}"
            yield self.edit(start, end, new, words, own=own)

    def add_argument(self, name: str, value: str, *, own: bool = False) -> Iterator[SourceEdit]:
        """Yield the edit that adds an argument at the end of the call, after a comment there."""
        assert isinstance(self.call, ast.Call)
        values = [*self.call.args, *(keyword.value for keyword in self.call.keywords)]
        end = self.file.range(self.call)[1] - 1
        last = max((self.file.range(node)[1] for node in values), default=end)
        if any(keyword.arg is None for keyword in self.call.keywords):
            return
        between = self.file.text[last:end]
        at = last if "#" in between else last + len(between.rstrip())
        comma = "" if not values else " " if self.file.text[:at].endswith(",") else ", "
        yield self.edit(at, at, f"{comma}{name}={value}", f"{name}={value}", own=own)

    def edit(self, start: int, end: int, new: str, words: str, *, own: bool = False) -> SourceEdit:
        return SourceEdit(self.file, ((start, end, new),), self.call, self.function, words, own)


def edit_builder(place: SourceCall) -> EditBuilder:
    return EditBuilder(place.file, place.node, place.function)


# ------------------------------------------------------------ expressions
def unread_parameters(text: str, name: str) -> set[tuple[int, str]]:
    """Return the parameters that functions of this name do not read, each with the number of its function
    in the file.
    """
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name == name]
    read = [{node.id for node in ast.walk(function) if isinstance(node, ast.Name)} for function in nodes]
    pairs = enumerate(zip(nodes, read, strict=True))
    return {
        (number, one) for number, (function, names) in pairs for one in parameter_names(function) if one not in names
    }


def parameter_names(function: ast.FunctionDef) -> list[str]:
    """Return a function's parameters, positional and keyword ones, without `self` or `cls`."""
    given = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    own = given[:1] if given[:1] in (["self"], ["cls"]) else []
    return given[len(own) :] + [argument.arg for argument in function.args.kwonlyargs]
