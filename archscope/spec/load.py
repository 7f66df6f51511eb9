"""Loading of spec files with their imports: path → Library.

    path → text → Spec → for each import: source → file (restricted) → text → Spec → … → check of the imported names

A source is `std/name` (shipped with the package) or a `.yaml` path relative to the importing file. It may not leave the
root file's directory (or the current directory, if the root file is below it), not even through a symbolic link.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from types import MappingProxyType

from archscope.errors import Problem, Problems, Span, SpecError, did_you_mean
from archscope.spec import bundled_networks
from archscope.spec.expression import quote_short
from archscope.spec.parse import parse
from archscope.spec.spec_types import Import, Library, Spec
from archscope.spec.yaml_nodes import ParseError
from archscope.spec.yaml_reader import read_file

MAX_IMPORT_DEPTH = 20
MAX_FILES = 100
STANDARD_SOURCE = re.compile(r"std/([a-z0-9_]+)")


def load(
    path: str,
    *,
    text: str | None = None,
    texts: Mapping[str, str] = MappingProxyType({}),
    known: Library | None = None,
) -> Library:
    """Return the spec at `path` (or `text` in its place) with every file that it imports.

    texts: texts to use instead of the files on disk, by the names that messages use for the files. known: specs that
    were parsed before; a file whose text is unchanged is not parsed again.

    Raises SpecError with all problems of all the files, and their texts for excerpts.
    """
    try:
        real = bundled_networks.resolve_path(path)
        given = texts.get(path) if text is None else text
        content = read_file(real, Span(path, 1, 1), path) if given is None else given
    except ParseError as fault:
        raise SpecError([fault.problem]) from None
    loading = Loader(allowed_folder(real), texts, known)
    loading.add(SpecPath(path, os.path.realpath(real)), content, ())
    loading.problems.raise_if_any(loading.sources)
    return Library(loading.files[path], loading.files, loading.sources)


def standard_names() -> tuple[str, ...]:
    """Return the import sources of the standard library: `std/conv`, …"""
    folder = resources.files("archscope") / "std"
    return tuple(sorted(f"std/{entry.name[:-5]}" for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def allowed_folder(path: str) -> str:
    """Return the directory that imports may not leave."""
    current, root = os.path.realpath(os.curdir), os.path.realpath(os.path.dirname(path) or os.curdir)
    return current if is_inside(root, current) else root


def is_inside(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


@dataclass(frozen=True)
class SpecPath:
    """A file under the name that messages use, and its real path, which tells whether two names mean the same file."""

    name: str
    real: str


@dataclass
class Loader:
    """The files read so far, by name; each is read once."""

    folder: str
    texts: Mapping[str, str]
    known: Library | None = None
    problems: Problems = field(default_factory=Problems)
    files: dict[str, Spec] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)  # real path → name
    broken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.problems.sources = self.sources

    def add(self, source: SpecPath, text: str, chain: tuple[SpecPath, ...]) -> None:
        """Parse one file, then everything that it imports; `chain` leads from the root to its importer."""
        self.sources[source.name] = text
        self.read[source.real] = source.name
        before = len(self.problems.found)
        spec = self.cached_spec(source.name, text) or parse(text, source.name, self.problems)
        if spec is None or len(self.problems.found) > before:
            self.broken.add(source.name)
        if spec is None:
            return
        chain = (*chain, source)
        self.files[source.name] = spec
        self.files[source.name] = replace(spec, imports=tuple(self.load_import(one, chain) for one in spec.imports))

    def cached_spec(self, name: str, text: str) -> Spec | None:
        """Return the spec that was parsed before, if the file had the same text."""
        same = self.known is not None and self.known.sources.get(name) == text
        return self.known.files.get(name) if self.known is not None and same else None

    def load_import(self, declared: Import, chain: tuple[SpecPath, ...]) -> Import:
        """Return the import with its file resolved and read; errors have the place of the import."""
        try:
            found = self.resolve(declared, chain[-1])
            if found.real not in self.read:
                self.check_limits(declared, chain)
                given = self.texts.get(found.name)
                self.add(
                    found, read_file(found.real, declared.span, declared.source) if given is None else given, chain
                )
            elif found.real in [source.real for source in chain]:
                raise ParseError(
                    declared.span, f"import cycle: {cycle_text(chain, found)}", "move shared blocks to a third file"
                )
        except ParseError as fault:
            self.problems.add(fault.problem)
            return declared
        name = self.read[found.real]
        if name not in self.broken:
            self.check_names(declared, self.files[name])
        return replace(declared, file=name)

    def check_limits(self, declared: Import, chain: tuple[SpecPath, ...]) -> None:
        if len(chain) > MAX_IMPORT_DEPTH:
            raise ParseError(
                declared.span, f"imports nested more than {MAX_IMPORT_DEPTH} files deep", "import it directly"
            )
        if len(self.read) >= MAX_FILES:
            raise ParseError(declared.span, f"more than {MAX_FILES} files are imported", "put blocks together")

    def check_names(self, declared: Import, spec: Spec) -> None:
        """Report every imported name that is neither a block of that file nor the file's own net."""
        offered = [block.name for block in spec.blocks] + ([spec.name] if spec.layers is not None else [])
        for original, _ in declared.names:
            if original.name not in offered:
                help = did_you_mean(original.name, offered) or "it defines " + (", ".join(offered) or "nothing")
                self.problems.add(Problem(original.span, f"{declared.source} defines no block {original.name!r}", help))

    def resolve(self, declared: Import, importer: SpecPath) -> SpecPath:
        """Return the file of an import source. Raise ParseError if it does not exist or may not be read."""
        if declared.source.startswith("std/") or declared.source == "std":
            return standard_file(declared)
        refused = (
            "an absolute path" if os.path.isabs(declared.source) else
            "not a .yaml file" if not declared.source.endswith(".yaml") else
            "not a path" if not is_valid_path(declared.source) else ""
        )  # fmt: skip
        if refused:
            near = did_you_mean(f"std/{declared.source}", standard_names()) if "yaml" in refused else ""
            fix = near or "write std/name, or a path relative to this file, such as blocks/attention.yaml"
            raise ParseError(declared.span, f"import {quote_short(declared.source)} is {refused}", fix)
        real = os.path.realpath(os.path.join(os.path.dirname(importer.real), declared.source))
        if not is_inside(real, self.folder):
            fix = "imports must be in the spec's directory, or in the current one if that contains it"
            raise ParseError(
                declared.span, f"import {quote_short(declared.source)} leaves the directory of the spec", fix
            )
        name = imported_name(importer.name, declared.source)
        return SpecPath(name if name not in self.files else declared.source, real)


def is_valid_path(source: str) -> bool:
    """Return whether the text can be the path of a file."""
    try:
        return b"\0" not in os.fsencode(source)
    except UnicodeEncodeError:
        return False


def imported_name(importer: str, source: str) -> str:
    """Return the name that messages use for a file that another one imports."""
    prefix = bundled_networks.TARGET_PREFIX
    if importer.startswith(prefix):
        folder = posixpath.dirname(importer.removeprefix(prefix))
        return prefix + posixpath.normpath(posixpath.join(folder, source))
    return os.path.normpath(os.path.join(os.path.dirname(importer), source))


def standard_file(declared: Import) -> SpecPath:
    """Return a file of the package's own library."""
    match = STANDARD_SOURCE.fullmatch(declared.source)
    if not match or declared.source not in standard_names():
        near = did_you_mean(declared.source, standard_names()) or "known: " + ", ".join(standard_names())
        raise ParseError(declared.span, f"there is no library {declared.source!r}", near)
    path = resources.files("archscope") / "std" / f"{match[1]}.yaml"
    return SpecPath(f"{declared.source}.yaml", os.path.realpath(str(path)))


def cycle_text(chain: tuple[SpecPath, ...], found: SpecPath) -> str:
    """Return the import cycle as text: `a.yaml → b.yaml → a.yaml`."""
    start = [source.real for source in chain].index(found.real)
    return " → ".join([*(source.name for source in chain[start:]), chain[start].name])
