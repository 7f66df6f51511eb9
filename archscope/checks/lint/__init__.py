"""Lint rules: nets that run but are wrong or wasteful. Report → LintContext → every rule → findings.

    unused           values, modules and parameters that are not used
    residual_blocks  residual blocks that never add
    broadcasts       losses, sums and comparisons that broadcast silently
    norms            biases before norms, norms on norms, shared norms, dropout before norms
    linear_layers    linear maps with nothing between them, softmaxes in the middle
    layout           views that mix axes, classifiers along an image's width
    index_ranges     numbers outside of the tables that they index
    sliding_windows  input that windows skip or drop, kernels on padding, receptive fields

A rule is a function from a LintContext to findings. Rules must rarely be wrong about a good net. Equal findings of
repeated blocks are merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from archscope.checks.lint.broadcasts import silent_broadcast
from archscope.checks.lint.index_ranges import index_range
from archscope.checks.lint.layout import linear_on_width, mixed_axes
from archscope.checks.lint.linear_layers import linear_linear, softmax_inside
from archscope.checks.lint.lint_context import LintContext, merge_findings
from archscope.checks.lint.norms import bias_before_norm, dropout_before_norm, repeated_norm, shared_norm
from archscope.checks.lint.residual_blocks import residual_without_add
from archscope.checks.lint.sliding_windows import dropped_pixels, field_too_large, field_too_small, skipping_stride
from archscope.checks.lint.unused import unused_params, unused_values
from archscope.report import Finding, Report

LINTS: tuple[Callable[[LintContext], Iterable[Finding]], ...] = (
    unused_values,
    unused_params,
    residual_without_add,
    silent_broadcast,
    bias_before_norm,
    repeated_norm,
    shared_norm,
    dropout_before_norm,
    linear_linear,
    softmax_inside,
    mixed_axes,
    linear_on_width,
    index_range,
    skipping_stride,
    dropped_pixels,
    field_too_large,
    field_too_small,
)


def lint(
    report: Report,
    *,
    object_size: tuple[int, int] | None = None,
    rules: Iterable[Callable[[LintContext], Iterable[Finding]]] = LINTS,
) -> tuple[Finding, ...]:
    """Return the findings of all rules; () for a net that does not run or whose shapes do not fit, which must be fixed
    first.

    object_size: height and width that the receptive field must cover.
    """
    if report.trace.failure or report.trace.mismatches:
        return ()
    context = LintContext(report, object_size)
    return tuple(merge_findings(finding for rule in rules for finding in rule(context)))
