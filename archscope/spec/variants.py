"""The nets of one file, its variants times its matrix; and params set by `--set name=value`, as Settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from archscope.errors import Span, UsageError, did_you_mean
from archscope.spec.bounded_math import MAX_INTEGER_BITS
from archscope.spec.expression import parse_expression
from archscope.spec.spec_types import Constant, Data, Items, Setting, Spec, Variant, Word, setting_text
from archscope.spec.yaml_nodes import ParseError


def all_variants(spec: Spec) -> tuple[Variant, ...]:
    """Return every net of a file: the variants times the matrix; one unnamed variant if the file has neither."""
    return tuple(spec.nets.values())


def find_variant(spec: Spec, name: str | None) -> Variant:
    """Return the variant called `name`, the first one if `name` is None. Raise UsageError if there is none."""
    if not name:
        return next(iter(spec.nets.values()))
    if name in spec.nets:
        return spec.nets[name]
    names = [known for known in spec.nets if known]
    near = did_you_mean(name, names) or (f"it has {', '.join(names[:20])}" if names else "it has no variants")
    raise UsageError(f"{spec.file} has no variant {name!r}", near)


def select_variant(spec: Spec, name: str | None, settings: Mapping[str, Setting]) -> Variant:
    """Return the variant called `name`; without a name, the first one whose matrix has the given values.

    Raises UsageError if a net of a matrix, which is named after its values, is given other values.
    """
    axes = {setting.name for setting in spec.matrix} & settings.keys()
    variant = find_variant(spec, name)
    clash = conflicting_settings(variant, axes, settings)
    if not clash:
        return variant
    fitting = [one for one in all_variants(spec) if not conflicting_settings(one, axes, settings)]
    if fitting and not name:
        return fitting[0]
    present = " and ".join(f"{one.name}={setting_text(one)}" for one in clash)
    given = ", ".join(f"{one.name}={setting_text(settings[one.name])}" for one in clash)
    names = [one.name for one in fitting]
    first = variant.name.partition(",")[0]
    named = [one for one in names if one.partition(",")[0] == first] or names
    fix = f"name {spec.file}:{named[0]}" if named else f"leave it out, or add it to the matrix: {', '.join(axes)}"
    raise UsageError(f"{spec.file}:{variant.name} is the net with {present}, and {given} is given", fix)


def conflicting_settings(variant: Variant, axes: Collection[str], settings: Mapping[str, Setting]) -> list[Setting]:
    """Return the values of a variant on matrix axes that the settings change."""
    own = {setting.name: setting for setting in variant.settings}
    return [own[name] for name in own if name in axes and own[name].value != settings[name].value]


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
