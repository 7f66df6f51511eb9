"""The nets of one file: its variants times its matrix."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from archscope.errors import UsageError, did_you_mean
from archscope.spec.spec_types import Setting, Spec, Variant, setting_text


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
