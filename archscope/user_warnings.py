"""Warnings that torch or an author's code raise while we run it: told at the author's line, never at one of ours.

    with attributed(step): a run ─ every warning → the user's filters → the author's line → the user's `showwarning`

Inside, every warning reaches us, whatever the filters say; they are asked here, once for where it was raised and once
for the line that it is told at. A warning that they make an error is raised where it would have been.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from archscope.errors import Span

PACKAGE_PREFIX = str(Path(__file__).parent) + os.sep
STDLIB_PREFIX = os.path.dirname(os.__file__) + os.sep
SITE_FOLDERS = ("site-packages", "dist-packages")
REPLAY_FILE = str(Path(__file__).parent / "record" / "replay.py")
"""What runs here has been run by the author's code before, and has warned then."""
LOSS_BROADCAST = re.compile(r"Using a target size \(.*\) that is different to the input size")
"""A loss that broadcasts: a finding says it."""

GENERATED_PREFIX = "<archscope "
"""How the file of a forward that we wrote for a spec is called."""


class WarningPlace(NamedTuple):
    """Where a warning is told: file, line, and the module by which filters know it."""

    file: str
    line: int
    module: str


class SeenWarnings:
    """Which warnings have been told, for as long as the user's filters stay the same."""

    def __init__(self) -> None:
        self.filters: Any = None
        self.filters_copy: list[Any] = []
        self.keys: set[tuple[Any, ...]] = set()

    def keys_under(self, filters: Any) -> set[tuple[Any, ...]]:
        """What has been told under these filters, as Python keeps it: new ones begin anew."""
        if filters is not self.filters or list(filters) != self.filters_copy:
            self.filters, self.filters_copy, self.keys = filters, list(filters), set()
        return self.keys


seen_warnings = SeenWarnings()


@contextmanager
def attributed_warnings(step: Callable[[], Span | None] = lambda: None) -> Iterator[None]:
    """Inside, warnings are told at the author's line: the innermost one of Python, else the step of a spec.

    step: the place of the step at work, where a spec is run or compiled.
    """
    teller = WarningRouter(step, sys._getframe(2))  # the frame of the `with`
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = teller.show_warning
        yield


class WarningRouter:
    """Tells the warnings of one run. bound: the frame that asked for the run, which is no part of it."""

    def __init__(self, step: Callable[[], Span | None], bound: FrameType):
        self._step, self._bound = step, bound.f_code
        self._filters: Any = warnings.filters
        self._seen, self._show = seen_warnings.keys_under(self._filters), warnings.showwarning

    def show_warning(
        self, message: Any, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        """Stands for `warnings.showwarning`. Raises the warning where the user's filters make it an error."""
        stack = list(self._frames())
        if LOSS_BROADCAST.search(str(message)) or any(frame.f_code.co_filename == REPLAY_FILE for frame in stack):
            return
        raised = raise_place(stack, filename, lineno)
        place = raised if is_user_file(raised.file) else self._warning_place(stack, raised)
        asked = [
            filter_action(self._filters, message, category, at) for at in (raised, place) if not is_own_file(at.file)
        ]
        how = next((one for one in ("ignore", "error") if one in asked), asked[-1] if asked else "default")
        if how == "error":
            raise message
        if how != "ignore" and self._is_new(how, str(message), category, place):
            self._show(message, category, place.file, place.line, file, line)

    def _frames(self) -> Iterator[FrameType]:
        """The frames of what runs inside, innermost first."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code is not self._bound:
            yield frame
            frame = frame.f_back

    def _warning_place(self, stack: list[FrameType], raised: WarningPlace) -> WarningPlace:
        """The author's line; where there is none, that of the step; else the innermost that is not ours."""
        for frame in stack:
            name = frame.f_code.co_filename
            said = spec_step_place(frame) if name.startswith(GENERATED_PREFIX) else None
            if said is not None:
                return said
            if is_user_file(name):
                return frame_place(frame)
        span = self._step()
        if span is not None and span.line:
            return WarningPlace(span.file, span.line, span.file)
        others = (frame for frame in stack if not is_own_file(frame.f_code.co_filename) and not is_stdlib_frame(frame))
        return (
            raised
            if not is_own_file(raised.file)
            else next(map(frame_place, others), WarningPlace("archscope", 0, "archscope"))
        )

    def _is_new(self, how: str, text: str, category: type[Warning], place: WarningPlace) -> bool:
        """Whether a warning is to be told once more: the filters' action says how often that is."""
        if how in ("always", "all"):
            return True
        where: tuple[object, ...] = {"once": (), "module": (place.file,)}.get(how, (place.file, place.line))
        key = (how, text, category, *where)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


def filter_action(filters: Any, message: Any, category: type[Warning], place: WarningPlace) -> str:
    """What the first filter that fits a warning at a place does with it."""
    for how, text, kind, module, line in filters:
        fits = is_pattern_match(text, str(message)) and is_pattern_match(module, place.module)
        if fits and issubclass(category, kind) and line in (0, place.line):
            return str(how)
    return "default"


def is_pattern_match(pattern: Any, text: str) -> bool:
    """Whether a filter's pattern fits: any text, one that begins so, or, of Python's own filters, the same."""
    return pattern is None or (pattern == text if isinstance(pattern, str) else bool(pattern.match(text)))


def raise_place(stack: list[FrameType], file: str, line: int) -> WarningPlace:
    """Where Python says that a warning was raised."""
    frames = [frame for frame in stack if frame.f_code.co_filename == file]
    frame = next((frame for frame in frames if frame.f_lineno == line), next(iter(frames), None))
    return WarningPlace(file, line, str(frame.f_globals.get("__name__", file)) if frame is not None else file)


def spec_step_place(frame: FrameType) -> WarningPlace | None:
    """The step of a spec that a line of a forward that we wrote stands for."""
    lines = dict(frame.f_locals["self"].forward_code.lines)
    file, _, number = lines[frame.f_lineno].place.rpartition(":") if frame.f_lineno in lines else ("", "", "")
    return WarningPlace(file, int(number), file) if file else None


def frame_place(frame: FrameType) -> WarningPlace:
    file = frame.f_code.co_filename
    return WarningPlace(file, frame.f_lineno, str(frame.f_globals.get("__name__", file)))


def is_own_file(file: str) -> bool:
    return file.startswith((PACKAGE_PREFIX, GENERATED_PREFIX))


def is_stdlib_frame(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith(STDLIB_PREFIX) and not any(part in file for part in SITE_FOLDERS)


def is_user_file(file: str) -> bool:
    """Whether a file is neither ours nor torch's nor Python's own."""
    if file.startswith(("<", PACKAGE_PREFIX, torch_folder())):
        return False
    return not file.startswith(STDLIB_PREFIX) or any(part in file for part in SITE_FOLDERS)


def torch_folder() -> str:
    """Where torch lies, if it has been imported; else a folder that is none."""
    module = sys.modules.get("torch")
    return str(Path(module.__file__).parent) + os.sep if module is not None and module.__file__ else "\0"
