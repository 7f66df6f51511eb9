"""Lint findings of the reference networks, which are known to be good.

Each entry was judged; docs/measurements.md says why. The findings are the same on every device.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import archscope
from archscope.api import variants
from archscope.checks.lint import lint

SHORTCUT = {("skipping-stride", "note")}
BIASES = {("bias-before-norm", "warning")}
STAGE = {("dropped-pixels", "note")}
TUTORIAL_MISTAKES = {("residual-without-add", "warning"), ("repeated-norm", "warning")}
FACTORS = {("linear-linear", "note")}
PLAIN = {("linear-linear", "warning")}
JUDGED = {
    "resnet.yaml": SHORTCUT,
    "unet.yaml": BIASES,
    "vgg.yaml:vgg11_bn": BIASES,
    "vgg.yaml:vgg16_bn": BIASES,
    "vgg.yaml:vgg19_bn": BIASES,
    "tutorials/residual_block.yaml:strided": SHORTCUT,
    "tutorials/basic_block.yaml:as_printed": TUTORIAL_MISTAKES,
    "tutorials/basic_block_net.yaml:as_printed": TUTORIAL_MISTAKES | STAGE,
    "tutorials/basic_block_net.yaml": STAGE,
    "tutorials/inception_block.yaml": PLAIN,
    "tutorials/inception_mnist.yaml": PLAIN | FACTORS,
}
FILES = sorted(path for path in Path("specs").rglob("*.yaml"))
TARGETS = [target for file in FILES for target in variants(file.as_posix())]


@pytest.mark.law
@pytest.mark.parametrize("target", TARGETS)
def test_findings_of_good_nets(target: str) -> None:
    name = target.removeprefix("specs/")
    expected = JUDGED.get(name, JUDGED.get(name.partition(":")[0], set()))
    found = lint(archscope.summarize(target, device="meta"))
    assert {(finding.rule, finding.level) for finding in found} == expected


@pytest.mark.law
@pytest.mark.parametrize("target", [target for target in TARGETS if "tutorials/" in target])
def test_every_device_finds_the_same(target: str) -> None:
    assert lint(archscope.summarize(target, device="meta")) == lint(archscope.summarize(target, device="cpu"))
