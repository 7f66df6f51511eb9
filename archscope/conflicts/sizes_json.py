"""The sizes of a conflict as plain data: shapes, the axes that differ, the wrong argument, fitting input sizes.

Diagnosis → sizes_json → the `sizes` of its Finding in JSON
"""

from __future__ import annotations

from collections.abc import Mapping

from archscope.conflicts.axis_names import position_axes
from archscope.conflicts.diagnosis import Diagnosis
from archscope.conflicts.fitting_sizes import FittingSizes
from archscope.conflicts.view_factors import ViewFactors, find_view_factors


def sizes_json(diagnosis: Diagnosis) -> Mapping[str, object]:
    """Return the sizes of a conflict.

    `operands`: name, maker and shape of each. `axes`: those that differ, counted in the widest operand, with their
    names and sizes. `told`: the wrong argument of a layer or a view, and the actual size. `input_sizes`: see
    `fit_json`.
    """
    shapes, wrong = diagnosis.shapes, diagnosis.mismatch.wrong_argument
    rank = max(map(len, shapes))
    pairs = zip(diagnosis.names, diagnosis.operands, strict=True)
    return {
        "operands": [{"name": name, "from": op.source, "shape": list(op.value.shape)} for name, op in pairs],
        "axes": [
            {
                "axis": axis,
                "name": diagnosis.axis_names[axis] or None,
                "sizes": [shape[axis - rank] for shape in shapes if len(shape) >= rank - axis],
            }
            for axis in diagnosis.mismatch.axes
            if axis < rank
        ],
        "told": {"argument": wrong.argument, "told": to_json(wrong.given), "has": to_json(wrong.needed)}
        if wrong
        else None,
        "input_sizes": fit_json(diagnosis.fit) if diagnosis.fit is not None else None,
    }


def fit_json(fit: FittingSizes) -> Mapping[str, object]:
    """Return the input's name; for each free axis its index, name, present size, the next fitting sizes (`fits`), and
    the number whose multiples fit; `whole`: the sizes of all axes if they depend on each other."""
    return {
        "input": fit.input,
        "axes": [
            {
                "axis": axis.axis,
                "name": axis.name,
                "given": axis.given,
                "fits": list(axis.sizes),
                "multiples_of": axis.step or None,
            }
            for axis in fit.axes
        ],
        "whole": list(fit.whole) or None,
    }


def to_json(value: object) -> object:
    """Return a number, a string, or a list of these."""
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value if isinstance(value, int | float | str) else str(value)


def conflict_view_factors(diagnosis: Diagnosis) -> list[ViewFactors]:
    """Return the axes of a view whose numbers do not multiply to the input's sizes."""
    wrong = diagnosis.mismatch.wrong_argument
    if diagnosis.mismatch.kind != "view" or wrong is None or not isinstance(wrong.given, tuple):
        return []
    return find_view_factors(wrong.given, diagnosis.shapes[0], position_axes(diagnosis.axis_names))
