"""What is known of archscope on a GPU, anew: foundations, tests, ceilings, five nets, training steps, suspicions.

    make gpu                                     all of it, the most valuable first, in 400 seconds at most
    make gpu ONLY=nets64,train BUDGET=200        some sections, in 200
    python tests/benchmarks/gpu.py --dry         on the processor with tiny nets: that all of it runs

Needs torch, click, PyYAML, tabulate, and for the section `tests` pytest and hypothesis; no network. Every section is a
process with a limit of its own, so that one that hangs, or leaves the GPU in a bad state, costs itself only. What each
found stands in OUT/gpu.json (OUT is build/gpu by itself) before the next one starts. At the end stands one table, held
against the goals. The GPU's settings are left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = Path(__file__).with_name("gpu_sections.py")

MODELS = ("resnet50", "gpt2", "vit_b_16", "lstm", "unet")
FLOAT, HALF = "float32", "bfloat16"
CUDA_TESTS = [
    f"tests/profiling/test_{name}.py" for name in ("kernels", "graphs", "clocks", "machine", "memory", "ceilings")
]
SUSPICIONS = ("precision", "capture", "devices", "kernels", "memory", "reentrant", "compiled", "profiler_stays")

Config = dict[str, Any]


def nets(batch: int) -> list[Config]:
    """Those that keep a GPU busiest come first."""
    return [
        {"model": model, "batch": batch, "dtype": dtype, "train": False} for dtype in (FLOAT, HALF) for model in MODELS
    ]


TRAIN = [
    {"model": model, "batch": batch, "dtype": dtype, "train": True}
    for model, batch, dtype in (
        *(("resnet50", 64, FLOAT), ("gpt2", 16, HALF), ("vit_b_16", 32, HALF)),
        *(("unet", 8, FLOAT), ("lstm", 64, FLOAT)),
    )
]
DRY = {"model": "lenet", "batch": 2, "dtype": FLOAT}

PLAN: dict[str, tuple[float, list[tuple[str, Config]]]] = {
    "foundations": (40, [("foundations", {})]),
    "tests": (110, [("tests", {})]),
    "ceilings": (45, [("ceilings", {})]),
    "nets64": (130, [("net", config) for config in nets(64)]),
    "train": (70, [("net", config) for config in TRAIN]),
    "suspicions": (90, [("suspicion", {"name": name}) for name in SUSPICIONS]),
    "nets1": (90, [("net", config) for config in nets(1)]),
}
"""SectionParser → seconds at most, and its processes: what each runs, and on what. The most valuable first."""

GOALS = (
    ("rows_of_profiler", 0.03, "rows within 3 % of the profiler's"),
    ("accounted", 0.05, "rows within 5 % of the whole, where the GPU is busy"),
    ("memory", 0.05, "memory within 5 %"),
    ("whole_of_timer", 0.05, "the whole within 5 % of torch.utils.benchmark"),
)
BUSY = 0.9
"""From this share of the time on the GPU is kept busy, and rows must sum to the whole."""

COLUMNS = (
    *(("ours", "ours ms", 1e3, 3), ("whole_of_timer", "÷timer", 1, 3), ("whole_of_do_bench", "÷do_bench", 1, 3)),
    *(("rows_of_profiler", "rows÷profiler", 1, 3), ("accounted", "rows %", 100, 1), ("busy", "busy %", 100, 1)),
    *(("graph", "graph ms", 1e3, 3), ("memory", "memory", 1, 3), ("of_roofline", "roof %", 100, 1)),
)


class Day:
    """One go through the plan. found: what stands in the document."""

    def __init__(self, wish: argparse.Namespace):
        self.wish, self.began, self.out = wish, time.monotonic(), Path(wish.out)
        self.found: dict[str, Any] = {"dry": wish.dry, "sections": {}}
        self.out.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        return self.wish.budget - (time.monotonic() - self.began)

    def run(self) -> int:
        """1 where a process failed, else 0."""
        for name, (limit, jobs) in PLAN.items():
            if not self.wish.only or name in self.wish.only:
                self.section(name, limit, self.tiny(jobs) if self.wish.dry else jobs)
        print(*self.table(), sep="\n", flush=True)
        return int(any("failed" in line for lines in self.found["sections"].values() for line in lines))

    @staticmethod
    def tiny(jobs: list[tuple[str, Config]]) -> list[tuple[str, Config]]:
        """The same in one process, of one tiny net."""
        what, config = jobs[0]
        if what == "net":
            return [(what, {**DRY, "train": config["train"]})]
        return [(what, {"name": ",".join(SUSPICIONS)})] if what == "suspicion" else jobs

    def section(self, name: str, limit: float, jobs: list[tuple[str, Config]]) -> None:
        limit = self.left if self.wish.dry else min(limit, self.left)
        end, lines = time.monotonic() + limit, self.found["sections"].setdefault(name, [])
        print(f"== {name}, at {time.monotonic() - self.began:.0f} s", flush=True)
        for what, config in jobs:
            seconds = end - time.monotonic()
            if seconds < min(5, limit / 4):
                lines.append({**config, "left out": "no time"})
                continue
            began = time.monotonic()
            lines.append({**config, **self.process(what, config, seconds)})
            lines[-1]["seconds"] = round(time.monotonic() - began, 1)
            self.write()
            print("  ", said(lines[-1]), flush=True)
        self.write()

    def process(self, what: str, config: Config, limit: float) -> dict[str, Any]:
        """What a process says in its last line, which is a JSON document; or how it failed."""
        command = [sys.executable, str(SECTIONS), what, json.dumps(config), "dry" if self.wish.dry else "gpu"]
        if what == "tests":
            command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", "--tb=short"]
            command += CUDA_TESTS[2:3] if self.wish.dry else CUDA_TESTS
        job = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=self.environment(),
            start_new_session=True,
        )
        try:
            out, err = job.communicate(timeout=limit)
        except BaseException as broken:  # also Ctrl-C, which the process of a session of its own does not hear of
            os.killpg(job.pid, signal.SIGKILL)
            job.communicate()
            if not isinstance(broken, subprocess.TimeoutExpired):
                raise
            return {"failed": f"ended after {limit:.0f} s"}
        lines = out.strip().splitlines()
        if what == "tests":
            wrong = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
            return {"tests": lines[-1] if lines else "", **({"failed": wrong or err[-800:]} if job.returncode else {})}
        if job.returncode or not lines:
            return {"failed": err.strip()[-800:] or f"exit code {job.returncode}"}
        try:
            return dict(json.loads(lines[-1]))
        except ValueError:
            return {"failed": f"its last line is no document: {lines[-1][:200]}"}

    def environment(self) -> dict[str, str]:
        """The user's own cache of ceilings is left alone."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        return {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(self.out.resolve() / "cache")}

    def write(self) -> None:
        draft = self.out / "gpu.json.part"
        draft.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, self.out / "gpu.json")

    # -------------------------------------------------------- the table
    def table(self) -> Iterator[str]:
        lines = [line for name in ("nets64", "nets1", "train") for line in self.found["sections"].get(name, ())]
        yield f"\nafter {time.monotonic() - self.began:.0f} s; all figures: {self.out / 'gpu.json'}"
        machine = next(
            (line["machine"] for line in self.found["sections"].get("foundations", ()) if "machine" in line), None
        )
        if machine is not None:
            yield ", ".join([machine["name"], *(f"{name} {version}" for name, version in machine["versions"].items())])
        yield " ".join([" " * 24, *(f"{header:>13}" for _, header, _, _ in COLUMNS)])
        for line in lines:
            yield " ".join(
                [f"{label(line):24}", *(cell(line.get(key), scale, digits) for key, _, scale, digits in COLUMNS)]
            )
        for key, off, words in GOALS:
            counted = [line for line in lines if key != "accounted" or may_be_busy(line)]
            ratios = [line[key] for line in counted if line.get(key) is not None]
            unknown = len(counted) - len(ratios)
            without = f", {unknown} without a figure" if unknown else ""
            yield f"{words}: {sum(abs(ratio - 1) <= off for ratio in ratios)} of {len(ratios)}{without}"
        for name, section in self.found["sections"].items():
            yield from (f"{name}: {label(line)}: {str(line['failed'])[-300:]}" for line in section if "failed" in line)


def may_be_busy(line: dict[str, Any]) -> bool:
    """Whether the GPU was kept busy, as far as that is known."""
    share = line.get("busy")
    return share is None or share >= BUSY


def label(line: dict[str, Any]) -> str:
    if "model" not in line:
        return str(line.get("name", ""))
    return f"{line['model']} {line['batch']} {line['dtype']}{' train' if line['train'] else ''}"


def cell(value: float | None, scale: float, digits: int) -> str:
    return f"{'?' if value is None else format(value * scale, f'.{digits}f'):>13}"


def said(line: dict[str, Any]) -> str:
    """A line of the document in short."""
    rest = {
        key: value for key, value in line.items() if key not in ("model", "batch", "dtype", "train", "machine", "kinds")
    }
    return f"{label(line)} {json.dumps(rest)}"[:400]


def asked(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.environ.get("OUT") or str(ROOT / "build" / "gpu"))
    parser.add_argument("--budget", type=float, default=float(os.environ.get("BUDGET") or 400), help="seconds in all")
    parser.add_argument("--only", default=os.environ.get("ONLY", ""), help=f"some of {', '.join(PLAN)}")
    parser.add_argument("--dry", action="store_true", help="on the processor, with tiny nets")
    wish = parser.parse_args(arguments)
    wish.only = [name for name in wish.only.split(",") if name]
    unknown = set(wish.only) - PLAN.keys()
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(PLAN)}")
    return wish


if __name__ == "__main__":
    sys.exit(Day(asked()).run())
