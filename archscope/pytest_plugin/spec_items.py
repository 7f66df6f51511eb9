"""Spec files as pytest's collectors and items.

SpecFile → VariantCollector (one compiled variant) → PathCollector (a path in the net) → SpecTest
VariantUnderTest: run once, by the first of its tests that needs the result
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback

from archscope.config import Config
from archscope.errors import ArchscopeError, Span, escape_one_line
from archscope.pytest_plugin import NOT_RUN
from archscope.pytest_plugin.variant_under_test import (
    VariantUnderTest,
    quiet_analysis,
    relative_name,
    spec_text_findings,
)
from archscope.render.findings import format_findings
from archscope.report import Finding
from archscope.spec.spec_types import Expectation
from archscope.spec.target_names import list_variants, split_target


class SpecFile(pytest.File):
    """A spec file: its variants, or its tests if it has none; one `check` for a library or an unreadable spec."""

    def __init__(self, *, project: Config | None, allow_python: bool, **node: Any):
        super().__init__(**node)
        self.project, self.allow_python = project, allow_python

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
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
        try:
            with quiet_analysis():
                targets = list_variants(relative_name(self.path))
        except ArchscopeError:  # `check` says why
            return ()
        split = filter(None, map(split_target, targets))
        return [VariantUnderTest(self.path, variant, self.project, self.allow_python) for _, variant in split]


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
    """Return file and 0-based line for editors. Blocks of archscope's own library lie in the package."""
    for path in (Path(span.file).absolute(), Path(__file__).parent.parent / span.file):
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
        findings = excinfo.value.findings
        entry = ReprEntryNative([format_findings(findings, target=relative_name(self.path))])
        first = findings[0].place
        file, line = (first.file, first.line) if first else (relative_name(self.path), 0)
        crash = ReprFileLocation(escape_one_line(file), line, escape_one_line(findings[0].message))
        return ReprExceptionInfo(reprtraceback=ReprTraceback([entry], None, "native"), reprcrash=crash)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return (*self.place, self.nodeid.replace("::", " "))
