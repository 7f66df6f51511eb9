"""Analysis ÷ plain forward, ours and the other tools': models → interleaved rounds in one process → medians.

    python tests/benchmarks/peers.py                       all models, seven rounds
    python tests/benchmarks/peers.py lstm --rounds 3 --only archscope torchinfo

In every round each tool analyses the same model on the same input once, after a plain forward without gradients. CPU
time counts, since it is what other work on the machine touches least; the ratio of wall times stands beside it. A tool
that leaves something in its model gets a fresh copy every round, which is not timed. Tools that are not installed are
named, and so are those that raise.
"""

from __future__ import annotations

import argparse
import copy
import gc
import io
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from measure import machine
from tabulate import tabulate
from torch import nn

import archscope

SPECS = Path(__file__).resolve().parents[2] / "specs"
Tool = Callable[[nn.Module, torch.Tensor], object]
Times = dict[str, list[tuple[float, float]]]


# ------------------------------------------------------------ models
def image(spec: str) -> tuple[nn.Module, torch.Tensor]:
    return archscope.build(f"{SPECS}/{spec}").eval(), torch.randn(1, 3, 224, 224)


def lstm() -> tuple[nn.Module, torch.Tensor]:
    return nn.LSTM(256, 512, 2, batch_first=True).eval(), torch.randn(8, 64, 256)


def triples(depth: int) -> tuple[nn.Module, torch.Tensor]:
    """depth × (conv, norm, relu), three channels wide: all of it is overhead."""
    three = [(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()) for _ in range(depth)]
    return nn.Sequential(*(layer for layers in three for layer in layers)).eval(), torch.randn(1, 3, 16, 16)


def nested(depth: int) -> tuple[nn.Module, torch.Tensor]:
    """One layer in so many containers."""
    model: nn.Module = nn.Linear(8, 8)
    for _ in range(depth):
        model = nn.Sequential(model)
    return model.eval(), torch.randn(1, 8)


MODELS: dict[str, tuple[Callable[[], tuple[nn.Module, torch.Tensor]], float]] = {
    "resnet50": (partial(image, "resnet.yaml:resnet50"), 1.15),
    "densenet121": (partial(image, "densenet.yaml:densenet121"), 1.15),
    "vit_b_16": (partial(image, "vit.yaml:vit_b_16"), 1.05),
    "lstm": (lstm, 1.05),
    "triples": (partial(triples, 2000), 2.5),
}
"""What is analysed, and how much of a plain forward ours may take."""
SHALLOW, DEEP, NESTED = 250, 4000, 2000


# ------------------------------------------------------------ tools
def ours(model: nn.Module, x: torch.Tensor) -> object:
    return archscope.summarize(model, args=(x,)).total.macs


def torchinfo(model: nn.Module, x: torch.Tensor) -> object:
    return import_module("torchinfo").summary(model, input_data=x, verbose=0).total_mult_adds


def fvcore(model: nn.Module, x: torch.Tensor) -> object:
    analysis = import_module("fvcore.nn").FlopCountAnalysis(model, x)
    return analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False).total()


@torch.no_grad()
def flop_counter(model: nn.Module, x: torch.Tensor) -> object:
    counter = import_module("torch.utils.flop_counter").FlopCounterMode(display=False)
    with counter:
        model(x)
    return counter.get_total_flops()


def ptflops(model: nn.Module, x: torch.Tensor) -> object:
    asked = {"as_strings": False, "print_per_layer_stat": False, "backend": "aten"}
    given = {"input_constructor": lambda _: {input_name(model): x}}
    return import_module("ptflops").get_model_complexity_info(model, tuple(x.shape[1:]), **asked, **given)


def thop(model: nn.Module, x: torch.Tensor) -> object:
    return import_module("thop").profile(model, inputs=(x,), verbose=False)


def calflops(model: nn.Module, x: torch.Tensor) -> object:
    asked = {"print_results": False, "output_as_string": False}
    return import_module("calflops").calculate_flops(model, args=[x], **asked)


def deepspeed(model: nn.Module, x: torch.Tensor) -> object:
    profiler = import_module("deepspeed.profiling.flops_profiler")
    return profiler.get_model_profile(model, args=[x], print_profile=False, as_string=False, warm_up=0)


def input_name(model: nn.Module) -> str:
    """What the model's forward calls its input, for tools that pass it by keyword."""
    return "x" if isinstance(model, torch.fx.GraphModule) else "input"


TOOLS: dict[str, Tool] = {
    "archscope": ours,
    "torchinfo": torchinfo,
    "FlopCounterMode": flop_counter,
    "ptflops (aten)": ptflops,
    "calflops": calflops,
    "thop": thop,
    "fvcore": fvcore,
    "deepspeed": deepspeed,
}


@contextmanager
def hushed() -> Iterator[None]:
    """What the tools print and warn of does not reach the table."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def usable(tools: dict[str, Tool]) -> tuple[dict[str, Tool], dict[str, str]]:
    """The tools that can do a tiny model, and of the others why not."""
    found, faults = {}, {}
    for name, tool in tools.items():
        try:
            with hushed():
                tool(nn.Sequential(nn.Linear(2, 2)), torch.randn(1, 2))
            found[name] = tool
        except ModuleNotFoundError as error:
            faults[name] = f"not installed ({error.name})"
        except Exception as error:  # noqa: BLE001 — whatever another tool raises is told
            faults[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return found, faults


# ------------------------------------------------------------ rounds
@torch.no_grad()
def plain(model: nn.Module, x: torch.Tensor) -> object:
    return model(x)


def timed(tool: Tool, model: nn.Module, x: torch.Tensor) -> tuple[float, float]:
    """CPU and wall seconds of one analysis."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    with hushed():
        tool(model, x)
    return time.process_time() - cpu, time.perf_counter() - wall


def measured(model: nn.Module, x: torch.Tensor, tools: dict[str, Tool], rounds: int) -> Times:
    """CPU and wall seconds of every tool in every round, after one that is not counted; a tool that raises is left
    out of the rest."""
    times: Times = {"plain": [], **{name: [] for name in tools}}
    left = dict(tools)
    for number in range(rounds + 1):
        for name, tool in {"plain": plain, **left}.items():
            subject = model if name in ("plain", "archscope") else copy.deepcopy(model)
            try:
                taken = timed(tool, subject, x)
            except Exception as error:  # noqa: BLE001 — whatever another tool raises is told
                print(f"{name} failed: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
                del left[name]
                continue
            if number:
                times[name].append(taken)
    return times


def seconds(times: Times, name: str, clock: int) -> float:
    """The median; infinite where the tool failed."""
    return statistics.median(taken[clock] for taken in times[name]) if times[name] else float("inf")


def ratio(times: Times, name: str) -> str:
    """`1.13 (1.15)`: CPU time ÷ that of a plain forward, and in brackets the same of wall times."""
    if not times[name]:
        return "failed"
    cpu, wall = (seconds(times, name, clock) / seconds(times, "plain", clock) for clock in (0, 1))
    return f"{cpu:.2f} ({wall:.2f})"


# ------------------------------------------------------------ tables
def against_plain(names: Sequence[str], tools: dict[str, Tool], rounds: int) -> None:
    """Each tool's share of a plain forward on each model, with what ours may take."""
    columns = {}
    for name in names:
        make, limit = MODELS[name]
        times = measured(*make(), tools, rounds)
        verdicts = [f"≤ {limit:.2f}", f"{seconds(times, 'plain', 0):.3f} s"]
        columns[name] = [*(ratio(times, tool) for tool in tools), *verdicts]
        print(f"{name}: {', '.join(f'{tool} {ratio(times, tool)}' for tool in tools)}", file=sys.stderr)
    rows = [[label, *cells] for label, *cells in zip([*tools, "ours at most", "plain"], *columns.values(), strict=True)]
    print(f"\nanalysis ÷ plain forward: CPU time (wall time)\n{machine()}\n")
    print(tabulate(rows, headers=["tool", *columns], disable_numparse=True))


def growth(tools: dict[str, Tool], rounds: int) -> None:
    """What sixteen times the depth costs."""
    shallow, deep = (measured(*triples(depth), tools, rounds) for depth in (SHALLOW, DEEP))
    rows = [[name, f"{seconds(deep, name, 0) / seconds(shallow, name, 0):.1f}"] for name in ("plain", *tools)]
    print(f"\n{DEEP:,} × (conv, norm, relu) ÷ {SHALLOW}, CPU time; ours at most {DEEP / SHALLOW:.0f}\n")
    print(tabulate(rows, headers=["tool", "×"], disable_numparse=True))


def deeply(rounds: int) -> None:
    """Ours on containers in containers, with the table printed and without."""
    tools: dict[str, Tool] = {"archscope": ours, "printed": lambda model, x: str(archscope.summarize(model, args=(x,)))}
    times = measured(*nested(NESTED), tools, rounds)
    rows = [[name, f"{1000 * (seconds(times, name, 0) - seconds(times, 'plain', 0)):.1f}"] for name in tools]
    print(f"\n{NESTED:,} containers in each other, milliseconds over a plain forward\n")
    print(tabulate(rows, headers=["", "ms"], disable_numparse=True))


def in_a_deep_thread(run: Callable[[], object]) -> None:
    """Containers in containers need more of Python's stack than it gives by itself."""
    sys.setrecursionlimit(100_000)
    threading.stack_size(512 * 2**20)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Analysis ÷ plain forward, ours and the other tools'.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}, growth, nested; all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", choices=TOOLS, default=list(TOOLS), help="tools to measure")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    torch.set_num_threads(1)
    tools, faults = usable({name: TOOLS[name] for name in options.only})
    wanted: list[Any] = options.models or [*MODELS, "growth", "nested"]
    if models := [name for name in wanted if name in MODELS]:
        against_plain(models, tools, options.rounds)
    if "growth" in wanted:
        growth(tools, options.rounds // 3 + 1)
    if "nested" in wanted and "archscope" in tools:
        in_a_deep_thread(partial(deeply, options.rounds))
    print("".join(f"\n{name}: {fault}" for name, fault in faults.items()))


if __name__ == "__main__":
    main()
