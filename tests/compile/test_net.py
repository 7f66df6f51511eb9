"""The whole file: inputs, params, variants, matrix, overrides, imports, return, ties (language, 1 and 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from archscope.api import build, compile_plan
from archscope.compile import InputOverride
from archscope.errors import SpecError, UsageError
from archscope.spec import load
from archscope.spec.variants import all_variants, find_variant, parse_settings
from tests.compile.written import example, inputs_of, net, plan, refused, run, same, shape_of, steps, weights

# Inputs

INPUTS = [
    ("input: [N, 3, 8, 8]", "x", (1, 3, 8, 8), torch.float32),
    ("input: float64[N, 3]", "x", (1, 3), torch.float64),
    ("input: int64[N, seq]", "x", (1, 6), torch.int64),
    ("input: [N, 2 * seq, seq // 2]", "x", (1, 12, 3), torch.float32),
    ("input: [4, 3]", "x", (4, 3), torch.float32),
    ("input: {shape: [N, seq], dtype: int32}", "x", (1, 6), torch.int32),
    ("input: bool[N, 3]", "x", (1, 3), torch.bool),
    ("inputs:\n  tokens: int64[N, seq]", "tokens", (1, 6), torch.int64),
]


@pytest.mark.parametrize(("written", "name", "shape", "dtype"), INPUTS)
def test_inputs(written: str, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    (entry,) = plan(f"{written}\nparams: {{seq: 6}}\nlayers:\n  - {name}.float()\n").inputs
    assert (entry.name, entry.shape, entry.dtype) == (name, shape, dtype)


def test_whole_numbers_have_a_range() -> None:
    written = "input: {shape: [N, 4], dtype: int64, low: 2, high: vocab}\n"
    spec = f"{written}params: {{vocab: 9}}\nlayers:\n  - Embedding(vocab, 3)\n"
    (entry,) = plan(spec).inputs
    assert (entry.low, entry.high) == (2, 9)
    (plain,) = plan("input: int64[N, 4]\nlayers:\n  - Embedding(9, 3)\n").inputs
    assert (plain.low, plain.high) == (0, 1)


def test_several_inputs_come_in_order() -> None:
    spec = "inputs:\n  a: [N, 3]\n  b: int64[N, 2]\nlayers:\n  - Linear(4)(a) + Embedding(5, 4)(b).sum(1)\n"
    assert [i.name for i in plan(spec).inputs] == ["a", "b"]
    built, a, b = net(spec), example((2, 3)), torch.tensor([[1, 2], [3, 4]])
    same(built(a, b), built(b=b, a=a))


def test_the_first_step_gets_the_first_input() -> None:
    spec = "inputs:\n  a: [N, 3]\n  b: [N, 3]\nlayers:\n  - Tanh\n  - prev + b\n"
    a, b = example((2, 3)), example((2, 3), seed=2)
    same(run(spec, a, b), torch.tanh(a) + b)


def test_batch_is_n() -> None:
    spec = "input: [N, 3]\nlayers:\n  - x.reshape(N * 3)\n"
    assert plan(spec, batch=5).inputs[0].shape == (5, 3)
    assert shape_of(spec, batch=5) == (15,)
    assert shape_of(spec) == (3,)


# Params


SIZES = """
name: Sizes
input: [N, 3, size, size]
params: {size: 8, width: 4, hidden: 2 * width, kernel: 3, act: ReLU, padding: same, block: Plain, widths: [5, 6]}
variants:
  small: {}
  wide: {width: 8, expect: {params: 1_168}}
  odd: {block: Other, widths: [7], kernel: [3, 1]}
blocks:
  Plain(n):
    - Conv2d(n, 1)
  Other(n):
    - Conv2d(n, 1)
    - Tanh
layers:
  - Conv2d(width, kernel, padding=padding)
  - act
  - Conv2d(hidden, 1)
  - for: n
    in: widths
    do: block(n)
"""


def channels(**options: Any) -> list[tuple[int, ...]]:
    return [shape for name, shape in weights(SIZES, **options).items() if name.endswith("weight")]


def test_params_have_defaults_that_depend_on_params() -> None:
    assert channels() == [(4, 3, 3, 3), (8, 4, 1, 1), (5, 8, 1, 1), (6, 5, 1, 1)]


@pytest.mark.parametrize(
    ("settings", "index", "shape"),
    [
        ({"width": 6}, 1, (12, 6, 1, 1)),
        ({"width": "6"}, 1, (12, 6, 1, 1)),
        ({"hidden": 5}, 1, (5, 4, 1, 1)),
        ({"hidden": "width + 1"}, 1, (5, 4, 1, 1)),
        ({"kernel": "(5, 3)"}, 0, (4, 3, 5, 3)),
        ({"widths": [9, 2]}, 3, (2, 9, 1, 1)),
        ({"widths": "[9, 2]"}, 3, (2, 9, 1, 1)),
        ({"block": "Other", "act": "GELU"}, 3, (6, 5, 1, 1)),
    ],
)
def test_settings_override_params(settings: dict[str, Any], index: int, shape: tuple[int, ...]) -> None:
    assert channels(settings=parse_settings(settings))[index] == shape


def test_a_variant_overrides_params_and_a_setting_overrides_it() -> None:
    assert channels(variant="wide")[:2] == [(8, 3, 3, 3), (16, 8, 1, 1)]
    assert channels(variant="wide", settings=parse_settings({"width": 2}))[:2] == [(2, 3, 3, 3), (4, 2, 1, 1)]
    assert channels(variant="odd")[::2] == [(4, 3, 3, 1), (7, 8, 1, 1)]


def test_the_first_variant_is_the_default() -> None:
    root = load("net.yaml", text=SIZES).root
    assert find_variant(root, None).name == "small"
    assert [v.name for v in all_variants(root)] == ["small", "wide", "odd"]
    assert plan(SIZES).target == "net.yaml:small"


def test_matrix_is_the_product_times_the_variants() -> None:
    spec = steps("Linear(width, bias=bias)", shape="N, 4", head="params: {width: 1, bias: true}\nVARIANTS")
    matrix = "matrix:\n  width: [2, 3]\n  bias: [true, false]\n"
    alone = spec.replace("VARIANTS", matrix)
    assert [v.name for v in all_variants(load("net.yaml", text=alone).root)] == [
        "width=2,bias=True", "width=2,bias=False", "width=3,bias=True", "width=3,bias=False",
    ]  # fmt: skip
    assert weights(alone, variant="width=3,bias=False") == {"0.weight": (3, 4)}
    crossed = spec.replace("VARIANTS", "variants: {a: {}, b: {bias: false}}\nmatrix: {width: [2, 3]}\n")
    assert [v.name for v in all_variants(load("net.yaml", text=crossed).root)] == [
        "a,width=2", "a,width=3", "b,width=2", "b,width=3",
    ]  # fmt: skip
    assert weights(crossed, variant="b,width=3") == {"0.weight": (3, 4)}


@pytest.mark.parametrize(
    ("options", "message", "help"),
    [
        ({"variant": "wid"}, "net.yaml has no variant 'wid'", "did you mean 'wide'?"),
        ({"settings": {"widht": 3}}, "net.yaml has no param 'widht'", "did you mean 'width'"),
        ({"overrides": [InputOverride("y", (1, 3, 4, 4))]}, "net.yaml has no input 'y'", "its inputs: x"),
    ],
)
def test_wrong_use(options: dict[str, Any], message: str, help: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan(SIZES, **options)
    assert caught.value.message == message
    assert help in caught.value.help


# Overrides


def test_an_override_changes_sizes_and_the_params_that_name_them() -> None:
    planned = plan(SIZES, overrides=[InputOverride("", (2, 3, 10, 10))])
    assert planned.inputs[0].shape == (2, 3, 10, 10)
    spec = "input: [N, seq]\nparams: {seq: 6}\nlayers:\n  - Linear(seq)\n  - prev + Parameter(seq)\n"
    assert shape_of(spec, overrides=[InputOverride("x", (3, 9))]) == (3, 9)


def test_an_override_may_change_the_dtype_and_one_of_several() -> None:
    spec = "inputs:\n  a: [N, 3]\n  b: int64[N, 2]\nlayers:\n  - a.sum(1) + b.sum(1)\n"
    planned = plan(spec, overrides=[InputOverride("b", (1, 5), "int32")])
    assert [(i.name, i.shape, i.dtype) for i in planned.inputs] == [
        ("a", (1, 3), torch.float32), ("b", (1, 5), torch.int32),
    ]  # fmt: skip


def test_an_override_is_checked_like_a_written_size() -> None:
    written = "input: [N, 3, 8, 8]\nlayers:\n  - Conv2d(3, 4, 3)\n"
    problems = refused(written, overrides=[InputOverride("", (1, 5, 8, 8))])
    assert problems == ["3:5: Conv2d says in_channels=3 but its input is (1, 5, 8, 8), which has 5"]


# Imports


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "blocks.yaml").write_text(
        "params: {width: 5}\nlet: {wider: width + 1}\n"
        "blocks:\n  Half(n=wider):\n    - Linear(n)\n  Twice():\n    - Half\n    - Half\n"
    )
    (tmp_path / "body.yaml").write_text(
        "name: Body\ninput: [N, 4]\nparams: {width: 3, out: 2 * width}\n"
        "variants: {thin: {width: 2}, thick: {width: 7}}\n"
        "modules: {fc: Linear(width)}\nlayers:\n  - fc\n  - head: Linear(out)\n"
    )
    return tmp_path


def use(folder: Path, imports: str, *lines: str, head: str = "") -> dict[str, tuple[int, ...]]:
    path = folder / "net.yaml"
    path.write_text(steps(*lines, shape="N, 4", head=f"import:\n{imports}\n{head}"))
    return {name: tuple(value.shape) for name, value in build(str(path), seed=0).state_dict().items()}


def first_sizes(found: dict[str, tuple[int, ...]]) -> list[int]:
    return [shape[0] for name, shape in found.items() if name.endswith("weight")]


def test_blocks_are_imported_and_see_their_own_files_params(folder: Path) -> None:
    head = "params: {width: 50}\n"
    found = use(folder, "  parts/blocks.yaml: [Half, Twice]", "Half", "Twice", "Half(3)", "Linear(width)", head=head)
    assert first_sizes(found) == [6, 6, 6, 3, 50]


def test_a_block_may_be_imported_under_another_name(folder: Path) -> None:
    assert first_sizes(use(folder, "  parts/blocks.yaml: {Half: Other}", "Other(2)")) == [2]


@pytest.mark.parametrize(
    ("written", "widths"),
    [
        ("Body", [3, 6]),
        ("Body()", [3, 6]),
        ("Body(width=4)", [4, 8]),
        ("Body(out=5)", [3, 5]),
        ("Body(variant='thick')", [7, 14]),
        ("Body(variant='thick', out=1)", [7, 1]),
        ("Body: {variant: thin, out: 9}", [2, 9]),
        ("Body(width=4)(x) + Body(out=8)(x)", [4, 8, 3, 8]),
    ],
)
def test_a_whole_file_is_a_block(folder: Path, written: str, widths: list[int]) -> None:
    assert first_sizes(use(folder, "  body.yaml: [Body]", written)) == widths


def test_a_file_is_a_block_at_other_sizes_too(folder: Path) -> None:
    assert first_sizes(use(folder, "  body.yaml: [Body]", "Linear(9)", "Body")) == [9, 3, 6]
    assert use(folder, "  body.yaml: {Body: Encoder}", "enc: Encoder")["enc.fc.weight"] == (3, 4)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("Body(4)", "Body takes its params by name, not by position"),
        ("Body(widht=4)", "Body has no param 'widht'"),
        ("Body(variant='fat')", "Body has no variant 'fat'"),
    ],
)
def test_wrong_use_of_a_whole_file(folder: Path, written: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        use(folder, "  body.yaml: [Body]", written)
    assert [p.message for p in caught.value.problems] == [message]


def test_the_standard_library_is_there() -> None:
    imports = "import:\n  std/resnet: {BasicBlock: Basic}\n"
    spec = steps("Basic(16, stride=2)", "Basic(16)", shape="N, 8, 8, 8", head=imports)
    assert shape_of(spec) == (1, 16, 4, 4)


def test_problems_in_an_imported_block_name_its_file(folder: Path) -> None:
    (folder / "parts" / "bad.yaml").write_text("blocks:\n  Bad():\n    - Linear(nowhere)\n")
    with pytest.raises(SpecError) as caught:
        use(folder, "  parts/bad.yaml: [Bad]", "here: Bad")
    (problem,) = caught.value.problems
    assert (Path(problem.span.file).name, problem.span.line, problem.span.column) == ("bad.yaml", 3, 14)
    assert [frame.path for frame in problem.chain] == ["here"]


def test_python_needs_permission() -> None:
    spec = "input: [N, 4]\npython: {Net: 'torch.nn:Linear'}\nlayers:\n  - Net(4, 3)\n"
    assert shape_of(spec, allow_python=True) == (1, 3)
    (problem,) = refused(spec)
    assert "Net is Python code" in problem


# Return and ties


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a", (1, 2)),
        ("a + b", (1, 2)),
        ("prev", (1, 2)),
        ("cat([a, b], dim=1)", (1, 4)),
        ("[a, b]", [(1, 2), (1, 2)]),
        ("{logits: a, aux: b * 2}", {"logits": (1, 2), "aux": (1, 2)}),
        ("\n  - a\n  - prev", [(1, 2), (1, 2)]),
    ],
)
def test_return(written: str, expected: Any) -> None:
    spec = steps("a: Linear(2)", "b: Linear(2)(x)", shape="N, 4") + f"return: {written}\n"
    assert shape_of(spec) == expected


def test_without_return_the_last_steps_value_is_given_also_several() -> None:
    assert shape_of(steps("chunk(2, dim=1)", shape="N, 4")) == [(1, 2), (1, 2)]


TIED = """
input: int64[N, 5]
layers:
  - embed: Embedding(9, 4)
  - body: [Linear(4)]
  - head: Linear(9, bias=False)
tie: {head.weight: embed.weight}
"""


def test_tied_parameters_are_one() -> None:
    built = net(TIED)
    assert built.get_parameter("head.weight") is built.get_parameter("embed.weight")
    assert plan(TIED).parameter_count == sum(p.numel() for p in built.parameters()) == 36 + 20
    assert set(built.state_dict()) == {"embed.weight", "body.0.weight", "body.0.bias", "head.weight"}


def test_tied_parameters_stay_one_when_saved_and_trained() -> None:
    built = net(TIED)
    built.load_state_dict(net(TIED, seed=4).state_dict())
    assert built.get_parameter("head.weight") is built.get_parameter("embed.weight")
    built(*inputs_of(plan(TIED))).sum().backward()
    assert built.get_parameter("embed.weight").grad is not None


def test_a_label_with_an_underscore_added_can_be_tied_under_its_own_name() -> None:
    spec = "input: [N, 4]\nlayers:\n  - type: Linear(4)\n  - out: Linear(4)\ntie: {out.weight: type.weight}\n"
    assert plan(spec).parameter_count == 24


# The library


@pytest.mark.moves_rng
def test_build_takes_variants_settings_batches_and_seeds(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SIZES)
    target = str(path)
    assert build(f"{target}:wide").get_submodule("0").out_channels == 8
    assert build(target, "wide", set={"width": 3}).get_submodule("0").out_channels == 3
    first, again = build(target, seed=1).state_dict(), build(target, seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert compile_plan(target, batch=4).inputs[0].shape == (4, 3, 8, 8)
    assert compile_plan(target, input=(2, 3, 6, 6)).inputs[0].shape == (2, 3, 6, 6)
    assert compile_plan(target, input={"x": (2, 3, 6, 6)}).inputs[0].shape == (2, 3, 6, 6)
