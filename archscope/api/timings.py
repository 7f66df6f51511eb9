"""`time` and `time_grid`: the measured time and memory of a target, with the ceilings of the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archscope.analysis.run_options import Progress, RunOptions
from archscope.analysis.timing_options import ShareProgress, TimingOptions
from archscope.api.keyword_checks import merge_inputs, parse_option, validate_keywords
from archscope.errors import UsageError
from archscope.spec.target_names import load_target, split_target

if TYPE_CHECKING:
    from archscope.profiling.grid import Grid
    from archscope.profiling.timing import Timing


@validate_keywords()
def time(
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
    optimizer: str | None = None,
    seconds: float = 5.0,
    rows: bool = True,
    roofline: bool = True,
    fit: bool = True,
    compile: bool = False,
    channels_last: bool = False,
    threads: int | None = None,
    tf32: bool | None = None,
    seed: int | None = None,
    allow_python: bool = False,
    progress: Progress | None = None,
    ask: ShareProgress | None = None,
) -> Timing:
    """Return the time of a spec, a Python target or a live nn.Module on a device, in whole and for each row, with the
    least time that the device allows, and its memory.

    Options are those of `summarize`, and: seconds (5.0: the budget of all runs), rows (time each row), roofline
    (compare with the device's ceilings, which are measured if they are not cached), fit (search the largest batch that
    fits), train (a step: forward, backward, optimizer), optimizer (`sgd`, `momentum`, `adam`, `adamw`), compile
    (torch.compile; then there are no rows), channels_last, threads, tf32 (on a GPU; None leaves torch's settings),
    seed, allow_python, progress (called with messages), ask (called with the share that is done). A live module is not
    changed. A KeyboardInterrupt ends the measurement, and the result so far is returned. Raises SpecError, UsageError,
    ForwardError.
    """
    how = TimingOptions(
        RunOptions(
            variant=variant,
            set=set,
            input=merge_inputs(inputs, input),
            args=args,
            kwargs=kwargs,
            batch=batch,
            device=device,
            dtype=dtype,
            train=train,
            seed=seed,
            allow_python=allow_python,
            progress=progress,
        ),
        optimizer=optimizer,
        seconds=seconds,
        compile=compile,
        channels_last=channels_last,
        threads=threads,
        tf32=tf32,
        rows=rows,
        roofline=roofline,
        fit=fit,
        ask=ask or (lambda _: None),
    )
    how.refuse_invalid()
    parts = split_target(target)
    if parts is None:
        from archscope.analysis.module_timings import time_module

        return time_module(target, how)
    how.run.refuse_call_arguments()
    library = load_target(parts[0])
    from archscope.analysis.spec_timings import time_spec

    return time_spec(library, target, how)


def time_grid(
    target: Any,
    *,
    batch: Sequence[int | None] = (None,),
    dtype: Sequence[str | None] = (None,),
    **options: Any,
) -> Grid:
    """Return the timings for every dtype at every batch size, without rows; after a KeyboardInterrupt, those so far.

    A combination that cannot run has its reason in the grid; if none can run, the first error is raised.
    """
    cells = [(size, parse_option("dtype", kind)) for kind in dtype for size in batch]
    if not cells:
        raise UsageError("there is no batch size, or no dtype, to time", "batch=(1, 8)")
    from archscope.analysis.timing_grids import measure_grid

    ask: ShareProgress = options.pop("ask", lambda _: None)
    how = {"rows": False, "fit": False, **options}
    return measure_grid(cells, lambda cell, share: time(target, batch=cell[0], dtype=cell[1], **how, ask=share), ask)
