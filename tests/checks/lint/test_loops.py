"""Tests of dead code in loops: steps that no turn builds, and turns whose value the next one does not read."""

from __future__ import annotations

from pathlib import Path

import pytest

import archscope

PARAMS = "{n: 4, w: [8, 8, 4], on: true}"
TABLE = "for: [a, b], in: [[1, 2], [3, 4]]"


def found(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    """Return the rules and messages of all variants, errors too."""
    file = tmp_path / "net.yaml"
    file.write_text(text, encoding="utf-8")
    reported = [(one.rule, one.message) for checked in archscope.check(str(file)) for one in checked.findings]
    assert "spec" not in dict(reported), reported
    return reported


def loop(turns: str, step: str, params: str = PARAMS) -> str:
    steps = f"layers:\n  - {{{turns}, do: [relu, {{{step}}}]}}\n  - Linear(2)\n"
    return f"input: [N, 4]\nparams: {params}\n{steps}"


@pytest.mark.parametrize(
    ("turns", "condition", "dead"),
    [
        ("repeat: 4", "i == 4", True),
        ("repeat: 4", "i == 3", False),
        ("repeat: 4", "first and last", True),
        ("repeat: 1", "first and last", False),
        ("repeat: 4", "not first and i < 1", True),
        ("repeat: 4", "on and i == 9", False),  # a switch
        ("repeat: 4", "n > 4", False),
        ("repeat: n", "i == n", True),  # for every n
        ("repeat: n", "i == n - 1", False),
        ("repeat: n", "i == 4", False),  # with one turn more
        ("repeat: n", "i >= 100", False),
        ("repeat: n", "first and last", False),
        ("repeat: len(w)", "i == len(w)", True),
        ("repeat: 'w[0]'", "i == 100", False),
        ("for: k, in: '[8, 16]'", "k > 16", True),
        ("for: k, in: '[8, 16]'", "k > 8", False),
        ("for: k, in: w", "k > 16", False),
        ("for: k, in: w", "i >= len(w)", True),
        ("for: k, in: w", "i > 1", False),
        (TABLE, "a > b", True),
        (TABLE, "a > 1", False),
        ("for: [a, b], in: [[n, 2], [2 * n, 4]]", "a > 64", False),
    ],
)
def test_conditions_that_hold_in_no_turn(turns: str, condition: str, dead: bool, tmp_path: Path) -> None:
    reported = found(tmp_path, loop(turns, f"when: {condition}, do: Linear(4)"))
    expected = f"`when: {condition}` holds in no turn of its loop: the step is never built"
    assert [one for one in reported if one[0] == "never-built"] == [("never-built", expected)] * dead


@pytest.mark.parametrize(
    ("step", "dead"),
    [
        ("when: i < 4, do: Linear(4), else: tanh", True),
        ("when: i < 3, do: Linear(4), else: tanh", False),
        ("when: i < 4, do: Linear(4)", False),
        ("residual: {main: Linear(4), when: i > 4}", True),
        ("residual: {main: Linear(4), when: i > 0}", False),
    ],
)
def test_other_parts_that_no_turn_builds(step: str, dead: bool, tmp_path: Path) -> None:
    assert ("never-built" in {rule for rule, _ in found(tmp_path, loop("repeat: 4", step))}) == dead


NESTED = """\
input: [N, 4]
layers:
  - for: k
    in: [1, 2]
    do:
      - repeat: 2
        do:
          - relu
          - when: CONDITION
            do: Linear(4)
"""


@pytest.mark.parametrize(("condition", "dead"), [("i + k == 3", False), ("i + k == 4", True), ("k == 0", True)])
def test_the_turns_of_nested_loops(condition: str, dead: bool, tmp_path: Path) -> None:
    assert ("never-built" in {rule for rule, _ in found(tmp_path, NESTED.replace("CONDITION", condition))}) == dead


STAGES = """\
input: [N, 4]
blocks:
  Stage(depth):
    - repeat: depth
      do:
        - relu
        - when: CONDITION
          do: Linear(4)
layers: [Stage(1), Stage(1)]
"""


@pytest.mark.parametrize(("condition", "dead"), [("not first", False), ("i == 2", False), ("i == depth", True)])
def test_blocks_of_which_a_net_uses_a_part(condition: str, dead: bool, tmp_path: Path) -> None:
    assert ("never-built" in {rule for rule, _ in found(tmp_path, STAGES.replace("CONDITION", condition))}) == dead


def test_a_deep_loop_is_judged_once(tmp_path: Path) -> None:
    reported = found(tmp_path, loop("repeat: 500", "when: i == 500, do: Linear(4)"))
    assert [rule for rule, _ in reported] == ["unused-param"] * 3 + ["never-built"]


IGNORED = """\
input: [N, 4]
blocks:
  Body:
    inputs: [h, skip]
    layers:
      - Linear(4)(SOURCE)
      - relu
  Rows(count):
    inputs: [h, skip]
    layers:
      - h: Body()(prev, skip)
        repeat: count
layers:
  - s: tanh(x)
  - TURNS
"""


@pytest.mark.parametrize(
    ("turns", "source", "dead"),
    [
        ("{h: 'Body()(prev, s)', repeat: 3}", "skip", True),
        ("{h: 'Body()(prev, s)', repeat: 3}", "h", False),
        ("{h: 'Body()(prev, s)', repeat: 3}", "h + skip", False),
        ("{h: 'Body()(prev, s)', repeat: 1}", "skip", False),
        ("Rows(3)(x, s)", "skip", True),
        ("Rows(3)(x, s)", "h", False),
        ("stack(all, dim=1)", "skip", False),
    ],
)
def test_blocks_that_do_not_read_the_turn_before(turns: str, source: str, dead: bool, tmp_path: Path) -> None:
    text = IGNORED.replace("SOURCE", source)
    if turns.startswith("stack"):
        text = text.replace("TURNS", "{h: 'Body()(prev, s)', repeat: 3, collect: all}\n  - TURNS")
    reported = [message for rule, message in found(tmp_path, text.replace("TURNS", turns)) if rule == "unused-value"]
    assert [message[:48] for message in reported] == ["nothing uses this value in 2 of 3 turns: only th"] * dead


WAVES = """\
input: [N, 8, 16]
blocks:
  Wave:
    inputs: [x, total]
    layers:
      - gate: tanh(Conv1d(8, 3, padding=1)(x))
      - main: x + Conv1d(8, 1)(gate)
      - skips: total + Conv1d(8, 1)(gate)
    return: [main, skips]
layers:
  - start: Conv1d(8, 1)
  - h: Wave()(*prev)
    from: "[start, zeros(N, 8, 16)]"
    repeat: 3
  - _, t: prev
  - relu(t)
"""


ELMAN = """\
input: [N, 6, 4]
modules: {a: Linear(4), b: Linear(4)}
layers:
  - h: tanh(a(x[:, i]) + b(prev))
    from: zeros(N, 4)
    repeat: 6
"""
HEADS = """\
input: [N, 6, 4]
layers:
  - y: Linear(4)(x[:, i])
    repeat: 6
    collect: all
  - stack(all, dim=1)
"""


@pytest.mark.parametrize("text", [WAVES, ELMAN, HEADS], ids=["WaveNet", "Elman", "heads"])
def test_loops_of_known_nets(text: str, tmp_path: Path) -> None:
    assert found(tmp_path, text) == []


@pytest.mark.parametrize("body", ["Linear(4)(s)", "[Linear(4)(s), relu]", "[a: Linear(4)(s), b: relu(a), c: a + b]"])
def test_turns_that_start_from_another_value(body: str, tmp_path: Path) -> None:
    text = f"input: [N, 4]\nlayers:\n  - s: tanh(x)\n  - {{repeat: 3, do: {body}}}\n  - relu\n"
    assert [rule for rule, _ in found(tmp_path, text)] == ["unused-value"]
