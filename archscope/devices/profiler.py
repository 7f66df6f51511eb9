"""torch's profiler, without the messages that its library writes to standard error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch._C._autograd import _profiler_enabled
from torch.profiler import profile

LOG_LEVEL_VARIABLE = "KINETO_LOG_LEVEL"
SILENT_LEVEL = "99"
"""Above all levels that the library uses."""


@contextmanager
def quiet_profile(**options: Any) -> Iterator[profile]:
    """Inside, torch profiles with the options of `torch.profiler.profile`; its library reads the log level at its
    start."""
    before = os.environ.get(LOG_LEVEL_VARIABLE)
    os.environ.setdefault(LOG_LEVEL_VARIABLE, SILENT_LEVEL)
    try:
        with profile(**options) as profiler:
            yield profiler
    finally:
        if before is None:
            os.environ.pop(LOG_LEVEL_VARIABLE, None)


def is_profiler_active() -> bool:
    """Return whether the caller has a profiler running, which ours would end."""
    return _profiler_enabled()
