"""Tensors as they were before a run: what each is, noted when it is met; its values, copied before they are written.

held, met ─→ Mark (flags, history, gradient, hooks, attributes)      about to be written ─→ Original (memory, values)
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

from archscope.record.belongings import noticed
from archscope.record.keepsakes import refill_table, same_table
from archscope.record.restoring import Step, every

set_versions: Callable[[tuple[torch.Tensor, ...], tuple[int, ...]], None] = (
    torch._C._autograd._unsafe_set_version_counter
)
swap: Callable[[torch.Tensor, torch.Tensor], None] = torch._C._swap_tensor_impl
"""Gives each of two Python objects the tensor that the other one had."""

UNSEEN = "it was written by what no function shows, and its values from before are not known"
RECOMPUTED = "it had a history, and the run has given it another one"


Node = tuple[int, str]
"""A node of autograd's: its number and its name. The node itself would keep alive what it has saved."""


class Mark(NamedTuple):
    """What a tensor is, beside its values. known: whether it was there before the run for certain; written: how often
    it was; node: what has computed it; standing: its hooks, one by one; accumulated: those behind its gradient."""

    tensor: ReferenceType[torch.Tensor]
    known: bool
    kind: type
    written: int | None
    derived: bool
    node: Node | None
    gradient: torch.Tensor | None
    hooks: Any
    standing: dict[int, Any]
    accumulated: Any
    attributes: dict[str, Any]


class Original(NamedTuple):
    """A tensor, an alias of its memory, the bytes of that memory, a copy of its values. own: the tensor that it was, if
    the run was lent another one in the same memory."""

    tensor: torch.Tensor
    alias: torch.Tensor
    bytes: int
    values: torch.Tensor
    own: torch.Tensor | None


class Originals:
    """What tensors were before the run. `give_back` makes them that again.

    aside: the device that keeps copies of values, where the tensors' own device has no room; None for their own.
    """

    def __init__(self, held: Iterable[torch.Tensor], *, aside: str | None = None):
        self._aside = aside
        self._marks: dict[int, Mark] = {}
        self._unsorted: list[ReferenceType[torch.Tensor]] = []
        self._by_memory: dict[int, list[ReferenceType[torch.Tensor]]] = {}
        self._kept: dict[int, Original] = {}
        with torch._C.DisableTorchFunction():
            for tensor in held:
                self.hold(tensor, known=True)

    def hold(self, tensor: torch.Tensor, *, known: bool = False) -> None:
        """Also this one, which the run has met and did not make; and what it is a view of.

        known: it was there before the run for certain. Of what a function transform has wrapped the innermost counts.
        """
        tensor = innermost(tensor)
        before = self._marks.get(id(tensor))
        if before is None or before.tensor() is not tensor:
            made = mark(tensor, known=known)
            self._marks[id(tensor)] = made
            self._unsorted.append(made.tensor)
            if tensor._is_view() and tensor._base is not None:
                self.hold(tensor._base, known=known)

    def keep(self, tensor: torch.Tensor) -> None:
        """`tensor`, which may be a view, is going to be written: whatever is held in its memory is kept.

        What a function transform has wrapped is written where the innermost tensor lies.
        """
        written, tensor = tensor, innermost(tensor)
        while self._unsorted:
            met = self._unsorted.pop()
            held = met()
            if held is not None:
                self._by_memory.setdefault(memory(held), []).append(met)
        for met in self._by_memory.get(memory(tensor), ()):
            held = met()
            if held is not None and id(held) not in self._kept:
                self._kept[id(held)] = original(held, lend=held is written, aside=self._aside)

    def keep_both(self, *tensors: Any) -> None:
        """Before these are given other memory, or one another's, by what no function shows."""
        with torch._C.DisableTorchFunction():
            for tensor in tensors:
                if isinstance(tensor, torch.Tensor):
                    self.hold(tensor)
                    self.keep(tensor)

    def keep_all(self) -> None:
        """Before work that nobody can look into."""
        for held in self._alive():
            self.keep(held)

    def keep_gradients(self) -> None:
        """Before a backward pass that the model runs itself."""
        for gradient in [one.gradient for one in self._marks.values() if one.gradient is not None]:
            self.hold(gradient)
            self.keep(gradient)

    def _alive(self) -> list[torch.Tensor]:
        found = (one.tensor() for one in list(self._marks.values()))
        return [tensor for tensor in found if tensor is not None]

    def give_back(self) -> None:
        """Makes every tensor what it was: first its memory and values, then what depends on these. A pending backward
        pass of the caller's must not notice: it counts how often a tensor was written."""
        with torch._C.DisableTorchFunction(), torch.inference_mode():
            every(self._steps())

    def _steps(self) -> Iterator[Step]:
        marks = list(self._marks.values())
        yield from ((regain, (kept,)) for kept in self._kept.values())
        for views in (False, True):
            yield from ((rejoin, (one, views)) for one in marks)
        yield from ((rewrite, (kept,)) for kept in self._kept.values())
        yield from ((remark, (one,)) for one in marks)
        # of a tensor and its view, which are counted as one, the one that was met first was written less
        yield from ((recount, (one, id(one.tensor()) in self._kept)) for one in reversed(marks))


def mark(tensor: torch.Tensor, *, known: bool) -> Mark:
    leaf, hooks = tensor.is_leaf, tensor._backward_hooks
    return Mark(
        reference(tensor),
        known,
        type(tensor),
        None if tensor.is_inference() else tensor._version,
        tensor.requires_grad,
        None if leaf else node_of(tensor),
        tensor.grad if leaf else None,
        hooks,
        dict(hooks) if hooks else {},
        tensor._post_accumulate_grad_hooks,
        vars(tensor).copy(),
    )


def node_of(tensor: torch.Tensor) -> Node | None:
    node: Any = tensor.grad_fn
    return None if node is None else (node._sequence_nr(), node.name())


def original(held: torch.Tensor, *, lend: bool, aside: str | None = None) -> Original:
    """Copied behind the back of whoever watches kernels: it is no work of the run's. Outside of function transforms
    (vmap, grad, jvp) too: they wrap what they make, and a wrapper of a transform that is over must not be touched.

    lend: the run writes another tensor in the same memory in the place of one that has a history, where it can.
    """
    with dispatch._disable_current_modes(), outside_of_transforms():
        alias = held.detach()
        values, size = alias.clone() if aside is None else alias.to(aside, copy=True), reserved(alias)
        own = lent(held, alias) if lend and held.grad_fn is not None and torch.is_grad_enabled() else None
        return Original(held, alias, size, values, own)


def lent(held: torch.Tensor, alias: torch.Tensor) -> torch.Tensor | None:
    """What `held` was until now; None where others hold it in C++, so that it cannot be exchanged."""
    with torch._C.DisableTorchFunction():
        other = held.clone()
        other.data = alias.detach()
        set_versions((other,), (held._version,))
        try:
            swap(held, other)
        except RuntimeError:
            return None
    return other


# ------------------------------------------------------------ given back
def regain(kept: Original) -> None:
    """A tensor that was lent for another one's work becomes what it was."""
    if kept.own is not None:
        swap(kept.tensor, kept.own)


def rejoin(before: Mark, views: bool) -> None:
    """A tensor without a history has none again; a view, when what it is a view of has none. Raises RuntimeError."""
    tensor = before.tensor()
    if tensor is None or tensor._is_view() != views:
        return
    if type(tensor) is not before.kind:
        tensor.__class__ = before.kind
    if before.node is None:
        if tensor.grad_fn is not None:
            clear(tensor)
    elif not views and node_of(tensor) != before.node:
        raise RuntimeError(RECOMPUTED)


def clear(tensor: torch.Tensor) -> None:
    """Takes the history away. Torch refuses to do that to a view, so a new one takes its place."""
    with torch.inference_mode(False), torch.enable_grad():
        if tensor._base is None:
            tensor.detach_()
        else:
            fresh = tensor._base.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
            swap(tensor, fresh)


def rewrite(kept: Original) -> None:
    """Memory and values as they were, where they have changed."""
    tensor, alias, values = kept.tensor, kept.alias, kept.values
    if memory(tensor) != memory(alias) or form(tensor) != form(alias):
        tensor.data = alias
    if reserved(alias) < kept.bytes:
        alias.untyped_storage().resize_(kept.bytes)
    if tensor.is_meta:
        return
    if not (plain(tensor) and tensor.device == values.device and torch.equal(tensor, values)):
        tensor.copy_(values)


def remark(before: Mark) -> None:
    """Whether it requires a gradient, its gradient, hooks and attributes as they were."""
    tensor = before.tensor()
    if tensor is None:
        return
    if tensor.is_leaf and tensor.requires_grad != before.derived:
        tensor.requires_grad_(before.derived)
    if tensor.is_leaf and tensor.grad is not before.gradient:
        tensor.grad = before.gradient
    if before.hooks is not None and before.hooks != before.standing:
        before.hooks.clear()
        before.hooks.update(before.standing)
    if tensor._backward_hooks is not before.hooks:
        tensor._backward_hooks = before.hooks
    if tensor._post_accumulate_grad_hooks is not before.accumulated:
        tensor._post_accumulate_grad_hooks = before.accumulated
    if not same_table(vars(tensor), before.attributes):
        refill_table(vars(tensor), before.attributes)


def recount(before: Mark, kept: bool) -> None:
    """How often it was written. Raises RuntimeError where it was, and nobody has seen it."""
    tensor = before.tensor()
    if tensor is None or before.written is None or tensor._version == before.written:
        return
    set_versions((tensor,), (before.written,))
    if before.known and not kept:
        raise RuntimeError(UNSEEN)


# ------------------------------------------------------------ memory
def innermost(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself, or the one inside all that function transforms have wrapped around it."""
    while transforms.is_functorch_wrapped_tensor(tensor):
        tensor = transforms.get_unwrapped(tensor)
    return tensor


def form(tensor: torch.Tensor) -> object:
    """How a tensor lies in its memory."""
    if not plain(tensor):
        return tensor.dtype, tensor.shape
    return tensor.dtype, tensor.shape, tensor.stride(), tensor.storage_offset()


def plain(tensor: torch.Tensor) -> bool:
    """Whether its values can be compared."""
    return tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_quantized


def memory(tensor: torch.Tensor) -> int:
    """Which memory a tensor lies in, by the identity of its storage; its own identity where it has none."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse tensors, wrappers of function transforms
        return id(tensor)


def reserved(tensor: torch.Tensor) -> int:
    """The bytes of the memory that a tensor lies in; 0 where it has none."""
    with suppress(NotImplementedError, RuntimeError):
        return tensor.untyped_storage().nbytes()
    return 0


@contextmanager
def exchanges_noticed(originals: Originals) -> Iterator[None]:
    """Inside, tensors are kept before they get other memory by ways that torch shows to nobody."""
    with (
        noticed(torch.Tensor, "set_", originals.keep_both),
        noticed(torch._C, "_swap_tensor_impl", originals.keep_both),
    ):
        yield


@contextmanager
def kept_tensors(held: Iterable[torch.Tensor], *, aside: str | None = None) -> Iterator[None]:
    """Tensors have their values again afterwards, whoever writes them. aside: the device that keeps copies of them."""
    originals = Originals(held, aside=aside)
    originals.keep_all()
    try:
        yield
    finally:
        originals.give_back()
