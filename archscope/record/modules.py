"""The calls of a live nn.Module: each module call enters and leaves a Location of the recorder, found by identity.

model → walk_modules → ModuleContents (paths, parameters, buffers) → ModuleLocations → recorded_module_calls
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import signature
from itertools import zip_longest
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from archscope.ops.sequence_order import recurrent_state_problem
from archscope.record.op_call import tensors_in as tensors_in
from archscope.record.recorder import Recorder
from archscope.trace import Location, WrongArgument

DescribeModule = Callable[[nn.Module], str]
OnUnknownModule = Callable[[nn.Module], object]
NamedTensor = tuple[str, torch.Tensor]
TENSOR_TYPES = frozenset([torch.Tensor, nn.Parameter])
BASE_ATTRIBUTE_COUNT = len(nn.Module().__dict__)
"""The number of attributes that every module has."""


def no_text(_module: nn.Module) -> str:
    return ""


@dataclass(frozen=True)
class ModuleContents:
    """The contents of a model: each module once, with its first path, and every name of every parameter and buffer.

    lazy_tensors: the tensors of lazy layers, which have no shape before their first input.
    """

    modules: list[tuple[str, nn.Module]] = field(default_factory=list)
    parameters: list[NamedTensor] = field(default_factory=list)
    buffers: list[NamedTensor] = field(default_factory=list)
    lazy_tensors: list[torch.Tensor] = field(default_factory=list)


def walk_modules(model: nn.Module) -> ModuleContents:
    """Return the model's contents, top down in the order of `named_modules`; a module inside itself is not entered."""
    found, visited = ModuleContents(), set[int]()
    ancestors: list[nn.Module] = []
    pending: list[tuple[str, nn.Module, int]] = [("", model, 0)]
    while pending:
        path, module, depth = pending.pop()
        del ancestors[depth:]
        if id(module) not in visited:
            visited.add(id(module))
            found.modules.append((path, module))
        elif any(module is other for other in ancestors):
            continue
        ancestors.append(module)
        prefix = f"{path}." if path else ""
        for kind, tensors in ((found.parameters, module._parameters), (found.buffers, module._buffers)):
            for name, tensor in tensors.items():
                if tensor is not None:
                    if type(tensor) not in TENSOR_TYPES and is_lazy(tensor):
                        found.lazy_tensors.append(tensor)
                    else:
                        kind.append((prefix + name, tensor))
        if module._modules:
            children = [
                (prefix + name, child, depth + 1) for name, child in module._modules.items() if child is not None
            ]
            pending.extend(reversed(children))
    return found


class ModuleLocations:
    """The Location of every module: its path by identity, or below its caller's if the model does not hold it.

    on_unknown: called with such a module before it runs.
    """

    def __init__(self, modules: list[tuple[str, nn.Module]], text: DescribeModule, on_unknown: OnUnknownModule):
        self._text, self._on_unknown = text, on_unknown
        self._texts: dict[Any, str] = {}
        self._kinds: dict[type, str] = {}
        self._argument_names: dict[Any, tuple[str, ...]] = {}
        self._locations = {id(module): (module, self._make_location(module, path)) for path, module in modules}

    def location_of(self, module: nn.Module, caller: str) -> Location:
        found = self._locations.get(id(module))
        if found is None:
            self._on_unknown(module)
            name = type(module).__name__
            found = module, self._make_location(module, f"{caller}.{name}" if caller else name)
            self._locations[id(module)] = found
        return found[1]

    def named_inputs(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[NamedTensor]:
        """Return the tensors that a block gets, by the names of its `forward`'s arguments."""
        key = module.__dict__.get("forward", type(module))
        names = self._argument_names.get(key)
        if names is None:
            names = self._argument_names.setdefault(key, positional_names(module.forward))
        arguments = [*zip_longest(names[: len(args)], args, fillvalue=names[-1] if names else "input"), *kwargs.items()]
        return [(name, tensor) for name, value in arguments for tensor in tensors_in(value)]

    def _make_location(self, module: nn.Module, path: str) -> Location:
        kind = self._kinds.get(type(module)) or self._kinds.setdefault(type(module), module_kind(type(module)))
        if kind == "own":
            kind = "block" if module._modules else "layer"
        return Location(path, type(module).__name__, kind, self._description(module))

    def _description(self, module: nn.Module) -> str:
        """Return the module's arguments as short text, computed once for modules with equal attributes."""
        key: Any = (
            type(module),
            *list(module.__dict__.values())[BASE_ATTRIBUTE_COUNT:],
            *[parameter is None for parameter in module._parameters.values()],
        )
        try:
            text = self._texts.get(key)
        except TypeError:  # an attribute that cannot be hashed
            return self._text(module)
        return text if text is not None else self._texts.setdefault(key, self._text(module))


def positional_names(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a bound `forward`'s positional arguments; that of `*args` is for all remaining ones."""
    try:
        parameters = signature(forward).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple([p.name for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)])


def module_kind(cls: type[nn.Module]) -> str:
    """Return `layer`, `block` or `own` (a torch class; MultiheadAttention is a layer, since it never calls its
    parts)."""
    if cls is nn.MultiheadAttention:
        return "layer"
    own = cls.__module__.startswith("torch.nn.") and cls.__module__ != "torch.nn.modules.container"
    return "own" if own else "block"


INPUT_SIZE_ARGUMENTS: Mapping[type[nn.Module], str] = {
    **dict.fromkeys((nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell), "input_size"),
    nn.MultiheadAttention: "embed_dim",
}
"""Layers that compare their input's last size with their own argument before any function runs."""


LayerProblem = tuple[WrongArgument, tuple[int, ...], str, torch.Tensor]
"""The wrong argument of a layer, the axes that disagree, a description if sizes are not enough, and the tensor."""


def find_layer_problem(module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> LayerProblem | None:
    """Return the argument of such a layer that disagrees with its input or its state; None if none does."""
    argument = INPUT_SIZE_ARGUMENTS.get(type(module))
    if argument is None or not args or not isinstance(args[0], torch.Tensor) or not args[0].dim():
        return None
    size, shape = int(getattr(module, argument)), tuple(args[0].shape)
    if shape[-1] != size:
        return WrongArgument(argument, size, shape[-1]), (len(shape) - 1,), "", args[0]
    return (
        find_state_problem(module, args[0], [*args[1:2], kwargs.get("hx")][0])
        if isinstance(module, nn.RNNBase)
        else None
    )


def find_state_problem(layer: nn.RNNBase, inputs: torch.Tensor, state: Any) -> LayerProblem | None:
    """Return the first state that a recurrent layer does not accept with its input; None if it accepts all."""
    states = state if isinstance(state, (tuple, list)) else [state]
    rows, name, order = layer.num_layers * (1 + layer.bidirectional), type(layer).__name__, bool(layer.batch_first)
    for number, tensor in enumerate(states):
        width = layer.hidden_size if number or not layer.proj_size else layer.proj_size
        shape = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else ()
        found = recurrent_state_problem(name, tuple(inputs.shape), shape, (rows, width), batch_first=order)
        if found is not None and found.batch_first is not None:
            return WrongArgument("batch_first", order, found.batch_first), found.axes, found.fact, inputs
        if found is not None:
            return WrongArgument("hx", shape, found.wanted_shape), found.axes, found.fact, tensor
    return None


@contextmanager
def recorded_module_calls(locations: ModuleLocations, recorder: Recorder) -> Iterator[None]:
    """Inside, every module call enters and leaves its Location, also if an exception ends it.

    `nn.Module.__call__` is replaced meanwhile: global hooks would cost four times as much, and change how a module is
    called. The recursion limit is doubled, so that modules can be nested as deeply as before. Calls in other threads do
    not belong to the run.
    """
    plain, limit, thread = nn.Module.__call__, sys.getrecursionlimit(), get_ident()

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if get_ident() != thread:
            return plain(module, *args, **kwargs)
        site = locations.location_of(module, recorder.site.path)
        recorder.enter(site, locations.named_inputs(module, args, kwargs) if site.kind == "block" else ())
        try:
            return plain(module, *args, **kwargs)
        except BaseException as error:
            problem = recorder.on_mismatch == "record" and find_layer_problem(module, args, kwargs)
            if problem:
                recorder.add_layer_error(*problem)
            recorder.note_error(error)
            raise
        finally:
            recorder.leave()

    nn.Module.__call__ = call  # type: ignore[method-assign]
    sys.setrecursionlimit(2 * limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
        nn.Module.__call__ = plain  # type: ignore[method-assign]
