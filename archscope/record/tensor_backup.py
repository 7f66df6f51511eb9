"""Tensors as they were before a run: what each is, noted when it is met; its values, copied before they are written.

held, met → TensorState (flags, history, gradient, hooks …)   about to be written → SavedTensor (memory, values)
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

from archscope.record.object_state import calls_intercepted
from archscope.record.restore import RestoreStep, run_steps
from archscope.record.snapshots import refill_table, same_table

set_version_counters: Callable[[tuple[torch.Tensor, ...], tuple[int, ...]], None] = (
    torch._C._autograd._unsafe_set_version_counter
)
swap_tensors: Callable[[torch.Tensor, torch.Tensor], None] = torch._C._swap_tensor_impl
"""Gives each of two Python objects the tensor that the other one had."""

WRITTEN_UNSEEN = "it was written by what no function shows, and its values from before are not known"
HISTORY_REPLACED = "it had a history, and the run has given it another one"


NodeId = tuple[int, str]
"""A node of autograd's: its number and its name. The node itself would keep alive what it has saved."""


class TensorState(NamedTuple):
    """What a tensor is, beside its values. preexisting: whether it was there before the run for certain; version: how
    often it was; node: what has computed it; hook_entries: its hooks, one by one; accumulate_hooks: those behind its
    gradient."""

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
    """A tensor, an alias of its memory, the bytes of that memory, a copy of its values. replaced: the tensor that it
    was, if the run was lent another one in the same memory."""

    tensor: torch.Tensor
    alias: torch.Tensor
    bytes: int
    values: torch.Tensor
    replaced: torch.Tensor | None


class TensorBackup:
    """What tensors were before the run. `give_back` makes them that again.

    aside: the device that keeps copies of values, where the tensors' own device has no room; None for their own.
    """

    def __init__(self, held: Iterable[torch.Tensor], *, aside: str | None = None):
        self._copy_device = aside
        self._states: dict[int, TensorState] = {}
        self._unindexed: list[ReferenceType[torch.Tensor]] = []
        self._by_storage: dict[int, list[ReferenceType[torch.Tensor]]] = {}
        self._saved: dict[int, SavedTensor] = {}
        with torch._C.DisableTorchFunction():
            for tensor in held:
                self.register(tensor, known=True)

    def register(self, tensor: torch.Tensor, *, known: bool = False) -> None:
        """Also this one, which the run has met and did not make; and what it is a view of.

        known: it was there before the run for certain. Of what a function transform has wrapped the innermost counts.
        """
        tensor = innermost_tensor(tensor)
        before = self._states.get(id(tensor))
        if before is None or before.tensor() is not tensor:
            made = tensor_state(tensor, known=known)
            self._states[id(tensor)] = made
            self._unindexed.append(made.tensor)
            if tensor._is_view() and tensor._base is not None:
                self.register(tensor._base, known=known)

    def back_up(self, tensor: torch.Tensor) -> None:
        """`tensor`, which may be a view, is going to be written: whatever is held in its memory is kept.

        What a function transform has wrapped is written where the innermost tensor lies.
        """
        written, tensor = tensor, innermost_tensor(tensor)
        while self._unindexed:
            met = self._unindexed.pop()
            held = met()
            if held is not None:
                self._by_storage.setdefault(storage_id(held), []).append(met)
        for met in self._by_storage.get(storage_id(tensor), ()):
            held = met()
            if held is not None and id(held) not in self._saved:
                self._saved[id(held)] = save_tensor(held, lend=held is written, aside=self._copy_device)

    def back_up_each(self, *tensors: Any) -> None:
        """Before these are given other memory, or one another's, by what no function shows."""
        with torch._C.DisableTorchFunction():
            for tensor in tensors:
                if isinstance(tensor, torch.Tensor):
                    self.register(tensor)
                    self.back_up(tensor)

    def back_up_all(self) -> None:
        """Before work that nobody can look into."""
        for held in self._live_tensors():
            self.back_up(held)

    def back_up_gradients(self) -> None:
        """Before a backward pass that the model runs itself."""
        for gradient in [one.gradient for one in self._states.values() if one.gradient is not None]:
            self.register(gradient)
            self.back_up(gradient)

    def _live_tensors(self) -> list[torch.Tensor]:
        found = (one.tensor() for one in list(self._states.values()))
        return [tensor for tensor in found if tensor is not None]

    def restore(self) -> None:
        """Makes every tensor what it was: first its memory and values, then what depends on these. A pending backward
        pass of the caller's must not notice: it counts how often a tensor was written."""
        with torch._C.DisableTorchFunction(), torch.inference_mode():
            run_steps(self._restore_steps())

    def _restore_steps(self) -> Iterator[RestoreStep]:
        marks = list(self._states.values())
        yield from ((swap_back, (kept,)) for kept in self._saved.values())
        for views in (False, True):
            yield from ((restore_history, (one, views)) for one in marks)
        yield from ((restore_values, (kept,)) for kept in self._saved.values())
        yield from ((restore_attributes, (one,)) for one in marks)
        # of a tensor and its view, which are counted as one, the one that was met first was written less
        yield from ((restore_version, (one, id(one.tensor()) in self._saved)) for one in reversed(marks))


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


def save_tensor(held: torch.Tensor, *, lend: bool, aside: str | None = None) -> SavedTensor:
    """Copied behind the back of whoever watches kernels: it is no work of the run's. Outside of function transforms
    (vmap, grad, jvp) too: they wrap what they make, and a wrapper of a transform that is over must not be touched.

    lend: the run writes another tensor in the same memory in the place of one that has a history, where it can.
    """
    with dispatch._disable_current_modes(), outside_of_transforms():
        alias = held.detach()
        values, size = alias.clone() if aside is None else alias.to(aside, copy=True), storage_bytes(alias)
        own = swap_in_copy(held, alias) if lend and held.grad_fn is not None and torch.is_grad_enabled() else None
        return SavedTensor(held, alias, size, values, own)


def swap_in_copy(held: torch.Tensor, alias: torch.Tensor) -> torch.Tensor | None:
    """What `held` was until now; None where others hold it in C++, so that it cannot be exchanged."""
    with torch._C.DisableTorchFunction():
        other = held.clone()
        other.data = alias.detach()
        set_version_counters((other,), (held._version,))
        try:
            swap_tensors(held, other)
        except RuntimeError:
            return None
    return other


# ------------------------------------------------------------ given back
def swap_back(kept: SavedTensor) -> None:
    """A tensor that was lent for another one's work becomes what it was."""
    if kept.replaced is not None:
        swap_tensors(kept.tensor, kept.replaced)


def restore_history(before: TensorState, views: bool) -> None:
    """A tensor without a history has none again; a view, when what it is a view of has none. Raises RuntimeError."""
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
    """Takes the history away. Torch refuses to do that to a view, so a new one takes its place."""
    with torch.inference_mode(False), torch.enable_grad():
        if tensor._base is None:
            tensor.detach_()
        else:
            fresh = tensor._base.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
            swap_tensors(tensor, fresh)


def restore_values(kept: SavedTensor) -> None:
    """Memory and values as they were, where they have changed."""
    tensor, alias, values = kept.tensor, kept.alias, kept.values
    if storage_id(tensor) != storage_id(alias) or memory_layout(tensor) != memory_layout(alias):
        tensor.data = alias
    if storage_bytes(alias) < kept.bytes:
        alias.untyped_storage().resize_(kept.bytes)
    if tensor.is_meta:
        return
    if not (is_comparable(tensor) and tensor.device == values.device and torch.equal(tensor, values)):
        tensor.copy_(values)


def restore_attributes(before: TensorState) -> None:
    """Whether it requires a gradient, its gradient, hooks and attributes as they were."""
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


def restore_version(before: TensorState, kept: bool) -> None:
    """How often it was written. Raises RuntimeError where it was, and nobody has seen it."""
    tensor = before.tensor()
    if tensor is None or before.version is None or tensor._version == before.version:
        return
    set_version_counters((tensor,), (before.version,))
    if before.preexisting and not kept:
        raise RuntimeError(WRITTEN_UNSEEN)


# ------------------------------------------------------------ memory
def innermost_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself, or the one inside all that function transforms have wrapped around it."""
    while transforms.is_functorch_wrapped_tensor(tensor):
        tensor = transforms.get_unwrapped(tensor)
    return tensor


def memory_layout(tensor: torch.Tensor) -> object:
    """How a tensor lies in its memory."""
    if not is_comparable(tensor):
        return tensor.dtype, tensor.shape
    return tensor.dtype, tensor.shape, tensor.stride(), tensor.storage_offset()


def is_comparable(tensor: torch.Tensor) -> bool:
    """Whether its values can be compared."""
    return tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_quantized


def storage_id(tensor: torch.Tensor) -> int:
    """Which memory a tensor lies in, by the identity of its storage; its own identity where it has none."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse tensors, wrappers of function transforms
        return id(tensor)


def storage_bytes(tensor: torch.Tensor) -> int:
    """The bytes of the memory that a tensor lies in; 0 where it has none."""
    with suppress(NotImplementedError, RuntimeError):
        return tensor.untyped_storage().nbytes()
    return 0


@contextmanager
def storage_swaps_watched(originals: TensorBackup) -> Iterator[None]:
    """Inside, tensors are kept before they get other memory by ways that torch shows to nobody."""
    with (
        calls_intercepted(torch.Tensor, "set_", originals.back_up_each),
        calls_intercepted(torch._C, "_swap_tensor_impl", originals.back_up_each),
    ):
        yield


@contextmanager
def preserved_tensors(held: Iterable[torch.Tensor], *, aside: str | None = None) -> Iterator[None]:
    """Tensors have their values again afterwards, whoever writes them. aside: the device that keeps copies of them."""
    originals = TensorBackup(held, aside=aside)
    originals.back_up_all()
    try:
        yield
    finally:
        originals.restore()
