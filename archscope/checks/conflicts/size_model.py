"""How the sizes inside a net follow from those of its inputs: an axis of a value → a Size, worked out at any input.

    TraceIndex → SizeModel ─ size(value, axis) → Size ─ sizes_at({input axis: n}) → its number there

Known are windows, interpolations, paddings, slices, lists, and views that merge axes. An axis that something else makes
has no Size, and so has one whose rule does not give the number that the run had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from archscope.checks.conflicts.axes import JOINED, Made, indexed, joined, origins, viewed
from archscope.checks.conflicts.axis_history import AxisHistory
from archscope.report.windows import Window, window_of
from archscope.trace import Operand, Row, Value

ENLARGES = ("interpolate", "pixel_shuffle", "pixel_unshuffle")
VIEWED = ("view", "reshape", "flatten", "unflatten")
FILLED = ("new_zeros", "new_ones", "new_full", "new_empty")
"""Functions that make a value of a written shape; what they read says its type alone."""
LAYERS_THAT_PAD = "Pad"
"""Modules of torch.nn that pad have it in their names: what they pad is not worked out from sizes."""
REPEATS = ("expand", "repeat")
CUTS = (*REPEATS, "getitem", "narrow", "interpolate", "embedding", "index_select", "gather")
"""Functions whose numbers the author's code may work out from sizes, though they read a table."""
Resize = Callable[[int], int]
"""What a row makes of the size of one axis."""
InputAxis = tuple[int, int]
"""The id of an input's value, and one of its axes."""


@dataclass(frozen=True, eq=False)
class Size:
    """How the size of one axis comes about.

    now: what it is in this run. of: the sizes that it is made from. rule: from theirs to its own; 0 or less where
    something does not fit. axis: of an axis of an input, which. frozen: whether a number that the author's code may
    have worked out from this run's sizes is in it. axes: the axes of inputs that it depends on.
    """

    now: int
    of: tuple[Size, ...] = field(default=(), repr=False)
    rule: Callable[..., int] | None = field(default=None, repr=False)
    axis: InputAxis | None = None
    frozen: bool = False
    axes: frozenset[InputAxis] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        own = frozenset([self.axis]) if self.axis is not None else frozenset()
        object.__setattr__(self, "axes", own.union(*(size.axes for size in self.of)))


def ordered(sizes: Iterable[Size]) -> list[Size]:
    """Sizes and those that they are made from, each once, each behind those that it is made from."""
    found: dict[int, Size] = {}
    waiting: list[tuple[Size, bool]] = [(size, False) for size in sizes]
    while waiting:
        size, ready = waiting.pop()
        if ready:
            found.setdefault(id(size), size)
        elif id(size) not in found:
            waiting += [(size, True), *((one, False) for one in size.of)]
    return list(found.values())


def sizes_at(sizes: Sequence[Size], given: Mapping[InputAxis, int]) -> list[int]:
    """The sizes where the axes of inputs are those given, others as they are; `sizes` as `ordered` orders them."""
    found: dict[int, int] = {}
    for size in sizes:
        if size.axis is not None:
            found[id(size)] = given.get(size.axis, size.now)
        elif size.rule is None:
            found[id(size)] = size.now
        else:
            parts = [found[id(one)] for one in size.of]
            found[id(size)] = size.rule(*parts) if min(parts) > 0 else 0
    return [found[id(size)] for size in sizes]


def value_of(size: Size) -> int:
    """What its rule gives of the sizes that it is made from, as they are in this run."""
    return size.now if size.rule is None else size.rule(*(one.now for one in size.of))


class SizeModel:
    """The Sizes of one trace's values, each made when it is first asked for.

    Behind a conflict the run went on with made-up sizes, so there a rule need not give the number that the run had.
    """

    def __init__(self, history: AxisHistory):
        self.index, self.real, self.stand_ins = history.index, history.real, history.stand_ins
        self.known: dict[InputAxis, Size | None] = {}
        self.made_up = self.index.descendants(mismatch.row for mismatch in self.index.trace.mismatches)

    def size(self, value: Value, axis: int) -> Size | None:
        """How an axis of a value comes to its size; None where that is not known."""
        waiting = [(value, axis)]
        while waiting:
            one, at = waiting[-1]
            if (one.id, at) in self.known:
                waiting.pop()
                continue
            sources = self._sources(one, at)
            behind = [(op.value, where) for op, where in sources if (op.value.id, where) not in self.known]
            if behind:
                waiting += behind
                continue
            self.known[one.id, at] = self._made(one, at, [self.known[op.value.id, where] for op, where in sources])
            waiting.pop()
        return self.known[value.id, axis]

    def _sources(self, value: Value, axis: int) -> list[tuple[Operand, int]]:
        row = self.index.makers.get(value.id)
        if row is None or (row.short in FILLED and row.index not in self.stand_ins):
            return []
        if row.short == "getitem" and slice_of(row, axis, value) is None:
            return []
        operands = tuple(map(self.real, self._operands(row)))
        found = origins(Made(row, operands, value.shape, axis))
        return [(operand, at) for operand, at in found if operand.value.id != value.id]

    def _operands(self, row: Row) -> tuple[Operand, ...]:
        """What a list joins, parameters among it; of every other row what flows."""
        return row.inputs if row.short in JOINED else self.index.activations(row)

    def _made(self, value: Value, axis: int, sources: Sequence[Size | None]) -> Size | None:
        row, now = self.index.makers.get(value.id), value.shape[axis]
        if row is None:
            given = value.id in self.index.inputs
            return Size(now, axis=(value.id, axis)) if given else Size(now)
        if value.id not in self.index.dependent:
            return Size(now, frozen=not keeps(row, value, axis) and self._may_follow(row))
        known = [size for size in sources if size is not None]
        if len(known) != len(sources):
            return None
        made = self._of_row(row, value, axis, known)
        fits = made is not None and (row.index in self.made_up or value_of(made) == now)
        return made if fits else None

    def _may_follow(self, row: Row) -> bool:
        """Whether a value that comes from no input may have a size of this run's: what is made anew, or cut out."""
        waiting, seen = [row], {row.index}
        for one in waiting:
            if not one.inputs or (one.short in CUTS and one.short not in REPEATS):
                return True
            makers = [maker for maker in map(self.index.maker, one.inputs) if maker is not None]
            waiting += [maker for maker in makers if maker.index not in seen]
            seen |= {maker.index for maker in makers}
        return False

    def _of_row(self, row: Row, value: Value, axis: int, sources: Sequence[Size]) -> Size | None:
        now, frozen = value.shape[axis], any(size.frozen for size in sources)
        if not sources:
            return Size(now, frozen=row.short in VIEWED or row.short in FILLED) if sets(row) else None
        if row.short in JOINED and len(sources) > 1:
            return Size(now, tuple(sources), lambda *parts: sum(parts), frozen=frozen)
        if row.short in VIEWED and not merges(row, value, axis):
            return Size(now, frozen=True)
        if len(sources) > 1:
            return Size(now, tuple(sources), lambda *parts: prod(parts), frozen=frozen)
        rule, fixed = self._resize(row, value, axis, sources[0])
        if rule is None:
            return Size(now, frozen=not fixed) if row.get("size") is not None else None
        return Size(now, tuple(sources), rule, frozen=frozen or not fixed)

    def _resize(self, row: Row, value: Value, axis: int, source: Size) -> tuple[Resize | None, bool]:
        """What a row makes of its source's size, and whether all numbers in it are the layer's own."""
        site, back = self.index.layer(row), len(value.shape) - axis
        window, layer = window_of(row), site is not None
        if window is not None and axis >= len(value.shape) - window.axes:
            return windowed(window, window.axes - back), True
        if row.short in ENLARGES and row.get("size") is not None:
            return None, layer
        if row.short == "getitem":
            cut = slice_of(row, axis, value)
            return (None, False) if cut is None else (lambda n: len(range(*cut.indices(n))), cut == slice(None))
        before, after = source.now, value.shape[axis]
        if row.short in ENLARGES and axis < 2:  # the batch, and the channels
            return (lambda n: n) if before == after else None, True
        step = resize_of(row, before, after, back)
        padded = row.short == "pad" and before != after
        return step, not padded or (site is not None and LAYERS_THAT_PAD in site.name)


def keeps(row: Row, value: Value, axis: int) -> bool:
    """Whether a row repeats a table along other axes than this one."""
    before = row.inputs[0].value.shape if row.inputs else ()
    at = axis - len(value.shape) + len(before)
    return row.short in REPEATS and at >= 0 and before[at] == value.shape[axis]


def windowed(window: Window, axis: int) -> Resize:
    return lambda n: window.size(n, axis)


def merges(row: Row, value: Value, axis: int) -> bool:
    """Whether a view's axis is all of the axes that it follows, so that its size is their product."""
    before = viewed(Made(row, row.inputs[:1], value.shape, axis))
    return bool(before) and prod(operand.value.shape[at] for operand, at in before) == value.shape[axis]


def sets(row: Row) -> bool:
    """Whether a row that follows no axis is known to set this one: a layer's channels, an adaptive pool's sizes."""
    if "adaptive" in row.short or row.short in ("linear", "embedding", "unsqueeze", "stack", *VIEWED, *FILLED):
        return True
    return "conv" in row.short or not row.inputs


def slice_of(row: Row, axis: int, value: Value) -> slice | None:
    """The slice of an index that an axis of the result comes from; None where it is no slice."""
    source = indexed(Made(row, row.inputs[:1], value.shape, axis))
    index = row.get("index", "?")
    entries = list(index) if isinstance(index, tuple) else [index]
    if len(source) != 1 or any(isinstance(one, str) and ":" not in one and one != "..." for one in entries):
        return None
    rank = len(row.inputs[0].value.shape)
    if "..." in entries:
        at = entries.index("...")
        rest = sum(entry is not None for entry in entries) - 1
        entries[at : at + 1] = [":"] * (rank - rest)
    whole = [entry for entry in entries if entry is not None]
    text = whole[source[0][1]] if source[0][1] < len(whole) else ":"
    return parsed(text) if isinstance(text, str) else None


def parsed(text: str) -> slice | None:
    parts = text.split(":")
    if any(part.strip() not in ("", "None") and not part.strip().lstrip("-").isdigit() for part in parts):
        return None
    return slice(*(int(part) if part.strip() not in ("", "None") else None for part in parts))


def resize_of(row: Row, before: int, after: int, back: int) -> Resize | None:
    """What a row makes of any size of one axis, the `back`-th from the end; None where that is not known."""
    window = window_of(row)
    if window is not None and back <= window.axes:
        return windowed(window, window.axes - back)
    if row.short in ENLARGES and before:
        return scaled_by(row, before, after, back)
    if row.short == "pad":
        return lambda n: n + after - before
    return (lambda n: n) if before == after else None


def scaled_by(row: Row, before: int, after: int, back: int) -> Resize | None:
    """An interpolation by a factor, or to a size; a pixel shuffle."""
    if row.get("size") is not None:
        return lambda n: after if n > 0 else 0
    factor = row.get("scale_factor")
    factor = factor[-back] if isinstance(factor, tuple) and len(factor) >= back else factor
    if isinstance(factor, (int, float)):
        return lambda n: int(n * factor)
    if after % before == 0:
        return lambda n: n * (after // before)
    return (lambda n: n // (before // after)) if before % after == 0 else None


def joined_axis(row: Row) -> int | None:
    """The axis along which a row joins values; None where it joins none."""
    if row.short not in JOINED:
        return None
    rank = len(row.outputs[0].shape)
    return next((at for at in range(rank) if len(joined(Made(row, row.inputs, row.outputs[0].shape, at))) > 1), None)
