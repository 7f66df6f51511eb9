"""The timings of a target at several batch sizes and dtypes → Grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archscope import targets
from archscope.analysis.timing_options import ShareProgress
from archscope.errors import ArchscopeError, clear_frames
from archscope.profiling.grid import Grid
from archscope.profiling.timing import Timing
from archscope.render import grids, notebook_views

GridCell = tuple[int | None, str | None]
"""A batch size and a dtype."""
TimeCell = Callable[[GridCell, ShareProgress], Timing]


def measure_grid(cells: Sequence[GridCell], time_cell: TimeCell, ask: ShareProgress) -> Grid:
    """Return the timings of all cells; after a KeyboardInterrupt, those so far. Raises UsageError for an unknown
    dtype, and the first error if no cell can run.

    time_cell: returns the timing of one cell. ask: called with the share that is done.
    """
    for _, dtype in cells:
        targets.resolve_dtype(dtype)  # an unknown one is refused before anything is measured
    timings: list[Timing] = []
    refused: list[str] = []
    first: ArchscopeError | None = None
    for done, cell in enumerate(cells):
        try:
            timings.append(time_cell(cell, share_of_cell(ask, done, len(cells))))
        except KeyboardInterrupt:
            break
        except ArchscopeError as error:
            clear_frames(error)
            first = first or error
            refused.append(f"{cell[1] or ''} batch {cell[0]}: {error}".strip())
        if timings and timings[-1].measurement.interrupted:
            break
    if not timings:
        raise first or KeyboardInterrupt
    return Grid(tuple(timings), len(cells), tuple(refused), notebook_views.sheet_views(grids.grid_sheet))


def share_of_cell(ask: ShareProgress, done: int, of: int) -> ShareProgress:
    return lambda share: ask((done + share) / of)
