"""What a remedy is, and all that one can be made of: a Diagnosis, and the pages of the spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from archscope.checks.conflicts import Diagnosis
from archscope.errors import Span
from archscope.spec.edits import CallSite, Page, parts
from archscope.spec.model import Block, Expression, Steps
from archscope.trace import Call, Mismatch, Row

Pages = Mapping[str, Page]
"""The author's files by name; those of the standard library are not changed."""


CAUSES: Mapping[str, str] = {
    **dict.fromkeys(("in_channels", "out_channels", "groups", "num_features"), "channels"),
    **dict.fromkeys(("in_features", "out_features"), "channels"),
    **dict.fromkeys(("padding", "kernel_size", "dilation", "output_padding"), "off-by-one"),
    "stride": "stride",
}
"""Argument of a layer → the class of the cause when it is wrong."""


@dataclass(frozen=True)
class Remedy:
    """One change: what it does, to which file, and the file's text after it. cause: what was wrong if it helps."""

    description: str
    file: str
    text: str
    cause: str = ""


@dataclass(frozen=True)
class Spot:
    """A place in a page."""

    page: Page
    span: Span

    def remedy(self, description: str, text: str | None) -> Iterator[Remedy]:
        """The change, if it could be made and changes anything."""
        if text is not None and text != self.page.text:
            yield Remedy(description, self.span.file, text)


@dataclass(frozen=True)
class Case:
    """A conflict with the pages, and the signatures of layers and blocks."""

    diagnosis: Diagnosis
    pages: Pages
    signatures: Mapping[str, Sequence[str]]

    @property
    def mismatch(self) -> Mismatch:
        return self.diagnosis.mismatch

    @property
    def site(self) -> Spot | None:
        """Where the conflict stands."""
        return self.spot(self.mismatch.site.place)

    def spot(self, span: Span | None) -> Spot | None:
        page = self.pages.get(span.file) if span is not None and span.line else None
        return Spot(page, span) if page is not None and span is not None else None

    def calls(self, spot: Spot) -> list[CallSite]:
        """The calls of layers and blocks in the step at a place."""
        return spot.page.calls(spot.span, self.signatures)

    def cause_at(self, spot: Spot, offset: int) -> str:
        """The class of a cause that a change of the argument at an offset shows; empty where there is none."""
        for call in self.calls(spot):
            for name, given in call.arguments.items():
                if given.start <= offset < given.end:
                    return CAUSES.get(name, "")
        return ""

    def takes(self, layer: str, argument: str) -> bool:
        """Whether a layer or block has an argument of this name."""
        return argument in (name.rstrip("?!") for name in self.signatures.get(layer, ()))

    def uses(self, row: Row | None) -> list[Call]:
        """The calls of blocks that a row stands in, innermost first; each has the place of the block's use."""
        return self.diagnosis.index.blocks(row) if row is not None else []


def block_of(spot: Spot) -> Block | None:
    """The block whose steps a place stands in."""
    spec, line = spot.page.spec, spot.span.line
    before = [block for block in spec.blocks if block.span.line <= line]
    found = max(before, key=lambda block: block.span.line, default=None)
    net = spec.layers[0].span.line if spec.layers else 0
    return None if found is None or found.span.line < net <= line else found


def steps_around(spot: Spot) -> Steps:
    """The steps of the block, or of the net, that a place stands in."""
    holder = block_of(spot)
    return holder.layers if holder is not None else spot.page.spec.layers or ()


def expressions_around(spot: Spot) -> Iterator[Expression]:
    return (part for part in parts(steps_around(spot)) if isinstance(part, Expression))
