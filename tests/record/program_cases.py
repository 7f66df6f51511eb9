"""Programs that reach their products in different ways, each with its multiply-adds worked out by hand.

scripted, frozen, compiled, exported graphs; transforms; derivatives within a forward pass
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, stack_module_state, vjp, vmap

from tests.record.model_cases import t


@dataclass(frozen=True)
class ProgramCase:
    """`make` gives a module; macs: what one run costs. meta: whether torch itself can run it there."""

    macs: int | None
    make: Callable[[], nn.Module]
    args: tuple[torch.Tensor, ...]
    unpriced: tuple[str, ...] = ()
    meta: bool = True


def module_case(macs: int, make: Callable[[], nn.Module], *args: torch.Tensor, meta: bool = True) -> ProgramCase:
    return ProgramCase(macs, make, args, (), meta)


class Runs(nn.Module):
    """Runs a function of itself and its inputs, with the modules and parameters that it holds."""

    def __init__(self, forward: Callable[..., Any], **held: Any):
        super().__init__()
        for name, value in held.items():
            setattr(self, name, value)
        self._forward = forward

    def forward(self, *args: Any) -> Any:
        return self._forward(self, *args)


def function_case(
    macs: int, forward: Callable[..., Any], *args: torch.Tensor, meta: bool = True, **held: Any
) -> ProgramCase:
    """held: how the modules are made that it holds."""
    return ProgramCase(macs, lambda: Runs(forward, **{name: make() for name, make in held.items()}), args, (), meta)


A, B = t(2, 3), t(3, 4)
SQUARE, IMAGE = 2 * 2 * 3, t(2, 4, 9, 7)
NET = 2 * 6 * 35 * 36 + 2 * 6 * 35 * 3


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(210, 3)).eval()


def linear() -> nn.Module:
    return nn.Linear(3, 4)


# ------------------------------------------------------------ scripted
@torch.jit.script
def squared(x):
    return (x @ x.t()).relu()


@torch.jit.script
def norm_of(x):
    return (x @ x.t()).sum().item()


@torch.jit.script
def into(y, x):
    return y.add_(x @ x.t())


@torch.jit.script
def forked(x):
    other = torch.jit.fork(squared, x)
    return torch.jit.wait(other) + squared(x)


class Loops(nn.Module):
    """A loop and a branch, which a trace would not have."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        for _ in range(3):
            x = self.fc(x)
        if x.dim() == 2:
            x = torch.mm(x, x.t())
        return x


class First(nn.Module):
    """The first of what a recurrent layer gives."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2)

    def forward(self, x):
        return self.attention(x, x, x)[0]


def warmed() -> nn.Module:
    """Its graph has been optimised by earlier runs."""
    for _ in range(4):
        squared(A)
        squared(A.clone().requires_grad_())
    return Runs(lambda m, x: squared(x) + 1)


def drops(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    squared(x)
    return x * 2


def writes(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    y = x.new_zeros(2, 2)
    into(y, x)
    return y


STEPS, TOKENS = t(6, 2, 5), t(5, 3, 8)
ATTENTION = 3 * 5 * (4 * 64 + 5 * 16)
SCRIPTED: dict[str, ProgramCase] = {
    "scripted function": function_case(SQUARE, lambda m, x: squared(x) + 1, A),
    "scripted function, twice": function_case(2 * SQUARE, lambda m, x: squared(x) + squared(x), A),
    "scripted function in a loop": function_case(5 * SQUARE, lambda m, x: sum(squared(x) for _ in range(5)), A),
    "scripted function, warmed up": module_case(SQUARE, warmed, A),
    "scripted function, result dropped": function_case(SQUARE, drops, A),
    "scripted function that gives a number": function_case(SQUARE, lambda m, x: x * norm_of(x), A, meta=False),
    "scripted function that writes": function_case(SQUARE, writes, A),
    "scripted fork": function_case(2 * SQUARE, lambda m, x: forked(x), A),
    "fork": function_case(24, lambda m, x: torch.jit.wait(torch.jit.fork(m.fc, x)), A, fc=linear),
    "scripted module": module_case(3 * 2 * 16 + 2 * 2 * 4, lambda: torch.jit.script(Loops()), t(2, 4)),
    "scripted submodule": module_case(
        3 * 2 * 16 + 2 * 2 * 4 + 2 * 2 * 3, lambda: nn.Sequential(torch.jit.script(Loops()), nn.Linear(2, 3)), t(2, 4)
    ),
    "scripted LSTM": module_case(12 * 16 * 9, lambda: torch.jit.script(First(nn.LSTM(5, 4))), STEPS, meta=False),
    "scripted GRU": module_case(12 * 12 * 9, lambda: torch.jit.script(First(nn.GRU(5, 4))), STEPS, meta=False),
    "scripted attention": module_case(ATTENTION, lambda: nn.Sequential(torch.jit.script(Attends())), TOKENS),
    "scripted encoder": module_case(
        ATTENTION + 15 * 2 * 8 * 16, lambda: torch.jit.script(nn.TransformerEncoderLayer(8, 2, 16)), TOKENS
    ),
    "scripted net": module_case(NET, lambda: torch.jit.script(net()), IMAGE),
    "traced": module_case(NET, lambda: torch.jit.trace(net(), IMAGE), IMAGE),
    "traced LSTM": module_case(12 * 16 * 9, lambda: torch.jit.trace(First(nn.LSTM(5, 4)), STEPS), STEPS, meta=False),
    "frozen": module_case(NET, lambda: torch.jit.freeze(torch.jit.script(net())), IMAGE, meta=False),
    "frozen submodule": module_case(
        NET, lambda: nn.Sequential(torch.jit.freeze(torch.jit.script(net()))), IMAGE, meta=False
    ),
}


# ------------------------------------------------------------ compiled, exported
def eagerly(module: nn.Module) -> nn.Module:
    return torch.compile(module, backend="eager")


def ran(module: nn.Module, *args: torch.Tensor) -> nn.Module:
    module(*args)
    return module


def compiled_itself(*, part: bool = False) -> nn.Module:
    model = net()
    (model[4] if part else model).compile(backend="eager")
    return ran(model, IMAGE)


def exported(*, decomposed: bool = False) -> nn.Module:
    program = torch.export.export(net(), (IMAGE,))
    return (program.run_decompositions() if decomposed else program).module()


product = torch.compile(lambda a, b: (a @ b).relu(), backend="eager")
COMPILED: dict[str, ProgramCase] = {
    "compiled": module_case(NET, lambda: eagerly(net()), IMAGE),
    "compiled, warmed up": module_case(NET, lambda: ran(eagerly(net()), IMAGE), IMAGE),
    "compiled submodule": module_case(NET, lambda: nn.Sequential(eagerly(net())), IMAGE),
    "compiled submodule, warmed up": module_case(NET, lambda: nn.Sequential(ran(eagerly(net()), IMAGE)), IMAGE),
    "compiled by inductor": module_case(NET, lambda: nn.Sequential(torch.compile(net())), IMAGE),
    "compiled itself": module_case(NET, compiled_itself, IMAGE),
    "a part compiled itself": module_case(NET, lambda: compiled_itself(part=True), IMAGE),
    "compiled function": function_case(24, lambda m, a, b: product(a, b), A, B),
    "compiled in forward": function_case(
        24, lambda m, a, b: torch.compile(lambda a, b: a @ b, backend="eager")(a, b), A, B
    ),
    "exported": module_case(NET, exported, IMAGE, meta=False),
    "exported submodule": module_case(NET, lambda: nn.Sequential(exported()), IMAGE, meta=False),
    "exported, decomposed": module_case(NET, lambda: exported(decomposed=True), IMAGE, meta=False),
    "fx": module_case(NET, lambda: torch.fx.symbolic_trace(net()), IMAGE),
}


# ------------------------------------------------------------ transforms and derivatives
def ensemble(make: Callable[[], nn.Module]) -> nn.Module:
    """Three modules as one, with their parameters stacked."""
    parts = [make() for _ in range(3)]
    parameters, buffers = stack_module_state(parts)
    one = lambda p, b, x: functional_call(parts[0], (p, b), (x,))  # noqa: E731 — one line, used once
    return Runs(lambda m, x: vmap(one, in_dims=(0, 0, None))(parameters, buffers, x))


def force(m: Any, x: torch.Tensor) -> torch.Tensor:
    """Minus the derivative of an energy, as force fields have it."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        energy = m.second(torch.tanh(m.first(x))).sum()
        return -torch.autograd.grad(energy, x, create_graph=True)[0]


def own_gradient(m: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        m.fc(x).sum().backward()
        return x.grad * 2


TRANSFORMS: dict[str, ProgramCase] = {
    "vmap": function_case(5 * 24, lambda m, a, b: vmap(torch.mm)(a, b), t(5, 2, 3), t(5, 3, 4)),
    "vmap over another axis": function_case(
        5 * 24, lambda m, a, b: vmap(torch.mm, in_dims=(1, None))(a, b), t(2, 5, 3), B
    ),
    "vmap within vmap": function_case(
        7 * 5 * 24, lambda m, a, b: vmap(vmap(torch.mm, in_dims=(0, None)))(a, b), t(7, 5, 2, 3), t(7, 3, 4)
    ),
    "vmap in chunks": function_case(
        6 * 24, lambda m, a, b: vmap(torch.mm, in_dims=(0, None), chunk_size=4)(a, b), t(6, 2, 3), B
    ),
    "vmap with dropout": function_case(
        5 * 24,
        lambda m, a, b: vmap(lambda a, b: F.dropout(a @ b), in_dims=(0, None), randomness="different")(a, b),
        t(5, 2, 3),
        B,
    ),
    "vmap of a layer": function_case(5 * 24, lambda m, x: vmap(m.fc)(x), t(5, 2, 3), fc=linear),
    "vmap of a convolution": function_case(
        5 * 12 * 35 * 36, lambda m, x: vmap(m.conv)(x), t(5, 2, 4, 9, 7), conv=lambda: nn.Conv2d(4, 6, 3)
    ),
    "vmap of attention": function_case(
        5 * 2 * 3 * 5 * 5 * 4 * 2,
        lambda m, x: vmap(lambda q: F.scaled_dot_product_attention(q, q, q))(x),
        t(5, 2, 3, 5, 4),
    ),
    "vmap, and then not": function_case(
        5 * 24 + 24, lambda m, a, b: vmap(torch.mm, in_dims=(0, None))(a, b).sum(0) + a[0] @ b, t(5, 2, 3), B
    ),
    "ensemble": module_case(
        3 * 2 * (12 + 8),
        lambda: ensemble(lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))),
        A,
        meta=False,
    ),
    "ensemble of convolutions": module_case(
        3 * 12 * 35 * 36, lambda: ensemble(lambda: nn.Conv2d(4, 6, 3)), IMAGE, meta=False
    ),
    "grad": function_case(2 * 24, lambda m, x: grad(lambda x: m.fc(x).sum())(x), A, fc=linear),
    "vjp": function_case(2 * 24, lambda m, x: vjp(m.fc, x)[1](x.new_ones(2, 4)), A, fc=linear),
    "jvp: the value, its change by x, and by a weight that stays": function_case(
        3 * 24, lambda m, x: jvp(m.fc, (x,), (x,)), A, fc=linear
    ),
    "jacrev: eight rows": function_case(24 + 8 * 24, lambda m, x: jacrev(m.fc)(x), A, fc=linear),
    "jacobian: eight rows": function_case(
        24 + 8 * 24, lambda m, x: torch.autograd.functional.jacobian(m.fc, x), A, fc=linear
    ),
    "force field": function_case(2 * 2 * (12 + 4), force, A, first=linear, second=lambda: nn.Linear(4, 1)),
    "backward in forward": function_case(2 * 24 + 24, own_gradient, A, fc=linear),
}

PROGRAM_CASES: dict[str, ProgramCase] = SCRIPTED | COMPILED | TRANSFORMS
