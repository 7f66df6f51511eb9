"""The rule `residual-without-add`: residual blocks that never add their input."""

from __future__ import annotations

import re
from collections.abc import Iterator

from archscope import units
from archscope.checks.lint.lint_context import LINEAR_MAP_OPS, LintContext, op_name
from archscope.checks.lint.lint_rule import lint_rule
from archscope.report import Finding
from archscope.trace import Call, Location, Row, Value

JOIN_OPS = frozenset(["add", "sub", "rsub", "cat", "concat", "concatenate", "stack", "lerp", "addcmul", "where"])
RESIDUAL_NAME = re.compile(r"residual|res_?(?:net)?_?(?:block|unit)|basic_?block|skip", re.IGNORECASE)
BOTTLENECK_NAME = re.compile(r"bottleneck", re.IGNORECASE)
RESIDUAL_LABEL = re.compile(r"(?:.*\.)?res(?:idual)?_?(?:block)?_?\d*", re.IGNORECASE)


@lint_rule("residual-without-add", "warning", "a block called residual that never adds its input")
def residual_without_add(context: LintContext) -> Iterator[Finding]:
    """Yield blocks with the name of a residual block that keep their input's shape without an addition or
    concatenation."""
    faulty: set[int] = set()
    for call in context.report.trace.calls:
        level = residual_level(call.site)
        if not level or any(outer.index in faulty for outer in context.index.calls_around(call.index)):
            continue
        unadded = unadded_input(context, call)
        if unadded is not None:
            faulty.add(call.index)
            message = (
                f"{call.site.name} keeps the shape of its input, {units.format_shape(unadded.shape)}, and never adds it"
            )
            help = "add the block's input to its last value, or name the block otherwise"
            yield Finding("residual-without-add", level, message, call.site.path, call.site.place, help)


def residual_level(site: Location) -> str:
    """Return the level of a finding if a block's name or label says that it is a residual; else ""."""
    if site.kind != "block":
        return ""
    if RESIDUAL_NAME.search(site.name) or RESIDUAL_LABEL.fullmatch(site.path):
        return "warning"
    return "note" if BOTTLENECK_NAME.search(site.name) else ""


def unadded_input(context: LintContext, call: Call) -> Value | None:
    """Return the input of a block whose output has the same shape without joining two paths; None for every other
    block."""
    rows = context.index.rows_within(call)
    inside = {value.id for row in rows for value in row.outputs}
    given = [op.value for row in rows for op in context.operands(row) if op.value.id not in inside]
    ends = [row for row in rows if is_block_output(context, row, inside)]
    unadded = next((v for v in given for row in ends if v.shape == row.outputs[0].shape and len(v.shape) > 1), None)
    works = any(op_name(row) in LINEAR_MAP_OPS for row in rows)
    joined = any(is_join(context, row) for row in rows) or any(is_joined_after(context, row) for row in ends)
    return unadded if works and not joined else None


def is_block_output(context: LintContext, row: Row, inside: set[int]) -> bool:
    """Return whether a row's output is read outside its block, or is an output of the net."""
    readers = context.readers(row)
    outside = any(inside.isdisjoint(value.id for value in reader.outputs) for reader in readers)
    return outside or any(value.id in context.index.output_ids for value in row.outputs)


def is_join(context: LintContext, row: Row) -> bool:
    return op_name(row) in JOIN_OPS and len(context.operands(row)) > 1


def is_joined_after(context: LintContext, row: Row) -> bool:
    """Return whether code around the block adds to its output, before the next layer with weights."""
    after: Row | None = row
    while after is not None:
        readers = context.readers(after)
        if any(is_join(context, reader) for reader in readers):
            return True
        after = context.sole_reader(after)
        after = None if after is not None and op_name(after) in LINEAR_MAP_OPS else after
    return False
