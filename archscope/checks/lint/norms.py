"""Normalisations: biases that they take away, norms on norms, norms that several places share, dropout before them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from archscope import units
from archscope.checks.lint.flow import (
    ACTIVATIONS,
    DROPOUTS,
    LINEAR,
    NORMS,
    STATISTICS,
    Flow,
    channel_axis,
    found,
    keeps,
    plain,
)
from archscope.report import Finding
from archscope.report.slides import slides
from archscope.trace import Row


def bias_before_norm(flow: Flow) -> Iterator[Finding]:
    """A layer's bias is constant over each channel, so that subtracting the channel's mean takes it away. One finding
    for each place of a spec, and one for a net without places."""
    wasted: dict[object, list[tuple[Row, Row, int]]] = {}
    for row in flow.rows:
        bias = flow.held(row, 2) if plain(row) in LINEAR else None
        uses = flow.uses.get(bias.tied_to or bias.name, []) if bias is not None else []
        norms = [cancelling(flow, use) for use in uses if uses[0] is row]  # of a shared layer every call must be
        if bias is not None and norms and None not in norms:
            norm = next(norm for norm in norms if norm is not None)
            wasted.setdefault((row.place, norm.op), []).append((row, norm, bias.count))
    for (row, norm, _), *others in wasted.values():
        total = units.count(sum(count for *_, count in [*others, (row, norm, _)]))
        where = f" of {units.count(len(others) + 1)} layers" if others else ""
        said = f"the {norm.op} after it takes this bias away: {total} parameters{where} do nothing"
        made = found("bias-before-norm", row, said, help="bias=False", details=[f"norm  {norm.path}"])
        yield replace(made, also=tuple(other.path for other, *_ in others))


def cancelling(flow: Flow, row: Row) -> Row | None:
    """The norm that takes a layer's bias away exactly: its channels are the axis along which the bias lies, and between
    them nothing but views, which leave a constant constant; a dropout or a padding does not."""
    norm = flow.follower(row, through=keeps) if plain(row) in LINEAR else None
    if norm is None or norm.short not in STATISTICS or len(norm.inputs[0].value.shape) < 2:
        return None
    made, given = flow.axes[row.outputs[0].id], flow.axes[norm.inputs[0].value.id]
    return norm if made[channel_axis(row)] in (given[1], ()) else None


def repeated_norm(flow: Flow) -> Iterator[Finding]:
    for row in flow.rows:
        before = flow.leader(row) if row.short in NORMS else None
        if before is None or before.short not in NORMS:
            continue
        again = statistics(row) and statistics(row) == statistics(before)
        what = f"the same {row.op} again" if again else f"a {row.op}"
        said = f"{what} on what a {before.op} has just normalised"
        level = "" if row.short == before.short else "note"
        details = [f"first  {before.path}"]
        yield found("repeated-norm", row, said, help="one of the two is enough", level=level, details=details)


def statistics(row: Row) -> str:
    """The name of what a norm holds: its running mean or its weight; empty where it holds nothing."""
    return row.inputs[1].source if len(row.inputs) > 1 and row.inputs[1].source != "constant" else ""


def shared_norm(flow: Flow) -> Iterator[Finding]:
    """One batch norm on the values of different layers. A whole block that runs twice shares all on purpose."""
    uses: dict[str, list[Row]] = {}
    for row in flow.rows:
        if row.short == "batch_norm" and statistics(row):
            uses.setdefault(statistics(row), []).append(row)
    for name, rows in uses.items():
        apart = [row for row in rows if not repeats(flow, row)]
        if len(apart) > 1 and not twins(flow, apart):
            places = f"{units.count(len(apart))} places"
            said = f"one {apart[0].op} normalises in {places}: its running mean and variance fit none of them"
            details = dict.fromkeys(f"{row.path}  {units.shape(row.inputs[0].value.shape)}" for row in apart)
            help = f"a norm of its own for each place ({name.rpartition('.')[0]} is shared)"
            yield found("shared-norm", apart[1], said, help=help, details=details)


def repeats(flow: Flow, row: Row) -> bool:
    """Whether a norm stands right behind itself, which is another rule's finding."""
    before = flow.leader(row)
    return before is not None and before.short == row.short and statistics(before) == statistics(row)


def twins(flow: Flow, rows: list[Row]) -> bool:
    """Whether the norm's inputs come from one and the same layer too, or a block with a path of its own ran again."""
    makers = [flow.index.maker(row.inputs[0]) for row in rows]
    weights = {maker.inputs[1].source if maker and len(maker.inputs) > 1 else "" for maker in makers}
    blocks = [flow.block(row) for row in rows]
    again = len({block.index for block in blocks if block}) == len(rows)
    return (len(weights) == 1 and "" not in weights) or (again and len({b.site.path for b in blocks if b}) == 1)


def dropout_before_norm(flow: Flow) -> Iterator[Finding]:
    for row in flow.rows:
        share = row.get("p", 0.5)
        if plain(row) not in DROPOUTS or not share:
            continue
        norm, layers = norm_after(flow, row)
        if norm is not None:
            between = f", {flow.index.layer_text(layers[0])} between them" if layers else ""
            said = f"dropout of {share} before a {norm.op}{between}: it learns a variance that only training has"
            level = "note" if layers else ""
            details = [f"norm  {norm.path}"]
            help = "dropout after the last batch norm, or none"
            yield found("dropout-before-norm", row, said, help=help, level=level, details=details)


def norm_after(flow: Flow, row: Row) -> tuple[Row | None, list[Row]]:
    """The batch norm that a row leads to, past activations, pools and at most one layer with weights; those layers."""
    layers: list[Row] = []
    after = flow.follower(row)
    while after is not None and after.short != "batch_norm":
        layers += [after] if plain(after) in LINEAR else []
        goes_on = layers[-1:] == [after] or plain(after) in ACTIVATIONS or bool(slides(after))
        after = flow.follower(after) if goes_on and len(layers) < 2 else None
    return after, layers
