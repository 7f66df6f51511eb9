"""Findings → text: place, level and rule, the fact, what lays it out, the cure, and the fixes with their prices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from archscope import units
from archscope.report import Checked, Finding, Fix


def text(findings: Iterable[Finding], *, target: str = "") -> str:
    """Every finding as it is printed; one without a place stands under its target."""
    return "".join(f"{line}\n" for finding in findings for line in lines(finding, target))


def lines(finding: Finding, target: str) -> Iterator[str]:
    place = str(finding.place) if finding.place else ": ".join(filter(None, [target, finding.path]))
    where = f" at {finding.path}" if finding.place and finding.path else ""
    yield f"{place}: {finding.level} {finding.rule}{where}: {finding.message}".removeprefix(": ")
    yield from (f"    {detail}" for detail in finding.details)
    if finding.help:
        yield f"  help: {finding.help}"
    for number, fix in enumerate(finding.fixes, start=1):
        yield from fixed(number, fix)


def fixed(number: int, fix: Fix) -> Iterator[str]:
    prices = ((fix.params, units.count, "parameters"), (fix.macs, units.human, "MACs"))
    known = ", ".join(f"{'+' * (cost >= 0)}{write(cost)} {unit}" for cost, write, unit in prices if cost is not None)
    yield f"  fix {number}{', checked' * fix.checked}{f' ({known})' if known else ''}: {fix.description}"
    yield from (f"    {line}" for line in fix.edit.splitlines())


def report(checked: Sequence[Checked]) -> str:
    """What `check` prints: the findings of each target, then how many there are of what."""
    named = len(checked) > 1
    found = "".join(
        (f"{item.target}\n" if named and item.findings else "") + text(item.findings, target=item.target)
        for item in checked
    )
    return found + summary(checked) + "\n"


def summary(checked: Sequence[Checked]) -> str:
    """`1 error in net.yaml`, `no problems in 12 targets`."""
    levels = [finding.level for item in checked for finding in item.findings]
    counted = [plural(levels.count(level), level) for level in ("error", "warning") if level in levels]
    where = checked[0].target if len(checked) == 1 else plural(len(checked), "target")
    return f"{' and '.join(counted) or 'no problems'} in {where}"


def plural(number: int, noun: str) -> str:
    return f"{units.count(number)} {noun}{'s' * (number != 1)}"
