"""Warnings of torch and of the author's code during a run, shown at the author's line instead of a line of archscope.

    with attributed_warnings(step): … ─ each warning → the user's filters → the author's line → the user's `showwarning`

Within the context all warnings are caught, and the user's filters are applied here: once for the line that raised the
warning and once for the line that it is shown at. A warning that a filter turns into an error is raised in place.
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
"""This file repeats calls of the author's code, which have raised their warnings before."""
LOSS_BROADCAST = re.compile(r"Using a target size \(.*\) that is different to the input size")
"""The warning about a loss that broadcasts, which a finding reports instead."""

GENERATED_PREFIX = "<archscope "
"""The beginning of the file names of generated forward code."""


class WarningPlace(NamedTuple):
    """The place at which a warning is shown: file, line, and the module name that filters are matched with."""

    file: str
    line: int
    module: str


class SeenWarnings:
    """The warnings shown so far, as long as the user's filters stay the same."""

    def __init__(self) -> None:
        self.filters: Any = None
        self.filters_copy: list[Any] = []
        self.keys: set[tuple[Any, ...]] = set()

    def keys_under(self, filters: Any) -> set[tuple[Any, ...]]:
        """Return the keys of the warnings shown under these filters; an empty set if the filters have changed."""
        if filters is not self.filters or list(filters) != self.filters_copy:
            self.filters, self.filters_copy, self.keys = filters, list(filters), set()
        return self.keys


seen_warnings = SeenWarnings()


@contextmanager
def attributed_warnings(step: Callable[[], Span | None] = lambda: None) -> Iterator[None]:
    """Show warnings inside at the author's line: the innermost Python line, else the step of a spec.

    step: returns the place of the current step, if a spec is run or compiled.
    """
    router = WarningRouter(step, sys._getframe(2))  # the frame of the `with`
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = router.show_warning
        yield


class WarningRouter:
    """The handler of the warnings of one run. bound: the frame that started the run, which is not part of it."""

    def __init__(self, step: Callable[[], Span | None], bound: FrameType):
        self._step, self._bound = step, bound.f_code
        self._filters: Any = warnings.filters
        self._seen, self._show = seen_warnings.keys_under(self._filters), warnings.showwarning

    def show_warning(
        self, message: Any, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        """Replace `warnings.showwarning`. Raises the warning if the user's filters turn it into an error."""
        stack = list(self._frames())
        if LOSS_BROADCAST.search(str(message)) or any(frame.f_code.co_filename == REPLAY_FILE for frame in stack):
            return
        raised = raise_place(stack, filename, lineno)
        place = raised if is_user_file(raised.file) else self._warning_place(stack, raised)
        actions = [
            filter_action(self._filters, message, category, at) for at in (raised, place) if not is_own_file(at.file)
        ]
        action = next((name for name in ("ignore", "error") if name in actions), actions[-1] if actions else "default")
        if action == "error":
            raise message
        if action != "ignore" and self._is_new(action, str(message), category, place):
            self._show(message, category, place.file, place.line, file, line)

    def _frames(self) -> Iterator[FrameType]:
        """Yield the frames of the run, innermost first."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code is not self._bound:
            yield frame
            frame = frame.f_back

    def _warning_place(self, stack: list[FrameType], raised: WarningPlace) -> WarningPlace:
        """Return the author's line; if there is none, the step's; else the innermost line outside of archscope."""
        for frame in stack:
            name = frame.f_code.co_filename
            step_place = spec_step_place(frame) if name.startswith(GENERATED_PREFIX) else None
            if step_place is not None:
                return step_place
            if is_user_file(name):
                return frame_place(frame)
        span = self._step()
        if span is not None and span.line:
            return WarningPlace(span.file, span.line, span.file)
        others = (
            frame
            for frame in stack
            if not (is_own_file(frame.f_code.co_filename) or is_stdlib_file(frame.f_code.co_filename))
        )
        return (
            raised
            if not is_own_file(raised.file)
            else next(map(frame_place, others), WarningPlace("archscope", 0, "archscope"))
        )

    def _is_new(self, action: str, text: str, category: type[Warning], place: WarningPlace) -> bool:
        """Return whether the filters' action allows that the warning is shown (again)."""
        if action in ("always", "all"):
            return True
        where: tuple[object, ...] = {"once": (), "module": (place.file,)}.get(action, (place.file, place.line))
        key = (action, text, category, *where)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


def filter_action(filters: Any, message: Any, category: type[Warning], place: WarningPlace) -> str:
    """Return the action of the first filter that matches a warning at a place."""
    for action, text, kind, module, line in filters:
        fits = is_pattern_match(text, str(message)) and is_pattern_match(module, place.module)
        if fits and issubclass(category, kind) and line in (0, place.line):
            return str(action)
    return "default"


def is_pattern_match(pattern: Any, text: str) -> bool:
    """Return whether a filter's pattern matches: None matches all, a regular expression the beginning, a string the
    whole text."""
    return pattern is None or (pattern == text if isinstance(pattern, str) else bool(pattern.match(text)))


def raise_place(stack: list[FrameType], file: str, line: int) -> WarningPlace:
    """Return the place where Python says that a warning was raised."""
    frames = [frame for frame in stack if frame.f_code.co_filename == file]
    frame = next((frame for frame in frames if frame.f_lineno == line), next(iter(frames), None))
    return WarningPlace(file, line, str(frame.f_globals.get("__name__", file)) if frame is not None else file)


def spec_step_place(frame: FrameType) -> WarningPlace | None:
    """Return the place of the spec's step for a line of generated forward code."""
    lines = dict(frame.f_locals["self"].forward_code.lines)
    file, _, number = lines[frame.f_lineno].place.rpartition(":") if frame.f_lineno in lines else ("", "", "")
    return WarningPlace(file, int(number), file) if file else None


def frame_place(frame: FrameType) -> WarningPlace:
    file = frame.f_code.co_filename
    return WarningPlace(file, frame.f_lineno, str(frame.f_globals.get("__name__", file)))


def is_own_file(file: str) -> bool:
    return file.startswith((PACKAGE_PREFIX, GENERATED_PREFIX))


def is_stdlib_file(file: str) -> bool:
    return file.startswith(STDLIB_PREFIX) and not any(part in file for part in SITE_FOLDERS)


def is_user_file(file: str) -> bool:
    """Return whether a file belongs neither to archscope nor to torch nor to Python."""
    torch = sys.modules.get("torch")
    # "\0" matches no path
    torch_prefix = str(Path(torch.__file__).parent) + os.sep if torch is not None and torch.__file__ else "\0"
    return not file.startswith(("<", PACKAGE_PREFIX, torch_prefix)) and not is_stdlib_file(file)
