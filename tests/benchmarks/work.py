"""The work itself, in one process: compiling, growth with depth, and what recording adds to a forward pass."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from measure import Figure, medians, show

import archscope
from archscope import compile
from archscope.api import compile_plan
from archscope.record import record

SPECS = Path(__file__).resolve().parents[2] / "specs"
ROUNDS = 5
CHAIN = """\
input: [N, 3, 16, 16]
layers:
  - repeat: {depth}
    do:
      - Conv2d(3, 3, 3, padding=1)
      - BatchNorm2d
      - ReLU
"""
SHALLOW, DEEP = 250, 4000


def compiling() -> list[Figure]:
    """resnet152 from text to modules on the meta device, in seconds."""
    target = f"{SPECS}/resnet.yaml:resnet152"
    (seconds,) = medians({"compile": lambda: archscope.build(target, device="meta")}, ROUNDS).values()
    return [Figure("compile resnet152 on meta", seconds, seconds, 0.5, "s")]


def growth() -> list[Figure]:
    """The summary of a deep chain ÷ a shallow one, per layer."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {depth: Path(folder) / f"chain{depth}.yaml" for depth in (SHALLOW, DEEP)}
        for depth, path in paths.items():
            path.write_text(CHAIN.format(depth=depth), encoding="utf-8")
        cases = {str(depth): lambda path=path: archscope.summarize(str(path)) for depth, path in paths.items()}
        times = medians(cases, ROUNDS)
    ratio = times[str(DEEP)] / DEEP / (times[str(SHALLOW)] / SHALLOW)
    return [Figure(f"{DEEP:,} × (conv, norm, relu) ÷ {SHALLOW}, per layer", times[str(DEEP)], ratio, 1.2)]


@torch.no_grad()
def recording() -> list[Figure]:
    """A recorded forward pass of a spec's net ÷ a plain one of the same net, both without gradients."""
    target = f"{SPECS}/resnet.yaml:resnet50"
    net, x = archscope.build(target).eval(), torch.zeros(1, 3, 224, 224)
    ready = compile.place_plan(compile_plan(target), device="cpu", random=True)
    named = {"target": target, "device": "cpu", "dtype": "float32", "mode": "eval", "inputs": {"x": x}}
    holds = {"parameters": ready.parameters(), "buffers": ready.buffers()}
    cases = {
        "plain": lambda: net(x),
        "recorded": lambda: record(lambda watch: ready.run((x,), watch), **named, **holds),
    }
    times = medians(cases, 4 * ROUNDS)
    return [Figure("recorded forward of resnet50 ÷ plain", times["recorded"], times["recorded"] / times["plain"], 1.15)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    show("the work, in one process, one thread", compiling() + growth() + recording())
