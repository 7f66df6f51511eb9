"""Labels, paths and warnings: the names of steps and their scope (language, 5 and 9)."""

from __future__ import annotations

import pytest
import torch

from tests.compile.written import example, net, paths, plan, refused, run, same, shape_of, steps, weights

IMAGE = example((2, 4, 8, 8))


def test_labels_are_visible_to_later_steps_and_nested_lists() -> None:
    spec = """
input: [N, 4]
layers:
  - a: Linear(4)
  - group:
      - b: Linear(4)
      - residual:
          - a + b
  - a + group.b
"""
    built, x = net(spec), example((2, 4))
    a = built.get_submodule("a")(x)
    same(built(x), a + built.get_submodule("group.b")(a))


def test_branches_are_groups() -> None:
    spec = """
input: [N, 4, 8, 8]
layers:
  - incep:
      concat:
        left: Conv2d(2, 1)
        right: [ReLU]
  - incep.left
"""
    built = net(spec)
    same(built(IMAGE), built.get_submodule("incep.left")(IMAGE))


def test_inner_labels_end_with_their_list() -> None:
    (problem,) = refused(steps("stem:\n      - inside_it: ReLU\n      - Tanh", "prev + inside_it"))
    assert problem.startswith("6:12: ")
    assert "'inside_it'" in problem


def test_a_label_hides_an_outer_one_in_its_own_list_only() -> None:
    spec = steps("a: relu", "group:\n      - a: tanh\n      - a", "a")
    same(run(spec, IMAGE), torch.relu(IMAGE))


def test_nested_targets_take_a_nested_result_apart() -> None:
    spec = """
input: [N, 5, 4]
layers:
  - out, (h, c): LSTM(hidden_size=6, batch_first=True)
  - cat([out[:, -1], h[0], c[0]], dim=1)
"""
    built, x = net(spec), example((2, 5, 4))
    out, (h, c) = built.get_submodule("out")(x)
    same(built(x), torch.cat([out[:, -1], h[0], c[0]], dim=1))


def test_prev_is_the_one_value_that_is_kept_else_undefined() -> None:
    assert shape_of(steps("out, _: LSTM(hidden_size=6, batch_first=True)", "Linear(3)", shape="N, 5, 4")) == (1, 5, 3)
    (problem,) = refused(steps("a, b: chunk(2, dim=1)", "ReLU"))
    assert "prev is not one value" in problem
    assert shape_of(steps("a, b: chunk(2, dim=1)", "a")) == (1, 2, 8, 8)


@pytest.mark.parametrize(
    "name", ["type", "forward", "train", "state_dict", "body", "out", "parameters", "half", "code"]
)
def test_a_label_may_be_called_as_modules_call_their_own(name: str) -> None:
    spec = f"input: [N, 4]\nlayers:\n  - {name}: Linear(5)\n  - Linear(3)({name})\n"
    built = net(spec)
    assert built(example((2, 4))).shape == (2, 3)
    assert paths(spec)[0].removesuffix("_") == name
    assert callable(built.state_dict)
    assert built.train() is built
    assert len(list(built.parameters())) == 4


def test_a_left_out_label_says_so() -> None:
    spec = "input: [N, 4]\nlayers:\n  - side: Linear(4)\n    when: False\n  - x + side\n"
    assert refused(spec) == ["5:9: step 'side' was left out"]


# Paths

PATHS = {
    "unlabelled steps by position": (steps("Linear(3)", "ReLU", "Linear(2)", shape="N, 4"), ["0", "1", "2"]),
    "labels": (steps("a: Linear(3)", "ReLU", shape="N, 4"), ["a", "1"]),
    "groups": (steps("stem:\n      - Linear(3)\n      - act: ReLU", shape="N, 4"), ["stem.0", "stem.act"]),
    "repeats by turn": ("input: [N, 4]\nlayers:\n  - a: Linear(4)\n    repeat: 2\n", ["a.0", "a.1"]),
    "unlabelled repeats": ("input: [N, 4]\nlayers:\n  - do: Linear(4)\n    repeat: 2\n", ["0.0", "0.1"]),
    "named branches": (
        "input: [N, 4]\nlayers:\n  - concat:\n      a: Linear(3)\n      b: [ReLU, Linear(2)]\n  - ReLU\n",
        ["a", "b.0", "b.1", "1"],
    ),
    "listed branches": ("input: [N, 4]\nlayers:\n  - concat: [Linear(3), ReLU]\n  - Tanh\n", ["0.0", "0.1", "1"]),
    "a labelled form": (
        "input: [N, 4]\nlayers:\n  - up:\n      concat:\n        a: Linear(3)\n        b: ReLU\n",
        ["up.a", "up.b"],
    ),
    "two residuals": (steps("residual: Linear(4)", "residual: Linear(4)", shape="N, 4"), ["0.main", "1.main"]),
    "a lone residual": (steps("residual: [Linear(4)]", "ReLU", shape="N, 4"), ["main", "1"]),
    "several layers in a line": (steps("y: Linear(2)(x) * Linear(2)(x)", shape="N, 4"), ["y.0", "y.1"]),
}


@pytest.mark.parametrize(("spec", "expected"), PATHS.values(), ids=PATHS)
def test_paths(spec: str, expected: list[str]) -> None:
    assert paths(spec) == expected
    built = net(spec)
    assert all(built.get_submodule(path) is not None for path in expected)


def test_a_path_through_a_block_a_repeat_and_a_residual() -> None:
    spec = """
input: [N, 4, 8, 8]
blocks:
  Basic():
    - residual:
        main:
          - Conv2d(4, 3, padding=1)
          - BatchNorm2d
          - ReLU
          - Conv2d(4, 3, padding=1)
    - ReLU
layers:
  - layer1: Basic
    repeat: 2
"""
    assert paths(spec)[:5] == ["layer1.0.main.0", "layer1.0.main.1", "layer1.0.main.2", "layer1.0.main.3", "layer1.0.1"]
    assert "layer1.1.main.3.weight" in weights(spec)


# Warnings


@pytest.mark.parametrize(
    ("spec", "rule", "line"),
    [
        (steps("a: Conv2d(4, 1)", "b: Conv2d(4, 1)(x)", "b + 1"), "unused-value", 3),
        ("input: [N, 4]\nmodules: {pool: ReLU}\nlayers:\n  - Linear(2)\n", "unused-module", 2),
        (steps("relu: Conv2d(4, 1)", "relu"), "hidden-function", 4),
        ("input: [N, 4]\nparams: {width: 3}\nlayers:\n  - Linear(2)\n", "unused-param", 2),
    ],
)
def test_warnings(spec: str, rule: str, line: int) -> None:
    assert [(name, problem.span.line) for name, problem in plan(spec).warnings] == [(rule, line)]


def test_a_correct_net_has_no_warnings() -> None:
    assert plan(steps("a: Conv2d(4, 1)", "b: ReLU", "a + b")).warnings == ()
