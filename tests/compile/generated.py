"""Specs drawn at random: expressions over sizes, loops, conditions, blocks, shared modules → YAML text.

Every step keeps the shape that it gets, (N, T, D) or (N, C, H, W), so that any steps can follow each other. N, T, H and
W are sizes that change between runs; D and C do not. In `STEPS` and `IMAGE_STEPS` nothing that a net is built from
depends on them, so such a net has to run at every size; in `STRUCTURAL` something does.

    {k}  a whole number from 1 to 6          {i}  a whole number          {n}  a number          {b}  a condition
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], Any]

HOLE = re.compile(r"\{([kinb])\}")


@dataclass(frozen=True)
class Place:
    """Where an expression stands: names of sizes there, all of them whole numbers of at least 1."""

    sizes: tuple[str, ...]


SEQUENCE = Place(("T", "N", "D", "x.shape[1]", "x.size(0)", "prev.shape[-1]", "prev.size(1)"))
IMAGE = Place(("H", "W", "N", "C", "x.shape[2]", "x.size(3)", "prev.shape[-1]", "prev.size(-2)"))

WHOLE = (
    "{i} + {i}", "{i} - {i}", "{i} * {i}", "{i} // {k}", "{i} % {k}", "-{k} // 2", "({i}) ** 2", "2 ** {k}", "-{i}",
    "min({i}, {i})", "max({i}, {i}, 2)", "max([{i}, 3])", "abs({i})", "round({n})", "int({n})", "ceil({n})",
    "floor({n})", "sum([{i}, {k}])", "sum(x.shape[1:])", "len(x.shape)", "len(range({k}))", "{i} if {b} else {i}",
    "int({b})", "clip_to({i})", "make_divisible({k}, 4)", "round({n} / 3)", "x.dim()", "[{i}, {k}, 4][{k} % 3]",
    "({i}) // -{k}", "({i}) % -{k}", "sum(range({k}))", "max(*x.shape)",
)  # fmt: skip
REAL = (
    "{i} / {k}", "{k} ** 0.5", "sqrt({k})", "log2({k})", "log({k})", "exp(-{k})", "sin({i})", "cos({n})", "tanh({n})",
    "float({i})", "{n} + {n}", "{n} * 0.3", "{n} - {i}", "-{n}", "min({n}, {k})", "max({n}, 0.25)", "abs({n})",
    "{n} if {b} else {n}", "between({n}, {k})", "{k} ** -0.5", "1 / sqrt({k})", "{n} // 0.7", "{n} % 1.5",
    "pi / {k}", "round({n}, 2)", "({n}) ** 2", "min(inf, {n})",
)  # fmt: skip
CONDITIONS = (
    "{i} > {i}", "{n} < {n}", "{i} == {k}", "{k} != {i}", "1 < {k} <= 4", "{b} and {b}", "{b} or {b}", "not {b}",
    "{k} in [1, 3, 5]", "{i} % 2 == 0", "{k} not in (2, 4)", "{n} >= {i}",
)  # fmt: skip


def expression(draw: Draw, kind: str, place: Place, depth: int) -> str:
    """An expression of one kind, in brackets where it is no name or call."""
    if kind == "k":
        return small(draw, place, depth)
    if kind == "i" and (depth <= 0 or draw(st.booleans())):
        return whole(draw, place)
    if depth <= 0:
        return {"i": whole, "n": real, "b": condition}[kind](draw, place)
    forms = {"i": WHOLE, "n": REAL, "b": CONDITIONS}[kind]
    return f"({filled(draw, draw(st.sampled_from(forms)), place, depth - 1)})"


def whole(draw: Draw, place: Place) -> str:
    return draw(st.sampled_from((*place.sizes, "1", "2", "3", "5")))


def real(draw: Draw, place: Place) -> str:
    return draw(st.sampled_from((*(f"{size} / 3" for size in place.sizes), "0.5", "1.75"))).join("()")


def condition(draw: Draw, place: Place) -> str:
    return f"{draw(st.sampled_from(place.sizes))} > {draw(st.integers(1, 7))}".join("()")


def small(draw: Draw, place: Place, depth: int) -> str:
    """A whole number from 1 to 6."""
    if depth <= 0:
        return draw(st.sampled_from(("1", "2", "3", *(f"min({size}, 6)" for size in place.sizes))))
    inner = expression(draw, "i", place, depth - 1)
    return draw(st.sampled_from((f"max(1, min({inner}, 6))", f"(1 + abs({inner}) % 6)", f"clip_to({inner})")))


def filled(draw: Draw, template: str, place: Place, depth: int = 2) -> str:
    """A template with an expression in each hole."""
    return HOLE.sub(lambda hole: expression(draw, hole[1], place, depth), template)


SECTIONS = ("let", "modules", "blocks")
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
- 'cat([prev[:, {k}:], prev[:, :{k}]], dim=1)'
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
- 'AvgPool1d({k}, stride=1, padding=1 if {b} else 0, ceil_mode=True)'
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
LABELS = re.compile(r"\b(scores|turns|states|seen|parts|inner|left|right|kept|rows|squeezed|one|two)\b")


def definitions(text: str) -> str:
    """The sections that a text of steps needs."""
    known: dict[str, str] = {}
    while fresh := {name for name in DEFINED if name not in known and re.search(rf"\b{name}\b", text)}:
        known |= {name: DEFINED[name].strip("\n") for name in fresh}
        text += "\n".join(known.values())
    small = {"clip_to": "let", "between": "let", "mix": "modules", "cell": "modules", "twice": "modules"}
    found = {section: [known[name] for name in known if small.get(name, "blocks") == section] for section in SECTIONS}
    return "".join(f"{section}:\n" + "\n".join(parts) + "\n" for section, parts in found.items() if parts)


def text_of(steps: list[str], head: str, block: str) -> str:
    """A spec of these steps; in a block of it, used twice, where `block` is its `input:`."""
    lines = [line for step in steps for line in step.splitlines()]
    defined = definitions("\n".join(lines))
    if not block:
        return f"{head}{defined}layers:\n" + "".join(f"  {line}\n" for line in lines)
    body = f"  Body:\n    {block}\n    layers:\n" + "".join(f"      {line}\n" for line in lines)
    defined = defined if "blocks:" in defined else f"{defined}blocks:\n"
    return f"{head}{defined}{body}layers:\n  - Body\n  - body: Body()(prev)\n"


@st.composite
def specs(draw: Draw, steps: tuple[str, ...], place: Place, head: str, block: str, extra: tuple[str, ...] = ()) -> str:
    """A spec of one to three steps, and one of `extra` among them where there are some."""
    drawn = [draw(st.sampled_from(steps)) for _ in range(draw(st.integers(1, 3)))]
    if extra:
        drawn.insert(draw(st.integers(0, len(drawn))), draw(st.sampled_from(extra)))
    texts = [filled(draw, LABELS.sub(rf"\g<1>{n}", step), place) for n, step in enumerate(drawn)]
    return text_of(texts, head, draw(st.sampled_from(("", block))))


SEQUENCE_HEAD = "input: [N, T, D]\nparams: {T: 5, D: 4}\n"
IMAGE_HEAD = "input: [N, C, H, W]\nparams: {C: 3, H: 6, W: 5}\n"
live_sequences = specs(STEPS, SEQUENCE, SEQUENCE_HEAD, "input: [N, T, D]")
live_images = specs(IMAGE_STEPS, IMAGE, IMAGE_HEAD, "input: [N, C, H, W]")
structural_sequences = specs(STEPS, SEQUENCE, SEQUENCE_HEAD, "input: [N, T, D]", STRUCTURAL)
