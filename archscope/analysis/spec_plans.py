"""A loaded spec and the options of a run → Plan: the net, compiled from shapes alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from archscope import units
from archscope.analysis.run_options import RunOptions, as_shapes
from archscope.compile import InputOverride, Plan, compile_net, params_from_inputs
from archscope.errors import UsageError
from archscope.spec import Library
from archscope.spec.target_names import split_target
from archscope.spec.variants import parse_settings, select_variant


def compile_library(
    library: Library,
    target: str | os.PathLike[str],
    options: RunOptions,
    *,
    strict: bool = True,
    layer_cache: Any = None,
) -> Plan:
    """Return the net of a loaded spec, compiled from shapes alone. Raises SpecError, UsageError.

    strict, layer_cache: as for `compile_net`.
    """
    parts, spec = split_target(target), library.root
    overrides = input_overrides(options.input, [i.name for i in spec.inputs])
    given = parse_settings({**params_from_inputs(spec, overrides), **options.settings})
    return compile_net(
        library,
        select_variant(spec, options.variant or (parts[1] if parts else None), given),
        layer_cache=layer_cache,
        settings=parse_settings(options.settings),
        overrides=overrides,
        batch=options.batch,
        strict=strict,
        train=options.train,
        allow_python=options.allow_python,
    )


def input_overrides(input: Any, names: Sequence[str]) -> list[InputOverride]:
    """Return an InputOverride for each input that is given. Raises UsageError."""
    if input is None:
        return []
    if isinstance(input, Mapping):
        given = list(input.items())
    elif isinstance(input, list) and not all(isinstance(n, Integral) for n in input):
        given = [(names[i] if i < len(names) else f"#{i + 1}", value) for i, value in enumerate(input)]
    else:
        given = [("", input)]
    return [InputOverride(name, *parse_shape_and_dtype(value)) for name, value in given]


def parse_shape_and_dtype(value: Any) -> tuple[tuple[int, ...], str]:
    value = as_shapes(value)
    suggestion = 'for example (1, 3, 224, 224), or ("int64", (1, 128))'
    if isinstance(value, str) or not isinstance(value, Sequence):
        ranged = isinstance(value, Mapping) and "shape" in value
        raise (
            range_error() if ranged else UsageError(f"an input is a shape, not {units.short_repr(value)}", suggestion)
        )
    if len(value) == 3 and isinstance(value[0], str):
        raise range_error()
    dtype, shape = value if len(value) == 2 and isinstance(value[0], str) else ("", value)
    if not isinstance(shape, Sequence) or not all(isinstance(n, Integral) and int(n) >= 0 for n in shape):
        raise UsageError(f"an input is a shape, not {units.short_repr(value)}", suggestion)
    return tuple(int(n) for n in shape), dtype


def range_error() -> UsageError:
    return UsageError(
        "a spec says itself which numbers its inputs hold", "in the spec: {shape: [N, seq], dtype: int64, high: vocab}"
    )
