"""The schema takes every spec that is shipped, and refuses what is misspelt."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import archscope.spec
from archscope.errors import Problems
from archscope.spec.schema import schema
from archscope.spec.yaml_nodes import MappingNode, Node, ScalarNode
from archscope.spec.yaml_reader import read_yaml

ROOT = Path(__file__).parent.parent
SPECS = sorted([*ROOT.glob("specs/**/*.yaml"), *ROOT.glob("archscope/std/*.yaml")])
"""Every spec of the repository."""


def plain(node: Node) -> object:
    """The YAML data as an editor sees it."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, MappingNode):
        return {key.text: plain(value) for key, value in node.entries}
    return [plain(item) for item in node.items]


def data(text: str) -> object:
    problems = Problems()
    node = read_yaml(text, "net.yaml", problems)
    problems.raise_if_any()
    assert node is not None
    return plain(node)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    whole = schema()
    Draft202012Validator.check_schema(whole)
    return Draft202012Validator(whole)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_spec_validates(validator, path):
    assert [error.message for error in validator.iter_errors(data(path.read_text("utf-8")))] == []


def test_there_are_specs():
    assert len(SPECS) > 20


GOOD = """
- {layers: [Conv2d: {out_channels: 64, kernel_size: 3, padding: same}]}
- {layers: [Linear: 10]}
- {layers: [Conv2d: [64, 3, stride: 2, bias: false]]}
- {layers: [{conv1: {Conv2d: {out_channels: 64, kernel_size: 3}}}]}
- {layers: [{"out, (h, c)": LSTM(256)}]}
- {layers: [{"_, b": "chunk(2)"}]}
- {layers: [ReLU: null]}
- {layers: [MyBlock: {depth: 3}]}
- {layers: [{stem: [ReLU, [Tanh]], when: x, else: null, note: text, expect: {params: 12.4M, macs: {min: 1M, max: 2M}}}]}
- {layers: [{do: ReLU, repeat: n, collect: all, from: x}]}
- {layers: [{do: ReLU, for: [a, b], in: "zip(c, d)"}]}
- {layers: [{stack: {left: ReLU, right: null}, dim: 0}]}
- {layers: [{residual: {main: ReLU, shortcut: null, when: first}}]}
- {archscope: 1, layers: [ReLU], inputs: {x: {shape: [N, 3], dtype: int64, high: vocab}}, return: {a: x, b: [x]}}
- {blocks: {"Up(out, act=ReLU)": {inputs: [x, skip], let: {"f(a)": a}, modules: {pool: MaxPool2d(2)}, layers: [ReLU]}}}
- {layers: [ReLU], python: {Net: package.module:Net}, tie: {head.weight: embed.weight}}
- {layers: [ReLU], import: {std/conv: {ConvBNAct: Conv}, std/resnet: [BasicBlock]}}
"""


@pytest.mark.parametrize("spec", data(GOOD), ids=str)
def test_the_language_is_in_it(validator, spec):
    assert [error.message for error in validator.iter_errors(spec)] == []


BAD = """
- {}
- {layer: [ReLU]}
- {layers: [ReLU], varients: {a: {}}}
- {layers: [ReLU], archscope: 2}
- {layers: ReLU}
- {layers: [3]}
- {layers: [""]}
- {layers: [Conv2d: {out_channel: 64, kernel_size: 3}]}
- {layers: [Conv2d: {kernel_size: 3}]}
- {layers: [Conv2d: [64, 3, strid: 2]]}
- {layers: [Conv2d: {out_channels: 64, kernel_size: 3, device: cpu}]}
- {layers: [Conv2d: {out_channels: 64, kernel_size: 3, bias: no}]}
- {layers: [{fc: {Linear: {out_feature: 10}}}]}
- {layers: [{do: [{stem: [ReLU, {Dropout: {prob: 0.5}}]}]}]}
- {layers: [{do: ReLU, whne: first}]}
- {layers: [{conv1: ReLU, whne: first}]}
- {layers: [{conv1: ReLU, repaet: 3}]}
- {layers: [{residual: ReLU, conv1: ReLU}]}
- {layers: [{when: first}]}
- {layers: [{do: ReLU, else: Tanh}]}
- {layers: [{do: ReLU, for: a}]}
- {layers: [{do: ReLU, repeat: 2, for: a, in: b}]}
- {layers: [{do: ReLU, collect: all}]}
- {layers: [{add: [ReLU, Tanh], dim: 1}]}
- {layers: [{prev: ReLU}]}
- {layers: [{residual: {man: ReLU}}]}
- {layers: [{residual: {main: ReLU, shortcuts: Tanh}}]}
- {layers: [{concat: []}]}
- {layers: [{concat: {Branch: ReLU}}]}
- {layers: [{conv1: ReLU, expect: {shpae: [N, 10]}}]}
- {layers: [{conv1: ReLU, expect: {preserves: sizes}}]}
- {layers: [ReLU], expect: {parms: 3}}
- {layers: [ReLU], expect: {params: "> 5M"}}
- {layers: [ReLU], expect: {params: {most: 5M}}}
- {layers: [ReLU], variants: {a: {expect: {mac: 1}}}}
- {layers: [ReLU], inputs: {x: {shape: [N], dtyp: int64}}}
- {layers: [ReLU], inputs: {x: {shape: [N], dtype: int46}}}
- {blocks: {block: [ReLU]}}
- {blocks: {Block: {input: [N]}}}
- {blocks: {Block: {layers: [ReLU], expects: {preserves: shape}}}}
- {blocks: {Block: {layers: [ReLU], params: {a: 1}}}}
- {layers: [ReLU], python: {Net: package.module.Net}}
"""


@pytest.mark.parametrize("spec", data(BAD), ids=str)
def test_what_is_misspelt_does_not_validate(validator, spec):
    assert not validator.is_valid(spec)


def test_a_layer_shows_its_signature_and_an_argument_what_it_is():
    layer = schema()["$defs"]["layer.Conv2d"]
    assert layer["description"].startswith("torch.nn.Conv2d(in_channels, out_channels, kernel_size, stride=1")
    properties = layer["then"]["properties"]
    assert properties["stride"] == {"default": 1}
    assert (properties["in_channels"], properties["out_channels"]) == (
        {"description": "inferred from the input"},
        {"description": "required"},
    )


def test_the_schema_is_json_and_needs_no_torch():
    code = """
import json, sys
from archscope.spec.schema import schema
text = json.dumps(schema())
print(len(text) < 400_000, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_the_snapshot_is_that_of_this_torch():
    torch = pytest.importorskip("torch")
    if not torch.__version__.startswith("2.13."):
        pytest.skip("the snapshot was taken from torch 2.13")
    from archscope.torch_layers.signatures import signature_snapshot  # after the check: it imports torch

    stored = Path(archscope.spec.__file__).with_name("signatures.json").read_text("utf-8")
    assert json.loads(stored) == json.loads(json.dumps(signature_snapshot())), (
        "run: python -m archscope.torch_layers.signatures archscope/spec/signatures.json"
    )
