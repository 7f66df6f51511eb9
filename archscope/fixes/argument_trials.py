"""Fixes that change an argument of a Python target: each argument whose value is one of two sizes in conflict is
tried with the other size.

    Diagnosis, `--arg emb_size=256`, 256 differs from 40 → the target is made with emb_size=40 and run → Fix, checked
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from archscope.conflicts.diagnosis import Diagnosis, own_axes
from archscope.report import Fix, Report
from archscope.targets import TargetModule, TargetRebuilder
from archscope.targets.user_code_limits import DeadlineExceeded, deadline

MAX_ARGUMENT_TRIALS = 6
"""The most values that are tried for one conflict."""
ARGUMENT_TRIAL_SECONDS = 3.0
"""The most seconds that one trial may take."""


def find_argument_fixes(
    diagnosis: Diagnosis, remaking: TargetRebuilder, report: Report, run: Callable[[TargetModule], Report | None]
) -> list[Fix]:
    """Return a fix for each value of a given argument with which a run succeeds and has no conflict."""
    found = []
    for name, value in [*candidate_values(diagnosis, remaking)][:MAX_ARGUMENT_TRIALS]:
        after = try_argument(remaking, name, value, run)
        if after is not None and not after.failed:
            given, params = remaking.arguments[name], after.total.params - report.total.params
            words = f"`{name}={value}` for `{remaking.target.rpartition(':')[2]}`, which is given {given}"
            found.append(Fix(words, params, None, checked=True))
    return found


def candidate_values(diagnosis: Diagnosis, remaking: TargetRebuilder) -> Iterator[tuple[str, int]]:
    """Yield each argument whose value is one of the sizes in conflict, with every other of these sizes."""
    for sizes in disagreeing_sizes(diagnosis):
        for name, given in remaking.arguments.items():
            if type(given) is int and given in sizes:
                yield from ((name, size) for size in sorted(sizes) if size not in (given, 1))


def disagreeing_sizes(diagnosis: Diagnosis) -> Iterator[set[int]]:
    """Yield the sizes of all operands on each axis in conflict; for a layer, the declared and the actual size."""
    mismatch, wrong = diagnosis.mismatch, diagnosis.mismatch.wrong_argument
    if mismatch.kind == "layer" and wrong is not None:
        yield {size for size in (wrong.given, wrong.needed) if type(size) is int}
    for axis in mismatch.axes if len(diagnosis.operands) > 1 else ():
        own = [(op, at) for op in diagnosis.operands for at in own_axes(op, [axis], mismatch)]
        yield {op.value.shape[at] for op, at in own}


def try_argument(
    remaking: TargetRebuilder, name: str, value: int, run: Callable[[TargetModule], Report | None]
) -> Report | None:
    """Return the report of a run with another value of an argument; None if it cannot be made or run."""
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), deadline(ARGUMENT_TRIAL_SECONDS):
            return run(remaking.with_arguments(**{name: value}).rebuild())
    except (Exception, SystemExit, DeadlineExceeded):  # noqa: BLE001 - the author's code raises what it likes
        return None
