"""Shapes of common layers and functions by rule, so that compiling them runs nothing on the meta device.

    (layer, arguments, meta tensors) → layers.RULES    → result | None
    (function's name, arguments)     → functions.RULES → result | None        None: no rule, ask torch on meta

The first operation on the meta device loads sympy or torch._dynamo, as slow as torch itself; torch.empty does not.
A rule answers only what it is certain of (sizes, dtype, nesting), and never where torch raises: the error is then in
torch's own words.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from archscope.compile.shapes import functions, layers
from archscope.compile.shapes.guards import NoRule, is_supported

NO_RULE_ERRORS = (NoRule, TypeError, AttributeError, IndexError, ValueError, ArithmeticError, RuntimeError)
"""What a rule meets in arguments that it was not written for."""


def layer_output(
    cls: type, arguments: Mapping[str, object], inputs: tuple[object, ...], options: Mapping[str, object] | None = None
) -> object | None:
    """What the layer `cls(**arguments)` gives for meta tensors: a tensor, a tuple, or None where no rule is certain.

    arguments: every argument of the constructor, defaults and inferred ones filled in. options: keyword arguments of
    the call itself, as `need_weights=False`; with others than true and false torch is asked. Weights are taken to have
    torch's default dtype.
    """
    rule = layers.LAYER_RULES.get(cls.__name__) if getattr(torch.nn, cls.__name__, None) is cls else None
    tensors = inputs and all(isinstance(value, torch.Tensor) and is_supported(value) for value in inputs)
    if rule is None or not tensors or not all(isinstance(value, bool) for value in (options or {}).values()):
        return None
    try:
        return rule(arguments, *inputs, **(options or {}))
    except NO_RULE_ERRORS:
        return None


def function_output(name: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> object | None:
    """What the function or method `name` gives for meta tensors, or None where no rule is certain.

    `name` is the short name in torch, torch.nn.functional or torch.Tensor; a method has its tensor as first argument.
    """
    rule = functions.FUNCTION_RULES.get(name)
    if rule is None or not all(map(is_supported, (*args, *kwargs.values()))):
        return None
    try:
        return rule(*args, **kwargs)
    except NO_RULE_ERRORS:
        return None
