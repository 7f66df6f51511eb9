"""Tests of parsing, YAML text → Spec: every notation, and the dataclasses that it becomes."""

from __future__ import annotations

import pytest

from archscope.errors import SpecError
from archscope.spec import Spec, parse_text
from archscope.spec.spec_types import (
    Constant,
    Expression,
    For,
    Items,
    Join,
    Label,
    LayerCall,
    Repeat,
    Residual,
    Step,
    Table,
    Target,
    Word,
)


def net(layers: str, head: str = "input: [N, 8]") -> Spec:
    return parse_text(f"{head}\nlayers:\n{layers}\n", "net.yaml")


def only(layers: str) -> Step:
    spec = net(layers)
    assert spec.layers is not None
    (step,) = spec.layers
    return step


def shown(value: object) -> object:
    """Return data and targets as plain Python values, for comparison."""
    match value:
        case Expression() | Word():
            return value.text
        case Constant():
            return value.value
        case Items():
            return [shown(item) for item in value.items]
        case Table():
            return {key: shown(entry) for key, entry in value.entries}
        case Label():
            return value.name
        case tuple():
            return tuple(shown(part) for part in value)
        case None:
            return None
    raise AssertionError(value)


TARGETS: tuple[tuple[str, object], ...] = (
    ("conv1", "conv1"),
    ("q, k, v", ("q", "k", "v")),
    ("out, (h, c)", ("out", ("h", "c"))),
    ("(a, b)", ("a", "b")),
    ("att, _", ("att", "_")),
)


@pytest.mark.parametrize(("text", "target"), TARGETS, ids=[text for text, _ in TARGETS])
def test_targets(text: str, target: Target):
    assert shown(only(f"  - {text}: relu").target) == target


@pytest.mark.parametrize("text", ["ReLU", "relu", "Conv2d(8, 3)", "x + prev", "prev[:, 0]", "Up(8)(prev, x)"])
def test_a_step_of_one_line(text: str):
    step = only(f"  - {text}")
    assert shown(step.body) == text
    assert (step.span.line, step.span.column) == (3, 5)


def test_groups():
    assert only("  - [ReLU, GELU]").body == only("  - do: [ReLU, GELU]").body
    group = only("  - stem:\n      - ReLU\n      - GELU")
    assert shown(group.target) == "stem"
    assert isinstance(group.body, tuple)
    assert [shown(step.body) for step in group.body if isinstance(step, Step)] == ["ReLU", "GELU"]


LONG = (
    ("Linear: 10", [10], {}),
    ("Linear: width * 2", ["width * 2"], {}),
    ("ReLU:", [], {}),
    (
        "Conv2d: {out_channels: 64, kernel_size: 3, padding: same}",
        [],
        {"out_channels": 64, "kernel_size": 3, "padding": "same"},
    ),
    ("Conv2d: [64, 3, stride: 2, bias: false]", [64, 3], {"stride": 2, "bias": False}),
    ("Conv2d: [64, [3, 5], {stride: 2, bias: no}]", [64, [3, 5]], {"stride": 2, "bias": "no"}),
    ("Upsample: {scale_factor: 2.0, mode: 'bilinear'}", [], {"scale_factor": 2.0, "mode": "bilinear"}),
)


@pytest.mark.parametrize(("text", "args", "kwargs"), LONG, ids=[case[0] for case in LONG])
def test_long_form(text: str, args: list[object], kwargs: dict[str, object]):
    call = only(f"  - {text}").body
    assert isinstance(call, LayerCall)
    assert [shown(value) for value in call.args] == args
    assert {label.name: shown(value) for label, value in call.kwargs} == kwargs


def test_long_form_below_a_label():
    step = only("  - conv1:\n      Conv2d:\n        out_channels: 64\n        kernel_size: 3      # why 3")
    assert shown(step.target) == "conv1"
    assert isinstance(step.body, Step)
    assert isinstance(step.body.body, LayerCall)
    assert step.body.body.span.line == 4


def test_modifiers():
    step = only(
        "  - hidden: Linear(8)\n    when: big\n    else: [GELU]\n    repeat: 2\n    collect: turns\n    from: x\n"
        "    expect: {shape: [N, _, 8], params: 12.4M, macs: {min: 1M, max: 2_000_000}, preserves: size}\n    note: why"
    )
    assert shown(step.when) == "big"
    assert [shown(one.body) for one in step.otherwise] == ["GELU"]
    assert isinstance(step.loop, Repeat)
    assert shown(step.loop.count) == "2"
    assert step.collect is not None
    assert (step.collect.name, shown(step.source), step.note) == ("turns", "x", "why")
    assert {check.key: shown(check.value) for check in step.expect} == {
        "shape": ["N", "_", 8],
        "params": "12.4M",
        "macs": {"min": "1M", "max": 2_000_000},
        "preserves": "size",
    }


LOOPS = (
    ("for: width\n    in: [512, 256]", ("width",), True, [512, 256]),
    ("for: [a, b]\n    in:\n      - [1, x]\n      - [2, y]", ("a", "b"), False, [[1, "x"], [2, "y"]]),
    ("for: [a]\n    in: zip(depths, dims)", ("a",), False, "zip(depths, dims)"),
)


@pytest.mark.parametrize(("text", "names", "single", "items"), LOOPS, ids=["single", "table", "expression"])
def test_loops(text: str, names: tuple[str, ...], single: bool, items: object):
    loop = only(f"  - {text}\n    do: ReLU").loop
    assert isinstance(loop, For)
    assert (shown(loop.names), loop.single, shown(loop.items)) == (names, single, items)


def test_residuals():
    short = only("  - residual: [ReLU, GELU]").body
    assert isinstance(short, Residual)
    assert (len(short.main), short.shortcut, short.when) == (2, (), None)
    assert only("  - residual:\n      main: [ReLU, GELU]\n      shortcut:").body == short
    full = only("  - residual:\n      when: a == b\n      main: ReLU\n      shortcut: [GELU]").body
    assert isinstance(full, Residual)
    assert (len(full.main), len(full.shortcut), shown(full.when)) == (1, 1, "a == b")


@pytest.mark.parametrize("kind", ["concat", "add", "multiply", "stack"])
def test_joins(kind: str):
    listed = only(f"  - {kind}: [prev, [ReLU, GELU]]").body
    assert isinstance(listed, Join)
    assert (listed.kind, [(one.name, len(one.steps)) for one in listed.branches]) == (kind, [(None, 1), (None, 2)])
    named = only(f"  - {kind}:\n      a: ReLU\n      b: [ReLU, GELU]\n      c:").body
    assert isinstance(named, Join)
    assert [(one.name, len(one.steps)) for one in named.branches] == [("a", 1), ("b", 2), ("c", 0)]


def test_dim_of_a_join():
    body = only("  - dim: -1\n    concat: [ReLU, GELU]").body
    assert isinstance(body, Join)
    assert shown(body.dim) == "-1"


INPUTS: tuple[tuple[str, list[tuple[object, ...]]], ...] = (
    ("input: [N, 3, 8 * size, _]", [("x", ("N", "3", "8 * size", "_"), "float32", None, None)]),
    ("input: int64[N, seq]", [("x", ("N", "seq"), "int64", None, None)]),
    ("input: bool[N]", [("x", ("N",), "bool", None, None)]),
    (
        "inputs:\n  a: [N]\n  b: int64[N, 2]",
        [("a", ("N",), "float32", None, None), ("b", ("N", "2"), "int64", None, None)],
    ),
    ("input: {shape: [N], dtype: int64, low: 1, high: v}", [("x", ("N",), "int64", "1", "v")]),
    ("inputs: {a: {shape: [010]}}", [("a", ("10",), "float32", None, None)]),
)


@pytest.mark.parametrize(("head", "inputs"), INPUTS, ids=[head for head, _ in INPUTS])
def test_inputs(head: str, inputs: list[tuple[object, ...]]):
    found = net("  - ReLU", head).inputs
    assert [(one.name, shown(one.dims), one.dtype, shown(one.low), shown(one.high)) for one in found] == inputs


def test_blocks():
    spec = parse_text(
        "blocks:\n"
        "  Plain: [ReLU]\n"
        "  Short(out, kernel_size=3, act=ReLU):\n    - Conv2d(out, kernel_size)\n"
        "  Long(heads, causal=False): [ReLU]\n"
        "  Two:\n    inputs: [x, skip]\n    note: two\n    layers: [ReLU]\n    return: {a: x, b: [skip]}\n"
        "  Shaped:\n    inputs: {x: [N, C], y: }\n    let: {half(a): a // 2, c: C}\n    modules: {pool: MaxPool2d(2)}\n"
        "    layers: [pool]\n    expect: {preserves: shape}\n",
        "blocks.yaml",
    )
    plain, short, long, two, full = spec.blocks
    assert spec.layers is None
    assert (plain.name, plain.arguments, plain.inputs) == ("Plain", (), None)
    assert [(one.name, shown(one.default)) for one in short.arguments] == [
        ("out", None),
        ("kernel_size", "3"),
        ("act", "ReLU"),
    ]
    assert [str(one.span) for one in short.arguments] == [f"blocks.yaml:3:{column}" for column in (9, 14, 29)]
    assert [one.name for one in long.arguments] == ["heads", "causal"]
    assert two.inputs is not None
    assert [(one.name, one.dims) for one in two.inputs] == [("x", None), ("skip", None)]
    assert (two.note, shown(two.returns)) == ("two", {"a": "x", "b": ["skip"]})
    assert full.inputs is not None
    assert [(one.name, shown(one.dims)) for one in full.inputs] == [("x", ("N", "C")), ("y", None)]
    assert [(one.name, one.arguments and len(one.arguments), shown(one.value)) for one in full.let] == [
        ("half", 1, "a // 2"),
        ("c", None, "C"),
    ]
    assert [(one.name, shown(one.body)) for one in full.modules] == [("pool", "MaxPool2d(2)")]
    assert [check.key for check in full.expect] == ["preserves"]


def test_the_rest_of_a_file():
    spec = parse_text(
        "archscope: 1\nname: Net\nnote: free text\ninput: [N, 8]\n"
        "params: {width: 8, Block: Residual, mode: same mode, plan: [1, [2]]}\n"
        "variants:\n  small: {width: 4, expect: {params: 1_000}}\n  b0_0.5: {}\n  plain:\n"
        "matrix: {width: [4, 8]}\nimport: {std/resnet: [BasicBlock], std/conv: {DoubleConv: Twice}}\n"
        "python: {Custom: package.module:Class}\nlet: {double: width * 2}\nmodules: {pool: {MaxPool2d: 2}}\n"
        "layers: [pool]\nreturn: [prev, x]\ntie: {head.weight: wte.weight}\nexpect: {shape: [N, 8]}\n",
        "net.yaml",
    )
    assert (spec.name, spec.note) == ("Net", "free text")
    assert {one.name: shown(one.value) for one in spec.params} == {
        "width": 8,
        "Block": "Residual",
        "mode": "same mode",
        "plan": [1, [2]],
    }
    assert isinstance(spec.params[2].value, Word)
    assert [(one.name, len(one.settings), len(one.expect)) for one in spec.variants] == [
        ("small", 1, 1),
        ("b0_0.5", 0, 0),
        ("plain", 0, 0),
    ]
    assert [(one.name, shown(one.value)) for one in spec.matrix] == [("width", [4, 8])]
    assert [(one.source, [(there.name, here) for there, here in one.names]) for one in spec.imports] == [
        ("std/resnet", [("BasicBlock", "BasicBlock")]),
        ("std/conv", [("DoubleConv", "Twice")]),
    ]
    assert [(one.name, one.target) for one in spec.python] == [("Custom", "package.module:Class")]
    assert isinstance(spec.modules[0].body, LayerCall)
    assert [(one.path, one.owner) for one in spec.ties] == [("head.weight", "wte.weight")]
    assert shown(spec.returns) == ["prev", "x"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("nets/resnet.yaml", "resnet"),
        ("my-net.v2.yaml", "my_net_v2"),
        ("3d.yaml", "net_3d"),
        ("_x.yaml", "x"),
        ("", "net"),
    ],
)
def test_a_file_without_a_name_takes_its_own(file: str, name: str):
    assert parse_text("input: [N]\nlayers: [ReLU]\n", file).name == name


def test_every_problem_of_a_file_is_raised_at_once_in_order():
    with pytest.raises(SpecError) as caught:
        net("  - Conv2d(8 3)\n  - a: b +\n    expect: {shap: [N]}\n  - x y", "input: [N, 8 8]\nparm: {}")
    assert [(one.span.line, one.span.column) for one in caught.value.problems] == [
        (1, 14), (2, 1), (4, 12), (5, 11), (6, 14), (7, 7),
    ]  # fmt: skip
    assert "net.yaml:4:12: a comma" in str(caught.value)
    assert "    - Conv2d(8 3)\n             ^" in str(caught.value)


def test_places_of_parts_point_into_the_text():
    spec = net('  - conv1: Conv2d(8, kernel)\n  - "relu( y )"\n  - >-\n    x +\n    y')
    assert spec.layers is not None
    first, second, folded = (step.body for step in spec.layers)
    assert isinstance(first, Expression)
    assert isinstance(second, Expression)
    assert isinstance(folded, Expression)
    assert str(first.at(first.tree.args[1])) == "net.yaml:3:22"  # type: ignore[attr-defined]
    assert str(second.at(second.tree.args[0])) == "net.yaml:4:12"  # type: ignore[attr-defined]
    assert str(folded.at(folded.tree.right)) == "net.yaml:5:5"  # type: ignore[attr-defined]
