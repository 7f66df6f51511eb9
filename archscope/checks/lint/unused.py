"""Rules for unused values, modules and parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archscope import units
from archscope.checks.lint.lint_context import LintContext, rule_finding
from archscope.checks.lint.lint_rule import lint_rule
from archscope.report import Finding
from archscope.trace import Call, Param, Row

TRAINING_HELP = "where only training reaches it, check with train=True"


@lint_rule("unused-value", "warning", "a step whose value nothing uses")
def unused_values(context: LintContext) -> Iterator[Finding]:
    """Yield rows whose value leads to no output, if the work of a layer is lost. The compiler already reports unused
    steps of specs, except blocks in a loop that do not read the previous turn's value."""
    for row in context.rows:
        if row.place is None and row.index not in context.index.live_rows and not context.readers(row):
            lost = dead_rows_before(context, row)
            if any(context.index.reads_params(lost_row) for lost_row in lost) and "float" in row.outputs[0].dtype:
                macs = [context.report.rows[lost_row.index].macs for lost_row in lost]
                known = [number for number in macs if number is not None]
                price = f"{units.format_count(sum(known))} MACs" if len(known) == len(macs) else "its work"
                message = f"nothing uses this value: {price} and all that led only here are thrown away"
                yield rule_finding("unused-value", row, message, help="use the value, or take its making out")
    yield from unused_loop_turns(context)


def unused_loop_turns(context: LintContext) -> Iterator[Finding]:
    """Yield steps of a spec that run several times at one place of its text, where only the last turn leads to an
    output."""
    reported = {finding.place for finding in context.report.findings if finding.rule == "unused-value"}
    turns: dict[tuple[object, ...], list[Row]] = {}
    where = text_positions(context.report.trace.calls)
    for row in context.rows:
        if row.place is not None and row.outputs:
            turns.setdefault((row.place, row.short_name, where.get(row.call)), []).append(row)
    for first, *rest in turns.values():
        alive = [row.index in context.index.live_rows for row in (first, *rest)]
        if not rest or any(alive[:-1]) or not alive[-1] or context.readers(first):
            continue
        if reported & {first.place, *(call.site.place for call in context.index.calls_around(first.call))}:
            continue
        lost = dead_rows_before(context, first)
        if any(context.index.reads_params(lost_row) for lost_row in lost):
            message = (
                f"nothing uses this value in {units.format_count(len(rest))} of "
                f"{units.format_count(len(rest) + 1)} turns"
            )
            help = "the turns after it do not read it: let the loop's body start from prev, or take the loop out"
            yield rule_finding("unused-value", first, f"{message}: only the last one's leads to a result", help=help)


def text_positions(calls: Iterable[Call]) -> dict[int, int]:
    """Return a number for the place in the text of each call and the calls around it: equal for all turns of a loop."""
    numbers: dict[tuple[object, ...], int] = {}
    found: dict[int, int] = {}
    for call in calls:
        found[call.index] = numbers.setdefault((found.get(call.parent), call.site.place), len(numbers))
    return found


def dead_rows_before(context: LintContext, end: Row) -> list[Row]:
    """Return the rows that lead to this one and to no output."""
    rows, waiting = {end.index: end}, [end]
    while waiting:
        for operand in context.operands(waiting.pop()):
            maker = context.index.maker(operand)
            if maker is not None and maker.index not in context.index.live_rows and maker.index not in rows:
                rows[maker.index] = maker
                waiting.append(maker)
    return [rows[index] for index in sorted(rows)]


@lint_rule("unused-module", "warning", "a module that no forward pass reaches")
@lint_rule("unused-weight", "warning", "a parameter that no forward pass reads")
def unused_params(context: LintContext) -> Iterator[Finding]:
    """Yield parameters that no row reads, grouped by the uppermost module with only such parameters and without
    rows."""
    unread = {param.name: param for param in context.report.unread}
    owners = (param.name.rpartition(".")[0] for param in context.report.trace.params if param.name not in unread)
    busy = with_enclosing_modules([*(call.site.path for call in context.report.trace.calls), *owners])
    groups: dict[str, list[Param]] = {}
    for name, param in unread.items():
        modules_around = (name[:end] for end, character in enumerate(name) if character == ".")
        owner = next((path for path in modules_around if path not in busy), name)
        groups.setdefault(owner, []).append(param)
    for path, params in groups.items():
        if path in unread:
            message = f"nothing reads this parameter of {units.format_count(params[0].count)} numbers"
            yield Finding("unused-weight", "", message, path, help=f"use it, or take it out; {TRAINING_HELP}")
            continue
        numbers, count = units.format_count(sum(param.count for param in params)), units.format_count(len(params))
        message = f"this forward pass does not reach it: {numbers} numbers in {count} parameters"
        is_auxiliary = context.report.trace.mode == "eval" and path.split(".")[-1].lower().startswith("aux")
        level = "note" if is_auxiliary else ""
        yield Finding("unused-module", level, message, path, help=f"call it, or take it out; {TRAINING_HELP}")


def with_enclosing_modules(paths: Iterable[str]) -> set[str]:
    """Return the paths and those of all modules around them."""
    found: set[str] = set()
    for path in paths:
        while path and path not in found:
            found.add(path)
            path = path.rpartition(".")[0]
    return found
