"""`build` and `compile_plan`: a spec → nn.Module, and the Plan between both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archscope.analysis.run_options import RunOptions
from archscope.api.keyword_checks import validate_keywords
from archscope.errors import UsageError
from archscope.spec import Library
from archscope.spec.target_names import load_target, split_target

if TYPE_CHECKING:
    from archscope.compile import Plan


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
    options = RunOptions(
        variant=variant,
        set=set,
        input=input,
        batch=batch,
        device=device,
        dtype=dtype,
        seed=seed,
        allow_python=allow_python,
    )
    library = load_spec(target)
    from archscope.analysis.spec_runs import build_spec

    return build_spec(library, target, options)


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
    options = RunOptions(
        variant=variant, set=set, input=input, batch=batch, train=train, allow_python=allow_python, texts=texts
    )
    library = load_spec(target, texts)
    from archscope.analysis.spec_plans import compile_library

    return compile_library(library, target, options, strict=strict)


def load_spec(target: str | os.PathLike[str], texts: Mapping[str, str] | None = None) -> Library:
    """Return the loaded file of a spec. Raises SpecError, and UsageError for a Python target."""
    parts = split_target(target)
    if parts is None:
        raise UsageError(f"{target!r} is not a spec", "specs are .yaml files")
    return load_target(parts[0], texts=texts)
