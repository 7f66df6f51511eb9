"""Our times beside torch.utils.benchmark, torch.profiler and DeepSpeed's profiler, on the same module in one process.

    python tests/benchmarks/timing.py                                    five models, batch 1, float32
    python tests/benchmarks/timing.py --batch 1,64 --dtype float32,bfloat16 --device cuda --only resnet50 lstm

whole: archscope's median ÷ that of torch.utils.benchmark (adaptive_autorange). rows: the share of the whole that our
rows sum to. profiler: our rows ÷ the profiler's times (on CPU of the outermost operators, on a GPU of the kernels), in
all, and for the kind of row that differs most among those that take 5 % or more. deepspeed: the latency that its
profiler states, of one run, ÷ ours. Tools that are not installed are named and left out.

Every line has a process of its own, in which torch.utils.benchmark comes first: on CPU the heap that one measurement
leaves behind may speed up the next, since memory need not be fetched from the system again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import Any

import torch
from measure import machine
from tabulate import tabulate
from targets import TARGETS
from torch.utils import benchmark

import archscope
from archscope import api
from archscope.analysis import spec_runs
from archscope.compile import build
from archscope.profiling.rows_cuda import RUNTIME_PREFIXES

MODELS = ("resnet50", "vit_b_16", "gpt2", "unet", "lstm")
PROFILED = 5
HEADERS = ("model", "batch", "dtype", "ours", "IQR", "whole", "rows", "profiler", "worst kind", "deepspeed")


def measured(name: str, batch: int, dtype: str, device: str, seconds: float) -> list[str]:
    target = TARGETS[name]
    plan = api.compile_plan(target, batch=batch)
    module = build(plan, device=device, dtype=getattr(torch, dtype)).eval()
    inputs = tuple(spec_runs.example_inputs(plan, device, getattr(torch, dtype)).values())
    run = torch.no_grad()(lambda: module(*inputs))
    theirs = benchmark.Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    median = theirs.adaptive_autorange(min_run_time=seconds / 4, max_run_time=seconds).median
    ours = archscope.time(target, batch=batch, dtype=dtype, device=device, seconds=seconds, roofline=False)
    rows = kinds_of(ours)
    kinds = profiled(run, device)
    known = sum(rows.values())
    worst = max(
        ((kind, rows[kind] / kinds[kind]) for kind in rows if kind in kinds and rows[kind] >= known / 20),
        key=lambda item: abs(item[1] - 1),
        default=("", 1.0),
    )
    assert ours.total is not None
    return [
        *(name, str(batch), dtype, f"{1e3 * ours.total.median:.2f} ms", f"{ours.total.iqr / ours.total.median:.1%}"),
        f"{ours.total.median / median:.3f}",
        f"{ours.accounted:.1%}",
        f"{known / sum(kinds.values()):.3f}",
        f"{worst[0]} {worst[1]:.3f}",
        deepspeed(module, inputs, ours.total.median),
    ]


def kinds_of(timing: Any) -> dict[str, float]:
    """Our seconds by the function's name."""
    found: dict[str, float] = {}
    for row in timing.rows:
        kind = row.priced.row.short.removesuffix("_")
        found[kind] = found.get(kind, 0.0) + (row.spent.total_seconds or 0.0)
    return found


def profiled(run: Callable[[], object], device: str) -> dict[str, float]:
    """The profiler's seconds by the name of the outermost operator."""
    cuda = device.startswith("cuda")
    kinds = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if cuda else [])]
    with torch.profiler.profile(activities=kinds) as profiler:
        for _ in range(PROFILED):
            run()
    found: dict[str, float] = {}
    for event in profiler.events() or []:
        if cuda and event.name.startswith(RUNTIME_PREFIXES):  # the numbers of its calls may be an operator's, too
            continue
        spent = sum(kernel.duration for kernel in event.kernels) if cuda else outermost(event)
        if spent:
            while event.cpu_parent is not None:
                event = event.cpu_parent
            kind = event.name.removeprefix("aten::").removesuffix("_")
            found[kind] = found.get(kind, 0.0) + spent * 1e-6 / PROFILED
    return found


def outermost(event: Any) -> float:
    return event.time_range.elapsed_us() if event.cpu_parent is None and event.name.startswith("aten::") else 0.0


def deepspeed(module: Any, inputs: tuple[Any, ...], ours: float) -> str:
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
            profiler = import_module("deepspeed.profiling.flops_profiler").FlopsProfiler(module)
            profiler.start_profile()
            module(*inputs)
            spent = profiler.get_total_duration()
            profiler.end_profile()
    except ImportError:
        return "missing"
    except Exception as error:  # noqa: BLE001 — what it cannot profile is told
        return type(error).__name__
    return f"{spent / ours:.2f}"


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batch", default="1")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


def table(wish: argparse.Namespace) -> Iterator[list[str]]:
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name, batch, dtype in itertools.product(wish.only, wish.batch.split(","), wish.dtype.split(",")):
            yield pool.submit(alone, wish.threads, name, int(batch), dtype, wish.device, wish.seconds).result()


def alone(threads: int | None, *given: Any) -> list[str]:
    """One line, in a process that has measured nothing yet."""
    warnings.filterwarnings("ignore")
    if threads:
        torch.set_num_threads(threads)
    return measured(*given)


def main() -> None:
    wish = asked()
    threads = wish.threads or torch.get_num_threads()
    where = torch.cuda.get_device_name() if wish.device.startswith("cuda") else f"{threads} threads"
    print(f"{machine()}, {wish.device}: {where}\n")
    print(tabulate(list(table(wish)), headers=HEADERS, disable_numparse=True))


if __name__ == "__main__":
    main()
