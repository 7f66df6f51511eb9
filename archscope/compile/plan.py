"""What a compilation gives: graphs with places, and recipes instead of weights.

    BlockPlan (one distinct use of a block: an fx.Graph, its members, its expectations) ⊂ Plan (the whole net, one
    variant)

Equal uses of a block share one BlockPlan; `assemble` makes a module of its own for each use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import fx

from archscope.compile.layers import Foundry, Recipe
from archscope.errors import Problem
from archscope.spec.model import Expected
from archscope.trace import Site


@dataclass(frozen=True)
class Raw:
    """A learned tensor written as `Parameter(…)`; `init` fills it, None means normal with a spread of 0.02."""

    shape: tuple[int, ...]
    init: float | None


@dataclass
class BlockPlan:
    """One distinct use of a block. `members` are its layers, blocks and parameters by dotted name, in order of
    construction.

    graph nodes carry in `meta`: "step" (the Site of the written step, relative path), "site" (the Site of a layer or
    block call), "shapes" (of every tensor that the node gives).
    """

    name: str
    text: str
    graph: fx.Graph
    members: dict[str, Recipe | Raw | BlockPlan] = field(default_factory=dict)
    expected: list[Expected] = field(default_factory=list)
    output: object = None  # nested meta tensors
    floating: bool = False  # whether the first input is of floating-point numbers
    steps: int = 0

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Recipe | Raw]]:
        """Every layer and parameter below, in order of construction, with its dotted name."""
        for name, member in self.members.items():
            if isinstance(member, BlockPlan):
                yield from member.walk(f"{prefix}{name}.")
            else:
                yield prefix + name, member


@dataclass(frozen=True)
class InputSpec:
    """One input of a net: shape, dtype and, for whole numbers, the half-open range they are drawn from."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    low: int = 0
    high: int = 1


@dataclass(frozen=True)
class Plan:
    """One variant of a spec, compiled: every mistake found, no memory used yet.

    parameter_count: tied ones once. largest_bytes: of the inputs and outputs of the largest single operation.
    mismatches: shapes that do not fit, which an analysis goes on after; none in a strict compilation. foundry: the
    layers that were made, for the next compilation.
    """

    name: str
    target: str
    block: BlockPlan
    inputs: tuple[InputSpec, ...]
    ties: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, Problem], ...]
    expected: tuple[Expected, ...]
    parameter_count: int
    largest_bytes: int
    top: Site
    mismatches: tuple[Problem, ...] = ()
    foundry: Foundry = field(default_factory=Foundry, compare=False, repr=False)
