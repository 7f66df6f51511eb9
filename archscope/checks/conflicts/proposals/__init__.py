"""Edits that could cure a conflict: a Diagnosis and the pages of the spec → Proposals, the likeliest first.

    case               what a proposal is made of
    projections        a shortcut for a residual, a better condition of one
    own_arguments      arguments of a block that it does not read, or changes
    layer_arguments    stride, padding, kernel, channels of the steps on the way
    declared_sizes     what layers, views and joins were told; a Flatten
    axis_order         a permute, a transpose, an expand where values are joined; exchanged sizes
    literals           the numbers that sizes come from: as another side has them, divisors, factors
    inputs_and_labels  the input, and labels
    typos              small changes of the step itself, and of what its names are told

A proposal is one change of one file's text. Whether it helps is not asked here: `fix_search` has each tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from archscope.checks.conflicts.causes import as_precise, is_told_elsewhere
from archscope.checks.conflicts.diagnosis import Diagnosis
from archscope.checks.conflicts.proposals.axis_order import (
    exchanged,
    expanded,
    flattened_images,
    grouped,
    joined_alone,
    moved_beside,
    other_dims,
    permuted,
    transposed_product,
)
from archscope.checks.conflicts.proposals.case import Case, Pages, Proposal
from archscope.checks.conflicts.proposals.declared_sizes import dimensions, flattened, told, transposed, unmoved, views
from archscope.checks.conflicts.proposals.inputs_and_labels import (
    exchanged_values,
    input_channels,
    input_sizes,
    sources,
)
from archscope.checks.conflicts.proposals.layer_arguments import (
    all_paddings,
    at_uses,
    before_both,
    channels,
    kernels,
    paddings,
    roundings,
    strides,
)
from archscope.checks.conflicts.proposals.literals import divisors, head_counts, scales, sizes_meant
from archscope.checks.conflicts.proposals.own_arguments import (
    altered,
    as_beside_it,
    multiplied,
    paddings_of_kernels,
    unread,
)
from archscope.checks.conflicts.proposals.projections import conditions, projections
from archscope.checks.conflicts.proposals.typos import sizes_beside, slips
from archscope.checks.conflicts.told_arguments import lies_elsewhere
from archscope.spec.argument_names import signatures_of

__all__ = ["ORDER", "Pages", "Proposal", "proposals"]

Source = Callable[[Case], Iterator[Proposal]]

ORDER: dict[str, tuple[Source, ...]] = {
    "channels": (
        *(unread, altered, joined_alone, moved_beside, told, grouped, head_counts, conditions, at_uses, projections),
        *(sizes_beside, transposed_product, channels, sizes_meant, input_channels, sources, dimensions, exchanged),
        *(multiplied, other_dims, exchanged_values, slips, strides, kernels, views),
    ),
    "stride": (
        *(unread, altered, before_both, conditions, at_uses, projections, scales, strides, sources, channels),
        *(paddings, kernels, as_beside_it, multiplied, other_dims, slips, input_sizes),
    ),
    "off-by-one": (
        *(unread, altered, told, before_both, paddings_of_kernels, roundings, all_paddings, paddings, strides, kernels),
        *(as_beside_it, input_sizes, sources, views, channels, other_dims, slips),
    ),
    "layout": (
        *(unread, altered, moved_beside, permuted, expanded, other_dims, flattened, flattened_images, transposed),
        transposed_product,
        *(views, divisors, dimensions, exchanged, sources, exchanged_values, sizes_meant, sizes_beside, multiplied),
        *(unmoved, slips, told, paddings, strides, channels, input_sizes),
    ),
    "batch": (views, exchanged, sources, dimensions, other_dims, slips),
}
ORDER |= dict.fromkeys(("spatial-size", "kernel-size", "input-size"), ORDER["off-by-one"])
ORDER["divisibility"] = ORDER["channels"]
"""Class of a cause → where proposals come from, the likeliest first."""

SHOWING: Mapping[str, tuple[Source, ...]] = {
    "off-by-one": (all_paddings, before_both, paddings, roundings, kernels, input_sizes),
    "channels": (channels, input_channels, sizes_beside, sizes_meant),
    "divisibility": (divisors, head_counts),
    "layout": (
        *(
            dimensions,
            exchanged,
            expanded,
            exchanged_values,
            flattened,
            flattened_images,
            moved_beside,
            other_dims,
            permuted,
            transposed,
        ),
        *(transposed_product, unmoved, views),
    ),
    "stride": (strides, scales),
    "source": (sources,),
}
"""Class of a cause → where proposals come from that show it when they help; the others show none."""
CAUSE_SHOWN: Mapping[Source, str] = {source: cause for cause, known in SHOWING.items() for source in known}


def proposals(
    diagnosis: Diagnosis, pages: Pages, *, order: Mapping[str, tuple[Source, ...]] = ORDER
) -> Iterator[Proposal]:
    """Every proposal that is known for the conflict; those of another label say so by their cause."""
    blocks = [block for page in pages.values() for block in page.spec.blocks]
    case = Case(diagnosis, pages, signatures_of(blocks))
    for source in sources_of(diagnosis, order):
        for one in source(case):
            shown = one.cause or CAUSE_SHOWN.get(source, "")
            yield replace(one, cause=as_precise(shown, diagnosis.cause), guess=source is slips)


def sources_of(diagnosis: Diagnosis, order: Mapping[str, tuple[Source, ...]]) -> tuple[Source, ...]:
    """Where proposals come from. A layer that was told the size of another axis is not told that of its own."""
    mismatch, shape = diagnosis.mismatch, diagnosis.shapes[0]
    if diagnosis.joined is not None:
        return unread, altered, other_dims
    told_elsewhere = is_told_elsewhere(mismatch, shape, diagnosis.known_names)
    if mismatch.kind == "layer" and (told_elsewhere or lies_elsewhere(diagnosis)):
        return unread, altered, told, moved_beside, flattened, transposed, unmoved
    return order["layout" if mismatch.kind == "view" else diagnosis.cause]
