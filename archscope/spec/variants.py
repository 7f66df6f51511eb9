"""The nets of one file: its variants times its matrix."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from archscope.errors import UsageError, did_you_mean
from archscope.spec.model import Constant, Items, Setting, Spec, Variant


def variants_of(spec: Spec) -> tuple[Variant, ...]:
    """Every net of a file: the variants times the matrix. One unnamed variant where the file has neither."""
    base = spec.variants or (Variant("", (), (), spec.span),)
    axes = [[replace(s, value=v) for v in s.value.items] for s in spec.matrix if isinstance(s.value, Items)]
    if not axes:
        return base
    return tuple(_crossed(variant, chosen) for variant in base for chosen in itertools.product(*axes))


def _crossed(variant: Variant, chosen: Sequence[Setting]) -> Variant:
    texts = (f"{s.name}={_text(s)}" for s in chosen)
    name = ",".join(filter(None, (variant.name, *texts)))
    return Variant(name, (*variant.settings, *chosen), variant.expect, variant.span)


def _text(setting: Setting) -> str:
    value = setting.value
    return str(value.value) if isinstance(value, Constant) else getattr(value, "text", "…")


def find_variant(spec: Spec, name: str | None) -> Variant:
    """The variant called `name`; the first one without a name. Raises UsageError."""
    known = variants_of(spec)
    if not name:
        return known[0]
    for variant in known:
        if variant.name == name:
            return variant
    names = [v.name for v in known if v.name]
    near = did_you_mean(name, names) or (f"it has {', '.join(names)}" if names else "it has no variants")
    raise UsageError(f"{spec.file} has no variant {name!r}", near)


def chosen_variant(spec: Spec, name: str | None, settings: Mapping[str, Setting]) -> Variant:
    """The variant called `name`; without a name the first whose matrix has the values that are given.

    Raises UsageError where a net of a matrix, which is called after its values, is given another one.
    """
    axes = {setting.name for setting in spec.matrix} & settings.keys()
    told = find_variant(spec, name)
    fitting = [one for one in variants_of(spec) if not contradicted(one, axes, settings)]
    if not contradicted(told, axes, settings):
        return told
    if fitting and not name:
        return fitting[0]
    clash = contradicted(told, axes, settings)
    said = " and ".join(f"{one.name}={_text(one)}" for one in clash)
    given = ", ".join(f"{one.name}={_text(settings[one.name])}" for one in clash)
    names = [one.name for one in fitting]
    first = told.name.partition(",")[0]
    named = [one for one in names if one.partition(",")[0] == first] or names
    cure = f"name {spec.file}:{named[0]}" if named else f"leave it out, or add it to the matrix: {', '.join(axes)}"
    raise UsageError(f"{spec.file}:{told.name} is the net with {said}, and {given} is given", cure)


def contradicted(variant: Variant, axes: Collection[str], settings: Mapping[str, Setting]) -> list[Setting]:
    """The values of a variant, on axes of the matrix, that are set to others."""
    own = {setting.name: setting for setting in variant.settings}
    return [own[name] for name in own if name in axes and own[name].value != settings[name].value]
