"""Proposals for a residual whose shortcut does not fit: a 1×1 projection in terms of the main path, or another
condition.

main path → channels, stride, norm → steps of a shortcut ─ under a condition if the block has names for them
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from archscope.fixes.proposals.conflict_case import ConflictCase, Proposal, Spot, enclosing_block
from archscope.ops.windows import stride_between
from archscope.spec.editable_spec import EditableSpec, iter_spec_nodes
from archscope.spec.spec_types import Expression, Residual, Step
from archscope.trace import Row

ROLE_ARGUMENTS = (("channels", ("out_channels", "out_features")), ("stride", ("stride",)))


def propose_projections(case: ConflictCase) -> Iterator[Proposal]:
    """Propose a 1×1 convolution in the shortcut, with the stride and the channels of the main path."""
    spot = case.site
    residual = spot.page.node_at(Residual, spot.span) if spot else None
    if spot is None or not isinstance(residual, Residual) or not case.diagnosis.is_residual:
        return
    words = named_sizes(case, spot)
    yield from propose_no_addition(spot, residual, words)
    if residual.shortcut:
        return
    steps = projection_steps(case, words)
    spoken_of = words or {"channels": str(case.diagnosis.shapes[0][1])}  # the number if it has no name
    several = enclosing_block(spot) is not None or bool(spot.page.spec.variants or spot.page.spec.matrix)
    condition_of = conditional_steps(spoken_of, steps) if several else []  # the net is used at one size
    plain, (main, shortcut) = [f"- {step}" for step in steps], case.diagnosis.shapes
    guard_tells = bool(condition_of) and main[1] != shortcut[1]
    for lines in (condition_of,) if guard_tells else (condition_of, plain):
        if lines:
            yield from spot.proposal("project the shortcut", spot.page.with_shortcut(spot.span, lines))


def propose_no_addition(spot: Spot, residual: Residual, words: dict[str, str]) -> Iterator[Proposal]:
    """Propose a `when:` for a residual that is false where nothing can be added."""
    if residual.when is None or not spot.page.is_verbatim(residual.when):
        return
    start = spot.page.offset(residual.when.span)
    conditions = [f"{words['stride']} == 1"] if "stride" in words else []
    conditions += [f"in_channels == {words['channels']}"] if "channels" in words else []
    if conditions:
        text = spot.page.cut(start, start + len(residual.when.text), " and ".join(conditions))
        found = spot.proposal(f"add only when {' and '.join(conditions)}", text)
        yield from (replace(proposal, conditional=True) for proposal in found)


def projection_steps(case: ConflictCase, words: dict[str, str]) -> list[str]:
    """Return the steps of a projection; [] if no stride gives the size."""
    main, shortcut = case.diagnosis.shapes
    stride = stride_between(main, shortcut)
    if not stride:
        return []
    step = f", stride={words.get('stride', stride)}" if stride > 1 or "stride" in words else ""
    norm = any(row.short_name == "batch_norm" for row in main_path_rows(case))
    channels = words.get("channels", str(main[1]))
    return [f"Conv2d({channels}, 1{step}{', bias=False' * norm})", *["BatchNorm2d"] * norm]


def main_path_rows(case: ConflictCase) -> list[Row]:
    """Return the rows of the main path since the fork, in the order of the run."""
    index, (main, other) = case.diagnosis.index, case.diagnosis.operands
    before_other = index.ancestors(other)
    rows = (row for value, row in index.ancestors(main).items() if value not in before_other and row >= 0)
    return [index.trace.rows[row] for row in sorted(rows)]


def named_sizes(case: ConflictCase, spot: Spot) -> dict[str, str]:
    """Return the names of the channels and the stride in the main path, if they are names."""
    found: dict[str, str] = {}
    for row in main_path_rows(case):
        row_spot = case.spot(row.place)
        for call in case.calls(row_spot) if row_spot is not None and row_spot.page is spot.page else ():
            for word, names in ROLE_ARGUMENTS:
                text = next((call.arguments[name].text for name in names if name in call.arguments), None)
                if text is not None and not text.isdigit():
                    found[word] = text
    return found


def conditional_steps(words: dict[str, str], steps: list[str]) -> list[str]:
    """Return the steps under a condition that keeps the identity where it fits; [] without names."""
    channels = words.get("channels", "in_channels")
    conditions = [f"{words['stride']} != 1"] if "stride" in words else []
    conditions += [f"in_channels != {channels}"] if "in_channels" not in channels else []
    if not conditions or not steps:
        return []
    return [f"- when: {' or '.join(conditions)}", "  do:", *(f"    - {step}" for step in steps)]


def propose_conditions(case: ConflictCase) -> Iterator[Proposal]:
    """Propose another `when:` for a shortcut whose own is false where it should be true."""
    spot = case.site
    residual = spot.page.node_at(Residual, spot.span) if spot else None
    if spot is None or not isinstance(residual, Residual) or not case.diagnosis.is_residual:
        return
    for step in residual.shortcut:
        if step.when is None or not spot.page.is_verbatim(step.when):
            continue
        start = spot.page.offset(step.when.span)
        for new in filter(None, (projection_condition(case, spot.page, step), "true")):
            text = spot.page.cut(start, start + len(step.when.text), new)
            yield from spot.proposal(f"project the shortcut when {new}", text)


def projection_condition(case: ConflictCase, page: EditableSpec, step: Step) -> str:
    """Return `stride != 1 or in_channels != channels`, from the arguments of the projection."""
    convolution = next((part for part in iter_spec_nodes(step.body) if isinstance(part, Expression)), None)
    calls = page.calls(convolution.span, case.signatures) if convolution is not None else []
    arguments = calls[0].arguments if calls else {}
    stride, channels = arguments.get("stride"), arguments.get("out_channels")
    conditions = [f"{stride.text} != 1"] if stride is not None and not stride.text.isdigit() else []
    return " or ".join([*conditions, *([f"in_channels != {channels.text}"] if channels is not None else [])])
