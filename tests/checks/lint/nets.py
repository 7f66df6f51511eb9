"""Nets for tests of lint rules: a spec's steps or a module → findings of lint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

import archscope
from archscope.checks.lint import lint
from archscope.report import Finding


def of_steps(folder: Path, shape: str, steps: str, *, rest: str = "", **options: Any) -> tuple[Finding, ...]:
    """Return the findings of a net of these steps."""
    file = folder / "net.yaml"
    body = "\n".join(f"  - {step}" for step in steps.split("; "))
    file.write_text(f"input: {shape}\n{rest}\nlayers:\n{body}\n", encoding="utf-8")
    return lint(archscope.summarize(str(file), device="meta"), **options)


def of_module(module: nn.Module, shape: Any, **options: Any) -> tuple[Finding, ...]:
    return lint(archscope.summarize(module, input=shape), **options)


class Net(nn.Module):
    """Layers by name, and a function that runs them."""

    def __init__(self, run: Callable[..., Any], **layers: nn.Module):
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs: Any) -> Any:
        return self.run(self, *inputs)


def finding_keys(findings: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    return [(finding.rule, finding.level, finding.path) for finding in findings]
