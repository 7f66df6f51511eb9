"""Rules for normalisations: biases before them, norms after norms, shared norms, dropout before them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from archscope import units
from archscope.checks.lint.lint_context import (
    ACTIVATIONS,
    DROPOUTS,
    LINEAR_MAP_OPS,
    LintContext,
    feature_axis,
    is_exact_passthrough,
    op_name,
    rule_finding,
)
from archscope.checks.lint.lint_rule import lint_rule
from archscope.ops.norms import CHANNEL_NORMS, NORM_OPS
from archscope.ops.windows import axis_windows
from archscope.report import Finding
from archscope.trace import Row


@lint_rule("bias-before-norm", "warning", "a bias that the batch norm after it removes")
def bias_before_norm(context: LintContext) -> Iterator[Finding]:
    """Yield biases that a batch norm cancels: they are constant over each channel, so subtracting the channel's mean
    removes them. One finding for each place of a spec, and one for a net without places."""
    wasted: dict[object, list[tuple[Row, Row, int]]] = {}
    for row in context.rows:
        bias = context.param_at(row, 2) if op_name(row) in LINEAR_MAP_OPS else None
        uses = context.param_users.get(bias.tied_to or bias.name, []) if bias is not None else []
        norms = [bias_cancelling_norm(context, use) for use in uses if uses[0] is row]
        if bias is not None and norms and None not in norms:
            norm = next(norm for norm in norms if norm is not None)
            wasted.setdefault((row.place, norm.op), []).append((row, norm, bias.count))
    for (row, norm, _), *others in wasted.values():
        total = units.format_count(sum(count for *_, count in [*others, (row, norm, _)]))
        where = f" of {units.format_count(len(others) + 1)} layers" if others else ""
        message = f"the {norm.op} after it removes this bias: {total} parameters{where} do nothing"
        finding = rule_finding("bias-before-norm", row, message, help="bias=False", details=[f"norm  {norm.path}"])
        yield replace(finding, also=tuple(other.path for other, *_ in others))


def bias_cancelling_norm(context: LintContext, row: Row) -> Row | None:
    """Return the norm that cancels a layer's bias exactly: its channel axis is that of the bias, with only views
    between them, which keep a constant constant. Dropout and padding do not."""
    norm = context.next_op(row, through=is_exact_passthrough) if op_name(row) in LINEAR_MAP_OPS else None
    if norm is None or norm.short_name not in CHANNEL_NORMS or len(norm.inputs[0].value.shape) < 2:
        return None
    out_axes, norm_axes = context.axes[row.outputs[0].id], context.axes[norm.inputs[0].value.id]
    return norm if out_axes[feature_axis(row)] in (norm_axes[1], ()) else None


@lint_rule("repeated-norm", "warning", "a normalisation of values that have just been normalised")
def repeated_norm(context: LintContext) -> Iterator[Finding]:
    for row in context.rows:
        before = context.previous_op(row) if row.short_name in NORM_OPS else None
        if before is None or before.short_name not in NORM_OPS:
            continue
        again = norm_state_name(row) and norm_state_name(row) == norm_state_name(before)
        what = f"the same {row.op} again" if again else f"a {row.op}"
        message = f"{what} on what a {before.op} has just normalised"
        level = "" if row.short_name == before.short_name else "note"
        details = [f"first  {before.path}"]
        yield rule_finding("repeated-norm", row, message, help="one of the two is enough", level=level, details=details)


def norm_state_name(row: Row) -> str:
    """Return the name of a norm's running mean or weight; empty if it has neither."""
    return row.inputs[1].source if len(row.inputs) > 1 and row.inputs[1].source != "constant" else ""


@lint_rule("shared-norm", "warning", "one batch norm that several places share")
def shared_norm(context: LintContext) -> Iterator[Finding]:
    """Yield batch norms that normalise values of different layers. A whole block that runs twice is shared on
    purpose."""
    uses: dict[str, list[Row]] = {}
    for row in context.rows:
        if row.short_name == "batch_norm" and norm_state_name(row):
            uses.setdefault(norm_state_name(row), []).append(row)
    for name, rows in uses.items():
        apart = [row for row in rows if not repeats_norm(context, row)]
        if len(apart) > 1 and not is_intended_sharing(context, apart):
            places = f"{units.format_count(len(apart))} places"
            message = f"one {apart[0].op} normalises in {places}: its running mean and variance fit none of them"
            details = dict.fromkeys(f"{row.path}  {units.format_shape(row.inputs[0].value.shape)}" for row in apart)
            help = f"a norm of its own for each place ({name.rpartition('.')[0]} is shared)"
            yield rule_finding("shared-norm", apart[1], message, help=help, details=details)


def repeats_norm(context: LintContext, row: Row) -> bool:
    """Return whether a norm directly follows itself, which is a finding of another rule."""
    before = context.previous_op(row)
    return (
        before is not None and before.short_name == row.short_name and norm_state_name(before) == norm_state_name(row)
    )


def is_intended_sharing(context: LintContext, rows: list[Row]) -> bool:
    """Return whether the norm's inputs come from the same layer, or a block with its own path ran again."""
    makers = [context.index.maker(row.inputs[0]) for row in rows]
    weights = {maker.inputs[1].source if maker and len(maker.inputs) > 1 else "" for maker in makers}
    blocks = [context.innermost_block(row) for row in rows]
    again = len({block.index for block in blocks if block}) == len(rows)
    return (len(weights) == 1 and "" not in weights) or (again and len({b.site.path for b in blocks if b}) == 1)


@lint_rule("dropout-before-norm", "warning", "dropout shifts the variance that a batch norm after it learns")
def dropout_before_norm(context: LintContext) -> Iterator[Finding]:
    for row in context.rows:
        share = row.get("p", 0.5)
        if op_name(row) not in DROPOUTS or not share:
            continue
        norm, layers = find_batch_norm(context, row)
        if norm is not None:
            between = f", {context.index.layer_text(layers[0])} between them" if layers else ""
            message = f"dropout of {share} before a {norm.op}{between}: it learns a variance that only training has"
            level = "note" if layers else ""
            details = [f"norm  {norm.path}"]
            help = "dropout after the last batch norm, or none"
            yield rule_finding("dropout-before-norm", row, message, help=help, level=level, details=details)


def find_batch_norm(context: LintContext, row: Row) -> tuple[Row | None, list[Row]]:
    """Return the batch norm that a row leads to, past activations, pools and at most one layer with weights, and those
    layers."""
    layers: list[Row] = []
    after = context.next_op(row)
    while after is not None and after.short_name != "batch_norm":
        layers += [after] if op_name(after) in LINEAR_MAP_OPS else []
        goes_on = layers[-1:] == [after] or op_name(after) in ACTIVATIONS or bool(axis_windows(after))
        after = context.next_op(after) if goes_on and len(layers) < 2 else None
    return after, layers
