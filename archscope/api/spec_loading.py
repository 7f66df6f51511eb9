"""Specs: loading, variants, compilation to a Plan, and building of nn.Modules.

Torch is not imported before the spec has been read, so a mistake in a spec is reported at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Number
from typing import TYPE_CHECKING, Any

from archscope import units
from archscope.api.keyword_checks import validate_keywords
from archscope.errors import UsageError
from archscope.spec import Library, bundled_networks
from archscope.spec import load as load_spec
from archscope.spec.variants import all_variants, select_variant

if TYPE_CHECKING:
    from archscope.compile import InputOverride, Plan

SPEC_TEXT = re.compile(r"^\s*\{?\s*(input|inputs|layers|params|blocks|imports|variants)\s*:(\s|$)", re.MULTILINE)
"""A key of the language at the beginning of a line."""
SPEC_TARGET = re.compile(r"(?P<file>.+\.ya?ml)(?::(?P<variant>.+))?", re.DOTALL)


def load(
    path: str | os.PathLike[str],
    *,
    text: str | None = None,
    texts: Mapping[str, str] | None = None,
    known: Library | None = None,
) -> Library:
    """Read a spec and the files that it imports, without torch. Raises SpecError with all problems.

    text, texts: the content of the file, or of any file by its name, in place of that on the disk. known: files that
    were read before; one with the same text is not parsed again.
    """
    return load_spec(spec_file_name(path), text=text, texts=texts or {}, known=known)


def spec_file_name(path: str | os.PathLike[str]) -> str:
    """Return the name of a file as messages have it: `specs:resnet` is `specs:resnet.yaml`."""
    text = os.fspath(path)
    return (
        (bundled_networks.split_target(text) or (text, None))[0]
        if text.startswith(bundled_networks.TARGET_PREFIX)
        else text
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the language, for editors, without torch."""
    from archscope.spec.schema import schema as made

    return made()


def variants(target: str, *, texts: Mapping[str, str] | None = None) -> list[str]:
    """Return the targets of a spec's variants (`net.yaml:small`, `specs:resnet:resnet18`, …), or the target itself if
    it names one or has none.

    A library of blocks has no net, so no target. texts: as for `load`. Raises SpecError.
    """
    parts = split_target(target)
    if parts is None or parts[1]:
        return [target]
    return variant_targets(load(parts[0], texts=texts))


def variant_targets(library: Library) -> list[str]:
    """Return the targets of a spec's variants; none for a library of blocks."""
    root = library.root
    if root.layers is None:
        return []
    file = bundled_networks.short_target(root.file)
    return [f"{file}:{v.name}" if v.name else file for v in all_variants(root)]


def split_target(target: Any) -> tuple[str, str | None] | None:
    """Return a spec's file and variant; None for a Python target. Raises UsageError for the text of a spec."""
    if not isinstance(target, (str, os.PathLike)):
        return None
    text = os.fspath(target)
    if SPEC_TEXT.search(text) and not os.path.exists(text):
        suggestion = "write it to a file and name that; or name a file and give its text: " + 'texts={"net.yaml": text}'
        raise UsageError(f"a target is the name of a file, and this is its text: {units.short_repr(text)}", suggestion)
    if text.startswith(bundled_networks.TARGET_PREFIX):
        return bundled_networks.split_target(text)
    match = SPEC_TARGET.fullmatch(text)
    if match and not os.path.isfile(text):
        return match["file"], match["variant"]
    return (text, None) if match or (os.path.exists(text) and not text.endswith(".py")) else None


def compile_plan(
    target: str | os.PathLike[str],
    *,
    variant: str | None = None,
    set: Mapping[str, Any] | None = None,
    input: Any = None,
    batch: int | None = None,
    train: bool = False,
    allow_python: bool = False,
    strict: bool = True,
    texts: Mapping[str, str] | None = None,
) -> Plan:
    """Return a spec's net, compiled from shapes alone. Raises SpecError, UsageError."""
    parts = split_target(target)
    if parts is None:
        raise UsageError(f"{target!r} is not a spec", "specs are .yaml files")
    return compile_library(
        load(parts[0], texts=texts),
        target,
        variant=variant,
        set=set,
        input=input,
        batch=batch,
        train=train,
        allow_python=allow_python,
        strict=strict,
    )


def compile_library(
    library: Library,
    target: str | os.PathLike[str],
    *,
    variant: str | None = None,
    set: Mapping[str, Any] | None = None,
    input: Any = None,
    batch: int | None = None,
    train: bool = False,
    allow_python: bool = False,
    strict: bool = True,
    layer_cache: Any = None,
) -> Plan:
    """Return the net of a loaded spec, compiled from shapes alone. Raises SpecError, UsageError.

    foundry: as for `compile_net`.
    """
    from archscope.compile import compile_net, params_from_inputs
    from archscope.spec.variants import parse_settings

    parts, spec = split_target(target), library.root
    overrides = _input_overrides(input, [i.name for i in spec.inputs])
    given = parse_settings({**params_from_inputs(spec, overrides), **(set or {})})
    return compile_net(
        library,
        select_variant(spec, variant or (parts[1] if parts else None), given),
        layer_cache=layer_cache,
        settings=parse_settings(set or {}),
        overrides=overrides,
        batch=batch,
        strict=strict,
        train=train,
        allow_python=allow_python,
    )


@validate_keywords()
def build(
    target: str | os.PathLike[str],
    variant: str | None = None,
    *,
    set: Mapping[str, Any] | None = None,
    batch: int | None = None,
    input: Any = None,
    device: str = "cpu",
    dtype: str | None = None,
    seed: int | None = None,
    allow_python: bool = False,
) -> Any:
    """Return the net of a spec as an ordinary nn.Module in training mode, initialised as by PyTorch.

    Weights are drawn in order of execution from torch's global random state, or from `seed`, which leaves that state
    unchanged. Raises SpecError with all mistakes in the spec, UsageError for an unknown variant, param or device.
    """
    plan = compile_plan(target, variant=variant, set=set, input=input, batch=batch, allow_python=allow_python)
    from archscope import compile as compiler
    from archscope import targets

    place = targets.opened(device)
    targets.check_free_memory(plan.parameter_count * 4, place, plan.target)  # weights are made as float32
    with targets.seeded(seed):
        return compiler.build(plan, device=place, dtype=targets.resolve_dtype(dtype), settings=set)


def _input_overrides(input: Any, names: Sequence[str]) -> list[InputOverride]:
    """Return an InputOverride for each input that is given."""
    from archscope.compile import InputOverride

    if input is None:
        return []
    if isinstance(input, Mapping):
        given = list(input.items())
    elif isinstance(input, list) and not all(isinstance(n, Integral) for n in input):
        given = [(names[i] if i < len(names) else f"#{i + 1}", value) for i, value in enumerate(input)]
    else:
        given = [("", input)]
    return [InputOverride(name, *_parse_shape_and_dtype(value)) for name, value in given]


def _parse_shape_and_dtype(value: Any) -> tuple[tuple[int, ...], str]:
    value = as_shapes(value)
    suggestion = 'for example (1, 3, 224, 224), or ("int64", (1, 128))'
    if isinstance(value, str) or not isinstance(value, Sequence):
        ranged = isinstance(value, Mapping) and "shape" in value
        raise (
            _range_error() if ranged else UsageError(f"an input is a shape, not {units.short_repr(value)}", suggestion)
        )
    if len(value) == 3 and isinstance(value[0], str):
        raise _range_error()
    dtype, shape = value if len(value) == 2 and isinstance(value[0], str) else ("", value)
    if not isinstance(shape, Sequence) or not all(isinstance(n, Integral) and int(n) >= 0 for n in shape):
        raise UsageError(f"an input is a shape, not {units.short_repr(value)}", suggestion)
    return tuple(int(n) for n in shape), dtype


def as_shapes(given: Any) -> Any:
    """Return inputs of a spec with tensors and arrays replaced by (dtype, shape), since a spec reads no values.

    Floating-point arrays get the dtype of the spec's input, as they get that of a module's weights.
    """
    if isinstance(given, Mapping):
        return {name: as_shapes(value) for name, value in given.items()}
    if type(given) in (list, tuple):
        return type(given)(as_shapes(value) for value in given)
    if not all(hasattr(type(given), name) for name in ("shape", "dtype")) or isinstance(given, Number):
        return units.torch_name(given)
    kind, shape = units.torch_name(given.dtype), tuple(int(size) for size in given.shape)
    of_array = not isinstance(kind, str)
    kind = str(kind) if of_array else kind
    return shape if of_array and kind.startswith("float") else (kind, shape)


def _range_error() -> UsageError:
    return UsageError(
        "a spec says itself which numbers its inputs hold", "in the spec: {shape: [N, seq], dtype: int64, high: vocab}"
    )
