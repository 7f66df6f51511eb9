"""Networks of our own for kinds that the specs have little of: attention with masks, joins, blocks with many uses."""

from __future__ import annotations

from collections.abc import Mapping

OWN: Mapping[str, str] = {
    "own/attention.yaml": """\
name: MaskedAttention
inputs:
  x: [N, 24, 48]
  memory: [N, 20, 32]
  mask: [N, 24, 20]
params: {dim: 48, heads: 4}
blocks:
  BiasedAttention(heads):
    input: [N, T, D]
    let: {d: D // heads}
    layers:
      - qkv: Linear(3 * D)
      - q, k, v: qkv.view(N, T, 3, heads, d).permute(2, 0, 3, 1, 4)
      - bias: Parameter(heads, T, T)
      - causal: tril(ones(T, T))
      - scores: (q @ k.transpose(-2, -1)) / sqrt(d) + bias
      - scores.masked_fill(causal == 0, -10000.0)
      - softmax(dim=-1)
      - prev @ v
      - transpose(1, 2)
      - reshape(N, T, D)
      - Linear(D)
  MaskedCrossAttention(heads, kv_heads):
    inputs: {x: [N, T, D], memory: [N, S, M], mask: [N, T, S]}
    let: {d: D // heads}
    layers:
      - q: Linear(heads * d)(x).view(N, T, heads, d).transpose(1, 2)
      - k: Linear(kv_heads * d)(memory).view(N, S, kv_heads, d).transpose(1, 2)
      - v: Linear(kv_heads * d)(memory).view(N, S, kv_heads, d).transpose(1, 2)
      - scaled_dot_product_attention(q, k, v, attn_mask=mask.unsqueeze(1), enable_gqa=True)
      - transpose(1, 2)
      - reshape(N, T, D)
      - Linear(D)
layers:
  - residual:
      - LayerNorm
      - BiasedAttention(heads)
  - h: LayerNorm
  - MaskedCrossAttention(heads, 2)(h, memory, mask)
  - y: prev + h
  - att, _: MultiheadAttention(heads, batch_first=True)(y, y, y, attn_mask=zeros(24, 24), need_weights=False)
  - att + y
  - mean(1)
  - Linear(dim, 10)
expect: {shape: [N, 10]}
""",
    "own/joins.yaml": """\
name: Joins
input: [N, 3, 32, 32]
blocks:
  Conv(out, kernel=3, stride=1):
    - Conv2d(out, kernel, stride=stride, padding=kernel // 2, bias=False)
    - BatchNorm2d
    - ReLU
  Fuse(out):
    inputs: [low, high]
    layers:
      - up: interpolate(low, scale_factor=2)
      - cat([up, high], dim=1)
      - Conv(out, 1)
layers:
  - a: Conv(16)
  - b: Conv(32, stride=2)
  - c: Conv(64, stride=2)
  - mid: Fuse(32)(c, b)
  - top: Fuse(16)(mid, a)
  - stack:
      - Conv(16)
      - Conv(16, 5)
      - Conv(16, 1)
    dim: 1
  - mixed: sum(1)
  - concat:
      wide: Conv(24)
      pooled:
        - MaxPool2d(3, stride=1, padding=1)
        - Conv(8, 1)
  - add:
      - Conv2d(16, 1)
      - Conv(16, 5)
  - stack([prev, mixed, top], dim=2)
  - flatten(1, 2)
  - BatchNorm2d(48)
  - Conv(24, stride=2)
  - concat: [Conv(12), "Conv(12, 1)"]
  - BatchNorm2d(24)
  - Flatten
  - Linear(6144, 10)
expect: {shape: [N, 10]}
""",
    "own/landscape.yaml": """\
name: Landscape
input: [N, 3, 96, 160]
blocks:
  Conv(out, kernel=3, stride=1):
    - Conv2d(out, kernel, stride=stride, padding=kernel // 2, bias=False)
    - BatchNorm2d
    - ReLU
layers:
  - a: Conv(8, stride=2)
  - b: Conv(16, stride=2)
  - Conv(32, stride=2)
  - interpolate(scale_factor=2)
  - cat([prev, b], dim=1)
  - Conv(16)
  - interpolate(scale_factor=2)
  - cat([prev, a], dim=1)
  - Conv2d(4, 1)
expect: {shape: [N, 4, 48, 80]}
""",
    "own/waves.yaml": """\
name: Waves
input: [N, 2, 512]
layers:
  - a: Conv1d(8, 15, padding=7)
  - b: Conv1d(16, 4, stride=2, padding=1)
  - Conv1d(32, 4, stride=2, padding=1)
  - residual:
      - Conv1d(32, 5, padding=2)
      - BatchNorm1d
      - ReLU
  - ConvTranspose1d(16, 4, stride=2, padding=1)
  - cat([prev, b], dim=1)
  - ConvTranspose1d(8, 4, stride=2, padding=1)
  - prev + a
  - Flatten
  - Linear(4096, 10)
expect: {shape: [N, 10]}
""",
    "own/volumes.yaml": """\
name: Volumes
input: [N, 1, 16, 24, 32]
layers:
  - a: Conv3d(4, 3, padding=1)
  - MaxPool3d(2)
  - residual:
      main:
        - Conv3d(8, 3, padding=1)
        - BatchNorm3d
        - ReLU
      shortcut: Conv3d(8, 1)
  - ConvTranspose3d(4, 2, stride=2)
  - cat([prev, a], dim=1)
  - Conv3d(2, 3, padding=1)
expect: {shape: [N, 2, 16, 24, 32]}
""",
    "own/positions.yaml": """\
name: Positions
input: [N, 3, 64, 96]
params: {dim: 32, patch: 8}
layers:
  - Conv2d(dim, patch, stride=patch)
  - flatten(2)
  - transpose(1, 2)
  - cat([Parameter(1, 1, dim).expand(N, -1, -1), prev], dim=1)
  - prev + Parameter(1, 97, dim)
  - TransformerEncoderLayer(dim, 4, 64, batch_first=True)
  - mean(1)
  - Linear(dim, 10)
expect: {shape: [N, 10]}
""",
    "own/pyramid.yaml": """\
name: Pyramid
input: [N, 3, 64, 96]
layers:
  - c2:
      - Conv2d(8, 7, stride=4, padding=3)
      - ReLU
  - c3:
      - Conv2d(16, 3, stride=2, padding=1)
      - ReLU
  - c4:
      - Conv2d(32, 3, stride=2, padding=1)
      - ReLU
  - p4: Conv2d(12, 1)(c4)
  - p3: Conv2d(12, 1)(c3) + interpolate(p4, scale_factor=2)
  - p2: Conv2d(12, 1)(c2) + interpolate(p3, scale_factor=2)
  - cat([p2, interpolate(p3, scale_factor=2)], dim=1)
  - Conv2d(24, 5, 1)
expect: {shape: [N, 5, 16, 24]}
""",
}
