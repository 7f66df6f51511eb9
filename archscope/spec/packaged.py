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
from archscope.spec.nodes import Misread

PREFIX = "specs:"
TARGET = re.compile(r"specs:(?P<name>[^:]+?)(?P<suffix>\.ya?ml)?(?::(?P<variant>.+))?", re.DOTALL)


@cache
def folder() -> Path:
    """Where the networks lie."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "specs"
    return installed if installed.is_dir() else package.parent / "specs"


def names() -> list[str]:
    """`resnet`, `tutorials/lenet`, …: the networks of this installation, those of subfolders last."""
    found = [path.relative_to(folder()).with_suffix("").as_posix() for path in folder().rglob("*.yaml")]
    return sorted(found, key=lambda name: (name.count("/"), name))


def found(name: str) -> str | None:
    """The network of that name; one in a subfolder goes by its last part too."""
    return next((one for one in names() if name in (one, one.rpartition("/")[2])), None)


def below(target: str) -> list[str]:
    """The files of `specs:`, which are all, or of a subfolder, `specs:tutorials`; none of another target."""
    folder = target.removeprefix(PREFIX).rstrip("/")
    if not target.startswith(PREFIX) or found(folder):
        return []
    return [f"{PREFIX}{name}.yaml" for name in names() if not folder or name.startswith(f"{folder}/")]


def split(target: str) -> tuple[str, str | None] | None:
    """`specs:resnet:resnet50` → (`specs:resnet.yaml`, `resnet50`); None for what is no network of ours.

    A name that no network has is a Python target where the current directory has a module `specs`.
    """
    match = TARGET.fullmatch(target)
    if match is None:
        return None
    name = found(match["name"])
    if name is None and match["suffix"] is None and has_module("specs"):
        return None
    return f"{PREFIX}{name or match['name']}.yaml", match["variant"]


def has_module(name: str) -> bool:
    """Whether the current directory holds a Python module of that name."""
    return Path(f"{name}.py").is_file() or Path(name, "__init__.py").is_file()


def real(file: str) -> str:
    """The path of a file on the disk: of `specs:resnet.yaml` where it is installed, of any other file its own.

    Raises Misread where no network has that name.
    """
    if not file.startswith(PREFIX):
        return file
    name = file.removeprefix(PREFIX).removesuffix(".yaml")
    there = found(name)
    if there is None:
        from archscope.spec.catalog import suggestion_of_variant  # it reads files by this module

        near = suggestion_of_variant(name) or did_you_mean(name, names())
        cure = near or "`archscope list` shows the networks that come with archscope"
        raise Misread(Span(file, 0, 0), f"no network called {name!r} comes with archscope", cure)
    return str(folder() / f"{there}.yaml")


def short(file: str) -> str:
    """A file as a target names it: `specs:resnet.yaml` → `specs:resnet`; any other file as it is."""
    return file.removesuffix(".yaml") if file.startswith(PREFIX) else file


def suggestion(path: str) -> str:
    """A help for a file that is not there, `specs/resnet.yaml`: which network it may mean; empty where it is none."""
    name = path.replace("\\", "/").rpartition("specs/")[2].removesuffix(".yaml")
    there = found(name)
    return f"{PREFIX}{there} comes with archscope" if there else ""


def beside(importer: str, source: str) -> str:
    """What messages call a file that `importer`, one of these networks, imports."""
    return PREFIX + posixpath.normpath(posixpath.join(posixpath.dirname(importer.removeprefix(PREFIX)), source))
