"""The networks that come with the package: `specs:resnet:resnet50` → a file and its variant.

An installation has them in `archscope/specs`, a checkout in `specs/` beside the package. Messages and reports call such
a file `specs:resnet.yaml`, wherever it is.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from archscope.errors import Span, did_you_mean
from archscope.spec.yaml_nodes import ParseError

TARGET_PREFIX = "specs:"
TARGET_PATTERN = re.compile(r"specs:(?P<name>[^:]+?)(?P<suffix>\.ya?ml)?(?::(?P<variant>.+))?", re.DOTALL)


@cache
def networks_folder() -> Path:
    """Return the folder of the networks."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "specs"
    return installed if installed.is_dir() else package.parent / "specs"


def network_names() -> list[str]:
    """Return the names of the installed networks (`resnet`, `tutorials/lenet`, …), those in subfolders last."""
    found = [
        path.relative_to(networks_folder()).with_suffix("").as_posix() for path in networks_folder().rglob("*.yaml")
    ]
    return sorted(found, key=lambda name: (name.count("/"), name))


def find_network(name: str) -> str | None:
    """Return the full name of a network, or None. A network in a subfolder is also found by its last part."""
    return next((one for one in network_names() if name in (one, one.rpartition("/")[2])), None)


def networks_below(target: str) -> list[str]:
    """Return the files of `specs:` (all networks) or of a subfolder (`specs:tutorials`); none for another target."""
    folder = target.removeprefix(TARGET_PREFIX).rstrip("/")
    if not target.startswith(TARGET_PREFIX) or find_network(folder):
        return []
    return [f"{TARGET_PREFIX}{name}.yaml" for name in network_names() if not folder or name.startswith(f"{folder}/")]


def split_target(target: str) -> tuple[str, str | None] | None:
    """Return (`specs:resnet.yaml`, `resnet50`) for `specs:resnet:resnet50`; None if the target is not a network of the
    package.

    A name that no network has is a Python target if the current directory has a module `specs`.
    """
    match = TARGET_PATTERN.fullmatch(target)
    if match is None:
        return None
    name = find_network(match["name"])
    if name is None and match["suffix"] is None:
        module_files = (Path("specs.py"), Path("specs", "__init__.py"))
        if any(path.is_file() for path in module_files):
            return None
    return f"{TARGET_PREFIX}{name or match['name']}.yaml", match["variant"]


def resolve_path(file: str) -> str:
    """Return the path of a file on disk: of `specs:resnet.yaml` where it is installed, of any other file its own path.

    Raises ParseError if no network has that name.
    """
    if not file.startswith(TARGET_PREFIX):
        return file
    name = file.removeprefix(TARGET_PREFIX).removesuffix(".yaml")
    there = find_network(name)
    if there is None:
        from archscope.spec.catalog import suggest_variant  # that module imports this one

        near = suggest_variant(name) or did_you_mean(name, network_names())
        fix = near or "`archscope list` shows the networks that come with archscope"
        raise ParseError(Span(file, 0, 0), f"no network called {name!r} comes with archscope", fix)
    return str(networks_folder() / f"{there}.yaml")


def short_target(file: str) -> str:
    """Return a file as a target names it: `specs:resnet.yaml` → `specs:resnet`; any other file unchanged."""
    return file.removesuffix(".yaml") if file.startswith(TARGET_PREFIX) else file


def suggest_for_path(path: str) -> str:
    """Return a help for a missing file such as `specs/resnet.yaml`: the network that it may mean; else ""."""
    name = path.replace("\\", "/").rpartition("specs/")[2].removesuffix(".yaml")
    there = find_network(name)
    return f"{TARGET_PREFIX}{there} comes with archscope" if there else ""
