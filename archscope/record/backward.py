"""The backward pass by its kernels: outputs → loss → autograd nodes → one Row for each forward row with a gradient.

    loss_of(outputs) → BackwardLog (a dispatch mode around the engine) ─ node by node ─→ BackwardSteps → Rows

A node has a sequence number, and a forward row has the range of numbers that were assigned while it ran (for an
operator that no function called: just before). So kernels are assigned to rows without hooks. Nodes that belong to no
row (a custom Function, a forward pass that a checkpoint recomputes) get a row of their own, named like the node.
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
from archscope.record.op_call import tensors_in
from archscope.record.replay import operator_kernels
from archscope.record.state.tensors import storage_id
from archscope.record.tensor_registry import CONSTANT_SOURCE, TensorRegistry
from archscope.trace import Kernel, Operand, Row, Value

SequenceRange = tuple[int, int]
"""The sequence numbers that were assigned while a row ran: the first, and the first after the last."""

ACCUMULATE_GRAD = "torch::autograd::AccumulateGrad"
"""The node that adds a gradient to a leaf's; it is not counted as work of the model."""

RNN_BACKWARD = "aten.mkldnn_rnn_layer_backward"
"""The backward pass of one layer in one direction. The edges of its node: input, four weights, first states h and c."""

current_node: Callable[[], Any] = torch._C._current_autograd_node
next_sequence_number: Callable[[], int] = torch.autograd._get_sequence_nr  # type: ignore[attr-defined]  # not exported


@dataclass(frozen=True)
class Loss:
    """The tensors that a backward pass starts from, and a description of them; no tensors if none needs a gradient."""

    tensors: tuple[torch.Tensor, ...]
    description: str


def loss_of(outputs: Any) -> Loss:
    """Return the output named `loss`, else the output if it is one number, else the sum of all outputs with
    gradients."""
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
    """The kernels of one node, or of all nodes of one forward row, with the values that they read and make.

    saved: tensors that the nodes saved, by the elements of memory that they show.
    """

    node: str
    kernels: list[Kernel] = field(default_factory=list)
    inputs: dict[int, Operand] = field(default_factory=dict)
    outputs: dict[int, Value] = field(default_factory=dict)
    saved: dict[object, Operand] = field(default_factory=dict)


class BackwardLog(KernelMode):
    """A dispatch mode that records each kernel of the engine under the forward row of its node.

    back_up: called with each tensor before it is written, by a hook or a custom Function. is_accumulating: True while
    we assign the gradients to leaves ourselves, after an engine run that does not.
    """

    def __init__(
        self, registry: TensorRegistry, spans: Sequence[SequenceRange], back_up: Callable[[torch.Tensor], object]
    ):
        super().__init__()
        self._back_up = back_up
        self.is_accumulating = False
        self.steps: dict[int | str, BackwardStep] = {}
        self._registry = registry
        self._starts = [start for start, _ in spans]
        self._ranges = spans
        self._tracked: set[Any] = set()

    @contextmanager
    def tracked_nodes(self, outputs: Iterable[torch.Tensor]) -> Iterator[None]:
        """Inside, the nodes behind the outputs belong to the run. What is recomputed in the backward pass has nodes of
        its own, which another thread may number from the start."""
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
        with torch._C.DisableTorchFunction():  # before torch 2.13 the recorder's mode sees these queries, too
            for tensor in tensors_in((args, kwargs)):
                operand = self._registry.known_operand(tensor) or self.saved_operand(tensor, step)
                if step.outputs.pop(operand.value.id, None) is None:
                    step.inputs[operand.value.id] = operand
        out = func(*args, **kwargs)
        kernels = operator_kernels(func, args, kwargs, out)
        step.kernels.extend(
            [with_output_mask(kernel, node) if kernel.name == RNN_BACKWARD else kernel for kernel in kernels]
        )
        for tensor in tensors_in((out,)):
            value = self._registry.register(tensor, name).value
            step.outputs[value.id] = value
        return out

    def saved_operand(self, tensor: torch.Tensor, step: BackwardStep) -> Operand:
        """Return the operand of a saved tensor; views of the same elements are one operand, which is read once."""
        key: object = id(tensor)
        if tensor.layout is torch.strided and not tensor.is_nested:
            key = storage_id(tensor), tensor.storage_offset(), tensor.numel()
        if key not in step.saved:
            step.saved[key] = self._registry.register(tensor, CONSTANT_SOURCE)
        return step.saved[key]

    def step_key(self, node: Any) -> int | str:
        """Return the key of a node's step: the forward row that made the node, else the node's name."""
        row = range_index(node._sequence_nr(), self._starts, self._ranges) if node in self._tracked else None
        return str(node.name().rpartition("::")[2]) if row is None else row

    def rows(self, forward: Sequence[Row]) -> Iterator[Row]:
        """Yield one row for each step, in the order in which they ran."""
        for index, (key, step) in enumerate(self.steps.items()):
            values = tuple(step.inputs.values()), tuple(step.outputs.values()), (), tuple(step.kernels)
            if isinstance(key, int):
                row = forward[key]
                function = f"{row.function} backward"
                # a `…_backward` kernel writes the gradient of a part into a whole, so that this is no view
                view = row.view and not any(kernel.name.endswith("_backward") for kernel in step.kernels)
                yield Row(
                    index, row.path, row.op, function, row.call, *values, view, row.place, (), row.short_name, key
                )
            else:
                yield Row(index, "", step.node, step.node, -1, *values, False, None, (), step.node)


def range_index(number: int, starts: Sequence[int], spans: Sequence[SequenceRange]) -> int | None:
    """Return the index of the range that contains a sequence number; starts: the first numbers of the ranges."""
    index = bisect_right(starts, number) - 1
    while index >= 0 and spans[index][0] == spans[index][1]:
        index -= 1
    return index if index >= 0 and number < spans[index][1] else None


def with_output_mask(kernel: Kernel, node: Any) -> Kernel:
    """Return a recurrent layer's kernel with an output mask: whether its input and its first state need gradients."""
    needed = [next_node is not None for next_node, _ in node.next_functions]
    return kernel._replace(attributes=(*kernel.attributes, ("output_mask", (needed[0], needed[5]))))


def run_backward(loss: Loss, log: BackwardLog, since: int) -> None:
    """Run autograd's engine; afterwards every leaf has the gradient that it had before.

    since: the sequence number of the first node of the run. An older part of the graph is the caller's: the pass ends
    there, with the gradient of what the run has read from it.
    """
    gradients = [torch.ones_like(tensor) for tensor in loss.tensors]
    with preserved_gradients(loss.tensors), log.tracked_nodes(loss.tensors), log:
        leaves, older = graph_boundary(loss.tensors, since)
        if not older:
            torch.autograd.backward(loss.tensors, gradients)
            return
        edges = [*map(get_gradient_edge, leaves), *older]
        found = torch.autograd.grad(loss.tensors, edges, gradients, allow_unused=True)
        log.is_accumulating = True
        for leaf, gradient in zip(leaves, found, strict=False):
            if gradient is not None:
                leaf.grad = gradient.detach()
        log.is_accumulating = False


def retained_graph_kwargs(args: tuple[Any, ...], kwargs: dict[str, Any], since: int) -> dict[str, Any]:
    """Return the keyword arguments of a backward pass that the model runs itself, with `retain_graph` if it passes
    through an older graph of the caller's, which must stay usable."""
    outputs = [tensor for tensor in tensors_in(args[:1]) if tensor.requires_grad]
    return {**kwargs, "retain_graph": True} if graph_boundary(outputs, since)[1] else kwargs


def graph_boundary(outputs: Iterable[torch.Tensor], since: int) -> tuple[list[torch.Tensor], list[GradientEdge]]:
    """Return the leaves of the graph behind tensors, and the edges at which it enters a graph older than `since`."""
    leaves: dict[int, torch.Tensor] = {}
    older: dict[tuple[Any, int], GradientEdge] = {}
    pending: list[Any] = [get_gradient_edge(tensor) for tensor in outputs]
    visited: set[Any] = set()
    while pending:
        edge = pending.pop()
        node: Any = edge.node
        if node.name() == ACCUMULATE_GRAD:
            leaves[id(node.variable)] = node.variable
        elif node._sequence_nr() < since:
            older[node, edge.output_nr] = edge
        elif node not in visited:
            visited.add(node)
            pending.extend(GradientEdge(*following) for following in node.next_functions if following[0] is not None)
    return [*leaves.values()], [*older.values()]


@contextmanager
def preserved_gradients(outputs: Sequence[torch.Tensor]) -> Iterator[None]:
    """Inside, no leaf of the graph has a gradient; afterwards each has the one that it had."""
    with torch._C.DisableTorchFunction():
        before = [(leaf, leaf.grad) for leaf in graph_leaves(outputs)]
        for leaf, _ in before:
            leaf.grad = None
    try:
        yield
    finally:
        with torch._C.DisableTorchFunction():
            for leaf, gradient in before:
                with suppress(RuntimeError):  # of another dtype by now: the tensor backup restores it
                    leaf.grad = gradient


def graph_leaves(outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the leaves of the graph behind tensors."""
    found: dict[int, torch.Tensor] = {id(tensor): tensor for tensor in outputs if tensor.is_leaf}
    for node in graph_nodes(outputs):
        if node.name() == ACCUMULATE_GRAD:
            found[id(node.variable)] = node.variable
    return list(found.values())


def graph_nodes(outputs: Iterable[torch.Tensor]) -> Iterator[Any]:
    """Yield the nodes of the graph behind tensors, each once."""
    pending: list[Any] = [tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None]
    visited = set(pending)
    while pending:
        node = pending.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in visited:
                visited.add(following)
                pending.append(following)
