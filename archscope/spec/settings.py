"""Params set by `--set name=value` or `set={…}`: plain values → Settings, as if they were written in the file."""

from __future__ import annotations

from collections.abc import Mapping

from archscope.errors import Span, UsageError
from archscope.spec.bounded_math import MAX_INTEGER_BITS
from archscope.spec.expression import parse_expression
from archscope.spec.spec_types import Constant, Data, Items, Setting, Word
from archscope.spec.yaml_nodes import ParseError


def parse_settings(values: Mapping[str, object]) -> dict[str, Setting]:
    """Return every value as a Setting. Texts are expressions (`4 * dim`, `Bottleneck`) if they parse, else words. Raise
    UsageError for an integer that is too large for an expression.
    """
    return {
        name: Setting(name, _parse_value(value, Span(f"set {name}", 1, 1)), Span(f"set {name}", 1, 1))
        for name, value in values.items()
    }


def _parse_value(value: object, span: Span) -> Data:
    if isinstance(value, (list, tuple)):
        return Items(tuple(_parse_value(v, span) for v in value), span)
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise UsageError(
            f"{span.file}: a number of {value.bit_length():,} bits", f"at most {MAX_INTEGER_BITS} are allowed"
        )
    if value is None or isinstance(value, (int, float)):
        return Constant(value, span)
    try:
        return parse_expression(str(value), span)
    except ParseError:
        return Word(str(value), span)
