"""The map that was flattened for a Linear, and the one that the Linear was made for."""

from __future__ import annotations

from math import prod

from archscope.checks.conflicts.causes import map_with_features
from archscope.checks.conflicts.diagnosis import Diagnosis
from archscope.spec.tensor_calls import RESHAPE_FUNCTIONS


def flattened_map(diagnosis: Diagnosis) -> tuple[int, ...] | None:
    """Channels and sides of the map that was flattened for a Linear; None for other conflicts."""
    rows = [change.row for side in diagnosis.sides for change in side if change.row.short_name in RESHAPE_FUNCTIONS]
    says = diagnosis.mismatch.wrong_argument
    if not rows or says is None or says.argument != "in_features":
        return None
    shape = rows[-1].inputs[0].value.shape
    return shape[1:] if len(shape) > 2 and says.needed == prod(shape[1:]) else None


def wanted_map(diagnosis: Diagnosis) -> tuple[int, ...]:
    """Channels and sides of the map that the Linear was made for; empty where there is no such map."""
    image, says = flattened_map(diagnosis), diagnosis.mismatch.wrong_argument
    told = says.given if says is not None else None
    return map_with_features(told, image) if image is not None and isinstance(told, int) else ()
