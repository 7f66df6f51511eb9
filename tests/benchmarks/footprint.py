"""Predicted memory beside what is measured: specs × batch sizes × inference and training → a table of ratios.

    python tests/benchmarks/footprint.py
    python tests/benchmarks/footprint.py --device cuda --batch 1,16 --only resnet50 unet

Measured is the peak of one run that is not the first (on CUDA the allocator's, on CPU by torch's profiler); training is
forward, backward and a step of AdamW. on top: without parameters, buffers, inputs and the optimizer's states, which
both sides know alike; in all: with them. A megabyte is 10⁶ bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from measure import machine
from tabulate import tabulate
from targets import TARGETS

from archscope import api
from archscope.analysis import spec_runs
from archscope.analysis.run_options import RunOptions
from archscope.compile import build
from archscope.profiling.peak_memory import peak_bytes
from archscope.profiling.predicted_memory import PredictedMemory, predict_memory
from archscope.profiling.workload import Workload, make_optimizer

MODELS = ("resnet18", "resnet50", "densenet121", "vit_b_16", "gpt2", "unet")
HEADERS = ("model", "batch", "mode", "predicted MB", "measured MB", "on top", "in all", "the peak stands at")


def footprint(target: str, batch: int, device: str, *, train: bool) -> tuple[PredictedMemory, str, int]:
    """What is predicted, the row at the peak, and the bytes that are measured on top of what is held."""
    plan = api.compile_plan(target, batch=batch, train=train)
    trace = spec_runs.summarize_plan(plan, RunOptions(device=device, train=train), track_memory=True).trace
    predicted = predict_memory(trace, optimizer="adamw" if train else "")
    assert predicted is not None
    rows = trace.backward if predicted.backward else trace.rows
    row = "optimizer step" if predicted.row is None else f"{rows[predicted.row].path} {rows[predicted.row].short_name}"
    module = build(plan, device=device).train(train)
    inputs = tuple(spec_runs.example_inputs(plan, device, None).values())
    workload = Workload(module, module, [(inputs, {})], device, train, make_optimizer("adamw", module))
    with torch.set_grad_enabled(train):
        workload.step()
        workload.drop_gradients()
        measured = peak_bytes(workload.step, device)
    assert measured is not None
    return predicted, row + " backward" * predicted.backward, measured


def lines(models: list[str], batches: list[int], device: str) -> Iterator[list[str]]:
    for name in models:
        for batch in batches:
            for train in (False, True):
                predicted, row, measured = footprint(TARGETS[name], batch, device, train=train)
                sizes = f"{predicted.peak / 1e6:,.1f}", f"{(predicted.initial_bytes + measured) / 1e6:,.1f}"
                ratios = predicted.working_bytes / measured, predicted.peak / (predicted.initial_bytes + measured)
                yield [name, str(batch), "train" if train else "eval", *sizes, *(f"{r:.3f}" for r in ratios), row]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--only", nargs="*", default=list(MODELS))
    given = parser.parse_args()
    print(f"{machine()}, {given.device}\n")
    table = list(lines(given.only, [int(batch) for batch in given.batch.split(",")], given.device))
    print(tabulate(table, headers=HEADERS, disable_numparse=True))


if __name__ == "__main__":
    main()
