"""Workloads: a module and calls with inputs of their own that take turns, run as in real use.

inference: forward pass, without gradients
training:  drop gradients → forward → backward from the loss → optimizer step, with a learning rate of 0
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
"""Functions that make an optimizer, by name; at a learning rate of 0 a step costs the same and changes nothing."""

STEP_PARTS = ("forward", "backward", "optimizer")


class StepError(Exception):
    """A step of a workload raised the exception that is this one's cause."""


@dataclass(frozen=True)
class Workload:
    """A module, the calls of it that take turns, and what a step does beside the forward pass.

    module: what is called, compiled if requested. eager_module: the module as its author wrote it. optimizer: of a
    training step; None for inference, and if nothing can be trained. grad: inference with gradients enabled, since the
    forward pass computes derivatives itself.
    """

    module: Callable[..., Any]
    eager_module: nn.Module
    calls: Sequence[CallArguments]
    device: str
    train: bool = False
    optimizer: torch.optim.Optimizer | None = None
    grad: bool = False

    def forward(self, turn: int = 0, *, module: Callable[..., Any] | None = None) -> Any:
        """Return the outputs of a call. Raises StepError."""
        args, kwargs = self.calls[turn % len(self.calls)]
        try:
            return (module or self.module)(*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise StepError from error

    def backward(self, outputs: Any) -> None:
        """Run the backward pass from the outputs' loss. Raises StepError."""
        try:
            loss = loss_of(outputs)
            if loss.tensors:
                torch.autograd.backward(loss.tensors, [torch.ones_like(tensor) for tensor in loss.tensors])
        except (Exception, SystemExit) as error:
            raise StepError from error

    def optimize(self) -> None:
        """Run the optimizer, if there is one. Raises StepError."""
        try:
            if self.optimizer is not None:
                self.optimizer.step()
        except (Exception, SystemExit) as error:
            raise StepError from error

    def step(self, turn: int = 0, *, mark: OnPart = lambda: None) -> None:
        """Run one step; `mark` is called between its parts. Raises StepError."""
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
        """Drop the gradients of the parameters, as `zero_grad` does, and those of the inputs."""
        for tensor in self.gradient_tensors:
            tensor.grad = None

    @cached_property
    def gradient_tensors(self) -> tuple[torch.Tensor, ...]:
        """The tensors that a backward pass may leave a gradient in: parameters, and inputs that require gradients."""
        trees = [tree for args, kwargs in self.calls for tree in (*args, *kwargs.values())]
        inputs = [
            tensor for tree in trees for _, tensor in named_tensors(tree) if tensor.is_leaf and tensor.requires_grad
        ]
        return *self.eager_module.parameters(), *inputs

    @property
    def held_bytes(self) -> int:
        """Bytes of parameters, buffers, one call's inputs and the optimizer's states; shared storages count once."""
        args, kwargs = self.calls[0]
        states = [] if self.optimizer is None else list(self.optimizer.state.values())
        tensors = [tensor for tree in (*args, *kwargs.values(), *states) for _, tensor in named_tensors(tree)]
        storages = {
            tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
            for tensor in (*self.eager_module.parameters(), *self.eager_module.buffers(), *tensors)
            if tensor.device.type == torch.device(self.device).type and tensor.layout is torch.strided
        }
        return sum(storages.values())


def make_optimizer(name: str, module: nn.Module) -> torch.optim.Optimizer | None:
    """Return an optimizer of a module's parameters; None if there is nothing to train."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return OPTIMIZER_MAKERS[name](parameters, lr=0.0) if parameters else None


def compile_module(module: nn.Module) -> Callable[..., Any]:
    """Return the module as torch compiles it at its first call. Raises UsageError."""
    try:
        return torch.compile(module)
    except RuntimeError as error:  # a Python or a system that the compiler does not support
        raise UsageError(f"torch.compile: {first_line(error)}", "leave compile=True out") from error


@attributed_warnings()
def time_first_call(workload: Workload) -> float:
    """Return the seconds of a first step, in which a module is compiled. Raises UsageError if compilation fails."""
    start = time.perf_counter()
    try:
        workload.step()
    except StepError as failure:
        if not isinstance(failure.__cause__, torch._dynamo.exc.TorchDynamoException):
            raise
        raise UsageError(f"torch.compile: {first_line(failure.__cause__)}", "leave compile=True out") from failure
    return time.perf_counter() - start


def to_channels_last(module: nn.Module, call: CallArguments) -> tuple[nn.Module, CallArguments]:
    """Return the module and call in channels-last layout (NHWC): parameters, buffers, images and volumes."""
    args, kwargs = call
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor_channels_last(tensor.data)
    return module, (tree_channels_last(args), {name: tree_channels_last(value) for name, value in kwargs.items()})


CHANNELS_LAST_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
"""Memory formats by the number of axes."""


def tensor_channels_last(tensor: torch.Tensor) -> torch.Tensor:
    layout = CHANNELS_LAST_FORMATS.get(tensor.dim()) if tensor.layout is torch.strided else None
    return tensor if layout is None else tensor.contiguous(memory_format=layout)


def tree_channels_last(tree: Any) -> Any:
    return map_tensors(tree, tensor_channels_last)


def calls_in_turn(call: CallArguments, cache: int | None, *, most: int = 64) -> list[CallArguments]:
    """Return the call and copies of it, whose inputs together are twice as large as the last cache, or `most` calls.

    If a tensor is inside an object that cannot be copied, return the call alone.
    """
    args, kwargs = call
    tensors = {id(tensor): tensor for tree in (*args, *kwargs.values()) for _, tensor in named_tensors(tree)}
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if not size or not cache or tensors.keys() != tensor_ids((args, dict(kwargs))):
        return [call]
    count = max(1, min(most, -(-2 * cache // size)))
    return [call, *(copy_tensors((args, dict(kwargs))) for _ in range(count - 1))]


def tensor_ids(tree: Any) -> set[int]:
    """Return the ids of the tensors that `map_tensors` reaches."""
    ids: set[int] = set()

    def collect(tensor: torch.Tensor) -> torch.Tensor:
        ids.add(id(tensor))
        return tensor

    map_tensors(tree, collect)
    return ids


def copy_tensors(tree: Any) -> Any:
    """Return a tree with a copy of every tensor, in storage of its own; a tensor that occurs twice is one copy."""
    copies: dict[int, torch.Tensor] = {}

    def copied(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in copies:
            copies[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
        return copies[id(tensor)]

    return map_tensors(tree, copied)


def map_tensors(tree: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return a tree of plain lists, tuples and dicts with every tensor changed."""
    if isinstance(tree, torch.Tensor):
        return change(tree)
    if type(tree) in (list, tuple):
        return type(tree)([map_tensors(item, change) for item in tree])
    return {key: map_tensors(item, change) for key, item in tree.items()} if type(tree) is dict else tree
