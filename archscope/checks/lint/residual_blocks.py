"""Where values should meet: residual blocks that never add their input."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from archscope import units
from archscope.checks.lint.lint_context import LINEAR_MAP_OPS, RULE_LEVELS, LintContext, op_name
from archscope.report import Finding
from archscope.trace import Call, Location, Row, Value

JOIN_OPS = frozenset(["add", "sub", "rsub", "cat", "concat", "concatenate", "stack", "lerp", "addcmul", "where"])
RESIDUAL_NAME = re.compile(r"residual|res_?(?:net)?_?(?:block|unit)|basic_?block|skip", re.IGNORECASE)
BOTTLENECK_NAME = re.compile(r"bottleneck", re.IGNORECASE)
RESIDUAL_LABEL = re.compile(r"(?:.*\.)?res(?:idual)?_?(?:block)?_?\d*", re.IGNORECASE)


def residual_without_add(flow: LintContext) -> Iterator[Finding]:
    """Blocks by their names: they keep their input's shape, and no addition or concatenation holds two ways of it."""
    faulty: set[int] = set()
    for call in flow.report.trace.calls:
        level = residual_level(call.site)
        if level and not is_inside_faulty(flow, call, faulty) and (kept := unadded_input(flow, call)):
            faulty.add(call.index)
            said = f"{call.site.name} keeps the shape of its input, {units.format_shape(kept.shape)}, and never adds it"
            help = "add the block's input to its last value, or name the block otherwise"
            yield Finding("residual-without-add", level, said, call.site.path, call.site.place, help)


def is_inside_faulty(flow: LintContext, call: Call, faulty: Collection[int]) -> bool:
    """Whether a call, or one around it, is faulty already."""
    return any(around.index in faulty for around in flow.index.calls_around(call.index))


def residual_level(site: Location) -> str:
    """The level of a finding, where a block's name or label says that it is a residual; else empty."""
    if site.kind != "block":
        return ""
    if RESIDUAL_NAME.search(site.name) or RESIDUAL_LABEL.fullmatch(site.path):
        return RULE_LEVELS["residual-without-add"]
    return "note" if BOTTLENECK_NAME.search(site.name) else ""


def unadded_input(flow: LintContext, call: Call) -> Value | None:
    """The input of a block that gives the same shape without ever joining two ways; None for every other block."""
    rows = flow.index.rows_within(call)
    inside = {value.id for row in rows for value in row.outputs}
    given = [op.value for row in rows for op in flow.operands(row) if op.value.id not in inside]
    ends = [row for row in rows if is_block_output(flow, row, inside)]
    kept = next((v for v in given for row in ends if v.shape == row.outputs[0].shape and len(v.shape) > 1), None)
    works = any(op_name(row) in LINEAR_MAP_OPS for row in rows)
    joined = any(is_join(flow, row) for row in rows) or any(is_joined_after(flow, row) for row in ends)
    return kept if works and not joined else None


def is_block_output(flow: LintContext, row: Row, inside: set[int]) -> bool:
    """Whether what a row gives is read outside its block, or is the net's."""
    readers = flow.readers(row)
    outside = any(inside.isdisjoint(value.id for value in reader.outputs) for reader in readers)
    return outside or any(value.id in flow.index.output_ids for value in row.outputs)


def is_join(flow: LintContext, row: Row) -> bool:
    return op_name(row) in JOIN_OPS and len(flow.operands(row)) > 1


def is_joined_after(flow: LintContext, row: Row) -> bool:
    """Whether the surroundings add to what a block gives, before the next layer with weights."""
    after: Row | None = row
    while after is not None:
        readers = flow.readers(after)
        if any(is_join(flow, reader) for reader in readers):
            return True
        after = flow.sole_reader(after)
        after = None if after is not None and op_name(after) in LINEAR_MAP_OPS else after
    return False
