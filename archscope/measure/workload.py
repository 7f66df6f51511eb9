"""What is measured: a module on inputs that take turns, as it is called in use.

inference: forward, without gradients
training:  gradients away → forward → backward from the loss → optimizer step, with a learning rate of 0
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from archscope.errors import UsageError, first_line
from archscope.record.backward import loss_of
from archscope.record.named_tensors import named_tensors
from archscope.user_warnings import attributed_warnings

CallArguments = tuple[tuple[Any, ...], Mapping[str, Any]]
OnPart = Callable[[], object]

OPTIMIZER_MAKERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda parameters, **how: torch.optim.SGD(parameters, **how),
    "momentum": lambda parameters, **how: torch.optim.SGD(parameters, momentum=0.9, **how),
    "adam": lambda parameters, **how: torch.optim.Adam(parameters, **how),
    "adamw": lambda parameters, **how: torch.optim.AdamW(parameters, **how),
}
"""Optimizers by their names; at a learning rate of 0 a step costs the same and changes nothing."""

STEP_PARTS = ("forward", "backward", "optimizer")


class StepError(Exception):
    """A step of a workload raised something, which is the cause of this."""


@dataclass(frozen=True)
class Workload:
    """A module, the calls of it that take turns, and what a step does beside the forward pass.

    module: what is called, compiled where that was asked for; eager_module: the module as its author wrote it.
    optimizer: of a training step; None for inference, and where nothing can be trained. grad: with gradients though it
    is inference, since the forward pass derives something itself.
    """

    module: Callable[..., Any]
    eager_module: nn.Module
    calls: Sequence[CallArguments]
    device: str
    train: bool = False
    optimizer: torch.optim.Optimizer | None = None
    grad: bool = False

    def forward(self, turn: int = 0, *, module: Callable[..., Any] | None = None) -> Any:
        """Raises StepError."""
        args, kwargs = self.calls[turn % len(self.calls)]
        try:
            return (module or self.module)(*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise StepError from error

    def backward(self, outputs: Any) -> None:
        """Raises StepError."""
        try:
            loss = loss_of(outputs)
            if loss.tensors:
                torch.autograd.backward(loss.tensors, [torch.ones_like(tensor) for tensor in loss.tensors])
        except (Exception, SystemExit) as error:
            raise StepError from error

    def optimize(self) -> None:
        """Raises StepError."""
        try:
            if self.optimizer is not None:
                self.optimizer.step()
        except (Exception, SystemExit) as error:
            raise StepError from error

    def step(self, turn: int = 0, *, mark: OnPart = lambda: None) -> None:
        """One step; `mark` is called between its parts. Raises StepError."""
        if not self.train:
            self.forward(turn)
            return
        self.drop_gradients()
        outputs = self.forward(turn)
        mark()
        self.backward(outputs)
        del outputs
        mark()
        self.optimize()

    def drop_gradients(self) -> None:
        """Gradients of the step before are dropped, as `zero_grad` does, and those of inputs too."""
        for tensor in self.gradient_tensors:
            tensor.grad = None

    @cached_property
    def gradient_tensors(self) -> tuple[torch.Tensor, ...]:
        """What a backward pass may leave a gradient in: parameters, and inputs that ask for one."""
        given = [tree for args, kwargs in self.calls for tree in (*args, *kwargs.values())]
        asking = [
            tensor for tree in given for _, tensor in named_tensors(tree) if tensor.is_leaf and tensor.requires_grad
        ]
        return *self.eager_module.parameters(), *asking

    @property
    def held_bytes(self) -> int:
        """Bytes of parameters, buffers, one call's inputs and the optimizer's states, each memory once."""
        args, kwargs = self.calls[0]
        states = [] if self.optimizer is None else list(self.optimizer.state.values())
        given = [tensor for tree in (*args, *kwargs.values(), *states) for _, tensor in named_tensors(tree)]
        storages = {
            tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
            for tensor in (*self.eager_module.parameters(), *self.eager_module.buffers(), *given)
            if tensor.device.type == torch.device(self.device).type and tensor.layout is torch.strided
        }
        return sum(storages.values())


def make_optimizer(name: str, module: nn.Module) -> torch.optim.Optimizer | None:
    """The optimizer of a module's parameters, as torch makes it; None where there is nothing to train."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return OPTIMIZER_MAKERS[name](parameters, lr=0.0) if parameters else None


def compile_module(module: nn.Module) -> Callable[..., Any]:
    """The module, to be compiled by torch when it is first called. Raises UsageError."""
    try:
        return torch.compile(module)
    except RuntimeError as error:  # a Python or a system that the compiler does not know
        raise UsageError(f"torch.compile: {first_line(error)}", "leave compile=True out") from error


@attributed_warnings()
def time_first_call(workload: Workload) -> float:
    """Seconds of a first step, in which a module is compiled. Raises UsageError where that fails."""
    start = time.perf_counter()
    try:
        workload.step()
    except StepError as failure:
        if not isinstance(failure.__cause__, torch._dynamo.exc.TorchDynamoException):
            raise
        raise UsageError(f"torch.compile: {first_line(failure.__cause__)}", "leave compile=True out") from failure
    return time.perf_counter() - start


def to_channels_last(module: nn.Module, call: CallArguments) -> tuple[nn.Module, CallArguments]:
    """The module and the images and volumes among its inputs with channels next to each other in memory (NHWC)."""
    args, kwargs = call
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor_channels_last(tensor.data)
    return module, (tree_channels_last(args), {name: tree_channels_last(value) for name, value in kwargs.items()})


CHANNELS_LAST_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By the number of axes."""


def tensor_channels_last(tensor: torch.Tensor) -> torch.Tensor:
    layout = CHANNELS_LAST_FORMATS.get(tensor.dim()) if tensor.layout is torch.strided else None
    return tensor if layout is None else tensor.contiguous(memory_format=layout)


def tree_channels_last(tree: Any) -> Any:
    return map_tensors(tree, tensor_channels_last)


def calls_in_turn(call: CallArguments, cache: int | None, *, most: int = 64) -> list[CallArguments]:
    """The call, and others like it on inputs in memory of their own, until all together are twice what the last cache
    holds, or there are `most`. Where a tensor lies in an object, it alone."""
    args, kwargs = call
    tensors = {id(tensor): tensor for tree in (*args, *kwargs.values()) for _, tensor in named_tensors(tree)}
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if not size or not cache or tensors.keys() != tensor_ids((args, dict(kwargs))):
        return [call]
    count = max(1, min(most, -(-2 * cache // size)))
    return [call, *(copy_tensors((args, dict(kwargs))) for _ in range(count - 1))]


def tensor_ids(tree: Any) -> set[int]:
    """The identities of the tensors that `changed` finds."""
    met: set[int] = set()

    def meet(tensor: torch.Tensor) -> torch.Tensor:
        met.add(id(tensor))
        return tensor

    map_tensors(tree, meet)
    return met


def copy_tensors(tree: Any) -> Any:
    """A tree with a copy of every tensor, in memory of its own, laid out and derived alike; what was one tensor in two
    places is one again."""
    copies: dict[int, torch.Tensor] = {}

    def copied(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in copies:
            copies[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
        return copies[id(tensor)]

    return map_tensors(tree, copied)


def map_tensors(tree: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A tree of plain lists, tuples and dicts with every tensor changed."""
    if isinstance(tree, torch.Tensor):
        return change(tree)
    if type(tree) in (list, tuple):
        return type(tree)([map_tensors(item, change) for item in tree])
    return {key: map_tensors(item, change) for key, item in tree.items()} if type(tree) is dict else tree
