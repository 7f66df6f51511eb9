"""The roofline as a picture, SVG or PNG, made by matplotlib, which is imported only to draw.

left    rows without FLOPs: bytes per second over bytes moved, below the bandwidth at that size
right   rows with FLOPs: FLOP/s over FLOPs per byte, below the roofs of memory, cache and products
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archscope import units
from archscope.errors import UsageError, escape_one_line
from archscope.profiling.roofline import BoundKind, Ceilings, RooflineGroup, RooflinePoint, group_by_bound

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

DPI = 144
PICTURE_SUFFIXES = (".svg", ".png")
MAX_LABELS, MIN_PANEL_LABELS = 12, 3
"""The most labels of the rows that take longest, and the least number of labels in each panel."""

MIN_POINT_AREA, MAX_POINT_AREA = 12.0, 420.0
"""The areas of points in square points: of a row that takes no time, and of the one that takes longest."""

KIND_STYLES: dict[BoundKind, tuple[str, str]] = {
    "compute": ("#0072b2", "o"),
    "memory": ("#d55e00", "s"),
    "launch": ("#009e73", "^"),
    "unknown": ("#767676", "D"),
}
TEXT_COLOR, ROOF_COLOR = "#444444", "#222222"
LABEL_OFFSETS = tuple(
    (across * reach, up * reach)
    for reach in (9, 18, 32, 50, 75, 105, 140)
    for across, up in ((1, 0.6), (1, -0.8), (-1, 0.6), (-1, -0.8), (0, 1.2), (0, -1.5), (1.3, 0), (-1.3, 0))
)
"""The offsets of a label from its point, in points, the nearest first."""

COVERED_LABEL_COST = 1_000_000
"""A cost higher than any number of points in a picture."""

FOOTNOTE = (
    "A point is a row, or ×N that are alike, its area the time that they take; those that take longest are named. "
    "FLOPs are 2 × MACs, bytes those that a row reads and writes."
)
MATPLOTLIB_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "archscope",
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "text.parse_math": False,
}
"""Settings for reproducible files, with text as text, and `$` in a name not as markup."""


def draw_roofline(points: Sequence[RooflinePoint], ceilings: Ceilings, *, title: str) -> Callable[[str], bytes]:
    """Return a function from a suffix, `.svg` or `.png`, to the picture.

    Raises UsageError for any other suffix, if there is nothing to draw, and if matplotlib is not installed.
    """
    refuse_without_matplotlib()
    if not points:
        raise UsageError("there is no row with a time to draw", "time a target whose rows can be seen one by one")
    return lambda suffix: picture_bytes(points, ceilings, title, suffix)


def refuse_without_matplotlib() -> None:
    """Raise UsageError if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("a picture needs matplotlib, which is not installed", "pip install matplotlib")


def picture_bytes(points: Sequence[RooflinePoint], ceilings: Ceilings, title: str, suffix: str) -> bytes:
    """Return the content of the file. matplotlib's settings are restored."""
    if suffix not in PICTURE_SUFFIXES:
        raise UsageError(
            f"a picture is {' or '.join(PICTURE_SUFFIXES)}, not {suffix or 'without a suffix'}", "roofline.svg"
        )
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    out = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(MATPLOTLIB_SETTINGS)
        figure = Figure(figsize=(11, 6.2), dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        fill_figure(figure, canvas, points, ceilings, title)
        kind = suffix.removeprefix(".")
        figure.savefig(out, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return out.getvalue()


# ------------------------------------------------------------ the panels
@dataclass(frozen=True)
class Panel:
    """A pair of axes, its points, and their positions."""

    axes: Axes
    points: tuple[RooflinePoint, ...]
    place: Callable[[RooflinePoint], tuple[float, float]]
    longest: float

    def area(self, point: RooflinePoint) -> float:
        """Return the area of a point in square points."""
        return MIN_POINT_AREA + (MAX_POINT_AREA - MIN_POINT_AREA) * point.seconds / self.longest

    def radius(self, point: RooflinePoint) -> float:
        """Return the radius of a point in pixels."""
        return math.sqrt(self.area(point) / math.pi) * DPI / 72

    def points_bound_by(self, kind: BoundKind) -> list[RooflinePoint]:
        return [point for point in self.points if point.bound == kind]


def fill_figure(
    figure: Figure, canvas: FigureCanvasAgg, points: Sequence[RooflinePoint], ceilings: Ceilings, title: str
) -> None:
    panels = list(make_panels(figure, points, ceilings))
    for panel in panels:
        draw_points(panel)
    machine = ceilings.machine
    threads = machine.setting("threads")
    used = f"{threads} thread{'s' * (threads != 1)}, " if machine.kind == "cpu" else ""
    subtitle = f"{machine.name}, {used}torch {machine.version('torch')}"
    figure.suptitle(f"{escape_one_line(title)}\n{subtitle}", x=0.01, ha="left", fontsize=11)
    figure.supxlabel(FOOTNOTE, x=0.01, ha="left", fontsize=8, color=TEXT_COLOR)
    draw_legend(figure, group_by_bound(points))
    canvas.draw()
    figure.set_layout_engine("none")
    for panel in panels:
        label_longest(panel, canvas, points)


def make_panels(figure: Figure, points: Sequence[RooflinePoint], ceilings: Ceilings) -> Iterator[Panel]:
    """Yield the panels that have points, side by side."""
    longest = max(point.seconds for point in points)
    moving = tuple(point for point in points if not point.intensity)
    computing = tuple(point for point in points if point.intensity)
    ratios = [ratio for ratio, groups in ((2, moving), (3, computing)) if groups]
    every = figure.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0]
    if moving:
        yield bandwidth_panel(every[0], moving, ceilings, longest)
    if computing:
        yield compute_panel(every[-1], computing, ceilings, longest)


def bandwidth_panel(axes: Axes, points: tuple[RooflinePoint, ...], ceilings: Ceilings, longest: float) -> Panel:
    """Return the panel of rows without FLOPs, which have no place on a logarithmic axis of FLOPs per byte."""
    set_scales(axes, "bytes moved", "bytes per second", "B", "B/s")
    axes.set_title("rows without FLOPs", fontsize=9, loc="left", color=TEXT_COLOR)
    sizes, rates = zip(*ceilings.bandwidths, strict=True)
    axes.plot(sizes, rates, color=ROOF_COLOR, linewidth=1.4, label="bandwidth, by bytes moved")
    axes.set_ylim(min(rates[-1], *(point.bytes_per_second for point in points)) / 2)
    annotate(axes, (sizes[-1], rates[-1]), f"memory {units.format_rate(rates[-1], 'B/s')}", (0, -14), "right")
    return Panel(axes, points, lambda point: (point.moved, point.bytes_per_second), longest)


def compute_panel(axes: Axes, points: tuple[RooflinePoint, ...], ceilings: Ceilings, longest: float) -> Panel:
    set_scales(axes, "FLOPs per byte", "FLOP/s", "", "FLOP/s")
    axes.set_title("rows with FLOPs", fontsize=9, loc="left", color=TEXT_COLOR)
    panel = Panel(axes, points, lambda point: (point.intensity, point.flops_per_second), longest)
    draw_roofs(panel, ceilings)
    return panel


def set_scales(axes: Axes, across: str, up: str, unit: str, per_second: str) -> None:
    """Set logarithmic scales with SI prefixes at the ticks."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

    axes.set(xscale="log", yscale="log")
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(up, fontsize=9)
    axes.xaxis.set_major_formatter(EngFormatter(unit) if unit else FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(EngFormatter(per_second))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def draw_roofs(panel: Panel, ceilings: Ceilings) -> None:
    """Draw the slopes of memory and of the fastest cache, and the peak of every dtype in use."""
    dtypes = [dtype for dtype, peak in ceilings.peaks if peak and any(point.dtype == dtype for point in panel.points)]
    peaks = {dtype: ceilings.peak(dtype) or 0.0 for dtype in dtypes or [ceilings.peaks[0][0]]}
    ridges = [ceilings.ridge(dtype) or 0.0 for dtype in peaks]
    early = max(peaks.values()) / ceilings.bandwidths[0][1]
    left = min(early, *(point.intensity for point in panel.points)) / 3
    right = 3 * max(*ridges, *(point.intensity for point in panel.points))
    draw_slope(panel.axes, left, max(peaks.values()), ceilings.memory, "-")
    draw_slope(panel.axes, left, max(peaks.values()), ceilings.bandwidths[0][1], "--")
    for dtype, peak in peaks.items():
        panel.axes.plot([peak / ceilings.bandwidths[0][1], right], [peak, peak], color=ROOF_COLOR, linewidth=1.4)
        annotate(panel.axes, (right, peak), f"{dtype} {units.format_rate(peak, 'FLOP/s')}", (0, 4), "right")
    panel.axes.set_xlim(left, right)
    panel.axes.set_ylim(min(point.flops_per_second for point in panel.points) / 4, 3 * max(peaks.values()))


def draw_slope(axes: Axes, left: float, peak: float, bandwidth: float, style: str) -> None:
    """Draw the bound of memory from `left` to the peak."""
    label = f"{'memory' if style == '-' else 'cache'} {units.format_rate(bandwidth, 'B/s')}"
    axes.plot([left, peak / bandwidth], [left * bandwidth, peak], style, color=ROOF_COLOR, linewidth=1.4, label=label)


def draw_points(panel: Panel) -> None:
    """Draw the points of each group in its colour and with its marker, the large ones below."""
    for kind, (colour, marker) in KIND_STYLES.items():
        groups = sorted(panel.points_bound_by(kind), key=lambda point: -point.seconds)
        if groups:
            across, up = zip(*map(panel.place, groups), strict=True)
            areas = list(map(panel.area, groups))
            panel.axes.scatter(
                across, up, areas, c=colour, marker=marker, alpha=0.55, edgecolors="white", linewidths=0.6
            )


def draw_legend(figure: Figure, groups: Sequence[RooflineGroup]) -> None:
    """Draw the legend outside of the panels: the number of rows of each bound with its share of the time, and the
    roofs.
    """
    from matplotlib.lines import Line2D

    handles: list[Any] = []
    for group in groups:
        colour, marker = KIND_STYLES[group.kind]
        rows = f"{group.rows} row{'s' * (group.rows != 1)}"
        label = f"{group.kind}: {rows}, {group.share:.0%} of the time"
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="", label=label))
    for axes in figure.axes:
        handles += [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=8, frameon=False)


# ------------------------------------------------------------ names
def annotate(axes: Axes, at: tuple[float, float], text: str, offset: tuple[float, float], side: str) -> Any:
    return axes.annotate(
        text, at, xytext=offset, textcoords="offset points", ha=side, va="bottom", fontsize=8, color=ROOF_COLOR
    )


def label_longest(panel: Panel, canvas: FigureCanvasAgg, every: Sequence[RooflinePoint]) -> None:
    """Label the points that take longest, each where the label covers the fewest points; none if it would cover a
    label.
    """
    taken = [text_box(text, canvas) for text in panel.axes.texts]
    for point in longest_points(panel, every):
        text = label_point(panel, point, (0.0, 0.0))
        boxes = [move_box(text_box(text, canvas), offset) for offset in LABEL_OFFSETS]
        text.remove()
        cost, at = min((count_covered(box, panel, taken), at) for at, box in enumerate(boxes))
        if cost < COVERED_LABEL_COST:
            label_point(panel, point, LABEL_OFFSETS[at])
            taken.append(boxes[at])


def longest_points(panel: Panel, every: Sequence[RooflinePoint]) -> list[RooflinePoint]:
    """Return the points of the panel that are labelled, the one that takes longest first."""

    def longest(points: Sequence[RooflinePoint], count: int) -> list[RooflinePoint]:
        return sorted(points, key=lambda point: -point.seconds)[:count]

    first, own = set(longest(every, MAX_LABELS)), longest(panel.points, MIN_PANEL_LABELS)
    return longest([point for point in panel.points if point in first or point in own], MAX_LABELS)


def label_point(panel: Panel, point: RooflinePoint, offset: tuple[float, float]) -> Any:
    side = "left" if offset[0] > 0 else "right" if offset[0] < 0 else "center"
    return panel.axes.annotate(
        point.name,
        panel.place(point),
        xytext=offset,
        textcoords="offset points",
        ha=side,
        va="center",
        fontsize=7,
        color="black",
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        arrowprops={"arrowstyle": "-", "color": TEXT_COLOR, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0},
    )


def move_box(box: Bbox, offset: tuple[float, float]) -> Bbox:
    """Return the box of a label at an offset, from its box in the middle of its point."""
    aside = box.width / 2 * ((offset[0] > 0) - (offset[0] < 0))
    return box.translated(offset[0] * DPI / 72 + aside, offset[1] * DPI / 72)


def count_covered(box: Bbox, panel: Panel, taken: Sequence[Bbox]) -> int:
    """Return the number of points that a label covers; `COVERED_LABEL_COST` if it covers another one or
    leaves the panel.
    """
    inside = panel.axes.get_window_extent()
    within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
    if not within or any(box.overlaps(other) for other in taken):
        return COVERED_LABEL_COST
    middles = panel.axes.transData.transform([panel.place(point) for point in panel.points])
    near = zip(middles, map(panel.radius, panel.points), strict=True)
    return sum(bool(box.padded(radius).contains(*middle)) for middle, radius in near)


def text_box(text: Any, canvas: FigureCanvasAgg) -> Bbox:
    """Return the box of a label in pixels, without its line."""
    from matplotlib.text import Text

    text.update_positions(canvas.get_renderer())
    return Text.get_window_extent(text, canvas.get_renderer())
