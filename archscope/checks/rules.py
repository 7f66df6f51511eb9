"""The table of all rules: code, level, family and a one-line description. `docs/rules/CODE.md` explains each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One rule. level: the default level of its findings: `error`, `warning` or `note`.

    family: `spec`, `conflict`, `expectation`, `budget` or `lint`.
    """

    code: str
    level: str
    family: str
    summary: str


RULES: tuple[Rule, ...] = (
    Rule("spec", "error", "spec", "the spec cannot be read or compiled"),
    Rule("residual-shape", "error", "conflict", "the two sides of a residual cannot be added"),
    Rule("add-shape", "error", "conflict", "values that cannot be added"),
    Rule("multiply-shape", "error", "conflict", "values that cannot be multiplied, gates included"),
    Rule("concat-shape", "error", "conflict", "values that cannot be concatenated or stacked"),
    Rule("layer-shape", "error", "conflict", "a layer is given sizes that are not those of its input"),
    Rule("product-shape", "error", "conflict", "operands of a matrix product or of an attention that do not fit"),
    Rule("view-shape", "error", "conflict", "a view with another number of elements"),
    Rule("index-range", "error", "conflict", "indices outside of the table that they index"),
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
    Rule("unused-value", "warning", "lint", "a step whose value nothing uses"),
    Rule("never-built", "warning", "lint", "a step whose `when:` holds in no turn of its loop"),
    Rule("unused-module", "warning", "lint", "a module that no forward pass reaches"),
    Rule("unused-weight", "warning", "lint", "a parameter that no forward pass reads"),
    Rule("unused-param", "warning", "lint", "a param of a spec that nothing reads"),
    Rule("ignored-argument", "warning", "lint", "an argument that is accepted and ignored"),
    Rule("hidden-function", "warning", "lint", "a label that hides the function that was meant"),
    Rule("residual-without-add", "warning", "lint", "a block called residual that never adds its input"),
    Rule("silent-broadcast", "warning", "lint", "two activations of unequal shapes are combined by broadcasting"),
    Rule("bias-before-norm", "warning", "lint", "a bias that the batch norm after it removes"),
    Rule("repeated-norm", "warning", "lint", "a normalisation of values that have just been normalised"),
    Rule("shared-norm", "warning", "lint", "one batch norm that several places share"),
    Rule("skipping-stride", "note", "lint", "a stride larger than its kernel skips a part of the input"),
    Rule("linear-linear", "warning", "lint", "two linear maps with nothing between them"),
    Rule("dropped-pixels", "note", "lint", "rows and columns that a window's rounding never reads"),
    Rule("dropout-before-norm", "warning", "lint", "dropout shifts the variance that a batch norm after it learns"),
    Rule("softmax-inside", "warning", "lint", "a softmax whose result goes through more layers"),
    Rule("mixed-axes", "warning", "lint", "a view that mixes axes which should change places"),
    Rule("linear-on-width", "warning", "lint", "a classifier that reads the columns of maps"),
    Rule("one-batch", "warning", "lint", "the net fits this batch size only"),
    Rule("square-only", "warning", "lint", "the net fits square images only"),
    Rule("field-too-large", "note", "lint", "kernels larger than the map that they cover"),
    Rule("field-too-small", "note", "lint", "a receptive field smaller than what it must see"),
)
"""In the order of the documentation."""

RULE_CODES: tuple[str, ...] = tuple(rule.code for rule in RULES)
