"""The lifetime of memory: kernels of a run → the storages that they allocate → KernelEvents and Allocations.

    run ─ kernel by kernel ─→ new storages, each with a weak reference that reports its end ─→ KernelEvents, Allocations

Storages are tracked instead of tensors: views and in-place operations allocate nothing, and what only autograd's graph
holds lives until the graph frees it. Memory that a kernel frees before it ends is known only to a device's allocator
(AllocatorPeak).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import KeyedRef

import torch

from archscope.devices import AllocatorPeak, backend_of, is_on, leading_device, split_devices, traits_of
from archscope.record.backward import ACCUMULATE_GRAD, current_node
from archscope.record.kernel_mode import KernelMode
from archscope.record.op_call import tensors_in
from archscope.record.recorder import Recorder
from archscope.trace import Allocation, KernelEvent

InitialTensors = Mapping[str, Sequence[tuple[str, torch.Tensor]]]
"""Tensors that exist before the run, by name, for each kind of Allocation."""

KernelOwner = tuple[int] | int | str
"""The number of recorded calls before a kernel of the forward pass; for the backward pass, the key of its step."""


class MemoryTracker(KernelMode):
    """A dispatch mode that records the storages that every kernel allocates, and when they are freed; keeps none alive.

    only: the device whose memory counts; empty if all memory counts.
    """

    def __init__(
        self, recorder: Recorder, initial: InitialTensors, allocator_peak: AllocatorPeak | None = None, only: str = ""
    ):
        super().__init__()
        self._allocator_peak = allocator_peak
        self._only = only
        self._scratch: dict[int, int] = {}
        self._recorder = recorder
        self._complete = True
        self._owners: list[KernelOwner | None] = []
        self._allocations: list[Allocation] = []
        self._freed: dict[int, int] = {}
        self._alive: dict[int, tuple[int, KeyedRef[int, Any]]] = {}
        for kind, named in initial.items():
            for _, tensor in named:
                self._register(tensor, -1, kind)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        moment, kind = len(self._owners), ""
        if self._recorder.in_backward:
            node = current_node()
            name = "" if node is None else node.name()
            kind = "gradient" if name == ACCUMULATE_GRAD or self._recorder.in_accumulation else ""
            self._owners.append(self._recorder.step_key(node) if name and not kind else None)
        else:
            self._owners.append((len(self._recorder.recorded_calls),))
        if self._allocator_peak:
            self._allocator_peak.start()
        out = func(*args, **(kwargs or {}))
        if self._allocator_peak:
            self._scratch[moment] = self._allocator_peak.scratch_bytes()
        for tensor in tensors_in((out,)):
            self._register(tensor, moment, kind)
        return out

    def _register(self, tensor: torch.Tensor, born: int, kind: str) -> None:
        """Record the storage of a tensor that a kernel returned: it is new, has grown, or is known."""
        if self._only and not is_on(tensor, self._only):
            return
        try:
            with torch._C.DisableTorchFunction():
                storage = tensor.untyped_storage()
                size, address = storage.nbytes(), storage._cdata
        except (NotImplementedError, RuntimeError):  # sparse tensors have none
            self._complete = False
            return
        index = self._alive[address][0] if address in self._alive else -1
        before = self._allocations[index].bytes if index >= 0 else 0
        if size != before:
            if index >= 0:
                self._freed[index] = born
            self._alive[address] = len(self._allocations), KeyedRef(storage, self._on_freed, address)
            self._allocations.append(Allocation(size, born, None, kind))
        elif kind and index >= 0 and not self._allocations[index].kind:
            self._allocations[index] = self._allocations[index]._replace(kind=kind)

    def _on_freed(self, storage: KeyedRef[int, Any]) -> None:
        index, _ = self._alive.pop(storage.key)
        self._freed[index] = len(self._owners)

    def finish(self, outputs: Iterable[torch.Tensor]) -> tuple[tuple[KernelEvent, ...], tuple[Allocation, ...]]:
        """Return the kernels of the run, and the allocations; both are empty if some memory was not seen.

        outputs: what the run returned. Gradients that were removed from the leaves after the run count as still
        allocated.
        """
        for tensor in outputs:
            self._register(tensor, -1, "output")
        self._alive.clear()
        if not self._complete:
            return (), ()
        end = len(self._owners)
        allocations = []
        for index, allocation in enumerate(self._allocations):
            freed = self._freed.get(index)
            allocations.append(
                allocation._replace(freed=None if allocation.kind == "gradient" and freed == end else freed)
            )
        return tuple(self._events()), tuple(allocations)

    def _events(self) -> Iterable[KernelEvent]:
        """Yield every kernel with its row; a kernel of no node belongs to the row before it."""
        log = self._recorder.backward_log
        steps = {key: index for index, key in enumerate(log.steps)} if log else {}
        last = -1
        for index, owner in enumerate(self._owners):
            scratch = self._scratch.get(index)
            if isinstance(owner, tuple):
                yield KernelEvent(owner[0], False, scratch)
            else:
                last = last if owner is None else steps.get(owner, last)
                yield KernelEvent(last, True, scratch)


def make_memory_tracker(recorder: Recorder, initial: InitialTensors, device: str) -> MemoryTracker:
    """Return the memory tracker of a run, within `preserved_settings`; of several devices, it tracks the leading one.

    The first kernel on meta makes torch load its compiler, which keeps objects alive that exist at that moment; so one
    is run beforehand.
    """
    devices = split_devices(device)
    tracked = leading_device(devices)
    if "meta" in devices:
        torch.empty((), device="meta").relu()
    backend_of(tracked).disable_autotuning()
    only = tracked if len(devices) > 1 or traits_of(tracked).is_async else ""
    return MemoryTracker(recorder, initial, backend_of(tracked).allocator_peak(), only)
