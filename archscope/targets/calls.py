"""Calls of a module: its forward's signature → whether arguments fit it, under which names, and what to say if not."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from archscope import units
from archscope.errors import UsageError, did_you_mean

SHAPES = "input=(1, 3, 224, 224) gives their shapes"
NO_VALUES = ("meta tensor", "Meta backend", "device meta", "meta device", "fake impl", "data-independent")
VALUES = 'meta has no values and knows few special operators: device="cpu" computes them'
LONGEST = 160


def signature_of(module: nn.Module) -> inspect.Signature | None:
    """What a module's forward takes, without `self`; None where that cannot be told."""
    if isinstance(module, torch.jit.ScriptModule):
        return _scripted(module)
    try:
        return inspect.signature(module.forward)
    except (TypeError, ValueError):
        return None


def _scripted(module: torch.jit.ScriptModule) -> inspect.Signature | None:
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


def taken(signature: inspect.Signature, name: str) -> str:
    """`forward(x, mask=None, *, scale=1.0)`."""
    plain = [p.replace(annotation=p.empty, default=_short(p.default)) for p in signature.parameters.values()]
    text = f"{name}{inspect.Signature(plain)}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rpartition(',')[0]}, …)"


class _Text(str):
    """A default, as a signature shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _short(default: object) -> object:
    return default if default is inspect.Parameter.empty else _Text(units.short(default))


def check_fit(module: nn.Module, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raises UsageError where the arguments are not those that the module's forward takes.

    Hooks and calls of one's own may supply others; then the call itself will tell.
    """
    signature = signature_of(module)
    if signature is None or not _is_called_plainly(module):
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        unknown = next((key for key in kwargs if key not in signature.parameters), "")
        fact = f"takes no input {unknown!r}" if unknown else f"does not take these inputs: {error}"
        near = did_you_mean(unknown, signature.parameters)
        raise UsageError(f"{name} {fact}", near or _cure(signature, args, kwargs)) from None


def needs_inputs(module: nn.Module) -> bool:
    """Whether a module cannot be called without arguments, as far as its forward's signature tells."""
    signature = signature_of(module)
    if signature is None or not _is_called_plainly(module):
        return False
    try:
        signature.bind()
    except TypeError:
        return True
    return False


def without_inputs(module: nn.Module) -> str:
    """What to say of a report without a run."""
    signature = signature_of(module)
    assert signature is not None
    return f"no input was given, so what runs is not known; {_cure(signature, (), {})}"


def _cure(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    its = f"its call is {taken(signature, 'forward')}"
    return its if args or kwargs else f"{SHAPES}; {its}"


def cure_of(module: nn.Module, error: BaseException, *, inputs: bool) -> str:
    """What may help where a forward pass failed: without inputs, or since it needs values that meta has not."""
    signature = signature_of(module)
    if not inputs and signature is not None and signature.parameters:
        return f"no input was given: {_cure(signature, (), {})}"
    return VALUES if any(words in str(error) for words in NO_VALUES) else ""


def _is_called_plainly(module: nn.Module) -> bool:
    own = type(module).__call__ is not nn.Module.__call__ or module._forward_pre_hooks
    return isinstance(module, fx.GraphModule) or getattr(type(module), "calls_forward", False) or not own


def named_inputs(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call under the names that the module's forward gives them, else by position."""
    signature = signature_of(module)
    try:
        assert signature is not None
        bound = signature.bind(*args, **kwargs).arguments
    except (AssertionError, TypeError):  # the call itself will say what does not fit
        return {**{str(i): value for i, value in enumerate(args)}, **kwargs}
    found: dict[str, Any] = {}
    for name, value in bound.items():
        found.update(value if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    return found
