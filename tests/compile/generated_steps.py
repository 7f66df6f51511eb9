"""Steps that drawn specs are made of, with holes for expressions over sizes, and the definitions that they name."""

from __future__ import annotations

DEFINED = {
    "clip_to": "  clip_to(v): max(1, min(v, 6))",
    "between": "  between(a, b=2): (a + b) / 2",
    "mix": "  mix: Linear(4)",
    "cell": "  cell: GRUCell(4)",
    "twice": "  twice: Twice",
    "Twice": """
  Twice(m=mix, k=2):
    - repeat: k
      do: m
    - tanh
""",
    "Scaled": """
  Scaled(k, by=1.5):
    input: [N, T, D]
    let: {half: "max(1, T // 2)", wide(v): v * D}
    layers:
      - prev * k / (1 + abs(k))
      - 'prev[:, :half].mean(1, keepdim=True) * by + prev / wide(T)'
""",
    "Rotated": """
  Rotated(by):
    - 'cat([prev[:, by:], prev[:, :by]], dim=1)'
""",
    "Mlp": """
  Mlp(hidden):
    - Linear(hidden)
    - relu
    - Linear(in_features)
""",
    "Windows": """
  Windows(size=max(1, T // 2)):
    input: [N, T, D]
    let: {rest: -T % size}
    layers:
      - pad(prev, (0, 0, 0, rest))
      - reshape(N, (T + rest) // size, size, D)
      - prev - prev.mean(2, keepdim=True)
      - reshape(N, -1, D)
      - 'prev[:, :T]'
""",
    "Pooled": """
  Pooled(rows, columns=2):
    input: [N, C, H, W]
    layers:
      - adaptive_avg_pool2d((rows, columns))
      - interpolate(size=(H, W))
      - prev + x
""",
}
"""What the steps below name; only what a spec uses is written into it."""


def separate(text: str) -> tuple[str, ...]:
    """Templates, with a line of `---` between them."""
    return tuple(part.strip("\n") for part in text.split("---\n"))


STEPS = separate("""
- 'prev * {n}'
---
- 'prev + {i} / 7'
---
- 'prev / (1 + abs({n}))'
---
- '{i} - prev * (2 if {b} else {n})'
---
- 'prev + prev[:, :{k}].sum(1, keepdim=True)'
---
- 'prev + prev[:, {i} % 3 : {k} + 1 : {k}].sum(1, keepdim=True)'
---
- 'prev - prev[:, -{k} :].mean(1, keepdim=True)'
---
- 'Rotated({k})'
---
- reshape(N * T, D)
- 'prev.view(N, T, D) + {n}'
---
- flatten(1)
- reshape(N, -1, D)
---
- contiguous
- view(x.shape[0], D * prev.shape[1])
- view(N, T, D)
---
- 'prev.transpose(1, 2).reshape(x.shape[0], D * T).view(N, D, T).transpose(1, 2)'
---
- 'prev + zeros({k}, D).sum(0) + ones(1, D).expand(T, -1) * {n}'
---
- 'prev + full((N, 1, 1), {n}) * arange(T).view(T, 1)'
---
- 'prev + linspace({n}, {k}, T).view(-1, 1)'
---
- 'prev + arange({k}, {k} + 9)[:T].sum() / (1 + abs({i}))'
---
- 'prev * Parameter(D).expand(N, T, D)'
---
- 'prev + eye(T)[:, :1] * Parameter(1, D)'
---
- 'roll({k}, 1)'
---
- 'pad(prev, (0, 0, {k}, 0))[:, :T]'
---
- 'where(arange(T).view(T, 1) < {k}, prev, {n} * prev)'
---
- 'softmax(prev @ prev.transpose(1, 2) / sqrt({k}), dim=-1) @ prev'
---
- scores: prev @ prev.transpose(1, 2)
- scores.masked_fill(triu(ones(T, T), 1) > 0, -inf)
- softmax(prev, -1) @ x
---
- 'prev + sin(arange(T).view(T, 1) * exp(arange(D) * (-log(100.0) / D)) / {k})'
---
- transpose(1, 2)
- 'interpolate(size={k})'
- interpolate(size=T, mode='linear')
- transpose(1, 2)
---
- transpose(1, 2)
- 'adaptive_avg_pool1d({k})'
- interpolate(size=x.shape[1])
- transpose(1, 2)
---
- 'prev + adaptive_max_pool1d(prev.transpose(1, 2), {k}).sum(2).unsqueeze(1)'
---
- residual: [Linear(4), relu]
---
- residual:
    main: 'prev * {n}'
    shortcut: Linear(D)
---
- concat: ['prev[:, :{k}]', 'prev[:, {k}:]', x]
  dim: 1
- transpose(1, 2)
- interpolate(size=T)
- transpose(1, 2)
---
- stack: [relu, 'prev * {n}', mix]
  dim: 1
- sum(1)
---
- multiply: {gate: sigmoid, value: Mlp(2 * in_features)}
---
- add: [prev, x, 'Scaled({i})']
---
- mix
---
- 'mix(prev) * {n} + mix(x)'
---
- twice
---
- Twice
---
- 'Twice(mix, {k})'
---
- 'Scaled({i}, by={n})'
---
- Scaled(T)
---
- Scaled(4 * in_features)
---
- 'Scaled({n})(x + prev)'
---
- Windows
---
- 'Windows({k})'
---
- Mlp(8)
---
- LayerNorm
---
- repeat: '{k}'
  do: 'prev * 0.9 + i / {k}'
---
- repeat: T
  do:
    - tanh
    - 'prev + x[:, i : i + 1] * {n}'
---
- repeat: '{k}'
  do: mix
---
- repeat: 2
  do: Linear(4)
---
- repeat: '{k}'
  do: tanh
  collect: turns
- stack(turns, 0).sum(0) / len(turns)
---
- for: t
  in: x.unbind(1)
  from: zeros(N, D)
  do: 'tanh(prev + t * {n})'
  collect: states
- stack(states, dim=1)
---
- seen: tanh
- for: t
  in: seen.unbind(1)
  from: zeros(N, D)
  do: cell(t, prev)
  collect: states
- cat(states, dim=1).view(N, T, D)
---
- for: j
  in: range(T)
  do: 'prev + x[:, j : j + 1] * (j + 1) / {k}'
---
- for: j
  in: 'range({k}, {k} + 3, 2)'
  do: prev * 0.5 + j
---
- for: [j, t]
  in: enumerate(x.unbind(1))
  from: 'x[:, 0] * {n}'
  do: prev + j * t
  collect: parts
- 'stack(parts, 1) + parts[-1].unsqueeze(1) + parts[T // 2].unsqueeze(1)'
---
- for: [a, b]
  in: zip(x.unbind(1), reversed(x.unbind(1)))
  from: zeros(N, D)
  do: cell(a - b, prev)
  collect: parts
- stack([*reversed(parts)], dim=1)
---
- for: [w, s]
  in: [[2, T], [3, '{k}']]
  do: prev + w / s
---
- repeat: '{k}'
  do:
    - for: t
      in: 'prev[:, :{k}].unbind(1)'
      do: prev + t.unsqueeze(1) / T
---
- inner:
    - early: relu
    - 'prev + {n}'
- 'inner.early * {n} + inner'
---
- left, right: chunk(2, dim=2)
- cat([right, left * (T / 3)], dim=2)
---
- kept, _: split(prev, [1, 3], dim=2)
- x + kept
""")
IMAGE_STEPS = separate("""
- 'prev * {n}'
---
- 'interpolate(size=({k}, {k}))'
- interpolate(size=(H, W))
---
- "interpolate(size=(2 * H, W + {k}), mode='bilinear')"
- 'prev[:, :, :H, :W]'
---
- reshape(N, C, H * W)
- softmax(-1)
- view(N, C, H, W)
---
- reshape(N * C, 1, H, -1)
- 'prev.reshape(N, C, H, W) + {n}'
---
- 'prev + prev[:, :, {k} // 2 : {k} + 1].sum((2, 3), keepdim=True)'
---
- pad(prev, (0, W % 2, 0, H % 2))
- max_pool2d(2)
- 'interpolate(prev, size=(H, W)) / sqrt({k})'
---
- 'prev.flip(2) + arange(W) / W + arange(H).view(H, 1) * {n}'
---
- Conv2d(3, 3, padding=1)
- BatchNorm2d
---
- squeezed: adaptive_avg_pool2d(1)
- 'sigmoid(squeezed) * x + {n}'
---
- 'Pooled({k})'
---
- 'Pooled({k}, columns=max(1, W // 2))(prev * {n})'
---
- repeat: '{k}'
  do: prev.roll(1, 3) + i
---
- for: row
  in: x.unbind(2)
  from: zeros(N, C, W)
  do: prev * 0.5 + row
  collect: rows
- stack(rows, dim=2)
---
- 'where(arange(H).view(H, 1) < {k}, prev, {n} * prev)'
---
- flatten(2)
- transpose(1, 2)
- Linear(3)
- prev.transpose(1, 2).reshape(N, C, H, W)
---
- prev.permute(0, 2, 3, 1).reshape(N, H * W, C).mean(1).view(N, C, 1, 1) + prev
""")
STRUCTURAL = separate("""
- when: '{b}'
  do: relu
---
- when: '{b}'
  do: Linear(4)
  else: tanh
---
- when: '{k} > 2 and T < 7'
  do: [Linear(4), relu]
  else: [Linear(6), Linear(4)]
---
- 'Linear({k})'
- Linear(4)
---
- prev + Parameter(1, T, D)
---
- 'prev + Parameter({k}, D).sum(0)'
---
- repeat: '{k}'
  do: Linear(4)
---
- 'Mlp(2 * {k})'
---
- Mlp(T)
---
- transpose(1, 2)
- 'AdaptiveAvgPool1d({k})'
- Upsample(size=T)
- transpose(1, 2)
---
- transpose(1, 2)
- 'AvgPool1d(min(T, 3), stride={k}, padding=1 if {b} else 0)'
- interpolate(size=T)
- transpose(1, 2)
---
- 'relu(prev) if {b} else prev * {n}'
---
- residual:
    when: '{b}'
    main: Linear(4)
---
- one, two: 'prev[:, : T - 3].unbind(1)'
- x + (one - two).unsqueeze(1)
---
- repeat: '{k}'
  do:
    - when: first
      do: tanh
    - prev + i
""")
