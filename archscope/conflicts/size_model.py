"""The sizes inside a net as functions of its input sizes: an axis of a value → an AxisSize.

    TraceIndex → SizeModel ─ size(value, axis) → AxisSize ─ evaluate_sizes(sizes, {input axis: n}) → numbers

There are rules for windows, interpolations, paddings, slices, concats, and views that merge axes. An axis that another
function makes has no AxisSize, nor has one whose rule does not give the size of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from archscope.conflicts.axis_history import AxisHistory
from archscope.conflicts.axis_origins import OutputAxis, axis_origins, concat_origins, moved_origins, view_origins
from archscope.ops.axis_map import CONCAT_OPS
from archscope.ops.windows import Window, window_of
from archscope.trace import Operand, Row, Value

RESAMPLING_OPS = ("interpolate", "pixel_shuffle", "pixel_unshuffle")
RESHAPE_OPS = ("view", "reshape", "flatten", "unflatten")
NEW_TENSOR_OPS = ("new_zeros", "new_ones", "new_full", "new_empty")
"""Functions that make a value of a given shape; their operand only determines the dtype."""
PADDING_LAYER_WORD = "Pad"
"""Part of the names of padding modules of torch.nn, whose padding is not computed from sizes."""
REPEAT_OPS = ("expand", "repeat")
COMPUTED_SIZE_OPS = (*REPEAT_OPS, "getitem", "narrow", "interpolate", "embedding", "index_select", "gather")
"""Functions whose arguments the author's code may compute from sizes, although they read a table."""
ResizeRule = Callable[[int], int]
"""The output size of an axis as a function of its input size."""
InputAxis = tuple[int, int]
"""The id of an input's value, and one of its axes."""


@dataclass(frozen=True, eq=False)
class AxisSize:
    """The size of one axis, and how it is computed.

    now: the size in this run. of: the sizes that it is computed from. rule: from theirs to its own; 0 or less if
    something does not fit. axis: for an axis of an input, which one. frozen: it contains a number that the author's
    code may have computed from this run's sizes. axes: the axes of inputs that it depends on.
    """

    now: int
    of: tuple[AxisSize, ...] = field(default=(), repr=False)
    rule: Callable[..., int] | None = field(default=None, repr=False)
    axis: InputAxis | None = None
    frozen: bool = False
    axes: frozenset[InputAxis] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        own = frozenset([self.axis]) if self.axis is not None else frozenset()
        object.__setattr__(self, "axes", own.union(*(size.axes for size in self.of)))


def dependency_order(sizes: Iterable[AxisSize]) -> list[AxisSize]:
    """Return the sizes and those that they are computed from, each once, dependencies first."""
    found: dict[int, AxisSize] = {}
    waiting: list[tuple[AxisSize, bool]] = [(size, False) for size in sizes]
    while waiting:
        size, ready = waiting.pop()
        if ready:
            found.setdefault(id(size), size)
        elif id(size) not in found:
            waiting += [(size, True), *((source, False) for source in size.of)]
    return list(found.values())


def evaluate_sizes(sizes: Sequence[AxisSize], given: Mapping[InputAxis, int]) -> list[int]:
    """Return the sizes with these sizes of input axes, others unchanged. sizes: in the order of `dependency_order`."""
    found: dict[int, int] = {}
    for size in sizes:
        if size.axis is not None:
            found[id(size)] = given.get(size.axis, size.now)
        elif size.rule is None:
            found[id(size)] = size.now
        else:
            parts = [found[id(source)] for source in size.of]
            found[id(size)] = size.rule(*parts) if min(parts) > 0 else 0
    return [found[id(size)] for size in sizes]


class SizeModel:
    """The AxisSizes of one trace's values, computed on demand.

    After a conflict the run continued with assumed sizes, so there a rule need not give the size of the run.
    """

    def __init__(self, history: AxisHistory):
        self.index, self.original_operand, self.stand_ins = history.index, history.original_operand, history.stand_ins
        self.known: dict[InputAxis, AxisSize | None] = {}
        self.assumed_rows = self.index.descendants(mismatch.row for mismatch in self.index.trace.mismatches)

    def size(self, value: Value, axis: int) -> AxisSize | None:
        """Return how the size of a value's axis is computed; None if unknown."""
        waiting = [(value, axis)]
        while waiting:
            current, at = waiting[-1]
            if (current.id, at) in self.known:
                waiting.pop()
                continue
            sources = self._sources(current, at)
            behind = [(op.value, where) for op, where in sources if (op.value.id, where) not in self.known]
            if behind:
                waiting += behind
                continue
            self.known[current.id, at] = self._derive_size(
                current, at, [self.known[op.value.id, where] for op, where in sources]
            )
            waiting.pop()
        return self.known[value.id, axis]

    def _sources(self, value: Value, axis: int) -> list[tuple[Operand, int]]:
        row = self.index.makers.get(value.id)
        if row is None or (row.short_name in NEW_TENSOR_OPS and row.index not in self.stand_ins):
            return []
        if row.short_name == "getitem" and find_slice(row, axis, value) is None:
            return []
        # a concat joins parameters too
        given = row.inputs if row.short_name in CONCAT_OPS else self.index.activations(row)
        operands = tuple(map(self.original_operand, given))
        found = axis_origins(OutputAxis(row, operands, value.shape, axis))
        return [(operand, at) for operand, at in found if operand.value.id != value.id]

    def _derive_size(self, value: Value, axis: int, sources: Sequence[AxisSize | None]) -> AxisSize | None:
        row, now = self.index.makers.get(value.id), value.shape[axis]
        if row is None:
            given = value.id in self.index.inputs
            return AxisSize(now, axis=(value.id, axis)) if given else AxisSize(now)
        if value.id not in self.index.input_dependent:
            return AxisSize(now, frozen=not keeps_axis(row, value, axis) and self._may_follow(row))
        known = [size for size in sources if size is not None]
        if len(known) != len(sources):
            return None
        derived = self._row_size(row, value, axis, known)
        if derived is None or row.index in self.assumed_rows:
            return derived
        computed = derived.now if derived.rule is None else derived.rule(*(source.now for source in derived.of))
        return derived if computed == now else None

    def _may_follow(self, row: Row) -> bool:
        """Return whether a value that depends on no input may have a size of this run: a new tensor, or a slice."""
        waiting, seen = [row], {row.index}
        for maker_row in waiting:
            if not maker_row.inputs or (
                maker_row.short_name in COMPUTED_SIZE_OPS and maker_row.short_name not in REPEAT_OPS
            ):
                return True
            makers = [maker for maker in map(self.index.maker, maker_row.inputs) if maker is not None]
            waiting += [maker for maker in makers if maker.index not in seen]
            seen |= {maker.index for maker in makers}
        return False

    def _row_size(self, row: Row, value: Value, axis: int, sources: Sequence[AxisSize]) -> AxisSize | None:
        now, frozen = value.shape[axis], any(size.frozen for size in sources)
        if not sources:
            return (
                AxisSize(now, frozen=row.short_name in RESHAPE_OPS or row.short_name in NEW_TENSOR_OPS)
                if sets_axis(row)
                else None
            )
        if row.short_name in CONCAT_OPS and len(sources) > 1:
            return AxisSize(now, tuple(sources), lambda *parts: sum(parts), frozen=frozen)
        if row.short_name in RESHAPE_OPS and not merges_axes(row, value, axis):
            return AxisSize(now, frozen=True)
        if len(sources) > 1:
            return AxisSize(now, tuple(sources), lambda *parts: prod(parts), frozen=frozen)
        rule, fixed = self._resize(row, value, axis, sources[0])
        if rule is None:
            return AxisSize(now, frozen=not fixed) if row.get("size") is not None else None
        return AxisSize(now, tuple(sources), rule, frozen=frozen or not fixed)

    def _resize(self, row: Row, value: Value, axis: int, source: AxisSize) -> tuple[ResizeRule | None, bool]:
        """Return the rule for one axis, and whether all numbers in it are constants of the layer."""
        site, back = self.index.layer(row), len(value.shape) - axis
        window, layer = window_of(row), site is not None
        if window is not None and axis >= len(value.shape) - window.axes:
            return window_resize(window, window.axes - back), True
        if row.short_name in RESAMPLING_OPS and row.get("size") is not None:
            return None, layer
        if row.short_name == "getitem":
            cut = find_slice(row, axis, value)
            return (None, False) if cut is None else (lambda n: len(range(*cut.indices(n))), cut == slice(None))
        before, after = source.now, value.shape[axis]
        if row.short_name in RESAMPLING_OPS and axis < 2:  # the batch, and the channels
            return (lambda n: n) if before == after else None, True
        step = resize_rule(row, before, after, back)
        padded = row.short_name == "pad" and before != after
        return step, not padded or (site is not None and PADDING_LAYER_WORD in site.name)


def keeps_axis(row: Row, value: Value, axis: int) -> bool:
    """Return whether a row repeats a table along other axes than this one."""
    before = row.inputs[0].value.shape if row.inputs else ()
    at = axis - len(value.shape) + len(before)
    return row.short_name in REPEAT_OPS and at >= 0 and before[at] == value.shape[axis]


def window_resize(window: Window, axis: int) -> ResizeRule:
    return lambda n: window.size(n, axis)


def merges_axes(row: Row, value: Value, axis: int) -> bool:
    """Return whether a view's axis merges exactly the axes that it follows, so that its size is their product."""
    before = view_origins(OutputAxis(row, row.inputs[:1], value.shape, axis))
    return bool(before) and prod(operand.value.shape[at] for operand, at in before) == value.shape[axis]


def sets_axis(row: Row) -> bool:
    """Return whether a row sets this axis: a layer's channels, an adaptive pool's sizes."""
    if "adaptive" in row.short_name or row.short_name in (
        "linear",
        "embedding",
        "unsqueeze",
        "stack",
        *RESHAPE_OPS,
        *NEW_TENSOR_OPS,
    ):
        return True
    return "conv" in row.short_name or not row.inputs


def find_slice(row: Row, axis: int, value: Value) -> slice | None:
    """Return the slice of an index that an axis of the result comes from; None if it is no slice."""
    source = moved_origins(OutputAxis(row, row.inputs[:1], value.shape, axis))
    index = row.get("index", "?")
    entries = list(index) if isinstance(index, tuple) else [index]
    if len(source) != 1 or any(isinstance(entry, str) and ":" not in entry and entry != "..." for entry in entries):
        return None
    rank = len(row.inputs[0].value.shape)
    if "..." in entries:
        at = entries.index("...")
        rest = sum(entry is not None for entry in entries) - 1
        entries[at : at + 1] = [":"] * (rank - rest)
    whole = [entry for entry in entries if entry is not None]
    text = whole[source[0][1]] if source[0][1] < len(whole) else ":"
    return parse_slice(text) if isinstance(text, str) else None


def parse_slice(text: str) -> slice | None:
    parts = text.split(":")
    if any(part.strip() not in ("", "None") and not part.strip().lstrip("-").isdigit() for part in parts):
        return None
    return slice(*(int(part) if part.strip() not in ("", "None") else None for part in parts))


def resize_rule(row: Row, before: int, after: int, back: int) -> ResizeRule | None:
    """Return the output size of an axis (the `back`-th from the end) as a function of its input size; None if
    unknown."""
    window = window_of(row)
    if window is not None and back <= window.axes:
        return window_resize(window, window.axes - back)
    if row.short_name in RESAMPLING_OPS and before:
        return scale_rule(row, before, after, back)
    if row.short_name == "pad":
        return lambda n: n + after - before
    return (lambda n: n) if before == after else None


def scale_rule(row: Row, before: int, after: int, back: int) -> ResizeRule | None:
    """Return the rule of an interpolation by a factor or to a size, or of a pixel shuffle."""
    if row.get("size") is not None:
        return lambda n: after if n > 0 else 0
    factor = row.get("scale_factor")
    factor = factor[-back] if isinstance(factor, tuple) and len(factor) >= back else factor
    if isinstance(factor, (int, float)):
        return lambda n: int(n * factor)
    if after % before == 0:
        return lambda n: n * (after // before)
    return (lambda n: n // (before // after)) if before % after == 0 else None


def concat_axis(row: Row) -> int | None:
    """Return the axis along which a row concatenates; None for other rows."""
    if row.short_name not in CONCAT_OPS:
        return None
    rank = len(row.outputs[0].shape)
    return next(
        (at for at in range(rank) if len(concat_origins(OutputAxis(row, row.inputs, row.outputs[0].shape, at))) > 1),
        None,
    )
