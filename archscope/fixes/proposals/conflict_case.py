"""Proposals, and the data that they are made from: a Diagnosis and the files of the spec."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from archscope.conflicts.axis_history import AxisHistory
from archscope.conflicts.causes import CAUSE_OF_ARGUMENT, DIVISOR_ARGUMENTS
from archscope.conflicts.diagnosis import Diagnosis
from archscope.errors import Span
from archscope.spec.editable_spec import ArgumentText, CallSite, EditableSpec, iter_spec_nodes
from archscope.spec.spec_types import Block, Constant, Expression, Steps
from archscope.trace import Call, Mismatch, Row

Pages = Mapping[str, EditableSpec]
"""The author's files by name; those of the standard library are not changed."""


MAX_USE_DEPTH = 4
"""The depth of nested uses of blocks through which a name is followed."""


@dataclass(frozen=True)
class Proposal:
    """One change: its description, the file, and the file's text after it.

    cause: the class of the cause if it helps. several: it edits several places, such as a block and a use of it.
    conditional: it changes the condition of the operation in conflict. own: it is right for every use of the block that
    it edits, such as passing on the block's own argument. evident: it corrects a mistake whatever the sizes are: an
    argument that the block does not read, a concat of one value. guess: only its effect suggests it.
    """

    description: str
    file: str
    text: str
    cause: str = ""
    several: bool = False
    conditional: bool = False
    own: bool = False
    evident: bool = False
    guess: bool = False


@dataclass(frozen=True)
class Spot:
    """A place in a file."""

    page: EditableSpec
    span: Span

    def proposal(self, description: str, text: str | None) -> Iterator[Proposal]:
        """Yield the change, if it could be made and changes anything."""
        if text is not None and text != self.page.text:
            yield Proposal(description, self.span.file, self.page.quoted(text))


@dataclass(frozen=True)
class ConflictCase:
    """A conflict with the files of the spec, and the signatures of layers and blocks."""

    diagnosis: Diagnosis
    pages: Pages
    signatures: Mapping[str, Sequence[str]]
    known_calls: dict[Span, list[CallSite]] = field(default_factory=dict, compare=False)

    @property
    def mismatch(self) -> Mismatch:
        return self.diagnosis.mismatch

    @cached_property
    def history(self) -> AxisHistory:
        return AxisHistory(self.diagnosis.index)

    @property
    def site(self) -> Spot | None:
        """The place of the conflict."""
        return self.spot(self.mismatch.site.place)

    def spot(self, span: Span | None) -> Spot | None:
        page = self.pages.get(span.file) if span is not None and span.line else None
        return Spot(page, span) if page is not None and span is not None else None

    @property
    def is_divisor_conflict(self) -> bool:
        """True if a number does not divide what it should: groups, heads."""
        return self.mismatch.wrong_argument is not None and self.mismatch.wrong_argument.argument in DIVISOR_ARGUMENTS

    @property
    def row(self) -> Row | None:
        """The row of the operation in conflict; None if there is none."""
        rows, own = self.diagnosis.index.trace.rows, self.mismatch.row
        return rows[own] if 0 <= own < len(rows) else None

    def names_for_size(self, size: int) -> list[str]:
        """Return the names for a size at the conflict: arguments of its block, the batch."""
        inputs = self.diagnosis.index.trace.inputs
        found = ["N"] if inputs and inputs[0].value.shape[:1] == (size,) else []
        spot, uses = self.site, self.uses(self.row)
        block = enclosing_block(spot) if spot is not None else None
        there = self.spot(uses[0].site.place) if uses else None
        for call in (
            self.calls(there) if there is not None and block is not None and block.name == uses[0].site.name else ()
        ):
            found += [name for name, given in call.arguments.items() if size in self.possible_values(given.text)]
        return found

    def possible_values(self, text: str) -> set[int]:
        """Return the possible values of an argument's text: a number, or the values of a param."""
        if text.isdecimal():
            return {int(text)}
        specs = [page.spec for page in self.pages.values()]
        settings = [
            s for spec in specs for s in (*spec.params, *(v for variant in spec.variants for v in variant.settings))
        ]
        constants = (s.value for s in settings if s.name == text and isinstance(s.value, Constant))
        return {constant.value for constant in constants if isinstance(constant.value, int)}

    def calls(self, spot: Spot) -> list[CallSite]:
        """Return the calls of layers and blocks in the step at a place."""
        if spot.span not in self.known_calls:
            self.known_calls[spot.span] = spot.page.calls(spot.span, self.signatures)
        return self.known_calls[spot.span]

    def cause_at(self, spot: Spot, offset: int) -> str:
        """Return the class of a cause for a change of the argument at an offset; "" if there is none."""
        for call in self.calls(spot):
            for name, given in call.arguments.items():
                if given.start <= offset < given.end:
                    return CAUSE_OF_ARGUMENT.get(name, "")
        return ""

    def has_argument(self, layer: str, argument: str) -> bool:
        """Return whether a layer or block has an argument of this name."""
        return argument in (name.rstrip("?!") for name in self.signatures.get(layer, ()))

    def uses(self, row: Row | None) -> list[Call]:
        """Return the calls of blocks that contain a row, innermost first; each has the place of the block's use."""
        return self.diagnosis.index.blocks(row) if row is not None else []


def argument_node(spot: Spot, whole: Expression, given: ArgumentText) -> ast.AST:
    """Return the node of an expression that is an argument's value."""
    nodes = (node for node in ast.walk(whole.tree) if isinstance(node, ast.expr))
    return next(node for node in nodes if spot.page.segment(whole, node) == (given.start, given.end))


def enclosing_block(spot: Spot) -> Block | None:
    """Return the block whose steps contain a place."""
    return spot.page.block_at(spot.span.line)


def enclosing_steps(spot: Spot) -> Steps:
    """Return the steps of the block, or of the net, that contain a place."""
    holder = enclosing_block(spot)
    return holder.layers if holder is not None else spot.page.spec.layers or ()


def enclosing_expressions(spot: Spot) -> Iterator[Expression]:
    return (part for part in iter_spec_nodes(enclosing_steps(spot)) if isinstance(part, Expression))
