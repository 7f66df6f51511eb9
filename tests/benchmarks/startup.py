"""Whole processes: each command ÷ `python -c "import torch"`, interleaved, medians.

What needs torch may take little more than torch itself; what does not need it must not pay for it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import Figure, medians, show

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 7
BROKEN = "input: [N, 3, 8, 8]\nlayers: [Conv2d(8, 3), ReLU]\n"


def process(program: str, *arguments: str, code: int = 0) -> Callable[[], None]:
    """Runs a program text in a fresh interpreter; another exit code than `code` ends the measurement."""

    def run() -> None:
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != code:
            raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")

    return run


def command(*arguments: str, code: int = 0) -> Callable[[], None]:
    return process("from archscope.cli import main; main()", *arguments, code=code)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        broken = Path(folder) / "broken.yaml"
        broken.write_text(BROKEN, encoding="utf-8")
        commands = {
            "summary of a small spec": (command("summary", "specs/tutorials/residual_mnist.yaml"), 1.25),
            "summary of resnet50": (command("summary", "specs/resnet.yaml:resnet50"), 1.6),
            "--help": (command("--help"), 0.25),
            "--version": (command("--version"), 0.25),
            "schema": (command("schema"), 0.25),
            "a syntax error": (command("summary", str(broken), code=2), 0.25),
        }
        cases = {"import torch": process("import torch"), **{name: run for name, (run, _) in commands.items()}}
        times = medians(cases, ROUNDS)
    torch = times["import torch"]
    figures = [Figure(name, times[name], times[name] / torch, target) for name, (_, target) in commands.items()]
    show(f"whole process ÷ import torch ({torch:.3f} s)", figures)


if __name__ == "__main__":
    main()
