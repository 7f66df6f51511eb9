"""Output shapes of common layers and functions by rule, so that compiling them runs nothing on the meta device.

    (layer, arguments, meta tensors) → layers.LAYER_RULES            → result | None
    (function's name, arguments)     → function_rules.FUNCTION_RULES → result | None   None: no rule, run torch on meta

The first operation on the meta device imports sympy or torch._dynamo, which takes as long as torch itself; torch.empty
does not. A rule returns only results that are certain (sizes, dtype, nesting), and none where torch raises: the error
then has torch's own message.

    images   pointwise   products_and_norms   reshape     the rules of functions
    guards                                                conditions that a rule sets; new tensors on meta
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from archscope.compile.shapes import function_rules, layers
from archscope.compile.shapes.guards import NoRule, is_supported

NO_RULE_ERRORS = (NoRule, TypeError, AttributeError, IndexError, ValueError, ArithmeticError, RuntimeError)
"""The exceptions of a rule for arguments that it was not written for."""


def layer_output(
    cls: type, arguments: Mapping[str, object], inputs: tuple[object, ...], options: Mapping[str, object] | None = None
) -> object | None:
    """Return the output of the layer `cls(**arguments)` for meta tensors: a tensor or tuple; None without a rule.

    arguments: all arguments of the constructor, defaults and inferred ones included. options: keyword arguments of the
    call, such as `need_weights=False`; values other than booleans have no rule. Weights are assumed to have torch's
    default dtype.
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
    """Return the output of the function or method `name` for meta tensors; None without a rule.

    `name` is the short name in torch, torch.nn.functional or torch.Tensor; a method has its tensor as first argument.
    """
    rule = function_rules.FUNCTION_RULES.get(name)
    if rule is None or not all(map(is_supported, (*args, *kwargs.values()))):
        return None
    try:
        return rule(*args, **kwargs)
    except NO_RULE_ERRORS:
        return None
