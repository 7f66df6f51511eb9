"""Variants of the broken networks of test_fix_cases: other widths and nesting, imported blocks, several variants, CRLF,
comments, long forms, flow style. The first fix changes the right line of the right file, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

import archscope
from tests.checks.test_fix_cases import apply_first_fixes, lines

NET, BLOCKS = "net.yaml", "blocks.yaml"


@dataclass(frozen=True)
class Variant:
    """A broken net, and what its first fix removes and adds. blocks: an imported file. file: the one to change."""

    text: str
    edit: tuple[str, str]
    blocks: str = ""
    file: str = NET
    texts: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", {NET: self.text, **({BLOCKS: self.blocks} if self.blocks else {})})


VARIANTS = {
    "expansion": Variant(
        """\
input: [N, 16, 16, 16]
blocks:
  Neck(planes, stride=1):
    - residual:
        main:
          - Conv2d(planes, 1)
          - Conv2d(planes, 3, stride=stride, padding=1)
          - Conv2d(4 * planes, 1)
        shortcut:
          - Conv2d(planes, 1, stride=stride)
layers:
  - Neck(16)
  - Neck(32, stride=2)
""",
        ("          - Conv2d(planes, 1, stride=stride)", "          - Conv2d(4 * planes, 1, stride=stride)"),
    ),
    "own_stride": Variant(
        """\
input: [N, 3, 32, 32]
blocks:
  C(out, stride=1):
    - Conv2d(out, 3, stride=2, padding=1)   # its stride is read nowhere
    - BatchNorm2d
layers:
  - C(8, stride=2)
  - a: C(16)
  - residual: C(16)
  - cat([prev, a], dim=1)
  - Flatten
  - Linear(8192, 10)
""",
        (
            "    - Conv2d(out, 3, stride=2, padding=1)   # its stride is read nowhere",
            "    - Conv2d(out, 3, stride=stride, padding=1)   # its stride is read nowhere",
        ),
    ),
    "own_kernel": Variant(
        """\
input: [N, 8, 24, 24]
blocks:
  C(out, kernel=3):
    - Conv2d(out, kernel, padding=1)
layers:
  - residual: C(8, 5)
  - residual: C(8, 7)
  - C(8)
""",
        ("    - Conv2d(out, kernel, padding=1)", "    - Conv2d(out, kernel, padding=kernel // 2)"),
    ),
    "heads_moved": Variant(
        """\
input: [N, 12, 32]
blocks:
  Attention(heads):
    input: [N, T, D]
    let: {d: D // heads}
    layers:
      - q: Linear(D)(x).view(N, T, heads, d).transpose(1, 2)
      - k: Linear(D)(x).view(N, T, heads, d).transpose(1, 2)
      - v: Linear(D)(x).view(N, T, heads, d)
      - scaled_dot_product_attention(q, k, v)
      - transpose(1, 2)
      - reshape(N, T, D)
layers:
  - Attention(4)
""",
        (
            "      - v: Linear(D)(x).view(N, T, heads, d)",
            "      - v: Linear(D)(x).view(N, T, heads, d).transpose(1, 2)",
        ),
    ),
    "depthwise": Variant(
        """\
input: [N, 3, 16, 16]
blocks:
  DW(out, stride=1):
    - Conv2d(in_channels, 3, stride=stride, padding=1, groups=out)
    - Conv2d(out, 1)
layers:
  - Conv2d(32, 1)
  - DW(64)
  - DW(128, stride=2)
""",
        (
            "    - Conv2d(in_channels, 3, stride=stride, padding=1, groups=out)",
            "    - Conv2d(in_channels, 3, stride=stride, padding=1, groups=in_channels)",
        ),
    ),
    "shared_block_imported": Variant(
        """\
import: {blocks.yaml: [C]}
input: [N, 8, 32, 32]
layers:
  - C(8, stride=2)
  - a: C(20)
  - C(20)   # the last one
  - interpolate(scale_factor=2)
  - cat([prev, a], dim=1)
""",
        ("  - C(20)   # the last one", "  - C(20, stride=2)   # the last one"),
        blocks="""\
blocks:
  C(out, size=3, stride=1):
    - Conv2d(out, size, stride=stride, padding=size // 2)
""",
    ),
    "stage_in_stage": Variant(
        """\
input: [N, 12, 48, 48]
blocks:
  C(out, stride=1):
    - Conv2d(out, 3, stride=stride, padding=1)
    - ReLU
  Down(out, stride=1):
    - C(out)
    - C(out, stride=stride)
layers:
  - a: Down(24, stride=2)
  - b: Down(24)
  - wide:
      - C(24)
      - C(32)
  - interpolate(scale_factor=2)
  - cat([prev, a], dim=1)
  - Conv2d(8, 1)
  - interpolate(scale_factor=2)
  - cat([prev, x], dim=1)
""",
        ("      - C(24)", "      - C(24, stride=2)"),
    ),
    "groups_in_a_block": Variant(
        """\
input: [N, 24, 28, 28]
blocks:
  Unit(out, groups):
    - Conv2d(out // 4, 1, bias=False)
    - BatchNorm2d
    - Conv2d(out, 1, groups=groups, bias=False)
layers:
  - Unit(144, groups=4)
  - Unit(360, groups=8)
""",
        ("  - Unit(360, groups=8)", "  - Unit(360, groups=9)"),
    ),
    "groups_long_form": Variant(
        """\
input: [N, 24, 28, 28]
layers:
  - Conv2d: {out_channels: 60, kernel_size: 1}
  - Conv2d: {out_channels: 120, kernel_size: 3, padding: 1, groups: 8}   # shuffled later
  - ReLU
""",
        (
            "  - Conv2d: {out_channels: 120, kernel_size: 3, padding: 1, groups: 8}   # shuffled later",
            "  - Conv2d: {out_channels: 120, kernel_size: 3, padding: 1, groups: 10}   # shuffled later",
        ),
    ),
    "heads_at_the_call": Variant(
        """\
input: [N, 16, 320]
blocks:
  Attention(heads):
    input: [N, T, D]
    layers:
      - q, k, v: Linear(3 * D)(prev).view(N, T, 3, heads, D // heads).permute(2, 0, 3, 1, 4)
      - scaled_dot_product_attention(q, k, v)
      - transpose(1, 2)
      - reshape(N, T, D)
      - Linear(D)
layers:
  - repeat: 2
    do:
      - residual: [LayerNorm, Attention(6)]
      - residual: [LayerNorm, Linear(640), GELU, Linear(320)]
""",
        ("      - residual: [LayerNorm, Attention(6)]", "      - residual: [LayerNorm, Attention(5)]"),
    ),
    "heads_in_a_variant": Variant(
        """\
input: [N, 16, width]
params: {heads: 4, width: 64}
variants:
  small: {width: 64}
  large: {width: 96, heads: 5}
blocks:
  Attention(heads):
    input: [N, T, D]
    layers:
      - q, k, v: Linear(3 * D)(prev).view(N, T, 3, heads, D // heads).permute(2, 0, 3, 1, 4)
      - scaled_dot_product_attention(q, k, v)
      - transpose(1, 2)
      - reshape(N, T, D)
      - Linear(D)
layers:
  - residual: [LayerNorm, Attention(heads)]
""",
        ("  large: {width: 96, heads: 5}", "  large: {width: 96, heads: 6}"),
    ),
    "portrait": Variant(
        """\
input: [N, 3, 160, 90]   # height, width
layers:
  - a: Conv2d(8, 3, stride=2, padding=1)
  - Conv2d(8, 3, stride=2, padding=1)
  - interpolate(scale_factor=2)
  - cat([prev, a], dim=1)
""",
        ("input: [N, 3, 160, 90]   # height, width", "input: [N, 3, 160, 91]   # height, width"),
    ),
    "landscape_long_input": Variant(
        """\
inputs:
  image: {shape: [N, 3, 90, 160]}   # from the camera
layers:
  - a: Conv2d(8, 3, stride=2, padding=1)
  - Conv2d(8, 3, stride=2, padding=1)
  - interpolate(scale_factor=2)
  - cat([prev, a], dim=1)
""",
        (
            "  image: {shape: [N, 3, 90, 160]}   # from the camera",
            "  image: {shape: [N, 3, 91, 160]}   # from the camera",
        ),
    ),
    "landscape_params": Variant(
        """\
params: {height: 90, width: 160}
input: [N, 3, height, width]
layers:
  - a: Conv2d(8, 3, stride=2, padding=1)
  - Conv2d(8, 3, stride=2, padding=1)
  - interpolate(scale_factor=2)
  - cat([prev, a], dim=1)
""",
        ("params: {height: 90, width: 160}", "params: {height: 91, width: 160}"),
    ),
    "one_head": Variant(
        """\
input: [N, 24, 96]
params: {heads: 6}
layers:
  - q: Linear(heads * 16)(x).view(N, 24, heads, 16).transpose(1, 2)
  - r: Linear(8)(x).view(N, 1, 24, 8)   # one for all heads
  - cat([q, r], dim=-1)
""",
        ("  - cat([q, r], dim=-1)", "  - cat([q, r.expand(-1, 6, -1, -1)], dim=-1)"),
    ),
    "channels_last_imported": Variant(
        """\
import: {blocks.yaml: [Mixer]}
input: [N, 3, 32, 32]
layers:
  - Conv2d(24, 4, stride=4)
  - repeat: 2
    do: Mixer
  - Conv2d(48, 2, stride=2)
  - Mixer
""",
        ("", "          - permute(0, 3, 1, 2)"),
        blocks="""\
blocks:
  Mixer:
    input: [N, C, H, W]
    layers:
      - residual:
          - Conv2d(C, 5, padding=2, groups=C)
          - permute(0, 2, 3, 1)
          - LayerNorm   # over channels
          - Linear(2 * C)
          - GELU
          - Linear(C)
""",
        file=BLOCKS,
    ),
    "widths_of_a_variant": Variant(
        """\
inputs: {dense: [N, 10], sparse: {shape: [N, 3, 2], dtype: int64, high: 50}}
params: {dim: 8, bottom: [32, 8]}
variants:
  small: {bottom: [32, 8]}
  large: {bottom: [64, 32, 12]}
blocks:
  Mlp(sizes):
    - for: size
      in: sizes
      do: [Linear(size), ReLU]
layers:
  - d: Mlp(bottom)(dense)
  - e: EmbeddingBag(50, dim, mode='sum')(sparse[:, i])
    for: i
    in: range(3)
    collect: bags
  - all: stack([d, *bags], dim=1)
  - flatten(1)
  - Mlp([16, 1])
""",
        ("  large: {bottom: [64, 32, 12]}", "  large: {bottom: [64, 32, 8]}"),
    ),
    "one_example_only": Variant(
        """\
inputs: {x: [N, 6, 12, 12], s: [N, 20]}
blocks:
  Modulated(out):
    inputs: {x: [N, C, H, W], s: [N, D]}
    layers:
      - style: Linear(C)(s)
      - kernel: (Parameter(1, out, C, 3, 3) * style.view(N, 1, C, 1, 1)).view(N * out, C, 3, 3)
      - conv2d(x.reshape(1, N * C, H, W), kernel, padding=1)
      - view(N, out, H, W)
layers:
  - Modulated(10)(x, s)
  - relu(prev)
  - Modulated(4)(prev, s)
""",
        (
            "      - conv2d(x.reshape(1, N * C, H, W), kernel, padding=1)",
            "      - conv2d(x.reshape(1, N * C, H, W), kernel, padding=1, groups=N)",
        ),
    ),
    "two_towers": Variant(
        """\
inputs: {a: [N, 30], b: [N, 40]}
blocks:
  Tower(out): [Linear(64), ReLU, Linear(out)]
modules:
  left: Tower(32)
  right: Tower(48)    # meant as wide as the left one
layers:
  - u: left(a)
  - v: right(b)
  - cosine_similarity(u, v, dim=-1)
expect: {params: 8_768}
""",
        (
            "  right: Tower(48)    # meant as wide as the left one",
            "  right: Tower(32)    # meant as wide as the left one",
        ),
    ),
    "windows": Variant(
        """\
input: [N, 16, 28, 28]
params: {window: 5}
blocks:
  Partition(w):
    input: [N, C, H, W]
    layers:
      - view(N, C, H // w, w, W // w, w)
      - permute(0, 2, 4, 3, 5, 1)
      - reshape(N * (H // w) * (W // w), w * w, C)
layers:
  - Conv2d(16, 3, padding=1)
  - Partition(window)
  - Linear(32)
""",
        ("params: {window: 5}", "params: {window: 4}"),
    ),
    "both_uses_wrong": Variant(
        """\
input: [N, 8, 16, 16]
blocks:
  Unit:
    - residual:
        - Conv2d(2 * in_channels, 3)   # no padding
        - ReLU
        - Conv2d(in_channels, 1)
layers:
  - Unit
  - ReLU
  - Unit
""",
        (
            "        - Conv2d(2 * in_channels, 3)   # no padding",
            "        - Conv2d(2 * in_channels, 3, padding=1)   # no padding",
        ),
    ),
    "nested_repeat": Variant(
        """\
input: [N, 16, 20, 20]
blocks:
  Inner(c):
    - Conv2d(c, 3, padding=1)
    - BatchNorm2d
  Outer(c):
    - residual:
        - repeat: 2
          do: Inner(c)
        - Conv2d(c, 1, stride=2)   # meant 1
    - ReLU
layers:
  - Outer(16)
  - Conv2d(10, 1)
expect: {shape: [N, 10, 20, 20]}
""",
        ("        - Conv2d(c, 1, stride=2)   # meant 1", "        - Conv2d(c, 1, stride=1)   # meant 1"),
    ),
    "comments_between": Variant(
        """\
# one
input: [N, 3, 30, 30]   # two
layers:
  # three
  - a: Conv2d(8, 3, padding=1)   # four
  # five
  - Conv2d(8, 3, padding=0)   # six
  # seven
  - a + prev   # eight
""",
        ("  - Conv2d(8, 3, padding=0)   # six", "  - Conv2d(8, 3, padding=1)   # six"),
    ),
    "unet_up": Variant(
        """\
input: [N, 1, 64, 64]
blocks:
  Double(out):
    - Conv2d(out, 3, padding=1)
    - ReLU
    - Conv2d(out, 3, padding=1)
    - ReLU
  Up(out):
    inputs: {x: [N, C, H, W], skip: [N, S, A, B]}
    layers:
      - ConvTranspose2d(out, 2, stride=2)(x)
      - cat([prev, skip], dim=1)
      - Double(out)
layers:
  - a: Double(8)
  - b: [MaxPool2d(2), Double(16)]
  - c: [MaxPool2d(2), Double(32)]
  - d: [MaxPool2d(2), Double(64)]
  - Up(32)(d, c)
  - Up(16)(prev, a)    # meant b
  - Up(8)(prev, a)
  - Conv2d(2, 1)
""",
        ("  - Up(16)(prev, a)    # meant b", "  - Up(16)(prev, b)    # meant b"),
    ),
    "flow_style_repeated": Variant(
        """\
input: [N, 8, 16, 16]
blocks:
  Unit: {layers: [{residual: ["Conv2d(in_channels, 3)", ReLU]}, ReLU]}
layers:
  - repeat: 3
    do: Unit
""",
        (
            '  Unit: {layers: [{residual: ["Conv2d(in_channels, 3)", ReLU]}, ReLU]}',
            '  Unit: {layers: [{residual: ["Conv2d(in_channels, 3, padding=1)", ReLU]}, ReLU]}',
        ),
    ),
    "a_width_told_at_the_call": Variant(
        """\
input: [N, 8, 16, 16]
blocks:
  Unit(cin, out):
    - Conv2d(cin, out, 1)
    - Conv2d(2 * out, 1)
layers:
  - Unit(8, 16)
  - Unit(16, 16)
""",
        ("  - Unit(16, 16)", "  - Unit(32, 16)"),
    ),
}


@pytest.fixture(params=["\n", "\r\n"], ids=["LF", "CRLF"])
def ends(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_first_fix_of_a_variant(name: str, ends: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the ends of its lines; one fix is enough, and the files on the disk stay as they are."""
    one = VARIANTS[name]
    monkeypatch.chdir(tmp_path)
    for file, text in one.texts.items():
        Path(file).write_bytes(text.replace("\n", ends).encode())
    found = apply_first_fixes(NET)
    (fix,) = found.fixes
    assert fix.file == one.file
    assert lines(fix.edit) == one.edit
    assert list(found.texts) == [one.file]
    assert found.errors == []
    assert all(Path(file).read_bytes() == text.replace("\n", ends).encode() for file, text in one.texts.items())


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_said_of_a_variant(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = VARIANTS[name]
    monkeypatch.chdir(tmp_path)
    checked = archscope.check(NET, texts=one.texts)
    findings = [one for item in checked for one in item.findings if one.level == "error" or one.rule == "one-batch"]
    assert findings
    for finding in findings:
        assert len({fix.text for fix in finding.fixes}) == len(finding.fixes) <= 3
        assert all(fix.checked for fix in finding.fixes)
        assert not (finding.likely and finding.fixes)
