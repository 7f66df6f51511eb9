"""Rules: their codes, levels, families and descriptions; a lint rule is a function from a LintContext to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from archscope.checks.lint.lint_context import LintContext
from archscope.report import Finding


@dataclass(frozen=True)
class Rule:
    """One rule. level: the default level of its findings: `error`, `warning` or `note`.

    family: `spec`, `conflict`, `expectation`, `budget` or `lint`.
    """

    code: str
    level: str
    family: str
    summary: str


LintFunction = Callable[[LintContext], Iterable[Finding]]


@dataclass(frozen=True)
class LintRule:
    """A lint function and the rules of its findings. A call yields the findings; those without a level get the default
    level of their rule."""

    rules: tuple[Rule, ...]
    find: LintFunction

    def __call__(self, context: LintContext) -> Iterator[Finding]:
        levels = {rule.code: rule.level for rule in self.rules}
        for finding in self.find(context):
            yield finding if finding.level else replace(finding, level=levels[finding.rule])


def lint_rule(code: str, level: str, summary: str, *, family: str = "lint") -> Callable[[LintFunction], LintRule]:
    """Return a decorator that declares a rule of a lint function. A function with findings of several rules has one
    for each. `checks/lint/__init__.py` finds all of them; each rule has a page in `docs/rules`."""

    def declare(function: LintFunction) -> LintRule:
        known = function if isinstance(function, LintRule) else LintRule((), function)
        return replace(known, rules=(Rule(code, level, family, summary), *known.rules))

    return declare
