"""Python targets: the user's code is run, as `python` would run it, and gives an nn.Module.

    "net.py:Net" → source, name → the imported module → the attribute → called with its arguments → nn.Module

A file is run anew every time, and `target_import_path` removes the modules that it imported; a module that is named by
its import path is imported once.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from archscope import units
from archscope.devices import is_out_of_memory, out_of_memory_text
from archscope.errors import UsageError, did_you_mean
from archscope.interrupts import INSTALL_FOLDERS, comes_from_outside
from archscope.spec.catalog import suggest_network
from archscope.targets.construction_errors import construction_error, import_error, is_construction_error
from archscope.targets.device_options import META_HELP
from archscope.targets.forward_calls import call_signature_text
from archscope.targets.ignored_arguments import relative_path
from archscope.targets.user_code_limits import MemoryLimit
from archscope.user_warnings import attributed_warnings

TARGET_FORMS = (
    "net.yaml, net.yaml:variant, net.py:Net, package.module:factory, or a network that `archscope list` shows"
)


@contextmanager
def target_import_path(target: Any) -> Iterator[None]:
    """Put the folder of a Python target's file, or the current directory, first on the import path.

    Afterwards the modules that a file imported from its own folder are removed from `sys.modules`, so that another file
    imports its own; modules of the same names from elsewhere are set aside meanwhile.
    """
    if not isinstance(target, (str, os.PathLike)):
        yield
        return
    source = os.fspath(target).rpartition(":")[0]
    with _prepended_path(os.path.dirname(os.path.abspath(source)) if source.endswith(".py") else os.getcwd()) as folder:
        if not source.endswith(".py"):
            yield
            return
        aside = _same_named_modules(folder)
        before = {name: sys.modules.pop(name) for name in aside} | dict(sys.modules)
        try:
            yield
        finally:
            for name in [
                name for name, module in sys.modules.items() if name not in before and _is_in_folder(module, folder)
            ]:
                del sys.modules[name]
            sys.modules.update({name: before[name] for name in aside})


@contextmanager
def _prepended_path(folder: str) -> Iterator[str]:
    sys.path.insert(0, folder)
    try:
        yield folder
    finally:
        with suppress(ValueError):  # the user's code may have removed it
            sys.path.remove(folder)


def _same_named_modules(folder: str) -> list[str]:
    """Return the user's own modules from elsewhere that have the name of something in a folder."""
    local_names = (
        {path.stem for path in Path(folder).iterdir() if path.suffix == ".py" or path.is_dir()}
        if (os.path.isdir(folder))
        else set()
    )
    return [name for name in sys.modules if name.partition(".")[0] in local_names and _is_foreign(name, folder)]


def _is_foreign(name: str, folder: str) -> bool:
    file = getattr(sys.modules[name], "__file__", None) or ""
    ours = name.partition(".")[0] in sys.stdlib_module_names | {"archscope", "torch", "__main__"}
    return (
        not ours
        and bool(file)
        and not _is_in_folder(sys.modules[name], folder)
        and not INSTALL_FOLDERS.intersection(Path(file).parts)
    )


def _is_in_folder(module: ModuleType | None, folder: str) -> bool:
    """Return whether a module is one of the user's own below a folder."""
    file = Path(getattr(module, "__file__", None) or "/")
    return file.is_relative_to(folder) and not INSTALL_FOLDERS.intersection(file.parts)


def load_module(target: str, arguments: Mapping[str, Any], *, device: str = "cpu") -> nn.Module:
    """Return the module that a target names, or that its class or factory makes with `arguments`. Raise UsageError.

    For the meta device, the module is made there if its code allows that, so that it needs no memory.
    """
    return make_module(load_named(target), arguments, target, device=device)


@attributed_warnings()
def load_named(target: str) -> Any:
    """Return the class, factory or instance that a target names; its file is run. Raise UsageError."""
    source, name = _split_target(target)
    found: Any = _import_source(source)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{target}: there is no {part!r}", _attribute_help(found, part))
        found = getattr(found, part)
    return found


@attributed_warnings()
def make_module(found: Any, arguments: Mapping[str, Any], target: str, *, device: str = "cpu") -> nn.Module:
    """Return `found` if it is a module, else the module that it makes with `arguments`. Raise UsageError."""
    ready = not arguments and isinstance(found, (nn.Module, torch.export.ExportedProgram))
    return as_module(found if ready else _call_target(found, arguments, target, device), target)


def as_module(value: Any, what: str) -> nn.Module:
    """Return a value as a module; exported programs have no train and eval modes. Raise UsageError for
    anything else.
    """
    if isinstance(value, torch.export.ExportedProgram):
        module = value.module()
        module.training = False
        return module
    if isinstance(value, nn.Module):
        return value
    raise UsageError(f"{what} gives {_with_article(value)}, not a torch.nn.Module", _module_hint(value))


def _with_article(value: Any) -> str:
    if value is None:
        return "None"
    kind = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    return kind if isinstance(value, type) else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _module_hint(value: Any) -> str:
    """Return a help that names the module contained in what was made."""
    if isinstance(value, (tuple, list)):
        parts, kind = dict(enumerate(value)), "item"
    else:
        parts, kind = (value, "item") if isinstance(value, dict) else (getattr(value, "__dict__", {}), "attribute")
    found = [key for key, part in parts.items() if isinstance(part, nn.Module)]
    return f"a function that returns its {kind} {found[0]!r} would do" if found else NAME_HELP


NAME_HELP = "name a class, function or instance that gives one"


def _split_target(target: str) -> tuple[str, str]:
    source, _, name = target.rpartition(":")
    if source and name:
        return source, name
    file = source or target
    if file.endswith(".py"):
        _check_is_file(file)
        named = [f"{file}:{found}" for found in _defined_names(file)]
        raise UsageError(f"{target!r} names a file, and nothing in it", _names_help(named) or f"write {file}:Net")
    package, _, last = target.rpartition(".")
    dotted = package and all(part.isidentifier() for part in target.split("."))
    raise UsageError(
        f"{target!r} is neither a spec nor a Python target",
        f"a colon comes before the name: {package}:{last}" if dotted else suggest_network(target) or TARGET_FORMS,
    )


def _defined_names(file: str) -> list[str]:
    """Return the classes and functions that a file defines, read from its source."""
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return []
    return [
        node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name[0] != "_"
    ]


def _names_help(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"name one of {', '.join(names[:most])}{more}" if len(names) > 1 else f"name {names[0]}" if names else ""


def _check_is_file(source: str) -> None:
    if not os.path.isfile(source):
        raise UsageError(f"there is no file {source}", "the path is relative to the current directory")


def _import_source(source: str) -> ModuleType:
    if source.endswith(".py"):
        _check_is_file(source)
    try:
        return _run_file(source) if source.endswith(".py") else importlib.import_module(source)
    except BaseException as error:
        if comes_from_outside(error):
            raise
        if is_construction_error(error):
            raise import_error(source, error) from error
        raise UsageError(f"{source} cannot be imported: {_error_text(error)}", _import_help(error, source)) from error


def _run_file(source: str) -> ModuleType:
    """Return a file as a module under a name of its own."""
    name = Path(source).stem
    if name in sys.modules or not name.isidentifier():
        name = f"target_{zlib.crc32(os.path.abspath(source).encode()):x}"
    spec = importlib.util.spec_from_file_location(name, os.path.abspath(source))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look up a module by its name
    spec.loader.exec_module(module)
    return module


def _error_text(error: BaseException) -> str:
    """Return an exception on one line, with the line of the user's code that it passed."""
    message = " ".join(str(error).split())
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_user_file(frame.filename)]
    where = f" ({relative_path(own[-1].filename)}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}{f': {message}' * bool(message)}{where}"


def _is_user_file(file: str) -> bool:
    path = Path(file)
    ours = path.is_relative_to(Path(__file__).parent.parent) or file == warnings.__file__
    return not ours and not file.startswith("<") and not (INSTALL_FOLDERS | {"importlib"}).intersection(path.parts)


def _import_help(error: BaseException, source: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] not in sys.modules:
        package = error.name.split(".")[0]
        or_folder = ", or change to the folder that contains it" * (package == source.split(".")[0])
        return f"install {package} where archscope runs{or_folder}"
    if isinstance(error, ImportError) and "relative import" in str(error):
        dotted = source.removesuffix(".py").replace(os.sep, ".")
        whole = dotted if all(part.isidentifier() for part in dotted.split(".")) else "package.module"
        return f"name it by its import path, from the folder above its package: {whole}:Net"
    return ""


def _attribute_help(holder: Any, part: str) -> str:
    """Return a help for a missing attribute: a similar name, else the names that are defined there."""
    names = [name for name in dir(holder) if not name.startswith("_")]
    own = (
        [name for name in names if getattr(getattr(holder, name, None), "__module__", "") == holder.__name__]
        if (isinstance(holder, ModuleType))
        else []
    )
    return did_you_mean(part, names) or _names_help(own)


def _call_target(found: Any, arguments: Mapping[str, Any], target: str, device: str) -> Any:
    if isinstance(found, (nn.Module, torch.export.ExportedProgram)):
        raise UsageError(f"{target} is an instance, which takes no arguments", "leave them out")
    if not callable(found):
        raise UsageError(f"{target} is {units.short_repr(found)}, not a class, function or instance", NAME_HELP)
    _check_arguments(found, arguments, target)
    if torch.device(device).type == "meta":
        with (
            suppress(Exception, SystemExit),
            torch.device("meta"),
        ):  # a constructor that needs values runs on the CPU
            return found(**arguments)
    try:
        with MemoryLimit(target):
            return found(**arguments)
    except UsageError:  # there is not enough memory
        raise
    except BaseException as error:  # the user's code may raise anything
        if comes_from_outside(error):
            raise
        if is_out_of_memory(error):
            raise UsageError(f"{target} cannot be made: {out_of_memory_text(error)}", META_HELP) from error
        raise construction_error(target, error) from error


def _check_arguments(found: Any, arguments: Mapping[str, Any], target: str) -> None:
    """Raise UsageError if a class or function does not take the given arguments."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # written in C
        return
    every = list(signature.parameters.values())
    named = [p for p in every if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    missing = [p.name for p in every if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    missing = [name for name in missing if name not in arguments]
    unknown = [name for name in arguments if name not in {p.name for p in named}]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in every):
        near = (
            did_you_mean(unknown[0], [p.name for p in named])
            or f"it is {call_signature_text(signature, target.rpartition(':')[2])}"
        )
        raise UsageError(f"{target} cannot be made: it has no argument {unknown[0]!r}", near)
    if missing:
        given = ", ".join(f'"{name}": …' for name in missing)
        fix = f"set={{{given}}} (it is {call_signature_text(signature, target.rpartition(':')[2])})"
        raise UsageError(f"{target} cannot be made without {' and '.join(map(repr, missing))}", fix)
