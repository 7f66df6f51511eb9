"""What memory lives when: every kernel of a run → the storages that it makes → Moments and Lives.

    run ─ kernel by kernel ─→ new storages, each with a weak reference that tells when it goes ─→ Moments, Lives

Storages, and not tensors: views cost nothing, what is written in place costs nothing, and what only autograd's graph
holds lives until the graph lets go of it. What a kernel needs for itself, and gives back before it ends, only a
device's own allocator tells (Gauge).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import KeyedRef

import torch

from archscope.backends import Gauge, backend_of, devices_in, is_on, leading, traits_of
from archscope.record.backward import ACCUMULATE, current_node
from archscope.record.onlooker import Onlooker
from archscope.record.recorder import Recorder
from archscope.record.tensors import tensors
from archscope.trace import Life, Moment

Held = Mapping[str, Sequence[tuple[str, torch.Tensor]]]
"""What is there before the run: a kind of Life → its tensors, by name."""

Place = tuple[int] | int | str
"""The entry of a kernel of the forward pass; of the backward pass, the place of its step."""


class Ledger(Onlooker):
    """Sees the memory that every kernel under it makes, and is told when it goes; keeps none of it alive.

    only: the device whose memory counts; empty where all does.
    """

    def __init__(self, recorder: Recorder, held: Held, gauge: Gauge | None = None, only: str = ""):
        super().__init__()
        self._gauge = gauge
        self._only = only
        self._scratch: dict[int, int] = {}
        self._recorder = recorder
        self._complete = True
        self._moments: list[Place | None] = []
        self._lives: list[Life] = []
        self._deaths: dict[int, int] = {}
        self._alive: dict[int, tuple[int, KeyedRef[int, Any]]] = {}
        for kind, named in held.items():
            for _, tensor in named:
                self._see(tensor, -1, kind)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        moment, kind = len(self._moments), ""
        if self._recorder.deriving:
            node = current_node()
            name = "" if node is None else node.name()
            kind = "gradient" if name == ACCUMULATE or self._recorder.accumulating else ""
            self._moments.append(self._recorder.step_of(node) if name and not kind else None)
        else:
            self._moments.append((len(self._recorder.entries),))
        if self._gauge:
            self._gauge.start()
        out = func(*args, **(kwargs or {}))
        if self._gauge:
            self._scratch[moment] = self._gauge.scratch()
        for tensor in tensors((out,)):
            self._see(tensor, moment, kind)
        return out

    def _see(self, tensor: torch.Tensor, born: int, kind: str) -> None:
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
        before = self._lives[index].bytes if index >= 0 else 0
        if size != before:
            if index >= 0:
                self._deaths[index] = born
            self._alive[address] = len(self._lives), KeyedRef(storage, self._gone, address)
            self._lives.append(Life(size, born, None, kind))
        elif kind and index >= 0 and not self._lives[index].kind:
            self._lives[index] = self._lives[index]._replace(kind=kind)

    def _gone(self, storage: KeyedRef[int, Any]) -> None:
        index, _ = self._alive.pop(storage.key)
        self._deaths[index] = len(self._moments)

    def read(self, outputs: Iterable[torch.Tensor]) -> tuple[tuple[Moment, ...], tuple[Life, ...]]:
        """The moments of the run and the lives in it, when it is over; none where some memory was not seen.

        outputs: what it gave. Gradients were taken from the leaves when it was over, which is not its doing.
        """
        for tensor in outputs:
            self._see(tensor, -1, "output")
        self._alive.clear()
        if not self._complete:
            return (), ()
        end = len(self._moments)
        lives = []
        for index, life in enumerate(self._lives):
            died = self._deaths.get(index)
            lives.append(life._replace(died=None if life.kind == "gradient" and died == end else died))
        return tuple(self._rows()), tuple(lives)

    def _rows(self) -> Iterable[Moment]:
        """The row of every kernel; what no node did belongs to the row before it."""
        derivation = self._recorder.derivation
        steps = {place: index for index, place in enumerate(derivation.steps)} if derivation else {}
        last = -1
        for index, at in enumerate(self._moments):
            scratch = self._scratch.get(index)
            if isinstance(at, tuple):
                yield Moment(at[0], False, scratch)
            else:
                last = last if at is None else steps.get(at, last)
                yield Moment(last, True, scratch)


def ledger_of(recorder: Recorder, held: Held, device: str) -> Ledger:
    """The ledger of a run on a device, within `kept_settings`; of several the memory of the one that sets the pace.

    The first kernel on meta makes torch load its compiler, which keeps what is alive at that moment; so it comes before
    the run.
    """
    devices = devices_in(device)
    place = leading(devices)
    if "meta" in devices:
        torch.empty((), device="meta").relu()
    backend_of(place).choose_at_once()
    only = place if len(devices) > 1 or traits_of(place).queued else ""
    return Ledger(recorder, held, backend_of(place).gauge(), only)
