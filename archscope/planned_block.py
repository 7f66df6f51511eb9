"""A compiled net as plain data without torch: its steps, with what they read and return.

    PlannedBlock (one distinct use of a block) ⊃ PlannedStep (a function, a layer, a parameter, a use of a block)

Equal uses of a block are one object, so that results for it can be shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from archscope.errors import Span
from archscope.trace import Shape


class PlannedStep(NamedTuple):
    """One node of a block's graph.

    name: the layer's class, the function's or the block's name; `input` and `parameter` for those. path: the path in
    reports, relative to its block. reads: the indexes of the steps whose values it reads, one for each operand. shapes:
    of the tensors that it returns. params: the shapes of its own parameters. arguments: its arguments, without those
    that a layer infers from its input. block: the block that it uses, if it is a use of a block.
    """

    name: str
    path: str
    place: Span | None
    reads: tuple[int, ...]
    shapes: tuple[Shape, ...]
    params: tuple[Shape, ...] = ()
    arguments: tuple[object, ...] = ()
    block: PlannedBlock | None = None


@dataclass(frozen=True, eq=False)
class PlannedBlock:
    """The steps of a block in order; the first `inputs` of them are its inputs. outputs: name → step."""

    name: str
    text: str
    steps: tuple[PlannedStep, ...] = field(repr=False)
    inputs: int
    outputs: tuple[tuple[str, int], ...]

    def walk_blocks(self) -> Iterator[tuple[PlannedStep, PlannedBlock]]:
        """Yield each use of a block (the step and its block) in this block and in the distinct blocks below it."""
        waiting, seen = [self], {id(self)}
        while waiting:
            for step in waiting.pop().steps:
                if step.block is not None:
                    yield step, step.block
                    if id(step.block) not in seen:
                        seen.add(id(step.block))
                        waiting.append(step.block)
