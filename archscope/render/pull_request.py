"""What `check` found out, as Markdown for a pull request: verdict, a table of the targets, then every finding.

[Checked] → headline · target | parameters | MACs | against the baseline | verdict · findings with fenced layouts
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from archscope import units
from archscope.errors import one_line
from archscope.render.findings import (
    changed,
    changes_elsewhere,
    conjoined,
    counts,
    hidden,
    listed,
    step,
    summary,
    title,
)
from archscope.render.folding import Told, told
from archscope.render.markdown import escaped, fenced, longest_run, paragraphs
from archscope.report import Checked, Figures, Finding


def text(checked: Sequence[Checked], *, level: str = "warning") -> str:
    """The whole comment. The table shows changes where there is a baseline."""
    found = told(item.least(level) for item in checked)
    failed = any(finding.level == "error" for item in checked for finding in item.findings)
    verdict = f"**archscope check {'failed' if failed else 'passed'}**: {escaped(summary(checked, level=level))}"
    return paragraphs([verdict, table(checked), *map(told_once, found), *hidden(checked, level)])


# ------------------------------------------------------------ the table
def table(checked: Sequence[Checked]) -> str:
    """One row for each target that ran or has findings."""
    against = any(item.before for item in checked)
    rows = [row(item, against=against) for item in checked if item.report or item.findings]
    change = ["±"] * against
    headers = ["target", "parameters", *change, "MACs", *change, "verdict"]
    sides = ["left", *["right"] * (len(headers) - 2), "left"]
    return tabulate(rows, headers=headers, tablefmt="pipe", colalign=sides, disable_numparse=True) if rows else ""


def row(item: Checked, *, against: bool) -> list[str]:
    now = Figures(item.report.total.params, item.report.total.macs) if item.report else Figures(None, None)
    cells = [escaped(item.target), number(now.params), number(now.macs), verdict(item)]
    if against:
        cells.insert(2, changed_by(item, "params", now))
        cells.insert(4, changed_by(item, "macs", now))
    return cells


def changed_by(item: Checked, quantity: str, now: Figures) -> str:
    """Against the baseline; a target that it does not hold is new."""
    if item.report and not item.before:
        return "new"
    return units.change(getattr(item.before, quantity, None), getattr(now, quantity))


def number(count: int | None) -> str:
    return "?" if count is None else units.count(count)


def verdict(item: Checked) -> str:
    return conjoined(counts(told([item.least("warning")]))) or "ok"


# ------------------------------------------------------------ findings
def told_once(one: Told) -> str:
    """A list item: the headline, then the layout in a fence, where else, the way back, the cure and the fixes."""
    blocks = [
        head(one),
        fenced(map(one_line, one.finding.details)),
        *map(escaped, elsewhere(one)),
        *way_back(one.finding),
    ]
    if one.finding.help:
        blocks.append(f"*help:* {escaped(one.finding.help)}")
    for at, fix in enumerate(one.finding.fixes, 1):
        blocks += [f"*{title(at, fix)}:* {escaped(fix.description)}", fenced(list(changed(fix)), language="diff")]
        blocks.append(escaped(changes_elsewhere(fix)))
    first, *rest = [block for block in blocks if block]
    return "\n\n".join([f"- {first}", *(indented(block) for block in rest)])


def head(one: Told) -> str:
    finding = one.finding
    place = str(finding.place) if finding.place else one.target
    cause = f" ({escaped(finding.cause)})" if finding.cause else ""
    where = f" at {code(finding.path)}" if finding.path else ""
    return f"**{finding.level}** {code(finding.rule)}{cause} in {code(place)}{where}: {escaped(finding.message)}"


def elsewhere(one: Told) -> Iterator[str]:
    for word, names in (("at", one.finding.also), ("in", one.elsewhere)):
        if names:
            yield f"also {word} {listed(names)}"


def way_back(finding: Finding) -> Iterator[str]:
    if finding.walk:
        yield "\n".join(f"{at}. {escaped(step(link, finding.place))}" for at, link in enumerate(finding.walk, 1))


def code(text: str) -> str:
    """As code, in more backticks than it holds in a row."""
    text = one_line(text)
    marks = "`" * (longest_run(text) + 1)
    gap = " " * (text.startswith("`") or text.endswith("`"))
    return f"{marks}{gap}{text}{gap}{marks}"


def indented(block: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in block.splitlines())
