"""Where values should meet: residual blocks that never add their input."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from archscope import units
from archscope.checks.lint.flow import LEVELS, LINEAR, Flow, plain
from archscope.report import Finding
from archscope.trace import Call, Row, Site, Value

JOINS = frozenset(["add", "sub", "rsub", "cat", "concat", "concatenate", "stack", "lerp", "addcmul", "where"])
RESIDUAL = re.compile(r"residual|res_?(?:net)?_?(?:block|unit)|basic_?block|skip", re.IGNORECASE)
BOTTLENECK = re.compile(r"bottleneck", re.IGNORECASE)
LABEL = re.compile(r"(?:.*\.)?res(?:idual)?_?(?:block)?_?\d*", re.IGNORECASE)


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
