"""Tensors as they were before a run: the state of each is noted when it is found, its values are copied before a write.

model, inputs, constants → TensorState (flags, history, gradient, hooks …)     before a write → SavedTensor (values)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from weakref import ReferenceType
from weakref import ref as reference

import torch
from torch._C import _functorch as transforms
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack as outside_of_transforms
from torch.utils import _python_dispatch as dispatch

from archscope.record.state.object_snapshots import refill_table, same_table
from archscope.record.state.objects import calls_intercepted
from archscope.record.state.restore_steps import RestoreStep, run_steps

set_version_counters: Callable[[tuple[torch.Tensor, ...], tuple[int, ...]], None] = (
    torch._C._autograd._unsafe_set_version_counter
)
swap_tensors: Callable[[torch.Tensor, torch.Tensor], None] = torch._C._swap_tensor_impl
"""Exchanges the tensors of two Python objects."""

WRITTEN_UNSEEN = "it was written by code that no function shows, and its values from before are not known"
HISTORY_REPLACED = "it had an autograd history, and the run has replaced it"


NodeId = tuple[int, str]
"""The sequence number and name of an autograd node; the node itself would keep alive what it has saved."""


class TensorState(NamedTuple):
    """The state of a tensor, without its values.

    preexisting: True if it certainly existed before the run. version: how often it was written. node: the autograd node
    that computed it. hook_entries: its hooks. accumulate_hooks: those that run after its gradient is accumulated.
    """

    tensor: ReferenceType[torch.Tensor]
    preexisting: bool
    kind: type
    version: int | None
    requires_grad: bool
    node: NodeId | None
    gradient: torch.Tensor | None
    hooks: Any
    hook_entries: dict[int, Any]
    accumulate_hooks: Any
    attributes: dict[str, Any]


class SavedTensor(NamedTuple):
    """A tensor, an alias of its memory, the size of that memory, and a copy of its values.

    replaced: the original tensor, if the run works with another one in the same memory.
    """

    tensor: torch.Tensor
    alias: torch.Tensor
    bytes: int
    values: torch.Tensor
    replaced: torch.Tensor | None


class TensorBackup:
    """The tensors of a model, its inputs and constants as they were before the run. `restore` makes them so again.

    aside: the device for copies of values, if the tensors' own device has no memory for them; None for their own.
    """

    def __init__(self, tensors: Iterable[torch.Tensor], *, aside: str | None = None):
        self._copy_device = aside
        self._states: dict[int, TensorState] = {}
        self._unindexed: list[ReferenceType[torch.Tensor]] = []
        self._by_storage: dict[int, list[ReferenceType[torch.Tensor]]] = {}
        self._saved: dict[int, SavedTensor] = {}
        with torch._C.DisableTorchFunction():
            for tensor in tensors:
                self.register(tensor, known=True)

    def register(self, tensor: torch.Tensor, *, known: bool = False) -> None:
        """Note the state of a tensor that the run has not made, and of the tensor that it is a view of.

        known: it certainly existed before the run. If a function transform has wrapped it, the innermost tensor is
        noted.
        """
        tensor = innermost_tensor(tensor)
        before = self._states.get(id(tensor))
        if before is None or before.tensor() is not tensor:
            state = tensor_state(tensor, known=known)
            self._states[id(tensor)] = state
            self._unindexed.append(state.tensor)
            if tensor._is_view() and tensor._base is not None:
                self.register(tensor._base, known=known)

    def back_up(self, tensor: torch.Tensor) -> None:
        """Copy all noted tensors in the memory of `tensor`, which may be a view, since it is about to be written.

        If a function transform has wrapped it, the innermost tensor's memory is written.
        """
        written, tensor = tensor, innermost_tensor(tensor)
        while self._unindexed:
            reference_ = self._unindexed.pop()
            live = reference_()
            if live is not None:
                self._by_storage.setdefault(storage_id(live), []).append(reference_)
        for reference_ in self._by_storage.get(storage_id(tensor), ()):
            live = reference_()
            if live is not None and id(live) not in self._saved:
                self._saved[id(live)] = save_tensor(live, lend=live is written, aside=self._copy_device)

    def back_up_each(self, *tensors: Any) -> None:
        """Back up these tensors before they get other memory, or are swapped, by code that no function shows."""
        with torch._C.DisableTorchFunction():
            for tensor in tensors:
                if isinstance(tensor, torch.Tensor):
                    self.register(tensor)
                    self.back_up(tensor)

    def back_up_all(self) -> None:
        """Back up all tensors before work that cannot be observed."""
        for tensor in self._live_tensors():
            self.back_up(tensor)

    def back_up_gradients(self) -> None:
        """Back up all gradients before a backward pass that the model runs itself."""
        for gradient in [state.gradient for state in self._states.values() if state.gradient is not None]:
            self.register(gradient)
            self.back_up(gradient)

    def _live_tensors(self) -> list[torch.Tensor]:
        found = (state.tensor() for state in list(self._states.values()))
        return [tensor for tensor in found if tensor is not None]

    def restore(self) -> None:
        """Restore every tensor: first its memory and values, then what depends on these. Version counters are restored
        too, since a pending backward pass of the caller's checks them."""
        with torch._C.DisableTorchFunction(), torch.inference_mode():
            run_steps(self._restore_steps())

    def _restore_steps(self) -> Iterator[RestoreStep]:
        states = list(self._states.values())
        yield from ((swap_back, (saved,)) for saved in self._saved.values())
        for views in (False, True):
            yield from ((restore_history, (state, views)) for state in states)
        yield from ((restore_values, (saved,)) for saved in self._saved.values())
        yield from ((restore_attributes, (state,)) for state in states)
        # a tensor and its view share a version counter; the one that was noted first has the lower value
        yield from ((restore_version, (state, id(state.tensor()) in self._saved)) for state in reversed(states))


def tensor_state(tensor: torch.Tensor, *, known: bool) -> TensorState:
    leaf, hooks = tensor.is_leaf, tensor._backward_hooks
    return TensorState(
        reference(tensor),
        known,
        type(tensor),
        None if tensor.is_inference() else tensor._version,
        tensor.requires_grad,
        None if leaf else node_id(tensor),
        tensor.grad if leaf else None,
        hooks,
        dict(hooks) if hooks else {},
        tensor._post_accumulate_grad_hooks,
        vars(tensor).copy(),
    )


def node_id(tensor: torch.Tensor) -> NodeId | None:
    node: Any = tensor.grad_fn
    return None if node is None else (node._sequence_nr(), node.name())


def save_tensor(tensor: torch.Tensor, *, lend: bool, aside: str | None = None) -> SavedTensor:
    """Return a copy of a tensor's values, made outside of all modes, since it is no work of the run, and outside of
    function transforms (vmap, grad, jvp), which would wrap the copy, and wrappers become invalid when a transform ends.

    lend: if the tensor has a history, let the run write another tensor in the same memory instead, if possible.
    """
    with dispatch._disable_current_modes(), outside_of_transforms():
        alias = tensor.detach()
        values, size = alias.clone() if aside is None else alias.to(aside, copy=True), storage_bytes(alias)
        own = swap_in_copy(tensor, alias) if lend and tensor.grad_fn is not None and torch.is_grad_enabled() else None
        return SavedTensor(tensor, alias, size, values, own)


def swap_in_copy(tensor: torch.Tensor, alias: torch.Tensor) -> torch.Tensor | None:
    """Return the original tensor after replacing it; None if C++ code holds it too, so that it cannot be swapped."""
    with torch._C.DisableTorchFunction():
        other = tensor.clone()
        other.data = alias.detach()
        set_version_counters((other,), (tensor._version,))
        try:
            swap_tensors(tensor, other)
        except RuntimeError:
            return None
    return other


# ------------------------------------------------------------ restoring
def swap_back(saved: SavedTensor) -> None:
    """Swap a tensor back that was replaced for the run."""
    if saved.replaced is not None:
        swap_tensors(saved.tensor, saved.replaced)


def restore_history(before: TensorState, views: bool) -> None:
    """Remove the history from a tensor that had none, of views after their bases. Raises RuntimeError."""
    tensor = before.tensor()
    if tensor is None or tensor._is_view() != views:
        return
    if type(tensor) is not before.kind:
        tensor.__class__ = before.kind
    if before.node is None:
        if tensor.grad_fn is not None:
            clear_history(tensor)
    elif not views and node_id(tensor) != before.node:
        raise RuntimeError(HISTORY_REPLACED)


def clear_history(tensor: torch.Tensor) -> None:
    """Remove a tensor's history. torch refuses to detach a view in place, so a new view replaces it."""
    with torch.inference_mode(False), torch.enable_grad():
        if tensor._base is None:
            tensor.detach_()
        else:
            fresh = tensor._base.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
            swap_tensors(tensor, fresh)


def restore_values(saved: SavedTensor) -> None:
    """Restore memory and values, if they have changed."""
    tensor, alias, values = saved.tensor, saved.alias, saved.values
    if storage_id(tensor) != storage_id(alias) or memory_layout(tensor) != memory_layout(alias):
        tensor.data = alias
    if storage_bytes(alias) < saved.bytes:
        alias.untyped_storage().resize_(saved.bytes)
    if tensor.is_meta:
        return
    if not (is_comparable(tensor) and tensor.device == values.device and torch.equal(tensor, values)):
        tensor.copy_(values)


def restore_attributes(before: TensorState) -> None:
    """Restore whether it requires a gradient, its gradient, hooks and attributes."""
    tensor = before.tensor()
    if tensor is None:
        return
    if tensor.is_leaf and tensor.requires_grad != before.requires_grad:
        tensor.requires_grad_(before.requires_grad)
    if tensor.is_leaf and tensor.grad is not before.gradient:
        tensor.grad = before.gradient
    if before.hooks is not None and before.hooks != before.hook_entries:
        before.hooks.clear()
        before.hooks.update(before.hook_entries)
    if tensor._backward_hooks is not before.hooks:
        tensor._backward_hooks = before.hooks
    if tensor._post_accumulate_grad_hooks is not before.accumulate_hooks:
        tensor._post_accumulate_grad_hooks = before.accumulate_hooks
    if not same_table(vars(tensor), before.attributes):
        refill_table(vars(tensor), before.attributes)


def restore_version(before: TensorState, saved: bool) -> None:
    """Restore how often it was written. Raises RuntimeError if it was written and no copy exists."""
    tensor = before.tensor()
    if tensor is None or before.version is None or tensor._version == before.version:
        return
    set_version_counters((tensor,), (before.version,))
    if before.preexisting and not saved:
        raise RuntimeError(WRITTEN_UNSEEN)


# ------------------------------------------------------------ memory
def innermost_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor itself, or the one inside all wrappers of function transforms."""
    while transforms.is_functorch_wrapped_tensor(tensor):
        tensor = transforms.get_unwrapped(tensor)
    return tensor


def memory_layout(tensor: torch.Tensor) -> object:
    """Return how a tensor lies in its memory: dtype, shape, stride, offset."""
    if not is_comparable(tensor):
        return tensor.dtype, tensor.shape
    return tensor.dtype, tensor.shape, tensor.stride(), tensor.storage_offset()


def is_comparable(tensor: torch.Tensor) -> bool:
    """Return whether its values can be compared."""
    return tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_quantized


def storage_id(tensor: torch.Tensor) -> int:
    """Return the identity of a tensor's storage; the tensor's own if it has none."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse tensors, wrappers of function transforms
        return id(tensor)


def storage_bytes(tensor: torch.Tensor) -> int:
    """Return the bytes of the storage that a tensor lies in; 0 if it has none."""
    with suppress(NotImplementedError, RuntimeError):
        return tensor.untyped_storage().nbytes()
    return 0


@contextmanager
def storage_swaps_watched(originals: TensorBackup) -> Iterator[None]:
    """Inside, tensors are backed up before they get other memory in ways that modes do not see."""
    with (
        calls_intercepted(torch.Tensor, "set_", originals.back_up_each),
        calls_intercepted(torch._C, "_swap_tensor_impl", originals.back_up_each),
    ):
        yield


@contextmanager
def preserved_tensors(tensors: Iterable[torch.Tensor], *, aside: str | None = None) -> Iterator[None]:
    """Inside, tensors may be written; afterwards they have their values again. aside: the device for the copies."""
    originals = TensorBackup(tensors, aside=aside)
    originals.back_up_all()
    try:
        yield
    finally:
        originals.restore()
