"""A hundred cases of the fuzzer; `make fuzz` runs a hundred thousand."""

from __future__ import annotations

from tests.fuzz.run import answers, cases, figures


def test_a_hundred_odd_specs_and_models_are_answered():
    found = list(answers(cases(100, 0)))
    fallen = [f"{answer.place}\n{answer.case.get('text', answer.case)}" for answer in found if answer.fell]
    assert not fallen, "\n\n".join(fallen)
    assert len(found) == 100
    assert "0 tracebacks, 0 without an answer" in figures(found)


def test_a_case_that_falls_is_told():
    (answer,) = answers([{"kind": "model"}])  # a case without its seed
    assert answer.fell
    assert "KeyError" in answer.place


def test_a_child_that_does_not_answer_is_ended_and_followed():
    sound = {"kind": "spec", "command": "check", "text": "input: [N, 4]\nlayers: [relu]\n"}
    slow = {"kind": "sleep", "seconds": 60}
    first, second = answers([slow, sound], limit=2)
    assert (first.code, second.code) == (-2, 0)
