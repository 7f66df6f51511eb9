"""The pytest plugin: spec files as tests, one for each expectation of each variant.

    configured paths → SpecFile → VariantCollector (one compiled variant) → PathCollector (a path in the net) → SpecTest
    VariantUnderTest: run once, by the first of its tests that needs the result

In a project without specs, the plugin only reads the settings: neither torch nor yaml is imported.
"""

from __future__ import annotations

import glob
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback

if TYPE_CHECKING:
    from archscope.api.variant_under_test import VariantUnderTest
    from archscope.config import Config
    from archscope.errors import Span
    from archscope.report import Finding, Report
    from archscope.spec.spec_types import Expectation

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
        node: SpecFile = SpecFile.from_parent(parent, path=file_path, specs=self)
        node.add_marker("archscope")
        return node


class SpecFile(pytest.File):
    """A spec file: its variants, or its tests if it has none; one `check` for a library or an unreadable spec."""

    def __init__(self, *, specs: SpecCollection, **node: Any):
        super().__init__(**node)
        self.specs = specs

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        from archscope.api.variant_under_test import spec_text_findings

        variants = self.variants()
        if not variants:
            yield SpecTest.from_parent(
                self, name="check", find=partial(spec_text_findings, self.path), place=(self.path, None)
            )
        for variant in variants:
            if variant.variant:
                yield VariantCollector.from_parent(self, name=variant.variant, variant=variant)
            else:
                yield from variant_tests(self, variant)

    def variants(self) -> Sequence[VariantUnderTest]:
        from archscope import api
        from archscope.api.variant_under_test import VariantUnderTest, quiet_analysis, relative_name
        from archscope.errors import ArchscopeError

        try:
            with quiet_analysis():
                targets = api.variants(relative_name(self.path))
        except ArchscopeError:  # `check` says why
            return ()
        project = self.specs.project
        allowed = not self.specs.trusted_paths.isdisjoint([self.path, *self.path.parents])
        split = filter(None, map(api.split_target, targets))
        return [VariantUnderTest(self.path, variant, project, allowed) for _, variant in split]


class VariantCollector(pytest.Collector):
    """One variant of a spec: `check`, the expectations of the whole net, and the paths with expectations."""

    def __init__(self, *, variant: VariantUnderTest, **node: Any):
        super().__init__(**node)
        self.variant = variant

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        return variant_tests(self, self.variant)


class PathCollector(pytest.Collector):
    """A path inside a net, with its expectations."""

    def __init__(self, *, variant: VariantUnderTest, expected: Sequence[Expectation], **node: Any):
        super().__init__(**node)
        self.variant, self.expected = variant, expected

    def collect(self) -> Iterator[pytest.Item]:
        return expectation_tests(self, self.variant, self.expected)


def variant_tests(parent: pytest.Collector, variant: VariantUnderTest) -> Iterator[pytest.Item | pytest.Collector]:
    find = skip_not_run if variant.compiled.is_python_only else variant.check_findings
    yield SpecTest.from_parent(parent, name="check", find=find, place=(variant.path, None))
    if variant.compiled.is_python_only:
        return
    expected = variant.expected
    yield from expectation_tests(parent, variant, [e for e in expected if not e.path])
    for name in variant.budgets:
        find = partial(variant.budget_findings, name)
        yield SpecTest.from_parent(parent, name=f"max-{name}", find=find, place=(variant.path, None))
    for path in dict.fromkeys(e.path for e in expected if e.path):
        own = [e for e in expected if e.path == path]
        yield PathCollector.from_parent(parent, name=path, variant=variant, expected=own)


def skip_not_run() -> Sequence[Finding]:
    pytest.skip(NOT_RUN)


def expectation_tests(
    parent: pytest.Collector, variant: VariantUnderTest, expected: Iterable[Expectation]
) -> Iterator[pytest.Item]:
    """Yield one test for each expectation; the second one with the same key is called `shape-2`."""
    seen: Counter[str] = Counter()
    for expectation in expected:
        seen[expectation.key] += 1
        name = f"{expectation.key}-{seen[expectation.key]}".removesuffix("-1")
        find, place = partial(variant.unmet_findings, expectation), spec_location(expectation.span, variant.path)
        yield SpecTest.from_parent(parent, name=name, find=find, place=place)


def spec_location(span: Span, spec: Path) -> tuple[Path, int | None]:
    """Return file and 0-based line for editors. Blocks of archscope's own library lie beside this file."""
    for path in (Path(span.file).absolute(), Path(__file__).parent / span.file):
        if path.is_file():
            return path, span.line - 1 if span.line else None
    return spec, None


# ------------------------------------------------------------ one test
class SpecTestError(Exception):
    """The findings of a failed test, shown without a Python traceback."""

    def __init__(self, findings: Sequence[Finding]):
        self.findings = findings
        super().__init__(findings[0].message)


class SpecTest(pytest.Item):
    """One check of a spec; any finding fails the test. find: returns the findings."""

    def __init__(self, *, find: Callable[[], Sequence[Finding]], place: tuple[Path, int | None], **node: Any):
        super().__init__(**node)
        self.find, self.place = find, place

    def runtest(self) -> None:
        if findings := self.find():
            raise SpecTestError(findings)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the findings as `archscope check` prints them, with the first one for pytest's summary."""
        if not isinstance(excinfo.value, SpecTestError):
            return super().repr_failure(excinfo, style)
        from archscope.api.variant_under_test import relative_name
        from archscope.errors import escape_one_line
        from archscope.render.findings import format_findings

        findings = excinfo.value.findings
        entry = ReprEntryNative([format_findings(findings, target=relative_name(self.path))])
        first = findings[0].place
        file, line = (first.file, first.line) if first else (relative_name(self.path), 0)
        crash = ReprFileLocation(escape_one_line(file), line, escape_one_line(findings[0].message))
        return ReprExceptionInfo(reprtraceback=ReprTraceback([entry], None, "native"), reprcrash=crash)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return (*self.place, self.nodeid.replace("::", " "))


# ------------------------------------------------------------ a fixture
@pytest.fixture(scope="session")
def archscope_summary() -> Callable[..., Report]:
    """Return `archscope.summarize` with a cache for the session: `archscope_summary(target, **options)`."""
    from archscope.api.summary_cache import SummaryCache

    return SummaryCache()
