"""Calls of a module: its forward's signature → whether arguments fit it, their names, and the help if they do not."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from archscope import units
from archscope.errors import UsageError, did_you_mean

SHAPES_HELP = "input=(1, 3, 224, 224) gives their shapes"
META_VALUE_ERRORS = ("meta tensor", "Meta backend", "device meta", "meta device", "fake impl", "data-independent")
CPU_HELP = 'meta has no values and knows few special operators: device="cpu" computes them'
MAX_SIGNATURE_CHARS = 160


def forward_signature(module: nn.Module) -> inspect.Signature | None:
    """Return the signature of a module's forward without `self`; None if it is not known."""
    if isinstance(module, torch.jit.ScriptModule):
        return _script_signature(module)
    try:
        return inspect.signature(module.forward)
    except (TypeError, ValueError):
        return None


def _script_signature(module: torch.jit.ScriptModule) -> inspect.Signature | None:
    try:
        given = module.forward.schema.arguments[1:]  # type: ignore[attr-defined]  # a ScriptMethod
    except (AttributeError, RuntimeError):  # a module without a forward
        return None
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            inspect.Parameter(
                argument.name,
                kinds[argument.kwarg_only],
                default=argument.default_value if argument.has_default_value() else inspect.Parameter.empty,
            )
            for argument in given
        ]
    )


def call_signature_text(signature: inspect.Signature, name: str) -> str:
    """Return `forward(x, mask=None, *, scale=1.0)`."""
    plain = [p.replace(annotation=p.empty, default=_short_default(p.default)) for p in signature.parameters.values()]
    text = f"{name}{inspect.Signature(plain)}"
    return text if len(text) <= MAX_SIGNATURE_CHARS else f"{text[:MAX_SIGNATURE_CHARS].rpartition(',')[0]}, …)"


class _DefaultText(str):
    """The text of a default in a signature."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _short_default(default: object) -> object:
    return default if default is inspect.Parameter.empty else _DefaultText(units.short_repr(default))


def check_call_arguments(module: nn.Module, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise UsageError if the module's forward does not take these arguments.

    Hooks and custom `__call__` methods may supply others; then nothing is checked here.
    """
    signature = forward_signature(module)
    if signature is None or not _has_plain_call(module):
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        unknown = next((key for key in kwargs if key not in signature.parameters), "")
        fact = f"takes no input {unknown!r}" if unknown else f"does not take these inputs: {error}"
        near = did_you_mean(unknown, signature.parameters)
        raise UsageError(f"{name} {fact}", near or _call_help(signature, args, kwargs)) from None


def needs_inputs(module: nn.Module) -> bool:
    """Return whether a module cannot be called without arguments, as far as its forward's signature shows."""
    signature = forward_signature(module)
    if signature is None or not _has_plain_call(module):
        return False
    try:
        signature.bind()
    except TypeError:
        return True
    return False


def no_input_note(module: nn.Module) -> str:
    """Return the note of a report without a run."""
    signature = forward_signature(module)
    assert signature is not None
    return f"no input was given, so the operations are not known; {_call_help(signature, (), {})}"


def _call_help(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    its = f"its call is {call_signature_text(signature, 'forward')}"
    return its if args or kwargs else f"{SHAPES_HELP}; {its}"


def forward_error_help(module: nn.Module, error: BaseException, *, inputs: bool) -> str:
    """Return the help for a failed forward pass: no inputs were given, or it needs values that meta tensors do not
    have.
    """
    signature = forward_signature(module)
    if not inputs and signature is not None and signature.parameters:
        return f"no input was given: {_call_help(signature, (), {})}"
    return CPU_HELP if any(words in str(error) for words in META_VALUE_ERRORS) else ""


def _has_plain_call(module: nn.Module) -> bool:
    own = type(module).__call__ is not nn.Module.__call__ or module._forward_pre_hooks
    return isinstance(module, fx.GraphModule) or getattr(type(module), "calls_forward", False) or not own


def named_inputs(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names of the forward's parameters, else by position."""
    signature = forward_signature(module)
    try:
        assert signature is not None
        bound = signature.bind(*args, **kwargs).arguments
    except (AssertionError, TypeError):  # the call itself reports what does not fit
        return {**{str(i): value for i, value in enumerate(args)}, **kwargs}
    found: dict[str, Any] = {}
    for name, value in bound.items():
        found.update(value if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    return found
