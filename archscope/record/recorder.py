"""The recorder: a forward pass, seen function by function.

    run ─ enter/leave a Site ─→ Calls
        ─ every torch function ─→ operands (edges by identity) → kernels (once per signature) ─→ Events → Rows

The recorder holds no activation: values are known by identity through weak references.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch._ops import OpOverload
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from archscope.fit import find, unequal
from archscope.record.attributes import attributes
from archscope.record.backward import Derivation, Span, derive, ends, loss_of, next_number
from archscope.record.faults import Faults
from archscope.record.functions import Function, describe, writes
from archscope.record.kernels import Invocation
from archscope.record.replay import Kernels, kernel, replay
from archscope.record.state import Originals
from archscope.record.tensors import as_dims, part, secret, shape_of, split, tensors
from archscope.record.values import Values, examples, new
from archscope.trace import Call, Conflict, Kernel, Operand, Row, Site, Value

OnMismatch = Literal["record", "raise"]

is_alias_of: Callable[[torch.Tensor, torch.Tensor], bool] = torch._C._is_alias_of  # type: ignore[attr-defined]  # no stub
"""Whether two tensors lie in the same memory; also told on the meta device, where there is no address."""

NOWHERE = Site("", "", "block")
"""Where a run is before it enters anything."""


NONE, MANY = -1, -2
"""Instead of the index of a layer's first row: it has none yet; it has several."""


class Signature(NamedTuple):
    """What all calls alike have in common: function, shapes, dtypes and plain arguments."""

    kernels: tuple[Kernel, ...]
    attributes: tuple[tuple[str, object], ...]


NO_SIGNATURE = Signature((), ())


class Recorder(TorchFunctionMode):
    """Sees every torch function of a run. A driver says where the run is: `enter(site)` … `leave()`.

    on_mismatch: what operands that do not fit do. originals: keeps what the model holds from being written for good.
    derives: a backward pass follows, which a driver asks for: `derive(outputs)`.
    """

    def __init__(self, *, on_mismatch: OnMismatch, originals: Originals, derives: bool = False):
        super().__init__()
        self.on_mismatch, self.derives = on_mismatch, derives
        self.calls: list[Call] = []
        self.rows: list[Row] = []
        self.site = NOWHERE
        self.values, self.faults = Values(originals.hold), Faults()
        self.loss = ""
        self.backward: tuple[Row, ...] = ()
        self.derives_nothing = False
        self._spans: list[Span] = []
        self._start = self._ended = next_number()
        self._paused = False
        self._real: tuple[Kernel, ...] | None = None
        self._originals = originals
        self._open: list[tuple[int, Site, int]] = []
        self._call, self._first = -1, NONE
        self._conflict: Conflict | None = None
        self._broken = -1
        self._functions: dict[Any, Function] = {}
        self._signatures: dict[Any, Signature] = {}

    def enter(self, site: Site) -> None:
        """The run goes into a block, a layer or a step; while gradients are derived, nothing that runs again does."""
        if self._paused:
            return
        self._open.append((self._call, self.site, self._first))
        call = len(self.calls)
        self.calls.append(Call(call, self._call, site))
        self._call, self.site, self._first = call, site, NONE
        if site.conflict is not None:
            self._conflict = site.conflict

    def leave(self) -> None:
        """The run leaves the Site it entered last."""
        if self._paused:
            return
        self._call, self.site, self._first = self._open.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if kwargs is None:
            kwargs = {}
        stranger = types and next((kind for kind in types if not issubclass(kind, torch.Tensor)), None)
        if stranger:
            with self:
                return stranger.__torch_function__(func, types, args, kwargs)
        function = self._functions.get(func) or self._functions.setdefault(func, describe(func))
        if function.passes:
            return func(*args, **kwargs)
        written = writes(function, args, kwargs) if function.writes or "out" in kwargs else ()
        for tensor in written:
            self.values.operand(tensor)
            self._originals.keep(tensor)
        if self.derives:
            if self._paused:
                return func(*args, **kwargs)
            self._start = self._ended if isinstance(func, OpOverload) else next_number()
        try:
            if function.special or self.site.strict or forward_ad._current_level >= 0 or any(map(overrides, types)):
                out = self._specially(function, func, args, kwargs, types)
            else:
                out = func(*args, **kwargs)
        except Exception as error:
            out = self._mended(function, args, kwargs) if self.on_mismatch == "record" else None
            if out is None:
                operands = tuple(self.values.operand(tensor) for tensor in split(args, kwargs)[0])
                self.faults.failed_in(self.site, function.name, operands, error)
                raise
        if isinstance(out, torch.Tensor):
            self._row(function, func, args, kwargs, [out], written)
        else:
            made = gradients(args[:1]) if function.op == "backward" else tensors(out)
            made = [args[0]] if function.op == "setitem" else made
            if made or function.leaves or function.derives:
                self._row(function, func, args, kwargs, made, written)
            self._real = None
        return out

    def _specially(self, function: Function, func: Any, args: Any, kwargs: Any, types: Any) -> Any:
        """A call that is compared before it runs, or is answered without running."""
        out = self._strictly(function, args) if self.site.strict else None
        if function.unchecked:
            misfit = find(function.op, as_dims(args), as_dims(kwargs))
            if misfit is not None:
                raise RuntimeError(misfit.fact)
        if function.shortcut is not None and out is None and args and args[0].is_meta:
            out = function.shortcut(args, kwargs)
        if out is None and (function.derives or forward_ad._current_level >= 0 or any(map(overrides, types))):
            if function.derives:
                self._originals.keep_gradients()
            else:
                self.values.wrapped = True
            with Kernels() as real:
                out = func(*args, **kwargs)
            self._real = tuple(real.seen)
            return out
        return func(*args, **kwargs) if out is None else out

    def _row(
        self,
        function: Function,
        func: Any,
        args: Any,
        kwargs: Any,
        made: list[torch.Tensor],
        written: Sequence[torch.Tensor],
    ) -> None:
        read: list[torch.Tensor] = []
        rest: list[Any] = []
        part(args, read, rest)
        if kwargs:
            rest.extend(kwargs)
            part(kwargs.values(), read, rest)
        if function.in_place and self._bookkeeping(read):
            return
        site, values, index = self.site, self.values, len(self.rows)
        inputs = values.operands(read)
        if values.uneven:
            rest.extend(map(secret, read))
        if self._conflict is not None and inputs:
            self.faults.conflict(site, self._conflict, tuple(inputs[:1]), index)
            self._conflict = None
        view = bool(made) and not function.fresh and self._is_view(function, kwargs, read, made)
        source = site.path or function.op
        outputs = tuple([values.learn(tensor, source).value for tensor in made])
        for tensor in written:
            values.wrote(tensor, values.operand(tensor))
        found = NO_SIGNATURE
        if self._broken == index:
            unknown = () if function.free else (unpriced(function, inputs, outputs),)
            found = Signature(unknown, attributes(function.op, args, kwargs) if function.named else ())
        elif function.named or not (function.free or view):
            found = self._signature(function, (func, args, kwargs), inputs, rest, outputs, view)
        kernels, named = found
        if self._real is not None:
            kernels = self._real
            self._real = None
        elif values.wrapped and kernels:
            kernels = multiplied(kernels, examples([*read, *made]))
        op = function.op if site.kind != "layer" else self._layer_op(function, site)
        params = values.take_firsts() if values.firsts else ()
        call, given = self._call, tuple(inputs)
        short, place = function.op, site.place
        row = index, site.path, op, function.name, call, given, outputs, params, kernels, view, place, named, short, -1
        self.rows.append(new(Row, row))
        if self.derives:
            self._ended = next_number()
            self._spans.append((self._start, self._ended))

    def _layer_op(self, function: Function, site: Site) -> str:
        """A layer's only row is called like the layer; once it has another, all are called like their functions."""
        first, self._first = self._first, MANY
        if first == NONE:
            self._first = len(self.rows)
            return site.name
        if first >= 0:
            self.rows[first] = self.rows[first]._replace(op=self.rows[first].short)
        return function.op

    def _bookkeeping(self, read: list[torch.Tensor]) -> bool:
        """Whether tensors from before the run change by nothing but themselves: a layer counts its batches."""
        own, operand = self.values.own, self.values.operand
        return all(operand(tensor).source in ("constant", own(tensor)) for tensor in read)

    def _is_view(self, function: Function, kwargs: Any, read: list[torch.Tensor], made: list[torch.Tensor]) -> bool:
        """Whether all results lie in operands' memory and nothing was written there."""
        if function.in_place or "out" in kwargs or kwargs.get("inplace") is True:
            return False
        return all(any(is_alias_of(out, tensor) for tensor in read) for out in made) and not self._changed(made, read)

    def _changed(self, made: list[torch.Tensor], read: list[torch.Tensor]) -> bool:
        """Whether a result is an operand that was written (`relu(x, True)`), not passed through (dropout in eval)."""
        own = [out for out in made if any(out is tensor for tensor in read)]
        return any(self.values.changed(out) for out in own)

    def _signature(
        self,
        function: Function,
        call: tuple[Any, Any, Any],
        inputs: list[Operand],
        rest: list[Any],
        outputs: tuple[Value, ...],
        view: bool,
    ) -> Signature:
        """What all calls alike have in common, found once."""
        func, args, kwargs = call
        doors = [(operand[1][1], operand[1][2]) for operand in inputs]
        key: Any = (func, view, *doors, *rest)
        try:
            found = self._signatures.get(key)
        except TypeError:  # an argument that cannot be hashed
            key = func, view, *doors, repr(rest)
            found = self._signatures.get(key)
        if found is None:
            kernels = () if function.free or view else lowered(function, func, args, kwargs, outputs)
            named = attributes(function.op, args, kwargs) if function.named else ()
            found = self._signatures[key] = Signature(kernels, named)
        return found

    def _strictly(self, function: Function, args: Any) -> torch.Tensor | None:
        """Where an addition that must not broadcast has unequal operands: a Mismatch, and the value to go on with."""
        both = [tensor for tensor in args if isinstance(tensor, torch.Tensor)]
        misfit = unequal([shape_of(tensor) for tensor in both], "add", strict=True) if len(both) > 1 else None
        if misfit is not None and self.on_mismatch == "raise":
            raise RuntimeError(misfit.fact)
        return self._go_on(function, misfit, both) if misfit else None

    def _mended(self, function: Function, args: Any, kwargs: Any) -> torch.Tensor | None:
        """After a call that raised: where its operands do not fit, a Mismatch, and the value to go on with."""
        layer = self.site.name if self.site.kind == "layer" else ""
        misfit = find(function.op, as_dims(args), as_dims(kwargs), layer=layer)
        return self._go_on(function, misfit, tensors((args, kwargs))) if misfit else None

    def _go_on(self, function: Function, misfit: Any, operands: list[torch.Tensor]) -> torch.Tensor:
        first, self._broken = operands[0], len(self.rows)
        noted = tuple(map(self.values.operand, operands))
        self.faults.misfit(self.site, function.op, noted, misfit, len(self.rows))
        whole = function.in_place or tuple(first.shape) == misfit.meant
        return (first if function.in_place else first.clone()) if whole else first.new_zeros(misfit.meant)

    def refuse(self, argument: str, said: int, tensor: torch.Tensor) -> None:
        """A layer has raised since it was told another size than its input has."""
        self.faults.refusal(self.site, argument, said, self.values.operand(tensor), len(self.rows))

    def derive(self, outputs: Any) -> Any:
        """The backward pass of what the run gave, if one was asked for; gives the outputs back."""
        loss = loss_of(outputs) if self.derives and not self.faults.mismatches else None
        self.derives_nothing = loss is not None and not loss.tensors
        if loss is not None and loss.tensors:
            derivation = Derivation(self.values, self._spans, self._originals.keep)
            self.loss, self._paused = loss.text, True
            try:
                derive(loss, derivation)
            except Exception as error:
                self.faults.failed_backward(NOWHERE, error)
                raise
            finally:
                self._paused = False
            self.backward = tuple(derivation.rows(self.rows))
        return outputs

    def note(self, error: BaseException | None) -> None:
        """A driver leaves a Site with this exception."""
        self.faults.left(self.site, error)


def overrides(kind: Any) -> bool:
    """Whether a class of tensors has an implementation of its own of what is done with them: its kernels tell."""
    plain: Any = torch.Tensor.__torch_function__
    own = getattr(kind.__torch_function__, "__func__", plain.__func__)  # a parameter's is none of Python's
    return own is not plain.__func__ and not kind.__module__.startswith("torch.")


def gradients(outputs: Any) -> list[torch.Tensor]:
    """What a backward pass from here has left in the leaves."""
    return [leaf.grad for leaf in ends(tensors(outputs)) if leaf.grad is not None]


def unpriced(function: Function, inputs: list[Operand], outputs: tuple[Value, ...]) -> Kernel:
    """A kernel that bears the function's name, for work that cannot be seen."""
    return Kernel(function.name, tuple(o.value.shape for o in inputs), tuple(v.shape for v in outputs))


def multiplied(kernels: tuple[Kernel, ...], times: int) -> tuple[Kernel, ...]:
    """Kernels that work on so many examples at once, of which their shapes show one."""
    if times == 1:
        return kernels
    return tuple(kernel._replace(attributes=(*kernel.attributes, ("examples", times))) for kernel in kernels)


def lowered(function: Function, func: Any, args: Any, kwargs: Any, outputs: tuple[Value, ...]) -> tuple[Kernel, ...]:
    """The kernels of one call: from the direct table, else from a replay, else one that bears the function's name.

    A replay that shows no kernel at all has missed the work, for a view never comes here.
    """
    shapes = tuple(value.shape for value in outputs)
    if function.lowering is not None:
        direct = function.lowering(Invocation(args, kwargs, shapes))
        if direct is not None:
            return direct
    seen = replay(func, args, kwargs)
    if seen:
        return seen
    operator = func.default if isinstance(func, torch._ops.OpOverloadPacket) and hasattr(func, "default") else func
    if isinstance(operator, torch._ops.OpOverload):
        return (kernel(operator, args, kwargs, ())._replace(outputs=shapes),)
    return (Kernel(function.name, tuple(map(shape_of, split(args, kwargs)[0])), shapes),)
