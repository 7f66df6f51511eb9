"""Edits of a spec that could fix a conflict: a Diagnosis and the spec's files → Proposals, the likeliest first.

    conflict_case      the data that proposals are made from
    projections        a projection for a residual's shortcut, a better condition for one
    block_arguments    arguments of a block that it does not read, or changes
    layer_arguments    stride, padding, kernel and channels of steps on the path
    declared_sizes     the sizes that layers, views and joins state; a Flatten
    axis_order         a permute, transpose or expand where values are joined; exchanged sizes
    literals           the numbers that sizes come from: as another side has them, divisors, factors
    inputs_and_labels  the input, and labels
    typos              small changes of the step itself, and of the values of its names

A proposal is one change of one file's text. `fix_search` finds out whether it helps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from archscope.conflicts.causes import is_size_of_other_axis, more_precise_cause
from archscope.conflicts.declared_arguments import has_channels_last
from archscope.conflicts.diagnosis import Diagnosis
from archscope.fixes.proposals.axis_order import (
    propose_concat_with_prev,
    propose_expand,
    propose_groups,
    propose_image_flatten,
    propose_other_dims,
    propose_permute,
    propose_product_transpose,
    propose_sibling_transpose,
    propose_swapped_sizes,
)
from archscope.fixes.proposals.block_arguments import (
    propose_dropped_products,
    propose_dropped_sums,
    propose_kernel_paddings,
    propose_sibling_windows,
    propose_unread_arguments,
)
from archscope.fixes.proposals.conflict_case import ConflictCase, Pages, Proposal
from archscope.fixes.proposals.declared_sizes import (
    propose_declared_size,
    propose_flatten,
    propose_join_dims,
    propose_step_removal,
    propose_transpose,
    propose_view_sizes,
)
from archscope.fixes.proposals.inputs_and_labels import (
    propose_input_channels,
    propose_input_sizes,
    propose_other_labels,
    propose_swapped_values,
)
from archscope.fixes.proposals.layer_arguments import (
    propose_all_paddings,
    propose_at_uses,
    propose_before_fork,
    propose_kernels,
    propose_output_sizes,
    propose_paddings,
    propose_roundings,
    propose_strides,
)
from archscope.fixes.proposals.literals import (
    propose_divisors,
    propose_head_counts,
    propose_other_side_sizes,
    propose_scale_factors,
)
from archscope.fixes.proposals.projections import propose_conditions, propose_projections
from archscope.fixes.proposals.typos import propose_sibling_sizes, propose_typos
from archscope.spec.argument_names import all_signatures

__all__ = ["SOURCE_ORDER", "Pages", "Proposal", "find_proposals"]

ProposalSource = Callable[[ConflictCase], Iterator[Proposal]]

SOURCE_ORDER: dict[str, tuple[ProposalSource, ...]] = {
    "channels": (
        *(
            propose_unread_arguments,
            propose_dropped_sums,
            propose_concat_with_prev,
            propose_sibling_transpose,
            propose_declared_size,
            propose_groups,
            propose_head_counts,
            propose_conditions,
            propose_at_uses,
            propose_projections,
        ),
        *(
            propose_sibling_sizes,
            propose_product_transpose,
            propose_output_sizes,
            propose_other_side_sizes,
            propose_input_channels,
            propose_other_labels,
            propose_join_dims,
            propose_swapped_sizes,
        ),
        *(
            propose_dropped_products,
            propose_other_dims,
            propose_swapped_values,
            propose_typos,
            propose_strides,
            propose_kernels,
            propose_view_sizes,
        ),
    ),
    "stride": (
        *(
            propose_unread_arguments,
            propose_dropped_sums,
            propose_before_fork,
            propose_conditions,
            propose_at_uses,
            propose_projections,
            propose_scale_factors,
            propose_strides,
            propose_other_labels,
            propose_output_sizes,
        ),
        *(
            propose_paddings,
            propose_kernels,
            propose_sibling_windows,
            propose_dropped_products,
            propose_other_dims,
            propose_typos,
            propose_input_sizes,
        ),
    ),
    "off-by-one": (
        *(
            propose_unread_arguments,
            propose_dropped_sums,
            propose_declared_size,
            propose_before_fork,
            propose_kernel_paddings,
            propose_roundings,
            propose_all_paddings,
            propose_paddings,
            propose_strides,
            propose_kernels,
        ),
        *(
            propose_sibling_windows,
            propose_input_sizes,
            propose_other_labels,
            propose_view_sizes,
            propose_output_sizes,
            propose_other_dims,
            propose_typos,
        ),
    ),
    "layout": (
        *(
            propose_unread_arguments,
            propose_dropped_sums,
            propose_sibling_transpose,
            propose_permute,
            propose_expand,
            propose_other_dims,
            propose_flatten,
            propose_image_flatten,
            propose_transpose,
        ),
        propose_product_transpose,
        *(
            propose_view_sizes,
            propose_divisors,
            propose_join_dims,
            propose_swapped_sizes,
            propose_other_labels,
            propose_swapped_values,
            propose_other_side_sizes,
            propose_sibling_sizes,
            propose_dropped_products,
        ),
        *(
            propose_step_removal,
            propose_typos,
            propose_declared_size,
            propose_paddings,
            propose_strides,
            propose_output_sizes,
            propose_input_sizes,
        ),
    ),
    "batch": (
        propose_view_sizes,
        propose_swapped_sizes,
        propose_other_labels,
        propose_join_dims,
        propose_other_dims,
        propose_typos,
    ),
}
SOURCE_ORDER |= dict.fromkeys(("spatial-size", "kernel-size", "input-size"), SOURCE_ORDER["off-by-one"])
SOURCE_ORDER["divisibility"] = SOURCE_ORDER["channels"]
"""Class of a cause → the sources of proposals, the likeliest first."""

CAUSE_SOURCES: Mapping[str, tuple[ProposalSource, ...]] = {
    "off-by-one": (
        propose_all_paddings,
        propose_before_fork,
        propose_paddings,
        propose_roundings,
        propose_kernels,
        propose_input_sizes,
    ),
    "channels": (propose_output_sizes, propose_input_channels, propose_sibling_sizes, propose_other_side_sizes),
    "divisibility": (propose_divisors, propose_head_counts),
    "layout": (
        *(
            propose_join_dims,
            propose_swapped_sizes,
            propose_expand,
            propose_swapped_values,
            propose_flatten,
            propose_image_flatten,
            propose_sibling_transpose,
            propose_other_dims,
            propose_permute,
            propose_transpose,
        ),
        *(propose_product_transpose, propose_step_removal, propose_view_sizes),
    ),
    "stride": (propose_strides, propose_scale_factors),
    "source": (propose_other_labels,),
}
"""Class of a cause → the sources whose proposals prove it if they help; others prove none."""
CAUSE_OF_SOURCE: Mapping[ProposalSource, str] = {
    source: cause for cause, known in CAUSE_SOURCES.items() for source in known
}


def find_proposals(
    diagnosis: Diagnosis, pages: Pages, *, order: Mapping[str, tuple[ProposalSource, ...]] = SOURCE_ORDER
) -> Iterator[Proposal]:
    """Yield every proposal for the conflict, with the cause that it proves if it helps."""
    blocks = [block for page in pages.values() for block in page.spec.blocks]
    case = ConflictCase(diagnosis, pages, all_signatures(blocks))
    for source in sources_for(diagnosis, order):
        for proposal in source(case):
            shown = proposal.cause or CAUSE_OF_SOURCE.get(source, "")
            yield replace(proposal, cause=more_precise_cause(shown, diagnosis.cause), guess=source is propose_typos)


def sources_for(diagnosis: Diagnosis, order: Mapping[str, tuple[ProposalSource, ...]]) -> tuple[ProposalSource, ...]:
    """Return the sources of proposals. If a layer states the size of another axis, its size is not changed."""
    mismatch, shape = diagnosis.mismatch, diagnosis.shapes[0]
    if diagnosis.intended_dim is not None:
        return propose_unread_arguments, propose_dropped_sums, propose_other_dims
    is_other_axis = is_size_of_other_axis(mismatch, shape, diagnosis.known_names)
    if mismatch.kind == "layer" and (is_other_axis or has_channels_last(diagnosis)):
        return (
            propose_unread_arguments,
            propose_dropped_sums,
            propose_declared_size,
            propose_sibling_transpose,
            propose_flatten,
            propose_transpose,
            propose_step_removal,
        )
    return order["layout" if mismatch.kind == "view" else diagnosis.cause]
