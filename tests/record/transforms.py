"""Programs with function transforms over a module that writes its own tensors, run in a process of their own.

python -m tests.record.transforms ─→ a line of JSON for each program and mode, written before the next one runs
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, functionalize, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import archscope
from archscope.errors import ForwardError

Program = Callable[["Holder", torch.Tensor], Any]


class Holder(nn.Module):
    """A layer, two buffers, and a program that is its forward pass."""

    def __init__(self, program: Program):
        super().__init__()
        self.program = program
        self.fc = nn.Linear(4, 4)
        self.net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("row", torch.zeros(4))

    def counted(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of the layer's output; count the calls in a buffer."""
        self.seen += 1
        return self.fc(x).sum()

    def normed(self, weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return functional_call(self.net, weights, (x,)).sum()

    def forward(self, x: torch.Tensor) -> Any:
        return self.program(self, x)


def weights(holder: Holder) -> dict[str, torch.Tensor]:
    return dict(holder.net.named_parameters())


def traced(holder: Holder, x: torch.Tensor) -> Any:
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(lambda z: holder.fc(z) + holder.seen.add_(1))(x)(x)


def compiled(holder: Holder, x: torch.Tensor) -> Any:
    return torch.compile(lambda z: holder.fc(z) + holder.seen.add_(1), backend="eager")(x)


def dual(holder: Holder, x: torch.Tensor) -> Any:
    with torch.autograd.forward_ad.dual_level():
        holder.seen += 1
        return torch.autograd.forward_ad.unpack_dual(holder.fc(torch.autograd.forward_ad.make_dual(x, x))).tangent


def escaped(transform: Callable[..., Any]) -> Program:
    """Return a program that uses a wrapped tensor after the transform is over."""

    def program(holder: Holder, x: torch.Tensor) -> Any:
        kept: list[torch.Tensor] = []

        def function(z: torch.Tensor) -> torch.Tensor:
            kept.append(z * 2)
            return z.sum()

        transform(function)(x)
        return holder.fc(x) + kept[0]

    return program


PROGRAMS: dict[str, Program] = {
    "grad of what counts": lambda m, x: grad(m.counted)(x),
    "jvp of what counts": lambda m, x: jvp(m.counted, (x,), (x,)),
    "vjp of what counts": lambda m, x: vjp(m.counted, x)[0],
    "jacrev of what counts": lambda m, x: jacrev(m.counted)(x),
    "jacfwd of what counts": lambda m, x: jacfwd(m.counted)(x),
    "hessian of what counts": lambda m, x: hessian(m.counted)(x[0]),
    "vmap of what counts": lambda m, x: vmap(m.counted)(x),
    "vmap of vmap": lambda m, x: vmap(vmap(lambda z: m.seen.add_(1) * z))(x),
    "vmap of grad": lambda m, x: vmap(grad(m.counted))(x),
    "functionalize": lambda m, x: functionalize(lambda z: m.seen.add_(1) + z)(x),
    "grad over data that is written": lambda m, x: grad(lambda z: (m.fc.weight.data.add_(1) @ z.T).sum())(x),
    "grad over a detached buffer": lambda m, x: grad(lambda z: (m.seen.detach().add_(1) * z).sum())(x),
    "grad over an item that is set": lambda m, x: grad(lambda z: m.row.__setitem__(0, 1.0) or z.sum())(x),
    "grad over memory that is set": lambda m, x: grad(lambda z: m.row.set_(z.new_ones(4)).sum() + z.sum())(x),
    "grad over an initialisation": lambda m, x: grad(lambda z: m.fc(z).sum() + nn.init.zeros_(m.fc.weight).sum())(x),
    "grad over foreach": lambda m, x: grad(lambda z: torch._foreach_add_([m.row], 1) or z.sum())(x),
    "grad with respect to the buffer": lambda m, x: grad(lambda z, seen: (seen.add_(1) * z).sum())(x, m.seen),
    "grad of what writes its input": lambda m, x: grad(lambda z: z.mul_(2).sum())(x),
    "jvp of what writes its input": lambda m, x: jvp(lambda z: z.mul_(2), (x,), (x,)),
    "vmap of what writes its input": lambda m, x: vmap(lambda z: z.mul_(2))(x),
    "vmap that raises after it wrote": lambda m, x: vmap(lambda z: z.mul_(2) + int("none"))(x),
    "backward inside of grad": lambda m, x: grad(lambda z: m.fc(z.detach()).sum().backward() or z.sum())(x),
    "batch norm, functionally": lambda m, x: functional_call(m.net, weights(m), (x,)),
    "grad of a batch norm": lambda m, x: grad(m.normed)(weights(m), x),
    "vmap of a batch norm": lambda m, x: vmap(m.net)(x[None].expand(3, -1, -1)),
    "per example": lambda m, x: vmap(grad(m.normed), in_dims=(None, 0))(weights(m), x[:, None]),
    "grad escapes": escaped(grad),
    "vmap escapes": escaped(vmap),
    "a traced function": traced,
    "a compiled function": compiled,
    "dual numbers": dual,
    "jacobian of autograd": lambda m, x: torch.autograd.functional.jacobian(lambda z: m.fc(z) + m.seen.add_(1), x),
}
MODES = ("eval", "train")


def digest(holder: Holder, x: torch.Tensor) -> list[Any]:
    tensors = [*holder.state_dict(keep_vars=True).values(), x]
    return [(tensor.tolist(), tensor._version, tensor.requires_grad, tensor.grad is None) for tensor in tensors]


def refusal(run: Callable[[], Any]) -> str | None:
    """Return the message of the exception that `run` raises; None if it raises none."""
    try:
        run()
    except (RuntimeError, ValueError, ForwardError) as error:
        return str(error)
    return None


def compare(program: Program, *, train: bool) -> dict[str, Any]:
    """Return the error of the program alone and in an analysis, and whether the model and its input are as before."""
    torch.manual_seed(0)
    holder, x = Holder(program).train(train), torch.randn(3, 4)
    with torch.set_grad_enabled(train):
        plain = refusal(lambda: copy.deepcopy(holder)(x.clone()))
    before = digest(holder, x)
    ours = refusal(lambda: archscope.summarize(holder, args=(x,), train=train))
    return {"plain": plain, "ours": ours, "same": digest(holder, x) == before}


def main() -> None:
    warnings.simplefilter("ignore")
    for name, program in PROGRAMS.items():
        for mode in MODES:
            print(json.dumps([name, mode, compare(program, train=mode == "train")]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
