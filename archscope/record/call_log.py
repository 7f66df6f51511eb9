"""The calls of a run as they are recorded, and the rows that are made of them afterwards.

call → RecordedCall (tensors as Operands, other arguments as passed) ─ after the run ─→ signature → kernels → Row

While a model runs, its layers fill the CPU's caches, so that all other work between two layers is slow. So a run
records only what needs the living tensors; the rest is computed afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch._ops import OpOverload, OpOverloadPacket

from archscope.errors import Span
from archscope.record.op_call import OpCall, ShapeOnly, call_attributes, shape_of, tensors_in
from archscope.record.replay import make_kernel, replay
from archscope.record.tensor_registry import make_tuple
from archscope.record.torch_functions import TorchFunction
from archscope.trace import Call, Kernel, Kernels, Location, Operand, Row, Value

ROOT_LOCATION = Location("", "", "block")
"""The location of a run before it enters a module or a step."""


class RecordedCall(NamedTuple):
    """One call, in which every tensor in `args` and `kwargs` is an Operand. kernels: None if they can be derived
    later."""

    call: int
    function: TorchFunction
    func: Any
    args: list[Any]
    kwargs: dict[str, Any]
    outputs: tuple[Value, ...]
    view: bool
    kernels: Kernels | None


class SignatureCache:
    """Results that calls with equal signatures share: function, shapes, dtypes and plain arguments → anything."""

    def __init__(self) -> None:
        self._found: dict[Any, Any] = {}

    def get_or_compute(self, key: Sequence[Any], find: Callable[[], Any]) -> Any:
        """Return what `find` returned for the first of all equal keys."""
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
    """Append the operands among arguments, left to right, to `inputs`, and the rest, with lengths and keys, to
    `rest`."""
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
    """Yield the rows of a run.

    parameters: names by value id; the first row to read a parameter lists it. places: source lines of the rows for
    which they were requested; other rows have that of their location. A layer's only row has the layer's name.
    """
    unread, signatures = dict(parameters), SignatureCache()
    rows_per_call = Counter([entry[0] for entry in entries])
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
        first_reads: tuple[str, ...] = ()
        if unread:
            first_reads = tuple([unread.pop(value[0]) for _, value in inputs if value[0] in unread])
        site = calls[call][2] if call >= 0 else ROOT_LOCATION
        op = site.name if site.kind == "layer" and rows_per_call[call] == 1 else function.op
        values = tuple(inputs), outputs, first_reads, kernels, view
        place = site.place or places.get(index)
        yield make_tuple(Row, (index, site.path, op, function.name, call, *values, place, named, function.op, -1))


def kernels_and_attributes(
    function: TorchFunction,
    func: Any,
    args: list[Any],
    kwargs: dict[str, Any],
    outputs: tuple[Value, ...],
    kernels: Any,
) -> tuple[Kernels, tuple[tuple[str, object], ...]]:
    """Return the kernels of a call, unless they are known already, and its plain arguments."""
    positional, named = (
        tuple(map(to_shapes_only, args)),
        {name: to_shapes_only(value) for name, value in kwargs.items()},
    )
    found = lower_call(function, func, positional, named, outputs) if kernels is None else ()
    return found, call_attributes(function.op, positional, named) if function.keeps_attributes else ()


def to_shapes_only(value: Any) -> Any:
    """Return an argument with every tensor in it replaced by a ShapeOnly."""
    kind = type(value)
    if kind is Operand:
        return ShapeOnly(value[1][1])
    if kind is list or kind is tuple:
        return kind(map(to_shapes_only, value))
    return {key: to_shapes_only(item) for key, item in value.items()} if kind is dict else value


def lower_call(function: TorchFunction, func: Any, args: Any, kwargs: Any, outputs: tuple[Value, ...]) -> Kernels:
    """Return the kernels of one call: from the table of lowerings, else from a replay, else one named like the
    function.

    A replay without any kernel has missed the work, since views are never lowered.
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
    """Return a kernel named like the function, for work that cannot be seen."""
    return Kernel(function.name, tuple(map(shape_of, inputs)), tuple(v.shape for v in outputs))


def with_examples(kernels: Kernels, times: int) -> Kernels:
    """Return the kernels with the number of examples that they process at once; their shapes are those of one."""
    if times == 1:
        return kernels
    return tuple(kernel._replace(attributes=(*kernel.attributes, ("examples", times))) for kernel in kernels)
