"""What a function mode is told of: a function, or its name → whether torch shows calls of it."""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket

OPERATOR_TYPES = (OpOverload, OpOverloadPacket, HigherOrderOperator)


def is_visible(function: Any) -> bool:
    """Whether torch tells a mode of calls of a function."""
    return isinstance(function, OPERATOR_TYPES) or function in torch.overrides.get_testing_overrides()


def is_torch_name(name: str) -> bool:
    """Whether torch has a function (`torch.add`) or an operator (`aten.add`) of this name whose calls it tells of."""
    found: Any = torch if name.startswith("torch.") else torch.ops
    for part in name.removeprefix("torch.").split("."):
        found = getattr(found, part, None)
    return found is not None and is_visible(found)
