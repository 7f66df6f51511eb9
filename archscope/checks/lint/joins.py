"""Where values meet: residual blocks that never add their input, and additions that broadcast in silence."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from archscope import units
from archscope.checks.lint.flow import CONVOLUTIONS, LEVELS, LINEAR, NORMS, Flow, found, passes, plain
from archscope.report import Finding
from archscope.trace import Call, Operand, Row, Shape, Site, Value

JOINS = frozenset(["add", "sub", "rsub", "cat", "concat", "concatenate", "stack", "lerp", "addcmul", "where"])
SUMS = frozenset(["add", "sub", "rsub"])
BROADCASTS = SUMS | {"mul", "div"}
RESIDUAL = re.compile(r"residual|res_?(?:net)?_?(?:block|unit)|basic_?block|skip", re.IGNORECASE)
BOTTLENECK = re.compile(r"bottleneck", re.IGNORECASE)
LABEL = re.compile(r"(?:.*\.)?res(?:idual)?_?(?:block)?_?\d*", re.IGNORECASE)
SELECTS = frozenset(["squeeze", "getitem", "select", "flatten", "view", "reshape"])


# ------------------------------------------------------------ residuals
def residual_without_add(flow: Flow) -> Iterator[Finding]:
    """Blocks by their names: they keep their input's shape, and no addition or concatenation holds two ways of it."""
    faulty: set[int] = set()
    for call in flow.report.trace.calls:
        level = promises(call.site)
        if level and not stands_in(flow, call, faulty) and (kept := plainly(flow, call)):
            faulty.add(call.index)
            said = f"{call.site.name} keeps the shape of its input, {units.shape(kept.shape)}, and never adds it"
            help = "add the block's input to its last value, or name the block otherwise"
            yield Finding("residual-without-add", level, said, call.site.path, call.site.place, help)


def stands_in(flow: Flow, call: Call, faulty: Collection[int]) -> bool:
    """Whether a call, or one around it, is faulty already."""
    return any(around.index in faulty for around in flow.index.calls_around(call.index))


def promises(site: Site) -> str:
    """The level of a finding, where a block's name or label says that it is a residual; else empty."""
    if site.kind != "block":
        return ""
    if RESIDUAL.search(site.name) or LABEL.fullmatch(site.path):
        return LEVELS["residual-without-add"]
    return "note" if BOTTLENECK.search(site.name) else ""


def plainly(flow: Flow, call: Call) -> Value | None:
    """The input of a block that gives the same shape without ever joining two ways; None for every other block."""
    rows = flow.index.rows_within(call)
    inside = {value.id for row in rows for value in row.outputs}
    given = [op.value for row in rows for op in flow.operands(row) if op.value.id not in inside]
    ends = [row for row in rows if leaves(flow, row, inside)]
    kept = next((v for v in given for row in ends if v.shape == row.outputs[0].shape and len(v.shape) > 1), None)
    works = any(plain(row) in LINEAR for row in rows)
    joined = any(joins(flow, row) for row in rows) or any(joined_after(flow, row) for row in ends)
    return kept if works and not joined else None


def leaves(flow: Flow, row: Row, inside: set[int]) -> bool:
    """Whether what a row gives is read outside its block, or is the net's."""
    readers = flow.readers(row)
    outside = any(inside.isdisjoint(value.id for value in reader.outputs) for reader in readers)
    return outside or any(value.id in flow.index.results for value in row.outputs)


def joins(flow: Flow, row: Row) -> bool:
    return plain(row) in JOINS and len(flow.operands(row)) > 1


def joined_after(flow: Flow, row: Row) -> bool:
    """Whether the surroundings add to what a block gives, before the next layer with weights."""
    after: Row | None = row
    while after is not None:
        readers = flow.readers(after)
        if any(joins(flow, reader) for reader in readers):
            return True
        after = flow.reader(after)
        after = None if after is not None and plain(after) in LINEAR else after
    return False


# ------------------------------------------------------------ broadcasts
def silent_broadcast(flow: Flow) -> Iterator[Finding]:
    """Sums (and two-sided products) of two activations of unequal shapes that nobody asked for."""
    for row in flow.rows:
        pair = flow.operands(row)
        if plain(row) not in BROADCASTS or len(pair) != 2 or pair[0].value.shape == pair[1].value.shape:
            continue
        small, large = sorted(pair, key=lambda operand: (len(operand.value.shape), operand.value.bytes))
        fact = clash(flow, row, small, large)
        if fact:
            one, other = (units.shape(operand.value.shape) for operand in pair)
            made = units.shape(row.outputs[0].shape)
            said = f"{one} and {other} are broadcast to {made}: {fact}"
            details = [f"{operand.source or 'input'}  {units.shape(operand.value.shape)}" for operand in pair]
            help = "make both of one shape, or write the broadcast out (unsqueeze, [:, None], keepdim=True)"
            yield found("silent-broadcast", row, said, help=help, details=details)


def clash(flow: Flow, row: Row, small: Operand, large: Operand) -> str:
    """What is wrong with a broadcast; empty where it looks meant."""
    one, other = small.value.shape, large.value.shape
    if len(one) < len(other) and one:
        if two_sided(one, other) or pairs_up(flow, small, large):
            return "every element of one meets every element of the other"
        if plain(row) in SUMS and batch_first(flow, one) and batch_first(flow, other) and len(one) > 1:
            return f"the batch of one is laid along axis {len(other) - len(one)} of the other"
    if plain(row) in SUMS and one_channel(one, other) and from_layers(flow, small) and from_layers(flow, large):
        return f"one channel is added to each of {max(other[1], one[1])}"
    return ""


def two_sided(one: Shape, other: Shape) -> bool:
    """Whether each is repeated along an axis of the other, axes that are not there among them."""
    padded = (1,) * (len(other) - len(one)) + one
    pairs = list(zip(padded, other, strict=True))
    return any(a == 1 != b for a, b in pairs) and any(b == 1 != a for a, b in pairs)


def pairs_up(flow: Flow, small: Operand, large: Operand) -> bool:
    """(N) beside (N, 1), which is (N, N) for every batch but one of 1."""
    batch, maker = flow.report.batch, flow.index.maker(small)
    taken = maker is not None and maker.short in SELECTS
    return taken and small.value.shape == (batch,) and large.value.shape == (batch, 1)


def batch_first(flow: Flow, shape: Shape) -> bool:
    return shape[0] == flow.report.batch


def one_channel(one: Shape, other: Shape) -> bool:
    """Maps that differ in their channels alone, of which one has a single one."""
    maps = len(one) == len(other) > 3 and one[2:] == other[2:] and one[0] == other[0]
    return maps and min(one[1], other[1]) == 1 and max(one[2:]) > 1


def from_layers(flow: Flow, operand: Operand) -> bool:
    """Whether a value is the net's first input, or comes from a convolution through norms, activations and the like."""
    value = operand.value.id
    while (row := flow.index.makers.get(value)) is not None:
        if row.short in CONVOLUTIONS:
            return True
        if len(flow.operands(row)) != 1 or not (passes(row) or row.short in NORMS or same_size(row)):
            return False
        value = flow.operands(row)[0].value.id
    return value == flow.report.trace.inputs[0].value.id


def same_size(row: Row) -> bool:
    return row.outputs[0].shape == row.inputs[0].value.shape
