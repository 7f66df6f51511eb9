"""The pytest plugin: spec files as tests, one for each expectation of each variant.

    configured paths → SpecCollection → spec_items.SpecFile → its tests

This module holds the hooks, spec_items the tests, variant_under_test what they run once for each variant, and
summary_cache the summaries that several tests read. In a project without specs, the plugin only reads the settings:
neither torch nor yaml is imported.
"""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from archscope.config import Config
    from archscope.report import Report

MARKER_LINE = "archscope: a check or an expectation of a spec"
SUFFIXES = (".yaml", ".yml")
TRUSTED_KEY = "archscope_trusted"
ALLOW_OPTIONS = ("--allow-python", "--archscope-allow-python")
NO_TESTS = "Python code is not tested here; `archscope check --allow-python` runs it"
NOT_RUN = "Python code, not run: --allow-python on the command line runs it"


# ------------------------------------------------------------ settings
def pytest_addoption(parser: pytest.Parser) -> None:
    about = "files and folders whose specs are tests; patterns too"
    group = parser.getgroup("archscope", "networks as specs")
    group.addoption("--archscope-specs", action="append", default=[], metavar="PATH", help=about)
    allowing = "run the Python code that specs name in `python:`; counts on the command line, not in addopts"
    group.addoption(*ALLOW_OPTIONS, action="store_true", dest="archscope_allow_python", help=allowing)
    parser.addini("archscope_specs", f"{about} (from the folder of this file)", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER_LINE)
    home = config.inipath.parent if config.inipath else config.rootpath
    project = read_project_config(home)
    wanted = frozenset(path for said in configured_paths(config, home, project) for path in resolve_pattern(said))
    python = tuple(filter(is_python, project.specs if project else ()))
    if wanted or python:
        passed = getattr(config, "workerinput", {}).get(TRUSTED_KEY)  # in a worker of pytest-xdist
        may_run = frozenset(trusted_paths(config) if passed is None else map(Path, passed))
        config.pluginmanager.register(SpecCollection(wanted, project, may_run, python), "archscope-specs")


def trusted_paths(config: pytest.Config) -> Iterator[Path]:
    """Yield the folders and files below which specs may run Python code: the file system's root with --allow-python,
    else the paths of --archscope-specs on the command line.

    `addopts` in the settings of a checkout does not count, since its author may not be trusted.
    """
    own = [*map(str, config.invocation_params.args), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    if config.getoption("archscope_allow_python") and not frozenset(ALLOW_OPTIONS).isdisjoint(own):
        yield Path(config.rootpath.anchor)
    for said in config.getoption("archscope_specs"):
        if said in own or f"--archscope-specs={said}" in own:
            yield from resolve_pattern(config.invocation_params.dir / said)


def configured_paths(config: pytest.Config, home: Path, project: Config | None) -> Iterator[Path]:
    """Yield the paths and patterns of the command line, of pytest's settings and of `[tool.archscope]`."""
    yield from (config.invocation_params.dir / said for said in config.getoption("archscope_specs"))
    yield from (home / said for said in config.getini("archscope_specs"))
    if project is not None:
        yield from (Path(project.resolve_path(said)) for said in project.specs if not is_python(said))


def is_python(said: str) -> bool:
    """Return whether an entry of `specs` is a Python target (`net.py:Net`, `package.module:factory`), which is not a
    spec."""
    source, colon, _ = said.rpartition(":")
    return bool(colon) and not source.endswith(SUFFIXES)


def read_project_config(home: Path) -> Config | None:
    """Return the project's settings; None if it has no `[tool.archscope]`. Raises pytest.UsageError."""
    files = (folder / "pyproject.toml" for folder in (home, *home.parents))
    nearest = next((file for file in files if file.is_file()), None)
    if nearest is None or b"archscope" not in nearest.read_bytes():  # then it need not be parsed
        return None
    from archscope.config import find_config
    from archscope.errors import UsageError

    try:
        return find_config(home)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def resolve_pattern(said: Path) -> Sequence[Path]:
    """Return the files and folders that a path or pattern matches. Raises UsageError if there are none."""
    path = os.path.normpath(said)
    matches = glob.glob(path, recursive=True) if not os.path.exists(path) else [path]
    if not matches:
        suggestion = "name files or folders by --archscope-specs, by archscope_specs, or by specs in [tool.archscope]"
        raise pytest.UsageError(f"there are no specs at {path}\n  help: {suggestion}")
    return [Path(match) for match in matches]


# ------------------------------------------------------------ collection
@dataclass(frozen=True)
class SpecCollection:
    """A plugin that collects the spec files at or below the configured paths; registered only if there are such
    paths."""

    paths: frozenset[Path]
    project: Config | None = None
    trusted_paths: frozenset[Path] = frozenset()
    python: tuple[str, ...] = ()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass the trusted paths to a worker of pytest-xdist, which does not know the command line."""
        node.workerinput[TRUSTED_KEY] = list(map(str, self.trusted_paths))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Write a line on specs whose Python code was not run, and one on Python targets in `specs`."""
        skipped = [one.nodeid for one in terminalreporter.stats.get("skipped", []) if NOT_RUN in str(one.longrepr)]
        for fact, names in ((NOT_RUN, skipped), (NO_TESTS, self.python)):
            if names:
                terminalreporter.write_line(f"archscope: {fact}: {', '.join(names)}")

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if file_path.suffix not in SUFFIXES or self.paths.isdisjoint([file_path, *file_path.parents]):
            return None
        from archscope.pytest_plugin.spec_items import SpecFile  # it needs the library

        allowed = not self.trusted_paths.isdisjoint([file_path, *file_path.parents])
        node: SpecFile = SpecFile.from_parent(parent, path=file_path, project=self.project, allow_python=allowed)
        node.add_marker("archscope")
        return node


# ------------------------------------------------------------ a fixture
@pytest.fixture(scope="session")
def archscope_summary() -> Callable[..., Report]:
    """Return `archscope.summarize` with a cache for the session: `archscope_summary(target, **options)`."""
    from archscope.pytest_plugin.summary_cache import SummaryCache

    return SummaryCache()
