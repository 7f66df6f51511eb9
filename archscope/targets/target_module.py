"""The module to analyse: a live module or a Python target → TargetModule, unwrapped, with its lazy layers initialized.

target, arguments, device, dtype → module → without DataParallel, compile → TargetModule → initialized by its inputs
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer

from archscope import units
from archscope.devices import DEVICE_SEPARATOR, leading_device, preserved_generators, split_devices, traits_of
from archscope.errors import UsageError
from archscope.record import ModuleContents, walk_modules
from archscope.record.named_tensors import named_tensors
from archscope.record.state.objects import preserved_objects
from archscope.record.state.process import preserved_state
from archscope.record.state.tensors import preserved_tensors
from archscope.targets.device_options import opened, resolve_device, resolve_dtype
from archscope.targets.inputs import InputPlacement, map_leaves
from archscope.targets.python_targets import as_module, load_module, make_module
from archscope.user_warnings import attributed_warnings

PARALLEL_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


@dataclass(frozen=True)
class TargetModule:
    """A module to be analysed.

    device, dtype: of its tensors, as a report shows them. placement: of its inputs. live: it belongs to the caller, and
    must not be changed. holding: its modules and tensors. notes: remarks for the report on how it was analysed.
    batch_guessed: whether a batch axis was added to its input.
    """

    module: nn.Module
    name: str
    device: str
    dtype: str
    placement: InputPlacement
    live: bool
    holding: ModuleContents
    notes: tuple[str, ...] = ()
    batch_guessed: bool = False

    @property
    def is_initialized(self) -> bool:
        """True if no lazy layer waits for its first input."""
        return not self.holding.lazy_tensors

    @property
    def main_device(self) -> str:
        """The device that determines the speed: a GPU, if the model or its inputs are on one."""
        return leading_device(split_devices(self.device))

    @property
    def title(self) -> str:
        """The name of the class that its author wrote."""
        own = self.module.original_name if isinstance(self.module, torch.jit.ScriptModule) else ""
        return own or type(self.module).__name__


def resolve_target(
    target: Any, arguments: Mapping[str, Any], *, device: str = "auto", dtype: str | None = None
) -> TargetModule:
    """Return the target as a TargetModule: a live module, which is not changed, or one made by a Python target, a class
    or a function, moved to `device` and `dtype`.

    Raises UsageError.
    """
    if isinstance(target, (str, os.PathLike)):
        name, place = os.fspath(target), opened(device)
        return target_from_factory(lambda: load_module(name, arguments, device=place), name, place, dtype)
    if is_factory(target):
        name = getattr(target, "__name__", type(target).__name__)
        place = opened(device)
        return target_from_factory(lambda: make_module(target, arguments, name, device=place), name, place, dtype)
    if not isinstance(target, (nn.Module, torch.export.ExportedProgram)):
        what = "a tensor" if isinstance(target, torch.Tensor) else units.short_repr(target)
        raise UsageError(f"{what} is not a target", 'a live nn.Module, or its import path as text: "net.py:Net"')
    if arguments:
        raise UsageError("a live module takes no arguments", "give them where it is made")
    module, notes = _unwrap(as_module(target, type(target).__name__))
    found = _target_module(module, type(module).__name__, live=True, notes=notes)
    if dtype is not None or (device != "auto" and not _same_device(found.placement.device, resolve_device(device))):
        raise UsageError("a live module is analysed as it is", "move or convert it first: model.to(…)")
    return found


def target_from_factory(make: Callable[[], nn.Module], target: str, device: str, dtype: str | None) -> TargetModule:
    """Return the module that a Python target makes, moved to a device. Raise UsageError."""
    kind = resolve_dtype(dtype)
    with preserved_generators(device):
        made_module = make()
    try:
        module, notes = _unwrap(made_module.to(device=device, dtype=kind))
    except Exception as error:  # a module's own `to` may raise anything
        destination = " and ".join(filter(None, (device, dtype)))
        raise UsageError(
            f"{target} cannot be moved to {destination}: {_exception_text(error)}", "make it there"
        ) from error
    return _target_module(module, target, live=False, notes=notes, device=device)


def is_factory(target: Any) -> bool:
    """Return whether a live target is a class or function that makes a module."""
    return callable(target) and not isinstance(target, (nn.Module, torch.export.ExportedProgram, torch.Tensor))


def _exception_text(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _unwrap(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Return the module inside a data-parallel or compiled module, and notes that say so."""
    notes: list[str] = []
    while True:
        if isinstance(module, PARALLEL_WRAPPERS):
            notes.append(f"{type(module).__name__}: the module inside was analysed, on one device")
            module = module.module
        elif "torch._dynamo" in sys.modules and isinstance(module, torch._dynamo.OptimizedModule):
            notes.append("torch.compile: analysed as its author wrote it, not compiled")
            module = module._orig_mod  # the original module
        else:
            return module, tuple(notes)


def _target_module(
    module: nn.Module, name: str, *, live: bool, notes: Sequence[str], device: str = "cpu"
) -> TargetModule:
    holding = walk_modules(module)
    tensors = [tensor for _, tensor in (*holding.parameters, *holding.buffers)] + holding.lazy_tensors
    devices = [str(one) for one in dict.fromkeys(tensor.device for tensor in tensors)] or [device]
    packed = _packed_weights(module) if any(map(_is_quantised, {type(part) for _, part in holding.modules})) else {}
    kinds = _floating_dtypes(tensors)
    placement = InputPlacement(devices[0], kinds[0] if kinds else str(torch.get_default_dtype()).removeprefix("torch."))
    if packed:
        what = f"weights that are packed as {_join_names(packed.values())}"
        notes = (*notes, f"{what} are not parameters, and not counted: {_first_three(list(packed))}")
    if kinds:
        shown = kinds[0]
    elif packed:
        shown = _join_names(packed.values())
    else:
        shown = str(tensors[0].dtype).removeprefix("torch.") if tensors else placement.dtype
    return TargetModule(module, name, DEVICE_SEPARATOR.join(devices), shown, placement, live, holding, tuple(notes))


def _join_names(names: Any) -> str:
    return " and ".join(dict.fromkeys(names))


def _floating_dtypes(tensors: Sequence[torch.Tensor]) -> list[str]:
    """Return the dtypes of floating-point tensors, else of complex ones."""
    kinds = dict.fromkeys(tensor.dtype for tensor in tensors)
    found = [kind for kind in kinds if kind.is_floating_point] or [kind for kind in kinds if kind.is_complex]
    return [str(kind).removeprefix("torch.") for kind in found]


def _packed_weights(module: nn.Module) -> dict[str, str]:
    """Return the modules that keep a quantised weight outside of their parameters, with its dtype."""
    found: dict[str, str] = {}
    for name, part in module.named_modules():
        if _is_quantised(type(part)) and callable(getattr(part, "weight", None)):
            with suppress(Exception):  # a layer without a weight of its own
                found[name or type(part).__name__] = str(part.weight().dtype).removeprefix("torch.")
    return found


def _is_quantised(kind: type) -> bool:
    return kind.__module__.startswith("torch.ao.nn.quantized")


def _same_device(name: str, other_name: str) -> bool:
    """Return whether two device names are equal, with `cuda` as `cuda:0`."""
    first, second = torch.device(name), torch.device(other_name)
    return first.type == second.type and (first.index or 0) == (second.index or 0)


# ------------------------------------------------------------ inputs and lazy layers
def move_inputs(target: TargetModule, tree: Any) -> Any:
    """Return arguments with their tensors on the device of a target's module; those for a live module stay where they
    are.
    """
    if target.live:
        return tree
    device = torch.device(target.placement.device)
    return map_leaves(tree, lambda leaf: leaf.to(device) if isinstance(leaf, torch.Tensor) else leaf)


def with_input_devices(target: TargetModule, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> TargetModule:
    """Return the target with the devices of its inputs: all of them if a live module has no tensors of its own, else a
    GPU if it is on none.
    """
    holding = target.holding
    named = dict.fromkeys(str(leaf.device) for tree in (*args, *kwargs.values()) for _, leaf in named_tensors(tree))
    own = split_devices(target.device) if holding.parameters or holding.buffers or holding.lazy_tensors else []
    if not target.live or not named or any(traits_of(one).is_async for one in own):
        return target
    added = [one for one in named if one not in own and (not own or traits_of(one).is_async)]
    return replace(target, device=DEVICE_SEPARATOR.join([*own, *added]))


@attributed_warnings()
def initialize_lazy(target: TargetModule, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> TargetModule:
    """Return the target with its lazy layers initialized by one forward pass; a live module is copied first.

    That pass has no other effects, like the recorded one. An exception ends it silently: the recorded pass reports it.
    Raises UsageError if a live module cannot be copied.
    """
    if target.is_initialized:
        return target
    module = _copy_module(target.module) if target.live else target.module
    run_isolated(target, module, args, kwargs)
    copy_note = ("lazy layers: a copy was initialized with this input; the module itself is unchanged",) * target.live
    holding = walk_modules(module)
    return replace(
        target, module=module, holding=holding, notes=(*target.notes, *copy_note, *_uninitialized_notes(holding))
    )


def run_isolated(target: TargetModule, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Run one forward pass of a target's module, or of a copy, without side effects; exceptions are not raised."""
    given = (*args, *kwargs.values())
    belongings = preserved_objects([part for _, part in target.holding.modules if target.live], given)
    tensors = preserved_tensors([tensor for value in given for _, tensor in named_tensors(value)])
    with preserved_state(grad=False), belongings, tensors, _eval_mode(module), suppress(Exception):
        module(*args, **kwargs)


def _uninitialized_notes(holding: ModuleContents) -> Iterator[str]:
    """Yield a note if lazy layers are still uninitialized: their numbers of parameters are not known."""
    lazy = [(path, part) for path, part in holding.modules if isinstance(part, LazyModuleMixin)]
    paths = [path for path, part in lazy if part.has_uninitialized_params()]
    if paths:
        yield f"lazy layers that were not reached have no shapes, and are not counted: {_first_three(paths)}"


def _first_three(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ", …" * (len(names) > 3)


def _copy_module(module: nn.Module) -> nn.Module:
    buffers = [buffer for buffer in module.buffers() if isinstance(buffer, UninitializedBuffer)]
    fresh = {  # the stub of UninitializedBuffer has no arguments
        id(buffer): UninitializedBuffer(device=buffer.device, dtype=buffer.dtype)  # type: ignore[call-arg]
        for buffer in buffers
    }
    try:
        return copy.deepcopy(module, fresh)  # uninitialized buffers cannot be copied
    except Exception as error:  # its tensors and attributes may raise anything
        fact = f"a module with lazy layers is analysed as a copy, but cannot be copied: {_exception_text(error)}"
        raise UsageError(fact, "run it once, which initializes its lazy layers, then analyse it") from error


@contextmanager
def _eval_mode(module: nn.Module) -> Iterator[None]:
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training
