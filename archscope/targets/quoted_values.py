"""Short texts of values in an author's code, for messages: any object → text. Never fails, and is never long."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from itertools import islice
from types import FunctionType

import torch
from torch import nn

from archscope.units import short_repr

MAX_ITEMS = 4
MAX_NESTING = 2


def quote_value(value: object, *, depth: int = 0) -> str:
    """Return a value as a short text: `8`, `'same'`, `[3, 4, 6, 3]`, `[64, 64, 64, 64, … 96 more]`,
    `<tensor (3, 4)>`.
    """
    try:
        return _quote_value(value, depth)
    except Exception:  # noqa: BLE001 - a repr of the author's raises what it likes
        return f"<{type(value).__name__}>"


def _quote_value(value: object, depth: int) -> str:
    if isinstance(value, torch.Tensor):
        return f"<tensor {tuple(value.shape)}>"
    if isinstance(value, (type, FunctionType)) or inspect.isbuiltin(value):
        return str(value.__name__)
    if isinstance(value, nn.Module):
        return f"{type(value).__name__}(…)"
    if type(value) in (list, tuple, set, dict):
        return _quote_items(value, depth)
    text = short_repr(value)
    return f"<{type(value).__name__}>" if text.startswith("<") else text


def _quote_items(value: object, depth: int) -> str:
    assert isinstance(value, (list, tuple, set, dict))
    opening, closing = {list: ("[", "]"), tuple: ("(", ")")}.get(type(value), ("{", "}"))
    if not value:
        return "set()" if type(value) is set else opening + closing
    if depth >= MAX_NESTING:
        return f"{opening}…{closing}"
    texts = [quote_value(item, depth=depth + 1) for item in islice(value, MAX_ITEMS)]
    if isinstance(value, dict):
        value_texts = [quote_value(item, depth=depth + 1) for item in islice(value.values(), MAX_ITEMS)]
        texts = [f"{key}: {item}" for key, item in zip(texts, value_texts, strict=True)]
    more = len(value) - len(texts)
    inner = ", ".join([*texts, *([f"… {more} more"] if more else [])])
    return f"{opening}{inner}{',' if type(value) is tuple and len(value) == 1 else ''}{closing}"


def arguments_text(values: Mapping[str, object], *, longest: int = 100) -> str:
    """Return `cin=24, cout=384, groups=8`, cut if it is longer than `longest`."""
    texts: list[str] = []
    for name, value in values.items():
        text = f"{name}={quote_value(value)}"
        if sum(map(len, texts)) + len(text) > longest:
            return ", ".join([*texts, "…"])
        texts.append(text)
    return ", ".join(texts)
