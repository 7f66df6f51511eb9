"""`summarize`: a spec, a Python target or a live module, run once and recorded → Report with costs and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archscope.analysis.run_options import Progress, RunOptions
from archscope.api.keyword_checks import merge_inputs, validate_keywords
from archscope.spec.target_names import load_target, split_target

if TYPE_CHECKING:
    from archscope.report import Report


@validate_keywords()
def summarize(
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
    backward: bool | None = None,
    seed: int | None = None,
    allow_python: bool = False,
    texts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Return the report of one recorded forward pass of a spec, a Python target or a live nn.Module, with its costs.

    target: also a class or a function that returns a module; `set` has its arguments, or the params of a spec. input:
    a shape, `("int64", shape)`, a list of these, or a mapping by name; also given by positional arguments after the
    target. Without an input, a Python model is not run, and the report has its parameters only. args, kwargs: the
    arguments of a live module's call, in place of `input`; a live module stays on its device and is not changed.
    train: run in training mode. backward: record the backward pass too; by default with `train`. texts: contents of a
    spec's files by name, in place of those on the disk.

    Shapes that do not fit are findings. Raises SpecError for other mistakes in a spec, UsageError for wrong use,
    ForwardError (with the report so far) if the forward pass fails.
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
        backward=backward,
        seed=seed,
        allow_python=allow_python,
        texts=texts,
        progress=progress,
    )
    parts = split_target(target)
    if parts is None:
        from archscope.analysis.module_runs import summarize_module

        return summarize_module(target, options)
    options.refuse_call_arguments()
    library = load_target(parts[0], texts=texts)
    from archscope.analysis.spec_runs import summarize_spec

    return summarize_spec(library, target, options)
