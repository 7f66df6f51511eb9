"""A step as one CUDA graph: what is left of its time when nothing is launched from Python.

warm-up on a side stream → a step that may not wait for the GPU → capture → replay
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from archscope.measure.workload import StepError, Workload
from archscope.record.tensors import first_line

WARM = 3
"""Steps on a side stream before the capture, as torch asks for."""


def captured(workload: Workload) -> tuple[Callable[[], object] | None, str]:
    """What replays the step; or None, and why it cannot be captured: it waits for the GPU, or changes shapes.

    What waits for the GPU is looked for before, as far as torch tells of it, since a capture that breaks off may leave
    torch's generators and allocator in its state. The optimizer can be captured from then on, which makes it slower
    where it is not.
    """
    device = torch.device(workload.device)
    if device.type != "cuda":
        return None, "a CUDA graph needs a GPU"
    graph, side, usual = torch.cuda.CUDAGraph(), torch.cuda.Stream(device), torch.cuda.current_stream(device)
    try:
        make_capturable(workload)
        side.wait_stream(usual)
        with torch.cuda.stream(side):
            for _ in range(WARM):
                workload.step()
            with waiting_refused():
                workload.step()
        usual.wait_stream(side)
        workload.forget()
        with torch.cuda.graph(graph, stream=side):
            workload.step()
    except (StepError, RuntimeError) as error:
        torch.cuda.set_stream(usual)
        cause = error.__cause__ or error.__context__ or error
        return None, f"{type(cause).__name__}: {first_line(cause)}"
    return graph.replay, ""


@contextmanager
def waiting_refused() -> Iterator[None]:
    """Inside, torch raises where it would wait for the GPU."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def make_capturable(workload: Workload) -> None:
    """Adam and its like count their steps on the GPU then, not on the CPU."""
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
