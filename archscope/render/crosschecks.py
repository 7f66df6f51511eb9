"""CrossCheck → Sheet, CSV: the witnesses' figures below ours, then what each of them counts otherwise, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope import units
from archscope.crosscheck import Account, CrossCheck, Difference
from archscope.render.columns import in_short, known
from archscope.render.data import table
from archscope.render.sheet import Heading, Sheet, head, unpriced
from archscope.report import FAILS
from archscope.statement import Statement

HEADINGS = (
    Heading("path", "counter"),
    Heading("params", "params", right=True),
    Heading("macs", "MACs", right=True),
    Heading("off", "difference", right=True),
    Heading("seconds", "time", right=True),
    Heading("times", "÷ ours", right=True),
)
CSV_HEAD = ("witness", "version", "status", "item", "subject", "times", "params", "macs", "seconds", "reason")
STATUS = {"crashed": "crashed", "unable": "cannot", "missing": "missing"}


def sheet(check: CrossCheck) -> Sheet:
    """One line for us and for every witness; the differences as notes."""
    return Sheet(
        head=head(check.report),
        headings=HEADINGS,
        rows=(ours(check), *(theirs(account, check) for account in check.accounts)),
        foot=(*versions(check), *(unpriced(check.report) if check.report.total.partial or check.report.broken else ())),
        notes=tuple(notes(check)),
    )


def ours(check: CrossCheck) -> tuple[str, ...]:
    total = check.report.total
    name = f"archscope  {FAILS}" if check.report.broken else "archscope"
    return name, units.count(total.params), known(total.known, total) or "0", "", units.duration(check.seconds), ""


def theirs(account: Account, check: CrossCheck) -> tuple[str, ...]:
    own = account.statement
    if own.status != "counted":
        return label(own), "", "", STATUS[own.status], "", ""
    factor = account.times(check.seconds)
    seconds = "" if own.seconds is None else units.duration(own.seconds)
    times = "" if factor is None else units.times(factor)
    return label(own), count(own.params), count(own.macs), off(account.macs_off), seconds, times


def label(statement: Statement) -> str:
    """A second run of one witness stands indented below its first."""
    name, _, run = statement.witness.partition(", ")
    return f"  {run}" if run else name


def count(figure: int | None) -> str:
    return "" if figure is None else units.count(figure)


def off(amount: int | None) -> str:
    return "" if amount is None else units.more(amount) if amount else "="


def versions(check: CrossCheck) -> Iterator[str]:
    for own in (account.statement for account in check.accounts):
        if own.version and ", " not in own.witness:
            of = "" if own.package == own.witness else f"of {own.package} "
            yield f"{own.witness} {of}{own.version}"


# ------------------------------------------------------------ what differs, and why
def notes(check: CrossCheck) -> Iterator[str]:
    if check.report.broken:
        yield "fails: a net that does not run, so there is nothing to hold against each other"
    yield "all ran without gradients, one after another; FlopCounterMode counts FLOPs, here they are halved"
    if check.report.trace.mode == "train":
        yield "train: in training mode; all count the forward pass, the backward pass is counted by none of them"
    if any(", unfused" in account.statement.witness for account in check.accounts):
        yield "unfused: once more, with attention, recurrent layers and fast paths taken apart into plain products"
    yield from check.report.trace.notes
    for account in check.accounts:
        yield from accounted(account)


def accounted(account: Account) -> Iterator[str]:
    own = account.statement
    if own.status != "counted":
        yield from ("", refused(own))
        return
    for quantity, differences, rest in parts(account):
        amounts = [units.more(difference.amount) for difference in differences] + [units.more(rest)] * bool(rest)
        sentences = [difference.sentence for difference in differences] + ["unexplained"] * bool(rest)
        if amounts:
            yield from ("", f"{own.witness}, {quantity}:")
        width = max(map(len, amounts), default=0)
        yield from (f"  {amount:>{width}}  {text}" for amount, text in zip(amounts, sentences, strict=True))


def refused(statement: Statement) -> str:
    if statement.status == "missing":
        return f"{statement.witness} is not installed: {statement.help}"
    return f"{statement.witness} crashed: {statement.error}" if statement.status == "crashed" else statement.error


def parts(account: Account) -> Iterator[tuple[str, Sequence[Difference], int]]:
    """MACs and parameters: what differs, and the rest that no line names."""
    for quantity, differences, rest in (
        ("MACs", account.macs, account.unplaced),
        ("parameters", account.params, account.params_unplaced),
    ):
        yield quantity, differences, rest or 0


# ------------------------------------------------------------ for programs
def csv(check: CrossCheck) -> str:
    """One line for every total and difference; the differences of a witness sum to its total less ours."""
    return table([CSV_HEAD, *lines(check)])


def lines(check: CrossCheck) -> Iterator[Sequence[object]]:
    total = check.report.total
    status = FAILS if check.report.broken else "counted"
    found = "; ".join(map(in_short, check.report.findings)) or None
    yield "archscope", None, status, "total", None, None, total.params, total.macs, check.seconds, found
    for account in check.accounts:
        own = account.statement
        who = own.witness, own.version or None, own.status
        yield *who, "total", None, None, own.params, own.macs, own.seconds, own.error or None
        for one in account.params:
            yield *who, one.cause, one.subject, one.times or None, one.amount, None, None, one.sentence
        for one in account.macs:
            yield *who, one.cause, one.subject, one.times or None, None, one.amount, None, one.sentence
