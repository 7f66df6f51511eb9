"""Copies of a model with other layers: the model, a path and arguments → a copy of the modules on the path, with a new
layer.

No tensor is copied, and the original is not changed: everywhere else the copy contains the same modules. The new layer
has zeros as weights, on the device and in the dtype of the old one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from archscope.errors import ArchscopeError
from archscope.record import walk_modules
from archscope.targets.layer_arguments import constructor_parameters, is_torch_layer, present_arguments

HOOK_TABLES = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict) and "hook" in name)
MODULE_TABLES = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict))
MAX_EXTRA_BYTES = 2**31
"""The largest number of bytes that the weights of a new layer may take beyond those of the old one."""


class ReplacementError(ArchscopeError):
    """The reason why a layer cannot be replaced."""


@dataclass(frozen=True)
class Substitution:
    """The copy, and every path at which it has a new layer: a shared layer has several."""

    model: nn.Module
    paths: tuple[str, ...]


def with_layer(model: nn.Module, path: str, **arguments: Any) -> nn.Module:
    """Return a copy of the model in which the layer at a path has other arguments. Raise ReplacementError."""
    return with_layers(model, {path: arguments}).model


def with_layers(model: nn.Module, changes: Mapping[str, Mapping[str, Any]]) -> Substitution:
    """Return a copy of the model in which the layers at these paths have other arguments. Raise ReplacementError.

    A layer with several paths is replaced at all of them.
    """
    old = {path: module_at(model, path) for path in changes}
    new: dict[int, nn.Module] = {}
    for path, arguments in changes.items():
        refuse_shared_weights(model, path, old[path])
        new[id(old[path])] = remake_layer(old[path], path, arguments)
    holders = ancestor_ids(model, set(new))
    copied = copy_with_layers(model, "", new, {}, holders)
    return Substitution(copied, tuple(iter_paths(model, "", set(new), holders, ())))


def module_at(model: nn.Module, path: str) -> nn.Module:
    """Return the module at a path. Raise ReplacementError if there is none."""
    found: nn.Module | None = model
    for name in path.split("."):
        found = found._modules.get(name) if found is not None else None
    if found is None:
        raise ReplacementError(f"there is no module {path}")
    return found


# ------------------------------------------------------------ the layer
def remake_layer(layer: nn.Module, path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return a new layer of the same class, with the present arguments updated by these. Raise ReplacementError."""
    refuse_special(layer, path)
    unknown = arguments.keys() - constructor_parameters(type(layer)).keys()
    if unknown:
        raise ReplacementError(f"{path}: {type(layer).__name__} has no argument {min(unknown)!r}")
    present = present_arguments(layer)
    same, new = (
        make_layer(layer, present, path),
        make_layer(layer, {**present, **with_derived_arguments(arguments, present)}, path),
    )
    if not is_same_layer(same, layer):
        raise ReplacementError(f"{path}: not all arguments of this {type(layer).__name__} are known")
    if parameter_bytes(new) > parameter_bytes(layer) + MAX_EXTRA_BYTES:
        raise ReplacementError(f"{path}: its weights would be too large")
    return fill_zeros(new, layer)


def with_derived_arguments(arguments: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments, with those that follow from them: by default, keys and values are as wide as queries."""
    given = dict(arguments)
    for name, source in (("kdim", "embed_dim"), ("vdim", "embed_dim")):
        if source in arguments and present.get(name) == present.get(source):
            given.setdefault(name, arguments[source])
    return given


def make_layer(layer: nn.Module, arguments: Mapping[str, Any], path: str) -> nn.Module:
    """Return a layer on the meta device. Raise ReplacementError if its class refuses the arguments."""
    try:
        with torch.device("meta"), SkipFill(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the old layer has warned already
            return type(layer)(**arguments)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise ReplacementError(f"{path}: {' '.join(str(error).split())}") from error


class SkipFill(torch.overrides.TorchFunctionMode):
    """A function mode in which in-place initialization is skipped: meta tensors have no values."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name.endswith("_") and not name.startswith("_") and args and isinstance(args[0], torch.Tensor):
            return args[0]
        return function(*args, **(kwargs or {}))


def is_same_layer(new: nn.Module, layer: nn.Module) -> bool:
    """Return whether a layer made with the present arguments is equal to the layer."""
    if new.extra_repr() != layer.extra_repr() or vars(layer).keys() - vars(new).keys():
        return False
    for one, other in ((new._parameters, layer._parameters), (new._buffers, layer._buffers)):
        if table_shapes(one) != table_shapes(other):
            return False
    return new._modules.keys() == layer._modules.keys()


def table_shapes(table: Mapping[str, torch.Tensor | None]) -> dict[str, tuple[int, ...] | None]:
    return {name: None if tensor is None else tuple(tensor.shape) for name, tensor in table.items()}


def parameter_bytes(layer: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in layer.parameters())


def fill_zeros(new: nn.Module, layer: nn.Module) -> nn.Module:
    """Return the new layer with zeros, each tensor on the device of the old one of its name, with the old flags."""
    for one, other in zip(new.modules(), layer.modules(), strict=True):
        for table, old in ((one._parameters, other._parameters), (one._buffers, other._buffers)):
            for name, tensor in list(table.items()):
                if tensor is not None:
                    setattr(
                        one, name, zeros_like_old(tensor, name, old, layer)
                    )  # recurrent layers keep a list of their weights
        one.training = other.training
    return new


def zeros_like_old(
    tensor: torch.Tensor, name: str, old: Mapping[str, torch.Tensor | None], layer: nn.Module
) -> torch.Tensor:
    like = old.get(name)
    if like is None:
        like = next(iter(layer.parameters()), torch.empty(0))
    zeros = torch.zeros(tensor.shape, dtype=like.dtype, device=like.device)
    return nn.Parameter(zeros, requires_grad=like.requires_grad) if isinstance(tensor, nn.Parameter) else zeros


# ------------------------------------------------------------ what is not replaced
def refuse_special(layer: nn.Module, path: str) -> None:
    """Raise ReplacementError for anything but a plain layer of torch."""
    name = type(layer).__name__
    if not is_torch_layer(layer) or not constructor_parameters(type(layer)) or isinstance(layer, LazyModuleMixin):
        raise ReplacementError(f"{path}: {name} is not a plain layer of torch.nn")
    if any(vars(part)[hooks] for part in layer.modules() for hooks in HOOK_TABLES):
        raise ReplacementError(f"{path}: {name} has hooks")
    tensors = (*layer.parameters(), *layer.buffers())
    if any(type(tensor) not in (torch.Tensor, nn.Parameter) for tensor in tensors):
        raise ReplacementError(f"{path}: {name} has tensors of a custom class")


def refuse_shared_weights(model: nn.Module, path: str, layer: nn.Module) -> None:
    """Raise ReplacementError if another layer has the same weights."""
    own, weights = set(map(id, layer.modules())), {id(tensor) for tensor in layer.parameters()}
    memory = {storage_id(tensor) for tensor in layer.parameters() if not tensor.is_meta}
    for other, module in walk_modules(model).modules:
        for tensor in module._parameters.values() if id(module) not in own else ():
            if tensor is not None and (id(tensor) in weights or storage_id(tensor) in memory):
                raise ReplacementError(f"{path}: {other or 'the model'} has the same weights")


def storage_id(tensor: torch.Tensor) -> int:
    """Return the address of a tensor's storage; the tensor's own id if it has none."""
    try:
        return 0 if tensor.is_meta else tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError, ValueError):  # sparse tensors, parameters of lazy layers
        return id(tensor)


# ------------------------------------------------------------ the modules on the path
def ancestor_ids(model: nn.Module, wanted: set[int]) -> set[int]:
    """Return the ids of the modules that contain some of these, directly or deeper."""
    holders: dict[int, list[int]] = {}
    for _, module in walk_modules(model).modules:
        for child in module._modules.values():
            holders.setdefault(id(child), []).append(id(module))
    found: set[int] = set()
    waiting = list(wanted)
    while waiting:
        for holder in holders.get(waiting.pop(), ()):
            if holder not in found:
                found.add(holder)
                waiting.append(holder)
    return found


def iter_paths(
    module: nn.Module, path: str, wanted: set[int], holders: set[int], above: tuple[int, ...]
) -> Iterator[str]:
    """Yield every path of these modules; a module that contains itself is not entered again."""
    if id(module) in wanted:
        yield path
    elif id(module) in holders and id(module) not in above:
        for name, child in module._modules.items():
            if child is not None:
                below = f"{path}.{name}" if path else name
                yield from iter_paths(child, below, wanted, holders, (*above, id(module)))


def copy_with_layers(
    module: nn.Module, path: str, new: Mapping[int, nn.Module], done: dict[int, nn.Module], holders: set[int]
) -> nn.Module:
    """Return the module with new layers below it: a copy if it contains some, else itself. Raise ReplacementError.

    done: the copies made so far, by the ids of their originals.
    """
    if id(module) in new:
        return new[id(module)]
    if id(module) not in holders or id(module) in done:
        return done.get(id(module), module)
    copied = done[id(module)] = shallow_copy(module, path)
    for name, child in module._modules.items():
        if child is not None:
            copied._modules[name] = copy_with_layers(child, f"{path}.{name}" if path else name, new, done, holders)
    return copied


def shallow_copy(module: nn.Module, path: str) -> nn.Module:
    """Return the module with its own parameter, buffer and submodule tables. Raise ReplacementError if code may refer
    to this very module.
    """
    name = path or type(module).__name__
    if any(vars(module).get(hooks) for hooks in HOOK_TABLES):
        raise ReplacementError(f"{name} has hooks")
    if isinstance(module, torch.jit.ScriptModule):
        raise ReplacementError(f"{name} is scripted")
    copied: nn.Module = object.__new__(type(module))
    object.__setattr__(copied, "__dict__", dict(vars(module)))
    for table in MODULE_TABLES:
        if table in vars(copied):
            vars(copied)[table] = vars(module)[table].copy()
    return copied
