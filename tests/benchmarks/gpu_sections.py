"""What a process of `gpu.py` does: python gpu_sections.py SECTION_HEADER JSON dry|gpu → a JSON document on its last
line.

Under `dry` the device is the processor: what needs a GPU says so.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from targets import TARGETS
from torch import nn
from torch.utils import benchmark
from torch.utils.checkpoint import checkpoint

import archscope
from archscope import api
from archscope.analysis import spec_runs
from archscope.compile import build
from archscope.devices import backend_of, quiet_profile
from archscope.devices.precision import HAS_FP32_PRECISION
from archscope.profiling.benchmark import prepared_workload
from archscope.profiling.ceilings import measure_ceilings
from archscope.profiling.cuda_graph import capture_step
from archscope.profiling.rows_cuda import gpu_events, profile_runs, split_overlaps
from archscope.profiling.workload import Workload, make_optimizer

DRY = sys.argv[3:] == ["dry"]
DEVICE = "cpu" if DRY else "cuda"
SECONDS = 0.05 if DRY else 1.0
BACKEND = backend_of(DEVICE)
PROFILED = 6
NO_GPU = "needs a GPU"


def tried(run: Callable[[], Any]) -> Any:
    """What it gives, or what it raised."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001 — whatever it is, it is a finding
        return f"{type(error).__name__}: {error}"[:300]


# ------------------------------------------------------------ what all else stands on
def foundations() -> dict[str, Any]:
    return {
        "machine": BACKEND.machine().to_dict(),
        "profiler": tried(one_linear),
        "capture": {name: tried(lambda name=name: capture(name)) for name in ("", "sgd", "momentum", "adam", "adamw")},
        "allocator": tried(allocator),
    }


def one_linear() -> dict[str, Any]:
    """Calls whose kernels were found, of two functions, forward and backward, and microseconds of none."""
    if DRY:
        return {"skipped": NO_GPU}
    model, x = nn.Sequential(nn.Linear(1024, 1024), nn.GELU()).to(DEVICE), torch.rand(4096, 1024, device=DEVICE)
    runs = profile_runs(lambda: model(x), lambda out: out.backward(torch.ones_like(out)), BACKEND, times=3)
    _, times = runs[-1]
    return {"forward": sorted(times.forward), "backward": sorted(times.backward), "elsewhere": 1e6 * times.ownerless}


def capture(optimizer: str) -> str:
    """`ok`, or why the step could not be captured."""
    model = nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.1), nn.BatchNorm1d(64)).to(DEVICE).train(bool(optimizer))
    chosen = make_optimizer(optimizer, model) if optimizer else None
    job = Workload(model, model, [((torch.rand(8, 64, device=DEVICE),), {})], DEVICE, bool(optimizer), chosen)
    with prepared_workload(job, live=True):
        replay, refused = capture_step(job)
        for _ in range(3 if replay else 0):
            replay()  # type: ignore[misc]  # there is one
        BACKEND.synchronize()
    return refused or "ok"


def allocator() -> dict[str, Any]:
    x, gauge = torch.rand(1024, 1024, device=DEVICE), BACKEND.allocator_peak()
    found: dict[str, Any] = {"peak": BACKEND.peak_bytes(lambda: x.exp()), "expected": x.nbytes}
    if gauge is not None:
        gauge.start()
        x.std()
        found["scratch"] = gauge.scratch_bytes()
    return found


def ceilings() -> dict[str, Any]:
    """Ours, and a plain copy and a plain product beside them."""
    ours = measure_ceilings(DEVICE, seconds=0.2) if DRY else archscope.device(DEVICE, again=True)
    clock, found = BACKEND.clock(), {"ours": ours.to_dict()}
    side, size = (256, 2**20) if DRY else (8192, 2**29)

    def seconds(call: Callable[[], object]) -> float:
        call()
        start = clock.mark()
        for _ in range(10):
            call()
        end = clock.mark()
        clock.synchronize()
        return clock.seconds_between(start, end) / 10

    here = torch.rand(size // 4, device=DEVICE)
    there = torch.empty_like(here)
    found["copy, bytes/s"] = 2 * here.nbytes / seconds(lambda: there.copy_(here))
    for dtype in (torch.float32, torch.bfloat16):
        left, right = (torch.randn(side, side, device=DEVICE, dtype=dtype) for _ in range(2))
        found[f"{dtype}, FLOP/s"] = 2 * side**3 / seconds(lambda: left @ right)  # noqa: B023 — called at once
    return found


# ------------------------------------------------------------ one net beside other tools
def net(model: str, batch: int, dtype: str, train: bool) -> dict[str, Any]:
    target, kind = TARGETS[model], getattr(torch, dtype)
    plan = api.compile_plan(target, batch=batch, train=train)
    module = build(plan, device=DEVICE, dtype=kind).train(train)
    inputs = tuple(spec_runs.example_inputs(plan, DEVICE, kind).values())
    optimizer = make_optimizer("adamw", module) if train else None
    job = Workload(module, module, [(inputs, {})], DEVICE, train, optimizer)
    with torch.set_grad_enabled(train):
        timer = benchmark.Timer("run()", globals={"run": job.step}, num_threads=torch.get_num_threads())
        whole = timer.blocked_autorange(min_run_time=SECONDS / 2).median
        flushed = do_bench(job.step)
    ours = archscope.time(
        target, batch=batch, dtype=dtype, device=DEVICE, train=train, seconds=SECONDS, fit=False, roofline=not DRY
    )
    with torch.set_grad_enabled(train):
        seen = of_profiler(job.step)
    assert ours.total is not None
    own = ours.measurement
    known = None if own.rows is None else own.rows.known_seconds + (ours.optimizer_seconds or 0.0)
    return {
        "ours": ours.total.median,
        "whole_of_timer": ours.total.median / whole,
        "whole_of_do_bench": None if flushed is None else ours.total.median / flushed,
        "rows_of_profiler": None if known is None or seen is None else known / seen,
        "accounted": ours.accounted,
        "busy": None if seen is None else seen / whole,
        "graph": None if own.graph_replays is None else own.graph_replays.median,
        "no_graph": own.no_graph_reason,
        "memory": ours.memory.ratio,
        "of_roofline": ours.of_roofline,
        "notes": list(own.notes),
    }


def do_bench(run: Callable[[], object]) -> float | None:
    """Seconds by triton's timer, which empties the cache before each run; None without it."""
    if DRY:
        return None
    try:
        from triton.testing import do_bench as bench
    except ImportError:
        return None
    return float(bench(run, warmup=20, rep=200, return_mode="median")) / 1e3


def of_profiler(run: Callable[[], object]) -> float | None:
    """Seconds of a run in which the GPU was at work."""
    if not BACKEND.activities:
        return None
    with quiet_profile(activities=BACKEND.activities) as profiler:
        for _ in range(PROFILED):
            run()
        BACKEND.synchronize()
    return sum(seconds for _, seconds in split_overlaps(gpu_events(list(profiler.events() or ())))) / PROFILED


# ------------------------------------------------------------ what reading made doubtful
def precision() -> dict[str, Any]:
    """Under torch's recommended switch a model is analysed."""
    model, x = nn.Linear(64, 64).to(DEVICE), torch.rand(8, 64, device=DEVICE)
    if not HAS_FP32_PRECISION:
        return {"skipped": "this torch has one interface only"}
    torch.backends.cuda.matmul.fp32_precision = "tf32"  # type: ignore[attr-defined]  # from torch 2.9 on
    return {
        "summarize": tried(lambda: archscope.summarize(model, args=(x,)).total.macs),
        "time": tried(lambda: seconds_of(model, x)),
    }


def seconds_of(model: nn.Module, x: torch.Tensor, **how: Any) -> float | None:
    total = archscope.time(model, args=(x,), seconds=SECONDS / 5, roofline=False, **how).total
    return None if total is None else total.median


class Looking(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.dropout(x, 0.5, True)
        return y if y.sum().item() > 0 else -y


class Waiting(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        BACKEND.synchronize()
        return nn.functional.dropout(x, 0.5, True)


def broken_capture() -> dict[str, Any]:
    """Why it broke; and that dropout, the cache and another capture work afterwards."""
    found, x = {}, torch.rand(64, 64, device=DEVICE)
    for model in (Looking(), Waiting()):
        job = Workload(model, model, [((x,), {})], DEVICE)
        found[type(model).__name__] = tried(lambda: capture_step(job)[1])  # noqa: B023 — called at once
        found[f"after {type(model).__name__}"] = {
            "dropout": tried(lambda: nn.functional.dropout(x, 0.5, True).numel()),
            "capture": tried(lambda: capture("adamw")),
        }
    return found


def devices() -> dict[str, Any]:
    """A module without parameters, and one on two devices."""
    split = nn.Sequential(nn.Linear(8, 8), nn.ReLU()).to(DEVICE)
    split[1].register_buffer("table", torch.zeros(3))
    x = torch.rand(2, 8, device=DEVICE)
    bare = archscope.time(nn.GELU(), args=(x,), seconds=SECONDS / 5, roofline=False)
    return {"bare": bare.measurement.machine.device, "split": tried(lambda: seconds_of(split, x))}


DOUBLING = """
import torch, triton, triton.language as tl

@triton.jit
def kernel(x, y, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, 2 * tl.load(x + at, mask=at < count), mask=at < count)

class Doubling(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), BLOCK=1024)
        return y
"""


def by_triton() -> dict[str, Any]:
    """Rows and what no row launched, beside the profiler's sum, of a kernel that no operator launches."""
    if DRY:
        return {"skipped": NO_GPU}
    folder = Path(tempfile.mkdtemp())
    (folder / "doubling.py").write_text(DOUBLING)
    sys.path.insert(0, str(folder))
    layer = import_module("doubling").Doubling()
    model, x = nn.Sequential(nn.Linear(2048, 2048), layer).to(DEVICE), torch.rand(8192, 2048, device=DEVICE)
    ours = archscope.time(model, args=(x,), seconds=SECONDS / 5, roofline=False)
    rows = ours.measurement.rows
    with torch.no_grad():
        seen = of_profiler(lambda: model(x))
    return {"known": rows and rows.known_seconds, "elsewhere": rows and rows.unattributed, "profiler": seen}


def kernels() -> dict[str, Any]:
    """Overlapping streams: the rows' share of the whole is at most 100 %. And a kernel of Triton's."""
    width = 16 if DRY else 512
    model, x = nn.LSTM(width, width, 2).to(DEVICE), torch.rand(8, 8, width, device=DEVICE)
    ours = archscope.time(model, args=(x,), seconds=SECONDS / 2, roofline=False)
    return {"accounted": ours.accounted, "no_graph": ours.measurement.no_graph_reason, "triton": tried(by_triton)}


class Greedy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_meta:
            return self.fc(x)
        there.append((x.shape[0], 0 if DRY else torch.cuda.memory_allocated()))
        held = [self.fc(x)]
        if DRY and x.shape[0] > 4:
            raise MemoryError
        held += [torch.empty(2**30, device=x.device, dtype=torch.uint8) for _ in range(0 if DRY else x.shape[0])]
        return held[0].relu()


there: list[tuple[int, int]] = []


def memory() -> dict[str, Any]:
    """A grid whose second cell does not fit: what of it is there in the third, and how often it was tried."""
    grid = archscope.time_grid(
        Greedy, input=(1, 64), batch=(1, 512, 2), device=DEVICE, seconds=SECONDS / 5, roofline=False
    )
    first, last = (next(held for size, held in there if size == batch) for batch in (1, 2))
    return {"refused": grid.refused[0][:200], "passes": sum(size == 512 for size, _ in there), "left": last - first}


class Again(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.body, self.last = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(checkpoint(self.body, self.first(x).relu(), use_reentrant=True))


def reentrant() -> dict[str, Any]:
    """A checkpoint's MACs land on the same rows on every device."""
    found = []
    for device in ("cpu", DEVICE):
        report = archscope.summarize(Again().to(device), args=(torch.rand(2, 8, device=device),), train=True)
        found.append({f"{one.row.path} {one.row.op}": one.cost.macs for one in report.backward if one.cost.macs})
    return {"same": found[0] == found[1], "rows": found[1]}


def compiled() -> dict[str, Any]:
    if DRY:
        return {"skipped": NO_GPU}
    x = torch.rand(64, 1024, device=DEVICE)
    model = nn.Sequential(nn.Linear(1024, 1024), nn.GELU(), nn.LayerNorm(1024)).to(DEVICE)
    return {"plain": seconds_of(model, x), "compiled": seconds_of(model, x, compile=True)}


def profiler_stays() -> dict[str, Any]:
    """Launches before and after a profile: its library may stay, and slow them down."""
    model, x = nn.Sequential(*[nn.Linear(32, 32) for _ in range(100)]).to(DEVICE), torch.rand(4, 32, device=DEVICE)

    def took() -> float:
        times = []
        with torch.no_grad():
            for _ in range(2 if DRY else 40):
                began = time.perf_counter()
                model(x)
                BACKEND.synchronize()
                times.append(time.perf_counter() - began)
        return statistics.median(times)

    took()
    before = took()
    of_profiler(lambda: model(x))
    return {"slower": took() / before}


def suspicion(name: str) -> dict[str, Any]:
    """What one of them, or each of several names, shows."""
    looks: dict[str, Callable[[], dict[str, Any]]] = {
        "precision": precision,
        "capture": broken_capture,
        "devices": devices,
        "kernels": kernels,
        "memory": memory,
        "reentrant": reentrant,
        "compiled": compiled,
        "profiler_stays": profiler_stays,
    }
    names = name.split(",")
    return {one: tried(looks[one]) for one in names} if names[1:] else looks[name]()


def main() -> None:
    warnings.filterwarnings("ignore")
    sections: dict[str, Callable[..., dict[str, Any]]] = {
        "foundations": foundations,
        "ceilings": ceilings,
        "net": net,
        "suspicion": suspicion,
    }
    print(json.dumps(sections[sys.argv[1]](**json.loads(sys.argv[2])), default=str))


if __name__ == "__main__":
    main()
