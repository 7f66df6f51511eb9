"""What an analysis needs at its highest, each measured as the high-water mark of a whole process: processes → medians.

    python tests/benchmarks/memory.py

resnet50: a process builds the net, runs a tool once on a tiny model, so that its code is loaded, and then a plain
forward or the tool on the net; how much more the second needs at its highest is what the tool costs.
Llama 3 405B: `archscope summary` on shapes alone, in seconds and in megabytes, over `python -c "import torch"`.
A megabyte is 10⁶ bytes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from measure import Figure, show

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3
OURS, LARGE = 10, 300
LARGEST = "specs/llama3.yaml:405b"
Need = tuple[float, float]
"""Seconds and megabytes of a process."""


def needs(command: Sequence[str]) -> Need:
    """What a process took; one that fails ends the measurement."""
    start = time.perf_counter()
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process = os.posix_spawn(sys.executable, [sys.executable, *command], os.environ, file_actions=quiet)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - start, usage.ru_maxrss * unit / 1e6


def medians(commands: Mapping[str, Sequence[str]]) -> dict[str, Need]:
    """The median needs of each process over interleaved rounds."""
    found: dict[str, list[Need]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            found[name].append(needs(command))
    return {name: (median(need[0] for need in all_), median(need[1] for need in all_)) for name, all_ in found.items()}


def child(name: str) -> None:
    """One tool on resnet50, or a plain forward, in this process."""
    import peers
    import torch
    from torch import nn

    torch.set_num_threads(1)
    tool = {"plain": peers.plain, **peers.TOOLS}[name]
    make, _ = peers.MODELS["resnet50"]
    model, x = make()
    with peers.hushed():
        tool(nn.Sequential(nn.Linear(2, 2)), torch.randn(1, 2))
        tool(model, x)


def tools() -> list[Figure]:
    """Ours and the other tools on resnet50, over a plain forward."""
    import peers

    usable, faults = peers.usable(peers.TOOLS)
    found = medians({name: [__file__, name] for name in ("plain", *usable)})
    for name, fault in faults.items():
        print(f"{name}: {fault}", file=sys.stderr)
    over = {name: (found[name][0], found[name][1] - found["plain"][1]) for name in usable}
    return [Figure(f"{name} on resnet50, over plain", *need, OURS, "MB") for name, need in over.items()]


def largest() -> list[Figure]:
    """The table of Llama 3 405B over `import torch`."""
    table = ["-m", "archscope", "summary", LARGEST, "--device", "meta"]
    found = medians({"torch": ["-c", "import torch"], "table": table})
    (seconds, size), (alone, bare) = found["table"], found["torch"]
    return [
        Figure("Llama 3 405B, over import torch", seconds, seconds - alone, 5, "s"),
        Figure("Llama 3 405B, over import torch", seconds, size - bare, LARGE, "MB"),
    ]


def main() -> None:
    os.chdir(ROOT)
    os.environ["OMP_NUM_THREADS"] = "1"
    show("what is needed at the highest, whole processes", largest() + tools())


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
