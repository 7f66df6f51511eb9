"""Chains of layers: linear maps with nothing between them, and softmaxes in the middle of a net."""

from __future__ import annotations

from collections.abc import Iterator

from archscope.checks.lint.flow import ACTIVATIONS, LINEAR, NORMS, Flow, found, plain
from archscope.report import Finding
from archscope.report.slides import slides
from archscope.trace import Row

PRODUCTS = frozenset(["matmul", "bmm", "mul", "einsum", "baddbmm"])


def linear_linear(flow: Flow) -> Iterator[Finding]:
    """Two linear maps in a row are one. Grouped ones are not meant; through few channels it is a factorisation."""
    for row in flow.rows:
        after = flow.follower(row) if is_map(flow, row) else None
        if after is None or not is_map(flow, after) or patches(flow, row):
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
