"""The recorder: a forward pass, seen function by function.

    run ─ enter/leave a Site ─→ Calls
        ─ every torch function ─→ operands (edges by identity) ─→ Entries ─ when it is over ─→ Rows

The recorder holds no activation: values are known by identity through weak references.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Literal

import torch
from torch._ops import OpOverload
from torch.autograd import forward_ad

from archscope import errors
from archscope.fit import find, unequal
from archscope.record.author import place
from archscope.record.backward import Derivation, Span, derive, ends, loss_of, next_number, retaining
from archscope.record.entries import (
    NOWHERE,
    Entry,
    Signatures,
    doors,
    flat,
    lowered,
    multiplied,
    rows,
    unpriced,
)
from archscope.record.faults import Faults
from archscope.record.functions import Function, describe
from archscope.record.originals import Originals
from archscope.record.overridden import Watcher
from archscope.record.replay import Listening
from archscope.record.tensors import as_dims, secret, shape_of, tensors
from archscope.record.values import Values, examples, new
from archscope.trace import Call, Conflict, Kernel, Operand, Row, Says, Site, Value

PARAMETER = Function("parameter", "Parameter", in_place=False, free=True, lowering=None)
"""Stands for the function of a step that is a parameter."""

OnMismatch = Literal["record", "raise"]

is_alias_of: Callable[[torch.Tensor, torch.Tensor], bool] = torch._C._is_alias_of  # type: ignore[attr-defined]  # no stub
"""Whether two tensors lie in the same memory; also told on the meta device, where there is no address."""


class Recorder(Watcher):
    """Sees every torch function of a run. A driver says where the run is: `enter(site)` … `leave()`.

    on_mismatch: what operands that do not fit do. originals: keeps what the model holds from being written for good.
    derives: a backward pass follows, which a driver asks for: `derive(outputs)`. located: the indexes of the rows whose
    line of the author's code is looked for; the others have that of their site, if any.
    """

    def __init__(
        self,
        *,
        on_mismatch: OnMismatch,
        originals: Originals,
        derives: bool = False,
        located: Collection[int] = frozenset(),
    ):
        super().__init__()
        self.on_mismatch, self.derives, self.located = on_mismatch, derives, located
        self.places: dict[int, errors.Span | None] = {}
        self.calls: list[Call] = []
        self.entries: list[Entry] = []
        self.site = NOWHERE
        self.values, self.faults = Values(originals.hold), Faults()
        self.loss = ""
        self.derivation: Derivation | None = None
        self.derives_nothing = False
        self._spans: list[Span] = []
        self._start = self._ended = self._first = next_number()
        self._paused = False
        self._engine: Derivation | None = None
        self._real: tuple[Kernel, ...] | None = None
        self._originals = originals
        self._open: list[tuple[int, Site]] = []
        self._call = -1
        self._conflict: Conflict | None = None
        self._broken = -1
        self._functions: dict[Any, Function] = {}
        self._signatures = Signatures()

    @property
    def deriving(self) -> bool:
        """Whether the run is over and its gradients are being derived."""
        return self._paused

    @property
    def accumulating(self) -> bool:
        """Whether the leaves are given their gradients by ourselves."""
        return self._engine is not None and self._engine.accumulates

    def enter(self, site: Site, inputs: Iterable[tuple[str, torch.Tensor]] = ()) -> None:
        """The run goes into a block, a layer or a step; while gradients are derived, nothing that runs again does.

        inputs: what a block is given, by the block's own names.
        """
        if self._paused:
            return
        self._open.append((self._call, self.site))
        call = len(self.calls)
        self.calls.append(Call(call, self._call, site, self.values.named(inputs) if inputs else ()))
        self._call, self.site = call, site
        if site.conflict is not None:
            self._conflict = site.conflict

    def leave(self) -> None:
        """The run leaves the Site it entered last."""
        if self._paused:
            return
        self._call, self.site = self._open.pop()

    def hold(self, parameter: torch.Tensor) -> None:
        """A step that is a parameter, and no function of one: a row that gives what the model holds."""
        if self._paused:
            return
        operand = self.values.operand(parameter)
        entry: Any = self._call, PARAMETER, None, [operand], {}, (operand.value,), True, ()
        self.entries.append(new(Entry, entry))
        if self.derives:
            self._start = self._ended = next_number()
            self._spans.append((self._start, self._ended))

    def met(self, tensors: Iterable[torch.Tensor]) -> None:
        """These were there before the run, and are as before afterwards."""
        with torch._C.DisableTorchFunction():
            for tensor in tensors:
                self._originals.hold(tensor, known=True)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if kwargs is None:
            kwargs = {}
        if types:
            stranger = next((kind for kind in types if not issubclass(kind, torch.Tensor)), None)
            if stranger is not None:
                with self:
                    return stranger.__torch_function__(func, types, args, kwargs)
        function = self._functions.get(func) or self._functions.setdefault(func, describe(func))
        if function.passes:
            return func(*args, **kwargs)
        written = () if function.written is None else function.written(args, kwargs)
        if "out" in kwargs:
            written = *written, *tensors((kwargs["out"],))
        for tensor in written:
            self._before_writing(tensor)
        if function.opens:
            for tensor in tensors((args, kwargs)):
                self._before_writing(tensor)
        if self.derives:
            if self._paused:
                return func(*args, **kwargs)
            self._start = self._ended if isinstance(func, OpOverload) else next_number()
        try:
            special = function.special or (function.shortcut is not None and args and args[0].is_meta)
            if special or types or self.site.strict or forward_ad._current_level >= 0:
                out = self._specially(function, func, args, kwargs, types)
            else:
                out = func(*args, **kwargs)
        except Exception as error:
            out = self._mended(function, args, kwargs) if self.on_mismatch == "record" else None
            if out is None:
                operand = self.values.operand
                operands = tuple(operand(tensor) for tensor in tensors((args, kwargs)))
                by_name = ((name, value) for name, value in kwargs.items() if isinstance(value, torch.Tensor))
                named = tuple((name, operand(tensor)) for name, tensor in by_name)
                numbers = tuple(one for one in args if type(one) is int)
                self.faults.failed_in(self.site, function.name, operands, named, numbers, error)
                raise
        if isinstance(out, torch.Tensor):
            self._write(function, func, args, kwargs, [out], written)
        else:
            made = gradients(args[:1]) if function.op == "backward" else tensors(out)
            made = list(written) if function.gives_nothing else made
            if made or function.leaves or function.derives:
                self._write(function, func, args, kwargs, made, written)
        self._real = None
        return out

    def _before_writing(self, tensor: torch.Tensor) -> None:
        """What a backward pass writes (a hook, the engine itself, which adds gradients up) is no value of the run."""
        if not self._paused:
            self.values.operand(tensor)
        elif self.values.known_operand(tensor) is None:
            self._originals.hold(tensor)
        self._originals.keep(tensor)

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
                kwargs = retaining(args, kwargs, self._first)
            else:
                self.values.wrapped = True
            with Listening() as real:
                out = func(*args, **kwargs)
            self._real = tuple(real.seen)
            return out
        return func(*args, **kwargs) if out is None else out

    def _write(
        self,
        function: Function,
        func: Any,
        args: Any,
        kwargs: Any,
        made: list[torch.Tensor],
        written: Sequence[torch.Tensor],
    ) -> None:
        """Writes a call down. What must be asked of living tensors is asked here; all else is left for later."""
        values, index = self.values, len(self.entries)
        if index in self.located:
            self.places[index] = place()
        if function.in_place and function.free and self._bookkeeping(tensors((args, kwargs))):
            return
        given = values.given(args)
        named = dict(zip(kwargs, values.given(kwargs.values()), strict=True)) if kwargs else {}
        if self._conflict is not None:
            self._tell(self._conflict, given, named)
        view = bool(made) and not (function.fresh or written) and self._is_view(args, kwargs, made)
        source = self.site.path or function.op
        outputs = tuple([values.learn(tensor, source).value for tensor in made])
        for tensor in written:
            values.wrote(tensor, values.operand(tensor))
        kernels: tuple[Kernel, ...] | None = ()
        if self._real is not None:
            kernels = self._real
        elif self._broken == index:
            kernels = () if function.free else (unpriced(function, tensors((args, kwargs)), outputs),)
        elif not (view or function.free):
            later = function.waits and not values.uneven and not values.wrapped
            kernels = None if later else self._lower(function, (func, args, kwargs), (given, named), outputs, made)
        entry = self._call, function, func, given, named, outputs, view, kernels
        self.entries.append(new(Entry, entry))
        if self.derives:
            self._ended = next_number()
            self._spans.append((self._start, self._ended))

    def _lower(
        self,
        function: Function,
        call: tuple[Any, Any, Any],
        given: tuple[list[Any], dict[str, Any]],
        outputs: tuple[Value, ...],
        made: list[torch.Tensor],
    ) -> tuple[Kernel, ...]:
        """The kernels of a call that only its living tensors tell, found once for all that are alike."""
        inputs: list[Operand] = []
        rest: list[Any] = [call[0]]
        flat(given, inputs, rest)
        read = tensors(call[1:])
        secrets = map(secret, read) if self.values.uneven else ()
        key = (*rest, *doors(inputs), *secrets)
        kernels = self._signatures.once(key, lambda: lowered(function, *call, outputs))
        return multiplied(kernels, examples([*read, *made])) if self.values.wrapped else kernels

    def _tell(self, conflict: Conflict, args: list[Any], kwargs: dict[str, Any]) -> None:
        """What was known to be wrong with a layer, at the first function that has operands."""
        inputs: list[Operand] = []
        flat((args, kwargs), inputs, [])
        if inputs:
            self.faults.conflict(self.site, conflict, tuple(inputs[:1]), len(self.entries))
            self._conflict = None

    def _bookkeeping(self, read: list[torch.Tensor]) -> bool:
        """Whether tensors from before the run change by nothing but themselves: a layer counts its batches."""
        own, operand = self.values.own, self.values.operand
        return all(operand(tensor).source in ("constant", own(tensor)) for tensor in read)

    def _is_view(self, args: Any, kwargs: Any, made: list[torch.Tensor]) -> bool:
        """Whether all results lie in operands' memory and nothing was written there."""
        read = tensors((args, kwargs))
        return all(any(is_alias_of(out, tensor) for tensor in read) for out in made) and not self._changed(made, read)

    def _changed(self, made: list[torch.Tensor], read: list[torch.Tensor]) -> bool:
        """Whether a result is an operand that was written (`relu(x, True)`), not passed through (dropout in eval)."""
        own = [out for out in made if any(out is tensor for tensor in read)]
        return any(self.values.changed(out) for out in own)

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
        first, self._broken = operands[0], len(self.entries)
        noted = tuple(map(self.values.operand, operands))
        self.faults.misfit(self.site, function.op, noted, misfit, len(self.entries))
        whole = function.in_place or tuple(first.shape) == misfit.meant
        return (first if function.in_place else first.clone()) if whole else first.new_zeros(misfit.meant)

    def refuse(self, says: Says, axes: tuple[int, ...], fact: str, tensor: torch.Tensor) -> None:
        """A layer has raised since it was told something else than a tensor has: its input, or its state."""
        self.faults.refusal(self.site, says, axes, fact, self.values.operand(tensor), len(self.entries))

    def derive(self, outputs: Any) -> Any:
        """The backward pass of what the run gave, if one was asked for; gives the outputs back."""
        loss = loss_of(outputs) if self.derives and not self.faults.mismatches else None
        self.derives_nothing = loss is not None and not loss.tensors
        if loss is not None and loss.tensors:
            self._originals.keep_gradients()
            derivation = Derivation(self.values, self._spans, self._originals.keep)
            self.loss, self._paused, self._engine = loss.text, True, derivation
            try:
                derive(loss, derivation, self._first)
            except Exception as error:
                self.faults.failed_backward(NOWHERE, error)
                raise
            finally:
                self._paused, self._engine = False, None
            self.derivation = derivation
        return outputs

    def step_of(self, node: Any) -> int | str | None:
        """The place of the step that a node belongs to, while gradients are derived."""
        return None if self._engine is None else self._engine.place_of(node)

    def read(self) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
        """The rows of the forward pass, and those of the backward pass; asked when the run is over."""
        forward = tuple(rows(self.entries, self.calls, self.values.parameters, self.places))
        return forward, tuple(self.derivation.rows(forward)) if self.derivation is not None else ()

    def note(self, error: BaseException | None) -> None:
        """A driver leaves a Site with this exception. A checkpoint that runs again ends with one, which would keep all
        that it has made."""
        if not self._paused:
            self.faults.left(self.site, error)


def overrides(kind: Any) -> bool:
    """Whether a class of tensors has an implementation of its own of what is done with them: its kernels tell."""
    plain: Any = torch.Tensor.__torch_function__
    own = getattr(kind.__torch_function__, "__func__", plain.__func__)  # a parameter's is none of Python's
    return own is not plain.__func__ and not kind.__module__.startswith("torch.")


def gradients(outputs: Any) -> list[torch.Tensor]:
    """What a backward pass from here has left in the leaves."""
    return [leaf.grad for leaf in ends(tensors(outputs)) if leaf.grad is not None]
