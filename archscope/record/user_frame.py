"""Where in the author's code a run is: the call stack → the innermost line that is neither torch's nor ours."""

from __future__ import annotations

import os
import sys
import warnings
from itertools import islice
from pathlib import Path
from types import FrameType

import torch

from archscope.errors import Span

ARCHSCOPE_PREFIX = str(Path(__file__).parent.parent) + os.sep
RUN_FILE = str(Path(__file__).parent / "run.py")
WARNINGS_FILE = str(warnings.__file__)
"""Where a warning that is made an error is raised."""
TORCH_PREFIX = str(Path(torch.__file__).parent) + os.sep


def user_span() -> Span | None:
    """The place of the author's line that is at work; None where torch's modules alone are, as when a spec is run.

    What lies further out than our own call of the model is not the model's.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != RUN_FILE:
        if is_user_frame(frame):
            return instruction_span(frame, frame.f_lasti)
        frame = frame.f_back
    return None


def raising_span(error: BaseException) -> Span | None:
    """The innermost line of the author's that an exception has come through."""
    found, step = None, error.__traceback__
    while step is not None:
        found = instruction_span(step.tb_frame, step.tb_lasti) if is_user_frame(step.tb_frame) else found
        step = step.tb_next
    return found


def raising_frame(error: BaseException) -> FrameType | None:
    """The author's function that raised an exception by itself; None where something that it called did."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step.tb_frame if step is not None and is_user_frame(step.tb_frame) else None


def is_user_frame(frame: FrameType) -> bool:
    return not frame.f_code.co_filename.startswith((ARCHSCOPE_PREFIX, TORCH_PREFIX, WARNINGS_FILE, "<"))


def instruction_span(frame: FrameType, instruction: int) -> Span:
    """The place of an instruction; the file as it is called from the current directory."""
    file = frame.f_code.co_filename
    position = next(islice(frame.f_code.co_positions(), instruction // 2, None), (None, None, None, None))
    line, column = position[0] or frame.f_lineno, position[2] or 0
    near = os.path.relpath(file)
    return Span(file if near.startswith("..") else near, line, column + 1)
