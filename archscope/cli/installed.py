"""Which archscope this is: its version, and whether the other project of the same name is installed over it.

Ours is the distribution `torch-archscope`; another project's distribution is called `archscope`. Both bring a package
and a command `archscope`, so that the one that was installed later has overwritten files of the other.
"""

from __future__ import annotations

import importlib.metadata

OURS, OTHER = "torch-archscope", "archscope"


def version() -> str:
    """The version, also of a source tree that is not installed."""
    return installed(OURS) or "(run from a source tree)"


def installed(name: str) -> str:
    """The version of an installed distribution; empty where it is not installed."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return found.version if found.read_text("METADATA") else ""  # without it: left over from a build in a checkout


def conflict() -> str:
    """What to say where the other distribution is installed; empty where it is not."""
    other = installed(OTHER)
    if not other:
        return ""
    return (
        f"a distribution called {OTHER} ({other}) is installed beside this one; its package and its command have the "
        f"same name as ours\n"
        f"  help: pip uninstall {OTHER}, then install {OURS} again with pip's option --force-reinstall"
    )


def broken_by(error: ImportError) -> str:
    """What to say of a module of ours that cannot be imported, where the other distribution explains it; else empty."""
    ours = (error.name or "").partition(".")[0] == "archscope"
    told = conflict() if ours else ""
    return f"{error}\n{told}" if told else ""
