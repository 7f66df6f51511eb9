"""What the axes of values are called, `N C H W`, `N C L`, `N T C`: after the layers that make and read them.

    TraceIndex → AxisNames ─ of(value) → a name for each axis; "" where nothing says what it is

A layer of torch's says what its axes are. Every other row hands the names on along the axes that it keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from archscope.checks.conflicts.axis_origins import OutputAxis, axis_origins
from archscope.trace import Row, Shape, Value
from archscope.trace_index import TraceIndex

AxisLabels = tuple[str, ...]
SPATIAL_LABELS: Mapping[int, AxisLabels] = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
"""Number of spatial axes → their names, as in the documentation of torch.nn.Conv1d, Conv2d and Conv3d."""
SPATIAL_LETTERS = frozenset("DHWL")
FEATURES_LAST_LABELS: Mapping[int, AxisLabels] = {1: ("C",), 2: ("N", "C"), 3: ("N", "T", "C"), 4: ("N", "H", "W", "C")}
"""Rank → the axes of what a Linear or a LayerNorm reads."""
MERGED_SEPARATOR = "·"
"""Between the names of axes that a view merged."""


def position_axes(names: Sequence[str]) -> list[int]:
    """The axes of positions, those that a view merged among them: height, width, depth, length."""
    return [axis for axis, name in enumerate(names) if SPATIAL_LETTERS & set(name.split(MERGED_SEPARATOR))]


def image_labels(spatial: int, rank: int) -> AxisLabels:
    """The axes of a batch of images or of one, where a layer slides along so many axes."""
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
    """Of the indexes, which have an axis less than what comes out."""
    return FEATURES_LAST_LABELS.get(len(shape) + 1, ())[:-1]


def layer_norm_labels(row: Row, shape: Shape) -> AxisLabels:
    """A LayerNorm over one axis has the features last; over all but the batch, it has an image."""
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
    """Of nn.MultiheadAttention, which has turned sequences whose batch comes first."""
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
"""Function (short name) → the names of its input's and its output's axes, whatever they were called before."""
USUAL_LABEL_RULES: Mapping[str, LabelRule] = {
    **dict.fromkeys(("batch_norm", "group_norm", "instance_norm"), channels_second_labels),
    **dict.fromkeys(("linear", "bilinear"), features_last_labels),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), recurrent_labels),
    "embedding": index_labels,
    "layer_norm": layer_norm_labels,
    "scaled_dot_product_attention": attention_labels,
    "multi_head_attention_forward": length_first_labels,
}
"""The same of functions that read values of other layouts too: where no layer before has named the axes."""
NEW_FEATURE_OPS = ("embedding", "linear", "bilinear", "lstm", "gru", "rnn_tanh", "rnn_relu")
"""Functions whose last axis is not the one that they read."""


class AxisNames:
    """The names of the axes of one trace's values."""

    def __init__(self, index: TraceIndex):
        self.index = index

    def of(self, value: Value) -> AxisLabels:
        """A name for each axis of a value; "" for an axis that nothing names, and for all of a parameter's."""
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
        """Names what a row gives, and what it reads where a layer says so."""
        kind, operands = row.short_name.removesuffix("_"), self.index.activations(row)
        certain, usual = CERTAIN_LABEL_RULES.get(kind), USUAL_LABEL_RULES.get(kind)
        rule = certain or usual
        for operand in operands[:1] if rule is not None else ():
            named = rule(row, operand.value.shape) if rule is not None else ()
            if named and (certain or not any(found.get(operand.value.id, ()))):
                found[operand.value.id] = named
        for value in row.outputs:
            if certain is not None:
                found[value.id] = certain(row, value.shape)
            elif not all(found.get(value.id, ("",))):
                found[value.id] = self._propagate(row, value, found)

    def _propagate(self, row: Row, value: Value, found: Mapping[int, AxisLabels]) -> AxisLabels:
        before = found.get(value.id, ("",) * len(value.shape))
        operands = self.index.activations(row)
        sources = [self._sources(row, value.shape, axis, found) for axis in range(len(value.shape))]
        names = [merged_label(names) if has_own_sources(sources, axis) else "" for axis, names in enumerate(sources)]
        if row.short_name in NEW_FEATURE_OPS and names and operands:
            names[-1] = feature_label(found.get(operands[0].value.id, ()))
        return tuple(old or new for old, new in zip(before, names, strict=True))

    def _sources(
        self, row: Row, shape: Shape, axis: int, found: Mapping[int, AxisLabels]
    ) -> list[tuple[int, int, str]]:
        """The axes that an axis follows, each as (value, axis, name)."""
        made = axis_origins(OutputAxis(row, self.index.activations(row), shape, axis))
        return [(op.value.id, at, found.get(op.value.id, ("",) * (at + 1))[at]) for op, at in made]

    def _backward(self, row: Row, found: dict[int, AxisLabels]) -> None:
        """Names what a row reads after what it gives, axis by axis."""
        for value in row.outputs[:1]:
            names = found.get(value.id, ())
            for axis, name in enumerate(names):
                made = axis_origins(OutputAxis(row, self.index.activations(row), value.shape, axis)) if name else ()
                if (
                    len(made) == 1
                    and MERGED_SEPARATOR not in name
                    and made[0][0].value.shape[made[0][1]] == value.shape[axis]
                ):
                    operand, at = made[0]
                    known = list(found.get(operand.value.id, ("",) * len(operand.value.shape)))
                    known[at] = known[at] or name
                    found[operand.value.id] = tuple(known)


def has_own_sources(sources: Sequence[Sequence[tuple[int, int, str]]], axis: int) -> bool:
    """Whether no other axis of the output follows the same axes: a view that splits an axis makes two new ones."""
    own = {(value, at) for value, at, _ in sources[axis]}
    others = {(value, at) for n, one in enumerate(sources) if n != axis for value, at, _ in one}
    return not own & others


def merged_label(sources: Sequence[tuple[int, int, str]]) -> str:
    """The name of an axis that follows these: theirs, joined where a view merged axes of one value."""
    names = [name for *_, name in sources]
    if len({value for value, *_ in sources}) == 1:
        return MERGED_SEPARATOR.join(names) if all(names) else ""
    known = set(filter(None, names))
    return known.pop() if len(known) == 1 else ""


def feature_label(names: AxisLabels) -> str:
    """The name of the features that a layer makes of the last axis: channels, unless another axis is called so."""
    return "C" if "C" not in names[:-1] else ""
