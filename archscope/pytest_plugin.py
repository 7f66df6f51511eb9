"""The pytest plugin: spec files as tests, one for each expectation of each variant.

    configured paths → SpecFile → VariantCollector (compiled on shapes alone) → PathCollector (a path) → SpecTest, one
    per expectation
                                  └ VariantUnderTest: run once, when the first of its tests asks → findings ┘

A project that names no specs pays for the reading of its settings: neither torch nor yaml is imported there.
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
    from archscope.spec.model import Expectation

MARKER_LINE = "archscope: a check or an expectation of a spec"
SUFFIXES = (".yaml", ".yml")
TRUSTED_KEY = "archscope_trusted"
ALLOW_OPTIONS = ("--allow-python", "--archscope-allow-python")
NO_TESTS = "Python code is no test here, and `archscope check --allow-python` runs it"
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
        told = getattr(config, "workerinput", {}).get(TRUSTED_KEY)  # to a worker of pytest-xdist
        may_run = frozenset(trusted_paths(config) if told is None else map(Path, told))
        config.pluginmanager.register(SpecCollection(wanted, project, may_run, python), "archscope-specs")


def trusted_paths(config: pytest.Config) -> Iterator[Path]:
    """Below which paths specs may run Python code: everywhere with --allow-python, else what --archscope-specs names.

    The settings of a checkout, which may be anybody's, say nothing of it: `addopts` does not count.
    """
    own = [*map(str, config.invocation_params.args), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    if config.getoption("archscope_allow_python") and not frozenset(ALLOW_OPTIONS).isdisjoint(own):
        yield Path(config.rootpath.anchor)
    for said in config.getoption("archscope_specs"):
        if said in own or f"--archscope-specs={said}" in own:
            yield from resolve_pattern(config.invocation_params.dir / said)


def configured_paths(config: pytest.Config, home: Path, project: Config | None) -> Iterator[Path]:
    """The paths and patterns of the command line, of pytest's settings and of `[tool.archscope]`, from the root."""
    yield from (config.invocation_params.dir / said for said in config.getoption("archscope_specs"))
    yield from (home / said for said in config.getini("archscope_specs"))
    if project is not None:
        yield from (Path(project.resolve_path(said)) for said in project.specs if not is_python(said))


def is_python(said: str) -> bool:
    """`net.py:Net`, `package.module:factory`: what `archscope check` may run, and is no spec."""
    source, colon, _ = said.rpartition(":")
    return bool(colon) and not source.endswith(SUFFIXES)


def read_project_config(home: Path) -> Config | None:
    """What the project asks for; None where it says nothing of archscope. Raises UsageError."""
    if not can_have_section(home):
        return None
    from archscope.config import find_config
    from archscope.errors import UsageError

    try:
        return find_config(home)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def can_have_section(folder: Path) -> bool:
    """Whether the nearest pyproject.toml could hold a `[tool.archscope]`; the reader of it is not needed otherwise."""
    files = (above / "pyproject.toml" for above in (folder, *folder.parents))
    nearest = next((file for file in files if file.is_file()), None)
    return nearest is not None and b"archscope" in nearest.read_bytes()


def resolve_pattern(said: Path) -> Sequence[Path]:
    """What a path or pattern stands for. Raises UsageError where that is nothing."""
    path = os.path.normpath(said)
    there = glob.glob(path, recursive=True) if not os.path.exists(path) else [path]
    if not there:
        cure = "name files or folders by --archscope-specs, by archscope_specs, or by specs in [tool.archscope]"
        raise pytest.UsageError(f"there are no specs at {path}\n  help: {cure}")
    return [Path(one) for one in there]


# ------------------------------------------------------------ collection
@dataclass(frozen=True)
class SpecCollection:
    """Collects the spec files at or below the wanted paths; a plugin of its own, only where there are such paths."""

    paths: frozenset[Path]
    project: Config | None = None
    trusted_paths: frozenset[Path] = frozenset()
    python: tuple[str, ...] = ()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """A worker of pytest-xdist does not know the command line."""
        node.workerinput[TRUSTED_KEY] = list(map(str, self.trusted_paths))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """A line each on specs whose Python code was not run, and on Python code that the project names."""
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
    """A spec: its variants; its tests where it has none; one `check` where it is a library or cannot be read."""

    def __init__(self, *, specs: SpecCollection, **node: Any):
        super().__init__(**node)
        self.specs = specs

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        from archscope.api.variant_under_test import spec_text_findings

        subjects = self.subjects()
        if not subjects:
            yield SpecTest.from_parent(
                self, name="check", ask=partial(spec_text_findings, self.path), place=(self.path, None)
            )
        for subject in subjects:
            if subject.variant:
                yield VariantCollector.from_parent(self, name=subject.variant, subject=subject)
            else:
                yield from variant_tests(self, subject)

    def subjects(self) -> Sequence[VariantUnderTest]:
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
    """One variant of a spec: `check`, the expectations of the whole net, and the paths that have some."""

    def __init__(self, *, subject: VariantUnderTest, **node: Any):
        super().__init__(**node)
        self.subject = subject

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        return variant_tests(self, self.subject)


class PathCollector(pytest.Collector):
    """A path inside a net, with its expectations."""

    def __init__(self, *, subject: VariantUnderTest, expected: Sequence[Expectation], **node: Any):
        super().__init__(**node)
        self.subject, self.expected = subject, expected

    def collect(self) -> Iterator[pytest.Item]:
        return expectation_tests(self, self.subject, self.expected)


def variant_tests(parent: pytest.Collector, subject: VariantUnderTest) -> Iterator[pytest.Item | pytest.Collector]:
    ask = skip_not_run if subject.compiled.is_python_only else subject.check_findings
    yield SpecTest.from_parent(parent, name="check", ask=ask, place=(subject.path, None))
    if subject.compiled.is_python_only:
        return
    expected = subject.expected
    yield from expectation_tests(parent, subject, [e for e in expected if not e.path])
    for name in subject.budgets:
        ask = partial(subject.budget_findings, name)
        yield SpecTest.from_parent(parent, name=f"max-{name}", ask=ask, place=(subject.path, None))
    for path in dict.fromkeys(e.path for e in expected if e.path):
        own = [e for e in expected if e.path == path]
        yield PathCollector.from_parent(parent, name=path, subject=subject, expected=own)


def skip_not_run() -> Sequence[Finding]:
    pytest.skip(NOT_RUN)


def expectation_tests(
    parent: pytest.Collector, subject: VariantUnderTest, expected: Iterable[Expectation]
) -> Iterator[pytest.Item]:
    """One test for each; of several with one key, the second is called `shape-2`."""
    seen: Counter[str] = Counter()
    for one in expected:
        seen[one.key] += 1
        name = one.key if seen[one.key] == 1 else f"{one.key}-{seen[one.key]}"
        ask, place = partial(subject.unmet_findings, one), spec_location(one.span, subject.path)
        yield SpecTest.from_parent(parent, name=name, ask=ask, place=place)


def spec_location(span: Span, spec: Path) -> tuple[Path, int | None]:
    """File and 0-based line for editors; blocks of the package's own library lie beside this file."""
    for path in (Path(span.file).absolute(), Path(__file__).parent / span.file):
        if path.is_file():
            return path, span.line - 1 if span.line else None
    return spec, None


# ------------------------------------------------------------ one test
class SpecTestError(Exception):
    """What a test found. It is shown as it stands, for no line of Python is to blame."""

    def __init__(self, findings: Sequence[Finding]):
        self.findings = findings
        super().__init__(findings[0].message)


class SpecTest(pytest.Item):
    """Asks one question of a spec; any finding in the answer is a failure."""

    def __init__(self, *, ask: Callable[[], Sequence[Finding]], place: tuple[Path, int | None], **node: Any):
        super().__init__(**node)
        self.ask, self.place = ask, place

    def runtest(self) -> None:
        if findings := self.ask():
            raise SpecTestError(findings)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The findings as `archscope check` prints them, and the first of them for pytest's summary."""
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
    """`archscope_summary(target, **options)` is `archscope.summarize`, remembered for the session."""
    from archscope.api.summary_cache import SummaryCache

    return SummaryCache()
