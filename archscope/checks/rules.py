"""The table of all rules. `docs/rules/CODE.md` explains each.

The rules of lint functions are declared where they are found (`checks/lint/`), and collected here.
"""

from __future__ import annotations

from archscope.checks.lint import LINT_RULES
from archscope.checks.lint.lint_rule import Rule

FAMILY_ORDER = ("spec", "conflict", "expectation", "budget", "lint")
"""The families of rules, in the order of the documentation."""

OTHER_RULES: tuple[Rule, ...] = (
    Rule("spec", "error", "spec", "the spec cannot be read or compiled"),
    Rule("residual-shape", "error", "conflict", "the two sides of a residual cannot be added"),
    Rule("add-shape", "error", "conflict", "values that cannot be added"),
    Rule("multiply-shape", "error", "conflict", "values that cannot be multiplied, gates included"),
    Rule("concat-shape", "error", "conflict", "values that cannot be concatenated or stacked"),
    Rule("layer-shape", "error", "conflict", "a layer is given sizes that are not those of its input"),
    Rule("product-shape", "error", "conflict", "operands of a matrix product or of an attention that do not fit"),
    Rule("view-shape", "error", "conflict", "a view with another number of elements"),
    Rule("forward", "error", "conflict", "the forward pass failed for another reason"),
    Rule("expect-shape", "error", "expectation", "an output shape is not the expected one"),
    Rule("expect-preserves", "error", "expectation", "a value that should be preserved is not"),
    Rule("expect-params", "error", "expectation", "the number of parameters is not the expected one"),
    Rule("expect-macs", "error", "expectation", "the number of MACs is not the expected one"),
    Rule("budget-params", "error", "budget", "more parameters than the budget allows"),
    Rule("budget-macs", "error", "budget", "more MACs than the budget allows"),
    Rule("baseline-params", "error", "budget", "parameters differ from the baseline's by more than the tolerance"),
    Rule("baseline-macs", "error", "budget", "MACs differ from the baseline's by more than the tolerance"),
    Rule("baseline-target", "warning", "budget", "a target that the baseline does not hold"),
    Rule("unknown-rule", "warning", "lint", "a comment that should ignore a rule, but names none"),
    Rule("never-built", "warning", "lint", "a step whose `when:` holds in no turn of its loop"),
    Rule("unused-param", "warning", "lint", "a param of a spec that nothing reads"),
    Rule("ignored-argument", "warning", "lint", "an argument that is accepted and ignored"),
    Rule("hidden-function", "warning", "lint", "a label that hides the function that was meant"),
    Rule("one-batch", "warning", "lint", "the net fits this batch size only"),
    Rule("square-only", "warning", "lint", "the net fits square images only"),
)
"""The rules of findings that no lint function makes."""

RULES: tuple[Rule, ...] = tuple(
    sorted(
        (*OTHER_RULES, *(rule for lint in LINT_RULES for rule in lint.rules)),
        key=lambda rule: FAMILY_ORDER.index(rule.family),
    )
)
"""All rules, in the order of the documentation: by family; within one, those of lint functions last."""

RULE_CODES: tuple[str, ...] = tuple(rule.code for rule in RULES)
