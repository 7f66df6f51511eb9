"""A Plan made real: every recipe built, in order of construction, and put under its name.

BlockPlan → layers → a module for each use of a block (build), or bare containers that only hold the layers (lay_out)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any
from warnings import catch_warnings

import torch
from torch import nn

from archscope.compile.built import Code, Net, class_of
from archscope.compile.collector import collector_at_rest
from archscope.compile.initialise import without_initialisation
from archscope.compile.layers import Recipe
from archscope.compile.plan import BlockPlan, Plan, Raw, Shared
from archscope.compile.source import code_of
from archscope.compile.way_out import WayOut

Made = Mapping[Any, nn.Module]
"""The modules that blocks around have declared, by their declaration."""


class Container(nn.Module):
    """Holds the layers of a block that is driven step by step and never called."""


@collector_at_rest()
def build(
    plan: Plan,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    random: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Net:
    """The net as an ordinary module with PyTorch's own initialisation, drawn from the global random state in order
    of execution; with cheap finite weights unless `random`. settings: the params that the plan was given, for what an
    error says of building it for another size.
    """
    told = {name: value for name, value in (settings or {}).items() if name not in plan.sized}
    said = repr(plan.target) + (f", set={told!r}" if told else "")
    with _weights(random=random), torch.device(device):
        module = _module(plan.block, {}, {id(plan.block): code_of(plan.block, said)})
    if plan.again is not None:
        module.way_out = WayOut(said, plan.again, tuple(i.name for i in plan.inputs), plan.block.steps)  # type: ignore[assignment]
    return _finished(plan, module, dtype)


@collector_at_rest()
def lay_out(
    plan: Plan, *, device: torch.device | str, dtype: torch.dtype | None = None, random: bool = False
) -> nn.Module:
    """The net's layers for `drive`, with cheap finite weights unless `random`."""
    with _weights(random=random), torch.device(device):
        module = _module(plan.block, {}, None)
    return _finished(plan, module, dtype)


def own_layers(block: BlockPlan, *, device: torch.device | str, dtype: torch.dtype | None = None) -> nn.Module:
    """The layers and parameters of one block with cheap finite weights; the blocks that it uses are left empty."""
    root = Container()
    with _weights(random=False), torch.device(device):
        for name, member in block.members.items():
            made = member.made if isinstance(member, Shared) else member
            _put(root, name, Container() if isinstance(made, BlockPlan) else _made(made, {}, None))
    return root.to(dtype) if dtype is not None else root


@contextmanager
def _weights(*, random: bool) -> Iterator[None]:
    """Inside, layers are made; what they warn of has been told when the net was compiled."""
    with catch_warnings(action="ignore"), nullcontext() if random else without_initialisation():
        yield


def _finished(plan: Plan, module: Any, dtype: torch.dtype | None) -> Any:
    for name, owner in plan.ties:
        _put(module, name, module.get_parameter(owner))
    return module.to(dtype) if dtype is not None else module


def _module(plan: BlockPlan, around: Made, codes: dict[int, Code] | None) -> nn.Module:
    """A block with its layers; one that can be called where `codes` holds the forwards written so far."""
    if codes is None:
        root: nn.Module = Container()
    else:
        if id(plan) not in codes:
            codes[id(plan)] = code_of(plan)
        root = class_of(codes[id(plan)])()
    declared = dict(around)
    for name, member in plan.members.items():
        part = _made(member, declared, codes)
        if name in plan.declared:
            declared[plan.declared[name]] = part
        _put(root, name, part)
    return root


def _made(member: Recipe | Raw | Shared | BlockPlan, declared: Made, codes: dict[int, Code] | None) -> Any:
    if isinstance(member, Recipe):
        return member.make()
    if isinstance(member, Shared):
        return declared[member.declaration]
    if isinstance(member, BlockPlan):
        return _module(member, declared, codes)
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
