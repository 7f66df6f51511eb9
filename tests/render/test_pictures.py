"""Tests of the roofline as a picture: its texts, reproducible output, and unchanged settings of matplotlib."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from archscope.errors import UsageError
from archscope.machine import Machine, MachineLoad
from archscope.profiling.roofline import BoundKind, Ceilings, RooflinePoint
from archscope.render import roofline_picture

MACHINE = Machine("cpu", "Test 9000", 4, 2**33, 2**23, "", (("torch", "2.9"),), (("threads", 4),))
CEILINGS = Ceilings(
    machine=MACHINE,
    peaks=(("float32", 1e12), ("bfloat16", 4e12), ("float16", None)),
    bandwidths=((2**15, 400e9), (2**20, 200e9), (2**28, 50e9)),
    launch=1e-6,
    measured="2026-01-02T03:04:05+00:00",
    load=MachineLoad(),
)


def computing(name: str, seconds: float, kind: BoundKind = "compute", intensity: float = 40.0) -> RooflinePoint:
    return RooflinePoint(name, intensity, 3e11, seconds, kind, bytes_per_second=3e11 / intensity)


def moving(name: str, seconds: float, kind: BoundKind = "memory") -> RooflinePoint:
    return RooflinePoint(name, 0.0, 0.0, seconds, kind, bytes_per_second=2e10)


POINTS = (
    *(computing(f"conv{at}", 1e-3 * at, intensity=10.0 * at) for at in range(1, 5)),
    computing("fc", 1e-3, "memory", 0.5),
    moving("relu", 4e-3),
    moving("flatten", 1e-6, "launch"),
    moving("custom", 1e-4, "unknown"),
)


@pytest.fixture(autouse=True)
def unchanged_matplotlib_settings() -> Iterator[None]:
    """Check that a test leaves matplotlib's settings unchanged."""
    if importlib.util.find_spec("matplotlib") is None:
        yield
        return
    import matplotlib

    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before


def picture(
    points: tuple[RooflinePoint, ...] = POINTS, ceilings: Ceilings = CEILINGS, title: str = "Net"
) -> Callable[[str], bytes]:
    pytest.importorskip("matplotlib")
    return roofline_picture.draw_roofline(points, ceilings, title=title)


def svg(points: tuple[RooflinePoint, ...] = POINTS, title: str = "Net") -> str:
    return picture(points, title=title)(".svg").decode()


def svg_texts(drawn: str) -> list[str]:
    """Return every text of an SVG picture."""
    texts = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")
    return [" ".join("".join(text.itertext()).split()) for text in texts]


def test_rows_roofs_and_bounds_are_labelled() -> None:
    found = svg_texts(svg())
    assert {"Net", "Test 9000, 4 threads, torch 2.9", "rows without FLOPs", "rows with FLOPs"} <= set(found)
    assert {"conv4", "conv3", "conv2", "conv1", "fc", "relu", "custom", "flatten"} <= set(found)
    assert {"float32 1.00 TFLOP/s", "memory 50.0 GB/s", "cache 400 GB/s"} <= set(found)
    assert {"FLOP/s", "FLOPs per byte", "bytes per second", "bytes moved", "200 GFLOP/s", "20 GB/s"} <= set(found)
    assert not [text for text in found if "bfloat16" in text], "no row computes in it"
    assert [text for text in found if re.fullmatch(r"\w+: \d+ rows?, \d+% of the time", text)] == [
        "compute: 4 rows, 66% of the time",
        "memory: 2 rows, 33% of the time",
        "launch: 1 row, 0% of the time",
        "unknown: 1 row, 1% of the time",
    ]


def test_kinds_differ_in_marker_and_colour() -> None:
    colours, markers = zip(*roofline_picture.KIND_STYLES.values(), strict=True)
    assert len(set(colours)) == len(set(markers)) == 4
    drawn = svg()
    assert all(colour in drawn for colour in colours)


@pytest.mark.parametrize(
    ("points", "there", "missing"),
    [(POINTS[:4], "rows with FLOPs", "rows without FLOPs"), (POINTS[5:], "rows without FLOPs", "rows with FLOPs")],
)
def test_a_panel_without_points_is_omitted(points: tuple[RooflinePoint, ...], there: str, missing: str) -> None:
    found = svg_texts(svg(points))
    assert there in found
    assert missing not in found


def test_the_longest_rows_are_labelled() -> None:
    many = tuple(computing(f"row{at}", 1e-3 * (at + 1), intensity=1.5**at) for at in range(30))
    named = [text for text in svg_texts(svg(many)) if text.startswith("row") and text[3:].isdigit()]
    assert len(named) <= roofline_picture.MAX_LABELS
    assert "row29" in named
    assert "row0" not in named


def test_labels_do_not_overlap() -> None:
    """Of a hundred rows at one point, those whose label would overlap another have none."""
    crowd = tuple(computing(f"a.rather.long.path.of.row{at}", 1e-3 + 1e-6 * at) for at in range(100))
    texts = ElementTree.fromstring(svg(crowd)).iter("{http://www.w3.org/2000/svg}text")
    places = [text.get("transform", "") + text.get("x", "") + text.get("y", "") for text in texts]
    assert len(set(places)) == len(places)


def test_each_used_dtype_has_a_roof() -> None:
    points = (replace(POINTS[0], dtype="bfloat16"), POINTS[1])
    assert {"float32 1.00 TFLOP/s", "bfloat16 4.00 TFLOP/s"} <= set(svg_texts(svg(points)))


def test_a_dtype_without_a_peak_has_no_roof() -> None:
    found = svg_texts(svg((replace(POINTS[0], dtype="float16", bound="unknown"),)))
    assert not [text for text in found if text.startswith("float16")]


def test_special_characters_in_names_are_kept() -> None:
    found = svg_texts(svg((computing("a$b$<&>_^{2}", 1e-3),), title="net.yaml:x$y$"))
    assert {"a$b$<&>_^{2}", "net.yaml:x$y$"} <= set(found)


def test_a_picture_is_the_same_every_time() -> None:
    drawn = svg()
    assert drawn == svg()
    assert "<dc:date>" not in drawn
    assert picture()(".png").startswith(b"\x89PNG\r\n")


def test_the_users_style_is_ignored() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"figure.facecolor": "black", "font.size": 30.0, "lines.linewidth": 9.0}):
        styled = svg()
    assert styled == svg()


@pytest.mark.parametrize("suffix", [".pdf", "", ".SVG"])
def test_other_formats_are_refused(suffix: str) -> None:
    with pytest.raises(UsageError, match=r"\.svg or \.png"):
        picture()(suffix)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(UsageError, match="no row"):
        picture(())


def test_a_missing_matplotlib_is_reported_with_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, *rest: Any) -> None:
        assert name == "matplotlib"

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(UsageError, match=r"pip install matplotlib"):
        roofline_picture.draw_roofline(POINTS, CEILINGS, title="Net")
