"""The place of a run in the author's code: the innermost line of the call stack that is neither torch's nor ours."""

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
"""The file that raises a warning that is turned into an error."""
TORCH_PREFIX = str(Path(torch.__file__).parent) + os.sep


def user_span() -> Span | None:
    """Return the author's line that is running; None if there is none, such as in a spec of torch's modules.

    Frames outside of our own call of the model are not searched.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != RUN_FILE:
        if is_user_frame(frame):
            return instruction_span(frame, frame.f_lasti)
        frame = frame.f_back
    return None


def raising_span(error: BaseException) -> Span | None:
    """Return the innermost line of the author's code in an exception's traceback."""
    found, step = None, error.__traceback__
    while step is not None:
        found = instruction_span(step.tb_frame, step.tb_lasti) if is_user_frame(step.tb_frame) else found
        step = step.tb_next
    return found


def raising_frame(error: BaseException) -> FrameType | None:
    """Return the frame of the author's function that raised an exception itself; None if a function that it called
    did."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step.tb_frame if step is not None and is_user_frame(step.tb_frame) else None


def is_user_frame(frame: FrameType) -> bool:
    return not frame.f_code.co_filename.startswith((ARCHSCOPE_PREFIX, TORCH_PREFIX, WARNINGS_FILE, "<"))


def instruction_span(frame: FrameType, instruction: int) -> Span:
    """Return the place of an instruction, with the file's path relative to the current directory, if it is inside."""
    file = frame.f_code.co_filename
    position = next(islice(frame.f_code.co_positions(), instruction // 2, None), (None, None, None, None))
    line, column = position[0] or frame.f_lineno, position[2] or 0
    near = os.path.relpath(file)
    return Span(file if near.startswith("..") else near, line, column + 1)
