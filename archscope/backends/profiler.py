"""torch's profiler, without what its library writes to standard error about itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch._C._autograd import _profiler_enabled
from torch.profiler import profile

LOG_LEVEL_VARIABLE = "KINETO_LOG_LEVEL"
SILENT_LEVEL = "99"
"""Above all levels that the library has."""


@contextmanager
def quiet_profile(**how: Any) -> Iterator[profile]:
    """Inside, all is profiled as `torch.profiler.profile` is told. Its library reads the level when it starts."""
    before = os.environ.get(LOG_LEVEL_VARIABLE)
    os.environ.setdefault(LOG_LEVEL_VARIABLE, SILENT_LEVEL)
    try:
        with profile(**how) as profiler:
            yield profiler
    finally:
        if before is None:
            os.environ.pop(LOG_LEVEL_VARIABLE, None)


def is_profiler_active() -> bool:
    """Whether a profiler of the caller's is at work, which ours would end."""
    return _profiler_enabled()
