"""Arguments that a target was given and that a conflict is about: each is tried with the size that the other side has.

Diagnosis, `--arg emb_size=256` ─ 256 stands against 40 ─→ the target made with emb_size=40, and run ─→ Fix, checked
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

from archscope.checks.conflicts.diagnosis import Diagnosis, own_axes
from archscope.report import Fix, Report

if TYPE_CHECKING:
    from archscope.targets import TargetModule, TargetRebuilder

MAX_ARGUMENT_TRIALS = 6
"""How many values are tried for one conflict."""
ARGUMENT_TRIAL_SECONDS = 3.0
"""How long one trial may take."""


def find_argument_fixes(
    diagnosis: Diagnosis, remaking: TargetRebuilder, report: Report, run: Callable[[TargetModule], Report | None]
) -> list[Fix]:
    """The values of given arguments with which a run has no conflict and ends."""
    found = []
    for name, value in [*candidate_values(diagnosis, remaking)][:MAX_ARGUMENT_TRIALS]:
        after = try_argument(remaking, name, value, run)
        if after is not None and not after.failed:
            given, params = remaking.arguments[name], after.total.params - report.total.params
            words = f"`{name}={value}` for `{remaking.target.rpartition(':')[2]}`, which is given {given}"
            found.append(Fix(words, params, None, checked=True))
    return found


def candidate_values(diagnosis: Diagnosis, remaking: TargetRebuilder) -> Iterator[tuple[str, int]]:
    """Each argument that is one of the sizes which disagree, with every other of these."""
    for sizes in disagreeing_sizes(diagnosis):
        for name, given in remaking.arguments.items():
            if type(given) is int and given in sizes:
                yield from ((name, size) for size in sorted(sizes) if size not in (given, 1))


def disagreeing_sizes(diagnosis: Diagnosis) -> Iterator[set[int]]:
    """The sizes of all operands on each axis in conflict; of a layer, what it was told and what its input has."""
    mismatch, says = diagnosis.mismatch, diagnosis.mismatch.wrong_argument
    if mismatch.kind == "layer" and says is not None:
        yield {one for one in (says.given, says.needed) if type(one) is int}
    for axis in mismatch.axes if len(diagnosis.operands) > 1 else ():
        own = [(op, at) for op in diagnosis.operands for at in own_axes(op, [axis], mismatch)]
        yield {op.value.shape[at] for op, at in own}


def try_argument(
    remaking: TargetRebuilder, name: str, value: int, run: Callable[[TargetModule], Report | None]
) -> Report | None:
    """The run with another value; None where the target cannot be made or run with it."""
    from archscope.targets.deadlines import DeadlineExceeded, deadline

    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), deadline(ARGUMENT_TRIAL_SECONDS):
            return run(remaking.with_arguments(**{name: value}).rebuild())
    except (Exception, SystemExit, DeadlineExceeded):  # noqa: BLE001 - the author's code raises what it likes
        return None
