"""What memory lives when: every kernel of a run → the storages that it makes → Moments and Lives.

    run ─ kernel by kernel ─→ new storages, each with a weak reference that tells when it goes ─→ Moments, Lives

Storages, and not tensors: views cost nothing, what is written in place costs nothing, and what only autograd's graph
holds lives until the graph lets go of it. What a kernel needs for itself, and gives back before it ends, only a
device's own allocator tells (AllocatorPeak).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import KeyedRef

import torch

from archscope.backends import AllocatorPeak, backend_of, is_on, leading_device, split_devices, traits_of
from archscope.record.backward import ACCUMULATE_GRAD, current_node
from archscope.record.kernel_mode import KernelMode
from archscope.record.recorder import Recorder
from archscope.record.tensors import tensors_in
from archscope.trace import Allocation, KernelEvent

InitialTensors = Mapping[str, Sequence[tuple[str, torch.Tensor]]]
"""What is there before the run: a kind of Allocation → its tensors, by name."""

KernelOwner = tuple[int] | int | str
"""The entry of a kernel of the forward pass; of the backward pass, the place of its step."""


class MemoryTracker(KernelMode):
    """Sees the memory that every kernel under it makes, and is told when it goes; keeps none of it alive.

    only: the device whose memory counts; empty where all does.
    """

    def __init__(self, recorder: Recorder, held: InitialTensors, gauge: AllocatorPeak | None = None, only: str = ""):
        super().__init__()
        self._allocator_peak = gauge
        self._only = only
        self._scratch: dict[int, int] = {}
        self._recorder = recorder
        self._complete = True
        self._owners: list[KernelOwner | None] = []
        self._allocations: list[Allocation] = []
        self._freed: dict[int, int] = {}
        self._alive: dict[int, tuple[int, KeyedRef[int, Any]]] = {}
        for kind, named in held.items():
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
        """A tensor that a kernel gave: its memory is new, has grown, or is known."""
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
        """The moments of the run and the lives in it, when it is over; none where some memory was not seen.

        outputs: what it gave. Gradients were taken from the leaves when it was over, which is not its doing.
        """
        for tensor in outputs:
            self._register(tensor, -1, "output")
        self._alive.clear()
        if not self._complete:
            return (), ()
        end = len(self._owners)
        lives = []
        for index, life in enumerate(self._allocations):
            died = self._freed.get(index)
            lives.append(life._replace(freed=None if life.kind == "gradient" and died == end else died))
        return tuple(self._events()), tuple(lives)

    def _events(self) -> Iterable[KernelEvent]:
        """The row of every kernel; what no node did belongs to the row before it."""
        derivation = self._recorder.backward_log
        steps = {place: index for index, place in enumerate(derivation.steps)} if derivation else {}
        last = -1
        for index, at in enumerate(self._owners):
            scratch = self._scratch.get(index)
            if isinstance(at, tuple):
                yield KernelEvent(at[0], False, scratch)
            else:
                last = last if at is None else steps.get(at, last)
                yield KernelEvent(last, True, scratch)


def make_memory_tracker(recorder: Recorder, held: InitialTensors, device: str) -> MemoryTracker:
    """The ledger of a run on a device, within `preserved_settings`; of several the memory of the one that sets the
    pace.

    The first kernel on meta makes torch load its compiler, which keeps what is alive at that moment; so it comes before
    the run.
    """
    devices = split_devices(device)
    place = leading_device(devices)
    if "meta" in devices:
        torch.empty((), device="meta").relu()
    backend_of(place).disable_autotuning()
    only = place if len(devices) > 1 or traits_of(place).is_async else ""
    return MemoryTracker(recorder, held, backend_of(place).allocator_peak(), only)
