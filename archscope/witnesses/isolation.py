"""Nothing that a witness does to a model stays: attributes, hooks, flags, buffers, modes, random states, warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from archscope.record.modules import walk
from archscope.record.state import kept_module, kept_state, kept_tensors


@contextmanager
def isolated(model: nn.Module, *, train: bool) -> Iterator[None]:
    """Inside, the model is in the mode that `train` says, without gradients; afterwards it is as it was."""
    holding = walk(model)
    kept = kept_module(model, holding.modules, train=train), kept_tensors(tensor for _, tensor in holding.buffers)
    with warnings.catch_warnings(), kept_state(grad=False), kept_attributes(model), kept[0], kept[1]:
        warnings.simplefilter("ignore")
        yield


@contextmanager
def kept_attributes(model: nn.Module) -> Iterator[None]:
    """Every module's attributes and tables (parameters, submodules, hooks) as before afterwards."""
    tables = [table for module in model.modules() for table in tables_of(module)]
    before = [(table, dict(table)) for table in tables]
    try:
        yield
    finally:
        for table, content in before:
            if not same(table, content):
                table.clear()
                table.update(content)


def tables_of(module: nn.Module) -> Iterator[dict[Any, Any]]:
    own = vars(module)
    yield own
    yield from (value for name, value in own.items() if name.startswith("_") and isinstance(value, dict))


def same(table: dict[Any, Any], content: dict[Any, Any]) -> bool:
    return len(table) == len(content) and all(table.get(key, content) is value for key, value in content.items())
