"""Tests of selection: codes and families select and ignore; comments ignore findings of their line or file."""

from __future__ import annotations

import pytest

from archscope.checks.rules import RULES
from archscope.checks.selection import RULE_NAMES, Selection, apply_ignore_comments, find_comments
from archscope.errors import Span, UsageError
from archscope.report import Finding

ALL = [Finding(rule.code, rule.level, rule.summary) for rule in RULES]


def kept(*, select: tuple[str, ...] = (), ignore: tuple[str, ...] = ()) -> set[str]:
    selection = Selection.of(select, ignore)
    return {finding.rule for finding in ALL if selection.keeps(finding)}


def of_family(*families: str) -> set[str]:
    return {rule.code for rule in RULES if rule.family in families}


@pytest.mark.parametrize("name", RULE_NAMES)
def test_selecting_and_ignoring_divide_what_there_is(name: str) -> None:
    selected = kept(select=(name,))
    assert selected == {"spec"} | {rule.code for rule in RULES if name in (rule.code, rule.family)}
    if name != "spec":
        assert kept(ignore=(name,)) == {rule.code for rule in RULES} - (selected - {"spec"})


def test_selections_add_up_and_ignoring_goes_last() -> None:
    everything = {rule.code for rule in RULES}
    assert kept() == everything
    assert kept(select=("lint", "budget")) == of_family("spec", "lint", "budget")
    assert kept(select=("lint",), ignore=("dropped-pixels",)) == of_family("spec", "lint") - {"dropped-pixels"}
    assert kept(select=("softmax-inside",), ignore=("lint",)) == {"spec"}


@pytest.mark.parametrize(
    ("names", "message", "suggestion"),
    [
        (("residual-shapes",), "there is no rule 'residual-shapes'", "did you mean 'residual-shape'"),
        (("lnit",), "there is no rule 'lnit'", "did you mean 'lint'?"),
        (("%",), "there is no rule '%'", "families of rules: budget, conflict, expectation, lint, spec"),
    ],
)
def test_a_code_that_no_rule_has_is_refused(names: tuple[str, ...], message: str, suggestion: str) -> None:
    for select, ignore in ((names, ()), ((), names)):
        with pytest.raises(UsageError) as raised:
            Selection.of(select, ignore)
        assert (raised.value.message, raised.value.help[: len(suggestion)]) == (message, suggestion)


def test_mistakes_in_a_spec_cannot_be_ignored() -> None:
    with pytest.raises(UsageError, match="cannot be ignored"):
        Selection.of((), ("spec",))


# ------------------------------------------------------------ comments
SPEC = """\
input: [N, 3]
layers:
  - ReLU      # archscope: ignore[unused-value] it is meant
  # archscope: ignore[linear-linear, bias-before-norm]
  # about this layer
  - Linear(8)
  - Linear(8) # a remark # archscope:ignore[ lint ]

  - "a # archscope says nothing"
"""


def lines_kept(text: str, rule: str, *, file: str = "net.yaml") -> list[int]:
    """The lines at which a finding of this rule is kept; 0 is a finding without a place."""
    count = text.count("\n")
    found = [Finding(rule, "warning", "", place=Span(file, line, 3) if line else None) for line in range(count + 1)]
    left = apply_ignore_comments(found, {file: text}, file)
    return [finding.place.line if finding.place else 0 for finding in left if finding.rule == rule]


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        ("unused-value", [3, 7]),
        ("linear-linear", [6, 7]),
        ("bias-before-norm", [6, 7]),
        ("softmax-inside", [7]),
        ("residual-shape", []),
    ],
)
def test_a_comment_takes_its_line(rule: str, lines: list[int]) -> None:
    assert sorted({*range(SPEC.count("\n") + 1)} - {*lines_kept(SPEC, rule)}) == lines


@pytest.mark.parametrize("head", ["", "# a net\n\n", "---\n", "# a net\n---\n"])
def test_above_the_first_key_a_comment_takes_the_file(head: str) -> None:
    text = f"{head}# archscope: ignore[residual-shape]\n{SPEC}"
    assert lines_kept(text, "residual-shape") == []
    assert len(lines_kept(text, "add-shape")) == text.count("\n") + 1


def test_a_comment_speaks_of_its_own_file_only() -> None:
    at = Finding("add-shape", "error", "", place=Span("net.yaml", 1, 1))
    other = {"net.yaml": "input: [N]\n", "blocks.yaml": "# archscope: ignore[add-shape]\nblocks: {}\n"}
    assert apply_ignore_comments([at, Finding("add-shape", "error", "")], other, "net.yaml") == (
        at,
        Finding("add-shape", "error", ""),
    )


@pytest.mark.parametrize(
    ("comment", "fact", "help"),
    [
        ("ignore[linear-liner]", "there is no rule 'linear-liner' to ignore", "did you mean 'linear-linear'?"),
        ("ignore[lint, zz]", "there is no rule 'zz' to ignore", "families of rules: "),
        ("ignore[spec]", "mistakes in a spec cannot be ignored", "fix the spec"),
        ("ignore[]", "this comment names no rule to ignore", "# archscope: ignore[bias-before-norm]"),
        ("ignore", "this comment names no rule to ignore", "# archscope: ignore[bias-before-norm]"),
        ("skip[lint]", "this comment names no rule to ignore", "# archscope: ignore[bias-before-norm]"),
    ],
)
def test_a_comment_that_ignores_nothing_is_a_warning(comment: str, fact: str, help: str) -> None:
    (wrong,) = apply_ignore_comments(
        [], {"net.yaml": f"input: [N]\nlayers: [ReLU]  # archscope: {comment}\n"}, "net.yaml"
    )
    assert (wrong.rule, wrong.level, wrong.message) == ("unknown-rule", "warning", fact)
    assert (wrong.place, wrong.help[: len(help)]) == (Span("net.yaml", 2, 17), help)


def test_a_mistake_in_a_spec_is_kept_whatever_a_comment_says() -> None:
    fault = Finding("spec", "error", "", place=Span("net.yaml", 1, 1))
    assert apply_ignore_comments([fault], {"net.yaml": "input: [N]  # archscope: ignore[lint]\n"}, "net.yaml") == (
        fault,
    )


@pytest.mark.parametrize(
    "text", ["a: '#archscope: ignore[lint]'", "# other: ignore[lint]", "# archscope: see below", "# archscope ignore"]
)
def test_no_comment_is_none(text: str) -> None:
    assert list(find_comments(text + "\n", "net.yaml")) == []
