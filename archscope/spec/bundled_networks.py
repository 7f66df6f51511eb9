"""The networks that come with the package: `specs:resnet:resnet50` → a file of theirs and the variant.

An installation has them in `archscope/specs`, a checkout in `specs/` beside the package. Messages and reports call such
a file `specs:resnet.yaml`, wherever it lies.
"""

from __future__ import annotations

import posixpath
import re
from functools import cache
from pathlib import Path

from archscope.errors import Span, did_you_mean
from archscope.spec.yaml_nodes import ParseError

TARGET_PREFIX = "specs:"
TARGET_PATTERN = re.compile(r"specs:(?P<name>[^:]+?)(?P<suffix>\.ya?ml)?(?::(?P<variant>.+))?", re.DOTALL)


@cache
def networks_folder() -> Path:
    """Where the networks lie."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "specs"
    return installed if installed.is_dir() else package.parent / "specs"


def network_names() -> list[str]:
    """`resnet`, `tutorials/lenet`, …: the networks of this installation, those of subfolders last."""
    found = [
        path.relative_to(networks_folder()).with_suffix("").as_posix() for path in networks_folder().rglob("*.yaml")
    ]
    return sorted(found, key=lambda name: (name.count("/"), name))


def find_network(name: str) -> str | None:
    """The network of that name; one in a subfolder goes by its last part too."""
    return next((one for one in network_names() if name in (one, one.rpartition("/")[2])), None)


def networks_below(target: str) -> list[str]:
    """The files of `specs:`, which are all, or of a subfolder, `specs:tutorials`; none of another target."""
    folder = target.removeprefix(TARGET_PREFIX).rstrip("/")
    if not target.startswith(TARGET_PREFIX) or find_network(folder):
        return []
    return [f"{TARGET_PREFIX}{name}.yaml" for name in network_names() if not folder or name.startswith(f"{folder}/")]


def split_target(target: str) -> tuple[str, str | None] | None:
    """`specs:resnet:resnet50` → (`specs:resnet.yaml`, `resnet50`); None for what is no network of ours.

    A name that no network has is a Python target where the current directory has a module `specs`.
    """
    match = TARGET_PATTERN.fullmatch(target)
    if match is None:
        return None
    name = find_network(match["name"])
    if name is None and match["suffix"] is None and has_local_module("specs"):
        return None
    return f"{TARGET_PREFIX}{name or match['name']}.yaml", match["variant"]


def has_local_module(name: str) -> bool:
    """Whether the current directory holds a Python module of that name."""
    return Path(f"{name}.py").is_file() or Path(name, "__init__.py").is_file()


def resolve_path(file: str) -> str:
    """The path of a file on the disk: of `specs:resnet.yaml` where it is installed, of any other file its own.

    Raises Misread where no network has that name.
    """
    if not file.startswith(TARGET_PREFIX):
        return file
    name = file.removeprefix(TARGET_PREFIX).removesuffix(".yaml")
    there = find_network(name)
    if there is None:
        from archscope.spec.catalog import suggest_variant  # it reads files by this module

        near = suggest_variant(name) or did_you_mean(name, network_names())
        cure = near or "`archscope list` shows the networks that come with archscope"
        raise ParseError(Span(file, 0, 0), f"no network called {name!r} comes with archscope", cure)
    return str(networks_folder() / f"{there}.yaml")


def short_target(file: str) -> str:
    """A file as a target names it: `specs:resnet.yaml` → `specs:resnet`; any other file as it is."""
    return file.removesuffix(".yaml") if file.startswith(TARGET_PREFIX) else file


def suggest_for_path(path: str) -> str:
    """A help for a file that is not there, `specs/resnet.yaml`: which network it may mean; empty where it is none."""
    name = path.replace("\\", "/").rpartition("specs/")[2].removesuffix(".yaml")
    there = find_network(name)
    return f"{TARGET_PREFIX}{there} comes with archscope" if there else ""


def imported_target(importer: str, source: str) -> str:
    """What messages call a file that `importer`, one of these networks, imports."""
    return TARGET_PREFIX + posixpath.normpath(
        posixpath.join(posixpath.dirname(importer.removeprefix(TARGET_PREFIX)), source)
    )
