"""Assertions on blocks and nets: each runs the block for several sizes and batches, and raises AssertionError.

    assert_preserves_shape(block, (16, 28, 28))               output and input have one shape, for batches of 1 and 2
    assert_shape(block, (3, 32, 32), (10,))                   the shapes of one example in and out; more may follow
    assert_shape("net.yaml:small", (10,))                     a spec at its own input
    assert_shape(block, (1, 128, 64), input=("int64", (1, 128)))     the whole input, the whole output
    assert_within(model, params="25M", macs=("4G", "4.1G"), input=(1, 3, 224, 224))

A block is an nn.Module, or any target of `archscope.summarize`; all assertions take the options of that function.
Modules, their training flags and buffers, and random states are unchanged afterwards. pytest is not needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from archscope import units
from archscope.api.keyword_checks import KEYWORD_HELP, keyword_names, refuse_unknown_keyword
from archscope.api.summaries import summarize
from archscope.checks import non_expectation_errors
from archscope.checks.budgets import CostBudget, find_over_budget, parse_limit, unknown_macs_finding
from archscope.conflicts.expected_shapes import with_steps
from archscope.errors import ArchscopeError, ForwardError, SpecError, UsageError
from archscope.render.findings import format_findings
from archscope.report import Finding, Report, problem_findings
from archscope.spec.target_names import split_target

ReportCheck = Callable[[Report], Iterable[Finding]]
SummaryOptions = Mapping[str, Any]
TrialCase = Sequence[tuple[SummaryOptions, int | None]]
"""The runs of one size: for each batch the options and the batch size (None for a whole input)."""

MAX_SHOWN_STEPS = 6
WHOLE_INPUT_HINT = (
    "it runs on {0} itself: sizes are those of one example, without the batch; a whole shape goes with input={0}"
)
BUDGET_KEYWORDS = {"max_params": 'did you mean params="25M"?', "max_macs": 'did you mean macs="4.1G"?'}
"""Names of budgets in `archscope.check` → the help of `assert_within`."""


def assert_preserves_shape(
    block: Any, *sizes: Any, input: Any = None, batches: Sequence[int] = (1, 2), **options: Any
) -> None:
    """Raise AssertionError unless the output has the shape of the (first) input.

    sizes: shapes of one example, such as (16, 28, 28), any number of them or lists of them; each is tried with every
    batch size of `batches`. A spec needs none. input: the whole input instead, as in `archscope.summarize`. The message
    lists the layers that changed the shape. Raises UsageError for arguments that make no sense.
    """
    __tracebackhide__ = True
    refuse_unknown_options(assert_preserves_shape, options)
    flat = [size for listed in sizes for size in (listed if is_list_of_sizes(listed) else [listed])]
    tried = trial_cases(block, flat, input, batches, options)
    runs = zip(tried, flat or [None], strict=True)
    run_cases(
        block, [[AssertTrial(run, check_preserved_shape, whole_input=size) for run, _ in case] for case, size in runs]
    )


def assert_shape(block: Any, *shapes: Any, input: Any = None, batches: Sequence[int] = (1, 2), **options: Any) -> None:
    """Raise AssertionError unless inputs of the given shapes give outputs of the given shapes.

    shapes: input, output, input, output, … of one example, each pair tried with every batch size of `batches`. With
    `input` (or `args`, `kwargs`) the whole input is given, and `shapes` is the whole output. For a spec the output
    alone is enough. In an output None stands for any size; several outputs are a list of shapes. Raises UsageError for
    arguments that make no sense.
    """
    __tracebackhide__ = True
    refuse_unknown_options(assert_shape, options)
    if not shapes or (len(shapes) % 2 and len(shapes) > 1) or (has_whole_input(input, options) and len(shapes) > 1):
        raise UsageError(
            f"{len(shapes)} shapes are not pairs of input and output", "assert_shape(block, (3, 32, 32), (10,))"
        )
    given, wanted = (shapes[::2], shapes[1::2]) if len(shapes) > 1 else ((), shapes)
    tried = trial_cases(block, given, input, batches, options)
    runs = zip(tried, wanted, given or [None] * len(tried), strict=True)
    run_cases(
        block,
        [
            [AssertTrial(run, output_shape_check(shape, batch), whole_input=size) for run, batch in case]
            for case, shape, size in runs
        ],
    )


def assert_within(model: Any, *, params: Any = None, macs: Any = None, **options: Any) -> None:
    """Raise AssertionError unless the numbers of parameters and MACs are within the given bounds.

    params, macs: a maximum, as an integer or "25M", or (minimum, maximum), where None is no bound. `options` are those
    of `archscope.summarize`: `input=(1, 3, 224, 224)`, … Parameters alone need no input; with an input, the model must
    run on it. If an operation has no known cost, the MACs are not within any bound. Raises UsageError for arguments
    that make no sense.
    """
    __tracebackhide__ = True
    refuse_unknown_options(assert_within, options)
    least, most = budget_bounds(params, macs)
    given = is_spec(model) or has_whole_input(options.get("input"), options)
    if macs is not None and not given:
        raise UsageError(f"the MACs of {block_name(model)} depend on its input", "for example input=(1, 3, 224, 224)")
    trial = AssertTrial(options, lambda report: find_outside_bounds(report, least, most), needs_run=given)
    run_cases(model, [[trial]])


def refuse_unknown_options(function: Callable[..., None], options: SummaryOptions) -> None:
    """Raise KeywordError for an option that neither the assertion nor `archscope.summarize` has."""
    known = {*keyword_names(function), *keyword_names(summarize)} - {"block", "model", "target"}
    helps = KEYWORD_HELP | (BUDGET_KEYWORDS if "params" in known else {})
    refuse_unknown_keyword(function.__name__, options, known, helps)


# ------------------------------------------------------------ trials
@dataclass(frozen=True)
class AssertTrial:
    """One run: its options, the check of its report, and whether a failing forward pass fails the assertion.

    whole_input: the given sizes of an example, which the author may have meant as a whole input.
    """

    options: SummaryOptions
    check: ReportCheck
    needs_run: bool = True
    whole_input: Any = None


def trial_cases(
    block: Any, sizes: Sequence[Any], input: Any, batches: Sequence[int], options: SummaryOptions
) -> list[TrialCase]:
    """Return the runs of an assertion, grouped by size. Raises UsageError if there are none, or if the input is
    given twice."""
    if has_whole_input(input, options):
        if sizes:
            raise UsageError("the input is given twice, by its sizes and whole", "leave out the sizes, or input=")
        return [[({"input": input, **options}, None)]]
    if not batches:
        raise UsageError("no batch size is left to try", "for example batches=(1, 2)")
    if sizes:
        return [[({"input": add_batch(size, batch), **options}, batch) for batch in batches] for size in sizes]
    if not is_spec(block):
        raise UsageError(
            f"{block_name(block)} is given no sizes", "name those of one example: (channels, height, width)"
        )
    return [[({"batch": batch, **options}, batch) for batch in batches]]


def has_whole_input(input: Any, options: SummaryOptions) -> bool:
    return input is not None or bool(options.keys() & {"args", "kwargs"})


def is_list_of_sizes(given: Any) -> bool:
    return isinstance(given, list) and not (given and all(size is None or isinstance(size, int) for size in given))


def is_spec(block: Any) -> bool:
    return isinstance(block, (str, os.PathLike)) and split_target(block) is not None


def add_batch(size: Any, batch: int) -> Any:
    """Return the shape of one example with the batch in front; a dtype stays where it is."""
    if isinstance(size, Sequence) and len(size) == 2 and isinstance(size[0], str):
        return size[0], (batch, *size[1])
    if not isinstance(size, Sequence) or isinstance(size, str) or not all(isinstance(n, int) for n in size):
        raise UsageError(f"{size!r} is not the shape of an example", 'for example (16, 28, 28), or ("int64", (128,))')
    return batch, *size


def block_name(block: Any) -> str:
    return os.fspath(block) if isinstance(block, (str, os.PathLike)) else type(block).__name__


# ------------------------------------------------------------ runs and messages
def run_cases(block: Any, cases: Iterable[Sequence[AssertTrial]]) -> None:
    """Run all cases, each until its first failing trial, and raise AssertionError with all failures."""
    __tracebackhide__ = True
    found = [
        first for case in cases if (first := next(filter(None, (find_failure(block, trial) for trial in case)), None))
    ]
    if found:
        raise AssertionError("\n".join(failure.text for failure in found)) from found[0].cause


@dataclass(frozen=True)
class FailedTrial:
    """The message of a failing case, and the exception of the block's own code that caused it."""

    text: str
    cause: BaseException | None = None


def find_failure(block: Any, trial: AssertTrial) -> FailedTrial | None:
    """Return why a run failed, else the findings of its check; None if all is well."""
    options = {"device": "meta", **trial.options} if is_spec(block) else trial.options
    cause = None
    try:
        report = summarize(block, **{**options, "backward": False})
    except SpecError as error:
        return format_failure(block, options, problem_findings(error))
    except ForwardError as error:
        report, cause = error.report, error.__cause__
    faults = non_expectation_errors(report.findings) if trial.needs_run else []
    found = faults or list(trial.check(report))
    if not found:
        return None
    own = cause if faults and all(fault.rule == "forward" for fault in faults) else None
    first = format_failure(report, options, found, cause=own and trim_traceback(own))
    runs_whole = (
        bool(faults) and trial.whole_input is not None and can_run(block, {**options, "input": trial.whole_input})
    )
    return replace(first, text=f"{first.text}\n{WHOLE_INPUT_HINT.format(trial.whole_input)}") if runs_whole else first


def can_run(block: Any, options: SummaryOptions) -> bool:
    """Return whether a run of the block has no errors."""
    try:
        return not summarize(block, **{**options, "backward": False}).failed
    except ArchscopeError:
        return False


def format_failure(
    target: Any, options: SummaryOptions, findings: Sequence[Finding], *, cause: BaseException | None = None
) -> FailedTrial:
    return FailedTrial(f"{failure_heading(target, options)}\n{format_findings(findings)}".rstrip(), cause)


def failure_heading(target: Any, options: SummaryOptions) -> str:
    """Return a heading such as `Block given x (2, 16, 28, 28):`."""
    if isinstance(target, Report):
        inputs = ", ".join(f"{operand.source} {operand.value.shape}" for operand in target.trace.inputs)
        return f"{target.target}{f' given {inputs}' * bool(inputs)}:"
    given = options.get("input")
    return f"{block_name(target)}{f' given {given}' * bool(given)}:"


def trim_traceback(error: BaseException) -> BaseException:
    """Return the exception with a traceback that begins at the block's own code."""
    step: TracebackType | None = error.__traceback__
    while step and step.tb_frame.f_globals.get("__name__", "").startswith(("archscope.", "torch.")):
        step = step.tb_next
    return error.with_traceback(step or error.__traceback__)


# ------------------------------------------------------------ checks of shapes
def check_preserved_shape(report: Report) -> Iterator[Finding]:
    if report.trace.inputs:
        shape = report.trace.inputs[0].value.shape
        yield from compare_outputs(report, [shape], "preserves", f"expected to preserve shape {shape}")


def output_shape_check(wanted: Any, batch: int | None) -> ReportCheck:
    """Return a check of output shapes: those of one example in a batch, or whole ones."""
    lead = () if batch is None else (batch,)
    each = wanted if is_list_of_sizes(wanted) else [wanted]
    if not all(
        isinstance(shape, Sequence) and all(size is None or isinstance(size, int) for size in shape) for shape in each
    ):
        raise UsageError(
            f"{wanted!r} is not the shape of an output",
            "for example (10,), or (64, None, None) for any height and width",
        )
    shapes = [(*lead, *shape) for shape in each]
    return lambda report: compare_outputs(report, shapes, "shape", f"expected shape {format_shapes(shapes)}")


def compare_outputs(report: Report, wanted: Sequence[Sequence[int | None]], key: str, fact: str) -> Iterator[Finding]:
    """Yield a finding if the outputs have other shapes than `wanted`, with the steps that made them."""
    outputs = report.trace.outputs
    got = [output.value.shape for output in outputs]
    if len(got) != len(wanted):
        yield Finding(f"expect-{key}", "error", f"{fact}, got {len(got)} outputs{': ' * bool(got)}{format_shapes(got)}")
    elif not all(map(is_shape_match, got, wanted)):
        found = Finding(f"expect-{key}", "error", f"{fact}, got {format_shapes(got)}")
        found = with_steps(found, report.index, zip(outputs, wanted, strict=True))
        yield replace(found, walk=found.walk[-MAX_SHOWN_STEPS:])


def is_shape_match(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))


def format_shapes(shapes: Iterable[Sequence[int | None]]) -> str:
    """Return the shapes as text: `(2, 16, _, 28)`, several joined by `and`."""
    return " and ".join(str(tuple(shape)).replace("None", "_") for shape in shapes)


# ------------------------------------------------------------ checks of figures
def budget_bounds(params: Any, macs: Any) -> tuple[CostBudget, CostBudget]:
    """Return the lower and the upper bounds. Raises UsageError."""
    pairs = [value if isinstance(value, (tuple, list)) else (None, value) for value in (params, macs)]
    if any(len(pair) != 2 for pair in pairs):
        raise UsageError("a range has two ends", 'for example params=("24M", "26M")')
    if all(end is None for pair in pairs for end in pair):
        raise UsageError("neither params nor macs has a bound", 'for example params="25M", macs="4.1G"')
    least, most = (
        [parse_limit(pair[i], name) for pair, name in zip(pairs, ("params", "macs"), strict=True)] for i in (0, 1)
    )
    return CostBudget(*least), CostBudget(*most)


def find_outside_bounds(report: Report, least: CostBudget, most: CostBudget) -> Iterator[Finding]:
    """Yield a finding for each figure that is not within the bounds, or not known."""
    for finding in find_over_budget(report, most):
        details = finding.details if report.trace.failure is None else ()
        yield replace(finding, details=details, help=finding.help if report.unpriced else "")
    yield from find_below_minimum(report.total.params, least.max_params, "params", "parameters")
    if report.total.macs is not None:
        yield from find_below_minimum(report.total.macs, least.max_macs, "macs", "MACs")
    elif least.max_macs is not None and most.max_macs is None:
        yield unknown_macs_finding(report, least.max_macs)


def find_below_minimum(count: int, least: Any, key: str, what: str) -> Iterator[Finding]:
    if least is not None and count < least.value:
        fact = f"{units.format_count(count)} {what}, {units.format_count(int(least.value) - count)} fewer than {least}"
        yield Finding(f"budget-{key}", "error", fact)
