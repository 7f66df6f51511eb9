"""Construction of modules from a Plan: every recipe is made, in order of construction, and set under its name.

BlockPlan → layers → an nn.Module for each use of a block (build), or containers that only hold the layers
(build_layers)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any
from warnings import catch_warnings

import torch
from torch import nn

from archscope.compile.built_net import ForwardCode, Net, SizeHelp, net_class
from archscope.compile.forward_writer import write_forward
from archscope.compile.layer_cache import FastInitMode, Recipe
from archscope.compile.plan import BlockPlan, Member, Plan, SharedModule
from archscope.gc_pause import gc_paused

DeclaredModules = Mapping[Any, nn.Module]
"""The modules declared by enclosing blocks, by their declaration."""


class Container(nn.Module):
    """A module that holds the layers of a block which is run step by step and never called."""


@gc_paused()
def build(
    plan: Plan,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    random: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Net:
    """Return the net as an ordinary module with PyTorch's initialisation, drawn from the global random state in order
    of execution; with constant finite weights unless `random`.

    settings: the params that the plan was compiled with, for the help in errors about other sizes.
    """
    given = {name: value for name, value in (settings or {}).items() if name not in plan.input_params}
    said = repr(plan.target) + (f", set={given!r}" if given else "")
    with _weight_init(random=random), torch.device(device):
        module = _build_module(plan.block, {}, {id(plan.block): write_forward(plan.block, said)})
    if plan.compile_at is not None:
        assert isinstance(module, Net)
        module.size_help = SizeHelp(said, plan.compile_at, tuple(i.name for i in plan.inputs), plan.block.steps)
    return _tie_and_cast(plan, module, dtype)


@gc_paused()
def build_layers(
    plan: Plan, *, device: torch.device | str, dtype: torch.dtype | None = None, random: bool = False
) -> nn.Module:
    """Return the net's layers for GraphInterpreter, with constant finite weights unless `random`."""
    with _weight_init(random=random), torch.device(device):
        module = _build_module(plan.block, {}, None)
    return _tie_and_cast(plan, module, dtype)


def build_block_layers(block: BlockPlan, *, device: torch.device | str, dtype: torch.dtype | None = None) -> nn.Module:
    """Return the layers and parameters of one block with constant finite weights; its blocks are left empty."""
    root = Container()
    with _weight_init(random=False), torch.device(device):
        for name, member in block.members.items():
            built = member.built if isinstance(member, SharedModule) else member
            _set_member(root, name, Container() if isinstance(built, BlockPlan) else _build_member(built, {}, None))
    return root.to(dtype) if dtype is not None else root


@contextmanager
def _weight_init(*, random: bool) -> Iterator[None]:
    """Suppress warnings of constructors, which compilation has already shown; skip random fills unless `random`."""
    with catch_warnings(action="ignore"), nullcontext() if random else FastInitMode():
        yield


def _tie_and_cast(plan: Plan, module: Any, dtype: torch.dtype | None) -> Any:
    for name, owner in plan.ties:
        _set_member(module, name, module.get_parameter(owner))
    return module.to(dtype) if dtype is not None else module


def _build_module(plan: BlockPlan, around: DeclaredModules, codes: dict[int, ForwardCode] | None) -> nn.Module:
    """Return a block with its layers; callable if `codes` holds the forward code written so far."""
    if codes is None:
        root: nn.Module = Container()
    else:
        if id(plan) not in codes:
            codes[id(plan)] = write_forward(plan)
        root = net_class(codes[id(plan)])()
    declared = dict(around)
    for name, member in plan.members.items():
        part = _build_member(member, declared, codes)
        if name in plan.declared:
            declared[plan.declared[name]] = part
        _set_member(root, name, part)
    return root


def _build_member(
    member: Member,
    declared: DeclaredModules,
    codes: dict[int, ForwardCode] | None,
) -> Any:
    if isinstance(member, Recipe):
        return member.make()
    if isinstance(member, SharedModule):
        return declared[member.declaration]
    if isinstance(member, BlockPlan):
        return _build_module(member, declared, codes)
    values = torch.empty(member.shape)
    return nn.Parameter(values.normal_(0.0, 0.02) if member.init is None else values.fill_(member.init))


def _set_member(root: nn.Module, name: str, part: nn.Module | nn.Parameter) -> None:
    """Set `part` under a dotted name, with containers for the levels between."""
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
