"""The functions that a function mode sees."""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket

OPERATOR_TYPES = (OpOverload, OpOverloadPacket, HigherOrderOperator)


def is_visible(function: Any) -> bool:
    """Return whether torch calls a function mode for a function."""
    return isinstance(function, OPERATOR_TYPES) or function in torch.overrides.get_testing_overrides()


def is_torch_name(name: str) -> bool:
    """Return whether torch has a visible function (`torch.add`) or operator (`aten.add`) of this name."""
    found: Any = torch if name.startswith("torch.") else torch.ops
    for part in name.removeprefix("torch.").split("."):
        found = getattr(found, part, None)
    return found is not None and is_visible(found)
