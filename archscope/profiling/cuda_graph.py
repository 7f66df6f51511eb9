"""A step as one CUDA graph: its time without launches from Python.

warm-up on a side stream → a step that may not wait for the GPU → capture → replay
"""

from __future__ import annotations

from collections.abc import Callable

from archscope.devices import backend_of
from archscope.errors import first_line
from archscope.profiling.workload import StepError, Workload


def capture_step(workload: Workload) -> tuple[Callable[[], object] | None, str]:
    """Return a function that replays the step; or None and why it cannot be captured: it waits for the GPU, say.

    From then on the optimizer is capturable, which makes it slower outside of graphs.
    """
    backend = backend_of(workload.device)
    if not backend.traits.is_async:
        return None, "a CUDA graph needs a GPU"
    try:
        make_capturable(workload)
        return backend.capture_graph(workload.step, workload.drop_gradients), ""
    except (StepError, RuntimeError) as error:
        cause = error.__cause__ or error
        return None, f"{type(cause).__name__}: {first_line(cause)}"


def make_capturable(workload: Workload) -> None:
    """Make Adam and similar optimizers count their steps on the GPU instead of the CPU."""
    optimizer = workload.optimizer
    if optimizer is None:
        return
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                if "step" in state:
                    state["step"] = state["step"].to(parameter.device)
