"""The structure of the package: layers, imports, printing, module state and sizes, checked in every source file.

docs/house.md explains the layers. Imports are read from the syntax tree, also those inside of functions. Every check is
a function from a source to its complaints, so that the second half of this file can show each of them failing.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS: dict[str, int] = {
    "errors": 0,
    "gc_pause": 0,
    "interrupts": 0,
    "machine": 0,
    "plain_files": 0,
    "units": 0,
    "config": 1,
    "cost": 1,
    "ops": 1,
    "planned_block": 1,
    "spec": 1,
    "tested_versions": 1,
    "trace": 1,
    "trace_index": 1,
    "user_warnings": 1,
    "compile": 2,
    "devices": 2,
    "record": 2,
    "targets": 2,
    "torch_layers": 2,
    "report": 3,
    "graph": 4,
    "checks": 5,
    "report_comparison": 5,
    "conflicts": 5,
    "counters": 5,
    "profiling": 5,
    "render": 6,
    "analysis": 7,
    "fixes": 8,
    "api": 9,
    "__init__": 10,
    "cli": 10,
    "pytest_plugin": 10,
    "testing": 10,
    "__main__": 11,
}
SAME_LAYER_IMPORTS: dict[tuple[str, str], str] = {
    ("cost", "trace"): "a cost is computed from the rows of a trace",
    ("trace_index", "trace"): "an index is an index of a trace",
    ("planned_block", "trace"): "a planned step has the shapes of a trace",
    ("ops", "trace"): "mismatches and windows are those of a trace's rows",
    ("spec", "ops"): "the dtypes that a spec may name",
    ("compile", "torch_layers"): "a step is a layer with its arguments",
    ("targets", "record"): "only record lists what a module holds",
    ("record", "devices"): "only devices calls the functions of devices",
    ("targets", "devices"): "only devices calls the functions of devices",
}
TORCH_PACKAGES = frozenset({"compile", "counters", "devices", "profiling", "record", "targets", "torch_layers"})
LOAD_TORCH = frozenset({"analysis", "fixes"})
"""Packages that import those of torch at their top, and do not name torch themselves."""
TYPE_IMPORTS: dict[tuple[str, str], str] = {("errors", "report"): "an error of a run carries its report"}
"""Imports upwards that only type checkers see."""
THIRD_PARTY: dict[str, frozenset[str]] = {
    "torch": TORCH_PACKAGES,
    "fvcore": frozenset({"counters"}),
    "torchinfo": frozenset({"counters"}),
    "click": frozenset({"cli"}),
    "yaml": frozenset({"spec"}),
    "tabulate": frozenset({"render"}),
    "pytest": frozenset({"pytest_plugin", "testing"}),
    "_pytest": frozenset({"pytest_plugin"}),
    "matplotlib": frozenset({"render"}),
}
EMPTY_NAMES = frozenset({"utils", "util", "common", "helpers", "helper", "base", "core", "misc"})
EMPTY = frozenset({"{}", "[]", "dict()", "list()", "set()"})
LONGEST_FUNCTION, LONGEST_FILE = 60, 430


@dataclass(frozen=True)
class Source:
    """One file of the package: its path below `archscope/`, its text, its syntax tree."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def package(self) -> str:
        return self.path.split("/")[0].removesuffix(".py")

    @property
    def module(self) -> str:
        return "archscope." + self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# ------------------------------------------------------------ what a file imports
def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, also inside of functions; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, name.name) for name in names)
            case ast.ImportFrom(module=module, names=names):
                yield from ((node.lineno, f"{module}.{name.name}") for name in names)
            case ast.Call(func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module")):
                yield from ((node.lineno, arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def package_of(name: str) -> str | None:
    """Return the top-level package or module of an imported name; None for third-party names."""
    package, *rest = name.split(".")
    if package != "archscope":
        return None
    return rest[0] if rest and rest[0] in LAYERS else "__init__"


def without_type_imports(tree: ast.Module) -> ast.Module:
    """Return a module without its statements `if TYPE_CHECKING`."""
    ours = [node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")]
    return ast.Module(ours, [])


# ------------------------------------------------------------ the checks
def has_a_layer(source: Source) -> Iterator[str]:
    if source.package not in LAYERS:
        yield f"{source.path}: the package {source.package!r} is in no layer"
    yield from (
        f"{source.path}: {part!r} says nothing about what is in it"
        for part in source.path.removesuffix(".py").split("/")
        if part in EMPTY_NAMES
    )


def imports_go_down(source: Source) -> Iterator[str]:
    running = {name for _, name in imported(without_type_imports(source.tree))}
    for line, name in imported(source.tree):
        package = package_of(name)
        if package is None or package == source.package or (source.package, package) in SAME_LAYER_IMPORTS:
            continue
        if (source.package, package) in TYPE_IMPORTS and name not in running:
            continue
        if LAYERS[package] >= LAYERS.get(source.package, -1):
            yield f"{source.path}:{line}: {source.package} may not import {package} (layer {LAYERS[package]})"


def third_party_imports_are_allowed(source: Source) -> Iterator[str]:
    for line, name in imported(source.tree):
        package = name.split(".")[0]
        if package == "archscope" or package in sys.stdlib_module_names:
            continue
        if source.package not in THIRD_PARTY.get(package, frozenset()):
            yield f"{source.path}:{line}: {source.package} may not import {package}"


def only_the_command_line_prints(source: Source) -> Iterator[str]:
    if source.package in {"cli", "__main__"}:
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                yield f"{source.path}:{node.lineno}: print outside the command line"
            case ast.Attribute(value=ast.Name(id="sys"), attr="stdout" | "stderr"):
                yield f"{source.path}:{node.lineno}: sys.{node.attr} outside the command line"


def nothing_global(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Global):
            yield f"{source.path}:{node.lineno}: module-level state is changed: global {', '.join(node.names)}"
    for node in source.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and ast.unparse(node.value) in EMPTY:
            yield f"{source.path}:{node.lineno}: an empty container at module level"


def has_a_docstring(source: Source) -> Iterator[str]:
    if source.text.strip() and not ast.get_docstring(source.tree):
        yield f"{source.path}:1: no docstring"


ACCELERATORS = frozenset({"cuda", "mps", "xpu", "hip", "hpu"})
SWITCHES = frozenset({"cuda", "cudnn", "mps"})


def devices_are_used_in_one_package(source: Source) -> Iterator[str]:
    """No `torch.cuda`, no `torch.backends.cuda`, no comparison with the name of an accelerator outside `devices`."""
    if source.package == "devices":
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="torch"), attr=attr) if attr in ACCELERATORS:
                yield f"{source.path}:{node.lineno}: torch.{attr} outside devices"
            case ast.Attribute(value=ast.Attribute(attr="backends"), attr=attr) if attr in SWITCHES:
                yield f"{source.path}:{node.lineno}: torch.backends.{attr} outside devices"
            case ast.Compare() | ast.Subscript() | ast.MatchValue() | ast.Call(func=ast.Attribute(attr="startswith")):
                constants = [part for part in ast.walk(node) if isinstance(part, ast.Constant)]
                yield from (
                    f"{source.path}:{part.lineno}: compares with {part.value!r} outside devices"
                    for part in constants
                    if part.value in ACCELERATORS
                )
    for line, name in imported(source.tree):
        if name.startswith("torch.") and ACCELERATORS & set(name.split(".")):
            yield f"{source.path}:{line}: {name} outside devices"


def functions(tree: ast.AST) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Yield every function and the number of lines of its body."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, (node.end_lineno or 0) - node.body[0].lineno + 1


def is_short(source: Source) -> Iterator[str]:
    for function, lines in functions(source.tree):
        if lines > LONGEST_FUNCTION:
            yield f"{source.path}:{function.lineno}: {function.name} has {lines} lines"
    lines = source.text.count("\n")
    if lines > LONGEST_FILE:
        yield f"{source.path}: {lines} lines, more than {LONGEST_FILE}"


LATE_IMPORTS: dict[str, str] = {
    "__init__.py": "`import archscope` imports nothing",
    **dict.fromkeys(
        ("building", "checks", "cost_registration", "crosschecks", "devices", "spec_loading", "summaries", "timings"),
        "torch is imported after the spec is read; each analysis when it is asked for",
    ),
    "analysis/module_runs.py": "a sound run loads no diagnosis",
    "analysis/run_reports.py": "a sound run loads no diagnosis",
    "cli/__init__.py": "Ctrl-C is handled before anything else is imported",
    "compile/runtime_loops.py": "a loop may hold another kind of loop",
    "counters/fvcore.py": "an optional package",
    "counters/torchinfo.py": "an optional package",
    "devices/cpu.py": "there on POSIX systems only",
    "interrupts.py": "Ctrl-C is handled before anything else is imported",
    "pytest_plugin/__init__.py": "a project without specs imports nothing",
    "pytest_plugin/variant_under_test.py": "specs are collected without torch",
    "render/roofline_picture.py": "an optional package",
    "spec/bundled_networks.py": "for a message only",
    "spec/spec_types.py": "names are read from spec types",
}
"""File, or name of a file in `api/` → why it imports inside of functions."""


def imports_at_the_top(source: Source) -> Iterator[str]:
    """Imports stand at the top of a file, but where `LATE_IMPORTS` says why not."""
    name = source.path.removeprefix("api/").removesuffix(".py") if source.package == "api" else source.path
    if name in LATE_IMPORTS:
        return
    for function, _ in functions(source.tree):
        yield from (f"{source.path}:{line}: {name} inside of a function" for line, name in imported(function))


CHECKS: tuple[Callable[[Source], Iterator[str]], ...] = (
    has_a_layer,
    imports_go_down,
    third_party_imports_are_allowed,
    only_the_command_line_prints,
    nothing_global,
    has_a_docstring,
    devices_are_used_in_one_package,
    imports_at_the_top,
    is_short,
)


# ------------------------------------------------------------ the package
@cache
def sources() -> tuple[Source, ...]:
    """Return every file of the package, read once."""
    package = ROOT / "archscope"
    paths = sorted(path for path in package.rglob("*.py") if "__pycache__" not in path.parts)
    return tuple(Source(path.relative_to(package).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


def test_every_late_import_is_still_there() -> None:
    """No file has an exemption from `imports_at_the_top` that it does not need."""
    late = {
        source.path.removeprefix("api/").removesuffix(".py") if source.package == "api" else source.path
        for source in sources()
        for function, _ in functions(source.tree)
        if any(True for _ in imported(function))
    }
    assert late == LATE_IMPORTS.keys()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_structure_is_kept(check: Callable[[Source], Iterator[str]]) -> None:
    complaints = [complaint for source in sources() for complaint in check(source)]
    assert not complaints, "\n".join(complaints)


def test_no_other_package_imports_torch() -> None:
    """The same rule at run time: all other packages are imported in one fresh interpreter."""
    loading = TORCH_PACKAGES | LOAD_TORCH | {"__main__"}
    modules = [source.module for source in sources() if source.package not in loading]
    program = f"import sys, {', '.join(modules)}\nsys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr or "torch was imported"


NAME = r"(?<![\w/.:-])archscope(?![\w/.:-])"
TOOLS = r"(?:pip3?|pipx|conda|mamba|easy_install|uv|uvx|poetry|pdm|rye|hatch)"
VERBS = r"(?:install|add|run|upgrade|download|wheel)"
OTHER_PROJECT = re.compile(
    rf"\b{TOOLS}\b(?: \w+)? {VERBS}\b(?:[^\n]|\\\n)*?{NAME}"  # a command that installs it
    rf"|[\"'](?<![\w-])archscope(?:\[[\w,-]*\] *(?:[=<>~!]=?[^\"']*)?|[=<>~!]=[^\"']*)[\"']"  # a requirement
    rf"|^ *- *archscope(?:\[[\w,-]*\])?(?:[=<>~!]=?.*)?$|^archscope(?:\[[\w,-]*\])?[=<>~!]=",  # in a list of them
    re.MULTILINE,
)
"""An installation by the name that another project has on the public package index."""


def tracked() -> list[str]:
    """The files of the repository, by their paths in it."""
    return subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True).stdout.splitlines()


def test_nothing_lies_at_the_top_but_what_a_tool_or_a_reader_looks_for_there() -> None:
    folders = {"archscope", "tests", "specs", "docs", ".ci"}
    files = {"README.md", "LICENSE", "Makefile", "pyproject.toml", "setup.py", "constraints.txt"}
    optional = {".gitignore", ".pre-commit-hooks.yaml", "mkdocs.yml"}
    assert {name.partition("/")[0] for name in tracked()} - optional == folders | files


def test_no_text_installs_the_other_project_of_this_name() -> None:
    paths = [path for name in tracked() if (path := ROOT / name).is_file()]
    assert not [path for path in paths if OTHER_PROJECT.search(path.read_text(encoding="utf-8", errors="replace"))]


@pytest.mark.parametrize(
    ("text", "found"),  # @ stands for the name, so that this file itself holds no such line
    [
        ("pip install @", True),
        ("pip install '@[pictures]'", True),
        ("python -m pip install --upgrade @", True),
        ("pip install torch \\\n    @", True),
        ("uv pip install @", True),
        ("uv add @", True),
        ("pipx install @", True),
        ('test = ["@[pictures]"]', True),
        ('"@>=0.1"', True),
        ("torch\n@==0.1\n", True),
        ("dependencies:\n  - @\n", True),
        ("pip install .", False),
        ("pip install torch-@", False),
        ("pip install git+https://example.com/@.git", False),
        ("pip uninstall @", False),
        ('"torch-@[pictures]"', False),
        ("- run: @ check", False),
    ],
)
def test_the_other_project_is_recognised(text: str, found: bool) -> None:
    assert bool(OTHER_PROJECT.search(text.replace("@", "archscope"))) is found


# ------------------------------------------------------------ each check can complain
BAD = [
    (has_a_layer, "attic.py", "", "the package 'attic' is in no layer"),
    (has_a_layer, "spec/utils.py", "", "'utils' says nothing"),
    (imports_go_down, "spec/parse.py", "from archscope.report import Report", "spec may not import report (layer 3)"),
    (imports_go_down, "spec/parse.py", "def f():\n    import archscope.api", "parse.py:2: spec may not import api"),
    (imports_go_down, "compile/walk.py", "from archscope.record.mode import Mode", "compile may not import record"),
    (imports_go_down, "errors.py", "from archscope import units", "errors may not import units"),
    (imports_go_down, "report.py", "from archscope import summarize", "report may not import __init__"),
    (imports_go_down, "trace.py", "from archscope.cost import Cost", "trace may not import cost"),
    (imports_go_down, "errors.py", "from archscope.report import Report", "errors may not import report"),
    (imports_go_down, "api/checks.py", "from archscope.testing import is_spec", "api may not import testing"),
    (imports_go_down, "analysis/spec_runs.py", "from archscope.fixes import Fix", "analysis may not import fixes"),
    (imports_go_down, "cost.py", "import_module('archscope.cli')", "cost may not import cli"),
    (third_party_imports_are_allowed, "report.py", "import torch.nn as nn", "report may not import torch"),
    (third_party_imports_are_allowed, "cli.py", "def f():\n    from torch import nn", "cli.py:2: cli may not"),
    (third_party_imports_are_allowed, "api.py", "importlib.import_module('torch')", "api may not import torch"),
    (third_party_imports_are_allowed, "render/table.py", "import click", "render may not import click"),
    (third_party_imports_are_allowed, "compile/walk.py", "__import__('yaml')", "compile may not import yaml"),
    (third_party_imports_are_allowed, "api.py", "import pytest", "api may not import pytest"),
    (third_party_imports_are_allowed, "record/mode.py", "import numpy", "record may not import numpy"),
    (only_the_command_line_prints, "api.py", "print(1)", "api.py:1: print outside the command line"),
    (only_the_command_line_prints, "render/table.py", "sys.stderr.write('')", "sys.stderr outside the command line"),
    (nothing_global, "cost.py", "def f():\n    global seen\n    seen = 1", "global seen"),
    (nothing_global, "cost.py", "seen: dict[str, int] = {}", "an empty container"),
    (has_a_docstring, "cost.py", "PRICE = 1", "no docstring"),
    (devices_are_used_in_one_package, "profiling/sampling.py", "torch.cuda.synchronize()", "torch.cuda outside"),
    (devices_are_used_in_one_package, "api.py", "if device.startswith('cuda'): pass", "compares with 'cuda' outside"),
    (devices_are_used_in_one_package, "api.py", "gpu = x.device.type != 'mps'", "compares with 'mps' outside"),
    (devices_are_used_in_one_package, "api.py", "gpu = kind in ('xpu', 'cpu')", "compares with 'xpu' outside"),
    (devices_are_used_in_one_package, "api.py", "WORDS = {}['cuda']", "compares with 'cuda' outside"),
    (devices_are_used_in_one_package, "record/a.py", "torch.backends.cudnn.benchmark", "torch.backends.cudnn outside"),
    (devices_are_used_in_one_package, "record/a.py", "from torch.cuda import Event", "torch.cuda.Event outside"),
    (imports_at_the_top, "fixes/a.py", "def f():\n    import archscope.cost", "archscope.cost inside of"),
    (is_short, "cost.py", "def f():\n" + "    a = 1\n" * 61, "f has 61 lines"),
    (is_short, "cost.py", "a = 1\n" * 431, "431 lines, more than 430"),
]
GOOD = [
    (has_a_layer, "spec/parse.py", ""),
    (imports_go_down, "spec/parse.py", "from archscope.spec.spec_types import Spec\nfrom archscope.errors import Span"),
    (imports_go_down, "cost.py", "from archscope.trace import Kernel"),
    (imports_go_down, "errors.py", "if TYPE_CHECKING:\n    from archscope.report import Report"),
    (imports_go_down, "cli.py", "from archscope import api\nimport json"),
    (third_party_imports_are_allowed, "compile/walk.py", "import torch\nimport ast\nfrom archscope import errors"),
    (only_the_command_line_prints, "cli.py", "print(1)"),
    (nothing_global, "cost.py", "def f():\n    a = 1\n    def g():\n        nonlocal a"),
    (has_a_docstring, "spec/__init__.py", ""),
    (devices_are_used_in_one_package, "devices/cuda.py", "torch.cuda.init()\nkind == 'cuda'"),
    (devices_are_used_in_one_package, "record/lowerings.py", "NAMES = 'double cuda float xpu'.split()"),
    (devices_are_used_in_one_package, "cli.py", "UsageError('no such device', 'device=\"cpu\", or cuda')"),
    (imports_at_the_top, "fixes/a.py", "from archscope import cost"),
    (imports_at_the_top, "api/checks.py", "def f():\n    from archscope import fixes"),
    (is_short, "cost.py", "def f():\n" + "    a = 1\n" * 60),
]


@pytest.mark.parametrize(("check", "path", "text", "complaint"), BAD)
def test_a_check_complains(check: Callable[[Source], Iterator[str]], path: str, text: str, complaint: str) -> None:
    found = list(check(Source(path, text)))
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(("check", "path", "text"), GOOD)
def test_a_check_is_silent(check: Callable[[Source], Iterator[str]], path: str, text: str) -> None:
    assert list(check(Source(path, text))) == []
