"""The backward pass by its kernels: outputs → loss → autograd's nodes → one Row for each forward row that was derived.

    loss_of(outputs) → BackwardLog (a dispatch mode around the engine) ─ node by node ─→ Steps → Rows

A node carries a sequence number, and a forward row knows which numbers were given out while it ran (of an operator
that no function called, just before). So kernels find their row without hooks. What nobody's row made (a custom
Function, a forward pass run again by a checkpoint) has a row of its own, called like its node.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge

from archscope.record.kernel_mode import KernelMode
from archscope.record.named_tensors import named_tensors
from archscope.record.replay import operator_kernels
from archscope.record.tensor_backup import storage_id
from archscope.record.tensor_registry import CONSTANT_SOURCE, TensorRegistry
from archscope.record.tensors import tensors_in
from archscope.trace import Kernel, Operand, Row, Value

SequenceRange = tuple[int, int]
"""The sequence numbers that were given out while a row ran: from the first on, without the last."""

ACCUMULATE_GRAD = "torch::autograd::AccumulateGrad"
"""The node that adds a gradient to a leaf's; no part of the model's work."""

RNN_BACKWARD = "aten.mkldnn_rnn_layer_backward"
"""One layer and direction at once. Its node's edges: input, four weights, the first state, the first cell."""

current_node: Callable[[], Any] = torch._C._current_autograd_node
next_sequence_number: Callable[[], int] = torch.autograd._get_sequence_nr  # type: ignore[attr-defined]  # not exported


@dataclass(frozen=True)
class Loss:
    """What the backward pass starts from, and in words which loss that is; no tensors where nothing can be derived."""

    tensors: tuple[torch.Tensor, ...]
    description: str


def loss_of(outputs: Any) -> Loss:
    """An output called `loss`, else the only number, else the sum of all floating-point outputs."""
    named = [(name, tensor) for name, tensor in named_tensors(outputs) if tensor.requires_grad]
    for name, tensor in named:
        if name.rpartition(".")[2] == "loss" and tensor.numel() == 1:
            return Loss((tensor,), f"output {name}")
    distinct = tuple({id(tensor): tensor for _, tensor in named}.values())
    if not distinct:
        return Loss((), "")
    if len(distinct) == 1 and distinct[0].numel() == 1:
        return Loss(distinct, "the output")
    return Loss(distinct, "the sum of the output" if len(distinct) == 1 else "the sum of all outputs")


@dataclass
class BackwardStep:
    """What ran for one node, or for all nodes of one forward row: its kernels, and the values at its door.

    saved: what its nodes kept, by the elements that it shows.
    """

    node: str
    kernels: list[Kernel] = field(default_factory=list)
    inputs: dict[int, Operand] = field(default_factory=dict)
    outputs: dict[int, Value] = field(default_factory=dict)
    saved: dict[object, Operand] = field(default_factory=dict)


class BackwardLog(KernelMode):
    """Writes down every kernel of the engine under the forward row that it derives.

    keep: is told of a tensor before it is written, by a hook or a Function of the author's. is_accumulating: whether
    the leaves are given their gradients, after an engine that leaves that to us.
    """

    def __init__(self, values: TensorRegistry, spans: Sequence[SequenceRange], keep: Callable[[torch.Tensor], object]):
        super().__init__()
        self._back_up = keep
        self.is_accumulating = False
        self.steps: dict[int | str, BackwardStep] = {}
        self._registry = values
        self._starts = [start for start, _ in spans]
        self._ranges = spans
        self._tracked: set[Any] = set()

    @contextmanager
    def tracked_nodes(self, outputs: Iterable[torch.Tensor]) -> Iterator[None]:
        """Inside, the nodes behind the outputs are those of the run. What is run again while they are derived has nodes
        of its own, which another thread may number from the start."""
        self._tracked = set(graph_nodes(outputs))
        try:
            yield
        finally:
            self._tracked = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for tensor in tensors_in((args, kwargs)):
                self._back_up(tensor)
        node = current_node()
        if node is None or node.name() == ACCUMULATE_GRAD:
            return func(*args, **kwargs)
        name = node.name().rpartition("::")[2]
        step = self.steps.setdefault(self.step_key(node), BackwardStep(name))
        with torch._C.DisableTorchFunction():  # before torch 2.13 the recorder's mode sees what is asked here, too
            for tensor in tensors_in((args, kwargs)):
                operand = self._registry.known_operand(tensor) or self.saved_operand(tensor, step)
                if step.outputs.pop(operand.value.id, None) is None:
                    step.inputs[operand.value.id] = operand
        out = func(*args, **kwargs)
        ran = operator_kernels(func, args, kwargs, out)
        step.kernels.extend(
            [with_output_mask(kernel, node) if kernel.name == RNN_BACKWARD else kernel for kernel in ran]
        )
        for tensor in tensors_in((out,)):
            value = self._registry.register(tensor, name).value
            step.outputs[value.id] = value
        return out

    def saved_operand(self, tensor: torch.Tensor, step: BackwardStep) -> Operand:
        """A tensor that a node has kept; a view of one that its step has read is read no second time."""
        place = storage_key(tensor)
        if place not in step.saved:
            step.saved[place] = self._registry.register(tensor, CONSTANT_SOURCE)
        return step.saved[place]

    def step_key(self, node: Any) -> int | str:
        """The step of a node that is at work: the forward row in whose time it came to be, else its name."""
        row = range_index(node._sequence_nr(), self._starts, self._ranges) if node in self._tracked else None
        return str(node.name().rpartition("::")[2]) if row is None else row

    def rows(self, forward: Sequence[Row]) -> Iterator[Row]:
        """One row for each step, in the order in which they ran."""
        for index, (place, step) in enumerate(self.steps.items()):
            door = tuple(step.inputs.values()), tuple(step.outputs.values()), (), tuple(step.kernels)
            if isinstance(place, int):
                row = forward[place]
                function, view = f"{row.function} backward", row.view and not any(map(is_scatter_kernel, step.kernels))
                yield Row(
                    index, row.path, row.op, function, row.call, *door, view, row.place, (), row.short_name, place
                )
            else:
                yield Row(index, "", step.node, step.node, -1, *door, False, None, (), step.node)


def range_index(number: int, starts: Sequence[int], spans: Sequence[SequenceRange]) -> int | None:
    """The index of the span, of those that begin at these starts, in which a sequence number was given out."""
    index = bisect_right(starts, number) - 1
    while index >= 0 and spans[index][0] == spans[index][1]:
        index -= 1
    return index if index >= 0 and number < spans[index][1] else None


def with_output_mask(kernel: Kernel, node: Any) -> Kernel:
    """The kernel of a recurrent layer with what is asked of it: the gradients of its input and of its first state."""
    following = [after is not None for after, _ in node.next_functions]
    return kernel._replace(attributes=(*kernel.attributes, ("output_mask", (following[0], following[5]))))


def storage_key(tensor: torch.Tensor) -> object:
    """What views of the same elements have in common."""
    if tensor.layout is not torch.strided or tensor.is_nested:
        return id(tensor)
    return storage_id(tensor), tensor.storage_offset(), tensor.numel()


def is_scatter_kernel(kernel: Kernel) -> bool:
    """Whether a kernel puts the gradient of a part into a whole: what was a view is none backwards."""
    return kernel.name.endswith("_backward")


def run_backward(loss: Loss, derivation: BackwardLog, since: int) -> None:
    """Runs autograd's engine; whatever gradients there were before are there again afterwards.

    since: the number of the first node of the run. A graph that is older is the caller's: the pass ends there, with the
    gradient of what the run has read of it.
    """
    gradients = [torch.ones_like(tensor) for tensor in loss.tensors]
    with preserved_gradients(loss.tensors), derivation.tracked_nodes(loss.tensors), derivation:
        leaves, older = graph_boundary(loss.tensors, since)
        if not older:
            torch.autograd.backward(loss.tensors, gradients)
            return
        edges = [*map(get_gradient_edge, leaves), *older]
        found = torch.autograd.grad(loss.tensors, edges, gradients, allow_unused=True)
        derivation.is_accumulating = True
        for leaf, gradient in zip(leaves, found, strict=False):
            if gradient is not None:
                leaf.grad = gradient.detach()
        derivation.is_accumulating = False


def retained_graph_kwargs(args: tuple[Any, ...], kwargs: dict[str, Any], since: int) -> dict[str, Any]:
    """The named arguments of a backward pass that the model runs itself: through a graph that is older, so that this
    is not used up."""
    outputs = [tensor for tensor in tensors_in(args[:1]) if tensor.requires_grad]
    return {**kwargs, "retain_graph": True} if graph_boundary(outputs, since)[1] else kwargs


def graph_boundary(outputs: Iterable[torch.Tensor], since: int) -> tuple[list[torch.Tensor], list[GradientEdge]]:
    """The leaves of the graph behind tensors, and where it goes over into one that is older than a number."""
    leaves: dict[int, torch.Tensor] = {}
    older: dict[tuple[Any, int], GradientEdge] = {}
    ahead: list[Any] = [get_gradient_edge(tensor) for tensor in outputs]
    met: set[Any] = set()
    while ahead:
        edge = ahead.pop()
        node: Any = edge.node
        if node.name() == ACCUMULATE_GRAD:
            leaves[id(node.variable)] = node.variable
        elif node._sequence_nr() < since:
            older[node, edge.output_nr] = edge
        elif node not in met:
            met.add(node)
            ahead.extend(GradientEdge(*following) for following in node.next_functions if following[0] is not None)
    return [*leaves.values()], [*older.values()]


@contextmanager
def preserved_gradients(outputs: Sequence[torch.Tensor]) -> Iterator[None]:
    """Inside, no leaf of the graph has a gradient yet; afterwards each has the one that it had."""
    with torch._C.DisableTorchFunction():
        before = [(leaf, leaf.grad) for leaf in graph_leaves(outputs)]
        for leaf, _ in before:
            leaf.grad = None
    try:
        yield
    finally:
        with torch._C.DisableTorchFunction():
            for leaf, gradient in before:
                with suppress(RuntimeError):  # of another dtype by now; what the run has met becomes what it was
                    leaf.grad = gradient


def graph_leaves(outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The leaves that a graph leads to."""
    found: dict[int, torch.Tensor] = {id(tensor): tensor for tensor in outputs if tensor.is_leaf}
    for node in graph_nodes(outputs):
        if node.name() == ACCUMULATE_GRAD:
            found[id(node.variable)] = node.variable
    return list(found.values())


def graph_nodes(outputs: Iterable[torch.Tensor]) -> Iterator[Any]:
    """The nodes of the graph behind tensors, each once."""
    ahead: list[Any] = [tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None]
    met = set(ahead)
    while ahead:
        node = ahead.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in met:
                met.add(following)
                ahead.append(following)
