"""The pages of the rules: one for each rule, each with the rule's own words, an example that shows it, and its help."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archscope.checks.lint.lint_rule import Rule
from archscope.checks.rules import RULES
from archscope.conflicts.causes import CAUSE_CLASSES
from tests.docs.pages import ROOT, blocks, prose

FOLDER = ROOT / "docs" / "rules"
CAUSES = (*CAUSE_CLASSES, "broadcast")
HEADINGS = ["Why", "How to fix it", "When it is meant"]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)


def page_of(rule: Rule) -> Path:
    return FOLDER / f"{rule.code}.md"


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == {"README", *(rule.code for rule in RULES)}


def test_every_cause_has_a_page_that_shows_it_and_a_line_of_the_index() -> None:
    folder = FOLDER / "causes"
    assert {path.stem for path in folder.iterdir()} == {"README", *CAUSES}
    index = (folder / "README.md").read_text(encoding="utf-8")
    for cause in CAUSES:
        text = (folder / f"{cause}.md").read_text(encoding="utf-8")
        says = re.search(rf"^# {cause}\n\ncause · (.+)\n", text)
        assert says
        assert f"| [`{cause}`]({cause}.md) | {says[1]} |" in index
        assert re.search(rf": (?:error|warning) [a-z-]+ \({cause}\)", text)
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Why", "How to fix it"]


@each_rule
def test_a_page_says_what_the_rule_says(rule: Rule) -> None:
    text = page_of(rule).read_text(encoding="utf-8")
    assert text.startswith(f"# {rule.code}\n\n{rule.level} · {rule.family} · {rule.summary}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert rule.family == "spec" or f"--ignore {rule.code}" in " ".join(prose(text).split())


@each_rule
def test_a_page_shows_the_finding(rule: Rule) -> None:
    """That it is what the commands print is a test of all pages."""
    shown = [block.text for block in blocks(page_of(rule)) if block.language == "console"]
    assert any(re.search(rf": (?:error|warning|note) {rule.code}\b", text) for text in shown)


def test_the_index_is_the_table_of_rules() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`(.+?)`\]\((.+?)\.md\) \| (\w+) \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(rule.code, rule.code, rule.level, rule.summary) for rule in RULES]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(dict.fromkeys(rule.family for rule in RULES))
