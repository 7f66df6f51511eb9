"""Questions that people asked in public, rebuilt: the output of check compared with an expert's answer.

questions/, reports/ → the nets; expected → rule, line, facts that an answer must contain, words that would mislead
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from archscope.cli import cli
from tests.checks.questions.expected import QUESTIONS, Question
from tests.checks.reports_expected import REPORTS

FOLDER = Path(__file__).parent
OPEN: dict[str, str] = {}
"""Questions that are not answered in full, and what is lacking."""


def cases() -> Iterator[object]:
    for folder, questions in (("questions", QUESTIONS), ("reports", REPORTS)):
        for one in questions:
            lacks = [pytest.mark.xfail(reason=OPEN[one.file], strict=True)] if one.file in OPEN else []
            yield pytest.param(folder, one, id=f"{Path(one.file).stem}{one.target}", marks=lacks)


each = pytest.mark.parametrize(("folder", "question"), list(cases()))


def answer(folder: str, question: Question, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the output of check, on one line."""
    monkeypatch.chdir(FOLDER / folder)
    target = f"{question.file}:{question.target}" if question.target else question.file
    given = [f"--arg={one}" for one in question.args] + [f"--input={one}" for one in question.inputs]
    result = CliRunner().invoke(cli, ["check", target, *given])
    assert result.exit_code == (0 if question.rule == "silent-broadcast" else 1), result.output
    return " ".join(result.output.split())


def missing(question: Question, text: str) -> list[object]:
    """The facts that an answer lacks."""
    bare = text.replace(question.file, "")
    return [
        fact for fact in question.facts if not any(one in bare for one in ([fact] if isinstance(fact, str) else fact))
    ]


@each
def test_an_answer_says_what_an_expert_says(folder: str, question: Question, monkeypatch: pytest.MonkeyPatch) -> None:
    text = answer(folder, question, monkeypatch)
    first = re.match(rf"\S+?: (?:error|warning) {question.rule}\b", text)
    assert first, text[:200]
    assert f"{question.file}:{question.line}:" in text
    assert missing(question, text) == []
    assert [words for words in question.never if words in text] == []
