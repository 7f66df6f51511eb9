"""Proposals for the arguments of blocks: one that nothing reads, one that is changed before it is passed on.

steps on the path, uses around them ─→ `stride=2` → `stride=stride` if the block does not read its `stride`
                                    ─→ `out + 1` → `out`
                                    ─→ `padding=2` → `padding=1`, as in the convolution next to it
                                    ─→ `padding=0` → `padding=kernel // 2` with a named `kernel`

These mistakes are in the definition, so an edit there is right for every use.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from archscope.conflicts.causes import CAUSE_OF_ARGUMENT
from archscope.fixes.proposals.conflict_case import (
    MAX_USE_DEPTH,
    ConflictCase,
    Proposal,
    Spot,
    enclosing_block,
    enclosing_expressions,
)
from archscope.spec.editable_spec import CallSite
from archscope.spec.name_usage import names_in, names_read
from archscope.spec.tensor_calls import SUM_OPERATORS, drop_numbers

WINDOW_ARGUMENTS = ("stride", "padding", "kernel_size", "dilation")


def propose_unread_arguments(case: ConflictCase) -> Iterator[Proposal]:
    """Propose a block's argument that nothing in it reads, for a step with an argument of that name."""
    known: dict[str, list[str]] = {}
    for spot in walk_spots(case):
        block = enclosing_block(spot)
        if block is not None and block.name not in known:
            read = names_read(block)
            known[block.name] = [argument.name for argument in block.arguments if argument.name not in read]
        for argument in known[block.name] if block is not None else ():
            for call in (call for call in case.calls(spot) if case.has_argument(call.name, argument)):
                yield from (
                    replace(proposal, evident=True) for proposal in propose_argument(spot, call, argument, argument)
                )


def propose_dropped_sums(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the name alone for a sum of a name and a number."""
    yield from propose_name_alone(case, SUM_OPERATORS)


def propose_dropped_products(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the name alone for a product of a name and a number."""
    yield from propose_name_alone(case, (ast.Mult,))


def propose_name_alone(case: ConflictCase, operations: tuple[type, ...]) -> Iterator[Proposal]:
    for spot in walk_spots(case):
        for call in case.calls(spot):
            for argument, given in call.arguments.items():
                tree = ast.parse(given.text, mode="eval").body
                for part, rest in drop_numbers(tree, operations):
                    if part is tree and names_in(part):
                        yield from propose_argument(spot, call, argument, rest)


def propose_kernel_paddings(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the padding that keeps the size, if the kernel is an argument of the block."""
    for spot in walk_spots(case):
        block = enclosing_block(spot)
        names = {argument.name for argument in block.arguments} if block is not None else set()
        for call in (call for call in case.calls(spot) if case.has_argument(call.name, "padding")):
            kernel = call.arguments.get("kernel_size")
            if kernel is not None and kernel.text in names:
                yield from propose_argument(spot, call, "padding", f"{kernel.text} // 2")


def propose_sibling_windows(case: ConflictCase) -> Iterator[Proposal]:
    """Propose the window arguments of other layers of the same class in the block, one by one."""
    for spot in (spot for spot in walk_spots(case) if enclosing_block(spot) is not None):
        for call in case.calls(spot):
            siblings = [sibling for sibling in sibling_calls(case, spot) if sibling.name == call.name]
            for argument in (name for name in WINDOW_ARGUMENTS if case.has_argument(call.name, name)):
                given = call.arguments.get(argument)
                texts = [sibling.arguments[argument].text for sibling in siblings if argument in sibling.arguments]
                for text in dict.fromkeys(text for text in texts if given is None or text != given.text):
                    yield from propose_argument(spot, call, argument, text)
                if given is not None and len(texts) < len(siblings) and argument != "kernel_size":
                    words = f"leave {argument} out in {call.name} on line {spot.span.line}"
                    for proposal in spot.proposal(words, spot.page.without_argument(call, argument)):
                        yield replace(proposal, cause=CAUSE_OF_ARGUMENT.get(argument, ""), own=True)


def sibling_calls(case: ConflictCase, spot: Spot) -> list[CallSite]:
    """Return the calls in the other steps of the block."""
    spans = [replace(part.span, file=spot.span.file) for part in enclosing_expressions(spot)]
    return [call for span in spans if span != spot.span for call in case.calls(Spot(spot.page, span))]


def walk_spots(case: ConflictCase) -> Iterator[Spot]:
    """Yield the steps of the walk and the one in conflict, then the uses of the blocks around them; each once."""
    walked = [change.row for side in case.diagnosis.sides for change in reversed(side)]
    rows = [*([case.row] if case.row is not None else []), *walked]
    around = (use.site.place for row in rows for use in case.uses(row)[:MAX_USE_DEPTH])
    places = dict.fromkeys([*(row.place for row in rows), *around])
    yield from (spot for place in places if (spot := case.spot(place)) is not None)


def propose_argument(spot: Spot, call: CallSite, argument: str, value: str) -> Iterator[Proposal]:
    """Propose a value for an argument, in terms of the block's names."""
    text = spot.page.with_argument(call, argument, value)
    for proposal in spot.proposal(f"{argument}={value} in {call.name} on line {spot.span.line}", text):
        yield replace(proposal, cause=CAUSE_OF_ARGUMENT.get(argument, ""), own=True)
