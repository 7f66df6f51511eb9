"""Networks that people broke, and the line that fixes each: the first fix, its figures, and what it leaves unchanged.

fix_cases/NAME.yaml → the answer in ANSWERS        variants of them, as texts, in test_fix_variants.py
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import archscope
from archscope.api import repair
from archscope.report import Checked, Finding, Fix
from tests.checks.golden import inside

FOLDER = Path(__file__).parent / "fix_cases"


@dataclass(frozen=True)
class Answer:
    """The right fixes of a case in order: the lines that they remove and add. params, macs: of the first variant
    afterwards."""

    fixes: tuple[tuple[str, str], ...]
    params: int
    macs: int


ANSWERS = {
    "shared_block": Answer((("  - C(16)", "  - C(16, stride=2)"),), 4_072, 589_824),
    "landscape": Answer((("input: [N, 3, 90, 160]", "input: [N, 3, 91, 160]"),), 808, 1_324_800),
    "landscape_both": Answer((("input: [N, 3, 720, 1280]", "input: [N, 3, 719, 1279]"),), 2_040, 240_537_600),
    "heads": Answer((("params: {heads: 6}", "params: {heads: 8}"),), 1_051_648, 71_303_168),
    "groups": Answer((("  - Conv2d(360, 1, groups=8)", "  - Conv2d(360, 1, groups=9)"),), 7_110, 10_231_200),
    "tiny_yolo": Answer(
        (
            (
                "  - Conv(512)                # a pool stood behind it",
                "  - Conv(512, stride=2)                # a pool stood behind it",
            ),
        ),
        8_852_366,
        2_277_849_600,
    ),
    "resnet50_backbone": Answer(
        (
            ("          - Conv2d(cin, mid, 1, bias=False)", "          - Conv2d(mid, 1, bias=False)"),
            (
                "              - Conv2d(cin, 4 * mid, 1, stride=stride, bias=False)",
                "              - Conv2d(4 * mid, 1, stride=stride, bias=False)",
            ),
        ),
        23_508_032,
        33_364_377_600,
    ),
    "inception_reduction": Answer(
        (("      pool: MaxPool2d(3, stride=2, ceil_mode=True)", "      pool: MaxPool2d(3, stride=2)"),),
        1_153_280,
        2_923_278_336,
    ),
    "autopad_neck": Answer((("input: [N, 3, 720, 1280]", "input: [N, 3, 728, 1279]"),), 443_936, 1_577_902_080),
    "latent_attention": Answer(
        (
            (
                "      - key: cat([k_nope, kr], dim=-1)",
                "      - key: cat([k_nope, kr.expand(-1, heads, -1, -1)], dim=-1)",
            ),
        ),
        2_459_136,
        167_772_160,
    ),
    "convnext_v2": Answer((("", "          - permute(0, 3, 1, 2)"),), 3_708_400, 547_332_480),
    "pointnet": Answer(
        (("    - bmm(x, t)", "    - bmm(x.transpose(1, 2), t).transpose(1, 2)"),), 3_480_049, 448_025_856
    ),
    "dlrm": Answer((("  bottom: [512, 256, 64, 32]", "  bottom: [512, 256, 64, 16]"),), 1_983_009, 486_032),
    "stylegan2": Answer(
        (
            (
                "      - conv2d(x.reshape(1, N * C, H, W), kernel, padding=k // 2)",
                "      - conv2d(x.reshape(1, N * C, H, W), kernel, padding=k // 2, groups=N)",
            ),
        ),
        19_016_088,
        5_179_432_960,
    ),
    "siamese": Answer((("  momentum: Encoder(2 * proj)", "  momentum: Encoder(proj)"),), 23_127_552, 2_223_243_264),
    "llama_cache": Answer(
        (("      - keys: cat([past_k, k], dim=1)", "      - keys: cat([past_k, k], dim=2)"),), 2_819_072, 2_949_120
    ),
    "maxvit": Answer(
        (
            (
                "params: {window: 9, head_dim: 32, expand: 4, mlp: 4}",
                "params: {window: 7, head_dim: 32, expand: 4, mlp: 4}",
            ),
        ),
        145_396,
        457_613_312,
    ),
}


@cache
def checked(name: str) -> tuple[Checked, ...]:
    with inside(FOLDER):
        return tuple(archscope.check(f"{name}.yaml"))


@dataclass(frozen=True)
class FixedSpec:
    """The result of applying first fixes until no conflict has one. texts: of its files."""

    fixes: tuple[Fix, ...]
    texts: dict[str, str]
    checked: tuple[Checked, ...]

    @property
    def errors(self) -> list[str]:
        return [finding.message for one in self.checked for finding in one.errors().findings]


def apply_first_fixes(target: str, texts: dict[str, str] | None = None) -> FixedSpec:
    """Return the spec after its first fixes, including those that change steps outside the block of their conflict."""
    fixes: list[Fix] = []
    known = dict(texts or {})
    while True:
        found = tuple(archscope.check(target, texts=known))
        fix = next((fix for one in found for finding in one.findings for fix in finding.fixes[:1]), None)
        if fix is None or len(fixes) > 4:
            return FixedSpec(tuple(fixes), known, found)
        fixes.append(fix)
        known[fix.file] = fix.text


@cache
def fixed(name: str) -> FixedSpec:
    with inside(FOLDER):
        return apply_first_fixes(f"{name}.yaml")


def conflicts(name: str) -> list[Finding]:
    """Return those of the first variant that has some."""
    found = (
        [finding for finding in one.findings if finding.details and (finding.rule.endswith("-shape") or finding.fixes)]
        for one in checked(name)
    )
    return next(filter(None, found))


def edits(name: str, number: int = 0) -> list[tuple[str, str]]:
    """The lines that each fix of a conflict takes out and puts in, the best first."""
    return [lines(fix.edit) for fix in conflicts(name)[number].fixes]


def lines(edit: str) -> tuple[str, str]:
    body = [line for line in edit.splitlines() if not line.startswith(("---", "+++"))]
    gone, new = ("\n".join(line[1:] for line in body if line.startswith(sign)) for sign in "-+")
    return gone, new


# ------------------------------------------------------------ all cases
def test_every_case_has_an_answer() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {*ANSWERS, "attention_lengths"}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_first_fix_changes_the_right_line(name: str) -> None:
    assert edits(name)[0] == ANSWERS[name].fixes[0]


@pytest.mark.parametrize("name", ANSWERS)
def test_the_first_fixes_are_the_right_lines_and_nothing_else(name: str) -> None:
    """So no block is touched where the answer is a call, an input or a param."""
    assert tuple(lines(fix.edit) for fix in fixed(name).fixes) == ANSWERS[name].fixes
    assert list(fixed(name).texts) == [f"{name}.yaml"]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_fixed_case_has_no_error_and_the_right_figures(name: str) -> None:
    assert fixed(name).errors == []
    report = fixed(name).checked[0].report
    assert report is not None
    assert (report.total.params, report.total.macs) == (ANSWERS[name].params, ANSWERS[name].macs)


@pytest.mark.parametrize("name", ["resnet50_backbone", "latent_attention", "landscape"])
def test_a_repair_takes_the_fixes_that_stay_in_their_block(name: str) -> None:
    with inside(FOLDER):
        (one,) = repair(f"{name}.yaml")
    assert list(one.fixes) == [fix for fix in fixed(name).fixes if not fix.outside]
    assert bool(one.fixes) == (name != "landscape")


@pytest.mark.parametrize("name", [*ANSWERS, "attention_lengths"])
def test_what_is_said_of_every_conflict(name: str) -> None:
    """Fixes are checked, at most three; what may follow has none; torch's own message is not shown."""
    for finding in (finding for one in checked(name) for finding in one.findings):
        assert len(finding.fixes) <= 3
        assert all(fix.checked for fix in finding.fixes)
        assert not (finding.likely and finding.fixes)
        assert "Traceback" not in finding.message
        assert "must match the size" not in finding.message


@pytest.mark.parametrize("name", ANSWERS)
def test_alternatives_differ(name: str) -> None:
    for finding in conflicts(name):
        assert len({fix.text for fix in finding.fixes}) == len(finding.fixes)


def test_alternatives_differ_in_the_second_variant() -> None:
    (finding,) = checked("convnext_v2")[1].errors().findings
    assert len({fix.text for fix in finding.fixes}) == len(finding.fixes)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("heads", 2),
        ("autopad_neck", 2),
        ("resnet50_backbone", 2),
        ("llama_cache", 2),
        ("maxvit", 3),
        ("convnext_v2", 1),
    ],
)
def test_what_follows_is_marked(name: str, count: int) -> None:
    """The two layers of the backbone state one width each."""
    own = 2 if name == "resnet50_backbone" else 1
    assert [finding.likely for finding in conflicts(name)] == [False] * own + [True] * (count - own)


# ------------------------------------------------------------ what the answers name
def test_sizes_near_the_given_one() -> None:
    """Each axis by itself: what fits stays."""
    assert {new for _, new in edits("landscape")} == {f"input: [N, 3, {height}, 160]" for height in (91, 88)}
    both = {new for _, new in edits("landscape_both")}
    assert both <= {f"input: [N, 3, {h}, {w}]" for h in (719, 724) for w in (1279, 1284)}
    neck = {new for _, new in edits("autopad_neck")}
    assert neck <= {f"input: [N, 3, {h}, {w}]" for h in (*range(728, 736), 703) for w in (*range(1272, 1280), 1304)}


def test_heads_and_windows_divide() -> None:
    assert {int(new.split(": ")[2].rstrip("}")) for _, new in edits("heads")} <= {1, 2, 4, 8, 16, 32}
    assert "view(1, 64, 3, 6, 85)" in conflicts("heads")[0].message
    assert "view(1, 64, 6, 9, 6, 9) wants 186,624 numbers" in conflicts("maxvit")[0].message


def test_groups_divide_the_channels_and_the_price_is_told() -> None:
    """Without groups the layer has 90 · 360 + 360 = 32,760 parameters. Is that an alternative, or another network? A
    divisor comes first in either case."""
    first, *others = conflicts("groups")[0].fixes
    assert (first.description, first.params) == ("groups=9 in 2", 90 // 9 * 360 + 360)
    for fix in others:
        without = "groups" not in lines(fix.edit)[1]
        assert fix.params == 32_760 if without else fix.params is not None and 0 < fix.params < 32_760


def test_prices_of_a_detector() -> None:
    first = conflicts("tiny_yolo")[0].fixes[0]
    (before,) = (one.report for one in checked("tiny_yolo") if one.report is not None)
    assert first.params == 0
    assert first.macs is not None
    assert before.total.macs is not None
    assert before.total.macs + first.macs == 2_277_849_600


def test_the_chain_leads_back_to_the_width() -> None:
    """The fix stands at the head of the walk, where the width was given."""
    walk = conflicts("siamese")[0].walk
    assert walk[0].place is not None
    assert walk[0].place.line == 32
    assert [link.place.line for link in walk if link.place and "Linear" in link.text][:2] == [29, 24]


@pytest.mark.parametrize(("name", "number"), [("llama_cache", 1), ("attention_lengths", 0)])
def test_the_mask_is_listed(name: str, number: int) -> None:
    finding = conflicts(name)[number]
    assert "key and value must be of one length" in finding.message
    assert [row.split()[0] for row in finding.details[:4]] == ["query", "key", "value", "mask"]


def test_nothing_is_offered_for_lengths_of_attention() -> None:
    """It cannot be known which of keys and values is too long."""
    assert [finding.fixes for finding in conflicts("attention_lengths")] == [()]


def test_one_example_only() -> None:
    finding = conflicts("stylegan2")[0]
    assert (finding.rule, finding.level, finding.cause) == ("one-batch", "warning", "layer-shape")
    assert finding.message.startswith("at a batch of 2: ")
    assert finding.fixes[0].description == "groups=N"


def test_one_mistake_in_every_stage_is_told_once() -> None:
    """In both variants."""
    assert [len(one.errors().findings) for one in checked("convnext_v2")] == [1, 1]
    assert len(conflicts("convnext_v2")[0].also) == 11
