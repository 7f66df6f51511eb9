"""What runs of archscope for three everyday calls: its files, functions, imports and the depth of its stack.

python tests/benchmarks/journeys.py           a table of the three
python tests/benchmarks/journeys.py --files   and the files of each, in the order in which they are entered
python tests/benchmarks/journeys.py --ways    and the packages of each as a Markdown list for docs/house.md

Every call runs in a fresh interpreter under sys.setprofile. A file counts if one of its functions runs; what runs while
a module is imported does not count. loaded: the modules of archscope that were imported.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = str(ROOT / "archscope") + os.sep
CONFLICT = "input: [N, 3, 8, 8]\nlayers:\n  - Conv2d(3, 8, 3)\n  - ReLU\n  - Conv2d(4, 8, 3)\n"
COMMAND = "from archscope.cli import main; main()"
MODEL = """
import torch, archscope
model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3))
print(archscope.summarize(model, (1, 3, 32, 32)))
"""
JOURNEYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "summary spec.yaml": (COMMAND, ("summary", "specs/tutorials/residual_mnist.yaml")),
    "summarize(model)": (MODEL, ()),
    "check --fix": (COMMAND, ("check", "--fix", "FILE")),
}
"""The program of each journey, and its arguments; FILE stands for a spec with one conflict."""


class Profile:
    """The functions of archscope that run."""

    def __init__(self) -> None:
        self.functions: set[tuple[str, str, int]] = set()
        self.files: dict[str, None] = {}
        self.edges: set[tuple[str, str]] = set()
        self.depth = 0

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        is_function = code.co_flags & inspect.CO_OPTIMIZED  # and neither a module nor the body of a class
        if event != "call" or not is_function or not code.co_filename.startswith(PACKAGE):
            return
        callers = own_callers(frame)
        if callers is None:
            return
        file = code.co_filename.removeprefix(PACKAGE)
        self.files[file] = None
        self.functions.add((file, code.co_qualname, code.co_firstlineno))
        self.depth = max(self.depth, len(callers) + 1)
        if callers and callers[0] != file:
            self.edges.add((callers[0], file))


def own_callers(frame: FrameType) -> list[str] | None:
    """Return the files of archscope's functions that are active above a frame, the nearest first; None while a module
    of archscope is imported.
    """
    found: list[str] = []
    above = frame.f_back
    while above is not None:
        if above.f_code.co_filename.startswith(PACKAGE):
            if above.f_code.co_name == "<module>":
                return None
            found.append(above.f_code.co_filename.removeprefix(PACKAGE))
        above = above.f_back
    return found


def profile_journey(name: str) -> None:
    """Run a journey in this process, and print what ran of archscope as JSON on the last line."""
    profile = Profile()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.yaml"
        file.write_text(CONFLICT, "utf-8")
        program, arguments = JOURNEYS[name]
        sys.argv = ["archscope", *(str(file) if argument == "FILE" else argument for argument in arguments)]
        sys.setprofile(profile)
        try:
            exec(program)
        except SystemExit as ended:
            if ended.code:
                raise
        finally:
            sys.setprofile(None)
    loaded = [name for name in sys.modules if name.partition(".")[0] == "archscope"]
    found = {
        "files": list(profile.files),
        "functions": len(profile.functions),
        "edges": len(profile.edges),
        "depth": profile.depth,
        "loaded": len(loaded),
    }
    print("\n" + json.dumps(found))


def way(files: list[str]) -> str:
    """Return the packages of files, in the order in which they are entered, with the number of files of each."""
    packages = [file.partition("/")[0] if "/" in file else file for file in files]
    return ", ".join(f"{name} {packages.count(name)}" if "." not in name else name for name in dict.fromkeys(packages))


def main() -> None:
    print(f"{'':20} {'files':>6} {'functions':>10} {'edges':>6} {'depth':>6} {'loaded':>7}")
    lists: dict[str, Any] = {}
    for name in JOURNEYS:
        command = [sys.executable, __file__, "--profile", name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stderr}")
        found = json.loads(done.stdout.splitlines()[-1])
        lists[name] = found["files"]
        figures = (len(found["files"]), found["functions"], found["edges"], found["depth"], found["loaded"])
        print(f"{name:20} {figures[0]:6} {figures[1]:10} {figures[2]:6} {figures[3]:6} {figures[4]:7}")
    if "--ways" in sys.argv:
        print("\n" + "\n".join(f"* `{name}`: {way(files)}" for name, files in lists.items()))
    if "--files" in sys.argv:
        for name, files in lists.items():
            print(f"\n{name}\n" + "\n".join(f"  {file}" for file in files))


if __name__ == "__main__":
    if "--profile" in sys.argv:
        profile_journey(sys.argv[-1])
    else:
        main()
