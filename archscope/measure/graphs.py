"""A step as one CUDA graph: what is left of its time when nothing is launched from Python."""

from __future__ import annotations

from collections.abc import Callable

import torch

from archscope.measure.workload import Workload

WARM = 3
"""Steps on a side stream before the capture, as torch asks for."""


def captured(workload: Workload) -> tuple[Callable[[], object] | None, str]:
    """What replays the step; or None, and why it cannot be captured: it waits for the GPU, or changes shapes."""
    device = torch.device(workload.device)
    if device.type != "cuda":
        return None, "a CUDA graph needs a GPU"
    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)
    try:
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(WARM):
                workload.step()
        torch.cuda.current_stream(device).wait_stream(side)
        workload.forget()
        with torch.cuda.graph(graph):
            workload.step()
    except Exception as error:  # noqa: BLE001 — whatever an author's step does that no graph can hold
        return None, f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return graph.replay, ""
