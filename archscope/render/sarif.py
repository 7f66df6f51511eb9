"""Findings as SARIF 2.1.0, which code scanning services and editors read: one run with rules and results.

Equal findings are written once, as in the table. Files are relative to the current directory if they are below it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from archscope.checks.rules import RULES
from archscope.errors import Span
from archscope.render.annotations import display_path, full_message, target_file
from archscope.render.findings import FoldedFinding, fold_findings
from archscope.render.json_csv import format_json
from archscope.report import Checked

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def format_sarif(checked: Iterable[Checked], *, level: str = "warning") -> str:
    """Return the document of all findings that are not below a level."""
    return format_json(sarif_document(fold_findings(item.least(level) for item in checked)))


def sarif_document(found: Iterable[FoldedFinding]) -> dict[str, Any]:
    kept = list(found)
    codes = list(dict.fromkeys(folded.finding.rule for folded in kept))
    driver = {"name": "archscope", "rules": [sarif_rule(code) for code in codes]}
    results = [sarif_result(folded, codes.index(folded.finding.rule)) for folded in kept]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def sarif_rule(code: str) -> dict[str, Any]:
    """Return a rule's descriptor; with a description, if it is one of archscope."""
    known = next((rule for rule in RULES if rule.code == code), None)
    if known is None:
        return {"id": code}
    description = {"shortDescription": {"text": known.summary}, "defaultConfiguration": {"level": known.level}}
    return {"id": code, **description, "properties": {"tags": [known.family]}}


def sarif_result(folded: FoldedFinding, index: int) -> dict[str, Any]:
    finding = folded.finding
    paths = list(filter(None, [finding.path, *finding.also]))
    span = finding.place or Span(target_file(folded.target), 0, 0)
    where: dict[str, Any] = {"physicalLocation": sarif_location(span)}
    if paths:
        where["logicalLocations"] = [{"fullyQualifiedName": path} for path in paths]
    result = {"ruleId": finding.rule, "ruleIndex": index, "level": finding.level}
    return {**result, "message": {"text": full_message(finding)}, "locations": [where]}


def sarif_location(span: Span) -> dict[str, Any]:
    """Return the location of a file, with line and column if it has them."""
    path = display_path(span.file)
    uri = Path(path).as_uri() if Path(path).is_absolute() else quote(os.fsencode(path))
    region = {"region": {"startLine": span.line, "startColumn": max(1, span.column)}} if span.line else {}
    return {"artifactLocation": {"uri": uri}, **region}
