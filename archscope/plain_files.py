"""Reading of whole text files, with a size limit and only from regular files and pipes."""

from __future__ import annotations

import errno
import os
import stat


def read_plain_file(path: str | os.PathLike[str], *, most: int, pipes: bool = False) -> str:
    """Return the UTF-8 text of a regular file.

    most: the maximum size in bytes. pipes: allow a pipe, which is read until its writer closes it. Raises OSError, also
    for other kinds of files and for larger ones; UnicodeDecodeError.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not (pipes and stat.S_ISFIFO(mode)):
        kind = "it is a directory" if stat.S_ISDIR(mode) else "it is not a plain file"
        raise OSError(errno.EINVAL, kind)
    with open(path, "rb", opener=open_nonblocking if pipes else None) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes")
    return data.decode("utf-8")


def open_nonblocking(path: str, flags: int) -> int:
    """Return a file descriptor for reading; a pipe without a writer is empty and does not block."""
    file = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    os.set_blocking(file, True)
    return file
