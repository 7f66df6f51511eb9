"""`expect:` of a spec, evaluated into checks.

Check (key, value) + the step's value → Expectation: shapes are compared here, figures when the report is known
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR
from typing import TYPE_CHECKING

from archscope.compile.graph_tensor import GraphTensor
from archscope.compile.runtime_numbers import RuntimeList, compile_time_value
from archscope.compile.scope import Scope
from archscope.spec.bounded_math import EvaluationError
from archscope.spec.spec_types import Check, Constant, Data, Expectation, Expression, Items, Table, Word
from archscope.spec.spec_values import UNKNOWN, Value, describe_value
from archscope.units import parse_figure

if TYPE_CHECKING:
    from archscope.compile.block_use import BlockUse

PRESERVED_AXES = {"shape": slice(None), "channels": slice(1, 2), "size": slice(2, None)}


def evaluate_expectations(
    use: BlockUse, checks: Iterable[Check], scope: Scope, value: Value, start: Value, path: str
) -> list[Expectation]:
    """Return the expectations of one step or block; report those that are invalid."""
    found = []
    for check in checks:
        try:
            expected = _expectation(use, check, scope, value, start, path)
        except EvaluationError as fault:
            use.report(check.value.span, f"expect {check.key}: {fault.message}", fault.help)
            continue
        found += [expected] if expected else []
    return found


def _expectation(
    use: BlockUse, check: Check, scope: Scope, value: Value, start: Value, path: str
) -> Expectation | None:
    if check.key in ("params", "macs"):
        least, most, wanted = _figure_bounds(use, check.value, scope)
        return Expectation(path, check.key, wanted, check.span, least=least, most=most)
    shape = _tensor_shape(value, check)
    if check.key == "preserves":
        return _preserves_expectation(check, shape, _tensor_shape(start, check), path)
    return _shape_expectation(use, check, shape, scope, path)


def _tensor_shape(value: Value, check: Check) -> tuple[int, ...]:
    if not isinstance(value, GraphTensor):
        value = value.meta_items if isinstance(value, RuntimeList) else value
        what = f"{len(value)} values" if isinstance(value, (tuple, list)) else describe_value(value)
        raise EvaluationError(
            f"one tensor has a {check.key}; this is {what}", "put the expectation on the step that makes the tensor"
        )
    return tuple(value.meta.shape)


def _shape_expectation(
    use: BlockUse, check: Check, shape: tuple[int, ...], scope: Scope, path: str
) -> Expectation | None:
    if not isinstance(check.value, Items):
        raise EvaluationError("takes a list of sizes", "for example [N, 64, 28, 28]")
    wanted = [_wanted_size(use, item, scope) for item in check.value.items]
    if UNKNOWN in wanted:
        return None
    met = len(wanted) == len(shape) and all(w in (None, s) for w, s in zip(wanted, shape, strict=True))
    text = ", ".join("_" if w is None else str(w) for w in wanted)
    sizes = tuple(size if isinstance(size, int) else None for size in wanted)
    fixed = len(wanted) == len(shape) and all(
        w in (None, s) or _is_written_out(item) for item, w, s in zip(check.value.items, wanted, shape, strict=True)
    )
    return Expectation(path, "shape", f"({text})", check.span, met, str(shape), sizes=sizes, fixed=fixed and not met)


def _is_written_out(item: Data) -> bool:
    """Return whether a size is written as a number."""
    return isinstance(item, Constant) or (isinstance(item, Expression) and item.text.strip().isdecimal())


def _wanted_size(use: BlockUse, item: Data, scope: Scope) -> Value:
    if isinstance(item, Expression) and item.text.strip() == "_":
        return None
    size = compile_time_value(use.session.evaluate_data(item, scope, words=False, report=use.report, host=use))
    if size is not UNKNOWN and (not isinstance(size, int) or isinstance(size, bool)):
        raise EvaluationError(f"a size is a whole number or _, not {describe_value(size)}", "// divides whole numbers")
    return size


def _preserves_expectation(check: Check, shape: tuple[int, ...], before: tuple[int, ...], path: str) -> Expectation:
    word = check.value.text if isinstance(check.value, (Word, Expression)) else ""
    if word not in PRESERVED_AXES:
        raise EvaluationError(f"takes shape, channels or size, not {word or 'this'}")
    part = PRESERVED_AXES[word]
    same = shape[part] == before[part] and (word == "channels" or len(shape) == len(before))
    selected = range(len(before))[part]
    sizes = tuple(size if axis in selected else None for axis, size in enumerate(before))
    return Expectation(path, "preserves", f"{word} {before}", check.span, same, str(shape), sizes=sizes)


def _figure_bounds(
    use: BlockUse, value: Data, scope: Scope, *, exact: bool = False
) -> tuple[int | None, int | None, str]:
    if isinstance(value, Table):
        unknown = [k for k, _ in value.entries if k not in ("min", "max")]
        if unknown or not value.entries:
            raise EvaluationError(f"takes min and max, not {', '.join(unknown) or 'nothing'}")
        bounds = {k: _figure_bounds(use, v, scope, exact=True) for k, v in value.entries}
        text = ", ".join(f"{k} {b[2]}" for k, b in bounds.items())
        return bounds["min"][0] if "min" in bounds else None, bounds["max"][1] if "max" in bounds else None, text
    if isinstance(value, Word):
        return _rounding_bounds(value.text, exact=exact)
    number = (
        value.value
        if isinstance(value, Constant)
        else use.session.evaluate_data(value, scope, words=False, report=use.report)
    )
    number = compile_time_value(number)
    if number is UNKNOWN:
        return None, None, "?"
    if not isinstance(number, int) or isinstance(number, bool):
        raise EvaluationError(
            f"a count is a whole number or a figure, not {describe_value(number)}",
            "for example 11_689_512, 1.81G or {max: 2M}",
        )
    return number, number, f"{number:,}"


def _rounding_bounds(text: str, *, exact: bool) -> tuple[int, int, str]:
    """Return the range of numbers that round to a figure such as `1.81G`; with `exact`, the number itself."""
    try:
        figure = parse_figure(text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None
    slack = figure.step / 2 if figure.step > 1 and not exact else 0
    least = int((figure.value - slack).to_integral_value(ROUND_CEILING))
    return least, int((figure.value + slack).to_integral_value(ROUND_FLOOR)), text
