"""Runs of a compiled net in which each distinct block runs once, for the cost of nets with many equal blocks.

Plan → layers of each distinct BlockPlan → its steps run once; an equal use returns empty values of the same shapes
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from archscope.compile.interpreter import GraphInterpreter, RunWatcher
from archscope.compile.net_building import build_block_layers
from archscope.compile.plan import BlockPlan, Plan, block_calls


@dataclass
class DistinctInterpreter(GraphInterpreter):
    """Runs each distinct block once. modules: the layers of each, by the id of its plan. called_blocks: the ids of
    the used blocks, in the order of their calls."""

    modules: Mapping[int, nn.Module] = field(default_factory=dict)
    called_blocks: list[int] = field(default_factory=list)
    ran_blocks: set[int] = field(default_factory=set)

    def run(self, plan: BlockPlan, module: nn.Module, inputs: tuple, prefix: str = "") -> Any:
        self.called_blocks.append(id(plan))
        if id(plan) in self.ran_blocks:
            return zeros_like_output(plan.output, inputs[0])
        self.ran_blocks.add(id(plan))
        return super().run(plan, self.modules[id(plan)], inputs, prefix)


def zeros_like_output(output: object, like: torch.Tensor) -> Any:
    """Return values with the shapes of a block's output."""
    if isinstance(output, torch.Tensor):
        return like.new_zeros(output.shape, dtype=output.dtype)
    if isinstance(output, Mapping):
        return {name: zeros_like_output(part, like) for name, part in output.items()}
    return (
        type(output)(zeros_like_output(part, like) for part in output) if isinstance(output, (tuple, list)) else output
    )


@dataclass(frozen=True)
class DistinctNet:
    """A plan's distinct blocks, in no order, with their layers on the meta device."""

    plan: Plan
    blocks: tuple[BlockPlan, ...]
    modules: Mapping[int, nn.Module]

    def run(self, inputs: tuple, watcher: RunWatcher) -> tuple[Any, list[int]]:
        """Run each distinct block once; return the output and the ids of the blocks in the order of their calls."""
        drive = DistinctInterpreter(watcher, modules=self.modules)
        watcher.enter(self.plan.top)
        output = drive.run(self.plan.block, self.modules[id(self.plan.block)], inputs)
        watcher.leave()
        return output, drive.called_blocks


def build_distinct_net(plan: Plan, *, dtype: torch.dtype | None = None, train: bool = False) -> DistinctNet:
    """Return the plan's distinct blocks with layers on the meta device."""
    blocks = {id(block): block for block in (plan.block, *blocks_below(plan.block))}
    modules = {key: build_block_layers(block, device="meta", dtype=dtype).train(train) for key, block in blocks.items()}
    return DistinctNet(plan, tuple(blocks.values()), modules)


def has_uneven_loops(block: BlockPlan) -> bool:
    """Return whether some loop in a block has turns of different sizes, so that one cannot stand for all."""
    return any(is_graph_uneven(inner.graph) for inner in (block, *blocks_below(block)))


def blocks_below(block: BlockPlan) -> Iterator[BlockPlan]:
    """Return the distinct blocks below a block, each once."""
    seen, waiting = {id(block)}, [block]
    while waiting:
        for _, inner in block_calls(waiting.pop()):
            if id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)
                yield inner


def is_graph_uneven(graph: fx.Graph) -> bool:
    loops = [node.meta["loop"] for node in graph.nodes if "loop" in node.meta]
    return any(not loop.is_even or is_graph_uneven(loop.turn.graph) for loop in loops)


def count_block_uses(block: BlockPlan) -> list[tuple[BlockPlan, int]]:
    """Return the blocks that a block calls, each with the number of its calls."""
    called = [inner for _, inner in block_calls(block)]
    counts = Counter(map(id, called))
    return [(inner, counts[id(inner)]) for inner in {id(inner): inner for inner in called}.values()]


def block_at(block: BlockPlan, path: str) -> BlockPlan | None:
    """Return the block that is used at a path; None if there is none."""
    if not path:
        return block
    for site, inner in block_calls(block):
        if path == site or path.startswith(f"{site}."):
            return block_at(inner, path[len(site) + 1 :])
    return None
