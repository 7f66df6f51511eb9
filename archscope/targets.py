"""What an analysis runs on: a device, a dtype, example inputs, and modules that Python code gives.

"auto" → "cuda"      (name, shape, dtype) → tensor      "net.py:Net" → nn.Module
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archscope import units
from archscope.errors import Problem, Span, UsageError, did_you_mean

DTYPES: Mapping[str, torch.dtype] = {
    str(d).removeprefix("torch."): d
    for d in (
        *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
FLOATS = ("float32", "float64", "float16", "bfloat16")


# Devices


def device_of(name: str) -> str:
    """`auto` is the first CUDA device if there is one, else the CPU.

    Raises UsageError for a device that is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}", "auto, cpu, cuda, cuda:0 … or meta") from None
    if device.type == "cuda" and not _has_cuda(device.index):
        raise UsageError(
            f"there is no device {name!r} here", "--device cpu runs on the CPU, --device meta without memory"
        )
    if device.type not in ("cpu", "cuda", "meta"):
        raise UsageError(f"device {name!r} is not supported", "auto, cpu, cuda, cuda:0 … or meta")
    return name


def _has_cuda(index: int | None) -> bool:
    return torch.cuda.is_available() and (index or 0) < torch.cuda.device_count()


def free_bytes(device: str) -> int | None:
    """Memory that a new tensor could take; None where it is not known or does not matter."""
    kind = torch.device(device).type
    if kind == "cuda":
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    if kind == "cpu":
        return _free_on_cpu()
    return None


def _free_on_cpu() -> int | None:
    try:
        with open("/proc/meminfo") as lines:
            found = dict(line.split(":", 1) for line in lines)
        return int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def refuse_too_big(needed: int, device: str, what: str) -> None:
    """Raises UsageError, with both figures, where `needed` bytes are more than the device has free."""
    free = free_bytes(device)
    if free is not None and needed > free:
        raise UsageError(
            f"{what} needs at least {units.size(needed)}, {device} has {units.size(free)} free",
            "--device meta analyses it without memory (all figures but time)",
        )


def dtype_of(name: str | None) -> torch.dtype | None:
    """A floating-point dtype by its name; None for none. Raises UsageError."""
    if name is None:
        return None
    if name not in FLOATS:
        raise UsageError(
            f"unknown dtype {name!r} for weights", did_you_mean(name, FLOATS) or f"one of {', '.join(FLOATS)}"
        )
    return DTYPES[name]


# Inputs


def example(shape: Sequence[int], dtype: torch.dtype, device: str, *, low: int = 0, high: int = 1) -> torch.Tensor:
    """An input:
    normally distributed floats, or whole numbers from low to high - 1. The global random state is not used.
    """
    if torch.device(device).type == "meta":
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    generator = torch.Generator().manual_seed(0)
    if dtype.is_floating_point or dtype.is_complex:
        made = torch.randn(tuple(shape), generator=generator, dtype=torch.float32)
    else:
        made = torch.randint(low, high, tuple(shape), generator=generator)
    return made.to(device=device, dtype=dtype)


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Inside, random numbers come from `seed`; None changes nothing. With a seed the random states are given back."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


# Python targets


@dataclass(frozen=True)
class Subject:
    """A module to be analysed: what it is called, where it lives, and the dtype of its floating-point parameters."""

    module: nn.Module
    name: str
    device: str
    dtype: str


def subject(target: Any, arguments: Mapping[str, Any], *, device: str = "auto", dtype: str | None = None) -> Subject:
    """A live module, which stays as it is, or one made by a Python target, put where `device` and `dtype` say.

    Raises UsageError.
    """
    if isinstance(target, nn.Module):
        module, name = target, type(target).__name__
        moved = device != "auto" and not _same_device(_home(module)[0], device_of(device))
        if arguments or dtype is not None or moved:
            raise UsageError("a live module is analysed as it is", "move or convert it first: model.to(…)")
    else:
        with torch.random.fork_rng():
            module, name = module_of(str(target), arguments), str(target)
        module = module.to(device=device_of(device), dtype=dtype_of(dtype))
    return Subject(module, name, *_home(module))


def _same_device(one: str, other: str) -> bool:
    """`cuda` is `cuda:0`."""
    first, second = torch.device(one), torch.device(other)
    return first.type == second.type and (first.index or 0) == (second.index or 0)


def _home(module: nn.Module) -> tuple[str, str]:
    tensors = [*module.parameters(), *module.buffers()]
    floats = [t for t in tensors if t.dtype.is_floating_point]
    device = tensors[0].device if tensors else torch.device("cpu")
    return str(device), str(floats[0].dtype if floats else torch.get_default_dtype()).removeprefix("torch.")


Shape = tuple[int, ...]


def inputs_of(
    subject: Subject, shapes: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], batch: int | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call:
    as given, or examples of the shapes (one, a list, or a mapping by name). Raises UsageError.
    """
    if shapes is None:
        return args, dict(kwargs)
    if args or kwargs:
        raise UsageError("give shapes as input, or args and kwargs, not both")
    if isinstance(shapes, Mapping):
        return (), {name: _example(subject, shape, batch) for name, shape in shapes.items()}
    listed = shapes if isinstance(shapes, list) and not all(isinstance(n, int) for n in shapes) else [shapes]
    return tuple(_example(subject, shape, batch) for shape in listed), {}


def check_needs_none(subject: Subject) -> None:
    """For a target of which no input is known. Raises UsageError where the module's forward takes some."""
    try:
        inspect.signature(subject.module.forward).bind()
    except TypeError as error:
        cure = "--input gives their shapes: --input 1x3x224x224; input=(1, 3, 224, 224) in Python"
        raise UsageError(f"{subject.name} takes inputs: {error}", cure) from None
    except ValueError:  # a forward without a signature
        return


def _example(subject: Subject, wanted: Any, batch: int | None) -> torch.Tensor:
    if isinstance(wanted, str) or not isinstance(wanted, Sequence):
        cure = 'for example (1, 3, 224, 224), or ("int64", (1, 128)); tensors are given as args=(x,)'
        raise UsageError(f"an input is a shape, not {units.short(wanted)}", cure)
    dtype, shape = wanted if len(wanted) == 2 and isinstance(wanted[0], str) else (subject.dtype, wanted)
    if dtype not in DTYPES:
        raise UsageError(f"unknown dtype {dtype!r}", did_you_mean(dtype, DTYPES) or f"one of {', '.join(DTYPES)}")
    sizes: Shape = tuple(int(n) for n in shape)
    return example((batch, *sizes[1:]) if batch and sizes else sizes, DTYPES[dtype], subject.device)


def named_inputs(subject: Subject, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call under the names that the module's forward gives them."""
    try:
        return dict(inspect.signature(subject.module.forward).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):  # the call itself will say what does not fit
        return {**{str(i): value for i, value in enumerate(args)}, **kwargs}


def module_of(target: str, arguments: Mapping[str, Any]) -> nn.Module:
    """`net.py:Net` or `package.module:factory`, called with `arguments`. Runs the user's code. Raises UsageError."""
    source, _, name = target.rpartition(":")
    if not source or not name:
        raise UsageError(
            f"{target!r} is neither a spec nor a Python target",
            "net.yaml, net.yaml:variant, net.py:Net or package.module:factory",
        )
    found = _attribute(_imported(source), name, target)
    made = found if isinstance(found, nn.Module) and not arguments else _called(found, arguments, target)
    if not isinstance(made, nn.Module):
        raise UsageError(
            f"{target} gives {type(made).__name__}, not a torch.nn.Module",
            "name a class, function or instance that gives one",
        )
    return made


def _imported(source: str) -> Any:
    try:
        if not source.endswith(".py"):
            return _from_here(source)
        if not os.path.isfile(source):
            raise UsageError(f"there is no file {source}", "the path is relative to the current directory")
        spec = importlib.util.spec_from_file_location(Path(source).stem, source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses and pickle look a module up by its name
        with importable(os.path.dirname(os.path.abspath(source))):
            spec.loader.exec_module(module)
        return module
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{source} cannot be imported: {type(error).__name__}: {error}") from error


def _from_here(source: str) -> Any:
    """Imports as `python` would: the current directory counts."""
    with importable(os.getcwd()):
        return importlib.import_module(source)


@contextmanager
def importable(folder: str) -> Iterator[None]:
    """Inside, modules of `folder` are found first, as those beside a script are."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _attribute(module: Any, name: str, target: str) -> Any:
    for part in name.split("."):
        if not hasattr(module, part):
            near = did_you_mean(part, [n for n in dir(module) if not n.startswith("_")])
            raise UsageError(f"{target}: there is no {part!r}", near)
        module = getattr(module, part)
    return module


def _called(found: Any, arguments: Mapping[str, Any], target: str) -> Any:
    if not callable(found) or isinstance(found, nn.Module):
        raise UsageError(f"{target} is no class or function that could take arguments", "leave --arg out")
    try:
        return found(**arguments)
    except Exception as error:  # the user's code raises what it likes
        raise UsageError(
            f"{target} cannot be made: {type(error).__name__}: {error}", "give its arguments with --arg name=value"
        ) from error


# Arguments that are accepted and ignored

INSTALLED = frozenset(["site-packages", "dist-packages"])
CALLED = ("__init__", "forward")
ALL_NAMES = frozenset(["locals", "vars"])


def ignored_arguments(module: nn.Module) -> list[Problem]:
    """Arguments that the author's own classes take, in `__init__` or `forward`, and never read. Installed packages do
    not count, nor arguments that a base class takes too."""
    classes = dict.fromkeys(type(part) for part in module.modules())
    return [problem for cls in classes for problem in _ignored_by(cls)]


def _ignored_by(cls: type) -> Iterator[Problem]:
    try:
        file, (lines, start) = inspect.getsourcefile(cls) or "", inspect.getsourcelines(cls)
        tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, TypeError, SyntaxError):  # a class without a source of its own
        return
    if not isinstance(tree, ast.ClassDef) or INSTALLED.intersection(Path(file).parts):
        return
    indent = len(lines[0]) - len(lines[0].lstrip())
    for method in tree.body:
        if isinstance(method, ast.FunctionDef) and method.name in CALLED:
            owner = cls.__name__ if method.name == "__init__" else f"{cls.__name__}.{method.name}"
            for argument in _unread(method, _inherited(cls, method.name)):
                place = Span(_relative(file), start + argument.lineno - 1, argument.col_offset + indent + 1)
                fact = f"{owner} accepts {argument.arg!r} and ignores it: nothing in it reads it"
                yield Problem(place, fact, "use it, or take it out")


def _unread(method: ast.FunctionDef, inherited: frozenset[str]) -> list[ast.arg]:
    """The arguments that a method never reads; none of a stub, and none where all names are read at once."""
    read = {n.id for statement in method.body for n in ast.walk(statement) if isinstance(n, ast.Name)}
    said = [statement for statement in method.body if not _says_nothing(statement)]
    taken = [*method.args.posonlyargs, *method.args.args][1:] + method.args.kwonlyargs
    if ALL_NAMES & read or not said:
        return []
    return [a for a in taken if a.arg not in read | inherited and not a.arg.startswith(("_", "unused"))]


def _says_nothing(statement: ast.stmt) -> bool:
    """Whether a statement is `pass`, a `raise`, a docstring or `...`."""
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, (ast.Pass, ast.Raise))


def _inherited(cls: type, method: str) -> frozenset[str]:
    """The arguments that a base class below nn.Module takes too: the author is bound to them."""
    bases = cls.__mro__[1 : cls.__mro__.index(nn.Module)]
    bound = [vars(base)[method] for base in bases if method in vars(base)]
    return frozenset(name for function in bound for name in inspect.signature(function).parameters)


def _relative(file: str) -> str:
    """As seen from the current directory, where the file lies below it."""
    here = os.path.relpath(file)
    return file if here.startswith("..") else here
