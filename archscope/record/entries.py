"""What a run writes down of each call, and what is made of it afterwards.

call → Entry (tensors as Operands, all else as it was given) ─ when the run is over ─→ signature → kernels → Row

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
from archscope.record.attributes import attributes
from archscope.record.functions import Function
from archscope.record.invocation import Ghost, Invocation
from archscope.record.replay import kernel, replay
from archscope.record.tensors import shape_of, tensors
from archscope.record.values import new
from archscope.trace import Call, Kernel, Kernels, Operand, Row, Site, Value

NOWHERE = Site("", "", "block")
"""Where a run is before it enters anything."""


class Entry(NamedTuple):
    """One call: in `args` and `kwargs` every tensor is the Operand that it was. kernels: None where they can wait."""

    call: int
    function: Function
    func: Any
    args: list[Any]
    kwargs: dict[str, Any]
    outputs: tuple[Value, ...]
    view: bool
    kernels: Kernels | None


class Signatures:
    """What calls alike have in common, each found once: function, shapes, dtypes and plain arguments → something."""

    def __init__(self) -> None:
        self._found: dict[Any, Any] = {}

    def once(self, key: Sequence[Any], find: Callable[[], Any]) -> Any:
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


def flat(items: Iterable[Any], inputs: list[Operand], rest: list[Any]) -> None:
    """The operands among arguments, from left to right; and everything else, lengths and keys that make the form."""
    for item in items:
        kind = type(item)
        if kind is Operand:
            inputs.append(item)
            rest.append(Operand)
        elif kind is list or kind is tuple:
            rest.append(len(item))
            flat(item, inputs, rest)
        elif kind is dict:
            rest.extend(item)
            flat(item.values(), inputs, rest)
        else:
            rest.append(item)


def doors(inputs: Iterable[Operand]) -> list[tuple[Any, str]]:
    return [(operand[1][1], operand[1][2]) for operand in inputs]


def rows(
    entries: Sequence[Entry],
    calls: Sequence[Call],
    parameters: Mapping[int, str],
    places: Mapping[int, Span | None],
) -> Iterator[Row]:
    """The rows of a run. parameters: the values of what is learned, by their names; the first row to read one has it.
    places: of rows whose line of the author's code was looked for; the others have that of their site.

    A layer's only row is called like the layer.
    """
    unread, signatures = dict(parameters), Signatures()
    alone = Counter([entry[0] for entry in entries])
    for index, (call, function, func, args, kwargs, outputs, view, kernels) in enumerate(entries):
        inputs: list[Operand] = []
        rest: list[Any] = [func, kernels is None]
        flat(args, inputs, rest)
        if kwargs:
            rest.extend(kwargs)
            flat(kwargs.values(), inputs, rest)
        named: tuple[tuple[str, object], ...] = ()
        if function.named or kernels is None:
            for _, value in inputs:
                rest.append(value[1])
                rest.append(value[2])
            found = signatures.once(rest, lambda: signature(function, func, args, kwargs, outputs, kernels))  # noqa: B023
            kernels, named = found[0] if kernels is None else kernels, found[1]
        firsts: tuple[str, ...] = ()
        if unread:
            firsts = tuple([unread.pop(value[0]) for _, value in inputs if value[0] in unread])
        site = calls[call][2] if call >= 0 else NOWHERE
        op = site.name if site.kind == "layer" and alone[call] == 1 else function.op
        door = tuple(inputs), outputs, firsts, kernels, view
        where = site.place or places.get(index)
        yield new(Row, (index, site.path, op, function.name, call, *door, where, named, function.op, -1))


def signature(
    function: Function, func: Any, args: list[Any], kwargs: dict[str, Any], outputs: tuple[Value, ...], kernels: Any
) -> tuple[Kernels, tuple[tuple[str, object], ...]]:
    """The kernels that could wait, and the plain arguments of a call."""
    given, by_name = tuple(map(ghosts, args)), {name: ghosts(value) for name, value in kwargs.items()}
    found = lowered(function, func, given, by_name, outputs) if kernels is None else ()
    return found, attributes(function.op, given, by_name) if function.named else ()


def ghosts(value: Any) -> Any:
    """An argument with a Ghost of its shape for every tensor that was in it."""
    kind = type(value)
    if kind is Operand:
        return Ghost(value[1][1])
    if kind is list or kind is tuple:
        return kind(map(ghosts, value))
    return {key: ghosts(item) for key, item in value.items()} if kind is dict else value


def lowered(function: Function, func: Any, args: Any, kwargs: Any, outputs: tuple[Value, ...]) -> Kernels:
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
    operator = func.default if isinstance(func, OpOverloadPacket) and hasattr(func, "default") else func
    if isinstance(operator, OpOverload):
        return (kernel(operator, args, kwargs, ())._replace(outputs=shapes),)
    return (Kernel(function.name, tuple(map(shape_of, tensors((args, kwargs)))), shapes),)


def unpriced(function: Function, inputs: Iterable[torch.Tensor], outputs: tuple[Value, ...]) -> Kernel:
    """A kernel that bears the function's name, for work that cannot be seen."""
    return Kernel(function.name, tuple(map(shape_of, inputs)), tuple(v.shape for v in outputs))


def multiplied(kernels: Kernels, times: int) -> Kernels:
    """Kernels that work on so many examples at once, of which their shapes show one."""
    if times == 1:
        return kernels
    return tuple(kernel._replace(attributes=(*kernel.attributes, ("examples", times))) for kernel in kernels)
