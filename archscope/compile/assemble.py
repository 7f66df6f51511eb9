"""A Plan made real: every recipe built, in order of construction, and put under its name.

BlockPlan → layers → a GraphModule for each use of a block (build), or bare containers that only hold the layers
(lay_out)
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import fx, nn

from archscope.compile.collector import collector_at_rest
from archscope.compile.initialise import without_initialisation
from archscope.compile.layers import Recipe
from archscope.compile.plan import BlockPlan, Plan, Raw


class Container(nn.Module):
    """Holds the layers of a block that is driven step by step and never called."""


@collector_at_rest()
def build(
    plan: Plan, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, random: bool = True
) -> fx.GraphModule:
    """The net as an ordinary module with PyTorch's own initialisation, drawn from the global random state in order
    of execution; with cheap finite weights unless `random`.
    """
    with _weights(random=random), torch.device(device):
        module = _module(plan.block, executable=True)
    return _finished(plan, module, dtype)


@collector_at_rest()
def lay_out(
    plan: Plan, *, device: torch.device | str, dtype: torch.dtype | None = None, random: bool = False
) -> nn.Module:
    """The net's layers for `drive`, with cheap finite weights unless `random`."""
    with _weights(random=random), torch.device(device):
        module = _module(plan.block, executable=False)
    return _finished(plan, module, dtype)


def own_layers(block: BlockPlan, *, device: torch.device | str, dtype: torch.dtype | None = None) -> nn.Module:
    """The layers and parameters of one block with cheap finite weights; the blocks that it uses are left empty."""
    root = Container()
    with _weights(random=False), torch.device(device):
        for name, member in block.members.items():
            part = Container() if isinstance(member, BlockPlan) else _made(member, executable=False)
            _put(root, name, part)
    return root.to(dtype) if dtype is not None else root


def _weights(*, random: bool) -> AbstractContextManager[Any]:
    return nullcontext() if random else without_initialisation()


def _finished(plan: Plan, module: Any, dtype: torch.dtype | None) -> Any:
    for name, owner in plan.ties:
        _put(module, name, module.get_parameter(owner))
    return module.to(dtype) if dtype is not None else module


def _module(plan: BlockPlan, *, executable: bool) -> nn.Module:
    root: nn.Module = Container()
    for name, member in plan.members.items():
        _put(root, name, _made(member, executable=executable))
    if not executable:
        return root
    module = fx.GraphModule(root, copied(plan.graph), class_name=plan.name)
    module.train()
    return module


def copied(graph: fx.Graph) -> fx.Graph:
    """A graph of its own: equal uses of a block share the plan's, and a pass on one must not change all."""
    new = fx.Graph()
    new.output(new.graph_copy(graph, {}))
    return new


def _made(member: Recipe | Raw | BlockPlan, *, executable: bool) -> nn.Module | nn.Parameter:
    if isinstance(member, Recipe):
        return member.make()
    if isinstance(member, BlockPlan):
        return _module(member, executable=executable)
    values = torch.empty(member.shape)
    return nn.Parameter(values.normal_(0.0, 0.02) if member.init is None else values.fill_(member.init))


def _put(root: nn.Module, name: str, part: nn.Module | nn.Parameter) -> None:
    """Sets `part` under a dotted name, with containers on the way."""
    *way, last = name.split(".")
    for step in way:
        child = root._modules.get(step)
        if child is None:
            child = Container()
            root.add_module(step, child)
        root = child
    if isinstance(part, nn.Parameter):
        root.register_parameter(last, part)
    else:
        root.add_module(last, part)
