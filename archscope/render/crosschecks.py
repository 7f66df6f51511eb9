"""Cross-checks as a Sheet or CSV: the figures of the reference counters below ours, then the differences with their
causes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope import units
from archscope.counters.differences import Account, CrossCheck
from archscope.counters.result import CounterResult
from archscope.render import html, table
from archscope.render.columns import known_count, short_finding
from archscope.render.json_csv import format_csv
from archscope.render.notebook_views import terminal_width, with_findings
from archscope.render.table_content import Heading, Sheet, head_phrases, unpriced_phrases
from archscope.report import FAILS, ReportViews

CROSS_CHECK_HEADINGS = (
    Heading("path", "counter"),
    Heading("params", "params", right=True),
    Heading("macs", "MACs", right=True),
    Heading("off", "difference", right=True),
    Heading("seconds", "time", right=True),
    Heading("times", "÷ ours", right=True),
)
CROSS_CHECK_CSV_HEAD = (
    "witness",
    "version",
    "status",
    "item",
    "subject",
    "times",
    "params",
    "macs",
    "seconds",
    "reason",
)
STATUS_WORDS = {"crashed": "crashed", "unable": "cannot", "missing": "missing"}


def cross_check_sheet(check: CrossCheck) -> Sheet:
    """Return one line for archscope and for every reference counter; the differences are notes."""
    return Sheet(
        head=head_phrases(check.report),
        headings=CROSS_CHECK_HEADINGS,
        rows=(archscope_row(check), *(counter_row(account, check) for account in check.accounts)),
        foot=(
            *counter_versions(check),
            *(unpriced_phrases(check.report) if check.report.total.partial or check.report.broken else ()),
        ),
        notes=tuple(cross_check_notes(check)),
    )


def archscope_row(check: CrossCheck) -> tuple[str, ...]:
    total = check.report.total
    name = f"archscope  {FAILS}" if check.report.broken else "archscope"
    return (
        name,
        units.format_count(total.params),
        known_count(total.known, total) or "0",
        "",
        units.format_duration(check.seconds),
        "",
    )


def counter_row(account: Account, check: CrossCheck) -> tuple[str, ...]:
    own = account.result
    if own.status != "counted":
        return counter_label(own), "", "", STATUS_WORDS[own.status], "", ""
    off, factor = account.macs_off, account.relative_time(check.seconds)
    difference = "" if off is None else units.format_signed_si(off) if off else "="
    seconds = "" if own.seconds is None else units.format_duration(own.seconds)
    times = "" if factor is None else units.format_factor(factor)
    return (
        counter_label(own),
        format_count(own.params),
        format_count(own.macs),
        difference,
        seconds,
        times,
    )


def counter_label(statement: CounterResult) -> str:
    """Return the name of a counter; a second run of one is indented."""
    name, _, run = statement.counter.partition(", ")
    return f"  {run}" if run else name


def format_count(figure: int | None) -> str:
    return "" if figure is None else units.format_count(figure)


def counter_versions(check: CrossCheck) -> Iterator[str]:
    for own in (account.result for account in check.accounts):
        if own.version and ", " not in own.counter:
            of = "" if own.package == own.counter else f"of {own.package} "
            yield f"{own.counter} {of}{own.version}"


# ------------------------------------------------------------ what differs, and why
def cross_check_notes(check: CrossCheck) -> Iterator[str]:
    if check.report.broken:
        yield "fails: a net that does not run, so there is nothing to compare"
    yield "all ran without gradients, one after another; FlopCounterMode counts FLOPs, here they are halved"
    if check.report.trace.mode == "train":
        yield "train: in training mode; all count the forward pass, the backward pass is counted by none of them"
    if any(", unfused" in account.result.counter for account in check.accounts):
        yield "unfused: once more, with attention, recurrent layers and fast paths taken apart into plain products"
    yield from check.report.trace.notes
    for account in check.accounts:
        yield from account_notes(account)


def account_notes(account: Account) -> Iterator[str]:
    """Yield the differences of MACs and parameters, and their unexplained rest; or why nothing was counted."""
    own = account.result
    if own.status != "counted":
        yield ""
        if own.status == "missing":
            yield f"{own.counter} is not installed: {own.help}"
        else:
            yield f"{own.counter} crashed: {own.error}" if own.status == "crashed" else own.error
        return
    for quantity, differences, unattributed in (
        ("MACs", account.macs_differences, account.unattributed),
        ("parameters", account.params_differences, account.params_unattributed),
    ):
        rest = unattributed or 0
        amounts = [units.format_signed_si(difference.amount) for difference in differences] + [
            units.format_signed_si(rest)
        ] * bool(rest)
        sentences = [difference.sentence for difference in differences] + ["unexplained"] * bool(rest)
        if amounts:
            yield from ("", f"{own.counter}, {quantity}:")
        width = max(map(len, amounts), default=0)
        yield from (f"  {amount:>{width}}  {text}" for amount, text in zip(amounts, sentences, strict=True))


# ------------------------------------------------------------ for programs
def cross_check_csv(check: CrossCheck) -> str:
    """Return one line for every total and difference; the differences of a counter sum to its total minus ours."""
    return format_csv([CROSS_CHECK_CSV_HEAD, *cross_check_rows(check)])


def cross_check_rows(check: CrossCheck) -> Iterator[Sequence[object]]:
    total = check.report.total
    status = FAILS if check.report.broken else "counted"
    findings = "; ".join(map(short_finding, check.report.findings)) or None
    yield "archscope", None, status, "total", None, None, total.params, total.macs, check.seconds, findings
    for account in check.accounts:
        own = account.result
        who = own.counter, own.version or None, own.status
        yield *who, "total", None, None, own.params, own.macs, own.seconds, own.error or None
        for found in account.params_differences:
            yield *who, found.cause, found.subject, found.times or None, found.amount, None, None, found.sentence
        for found in account.macs_differences:
            yield *who, found.cause, found.subject, found.times or None, None, found.amount, None, found.sentence


def cross_check_text(check: CrossCheck) -> str:
    width = terminal_width()
    page = with_findings(cross_check_sheet(check), [check.report], level="error", width=width)
    return table.format_table(page, width=width).rstrip("\n")


def cross_check_html(check: CrossCheck) -> str:
    return html.format_html(with_findings(cross_check_sheet(check), [check.report], level="error"))


CROSS_CHECK_VIEWS = ReportViews(cross_check_text, cross_check_html)
