"""Names of the axes of values, such as `N C H W`, `N C L` or `N T C`, from the layers that make and read them.

    TraceIndex → AxisNames ─ of(value) → a name for each axis; "" where unknown

Layers of torch name the axes of their input and output. Other rows pass names on along the axes that they keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from archscope.conflicts.axis_origins import OutputAxis, axis_origins
from archscope.trace import Row, Shape, Value
from archscope.trace_index import TraceIndex

AxisLabels = tuple[str, ...]
SPATIAL_LABELS: Mapping[int, AxisLabels] = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
"""Number of spatial axes → their names, as in the documentation of torch.nn.Conv1d, Conv2d and Conv3d."""
SPATIAL_LETTERS = frozenset("DHWL")
FEATURES_LAST_LABELS: Mapping[int, AxisLabels] = {1: ("C",), 2: ("N", "C"), 3: ("N", "T", "C"), 4: ("N", "H", "W", "C")}
"""Rank → the axes of the input of a Linear or a LayerNorm."""
MERGED_SEPARATOR = "·"
"""Separates the names of axes that a view merged."""


def position_axes(names: Sequence[str]) -> list[int]:
    """Return the axes of positions (height, width, depth, length), also merged ones."""
    return [axis for axis, name in enumerate(names) if SPATIAL_LETTERS & set(name.split(MERGED_SEPARATOR))]


def image_labels(spatial: int, rank: int) -> AxisLabels:
    """Return the axes of a batch of images, or of a single one, for a layer with this number of spatial axes."""
    names = SPATIAL_LABELS.get(spatial)
    if names is None:
        return ()
    return {spatial + 2: ("N", "C", *names), spatial + 1: ("C", *names)}.get(rank, ())


def window_labels(row: Row, shape: Shape) -> AxisLabels:
    return image_labels(int(row.short_name.rstrip("_")[-2]), len(shape))


def channels_second_labels(_: Row, shape: Shape) -> AxisLabels:
    return image_labels(len(shape) - 2, len(shape)) if len(shape) > 2 else ("N", "C")[: len(shape)]


def features_last_labels(_: Row, shape: Shape) -> AxisLabels:
    return FEATURES_LAST_LABELS.get(len(shape), ())


def index_labels(_: Row, shape: Shape) -> AxisLabels:
    """Return the axes of an embedding's indices, which have one axis less than its output."""
    return FEATURES_LAST_LABELS.get(len(shape) + 1, ())[:-1]


def layer_norm_labels(row: Row, shape: Shape) -> AxisLabels:
    """Return the axes of a LayerNorm's input: over one axis, the features are last; over several, it is an image."""
    given = row.get("normalized_shape")
    several = isinstance(given, tuple) and len(given) > 1
    return channels_second_labels(row, shape) if several and len(shape) > 2 else features_last_labels(row, shape)


def recurrent_labels(row: Row, shape: Shape) -> AxisLabels:
    if len(shape) != 3:
        return features_last_labels(row, shape)
    return ("N", "T", "C") if row.get("batch_first") else ("T", "N", "C")


def attention_labels(row: Row, shape: Shape) -> AxisLabels:
    return ("N", "heads", "T", "C") if len(shape) == 4 else features_last_labels(row, shape)


def length_first_labels(_: Row, shape: Shape) -> AxisLabels:
    """Return the axes inside nn.MultiheadAttention, which transposes batch-first sequences."""
    return ("T", "N", "C") if len(shape) == 3 else FEATURES_LAST_LABELS.get(len(shape), ())


LabelRule = Callable[[Row, Shape], AxisLabels]
CERTAIN_LABEL_RULES: Mapping[str, LabelRule] = {
    **{f"{kind}{n}d": window_labels for kind in ("conv", "conv_transpose") for n in SPATIAL_LABELS},
    **{
        f"{kind}_pool{n}d": window_labels
        for kind in ("max", "avg", "lp", "adaptive_max", "adaptive_avg")
        for n in SPATIAL_LABELS
    },
}
"""Function (short name) → the axes of its input and output, also if they already have other names."""
USUAL_LABEL_RULES: Mapping[str, LabelRule] = {
    **dict.fromkeys(("batch_norm", "group_norm", "instance_norm"), channels_second_labels),
    **dict.fromkeys(("linear", "bilinear"), features_last_labels),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), recurrent_labels),
    "embedding": index_labels,
    "layer_norm": layer_norm_labels,
    "scaled_dot_product_attention": attention_labels,
    "multi_head_attention_forward": length_first_labels,
}
"""The same for functions that accept several layouts: used if no earlier layer has named the axes."""
NEW_FEATURE_OPS = ("embedding", "linear", "bilinear", "lstm", "gru", "rnn_tanh", "rnn_relu")
"""Functions that replace the last axis of their input."""


class AxisNames:
    """The names of the axes of one trace's values."""

    def __init__(self, index: TraceIndex):
        self.index = index

    def of(self, value: Value) -> AxisLabels:
        """Return a name for each axis of a value; "" for an unknown axis, and for all axes of a parameter."""
        return self._labels.get(value.id) or ("",) * len(value.shape)

    @cached_property
    def _labels(self) -> dict[int, AxisLabels]:
        found: dict[int, AxisLabels] = {}
        for row in self.index.trace.rows:
            self._forward(row, found)
        for row in reversed(self.index.trace.rows):
            self._backward(row, found)
        for row in self.index.trace.rows:
            self._forward(row, found)
        return found

    def _forward(self, row: Row, found: dict[int, AxisLabels]) -> None:
        """Name the axes of a row's outputs, and of its first operand if its layer has a rule."""
        kind, operands = row.short_name.removesuffix("_"), self.index.activations(row)
        certain, usual = CERTAIN_LABEL_RULES.get(kind), USUAL_LABEL_RULES.get(kind)
        rule = certain or usual
        for operand in operands[:1] if rule is not None else ():
            named = rule(row, operand.value.shape) if rule is not None else ()
            if named and (certain or not any(found.get(operand.value.id, ()))):
                found[operand.value.id] = named
        for value in row.outputs:
            if certain is not None:
                found[value.id] = certain(row, value.shape) or ("",) * len(value.shape)
            elif not all(found.get(value.id, ("",))):
                found[value.id] = self._propagate(row, value, found)

    def _propagate(self, row: Row, value: Value, found: Mapping[int, AxisLabels]) -> AxisLabels:
        before = found.get(value.id, ("",) * len(value.shape))
        operands = self.index.activations(row)
        sources = [self._sources(row, value.shape, axis, found) for axis in range(len(value.shape))]
        names = [merged_label(names) if has_own_sources(sources, axis) else "" for axis, names in enumerate(sources)]
        if row.short_name in NEW_FEATURE_OPS and names and operands:
            taken = "C" in found.get(operands[0].value.id, ())[:-1]
            names[-1] = "" if taken else "C"
        return tuple(old or new for old, new in zip(before, names, strict=True))

    def _sources(
        self, row: Row, shape: Shape, axis: int, found: Mapping[int, AxisLabels]
    ) -> list[tuple[int, int, str]]:
        """Return the axes that an axis follows, each as (value, axis, name)."""
        origins = axis_origins(OutputAxis(row, self.index.activations(row), shape, axis))
        return [(op.value.id, at, found.get(op.value.id, ("",) * (at + 1))[at]) for op, at in origins]

    def _backward(self, row: Row, found: dict[int, AxisLabels]) -> None:
        """Name the axes of a row's operands after those of its output."""
        for value in row.outputs[:1]:
            names = found.get(value.id, ())
            for axis, name in enumerate(names):
                origins = axis_origins(OutputAxis(row, self.index.activations(row), value.shape, axis)) if name else ()
                if (
                    len(origins) == 1
                    and MERGED_SEPARATOR not in name
                    and origins[0][0].value.shape[origins[0][1]] == value.shape[axis]
                ):
                    operand, at = origins[0]
                    known = list(found.get(operand.value.id, ("",) * len(operand.value.shape)))
                    known[at] = known[at] or name
                    found[operand.value.id] = tuple(known)


def has_own_sources(sources: Sequence[Sequence[tuple[int, int, str]]], axis: int) -> bool:
    """Return whether no other axis of the output follows the same axes. A view that splits an axis makes two new
    ones."""
    own = {(value, at) for value, at, _ in sources[axis]}
    others = {(value, at) for n, origins in enumerate(sources) if n != axis for value, at, _ in origins}
    return not own & others


def merged_label(sources: Sequence[tuple[int, int, str]]) -> str:
    """Return the name of an axis that follows these: their common name, or joined names if a view merged axes of one
    value."""
    names = [name for *_, name in sources]
    if len({value for value, *_ in sources}) == 1:
        return MERGED_SEPARATOR.join(names) if all(names) else ""
    known = set(filter(None, names))
    return known.pop() if len(known) == 1 else ""
