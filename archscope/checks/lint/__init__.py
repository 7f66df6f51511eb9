"""Lint rules: nets that run but are wrong or wasteful. Report → LintContext → every rule → findings.

    unused           values, modules and parameters that are not used
    residual_blocks  residual blocks that never add
    broadcasts       losses, sums and comparisons that broadcast silently
    norms            biases before norms, norms on norms, shared norms, dropout before norms
    linear_layers    linear maps with nothing between them, softmaxes in the middle
    layout           views that mix axes, classifiers along an image's width
    index_ranges     numbers outside of the tables that they index
    sliding_windows  input that windows skip or drop, kernels on padding, receptive fields

A rule (lint_rule) is a function from a LintContext (lint_context) to findings; axis_parts says what axes consist of.
Rules must rarely be wrong about a good net. Equal findings of repeated blocks are merged.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules

from archscope.checks.lint.lint_context import LintContext, merge_findings
from archscope.checks.lint.lint_rule import LintRule
from archscope.report import Finding, Report

LINT_RULES: tuple[LintRule, ...] = tuple(
    value
    for module in iter_modules(__path__, f"{__name__}.")
    for value in vars(import_module(module.name)).values()
    if isinstance(value, LintRule)
)
"""The lint rules of all modules of this package, in the order of the modules' names."""


def lint(
    report: Report,
    *,
    object_size: tuple[int, int] | None = None,
    rules: Iterable[LintRule] = LINT_RULES,
) -> tuple[Finding, ...]:
    """Return the findings of all rules; () for a net that does not run or whose shapes do not fit, which must be fixed
    first.

    object_size: height and width that the receptive field must cover.
    """
    if report.trace.failure or report.trace.mismatches:
        return ()
    context = LintContext(report, object_size)
    return tuple(merge_findings(finding for rule in rules for finding in rule(context)))
