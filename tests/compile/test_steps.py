"""Steps: every way of writing one, the modifiers, the forms that branch (language, 2)."""

from __future__ import annotations

import pytest
import torch

from archscope.compile.plan import BlockPlan
from archscope.trace import Location
from tests.compile.written import example, net, paths, plan, refused, run, same, shape_of, steps, weights

IMAGE = example((2, 4, 8, 8))


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("ReLU", (1, 4, 8, 8)),
        ("Conv2d(6, 3, padding=1)", (1, 6, 8, 8)),
        ("flatten(1)", (1, 256)),
        ("relu", (1, 4, 8, 8)),
        ("permute(0, 2, 3, 1)", (1, 8, 8, 4)),
        ("x + prev", (1, 4, 8, 8)),
        ("0.5 * (x + relu(x))", (1, 4, 8, 8)),
        ("cat([x, x], dim=1)", (1, 8, 8, 8)),
        ("Conv2d(6, 1)(x)", (1, 6, 8, 8)),
        ("Conv2d(6, 1)(relu(prev)) + 1", (1, 6, 8, 8)),
        ("prev[:, 0]", (1, 8, 8)),
        ("prev[0, ..., 1:3]", (4, 8, 2)),
        ("prev[:, None]", (1, 1, 4, 8, 8)),
        ("prev.view(N, -1)", (1, 256)),
        ("prev.reshape(prev.shape[0], prev.size(1), -1)", (1, 4, 64)),
        ("prev.mean(dim=[2, 3])", (1, 4)),
        ("-prev ** 2", (1, 4, 8, 8)),
        ("prev @ prev.transpose(2, 3)", (1, 4, 8, 8)),
        ("max_pool2d(prev, 2)", (1, 4, 4, 4)),
        ("max_pool2d(2)", (1, 4, 4, 4)),
        ("conv1: Conv2d(6, 1)", (1, 6, 8, 8)),
        ("a, b: chunk(2, dim=1)\n  - a * b", (1, 2, 8, 8)),
        ("a, _: chunk(2, dim=1)", (1, 2, 8, 8)),
        ("_, a: chunk(2, dim=1)\n  - flatten(1)", (1, 128)),
        ("a, b, c, d: prev.unbind(1)\n  - stack([d, a], dim=1)", (1, 2, 8, 8)),
        ("[Conv2d(6), Flatten]", None),
        ("stem:\n      - ReLU\n      - Flatten", (1, 256)),
        ("- ReLU\n    - Flatten", (1, 256)),
        ("do: Flatten", (1, 256)),
        ("do:\n      - ReLU\n      - Flatten", (1, 256)),
    ],
)
def test_a_step_can_be_written_so(line: str, shape: tuple[int, ...] | None) -> None:
    if shape is None:
        assert refused(steps(line)) == ["3:6: Conv2d needs kernel_size"]
    else:
        assert shape_of(steps(line)) == shape


LONG_FORMS = [
    ("Conv2d: {out_channels: 6, kernel_size: 3, stride: 2, bias: false}", "Conv2d(6, 3, stride=2, bias=False)"),
    ("Conv2d: [6, 3, stride: 2, bias: false]", "Conv2d(6, 3, stride=2, bias=False)"),
    ("Conv2d: [4, 6, 3]", "Conv2d(4, 6, 3)"),
    ("Linear: 10", "Linear(10)"),
    (
        "Conv2d:\n      out_channels: 6\n      kernel_size: 3   # why\n      padding: same",
        "Conv2d(6, 3, padding='same')",
    ),
    ("Conv2d: {out_channels: 2 * width, kernel_size: '(3, 1)'}", "Conv2d(2 * width, (3, 1))"),
    ("Conv2d: {out_channels: 6, kernel_size: [3, 1]}", "Conv2d(6, (3, 1))"),
    ("Conv2d: {out_channels: 6, kernel_size: 1, padding_mode: circular}", "Conv2d(6, 1, padding_mode='circular')"),
    ("ReLU:", "ReLU"),
    ("ReLU: {inplace: true}", "ReLU(True)"),
]


@pytest.mark.parametrize(("long", "short"), LONG_FORMS)
def test_the_long_form_is_the_same_layer(long: str, short: str) -> None:
    head = "params: {width: 3}\n"
    written, plain = steps(long, head=head), steps(short, head=head)
    assert [m for _, m in plan(written).block.walk()] == [m for _, m in plan(plain).block.walk()]
    same(run(written, IMAGE.clone()), run(plain, IMAGE.clone()))


def test_the_long_form_may_be_labelled_and_name_a_block() -> None:
    spec = """
input: [N, 4, 8, 8]
blocks:
  Down(out, act=ReLU):
    - Conv2d(out, 3)
    - act
layers:
  - first:
      Conv2d:
        out_channels: 6
        kernel_size: 3
  - Down: {out: 5, act: GELU}
  - Down: 3
"""
    assert shape_of(spec) == (1, 3, 2, 2)
    assert [name for name in weights(spec) if name.endswith("weight")] == ["first.weight", "1.0.weight", "2.0.weight"]
    assert type(net(spec).get_submodule("1.1")) is torch.nn.GELU


@pytest.mark.parametrize(
    ("word", "message"),
    [("no", "bias takes true or false, not the word 'no'"), ("on", "bias takes true or false, not the word 'on'")],
)
def test_words_of_yaml_1_1_are_not_booleans(word: str, message: str) -> None:
    problems = refused(steps(f"Conv2d: {{out_channels: 6, kernel_size: 3, bias: {word}}}"))
    assert len(problems) == 1
    assert message in problems[0]


# Modifiers


@pytest.mark.parametrize(("deep", "shape"), [("true", (1, 6, 8, 8)), ("false", (1, 4, 8, 8))])
def test_when_builds_the_step_or_passes_prev_on(deep: str, shape: tuple[int, ...]) -> None:
    spec = f"input: [N, 4, 8, 8]\nparams: {{deep: {deep}}}\nlayers:\n  - do: Conv2d(6, 1)\n    when: deep\n  - ReLU\n"
    assert shape_of(spec) == shape
    assert len(weights(spec)) == (2 if deep == "true" else 0)


@pytest.mark.parametrize(("kind", "expected"), [("'a'", 5), ("'b'", 7)])
def test_else_is_built_where_when_is_false(kind: str, expected: int) -> None:
    spec = f"""
input: [N, 4, 8, 8]
params: {{kind: {kind}}}
layers:
  - y: Conv2d(5, 1)
    when: kind == 'a'
    else:
      - Conv2d(6, 1)
      - Conv2d(7, 1)
  - y
"""
    assert shape_of(spec) == (1, expected, 8, 8)


def test_repeat_chains_copies_with_their_own_weights() -> None:
    spec = "input: [N, 4]\nlayers:\n  - body: Linear(4)\n    repeat: 3\n"
    assert list(weights(spec)) == [f"body.{i}.{name}" for i in range(3) for name in ("weight", "bias")]
    built, x = net(spec), example((2, 4))
    first, second, third = (built.get_submodule(f"body.{i}") for i in range(3))
    assert not torch.equal(first.weight, second.weight)
    same(built(x), third(second(first(x))))


def test_repeat_knows_its_turn() -> None:
    spec = """
input: [N, 4]
layers:
  - do: Linear(10 + i if not last else 3, bias=first)
    repeat: 4
"""
    assert {k: v[0] for k, v in weights(spec).items()} == {
        "0.0.weight": 10, "0.0.bias": 10, "0.1.weight": 11, "0.2.weight": 12, "0.3.weight": 3,
    }  # fmt: skip


@pytest.mark.parametrize("count", ["0", "depth - depth", "len([])"])
def test_repeat_zero_times_passes_prev_on(count: str) -> None:
    spec = f"input: [N, 4]\nparams: {{depth: 2}}\nlayers:\n  - do: Linear(9)\n    repeat: {count}\n  - ReLU\n"
    assert shape_of(spec) == (1, 4)


@pytest.mark.parametrize(
    ("loop", "body", "widths"),
    [
        ("for: c\n    in: [5, 6, 7]", "Linear(c)", [5, 6, 7]),
        ("for: c\n    in: widths", "Linear(c)", [8, 9]),
        ("for: c\n    in: range(5, 8)", "Linear(c)", [5, 6, 7]),
        ("for: c\n    in: range(3)", "Linear(c + i + 1)", [1, 3, 5]),
        ("for: c\n    in: reversed(widths)", "Linear(c)", [9, 8]),
        ("for: [c, d]\n    in: zip(widths, [1, 2])", "Linear(c * d)", [8, 18]),
        ("for: [n, c]\n    in: enumerate(widths)", "Linear(c + n)", [8, 10]),
        ("for: [c, flag]\n    in:\n      - [3, true]\n      - [4, false]", "Linear(c if flag else 2 * c)", [3, 8]),
        ("for: row\n    in: [[2, 3], [4, 5]]", "Linear(row[0] * row[1])", [6, 20]),
        ("for: c\n    in: range(2, 7, 2)", "Linear(c)", [2, 4, 6]),
        ("for: c\n    in: widths", "Linear(c if first else 2 if last else 1)", [8, 2]),
    ],
)
def test_for_chains_over_a_list_or_table(loop: str, body: str, widths: list[int]) -> None:
    spec = f"input: [N, 4]\nparams: {{widths: [8, 9]}}\nlayers:\n  - {loop}\n    do: {body}\n"
    assert [shape[0] for name, shape in weights(spec).items() if name.endswith("weight")] == widths


def test_a_papers_table_with_a_nested_repeat() -> None:
    spec = """
input: [N, 4, 16, 16]
layers:
  - for: [expand, channels, repeats, stride]
    in:
      - [1, 8, 1, 1]
      - [6, 12, 2, 2]
    do:
      - do: Conv2d(channels * expand, 3, padding=1, stride=stride if first else 1)
        repeat: repeats
"""
    assert shape_of(spec) == (1, 72, 8, 8)
    assert paths(spec) == ["0.0.0.0", "0.1.0.0", "0.1.0.1"]


def test_collect_is_the_list_of_every_turns_output() -> None:
    spec = """
input: [N, 4]
layers:
  - turns: Linear(4)
    repeat: 3
    collect: ys
  - cat([x, *ys], dim=1)
"""
    built, x = net(spec), example((2, 4))
    ys = [x]
    for i in range(3):
        ys.append(built.get_submodule(f"turns.{i}")(ys[-1]))
    same(built(x), torch.cat(ys, dim=1))


def test_from_starts_from_a_named_value() -> None:
    spec = """
input: [N, 4]
layers:
  - a: Linear(5)
  - b: Linear(7)
  - c: [ReLU, Linear(3)]
    from: a
  - do: Linear(2)
    repeat: 2
    from: cat([b, c], dim=1)
"""
    assert {k: v for k, v in weights(spec).items() if k.endswith("weight")} == {
        "a.weight": (5, 4), "b.weight": (7, 5), "c.1.weight": (3, 5), "3.0.weight": (2, 10), "3.1.weight": (2, 2),
    }  # fmt: skip


def test_notes_change_nothing() -> None:
    noted = "input: [N, 4]\nlayers:\n  - do: Linear(3)\n    note: the head of the net\n"
    same(run(noted), run("input: [N, 4]\nlayers:\n  - Linear(3)\n"))


# Forms that branch

A, B = "Conv2d(4, 1)", "Tanh"


def branches(form: str, *, named: bool, dim: str = "") -> str:
    keys = ("first: ", "second: ") if named else ("- ", "- ")
    text = f"input: [N, 4, 8, 8]\nlayers:\n  - {form}:\n      {keys[0]}{A}\n      {keys[1]}{B}\n"
    return text + (f"    dim: {dim}\n" if dim else "")


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    ("form", "dim", "reference"),
    [
        ("concat", "", lambda a, b: torch.cat([a, b], dim=1)),
        ("concat", "-1", lambda a, b: torch.cat([a, b], dim=-1)),
        ("concat", "1 + 1", lambda a, b: torch.cat([a, b], dim=2)),
        ("add", "", lambda a, b: a + b),
        ("multiply", "", lambda a, b: a * b),
        ("stack", "", lambda a, b: torch.stack([a, b], dim=0)),
        ("stack", "2", lambda a, b: torch.stack([a, b], dim=2)),
    ],
)
def test_each_branch_gets_the_same_prev(form, dim, reference, named) -> None:  # type: ignore[no-untyped-def]
    spec = branches(form, named=named, dim=dim)
    built = net(spec)
    conv = built.get_submodule("first" if named else "0.0")
    same(built(IMAGE), reference(conv(IMAGE), torch.tanh(IMAGE)))


def test_branches_may_be_lists_and_multiply_broadcasts() -> None:
    spec = """
input: [N, 4, 8, 8]
layers:
  - multiply:
      gate:
        - AdaptiveAvgPool2d(1)
        - Conv2d(4, 1)
        - Sigmoid
      value: []
"""
    built = net(spec)
    gate = torch.sigmoid(built.get_submodule("gate.1")(IMAGE.mean((2, 3), keepdim=True)))
    assert torch.allclose(built(IMAGE), gate * IMAGE)


@pytest.mark.parametrize(
    ("body", "reference"),
    [
        ("Tanh", lambda x: torch.tanh(x) + x),
        ("\n      - Tanh\n      - ReLU", lambda x: torch.relu(torch.tanh(x)) + x),
        ("\n      main: Tanh\n      shortcut: Sigmoid", lambda x: torch.tanh(x) + torch.sigmoid(x)),
        ("\n      main: Tanh\n      shortcut: []", lambda x: torch.tanh(x) + x),
        ("\n      main: Tanh", lambda x: torch.tanh(x) + x),
        ("\n      main: Tanh\n      when: 1 > 2", torch.tanh),
        ("\n      main: Tanh\n      when: 1 < 2", lambda x: torch.tanh(x) + x),
        (
            "\n      main: Tanh\n      shortcut:\n        - when: False\n          do: Sigmoid",
            lambda x: torch.tanh(x) + x,
        ),
        (
            "\n      main: Tanh\n      shortcut:\n        - when: True\n          do: Sigmoid",
            lambda x: torch.tanh(x) + torch.sigmoid(x),
        ),
    ],
)
def test_residual(body, reference) -> None:  # type: ignore[no-untyped-def]
    same(run(f"input: [N, 4, 8, 8]\nlayers:\n  - residual: {body}\n", IMAGE), reference(IMAGE))


@pytest.mark.parametrize("form", ["residual: Conv2d(1, 1)", "add:\n      - Conv2d(1, 1)\n      - Tanh"])
def test_residual_and_add_refuse_to_broadcast(form: str) -> None:
    (problem,) = refused(f"input: [N, 4, 8, 8]\nlayers:\n  - {form}\n")
    assert "shapes do not match" in problem
    assert run("input: [N, 4, 8, 8]\nlayers:\n  - Conv2d(1, 1)(prev) + x\n").shape == (1, 4, 8, 8)


# The application rule


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("Linear(8)(flatten(1))", "without a tensor"),
        ("x + relu", "relu"),
        ("x + Conv2d(4, 1)", "Conv2d"),
        ("cat([x, Conv2d(4, 1)])", "Conv2d"),
        ("relu(Conv2d(4, 1))", "Conv2d"),
    ],
)
def test_inside_an_expression_nothing_is_implicit(line: str, part: str) -> None:
    (problem,) = refused(steps(line))
    assert part in problem


def test_a_call_with_a_tensor_is_not_applied_again() -> None:
    same(run(steps("Tanh", "relu(x)"), IMAGE), torch.relu(IMAGE))
    same(run(steps("Tanh", "relu"), IMAGE), torch.relu(torch.tanh(IMAGE)))


# ------------------------------------------------------------ what stands beside the steps
BESIDE = """
input: [N, 4, 8]
modules: {ones: "full([8], 1.0)"}
layers:
  - side: Linear(8)
    from: Linear(8)(x) * ones
  - h: tanh(prev + t)
    for: t
    in: x.unbind(1)
    from: zeros(N, 8)
return: {y: prev, z: Linear(4)(side)}
"""


def sites_of(block: BlockPlan) -> list[Location]:
    found = [node.meta.get("step") or node.meta.get("site") for node in block.graph.nodes]
    return [site for site in found if site is not None]


def test_what_from_in_and_return_compute_has_a_path() -> None:
    planned = plan(BESIDE)
    loop = next(node.meta["loop"] for node in planned.block.graph.nodes if "loop" in node.meta)
    assert (loop.path, loop.turns) == ("h", 4)
    assert {site.name for site in sites_of(loop.turn)} == {"tanh(prev + t)"}
    found = {site.path: f"{site.name} {site.text}".rstrip() for site in sites_of(planned.block)}
    assert found == {
        "ones": "full([8], 1.0)",
        "side.from": "Linear(8)(x) * ones",
        "side": "Linear 8",
        "h.from": "zeros(N, 8)",
        "h.in": "x.unbind(1)",
        "return": "Linear 4",
    }
    assert list(planned.block.members) == ["side_from", "side", "return_"]


def test_a_net_with_layers_beside_its_steps_is_built_and_runs() -> None:
    assert {name: tuple(value.shape) for name, value in run(BESIDE).items()} == {"y": (1, 8), "z": (1, 4, 4)}
