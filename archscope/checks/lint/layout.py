"""Axes that are taken for others: views where a transpose was meant, and a classifier along an image's width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import prod

from archscope import units
from archscope.checks.lint.axis_parts import BATCH, FEATURES, POSITIONS, Part, joined, only, regrouped
from archscope.checks.lint.flow import ACTIVATIONS, CONVOLUTIONS, DROPOUTS, Flow, found, keeps, passes, plain
from archscope.report import Finding
from archscope.report.rearranging import groups
from archscope.trace import Row

VIEWS = frozenset(["view", "reshape", "flatten", "unflatten", "view_as", "reshape_as"])
MOVES = frozenset(["permute", "transpose", "swapaxes", "swapdims", "movedim", "T", "mT", "t"])
CUTS = frozenset(
    ["unbind", "select", "chunk", "split", "cat", "concat", "concatenate", "stack", "unsqueeze", "squeeze"]
)
JOINED = frozenset(["cat", "concat", "concatenate"])
REDUCTIONS = frozenset(["mean", "sum", "amax", "amin", "max"])
ATTENTION = frozenset(["scaled_dot_product_attention", "multi_head_attention_forward"])
OVER_FEATURES = CONVOLUTIONS | ATTENTION | {"linear", "matmul", "bmm", "layer_norm", "rms_norm", "lstm", "gru"}
ELEMENTWISE = ACTIVATIONS | DROPOUTS | {"add", "sub", "mul", "div", "softmax", "batch_norm"}
ENDINGS = ACTIVATIONS | DROPOUTS | {"softmax", "log_softmax", "linear"}


# ------------------------------------------------------------ views
def mixed_axes(flow: Flow) -> Iterator[Finding]:
    """Views to sizes that are those of the axes in another order, whose result is then read along these axes."""
    for row in flow.rows:
        mixed = mixing(flow, row) if plain(row) in VIEWS and row.inputs and len(row.outputs) == 1 else ()
        if mixed and read_along(flow, row):
            before, after = (units.shape(value.shape) for value in (row.inputs[0].value, row.outputs[0]))
            sizes = units.shape([part.size for part in mixed])
            said = f"{before} viewed as {after}: a view moves nothing, so the axes {sizes} are mixed, not reordered"
            help = "transpose or permute before it, so that only neighbouring axes are merged or split"
            yield found("mixed-axes", row, said, help=help)


def mixing(flow: Flow, row: Row) -> tuple[Part, ...]:
    """The axes that a view mixes, where their sizes say that they should have changed places."""
    parts = joined(part for axis in flow.axes[row.inputs[0].value.id] for part in axis)
    sizes = [size for size in row.outputs[0].shape if size > 1]
    for before, after in groups(tuple(part.size for part in parts), tuple(sizes)):
        held, wanted = [parts[i] for i in before], [sizes[i] for i in after]
        if len(held) > 1 and len(wanted) > 1 and reordered([part.size for part in held], wanted):
            kinds = {part.kind for part in held}
            if BATCH not in kinds and kinds != {POSITIONS} and not on_purpose(flow, row, held, wanted):
                return tuple(held)
    return ()


def reordered(sizes: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether sizes are merged and split, each as a whole, to the wanted ones; in any order."""
    if not sizes or not wanted:
        return not sizes and not wanted
    rest = range(len(sizes))
    merged = (
        chosen for n in rest for chosen in combinations(rest, n + 1) if prod(sizes[i] for i in chosen) == wanted[0]
    )
    if any(reordered([sizes[i] for i in rest if i not in chosen], wanted[1:]) for chosen in merged):
        return True
    others = range(1, len(wanted))
    split = ((0, *more) for n in others for more in combinations(others, n))
    return any(
        reordered([*sizes[:at], *sizes[at + 1 :]], [n for i, n in enumerate(wanted) if i not in chosen])
        for chosen in split
        for at in rest
        if sizes[at] == prod(wanted[i] for i in chosen)
    )


def on_purpose(flow: Flow, row: Row, held: Sequence[Part], wanted: Sequence[int]) -> bool:
    """Whether a view shifts positions against each other, as relative positions are, behind a padding or a cut; or
    regroups two axes, every k steps as one or each as k, so that the sizes agree by chance."""
    maker = flow.index.maker(row.inputs[0])
    while maker is not None and keeps(maker) and plain(maker) not in VIEWS:
        maker = flow.index.maker(maker.inputs[0])
    if maker is not None and (plain(maker) in ("pad", "narrow") or (plain(maker) == "getitem" and not whole(maker))):
        return True
    if len(held) > 2 or len(wanted) > 2:
        return False
    one, other = held
    if abs(one.size - other.size) == 1 or (maker is not None and plain(maker) in JOINED):
        return True
    even = one.size % other.size == 0 or other.size % one.size == 0
    return even and (one.kind, other.kind) != (FEATURES, POSITIONS)


def whole(row: Row) -> bool:
    """Whether an index takes axes as a whole or one position of them, and no range."""
    index = row.get("index", "?")
    return all(isinstance(entry, int) or entry == "::" for entry in (index if isinstance(index, tuple) else (index,)))


def read_along(flow: Flow, row: Row) -> bool:
    """Whether what a view gives is read axis by axis, or is the net's; not where it is only taken back or cut."""
    waiting, along, seen = [row], False, {row.index}
    while waiting:
        made = waiting.pop()
        along |= any(value.id in flow.index.results for value in made.outputs)
        for reader in flow.readers(made):
            name = plain(reader)
            if name in OVER_FEATURES:
                along = True
            elif reader.index not in seen and goes_on(flow, reader):
                seen.add(reader.index)
                waiting.append(reader)
            elif reader.index not in seen:
                return False
    return along


def goes_on(flow: Flow, row: Row) -> bool:
    """Whether a row keeps the axes of what it reads, so that its own readers tell more."""
    name = plain(row)
    if name in VIEWS:
        return not restored(flow, row)
    if name in REDUCTIONS:
        return flow.axes[row.outputs[0].id][-1:] == flow.axes[row.inputs[0].value.id][-1:]
    if name == "getitem":
        return whole(row)
    return name in MOVES | CUTS | ELEMENTWISE or passes(row)


def restored(flow: Flow, row: Row) -> bool:
    """Whether a view gives axes back as they were before another one."""
    made = regrouped(flow.axes[row.inputs[0].value.id], row.outputs[0].shape)
    cut = any(not part.entire for axis in flow.axes[row.inputs[0].value.id] for part in axis)
    return made is None or (cut and all(part.entire for axis in made for part in axis))


# ------------------------------------------------------------ classifiers
def linear_on_width(flow: Flow) -> Iterator[Finding]:
    """Linear layers that end a net and read the last axis of channels × rows × columns, as convolutions give them."""
    sizes = {operand.value.shape[-1] for operand in flow.report.trace.inputs if operand.value.shape}
    for row in flow.rows:
        if plain(row) != "linear" or not is_map_of_columns(flow, row):
            continue
        end = ending(flow, row)
        if end is not None and end.outputs[0].shape[-1] not in {*sizes, row.inputs[0].value.shape[-1]}:
            given, made = row.inputs[0].value.shape, end.outputs[0].shape
            said = f"{flow.index.layer_text(row)} reads the columns of {units.shape(given)} maps, and the net gives "
            help = "Flatten, or a pool over the whole map and Flatten, before it"
            yield found("linear-on-width", row, f"{said}{units.shape(made)}", help=help)


def is_map_of_columns(flow: Flow, row: Row) -> bool:
    """Whether a row's input is laid out as (N, C, H, W), with several channels."""
    axes = flow.axes[row.inputs[0].value.id]
    if len(axes) < 4 or len(axes[1]) != 1 or axes[1][0].kind != FEATURES or not axes[-1]:
        return False
    return all(only(axis) is not None and axis[0].kind == POSITIONS for axis in axes[2:] if axis)


def ending(flow: Flow, row: Row) -> Row | None:
    """The row that gives the net's value, where activations, dropouts and linear layers alone lie before it."""
    end: Row | None = row
    while end is not None and end.outputs[0].id not in flow.index.results:
        end = flow.reader(end)
        if end is not None and plain(end) not in ENDINGS:
            return None
    return end if end is not None and not flow.readers(end) else None
