"""The pytest plugin: spec files as tests, one for each expectation of each variant.

    configured paths → SpecFile → Variant (compiled on shapes alone) → Part (a path) → SpecTest, one per expectation
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
    from archscope.api.spec_tests import VariantUnderTest
    from archscope.config import Config
    from archscope.errors import Span
    from archscope.report import Finding, Report
    from archscope.spec.model import Expected

MARKER = "archscope: a check or an expectation of a spec"
SUFFIXES = (".yaml", ".yml")
TRUSTED = "archscope_trusted"
ALLOWING = ("--allow-python", "--archscope-allow-python")
NO_TESTS = "Python code is no test here, and `archscope check --allow-python` runs it"
NOT_RUN = "Python code, not run: --allow-python on the command line runs it"


# ------------------------------------------------------------ settings
def pytest_addoption(parser: pytest.Parser) -> None:
    about = "files and folders whose specs are tests; patterns too"
    group = parser.getgroup("archscope", "networks as specs")
    group.addoption("--archscope-specs", action="append", default=[], metavar="PATH", help=about)
    allowing = "run the Python code that specs name in `python:`; counts on the command line, not in addopts"
    group.addoption(*ALLOWING, action="store_true", dest="archscope_allow_python", help=allowing)
    parser.addini("archscope_specs", f"{about} (from the folder of this file)", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    home = config.inipath.parent if config.inipath else config.rootpath
    project = project_at(home)
    wanted = frozenset(path for said in configured(config, home, project) for path in found(said))
    python = tuple(filter(is_python, project.specs if project else ()))
    if wanted or python:
        told = getattr(config, "workerinput", {}).get(TRUSTED)  # to a worker of pytest-xdist
        may_run = frozenset(trusted(config) if told is None else map(Path, told))
        config.pluginmanager.register(Specs(wanted, project, may_run, python), "archscope-specs")


def trusted(config: pytest.Config) -> Iterator[Path]:
    """Below which paths specs may run Python code: everywhere with --allow-python, else what --archscope-specs names.

    The settings of a checkout, which may be anybody's, say nothing of it: `addopts` does not count.
    """
    own = [*map(str, config.invocation_params.args), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    if config.getoption("archscope_allow_python") and not frozenset(ALLOWING).isdisjoint(own):
        yield Path(config.rootpath.anchor)
    for said in config.getoption("archscope_specs"):
        if said in own or f"--archscope-specs={said}" in own:
            yield from found(config.invocation_params.dir / said)


def configured(config: pytest.Config, home: Path, project: Config | None) -> Iterator[Path]:
    """The paths and patterns of the command line, of pytest's settings and of `[tool.archscope]`, from the root."""
    yield from (config.invocation_params.dir / said for said in config.getoption("archscope_specs"))
    yield from (home / said for said in config.getini("archscope_specs"))
    if project is not None:
        yield from (Path(project.located(said)) for said in project.specs if not is_python(said))


def is_python(said: str) -> bool:
    """`net.py:Net`, `package.module:factory`: what `archscope check` may run, and is no spec."""
    source, colon, _ = said.rpartition(":")
    return bool(colon) and not source.endswith(SUFFIXES)


def project_at(home: Path) -> Config | None:
    """What the project asks for; None where it says nothing of archscope. Raises UsageError."""
    if not is_mentioned(home):
        return None
    from archscope.config import read
    from archscope.errors import UsageError

    try:
        return read(home)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def is_mentioned(folder: Path) -> bool:
    """Whether the nearest pyproject.toml could hold a `[tool.archscope]`; the reader of it is not needed otherwise."""
    files = (above / "pyproject.toml" for above in (folder, *folder.parents))
    nearest = next((file for file in files if file.is_file()), None)
    return nearest is not None and b"archscope" in nearest.read_bytes()


def found(said: Path) -> Sequence[Path]:
    """What a path or pattern stands for. Raises UsageError where that is nothing."""
    path = os.path.normpath(said)
    there = glob.glob(path, recursive=True) if not os.path.exists(path) else [path]
    if not there:
        cure = "name files or folders by --archscope-specs, by archscope_specs, or by specs in [tool.archscope]"
        raise pytest.UsageError(f"there are no specs at {path}\n  help: {cure}")
    return [Path(one) for one in there]


# ------------------------------------------------------------ collection
@dataclass(frozen=True)
class Specs:
    """Collects the spec files at or below the wanted paths; a plugin of its own, only where there are such paths."""

    wanted: frozenset[Path]
    project: Config | None = None
    trusted: frozenset[Path] = frozenset()
    python: tuple[str, ...] = ()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """A worker of pytest-xdist does not know the command line."""
        node.workerinput[TRUSTED] = list(map(str, self.trusted))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """A line each on specs whose Python code was not run, and on Python code that the project names."""
        skipped = [one.nodeid for one in terminalreporter.stats.get("skipped", []) if NOT_RUN in str(one.longrepr)]
        for fact, names in ((NOT_RUN, skipped), (NO_TESTS, self.python)):
            if names:
                terminalreporter.write_line(f"archscope: {fact}: {', '.join(names)}")

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if file_path.suffix not in SUFFIXES or self.wanted.isdisjoint([file_path, *file_path.parents]):
            return None
        node: SpecFile = SpecFile.from_parent(parent, path=file_path, specs=self)
        node.add_marker("archscope")
        return node


class SpecFile(pytest.File):
    """A spec: its variants; its tests where it has none; one `check` where it is a library or cannot be read."""

    def __init__(self, *, specs: Specs, **node: Any):
        super().__init__(**node)
        self.specs = specs

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        from archscope.api.spec_tests import reading

        subjects = self.subjects()
        if not subjects:
            yield SpecTest.from_parent(self, name="check", ask=partial(reading, self.path), place=(self.path, None))
        for subject in subjects:
            if subject.variant:
                yield Variant.from_parent(self, name=subject.variant, subject=subject)
            else:
                yield from tests(self, subject)

    def subjects(self) -> Sequence[VariantUnderTest]:
        from archscope import api
        from archscope.api.spec_tests import VariantUnderTest, near, quiet
        from archscope.errors import ArchscopeError

        try:
            with quiet():
                targets = api.variants(near(self.path))
        except ArchscopeError:  # `check` says why
            return ()
        project = self.specs.project
        allowed = not self.specs.trusted.isdisjoint([self.path, *self.path.parents])
        split = filter(None, map(api.split, targets))
        return [VariantUnderTest(self.path, variant, project, allowed) for _, variant in split]


class Variant(pytest.Collector):
    """One variant of a spec: `check`, the expectations of the whole net, and the paths that have some."""

    def __init__(self, *, subject: VariantUnderTest, **node: Any):
        super().__init__(**node)
        self.subject = subject

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        return tests(self, self.subject)


class Part(pytest.Collector):
    """A path inside a net, with its expectations."""

    def __init__(self, *, subject: VariantUnderTest, expected: Sequence[Expected], **node: Any):
        super().__init__(**node)
        self.subject, self.expected = subject, expected

    def collect(self) -> Iterator[pytest.Item]:
        return expectations(self, self.subject, self.expected)


def tests(parent: pytest.Collector, subject: VariantUnderTest) -> Iterator[pytest.Item | pytest.Collector]:
    ask = left_out if subject.compiled.foreign else subject.faults
    yield SpecTest.from_parent(parent, name="check", ask=ask, place=(subject.path, None))
    if subject.compiled.foreign:
        return
    expected = subject.expected
    yield from expectations(parent, subject, [e for e in expected if not e.path])
    for name in subject.budgets:
        ask = partial(subject.over, name)
        yield SpecTest.from_parent(parent, name=f"max-{name}", ask=ask, place=(subject.path, None))
    for path in dict.fromkeys(e.path for e in expected if e.path):
        own = [e for e in expected if e.path == path]
        yield Part.from_parent(parent, name=path, subject=subject, expected=own)


def left_out() -> Sequence[Finding]:
    pytest.skip(NOT_RUN)


def expectations(
    parent: pytest.Collector, subject: VariantUnderTest, expected: Iterable[Expected]
) -> Iterator[pytest.Item]:
    """One test for each; of several with one key, the second is called `shape-2`."""
    seen: Counter[str] = Counter()
    for one in expected:
        seen[one.key] += 1
        name = one.key if seen[one.key] == 1 else f"{one.key}-{seen[one.key]}"
        ask, place = partial(subject.unmet, one), where(one.span, subject.path)
        yield SpecTest.from_parent(parent, name=name, ask=ask, place=place)


def where(span: Span, spec: Path) -> tuple[Path, int | None]:
    """File and 0-based line for editors; blocks of the package's own library lie beside this file."""
    for path in (Path(span.file).absolute(), Path(__file__).parent / span.file):
        if path.is_file():
            return path, span.line - 1 if span.line else None
    return spec, None


# ------------------------------------------------------------ one test
class FoundError(Exception):
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
            raise FoundError(findings)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The findings as `archscope check` prints them, and the first of them for pytest's summary."""
        if not isinstance(excinfo.value, FoundError):
            return super().repr_failure(excinfo, style)
        from archscope.api.spec_tests import near
        from archscope.errors import one_line
        from archscope.render.findings import text

        findings = excinfo.value.findings
        entry = ReprEntryNative([text(findings, target=near(self.path))])
        first = findings[0].place
        file, line = (first.file, first.line) if first else (near(self.path), 0)
        crash = ReprFileLocation(one_line(file), line, one_line(findings[0].message))
        return ReprExceptionInfo(reprtraceback=ReprTraceback([entry], None, "native"), reprcrash=crash)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return (*self.place, self.nodeid.replace("::", " "))


# ------------------------------------------------------------ a fixture
@pytest.fixture(scope="session")
def archscope_summary() -> Callable[..., Report]:
    """`archscope_summary(target, **options)` is `archscope.summarize`, remembered for the session."""
    from archscope.api.remembered import Summaries

    return Summaries()
