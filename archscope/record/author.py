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

OWN = str(Path(__file__).parent.parent) + os.sep
OUTSIDE = str(Path(__file__).parent / "run.py")
WARNINGS = str(warnings.__file__)
"""Where a warning that is made an error is raised."""
TORCH = str(Path(torch.__file__).parent) + os.sep


def place() -> Span | None:
    """The place of the author's line that is at work; None where torch's modules alone are, as when a spec is run.

    What lies further out than our own call of the model is not the model's.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != OUTSIDE:
        if is_authors(frame):
            return span(frame, frame.f_lasti)
        frame = frame.f_back
    return None


def raised_at(error: BaseException) -> Span | None:
    """The innermost line of the author's that an exception has come through."""
    found, step = None, error.__traceback__
    while step is not None:
        found = span(step.tb_frame, step.tb_lasti) if is_authors(step.tb_frame) else found
        step = step.tb_next
    return found


def raising_frame(error: BaseException) -> FrameType | None:
    """The author's function that raised an exception by itself; None where something that it called did."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step.tb_frame if step is not None and is_authors(step.tb_frame) else None


def is_authors(frame: FrameType) -> bool:
    return not frame.f_code.co_filename.startswith((OWN, TORCH, WARNINGS, "<"))


def span(frame: FrameType, instruction: int) -> Span:
    """The place of an instruction; the file as it is called from the current directory."""
    file = frame.f_code.co_filename
    position = next(islice(frame.f_code.co_positions(), instruction // 2, None), (None, None, None, None))
    line, column = position[0] or frame.f_lineno, position[2] or 0
    near = os.path.relpath(file)
    return Span(file if near.startswith("..") else near, line, column + 1)
