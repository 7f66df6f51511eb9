"""The installed version of archscope, and the check for another project of the same name.

This is the distribution `torch-archscope`; the distribution `archscope` belongs to another project. Both install a
package and a command `archscope`, so the later one has overwritten files of the earlier.
"""

from __future__ import annotations

import importlib.metadata

OUR_DISTRIBUTION, OTHER_DISTRIBUTION = "torch-archscope", "archscope"


def our_version() -> str:
    """Return the version, also of a source tree that is not installed."""
    return installed_version(OUR_DISTRIBUTION) or "(run from a source tree)"


def installed_version(name: str) -> str:
    """Return the version of an installed distribution; "" if it is not installed."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return (
        found.version if found.read_text("METADATA") else ""
    )  # without a RECORD: left over from a build in a checkout


def name_clash_message() -> str:
    """Return a message if the other distribution is installed, else ""."""
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
    """Return a message for a module of archscope that cannot be imported because of the other distribution, else ""."""
    ours = (error.name or "").partition(".")[0] == "archscope"
    clash = name_clash_message() if ours else ""
    return f"{error}\n{clash}" if clash else ""
