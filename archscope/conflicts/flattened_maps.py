"""The map that was flattened before a Linear, and the map that the Linear was made for."""

from __future__ import annotations

from math import prod

from archscope.conflicts.causes import map_with_features
from archscope.conflicts.diagnosis import Diagnosis
from archscope.spec.tensor_calls import RESHAPE_FUNCTIONS


def flattened_map(diagnosis: Diagnosis) -> tuple[int, ...] | None:
    """Return channels and sides of the map that was flattened before a Linear; None for other conflicts."""
    rows = [change.row for side in diagnosis.sides for change in side if change.row.short_name in RESHAPE_FUNCTIONS]
    wrong = diagnosis.mismatch.wrong_argument
    if not rows or wrong is None or wrong.argument != "in_features":
        return None
    shape = rows[-1].inputs[0].value.shape
    return shape[1:] if len(shape) > 2 and wrong.needed == prod(shape[1:]) else None


def wanted_map(diagnosis: Diagnosis) -> tuple[int, ...]:
    """Return channels and sides of the map that the Linear was made for; () if there is none."""
    image, wrong = flattened_map(diagnosis), diagnosis.mismatch.wrong_argument
    features = wrong.given if wrong is not None else None
    return map_with_features(features, image) if image is not None and isinstance(features, int) else ()
