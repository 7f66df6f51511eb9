"""The pytest plugin: spec files as tests, one for each expectation of each variant.

    configured paths → SpecFile → Variant (compiled on shapes alone) → Part (a path) → SpecTest, one per expectation
                                  └ Subject: run once, when the first of its tests asks → findings ┘

A project that names no specs pays for the reading of its settings: neither torch nor yaml is imported there.
"""

from __future__ import annotations

import gc
import glob
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback

if TYPE_CHECKING:
    from archscope.compile import Plan
    from archscope.config import Config
    from archscope.errors import ArchscopeError, Span
    from archscope.report import Finding, Report
    from archscope.spec.model import Expected

MARKER = "archscope: a check or an expectation of a spec"
SUFFIXES = (".yaml", ".yml")


# ------------------------------------------------------------ settings
def pytest_addoption(parser: pytest.Parser) -> None:
    about = "files and folders whose specs are tests; patterns too"
    group = parser.getgroup("archscope", "networks as specs")
    group.addoption("--archscope-specs", action="append", default=[], metavar="PATH", help=about)
    parser.addini("archscope_specs", f"{about} (from the folder of this file)", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    home = config.inipath.parent if config.inipath else config.rootpath
    project = project_at(home)
    wanted = frozenset(path for said in configured(config, home, project) for path in found(said))
    if wanted:
        config.pluginmanager.register(Specs(wanted, project), "archscope-specs")


def configured(config: pytest.Config, home: Path, project: Config | None) -> Iterator[Path]:
    """The paths and patterns of the command line, of pytest's settings and of `[tool.archscope]`, from the root."""
    yield from (config.invocation_params.dir / said for said in config.getoption("archscope_specs"))
    yield from (home / said for said in config.getini("archscope_specs"))
    if project is not None:
        yield from (Path(project.located(said)) for said in project.specs)


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

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if file_path.suffix not in SUFFIXES or self.wanted.isdisjoint([file_path, *file_path.parents]):
            return None
        node: SpecFile = SpecFile.from_parent(parent, path=file_path, project=self.project)
        node.add_marker("archscope")
        return node


class SpecFile(pytest.File):
    """A spec: its variants; its tests where it has none; one `check` where it is a library or cannot be read."""

    def __init__(self, *, project: Config | None = None, **node: Any):
        super().__init__(**node)
        self.project = project

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        subjects = self.subjects()
        if not subjects:
            yield SpecTest.from_parent(self, name="check", ask=partial(reading, self.path), place=(self.path, None))
        for subject in subjects:
            if subject.variant:
                yield Variant.from_parent(self, name=subject.variant, subject=subject)
            else:
                yield from tests(self, subject)

    def subjects(self) -> Sequence[Subject]:
        from archscope import api
        from archscope.errors import ArchscopeError

        try:
            with quiet():
                targets = api.variants(near(self.path))
        except ArchscopeError:  # `check` says why
            return ()
        return [Subject(self.path, parts[1], self.project) for target in targets if (parts := api.split(target))]


class Variant(pytest.Collector):
    """One variant of a spec: `check`, the expectations of the whole net, and the paths that have some."""

    def __init__(self, *, subject: Subject, **node: Any):
        super().__init__(**node)
        self.subject = subject

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        return tests(self, self.subject)


class Part(pytest.Collector):
    """A path inside a net, with its expectations."""

    def __init__(self, *, subject: Subject, expected: Sequence[Expected], **node: Any):
        super().__init__(**node)
        self.subject, self.expected = subject, expected

    def collect(self) -> Iterator[pytest.Item]:
        return expectations(self, self.subject, self.expected)


def tests(parent: pytest.Collector, subject: Subject) -> Iterator[pytest.Item | pytest.Collector]:
    yield SpecTest.from_parent(parent, name="check", ask=subject.faults, place=(subject.path, None))
    expected = subject.expected
    yield from expectations(parent, subject, [e for e in expected if not e.path])
    for name in subject.budgets:
        ask = partial(subject.over, name)
        yield SpecTest.from_parent(parent, name=f"max-{name}", ask=ask, place=(subject.path, None))
    for path in dict.fromkeys(e.path for e in expected if e.path):
        own = [e for e in expected if e.path == path]
        yield Part.from_parent(parent, name=path, subject=subject, expected=own)


def expectations(parent: pytest.Collector, subject: Subject, expected: Iterable[Expected]) -> Iterator[pytest.Item]:
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


def near(path: Path) -> str:
    """A file as messages name it: from the current directory, where it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


# ------------------------------------------------------------ what the tests ask
@contextmanager
def quiet() -> Iterator[None]:
    """What torch warns of while a net is compiled or run on shapes is no matter of the project's `filterwarnings`.

    Python's cycle collector rests meanwhile: it would go through all of torch and all tests again and again.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if collecting:
            gc.enable()


def reading(path: Path) -> Sequence[Finding]:
    """What is wrong with the text of a spec."""
    from archscope import api
    from archscope.errors import ArchscopeError

    try:
        api.variants(near(path))
    except ArchscopeError as error:
        return problems(error)
    return ()


def problems(error: ArchscopeError) -> Sequence[Finding]:
    from archscope.errors import SpecError
    from archscope.report import Finding, from_problem

    if isinstance(error, SpecError):
        return [from_problem(problem, sources=error.sources) for problem in error.problems]
    return [Finding("spec", "error", str(error))]


@dataclass(frozen=True)
class Compiled:
    """A net's plan, or why there is none."""

    plan: Plan | None = None
    faults: Sequence[Finding] = ()


@dataclass(frozen=True)
class Verdict:
    """What one run of a net showed: its faults, whatever speaks against each expectation, and its report."""

    faults: Sequence[Finding] = ()
    unmet: Mapping[Expected, Sequence[Finding]] = field(default_factory=dict)
    report: Report | None = None


@dataclass(frozen=True)
class Subject:
    """One variant of a spec: compiled when its tests are listed, run on shapes alone when the first of them asks."""

    path: Path
    variant: str | None
    project: Config | None = None

    @property
    def target(self) -> str:
        return f"{near(self.path)}:{self.variant}" if self.variant else near(self.path)

    @cached_property
    def compiled(self) -> Compiled:
        from archscope import api
        from archscope.errors import ArchscopeError

        try:
            with quiet():
                return Compiled(api.plan_of(self.target, strict=False, allow_python=True))
        except ArchscopeError as error:
            return Compiled(faults=problems(error))

    @property
    def expected(self) -> Sequence[Expected]:
        """None of a net that cannot be compiled; its `check` says why."""
        return self.compiled.plan.expected if self.compiled.plan else ()

    @cached_property
    def verdict(self) -> Verdict:
        from archscope.api import runs
        from archscope.checks import other_errors
        from archscope.errors import ArchscopeError, ForwardError

        if self.compiled.plan is None:
            return Verdict(self.compiled.faults)
        try:
            with quiet():
                report = runs.summarize_plan(self.compiled.plan, device="meta")
        except ForwardError as error:
            report = error.report  # type: ignore[assignment]  # the ground knows no reports
        except ArchscopeError as error:
            return Verdict(problems(error))
        return Verdict(other_errors(report.findings), {one: against(one, report) for one in self.expected}, report)

    def faults(self) -> Sequence[Finding]:
        """Every error that is no expectation, as `archscope check` tells it, with the fixes that it tries."""
        from archscope import api
        from archscope.checks import other_errors

        if not self.verdict.faults:
            return ()
        with quiet():
            checked = api.check(self.target, device="meta", allow_python=True)
        return other_errors(finding for one in checked for finding in one.findings)

    def unmet(self, expected: Expected) -> Sequence[Finding]:
        return self.verdict.unmet.get(expected, self.verdict.faults)

    @property
    def budgets(self) -> Sequence[str]:
        """Of what the project sets a budget: `params`, `macs`; of nothing where the net cannot be compiled."""
        if self.project is None or self.compiled.plan is None:
            return ()
        most = {"params": self.project.max_params, "macs": self.project.max_macs}
        return [name for name, limit in most.items() if limit is not None]

    def over(self, quantity: str) -> Sequence[Finding]:
        """What is over the project's budget, unless a rule or a comment that ignores it says that this is meant."""
        from archscope import api
        from archscope.api.demands import Ran, demands
        from archscope.checks.budgets import over

        project, report = self.project, self.verdict.report
        if report is None or project is None:
            return self.verdict.faults
        law = demands(**{name: getattr(project, name) for name in ("select", "ignore", "max_params", "max_macs")})
        kept = law.checked(self.target, Ran(over(report, law.budget), report), api.load(self.path).sources).findings
        return [finding for finding in kept if finding.rule == f"budget-{quantity}"]


def against(expected: Expected, report: Report) -> Sequence[Finding]:
    """What speaks against an expectation; after a forward pass that failed no figure is known."""
    from archscope.checks import other_errors, unmet

    if report.trace.failure and expected.met is None:
        return other_errors(report.findings)
    return unmet([expected], report)


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
        from archscope.render.findings import text

        findings = excinfo.value.findings
        entry = ReprEntryNative([text(findings, target=near(self.path))])
        first = findings[0].place
        file, line = (first.file, first.line) if first else (near(self.path), 0)
        crash = ReprFileLocation(file, line, findings[0].message)
        return ReprExceptionInfo(reprtraceback=ReprTraceback([entry], None, "native"), reprcrash=crash)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return (*self.place, self.nodeid.replace("::", " "))


# ------------------------------------------------------------ a fixture
@pytest.fixture(scope="session")
def archscope_summary() -> Callable[..., Report]:
    """`archscope_summary(target, **options)` is `archscope.summarize`, remembered for the session."""
    from archscope.api.remembered import Summaries

    return Summaries()
