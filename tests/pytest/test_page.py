"""docs/pytest.md: its files are laid out, its commands are run, and print what the page says."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, agrees, blocks

PAGE = blocks(ROOT / "docs" / "pytest.md")
COMMANDS = [block for block in PAGE if block.text.startswith("$ pytest")]


@pytest.fixture(autouse=True)
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's project; short summaries are cut at the terminal's width, but not where `CI` is set."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    for block in PAGE:
        path = pytester.path / (block.file or "pyproject.toml")
        if block.file or block.language == "toml":
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    return pytester.path


@pytest.mark.moves_rng
@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: f"line {block.line}")
def test_pytest_prints_what_is_shown(pytester: pytest.Pytester, block: Block) -> None:
    command, _, said = block.text.rstrip().partition("\n")
    result = pytester.runpytest_inprocess(*shlex.split(command.removeprefix("$ pytest")))
    printed = "\n".join(line.rstrip() for line in result.outlines)
    assert agrees(said, printed), printed


@pytest.mark.moves_rng
def test_only_what_is_shown_as_wrong_fails(pytester: pytest.Pytester) -> None:
    assert len(COMMANDS) == 3
    assert pytester.runpytest_inprocess().parseoutcomes() == {"passed": 15, "failed": 1}
