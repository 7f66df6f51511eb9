"""What a run writes down of each call, and what is made of it afterwards.

call → RecordedCall (tensors as Operands, all else as it was given) ─ when the run is over ─→ signature → kernels → Row

While a net runs, its layers' work fills the processor's caches, and whatever else is done between two layers is slow.
So a run writes down no more than must be asked of living tensors, and the rest waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch._ops import OpOverload, OpOverloadPacket

from archscope.errors import Span
from archscope.record.call_attributes import call_attributes
from archscope.record.functions import TorchFunction
from archscope.record.op_call import OpCall, ShapeOnly
from archscope.record.replay import make_kernel, replay
from archscope.record.tensor_registry import make_tuple
from archscope.record.tensors import shape_of, tensors_in
from archscope.trace import Call, Kernel, Kernels, Location, Operand, Row, Value

ROOT_LOCATION = Location("", "", "block")
"""Where a run is before it enters anything."""


class RecordedCall(NamedTuple):
    """One call: in `args` and `kwargs` every tensor is the Operand that it was. kernels: None where they can wait."""

    call: int
    function: TorchFunction
    func: Any
    args: list[Any]
    kwargs: dict[str, Any]
    outputs: tuple[Value, ...]
    view: bool
    kernels: Kernels | None


class SignatureCache:
    """What calls alike have in common, each found get_or_compute: function, shapes, dtypes and plain arguments →
    something."""

    def __init__(self) -> None:
        self._found: dict[Any, Any] = {}

    def get_or_compute(self, key: Sequence[Any], find: Callable[[], Any]) -> Any:
        """What `find` gave for the first of all equal keys."""
        whole: Any = tuple(key)
        try:
            found = self._found.get(whole)
        except TypeError:  # an argument that cannot be hashed
            whole = repr(whole)
            found = self._found.get(whole)
        if found is None:
            found = self._found[whole] = find()
        return found


def flatten_arguments(items: Iterable[Any], inputs: list[Operand], rest: list[Any]) -> None:
    """The operands among arguments, from left to right; and everything else, lengths and keys that make the form."""
    for item in items:
        kind = type(item)
        if kind is Operand:
            inputs.append(item)
            rest.append(Operand)
        elif kind is list or kind is tuple:
            rest.append(len(item))
            flatten_arguments(item, inputs, rest)
        elif kind is dict:
            rest.extend(item)
            flatten_arguments(item.values(), inputs, rest)
        else:
            rest.append(item)


def shape_dtypes(inputs: Iterable[Operand]) -> list[tuple[Any, str]]:
    return [(operand[1][1], operand[1][2]) for operand in inputs]


def build_rows(
    entries: Sequence[RecordedCall],
    calls: Sequence[Call],
    parameters: Mapping[int, str],
    places: Mapping[int, Span | None],
) -> Iterator[Row]:
    """The rows of a run. parameters: the values of what is learned, by their names; the first row to read one has it.
    places: of rows whose line of the author's code was looked for; the others have that of their site.

    A layer's only row is called like the layer.
    """
    unread, signatures = dict(parameters), SignatureCache()
    alone = Counter([entry[0] for entry in entries])
    for index, (call, function, func, args, kwargs, outputs, view, kernels) in enumerate(entries):
        inputs: list[Operand] = []
        rest: list[Any] = [func, kernels is None]
        flatten_arguments(args, inputs, rest)
        if kwargs:
            rest.extend(kwargs)
            flatten_arguments(kwargs.values(), inputs, rest)
        named: tuple[tuple[str, object], ...] = ()
        if function.keeps_attributes or kernels is None:
            for _, value in inputs:
                rest.append(value[1])
                rest.append(value[2])
            found = signatures.get_or_compute(
                rest,
                lambda: kernels_and_attributes(function, func, args, kwargs, outputs, kernels),  # noqa: B023
            )
            kernels, named = found[0] if kernels is None else kernels, found[1]
        firsts: tuple[str, ...] = ()
        if unread:
            firsts = tuple([unread.pop(value[0]) for _, value in inputs if value[0] in unread])
        site = calls[call][2] if call >= 0 else ROOT_LOCATION
        op = site.name if site.kind == "layer" and alone[call] == 1 else function.op
        door = tuple(inputs), outputs, firsts, kernels, view
        where = site.place or places.get(index)
        yield make_tuple(Row, (index, site.path, op, function.name, call, *door, where, named, function.op, -1))


def kernels_and_attributes(
    function: TorchFunction,
    func: Any,
    args: list[Any],
    kwargs: dict[str, Any],
    outputs: tuple[Value, ...],
    kernels: Any,
) -> tuple[Kernels, tuple[tuple[str, object], ...]]:
    """The kernels that could wait, and the plain arguments of a call."""
    given, by_name = tuple(map(to_shapes_only, args)), {name: to_shapes_only(value) for name, value in kwargs.items()}
    found = lower_call(function, func, given, by_name, outputs) if kernels is None else ()
    return found, call_attributes(function.op, given, by_name) if function.keeps_attributes else ()


def to_shapes_only(value: Any) -> Any:
    """An argument with a ShapeOnly of its shape for every tensor that was in it."""
    kind = type(value)
    if kind is Operand:
        return ShapeOnly(value[1][1])
    if kind is list or kind is tuple:
        return kind(map(to_shapes_only, value))
    return {key: to_shapes_only(item) for key, item in value.items()} if kind is dict else value


def lower_call(function: TorchFunction, func: Any, args: Any, kwargs: Any, outputs: tuple[Value, ...]) -> Kernels:
    """The kernels of one call: from the direct table, else from a replay, else one that bears the function's name.

    A replay that shows no kernel at all has missed the work, for a view never comes here.
    """
    shapes = tuple(value.shape for value in outputs)
    if function.lowering is not None:
        direct = function.lowering(OpCall(args, kwargs, shapes))
        if direct is not None:
            return direct
    seen = replay(func, args, kwargs)
    if seen:
        return seen
    operator = func.default if isinstance(func, OpOverloadPacket) and hasattr(func, "default") else func
    if isinstance(operator, OpOverload):
        return (make_kernel(operator, args, kwargs, ())._replace(outputs=shapes),)
    return (Kernel(function.name, tuple(map(shape_of, tensors_in((args, kwargs)))), shapes),)


def unpriced_kernel(function: TorchFunction, inputs: Iterable[torch.Tensor], outputs: tuple[Value, ...]) -> Kernel:
    """A kernel that bears the function's name, for work that cannot be seen."""
    return Kernel(function.name, tuple(map(shape_of, inputs)), tuple(v.shape for v in outputs))


def with_examples(kernels: Kernels, times: int) -> Kernels:
    """Kernels that work on so many examples at once, of which their shapes show one."""
    if times == 1:
        return kernels
    return tuple(kernel._replace(attributes=(*kernel.attributes, ("examples", times))) for kernel in kernels)
