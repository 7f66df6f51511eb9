"""What the axes of values are called, `N C H W`, `N C L`, `N T C`: after the layers that make and read them.

    TraceIndex → AxisNames ─ of(value) → a name for each axis; "" where nothing says what it is

A layer of torch's says what its axes are. Every other row hands the names on along the axes that it keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from archscope.checks.conflicts.axes import Made, origins
from archscope.trace import Row, Shape, Value
from archscope.trace_index import TraceIndex

Names = tuple[str, ...]
IMAGES: Mapping[int, Names] = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
"""Number of spatial axes → their names, as in the documentation of torch.nn.Conv1d, Conv2d and Conv3d."""
SPATIAL = frozenset("DHWL")
SEQUENCES: Mapping[int, Names] = {1: ("C",), 2: ("N", "C"), 3: ("N", "T", "C"), 4: ("N", "H", "W", "C")}
"""Rank → the axes of what a Linear or a LayerNorm reads."""
JOINT = "·"
"""Between the names of axes that a view merged."""


def position_axes(names: Sequence[str]) -> list[int]:
    """The axes of positions, those that a view merged among them: height, width, depth, length."""
    return [axis for axis, name in enumerate(names) if SPATIAL & set(name.split(JOINT))]


def of_images(spatial: int, rank: int) -> Names:
    """The axes of a batch of images or of one, where a layer slides along so many axes."""
    names = IMAGES.get(spatial)
    if names is None:
        return ()
    return {spatial + 2: ("N", "C", *names), spatial + 1: ("C", *names)}.get(rank, ())


def sliding(row: Row, shape: Shape) -> Names:
    return of_images(int(row.short.rstrip("_")[-2]), len(shape))


def channels_second(_: Row, shape: Shape) -> Names:
    return of_images(len(shape) - 2, len(shape)) if len(shape) > 2 else ("N", "C")[: len(shape)]


def features_last(_: Row, shape: Shape) -> Names:
    return SEQUENCES.get(len(shape), ())


def embedded(_: Row, shape: Shape) -> Names:
    """Of the indexes, which have an axis less than what comes out."""
    return SEQUENCES.get(len(shape) + 1, ())[:-1]


def over_last_axes(row: Row, shape: Shape) -> Names:
    """A LayerNorm over one axis has the features last; over all but the batch, it has an image."""
    given = row.get("normalized_shape")
    several = isinstance(given, tuple) and len(given) > 1
    return channels_second(row, shape) if several and len(shape) > 2 else features_last(row, shape)


def recurrent(row: Row, shape: Shape) -> Names:
    if len(shape) != 3:
        return features_last(row, shape)
    return ("N", "T", "C") if row.get("batch_first") else ("T", "N", "C")


def attending(row: Row, shape: Shape) -> Names:
    return ("N", "heads", "T", "C") if len(shape) == 4 else features_last(row, shape)


def lengths_first(_: Row, shape: Shape) -> Names:
    """Of nn.MultiheadAttention, which has turned sequences whose batch comes first."""
    return ("T", "N", "C") if len(shape) == 3 else SEQUENCES.get(len(shape), ())


Rule = Callable[[Row, Shape], Names]
CERTAIN: Mapping[str, Rule] = {
    **{f"{kind}{n}d": sliding for kind in ("conv", "conv_transpose") for n in IMAGES},
    **{f"{kind}_pool{n}d": sliding for kind in ("max", "avg", "lp", "adaptive_max", "adaptive_avg") for n in IMAGES},
}
"""Function (short name) → the names of its input's and its output's axes, whatever they were called before."""
USUAL: Mapping[str, Rule] = {
    **dict.fromkeys(("batch_norm", "group_norm", "instance_norm"), channels_second),
    **dict.fromkeys(("linear", "bilinear"), features_last),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), recurrent),
    "embedding": embedded,
    "layer_norm": over_last_axes,
    "scaled_dot_product_attention": attending,
    "multi_head_attention_forward": lengths_first,
}
"""The same of functions that read values of other layouts too: where no layer before has named the axes."""
NEW_FEATURES = ("embedding", "linear", "bilinear", "lstm", "gru", "rnn_tanh", "rnn_relu")
"""Functions whose last axis is not the one that they read."""


class AxisNames:
    """The names of the axes of one trace's values."""

    def __init__(self, index: TraceIndex):
        self.index = index

    def of(self, value: Value) -> Names:
        """A name for each axis of a value; "" for an axis that nothing names, and for all of a parameter's."""
        return self._known.get(value.id) or ("",) * len(value.shape)

    @cached_property
    def _known(self) -> dict[int, Names]:
        found: dict[int, Names] = {}
        for row in self.index.trace.rows:
            self._forward(row, found)
        for row in reversed(self.index.trace.rows):
            self._backward(row, found)
        for row in self.index.trace.rows:
            self._forward(row, found)
        return found

    def _forward(self, row: Row, found: dict[int, Names]) -> None:
        """Names what a row gives, and what it reads where a layer says so."""
        kind, operands = row.short.removesuffix("_"), self.index.activations(row)
        certain, usual = CERTAIN.get(kind), USUAL.get(kind)
        rule = certain or usual
        for operand in operands[:1] if rule is not None else ():
            named = rule(row, operand.value.shape) if rule is not None else ()
            if named and (certain or not any(found.get(operand.value.id, ()))):
                found[operand.value.id] = named
        for value in row.outputs:
            if certain is not None:
                found[value.id] = certain(row, value.shape)
            elif not all(found.get(value.id, ("",))):
                found[value.id] = self._handed_on(row, value, found)

    def _handed_on(self, row: Row, value: Value, found: Mapping[int, Names]) -> Names:
        before = found.get(value.id, ("",) * len(value.shape))
        operands = self.index.activations(row)
        sources = [self._sources(row, value.shape, axis, found) for axis in range(len(value.shape))]
        names = [name_of(names) if unshared(sources, axis) else "" for axis, names in enumerate(sources)]
        if row.short in NEW_FEATURES and names and operands:
            names[-1] = last_name(found.get(operands[0].value.id, ()))
        return tuple(old or new for old, new in zip(before, names, strict=True))

    def _sources(self, row: Row, shape: Shape, axis: int, found: Mapping[int, Names]) -> list[tuple[int, int, str]]:
        """The axes that an axis follows, each as (value, axis, name)."""
        made = origins(Made(row, self.index.activations(row), shape, axis))
        return [(op.value.id, at, found.get(op.value.id, ("",) * (at + 1))[at]) for op, at in made]

    def _backward(self, row: Row, found: dict[int, Names]) -> None:
        """Names what a row reads after what it gives, axis by axis."""
        for value in row.outputs[:1]:
            names = found.get(value.id, ())
            for axis, name in enumerate(names):
                made = origins(Made(row, self.index.activations(row), value.shape, axis)) if name else ()
                if len(made) == 1 and JOINT not in name and made[0][0].value.shape[made[0][1]] == value.shape[axis]:
                    operand, at = made[0]
                    known = list(found.get(operand.value.id, ("",) * len(operand.value.shape)))
                    known[at] = known[at] or name
                    found[operand.value.id] = tuple(known)


def unshared(sources: Sequence[Sequence[tuple[int, int, str]]], axis: int) -> bool:
    """Whether no other axis of the output follows the same axes: a view that splits an axis makes two new ones."""
    own = {(value, at) for value, at, _ in sources[axis]}
    others = {(value, at) for n, one in enumerate(sources) if n != axis for value, at, _ in one}
    return not own & others


def name_of(sources: Sequence[tuple[int, int, str]]) -> str:
    """The name of an axis that follows these: theirs, joined where a view merged axes of one value."""
    names = [name for *_, name in sources]
    if len({value for value, *_ in sources}) == 1:
        return JOINT.join(names) if all(names) else ""
    known = set(filter(None, names))
    return known.pop() if len(known) == 1 else ""


def last_name(names: Names) -> str:
    """The name of the features that a layer makes of the last axis: channels, unless another axis is called so."""
    return "C" if "C" not in names[:-1] else ""
