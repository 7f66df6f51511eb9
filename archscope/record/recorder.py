"""The recorder: a real forward pass, seen function by function, as a Trace.

    run(recorder) ─ enter/leave a Site ─→ Calls
                  ─ every torch function ─→ operands (edges by identity) → kernels (by signature) ─→ Rows

The recorder holds no activation: values are known by identity through weak references.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

from archscope.fit import Misfit, find, told, unequal
from archscope.record.attributes import attributes
from archscope.record.author import place, raised_at
from archscope.record.functions import Function, describe
from archscope.record.kernels import Invocation
from archscope.record.params import params
from archscope.record.replay import replay
from archscope.record.state import kept_state
from archscope.record.tensors import as_dims, first_line, named, shape_of, split, tensors, version
from archscope.trace import Call, Conflict, Failure, Kernel, Mismatch, Operand, Row, Says, Site, Trace, Value

OnMismatch = Literal["record", "raise"]

is_alias_of: Callable[[torch.Tensor, torch.Tensor], bool] = torch._C._is_alias_of  # type: ignore[attr-defined]  # no stub
"""Whether two tensors lie in the same memory; also told on the meta device, where there is no address."""

CONSTANT = ("constant", None)
"""The name of a tensor that neither a row made nor the model holds."""

UNCHECKED = frozenset(["scaled_dot_product_attention"])
"""Functions whose kernels do not compare their operands on every device: CPU's reads on past the end of the values."""

NOWHERE = Site("", "", "block")
"""Where a run is before it enters anything."""


@dataclass(frozen=True)
class Recording:
    """What a run gave: its trace, its outputs, or the exception that ended it."""

    trace: Trace
    outputs: Any
    error: Exception | None


Known = tuple[weakref.ref[torch.Tensor], Operand, int]
"""A tensor that was seen: how to tell it is still the same one, what it is as an operand, its version then."""


class Event(NamedTuple):
    """A row before the end of the run, when it is not known yet whether it is all that its layer does."""

    call: int
    function: Function
    inputs: tuple[Operand, ...]
    outputs: tuple[Value, ...]
    params: tuple[str, ...]
    kernels: tuple[Kernel, ...]
    view: bool
    attributes: tuple[tuple[str, object], ...] = ()


class Recorder(TorchFunctionMode):
    """Sees every torch function of a run. A driver says where the run is: `enter(site)` … `leave()`.

    mode: "train" or "eval", for drivers that have flags to set. on_mismatch: what operands that do not fit do.
    """

    def __init__(self, *, mode: str, on_mismatch: OnMismatch):
        super().__init__()
        self.mode, self.on_mismatch = mode, on_mismatch
        self.calls: list[Call] = []
        self.events: list[Event] = []
        self.mismatches: list[Mismatch] = []
        self._failure: tuple[BaseException, Failure] | None = None
        self._open: list[int] = []
        self._site = NOWHERE
        self._call = -1
        self._conflict: Conflict | None = None
        self._broken = -1
        self._values = 0
        self._known: dict[int, Known] = {}
        self._names: dict[int, tuple[str, torch.Tensor]] = {}
        self._unread: dict[int, str] = {}
        self._functions: dict[Any, Function] = {}
        self._kernels: dict[Any, tuple[Kernel, ...]] = {}
        self._dtypes: dict[torch.dtype, str] = {}

    def enter(self, site: Site) -> None:
        """The run goes into a block, a layer or a step."""
        self._open.append(self._call)
        self.calls.append(Call(len(self.calls), self._call, site))
        self._call, self._site = len(self.calls) - 1, site
        self._conflict = site.conflict or self._conflict

    def leave(self) -> None:
        """The run leaves the Site it entered last."""
        self._call = self._open.pop()
        self._site = self.calls[self._call].site if self._call >= 0 else NOWHERE

    def hold(self, parameters: Iterable[tuple[str, torch.Tensor]], buffers: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Names what the model holds, before the run; of one tensor's names the first counts."""
        for name, tensor in buffers:
            self._names.setdefault(id(tensor), (name, tensor))
        for name, tensor in parameters:
            self._names.setdefault(id(tensor), (name, tensor))
            self._unread.setdefault(id(tensor), name)

    def name(self, tree: Any, name: str) -> list[Operand]:
        """Names the tensors of an input."""
        return [self._learn(tensor, leaf) for leaf, tensor in named(tree, name)]

    def operand(self, tensor: torch.Tensor) -> Operand:
        """The tensor as an operand: a row's output, an input, something the model holds, or else a constant."""
        known = self._known.get(id(tensor))
        if known is not None and known[0]() is tensor:
            return known[1]
        return self._learn(tensor, self._own(tensor))

    def _own(self, tensor: torch.Tensor) -> str:
        """The name of a tensor that nothing in this run made."""
        return self._names.get(id(tensor), CONSTANT)[0]

    def _learn(self, tensor: torch.Tensor, source: str) -> Operand:
        dtype = self._dtypes.get(tensor.dtype) or self._dtypes.setdefault(tensor.dtype, str(tensor.dtype)[6:])
        value = Value(self._values, tuple(tensor.shape), dtype, tensor.numel() * tensor.element_size())
        self._values += 1
        operand = Operand(source, value)
        self._known[id(tensor)] = weakref.ref(tensor), operand, version(tensor)
        return operand

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        function = self._functions.get(func) or self._functions.setdefault(func, describe(func))
        try:
            out = self._strictly(function, args) if self._site.strict else None
            if function.op in UNCHECKED:
                self._compare(function, args, kwargs)
            if function.shortcut is not None and out is None:
                out = function.shortcut(args, kwargs)
            out = func(*args, **kwargs) if out is None else out
        except Exception as error:
            out = self._mended(function, args, kwargs) if self.on_mismatch == "record" else None
            if out is None:
                self._fail(function, args, kwargs, error)
                raise
        made = [args[0]] if function.op == "setitem" else [out] if isinstance(out, torch.Tensor) else tensors(out)
        if made:
            self._row(function, func, args, kwargs, made)
        return out

    def _row(self, function: Function, func: Any, args: Any, kwargs: Any, made: list[torch.Tensor]) -> None:
        read, rest = split(args, kwargs)
        if function.in_place and self._bookkeeping(read):
            return
        inputs = tuple([self.operand(tensor) for tensor in read])
        if self._conflict is not None and inputs:
            self._note_conflict(self._conflict, inputs)
        view = self._is_view(function, kwargs, read, made)
        outputs = tuple([self._learn(tensor, self._site.path or function.op).value for tensor in made])
        kernels: tuple[Kernel, ...] = ()
        if self._broken == len(self.events):
            kernels = () if function.free else (unpriced(function, inputs, outputs),)
        elif not (view or function.free):
            kernels = self._lower(function, (func, inputs, rest), args, kwargs, outputs)
        params = self._first_read(read)
        named = attributes(function.op, args, kwargs) if function.named else ()
        self.events.append(Event(self._call, function, inputs, outputs, params, kernels, view, named))

    def _note_conflict(self, conflict: Conflict, inputs: tuple[Operand, ...]) -> None:
        """What was known to be wrong with a layer, at the first row that reads its input."""
        self._conflict = None
        self._note("layer", self._site.name, inputs[:1], conflict.axes, conflict.fact, conflict.says)

    def unseen(self, name: str, given: Any, output: Any) -> None:
        """A row for work that no torch function shows, such as a scripted module: unpriced."""
        function = Function(f"torch.jit.ScriptModule.{name}", name, in_place=False, free=False, lowering=None)
        inputs = tuple(self.operand(tensor) for tensor in tensors(given))
        outputs = tuple(self._learn(tensor, self._site.path).value for tensor in tensors(output))
        kernel = unpriced(function, inputs, outputs)
        params = self._first_read(tensors(given))
        self.events.append(Event(self._call, function, inputs, outputs, params, (kernel,), view=False))

    def _first_read(self, read: list[torch.Tensor]) -> tuple[str, ...]:
        return tuple([self._unread.pop(id(tensor)) for tensor in read if id(tensor) in self._unread])

    def _bookkeeping(self, read: list[torch.Tensor]) -> bool:
        """Whether tensors from before the run change by nothing but themselves: a layer counts its batches."""
        return all(self.operand(tensor).source == self._own(tensor) for tensor in read)

    def _is_view(self, function: Function, kwargs: Any, read: list[torch.Tensor], made: list[torch.Tensor]) -> bool:
        """Whether all results lie in operands' memory and nothing was written there."""
        if function.fresh or function.in_place or "out" in kwargs or kwargs.get("inplace") is True:
            return False
        aliases = all(any(is_alias_of(out, tensor) for tensor in read) for out in made)
        return aliases and not self._changed(made, read)

    def _changed(self, made: list[torch.Tensor], read: list[torch.Tensor]) -> bool:
        """Whether a result is an operand that was written (`relu(x, True)`), not passed through (dropout in eval)."""
        own = [out for out in made if any(out is tensor for tensor in read)]
        return any(self._known[id(out)][2] != version(out) for out in own)

    def _lower(
        self, function: Function, call: tuple[Any, tuple[Operand, ...], list[Any]], args: Any, kwargs: Any, outputs: Any
    ) -> tuple[Kernel, ...]:
        """The kernels of a call, found once per signature: function, shapes, dtypes, other arguments by value."""
        func, inputs, rest = call
        doors = tuple([(operand.value.shape, operand.value.dtype) for operand in inputs])
        key: Any = (func, doors, tuple(rest))
        try:
            found = self._kernels.get(key)
        except TypeError:  # an argument that cannot be hashed
            key = func, doors, repr(rest)
            found = self._kernels.get(key)
        if found is None:
            found = self._kernels[key] = lowered(function, func, args, kwargs, outputs)
        return found

    def _strictly(self, function: Function, args: Any) -> torch.Tensor | None:
        """Where an addition that must not broadcast has unequal operands: a Mismatch, and the value to go on with."""
        both = [tensor for tensor in args if isinstance(tensor, torch.Tensor)]
        misfit = unequal([shape_of(tensor) for tensor in both], "add", strict=True) if len(both) > 1 else None
        if misfit is not None and self.on_mismatch == "raise":
            raise RuntimeError(misfit.fact)
        return self._go_on(function, misfit, both) if misfit else None

    @staticmethod
    def _compare(function: Function, args: Any, kwargs: Any) -> None:
        """Raises RuntimeError where operands do not fit."""
        misfit = find(function.op, as_dims(args), as_dims(kwargs))
        if misfit is not None:
            raise RuntimeError(misfit.fact)

    def _mended(self, function: Function, args: Any, kwargs: Any) -> torch.Tensor | None:
        """After a call that raised: where its operands do not fit, a Mismatch, and the value to go on with."""
        layer = self._site.name if self._site.kind == "layer" else ""
        misfit = find(function.op, as_dims(args), as_dims(kwargs), layer=layer)
        return self._go_on(function, misfit, tensors((args, kwargs))) if misfit else None

    def _go_on(self, function: Function, misfit: Misfit, operands: list[torch.Tensor]) -> torch.Tensor:
        first, self._broken = operands[0], len(self.events)
        self._note(misfit.kind, function.op, tuple(map(self.operand, operands)), misfit.axes, misfit.fact, misfit.says)
        whole = function.in_place or tuple(first.shape) == misfit.meant
        return (first if function.in_place else first.clone()) if whole else first.new_zeros(misfit.meant)

    def _note(
        self, kind: str, op: str, operands: tuple[Operand, ...], axes: tuple[int, ...], fact: str, says: Says | None
    ) -> None:
        site = self._site if self._site.place else replace(self._site, place=place())
        self.mismatches.append(Mismatch(site, kind, op, operands, axes, fact, says, len(self.events)))

    def refuse(self, argument: str, said: int, tensor: torch.Tensor) -> None:
        """A layer has raised since it was told another size than its input has."""
        shape = shape_of(tensor)
        fact = told(self._site.name, argument, said, shape, shape[-1])
        says = Says(argument, said, shape[-1])
        self._note("layer", self._site.name, (self.operand(tensor),), (len(shape) - 1,), fact, says)

    def _fail(self, function: Function, args: Any, kwargs: Any, error: Exception) -> None:
        operands = tuple(self.operand(tensor) for tensor in split(args, kwargs)[0])
        self._failure = error, Failure(self._site, function.name, operands, first_line(error))

    def note(self, error: BaseException | None) -> None:
        """A driver leaves a Site with this exception; the first place counts."""
        if error is not None and self._noted(error) is None:
            self._failure = error, Failure(self._site, "", (), first_line(error))

    def _noted(self, error: BaseException | None) -> Failure | None:
        """What was noted of an exception, or of the one that it was raised from."""
        while error is not None and self._failure is not None:
            if error is self._failure[0]:
                return self._failure[1]
            error = error.__cause__ or error.__context__
        return None

    def failed(self, error: Exception) -> Failure:
        """The Failure that ended the run: of the torch function that raised it, else of the innermost Site."""
        said = first_line(error)
        named = said if isinstance(error, (RuntimeError, ValueError, TypeError)) else f"{type(error).__name__}: {said}"
        failure = self._noted(error) or Failure(self._site, "", (), named)
        site = failure.site if failure.site.place else replace(failure.site, place=raised_at(error))
        return replace(failure, site=site)

    def rows(self) -> tuple[Row, ...]:
        """The rows of the run; a layer's only row is called like the layer."""
        alone = Counter(event.call for event in self.events)
        return tuple(self._finished(index, event, alone) for index, event in enumerate(self.events))

    def _finished(self, index: int, event: Event, alone: Mapping[int, int]) -> Row:
        site = self.calls[event.call].site if event.call >= 0 else NOWHERE
        op = site.name if site.kind == "layer" and alone[event.call] == 1 else event.function.op
        made = event.outputs, event.params, event.kernels, event.view
        named = event.attributes, event.function.op
        return Row(index, site.path, op, event.function.name, event.call, event.inputs, *made, site.place, *named)


def unpriced(function: Function, inputs: tuple[Operand, ...], outputs: tuple[Value, ...]) -> Kernel:
    """A kernel that bears the function's name, for work that cannot be seen."""
    return Kernel(function.name, tuple(o.value.shape for o in inputs), tuple(v.shape for v in outputs))


def lowered(function: Function, func: Any, args: Any, kwargs: Any, outputs: tuple[Value, ...]) -> tuple[Kernel, ...]:
    """The kernels of one call: from the direct table, else from a replay, else one that bears the function's name.

    A replay that shows no kernel at all has missed the work, for a view never comes here.
    """
    shapes = tuple(value.shape for value in outputs)
    if function.lowering is not None:
        direct = function.lowering(Invocation(args, kwargs, shapes))
        if direct is not None:
            return direct
    inputs = tuple(map(shape_of, split(args, kwargs)[0]))
    return replay(func, args, kwargs) or (Kernel(function.name, inputs, shapes),)


def record(
    run: Callable[[Recorder], Any],
    *,
    target: str,
    device: str,
    dtype: str,
    mode: str,
    inputs: Mapping[str, Any],
    parameters: Iterable[tuple[str, torch.Tensor]],
    buffers: Iterable[tuple[str, torch.Tensor]] = (),
    on_mismatch: OnMismatch = "record",
    grad: bool = False,
) -> Recording:
    """One forward pass as data. `run(recorder)` does it, calls `recorder.enter(site)`, `leave()`, returns its output.

    inputs: name → tensor or tree of tensors. parameters, buffers: every name of every tensor that the model holds
    (`named_parameters(remove_duplicate=False)`), so that ties show. An exception of the run ends in the recording, as
    `error` and in `trace.failure`. Modes, grad mode and random states are given back as they were.
    """
    parameters = list(parameters)
    outputs: Any = None
    error: Exception | None = None
    ends: tuple[Operand, ...] = ()
    with kept_state(grad=grad):
        recorder = Recorder(mode=mode, on_mismatch=on_mismatch)
        recorder.hold(parameters, buffers)
        doors = tuple(operand for name, tree in inputs.items() for operand in recorder.name(tree, name))
        try:
            with recorder:
                outputs = run(recorder)
            ends = tuple(Operand(name, recorder.operand(tensor).value) for name, tensor in named(outputs))
        except Exception as caught:  # noqa: BLE001 — whatever ends the author's forward pass is the finding
            error = caught
        trace = Trace(
            target=target,
            device=device,
            dtype=dtype,
            mode=mode,
            inputs=doors,
            outputs=ends,
            calls=tuple(recorder.calls),
            rows=recorder.rows(),
            params=params(parameters),
            mismatches=tuple(recorder.mismatches),
            failure=recorder.failed(error) if error else None,
        )
    return Recording(trace, outputs, error)
