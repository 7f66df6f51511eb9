"""Files that are read whole: path → text, and never more of it than a limit, nor what has no end."""

from __future__ import annotations

import errno
import os
import stat


def read_plain_file(path: str | os.PathLike[str], *, most: int, pipes: bool = False) -> str:
    """The UTF-8 text of a plain file. pipes: a pipe will do too, until its writer has gone. Raises OSError, also for
    another kind of file and a larger one; UnicodeDecodeError."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not (pipes and stat.S_ISFIFO(mode)):
        kind = "it is a directory" if stat.S_ISDIR(mode) else "it is not a plain file"
        raise OSError(errno.EINVAL, kind)
    with open(path, "rb", opener=waiting_for_none if pipes else None) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes")
    return data.decode("utf-8")


def waiting_for_none(path: str, flags: int) -> int:
    """Opens a file to read it; a pipe without a writer is empty, and is not waited for."""
    file = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    os.set_blocking(file, True)
    return file
