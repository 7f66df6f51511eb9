"""What could cure a conflict: a Diagnosis and the pages of the spec → Remedies, the likeliest first.

    case          what a remedy is made of
    projection    a shortcut for a residual
    arguments     stride, padding, kernel, channels of the steps on the walk
    told          what layers, views and joins were told; a Flatten
    elsewhere     the input, and labels
    perturbed     slips in the step itself, and in what its names are told

A remedy is one change of one file's text. Whether it helps is not asked here: `fixes` tries each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from archscope.checks.conflicts import Diagnosis
from archscope.checks.remedies.arguments import all_paddings, channels, kernels, paddings, roundings, strides
from archscope.checks.remedies.axis_order import exchanged, expanded, grouped, permuted, transposed_product
from archscope.checks.remedies.case import Case, Pages, Remedy
from archscope.checks.remedies.elsewhere import input_channels, input_sizes, sources
from archscope.checks.remedies.literals import divisors, scales, sizes_meant
from archscope.checks.remedies.perturbed import slips
from archscope.checks.remedies.projection import projections
from archscope.checks.remedies.told import dimensions, flattened, told, transposed, unmoved, views
from archscope.spec.edits import signatures_of

__all__ = ["ORDER", "Pages", "Remedy", "remedies"]

Source = Callable[[Case], Iterator[Remedy]]

ORDER: Mapping[str, tuple[Source, ...]] = {
    "channels": (
        *(told, grouped, projections, transposed_product, channels, sizes_meant, input_channels, sources),
        *(dimensions, exchanged, slips, strides, kernels, views),
    ),
    "stride": (projections, scales, strides, sources, channels, paddings, kernels, slips, input_sizes),
    "off-by-one": (
        *(told, roundings, all_paddings, paddings, strides, kernels, input_sizes),
        *(sources, views, channels, slips),
    ),
    "layout": (
        *(permuted, expanded, flattened, transposed, transposed_product, divisors, dimensions, views, exchanged),
        *(sources, sizes_meant, unmoved, slips, told, paddings, strides, channels, input_sizes),
    ),
    "batch": (views, exchanged, sources, dimensions, slips),
}
"""Class of a cause → where remedies come from, the likeliest first."""

CAUSES: Mapping[Source, str] = {
    **dict.fromkeys((all_paddings, paddings, roundings, kernels, input_sizes), "off-by-one"),
    **dict.fromkeys((channels, input_channels), "channels"),
    **dict.fromkeys(
        (dimensions, divisors, exchanged, expanded, flattened, permuted, transposed, unmoved, views), "layout"
    ),
    transposed_product: "layout",
    sizes_meant: "channels",
    **dict.fromkeys((strides, scales), "stride"),
    sources: "source",
}
"""Where a remedy comes from → the class of the cause that it shows when it helps; the others show none."""


def remedies(
    diagnosis: Diagnosis, pages: Pages, *, order: Mapping[str, tuple[Source, ...]] = ORDER
) -> Iterator[Remedy]:
    """Every remedy that is known for the conflict, each once; those of another label say so by their cause."""
    blocks = [block for page in pages.values() for block in page.spec.blocks]
    case = Case(diagnosis, pages, signatures_of(blocks))
    for source in order[diagnosis.cause]:
        yield from (replace(remedy, cause=remedy.cause or CAUSES.get(source, "")) for remedy in source(case))
