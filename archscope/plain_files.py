"""Files that are read whole: path → text, and never more of it than a limit, nor what has no end."""

from __future__ import annotations

import errno
import os
import stat


def plain_text(path: str | os.PathLike[str], *, most: int) -> str:
    """The UTF-8 text of a plain file. Raises OSError, also for another kind of file and a larger one;
    UnicodeDecodeError."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = "it is a directory" if stat.S_ISDIR(mode) else "it is not a plain file"
        raise OSError(errno.EINVAL, kind)
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes")
    return data.decode("utf-8")
