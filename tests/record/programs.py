"""Programs that torch makes of modules, and modules with something hung on: what they cost, worked out by hand.

traced and compiled graphs, functional calls, checkpoints, parametrisations, hooks, custom operators, transforms
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

from tests.record.model_cases import ModelCase, function_case, module_case, t, unpriced_case
from tests.record.operations import FunctionModule


class Net(nn.Module):
    """A convolution, a norm, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.norm(self.conv(x))).mean((2, 3)))


IMAGE = t(2, 4, 9, 7)
NET = 2 * 6 * 35 * 36 + 2 * 6 * 3


def net() -> Net:
    return Net().eval()


def functional(x: torch.Tensor) -> Any:
    held = net()
    tensors = dict(held.named_parameters()) | dict(held.named_buffers())
    return torch.func.functional_call(held, tensors, (x,))


class Double(nn.Module):
    """A parametrisation that makes a product of its own."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight @ torch.eye(weight.shape[1])


def parametrized() -> nn.Module:
    layer = nn.Linear(4, 5)
    parametrize.register_parametrization(layer, "weight", Double())
    return layer


def hooked() -> nn.Module:
    layer = nn.Linear(4, 5)
    layer.register_forward_pre_hook(lambda _module, args: (args[0] @ torch.eye(4),))
    return layer


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        return x @ x @ x

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


GRAPHS: dict[str, ModelCase] = {
    "symbolic trace": module_case(NET, lambda: torch.fx.symbolic_trace(net()), IMAGE),
    "traced to operators": module_case(NET, lambda: make_fx(net())(IMAGE), IMAGE),
    "exported": module_case(NET, lambda: torch.export.export(net(), (IMAGE,)).module(), IMAGE),
    "exported, taken apart": module_case(
        NET, lambda: torch.export.export(net(), (IMAGE,)).run_decompositions().module(), IMAGE
    ),
    "scripted": module_case(NET, lambda: torch.jit.script(net()), IMAGE),
    "scripted and frozen": module_case(NET, lambda: torch.jit.freeze(torch.jit.script(net())), IMAGE),
    "traced by example": module_case(NET, lambda: torch.jit.trace(net(), IMAGE), IMAGE),
    "compiled module": module_case(NET, lambda: torch.compile(net(), backend="eager"), IMAGE),
    "compiled function": function_case(24, torch.compile(torch.matmul, backend="eager"), t(2, 3), t(3, 4)),
    "functional call": function_case(NET, functional, IMAGE),
    "checkpoint": function_case(NET, lambda x: checkpoint(net(), x, use_reentrant=False), IMAGE),
    "forward without the call": function_case(NET, lambda x: net().forward(x), IMAGE),
    "custom autograd function": function_case(2 * 27, Cube.apply, t(3, 3)),
    "operator": function_case(24, torch.ops.aten.mm.default, t(2, 3), t(3, 4)),
    "operator without an overload": function_case(24, torch.ops.aten.addmm, t(4), t(2, 3), t(3, 4)),
    "operator by keyword": function_case(
        24, lambda a, b, c: torch.ops.aten.addmm.default(mat2=c, mat1=b, self=a), t(4), t(2, 3), t(3, 4)
    ),
    "operator of a convolution": function_case(12 * 35 * 36, torch.ops.aten.conv2d.default, IMAGE, t(6, 4, 3, 3)),
    "operator in place": function_case(0, lambda x: torch.ops.aten.relu_.default(x * 1), t(2, 3)),
    "operator that only the CPU has": function_case(
        12 * 35 * 36,
        lambda x, w: torch.mkldnn_convolution(x, w, None, (0, 0), (1, 1), (1, 1), 1),
        IMAGE,
        t(6, 4, 3, 3),
    ),
    "gradient of a convolution": function_case(
        2 * 12 * 35 * 36,
        lambda g, x, w: torch.ops.aten.convolution_backward(
            g, x, w, [6], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, True]
        ),
        t(2, 6, 7, 5),
        IMAGE,
        t(6, 4, 3, 3),
    ),
    "autocast": function_case(
        3 * 4 * 5,
        lambda x, w: torch.autocast("cpu", torch.bfloat16)(F.linear)(x, w),
        t(3, 4),
        t(5, 4),
    ),
}

HUNG: dict[str, ModelCase] = {
    "weight norm": module_case(2 * 4 * 5, lambda: weight_norm(nn.Linear(4, 5)), t(2, 4)),
    "weight norm, parametrised": module_case(2 * 4 * 5, lambda: parametrizations.weight_norm(nn.Linear(4, 5)), t(2, 4)),
    "spectral norm": module_case(2 * 4 * 5 + 5 * 4 + 5, lambda: spectral_norm(nn.Linear(4, 5)), t(2, 4)),
    "parametrised by a product": module_case(2 * 4 * 5 + 5 * 4 * 4, parametrized, t(2, 4)),
    "pruned": module_case(2 * 4 * 5, lambda: prune.l1_unstructured(nn.Linear(4, 5), "weight", amount=2), t(2, 4)),
    "hook with a product": module_case(2 * 4 * 5 + 2 * 4 * 4, hooked, t(2, 4)),
}

COMPLEX: dict[str, ModelCase] = {
    "complex product": function_case(2 * 3 * 4, torch.matmul, t(2, 3) + 0j, t(3, 4) + 0j),
    "complex linear": module_case(2 * 4 * 6, lambda: nn.Linear(4, 6, dtype=torch.complex64), t(2, 4) + 0j),
    "complex convolution": module_case(12 * 35 * 36, lambda: nn.Conv2d(4, 6, 3, dtype=torch.complex64), IMAGE + 0j),
    "complex einsum": function_case(24, lambda a, b: torch.einsum("ij,jk->ik", a, b), t(2, 3) + 0j, t(3, 4) + 0j),
    "rotation": function_case(0, lambda x, a: torch.polar(torch.ones_like(a), a) * x, t(3, 4) + 0j, t(3, 4)),
}

FLEX = 2 * 128 * 128 * (16 + 16)
QUERY = t(1, 2, 128, 16)


def by_blocks() -> nn.Module:
    """Causal, by blocks; the mask does not halve it."""
    causal = create_block_mask(lambda b, h, i, j: i >= j, None, None, 128, 128, device="cpu")
    return FunctionModule(lambda q: flex_attention(q, q, q, block_mask=causal))


FLEXIBLE: dict[str, ModelCase] = {
    "flex_attention": function_case(FLEX, lambda q: flex_attention(q, q, q), QUERY),
    "flex_attention, with a bias": function_case(
        FLEX, lambda q: flex_attention(q, q, q, score_mod=lambda score, b, h, i, j: score + i - j), QUERY
    ),
    "flex_attention, by blocks": module_case(FLEX, by_blocks, QUERY),
    "flex_attention, grouped heads": function_case(
        2 * FLEX, lambda q, k: flex_attention(q, k, k, enable_gqa=True), t(1, 4, 128, 16), QUERY
    ),
}

TRANSFORMS: dict[str, ModelCase] = {
    "fft": unpriced_case("aten._fft_r2c", torch.fft.fft, t(8)),
    "inverse": unpriced_case("aten.linalg_inv_ex", torch.linalg.inv, torch.eye(3)),
    "solve": unpriced_case("aten._linalg_solve_ex", torch.linalg.solve, torch.eye(3), t(3, 2)),
    "least squares": unpriced_case(
        "torch.linalg.lstsq", lambda a, b: torch.linalg.lstsq(a, b)[0], torch.eye(3), t(3, 2)
    ),
    "nuclear norm": unpriced_case("aten._linalg_svd", lambda a: torch.norm(a, p="nuc"), t(4, 3)),
    "spectral norm of a matrix": unpriced_case("aten._linalg_svd", lambda a: torch.linalg.norm(a, ord=2), t(4, 3)),
    "singular values": unpriced_case("aten._linalg_svd", torch.linalg.svdvals, t(4, 3)),
    "exponential of a matrix": unpriced_case("aten.linalg_matrix_exp", torch.matrix_exp, t(3, 3)),
}


def negated(x: torch.Tensor) -> torch.Tensor:
    return -x


def custom(library: torch.library.Library) -> dict[str, ModelCase]:
    """Operators of a library: one that torch cannot look into, one that is made of torch's own."""
    library.define("opaque(Tensor x) -> Tensor")
    library.impl("opaque", negated, "CPU")
    library.define("made(Tensor a, Tensor b) -> Tensor")
    library.impl("made", torch.matmul, "CompositeImplicitAutograd")
    operators = getattr(torch.ops, library.ns)
    return {
        "custom operator": unpriced_case(f"{library.ns}.opaque", operators.opaque, t(3)),
        "custom operator made of others": function_case(24, operators.made, t(2, 3), t(3, 4)),
    }


LIBRARY = torch.library.Library("archscope_programs", "DEF")
PROGRAMS: dict[str, ModelCase] = GRAPHS | HUNG | COMPLEX | FLEXIBLE | TRANSFORMS | custom(LIBRARY)
