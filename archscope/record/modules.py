"""A live nn.Module drives the recorder: global forward hooks → enter and leave, with paths by module identity.

drive_module(model, args, kwargs, recorder) → flags and buffers kept, hooks taken → model(*args, **kwargs)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from archscope.record.recorder import Recorder
from archscope.record.state import kept_module
from archscope.trace import Site

Text = Callable[[nn.Module], str]


def no_text(_module: nn.Module) -> str:
    return ""


def drive_module(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], recorder: Recorder, *, text: Text = no_text
) -> Any:
    """Runs the model in the recorder's mode; one that is in it already keeps what its author froze.

    `text` says a module's arguments in short. Hooks, training flags and buffers are as before afterwards, also if the
    model raises.
    """
    train = recorder.mode == "train"
    with kept_module(model, train=train), hooked(Sites(model, text), recorder):
        if model.training != train:
            model.train(train)
        return model(*args, **kwargs)


class Sites:
    """The Site of every module: its path by identity, or below its caller where the model does not hold it."""

    def __init__(self, model: nn.Module, text: Text):
        self._text = text
        self._found = {module: self._site(module, path) for path, module in model.named_modules()}

    def of(self, module: nn.Module, caller: str) -> Site:
        found = self._found.get(module)
        if found is None:
            name = type(module).__name__
            found = self._found[module] = self._site(module, f"{caller}.{name}" if caller else name)
        return found

    def _site(self, module: nn.Module, path: str) -> Site:
        return Site(path, type(module).__name__, kind(module), self._text(module))


def kind(module: nn.Module) -> str:
    """`layer`: torch's own class with nothing to go into; MultiheadAttention never calls what it holds."""
    own = type(module).__module__.startswith("torch.nn.")
    leaf = not module._modules or isinstance(module, nn.MultiheadAttention)
    return "layer" if own and leaf and type(module).__module__ != "torch.nn.modules.container" else "block"


SIZES: Mapping[type[nn.Module], str] = {
    **dict.fromkeys((nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell), "input_size"),
    nn.MultiheadAttention: "embed_dim",
}
"""Layers that compare their input's last size with what they were told themselves, before any function runs."""


def unfit(module: nn.Module, args: Any) -> tuple[str, int, torch.Tensor] | None:
    """What such a layer was told, and its input, where they disagree."""
    argument = SIZES.get(type(module))
    if argument is None or not args or not isinstance(args[0], torch.Tensor) or not args[0].dim():
        return None
    said = int(getattr(module, argument))
    return (argument, said, args[0]) if args[0].shape[-1] != said else None


@contextmanager
def hooked(sites: Sites, recorder: Recorder) -> Iterator[None]:
    """Every module call enters and leaves its Site, also one that an exception ends."""
    running: list[tuple[nn.Module, Site]] = []

    def before(module: nn.Module, _args: Any) -> None:
        site = sites.of(module, running[-1][1].path if running else "")
        running.append((module, site))
        recorder.enter(site)

    def after(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            recorder.unseen(module.original_name, (args, list(module.parameters())), output)
        if output is None:
            refusal = recorder.on_mismatch == "record" and unfit(module, args)
            if refusal:
                recorder.refuse(*refusal)
            recorder.note(sys.exception())
        while running:
            recorder.leave()
            if running.pop()[0] is module:
                return

    taken = hooks.register_module_forward_pre_hook(before), hooks.register_module_forward_hook(after, always_call=True)
    try:
        yield
    finally:
        for handle in taken:
            handle.remove()
