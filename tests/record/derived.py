"""The independent count of both passes: torch's FlopCounterMode, halved; and modules whose backward pass is special."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from archscope.record.named_tensors import named_tensors
from tests.truth.witness import BY_HAND, Everywhere


def counted(model: nn.Module, *args: Any) -> tuple[int, int]:
    """The multiply-adds of a forward pass in training mode, and of the derivatives of the sum of what it gives."""
    counter: Any = FlopCounterMode(display=False, custom_mapping=dict(BY_HAND))
    counter.mod_tracker = Everywhere()
    model = apart(model).train()
    with plain_products(), torch.random.fork_rng(), counter:
        outputs = [tensor for _, tensor in named_tensors(model(*args)) if tensor.requires_grad]
        forward = counter.get_total_flops()
        torch.autograd.backward(outputs, [torch.ones_like(tensor) for tensor in outputs])
        both = counter.get_total_flops()
    return forward // 2, (both - forward) // 2


@contextmanager
def plain_products() -> Iterator[None]:
    """Attention and recurrent layers are taken apart."""
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False):
        yield


def apart(model: nn.Module) -> nn.Module:
    """A copy with every grouped convolution as one for each group: FlopCounterMode takes a grouped one's gradient of
    the weight for that of one without groups."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.modules.conv._ConvNd) and child.groups > 1:
                setattr(module, name, Groups(child))
    return model


class Groups(nn.Module):
    """A grouped convolution as convolutions of its groups."""

    def __init__(self, whole: nn.modules.conv._ConvNd):
        super().__init__()
        kind, count = type(whole), whole.groups
        given: Any = (whole.in_channels // count, whole.out_channels // count, whole.kernel_size, whole.stride)
        how = {"padding": whole.padding, "dilation": whole.dilation, "bias": whole.bias is not None}
        self.parts = nn.ModuleList(kind(*given, **how) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(own) for part, own in zip(self.parts, x.chunk(len(self.parts), 1), strict=True)], 1)


# ------------------------------------------------------------ modules
class Product(torch.autograd.Function):
    """A matrix product with a custom backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return gradient @ weight.t(), x.t() @ gradient


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.weight = nn.Linear(8, 8), nn.Parameter(torch.ones(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        return Product.apply(self.linear(x), self.weight)


class Checkpointed(nn.Module):
    """reentrant: of the checkpoint; None for no checkpoint."""

    def __init__(self, reentrant: bool | None):
        super().__init__()
        self.reentrant = reentrant
        self.first = nn.Linear(8, 8)
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.body(x) if self.reentrant is None else checkpoint(self.body, x, use_reentrant=self.reentrant)


class Force(nn.Module):
    """The output is the derivative of an energy, so that its backward pass is of second order."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.energy = nn.Linear(8, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_(True)
        energy = self.energy(torch.tanh(self.hidden(x))).sum()
        return torch.autograd.grad(energy, x, create_graph=True)[0]


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.relu(self.linear(torch.relu(self.linear(x)))))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(16, 8), nn.Linear(8, 16, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embed(tokens))


class Queries(nn.Module):
    """Grouped queries that attend causally; a mask beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv = nn.Linear(16, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, _ = x.shape
        q = self.q(x).view(batch, steps, 4, 4).transpose(1, 2)
        k, v = (part.reshape(batch, steps, 1, 4).transpose(1, 2) for part in self.kv(x).chunk(2, -1))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


class Sums(nn.Module):
    """Products by einsum, matmul and convolution functions, with branches that join again."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(8, 6)), nn.Parameter(torch.ones(6, 6, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.einsum("ni,io->no", x, self.a)
        z = F.conv1d(y.unsqueeze(-1).expand(-1, -1, 5), self.b, padding=1)
        return z + y.unsqueeze(-1), torch.matmul(y, y.t())


class Overwritten(nn.Module):
    """Writes over a value that its derivative needs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.a(x)))
        z = self.b(y)
        y.add_(1)
        return z


class Whole(nn.Module):
    """Gives integers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).argmax(-1)


class Untracked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.linear(x)


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    model[:3].requires_grad_(False)
    return model
