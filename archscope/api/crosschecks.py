"""`cross_check`: the counts of other tools beside archscope's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archscope.analysis.run_options import Progress, RunOptions
from archscope.api.keyword_checks import merge_inputs, validate_keywords
from archscope.spec.target_names import load_target, split_target

if TYPE_CHECKING:
    from archscope.counters.differences import CrossCheck


@validate_keywords()
def cross_check(
    target: Any,
    *inputs: Any,
    variant: str | None = None,
    set: Mapping[str, Any] | None = None,
    input: Any = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    batch: int | None = None,
    device: str = "auto",
    dtype: str | None = None,
    train: bool = False,
    seed: int | None = None,
    allow_python: bool = False,
    progress: Progress | None = None,
) -> CrossCheck:
    """Return the counts of fvcore, torchinfo and torch's FlopCounterMode beside archscope's, each difference with its
    causes.

    Options are those of `summarize`. A spec is built as a module, which all counters run, archscope too. A counter
    that is not installed or crashes is reported as such. Raises SpecError, UsageError, ForwardError.
    """
    options = RunOptions(
        variant=variant,
        set=set,
        input=merge_inputs(inputs, input),
        args=args,
        kwargs=kwargs,
        batch=batch,
        device=device,
        dtype=dtype,
        train=train,
        backward=False,
        seed=seed,
        allow_python=allow_python,
        progress=progress,
    )
    parts = split_target(target)
    library = None
    if parts is not None:
        options.refuse_call_arguments()
        library = load_target(parts[0])
    from archscope.analysis.cross_checks import cross_check_module, cross_check_spec

    return cross_check_module(target, options) if library is None else cross_check_spec(library, target, options)
