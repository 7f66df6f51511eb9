"""Which archscope this is: its version, and whether the other project of the same name is installed over it.

Ours is the distribution `torch-archscope`; another project's distribution is called `archscope`. Both bring a package
and a command `archscope`, so that the one that was installed later has overwritten files of the other.
"""

from __future__ import annotations

import importlib.metadata

OUR_DISTRIBUTION, OTHER_DISTRIBUTION = "torch-archscope", "archscope"


def our_version() -> str:
    """The version, also of a source tree that is not installed."""
    return installed_version(OUR_DISTRIBUTION) or "(run from a source tree)"


def installed_version(name: str) -> str:
    """The version of an installed distribution; empty where it is not installed."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return found.version if found.read_text("METADATA") else ""  # without it: left over from a build in a checkout


def name_clash_message() -> str:
    """What to say where the other distribution is installed; empty where it is not."""
    other = installed_version(OTHER_DISTRIBUTION)
    if not other:
        return ""
    return (
        f"a distribution called {OTHER_DISTRIBUTION} ({other}) "
        f"is installed beside this one; its package and its command have the "
        f"same name as ours\n"
        f"  help: pip uninstall {OTHER_DISTRIBUTION}, then install {OUR_DISTRIBUTION} "
        f"again with pip's option --force-reinstall"
    )


def import_error_message(error: ImportError) -> str:
    """What to say of a module of ours that cannot be imported, where the other distribution explains it; else empty."""
    ours = (error.name or "").partition(".")[0] == "archscope"
    told = name_clash_message() if ours else ""
    return f"{error}\n{told}" if told else ""
