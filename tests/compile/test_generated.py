"""Nets are right at every size: specs drawn at random, built at one size, run at others beside the interpreter."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings

from tests.compile.agreement import build_written_subject, disagreement, same_structure
from tests.compile.generated import live_images, live_sequences, structural_sequences
from tests.compile.written import Shape, example

SEQUENCES = ((2, 5, 4), (3, 5, 4), (2, 8, 4), (1, 2, 4))
IMAGES = ((2, 3, 6, 5), (3, 3, 6, 5), (2, 3, 9, 4), (1, 3, 2, 7))


def drawn(share: int) -> settings:
    """Return settings for a share of the examples of a run: of 100, or of all."""
    wanted = max(100, settings.default.max_examples if settings.default else 0)
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=wanted * share // 100, deadline=None, suppress_health_check=slow)


def disagreements(text: str, shapes: Sequence[Shape], *, structural: bool = False) -> list[str]:
    """Return the differences at each size; the net is built at the first one."""
    subject = build_written_subject(text, [example(shapes[0])])
    found = []
    for shape in shapes:
        inputs = [example(shape, seed=shape[0])]
        may_refuse = structural and not same_structure(subject, inputs)
        if wrong := disagreement(subject, inputs, may_refuse=may_refuse):
            found.append(f"{shape}: {wrong}")
    return found


@drawn(50)
@given(live_sequences)
def test_a_net_on_sequences_is_right_at_every_size(text: str) -> None:
    wrong = disagreements(text, SEQUENCES)
    assert not wrong, text


@drawn(20)
@given(live_images)
def test_a_net_on_images_is_right_at_every_size(text: str) -> None:
    wrong = disagreements(text, IMAGES)
    assert not wrong, text


@drawn(30)
@given(structural_sequences)
def test_a_net_whose_structure_depends_on_sizes_is_right_or_refuses(text: str) -> None:
    wrong = disagreements(text, SEQUENCES, structural=True)
    assert not wrong, text
