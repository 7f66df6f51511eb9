"""`expect:` as it is written, made into what can be checked.

Check (key, value) + the step's value → Expected: shapes settled here, figures bounded for the report to settle
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR
from typing import TYPE_CHECKING

from archscope.compile.numbers import RuntimeList, plain
from archscope.compile.scope import Scope
from archscope.compile.values import Tensor
from archscope.spec.model import Check, Constant, Data, Expected, Expression, Items, Table, Word
from archscope.spec.numbers import Fault
from archscope.spec.things import UNKNOWN, shown
from archscope.units import parse_figure

if TYPE_CHECKING:
    from archscope.compile.use import Use

PRESERVED = {"shape": slice(None), "channels": slice(1, 2), "size": slice(2, None)}


def expected_of(
    use: Use, checks: Iterable[Check], scope: Scope, value: object, start: object, path: str
) -> list[Expected]:
    """The expectations of one step or block. What cannot be an expectation is reported."""
    found = []
    for check in checks:
        try:
            expected = _expected(use, check, scope, value, start, path)
        except Fault as fault:
            use.report(check.value.span, f"expect {check.key}: {fault.message}", fault.help)
            continue
        found += [expected] if expected else []
    return found


def _expected(use: Use, check: Check, scope: Scope, value: object, start: object, path: str) -> Expected | None:
    if check.key in ("params", "macs"):
        least, most, wanted = _bounds(use, check.value, scope)
        return Expected(path, check.key, wanted, check.span, least=least, most=most)
    shape = _shape_of(value, check)
    if check.key == "preserves":
        return _preserves(check, shape, _shape_of(start, check), path)
    return _shape(use, check, shape, scope, path)


def _shape_of(value: object, check: Check) -> tuple[int, ...]:
    if not isinstance(value, Tensor):
        value = value.metas if isinstance(value, RuntimeList) else value
        what = f"{len(value)} values" if isinstance(value, (tuple, list)) else shown(value)
        raise Fault(
            f"one tensor has a {check.key}; this is {what}", "put the expectation on the step that makes the tensor"
        )
    return tuple(value.meta.shape)


def _shape(use: Use, check: Check, shape: tuple[int, ...], scope: Scope, path: str) -> Expected | None:
    if not isinstance(check.value, Items):
        raise Fault("takes a list of sizes", "for example [N, 64, 28, 28]")
    wanted = [_entry(use, item, scope) for item in check.value.items]
    if UNKNOWN in wanted:
        return None
    met = len(wanted) == len(shape) and all(w in (None, s) for w, s in zip(wanted, shape, strict=True))
    text = ", ".join("_" if w is None else str(w) for w in wanted)
    sizes = tuple(size if isinstance(size, int) else None for size in wanted)
    fixed = len(wanted) == len(shape) and all(
        w in (None, s) or _is_written_out(item) for item, w, s in zip(check.value.items, wanted, shape, strict=True)
    )
    return Expected(path, "shape", f"({text})", check.span, met, str(shape), sizes=sizes, fixed=fixed and not met)


def _is_written_out(item: Data) -> bool:
    """Whether a size is a number, and follows from nothing."""
    return isinstance(item, Constant) or (isinstance(item, Expression) and item.text.strip().isdecimal())


def _entry(use: Use, item: Data, scope: Scope) -> object:
    if isinstance(item, Expression) and item.text.strip() == "_":
        return None
    size = plain(use.workshop.data(item, scope, words=False, report=use.report, host=use))
    if size is not UNKNOWN and (not isinstance(size, int) or isinstance(size, bool)):
        raise Fault(f"a size is a whole number or _, not {shown(size)}", "// divides whole numbers")
    return size


def _preserves(check: Check, shape: tuple[int, ...], before: tuple[int, ...], path: str) -> Expected:
    word = check.value.text if isinstance(check.value, (Word, Expression)) else ""
    if word not in PRESERVED:
        raise Fault(f"takes shape, channels or size, not {word or 'this'}")
    part = PRESERVED[word]
    same = shape[part] == before[part] and (word == "channels" or len(shape) == len(before))
    kept = range(len(before))[part]
    sizes = tuple(size if axis in kept else None for axis, size in enumerate(before))
    return Expected(path, "preserves", f"{word} {before}", check.span, same, str(shape), sizes=sizes)


def _bounds(use: Use, value: Data, scope: Scope, *, exact: bool = False) -> tuple[int | None, int | None, str]:
    if isinstance(value, Table):
        unknown = [k for k, _ in value.entries if k not in ("min", "max")]
        if unknown or not value.entries:
            raise Fault(f"takes min and max, not {', '.join(unknown) or 'nothing'}")
        bounds = {k: _bounds(use, v, scope, exact=True) for k, v in value.entries}
        text = ", ".join(f"{k} {b[2]}" for k, b in bounds.items())
        return bounds["min"][0] if "min" in bounds else None, bounds["max"][1] if "max" in bounds else None, text
    if isinstance(value, Word):
        return _figure(value.text, exact=exact)
    number = (
        value.value if isinstance(value, Constant) else use.workshop.data(value, scope, words=False, report=use.report)
    )
    number = plain(number)
    if number is UNKNOWN:
        return None, None, "?"
    if not isinstance(number, int) or isinstance(number, bool):
        raise Fault(
            f"a count is a whole number or a figure, not {shown(number)}", "for example 11_689_512, 1.81G or {max: 2M}"
        )
    return number, number, f"{number:,}"


def _figure(text: str, *, exact: bool) -> tuple[int, int, str]:
    """What `1.81G` allows: whatever rounds to it; as a bound (`exact`) the number itself."""
    try:
        figure = parse_figure(text)
    except ValueError as error:
        raise Fault(str(error)) from None
    slack = figure.step / 2 if figure.step > 1 and not exact else 0
    least = int((figure.value - slack).to_integral_value(ROUND_CEILING))
    return least, int((figure.value + slack).to_integral_value(ROUND_FLOOR)), text
