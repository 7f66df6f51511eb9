"""Chains of layers: linear maps with nothing between them, and softmaxes in the middle of a net."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from archscope.checks.lint.axis_parts import only
from archscope.checks.lint.flow import ACTIVATIONS, LINEAR, NORMS, Flow, channel_axis, found, plain
from archscope.report import Finding
from archscope.report.slides import slides
from archscope.trace import Row

PRODUCTS = frozenset(["matmul", "bmm", "mul", "einsum", "baddbmm"])


def linear_linear(flow: Flow) -> Iterator[Finding]:
    """Two linear maps in a row are one. Grouped ones are not meant; through few channels it is a factorisation. Layers
    that are called several times are one finding."""
    for row in flow.rows:
        first = is_map(flow, row) and flow.uses[name_of(flow, row)][0] is row
        after = flow.follower(row) if first else None
        if after is None or not is_map(flow, after) or patches(flow, row):
            continue
        if not composes(flow, row, after) or shared_apart(flow, row, after) or low_rank(row, after):
            continue
        (into, middle), (_, out) = channels(row), channels(after)
        narrow = (middle < into and middle < out) or separable(row, after)
        one, two = flow.index.layer_text(row), flow.index.layer_text(after)
        said = f"{one} and {two} with nothing between them are one linear map"
        if narrow:
            said = f"{one} and {two} with nothing between them are one linear map in two factors"
        help = "fine where a factorisation is meant" if narrow else "an activation between them, or one of the two"
        level = "note" if narrow else ""
        yield found("linear-linear", row, said, help=help, level=level, details=[f"then  {after.path}"])


def composes(flow: Flow, row: Row, after: Row) -> bool:
    """Whether the second map sums over all features of the first: not over another axis, as after a transpose, nor
    over a part of them, as after a view."""
    made = only(flow.axes[row.outputs[0].id][channel_axis(row)])
    read = flow.axes[after.inputs[0].value.id][channel_axis(after)]
    return row.outputs[0].shape[channel_axis(row)] == 1 or (made is not None and made in read)


def shared_apart(flow: Flow, row: Row, after: Row) -> bool:
    """Whether one of the two layers is called elsewhere without the other, where it is a map of its own."""
    names = {name_of(flow, row), name_of(flow, after)}
    beside = [flow.follower(use) for use in flow.uses[name_of(flow, row)]]
    beside += [flow.leader(use) for use in flow.uses[name_of(flow, after)]]
    return any(met is None or not is_map(flow, met) or name_of(flow, met) not in names for met in beside)


def name_of(flow: Flow, row: Row) -> str:
    """The name of a layer's weights."""
    weight = flow.held(row, 1)
    return "" if weight is None else weight.tied_to or weight.name


def low_rank(row: Row, after: Row) -> bool:
    """Whether the two are a factorisation on purpose: the first one has no bias, and together they have fewer weights
    than one map would have."""
    weights = [one.inputs[1].value.shape for one in (row, after)]
    (into, middle), (_, out) = channels(row), channels(after)
    one = into * out * max(prod(shape[2:]) for shape in weights)
    return len(row.inputs) < 3 and middle < min(into, out) and sum(map(prod, weights)) < one


def is_map(flow: Flow, row: Row) -> bool:
    """Whether a row is a linear map of all its channels, by weights of the net."""
    return plain(row) in LINEAR and row.get("groups", 1) == 1 and flow.held(row, 1) is not None


def channels(row: Row) -> tuple[int, int]:
    """Channels in and out."""
    out, into, *_ = row.inputs[1].value.shape
    return (out, into) if "transpose" in row.short else (into, out)


def patches(flow: Flow, row: Row) -> bool:
    """Whether a convolution only cuts the net's input into patches."""
    windows = slides(row)
    whole = all(window.kernel == window.stride > 1 for window in windows)
    return bool(windows) and whole and flow.index.maker(row.inputs[0]) is None


def separable(one: Row, other: Row) -> bool:
    """A 1×k and a k×1 kernel."""
    pairs = list(zip(slides(one), slides(other), strict=False))
    crossed = all(min(a.kernel, b.kernel) == 1 for a, b in pairs)
    return crossed and any(a.kernel > 1 for a, _ in pairs) and any(b.kernel > 1 for _, b in pairs)


def softmax_inside(flow: Flow) -> Iterator[Finding]:
    """Attention weights and gates go into products; what goes into a layer has lost its scale."""
    for row in flow.rows:
        after = flow.follower(row) if row.short in ("softmax", "log_softmax") else None
        if after is None or weighs(flow, after):
            continue
        if trained(flow, after) or plain(after) in ACTIVATIONS | NORMS | {"softmax"}:
            said = f"the result of this {row.short} goes into {flow.index.layer_text(after)}"
            help = "softmax is for the end of a net, for attention and for gates; inside, an activation such as ReLU"
            yield found("softmax-inside", row, said, help=help, details=[f"then  {after.path}"])


def weighs(flow: Flow, row: Row) -> bool:
    """Whether weights that a layer mixes once more, as talking heads do, go into a product after all."""
    after: Row | None = row
    while after is not None and plain(after) in LINEAR | NORMS:
        after = flow.follower(after)
    return after is not None and plain(after) in PRODUCTS and len(flow.operands(after)) > 1


def trained(flow: Flow, row: Row) -> bool:
    """Whether a row is a layer with weights that training changes."""
    weight = flow.held(row, 1) if plain(row) in LINEAR else None
    return weight is not None and weight.trainable
